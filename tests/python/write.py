#!/usr/bin/env python3
"""Write a session of two streams with examples/python/framepipe.py to standard output.

usage: write.py [--gap] | inspect-frames
"""
import pathlib
import sys
import time

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples/python"))
import framepipe

PERIOD = 5_000_000


def main():
    gap = sys.argv[1:] == ["--gap"]
    if sys.argv[1:] and not gap:
        sys.exit(__doc__.strip())
    start = time.monotonic_ns()
    with framepipe.Writer(sys.stdout.buffer, name="write", meta={"subject": "7"}) as out:
        accel = out.stream("accel", media="samples", dtype="f32", shape=[3], rate=200.0)
        packets = out.stream("packets", media="bytes")
        out.event("begin")
        for first in range(0, 100, 10):
            index = np.arange(first, first + 10)
            out.batch(accel, np.sin(index[:, None] + [0.0, 0.1, 0.2]), start + index * PERIOD)
            out.sample(packets, b"packet" * (first // 10), at=start + first * PERIOD)
        out.sample(accel, [0.0, 0.5, 1.0], at=start + 100 * PERIOD)
        times = [start + 101 * PERIOD, start + 102 * PERIOD]
        out.batch(accel, np.zeros((2, 3)), times, device_times=[20_200, 20_400])
        if gap:
            out.gap(accel, 3, "device")
        out.sample(accel, [1.0, 0.5, 0.0])
        out.batch(packets, [b"", b"a", bytes(1000)], start + np.arange(3) * PERIOD)
        out.event("temperature", 36.6, accel)
        time.sleep(1.05)  # so that all is announced again
        out.event("end")


if __name__ == "__main__":
    main()
