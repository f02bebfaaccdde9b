#!/usr/bin/env python3
"""inspect-frames and jitter-report on XDF against pyxdf, in turns, on the same files.

    bench/xdf.py --tools target/release [--mib 1000] [--rounds 3] [--keep FOLDER]

Two files of 161 x float32 at 200 Hz: in chunks of half a second, as LabRecorder writes them,
and one of a tenth of the size in chunks of one sample. pyxdf only loads them, with what it
does by default; the tools check, count and report. Medians of the rounds with the start of
the programs, and the highest memory.
"""
import argparse, os, statistics, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(__file__))
from report import run

WRITER = os.path.join(os.path.dirname(__file__), "../tests/python/xdf_write.py")
PEER = "import sys, pyxdf; pyxdf.load_xdf(sys.argv[1])"


def make(folder, mib, samples):
    path = f"{folder}/{samples}-{mib}.xdf"
    if not os.path.exists(path):
        # In a process of its own: those that we start later begin with our memory.
        subprocess.run([sys.executable, WRITER, "one", path, str(mib), str(samples)], check=True)
    return path


def compare(path, args):
    size = os.path.getsize(path) / 1e6
    sides = {
        "pyxdf": [sys.executable, "-c", PEER, path],
        "inspect-frames": [f"{args.tools}/inspect-frames", path],
        "jitter-report": [f"{args.tools}/jitter-report", "--jitter-fail", "1h", path],
    }
    measured = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            measured[name].append(run(command))
    medians = {name: statistics.median(s for s, _ in runs) for name, runs in measured.items()}
    for name, runs in measured.items():
        ratio = medians["pyxdf"] / medians[name]
        memory = max(mib for _, mib in runs)
        print(f"  {name:15} {medians[name]:6.2f} s {size / medians[name]:7.0f} MB/s {memory:6.0f} MiB"
              f"   {ratio:5.1f} times as fast as pyxdf")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", required=True)
    parser.add_argument("--mib", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", help="keep the files in this folder, and use them if they are there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for samples, mib in (100, args.mib), (1, max(args.mib // 10, 1)):
            path = make(args.keep or folder, mib, samples)
            print(f"{os.path.getsize(path) / 1e6:.0f} MB, samples in a chunk: {samples}")
            compare(path, args)


if __name__ == "__main__":
    main()
