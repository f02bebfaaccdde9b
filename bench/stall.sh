#!/usr/bin/env bash
# A glove recorded while its disk stalls for 3 s at a time and a report reads the file:
#   bench/stall.sh [SECONDS [FRAMES_PER_SECOND]]
# Needs root, for a file system of its own that it can freeze. Prints what was lost, what
# each stage took of a core and of memory, and how late frames reached the recorder.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600} rate=${2:-217}
target=${CARGO_TARGET_DIR:-target}
PATH=${TOOLS:-$(realpath "$target")/release}:$PATH
dir=$(mktemp -d)
disk=$dir/mounted
jobs=()

clean() {
    kill "${jobs[@]}" 2>/dev/null || true
    fsfreeze -u "$disk" 2>/dev/null || true
    wait
    umount "$disk"
    rm -rf "$dir"
}

mkdir "$disk"
truncate -s 2G "$dir/image"
mkfs.ext4 -q "$dir/image"
mount -o loop "$dir/image" "$disk"
trap clean EXIT

sim-device glove --link "$dir/port" --rate "$rate" --wait-for-client \
    --truth "$dir/truth.ndjson" > /dev/null &
device=$!
jobs+=($device)
until [ -e "$dir/port" ]; do sleep 0.1; done
(while sleep 12; do fsfreeze -f "$disk" && sleep 3 && fsfreeze -u "$disk"; done) &
jobs+=($!)
(while sleep 20; do jitter-report "$disk/session.h5" > "$dir/report" || true; done) &
jobs+=($!)

capture-glove "$dir/port" --duration "${seconds}s" --baud $((rate > 300 ? 12000000 : 921600)) |
    to-h5 "$disk/session.h5" --min-free 0 || echo "exit status $?"
.venv/bin/python bench/stall.py "$disk/session.h5" "$dir/truth.ndjson"
