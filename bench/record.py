"""The recorder that to-h5 is measured against: frames of a glove and their times with h5py.

    record.py bulk FRAMES OUT    whole blocks from memory, gzip 1: the fastest h5py can do
    record.py live OUT SECONDS   217 frames a second, as a Python recorder would
"""

import sys
import time

import h5py
import numpy as np

FRAME = 272
RECORD = 48 + FRAME
BLOCK = 1000


def create(path):
    file = h5py.File(path, "w")
    data = file.create_dataset(
        "sensor_data", (0, FRAME), "u1", maxshape=(None, FRAME), chunks=(BLOCK, FRAME),
        compression="gzip", compression_opts=1,
    )
    stamps = file.create_dataset(
        "timestamps", (0,), "f8", maxshape=(None,), chunks=(BLOCK,),
        compression="gzip", compression_opts=1,
    )
    return file, data, stamps


def append(data, stamps, frames, times):
    rows = len(data)
    data.resize(rows + len(frames), axis=0)
    stamps.resize(rows + len(frames), axis=0)
    data[rows:], stamps[rows:] = frames, times


def bulk(source, path):
    raw = np.fromfile(source, "u1")
    # What is before the first sample and after the last is no multiple of a record.
    start = raw.tobytes().find(b"\xd5FP1\x03")
    n = (len(raw) - start) // RECORD
    records = raw[start : start + n * RECORD].reshape(n, RECORD)
    records = records[records[:, 4] == 3]
    frames = np.ascontiguousarray(records[:, 48:])
    times = records[:, 24:32].copy().view("<i8")[:, 0] / 1e9 + 1.76e9
    begin, cpu = time.perf_counter(), time.process_time()
    file, data, stamps = create(path)
    for at in range(0, len(frames), BLOCK):
        append(data, stamps, frames[at : at + BLOCK], times[at : at + BLOCK])
    file.close()
    print(f"{len(frames)} frames {time.perf_counter() - begin:.3f} s {time.process_time() - cpu:.3f} s CPU")


def live(path, seconds):
    file, data, stamps = create(path)
    rng = np.random.default_rng(1)
    frames, times, last = [], [], time.monotonic()
    end = last + seconds
    while time.monotonic() < end:
        time.sleep(max(0, last + 1 / 217 - time.monotonic()))
        last += 1 / 217
        frames.append(rng.integers(0, 4, FRAME).astype("u1"))
        times.append(time.time())
        if len(frames) == 217:
            append(data, stamps, np.stack(frames), times)
            file.flush()
            frames, times = [], []
    file.close()


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    bulk(*args) if what == "bulk" else live(args[0], float(args[1]))
