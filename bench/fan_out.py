#!/usr/bin/env python3
"""What fan-out does for a capture that tee does not, and what it costs:

    bench/fan_out.py [FRAMES [ROUNDS]]

A glove at 200 Hz goes to a recorder, beside a branch that takes 20 ms for a frame and one
that is killed each second. How late each frame comes to the recorder is the time at which it
reads it, less the time at which it was captured, after the first second. Then the same bytes go through as fast as
they may. All shapes run in turns; only figures of one run can be compared.
"""
import json, os, struct, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.environ.get("TOOLS") or os.path.join(
    os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
SELF = f"{sys.executable} {os.path.abspath(__file__)}"
HEADER = struct.Struct("<4sBBHIIQqqII")
DATA = 3


def probe():
    """The recorder: counts frames, and how late each comes."""
    late, buffer = [], b""
    while chunk := os.read(0, 1 << 16):
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        buffer += chunk
        at = 0
        while len(buffer) - at >= HEADER.size:
            _, kind, _, _, length, _, _, captured, *_ = HEADER.unpack_from(buffer, at)
            if len(buffer) - at < HEADER.size + length:
                break
            if kind == DATA:
                late.append(now - captured)
            at += HEADER.size + length
        buffer = buffer[at:]
    # The first second is that of the processes' own start.
    frames, late = len(late), sorted(late[200:])
    share = lambda part: late[min(int(part * len(late)), len(late) - 1)] / 1e6 if late else None
    print(json.dumps({"frames": frames, "p50": share(.5), "p99": share(.99), "max": share(1)}))


def slow():
    """A branch that takes 20 ms for a frame."""
    with open(0, "rb", buffering=0) as pipe:
        while len(header := pipe.read(HEADER.size)) == HEADER.size:
            _, kind, _, _, length, *_ = HEADER.unpack(header)
            while length > 0 and (part := pipe.read(length)):
                length -= len(part)
            time.sleep(0.02 if kind == DATA else 0)


def latency(frames, rounds):
    dies = "timeout -s KILL 1 cat > /dev/null"
    source = f"sim-src glove --rate 200 -n {frames} -q"
    recorder = f"{SELF} probe > $OUT"
    others = f"--may 'slow={SELF} slow' --may 'dies={dies}' --restart unlimited --grace 1s -q"
    shapes = {
        "no branches": f"{source} | {recorder}",
        "fan-out, recorder alone": f"{source} | fan-out --must '{recorder}' > /dev/null",
        "fan-out, slow and dying": f"{source} | fan-out --must '{recorder}' {others} > /dev/null",
        "tee, slow and dying": f"{source} | tee >({SELF} slow > /dev/null) >({dies}) | {recorder}",
        "tee -p, slow and dying": f"{source} | tee -p >({SELF} slow > /dev/null) >({dies}) | {recorder}",
    }
    print(f"glove at 200 Hz, {frames} frames; ms from capture to the recorder's read")
    print(f"{'':26}{'frames':>8}{'p50':>11}{'p99':>11}{'max':>11}{'seconds':>9}")
    for _ in range(rounds):
        for name, line in shapes.items():
            got, seconds = run(line)
            got = json.loads(got or '{"frames": 0, "p50": null, "p99": null, "max": null}')
            ms = "".join(f"{got[key]:11.3f}" if got[key] is not None else f"{'-':>11}"
                         for key in ("p50", "p99", "max"))
            print(f"{name:26}{got['frames']:8}{ms}{seconds:9.1f}", flush=True)


def throughput(rounds):
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in [("320 B records", "glove -n 1000000"),
                           ("1 MiB records", "camera:format=gray,size=1024x1024 -n 300")]:
            path = os.path.join(folder, "x.frames")
            run(f"sim-src {spec} --rate max > {path}")
            size = os.path.getsize(path)
            print(f"\n{name}, {size >> 20} MiB from a file to N readers; MB/s of input")
            for readers in (1, 3):
                musts = " ".join(["--must 'cat > /dev/null'"] * readers)
                pipes = " ".join([">(cat > /dev/null)"] * readers)
                best = {}
                for _ in range(max(rounds, 3)):
                    for shape, line in [("fan-out", f"fan-out {musts} < {path} > /dev/null"),
                                        ("tee", f"tee {pipes} < {path} > /dev/null")]:
                        # bash waits for process substitutions only if told to.
                        _, seconds = run(line + "; wait")
                        best[shape] = max(best.get(shape, 0), size / seconds / 1e6)
                print(f"{readers} readers: " + ", ".join(f"{k} {v:.0f}" for k, v in best.items()))


def run(line):
    """What a bash pipeline leaves in $OUT, and how long it took."""
    with tempfile.NamedTemporaryFile() as out:
        env = {**os.environ, "OUT": out.name, "PATH": TOOLS + ":" + os.environ["PATH"]}
        begin = time.monotonic()
        subprocess.run(["bash", "-c", line], env=env, stderr=subprocess.DEVNULL, check=False)
        seconds = time.monotonic() - begin
        return out.read().decode(), seconds


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["probe"]:
            probe()
        case ["slow"]:
            slow()
        case numbers:
            frames, rounds = (list(map(int, numbers)) + [2000, 1][len(numbers):])[:2]
            latency(frames, rounds)
            throughput(rounds)
