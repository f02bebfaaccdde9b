"""What bench/stall.sh prints: the recording against what the device says it sent."""

import json
import sys

import h5py
import numpy as np

path, truth = sys.argv[1:]
with open(truth) as lines:
    sent = np.array([json.loads(line)["sent_ns"] for line in lines])
with h5py.File(path, "r") as file:
    times = file["streams/glove/time_ns"][:]
    gaps = len(file["gaps/first"])
    stats = {name: file["stats"][name][:] for name in file["stats"]}

print(f"frames: {len(sent)} sent, {len(times)} recorded, gaps told: {gaps}")
n = min(len(sent), len(times))
late = (times[:n] - sent[:n]) / 1e6
print(
    "capture time after the last byte was written, ms: "
    f"p50 {np.percentile(late, 50):.3f}, p99 {np.percentile(late, 99):.3f}, max {late.max():.3f}"
)
for stage in sorted(set(stats["stage"])):
    mine = {name: column[stats["stage"] == stage] for name, column in stats.items() if name != "payload"}
    span = mine["to_ns"][-1] - mine["to_ns"][0]
    core = (mine["cpu_ns"][-1] - mine["cpu_ns"][0]) / max(span, 1) * 100
    hop = mine["hop_p99_ns"][mine["hop_p99_ns"] > 0] / 1e6
    print(
        f"{stage.decode()}: {core:.2f} % of a core, {mine['rss_bytes'].max() / 2**20:.1f} MiB, "
        f"queue at most {mine['queue_bytes'].max()} bytes, dropped {mine['dropped'].sum()}, "
        f"hop p99 of each second, ms: median {np.median(hop):.3f}, worst {hop.max():.3f}"
    )
