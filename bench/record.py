"""The recorder that to-h5 is measured against: frames of a glove and their times with h5py.

    record.py bulk FRAMES OUT       whole blocks from memory, gzip 1: the fastest it can do
    record.py live OUT SECONDS      217 frames a second, as a Python recorder would
    record.py compare FRAMES TO_H5  both on the same frames in turns; prints the ratio
    record.py noisy FRAMES OUT AMP  the same frames, with noise of the sensors that are touched:
                                    how much it is decides how well they can be compressed
"""

import os
import statistics
import subprocess
import sys
import tempfile
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


def starts_of(raw):
    """Where the frames of a recording in the pipe's format begin."""
    view, at = raw.data, 0
    while at + 48 <= len(raw):
        if view[at + 4] == 3:
            yield at
        at += 48 + int.from_bytes(view[at + 8 : at + 12], "little")


def samples(source):
    """The frames of a recording, and their times."""
    raw = np.fromfile(source, "u1")
    records = np.lib.stride_tricks.sliding_window_view(raw, RECORD)[list(starts_of(raw))]
    times = records[:, 24:32].copy().view("<i8")[:, 0] / 1e9 + 1.76e9
    return np.ascontiguousarray(records[:, 48:]), times


def bulk(source, path):
    frames, times = samples(source)
    begin, cpu = time.perf_counter(), time.process_time()
    file, data, stamps = create(path)
    for at in range(0, len(frames), BLOCK):
        append(data, stamps, frames[at : at + BLOCK], times[at : at + BLOCK])
    file.close()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(f"{len(frames)} frames {wall:.3f} s {cpu:.3f} s CPU")
    return len(frames), wall


def compare(source, to_h5):
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        mine, its = f"{folder}/py.h5", f"{folder}/a.h5"
        for _ in range(5):
            n, wall = bulk(source, mine)
            theirs.append(n / wall)
            begin = time.perf_counter()
            cat = subprocess.Popen(["cat", source], stdout=subprocess.PIPE)
            subprocess.run([to_h5, "--force", its], stdin=cat.stdout, check=True)
            ours.append(n / (time.perf_counter() - begin))
        sizes = os.path.getsize(its) / os.path.getsize(mine)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"to-h5 {ours:.0f} frames/s, h5py {theirs:.0f}: {ours / theirs:.2f} times; "
          f"size {sizes:.3f} times")


def castagnoli():
    table = np.arange(256, dtype="u4")
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(0x82F63B78), np.uint32(0))
    return table


def crc32c(rows, table=castagnoli()):
    """Of each row of bytes, as four bytes."""
    crc = np.full(len(rows), 0xFFFFFFFF, "u4")
    for column in rows.T:
        crc = table[(crc ^ column) & 255] ^ (crc >> 8)
    return (~crc).astype("<u4").view("u1").reshape(-1, 4)


def noisy(source, path, amplitude):
    raw, rng = np.fromfile(source, "u1"), np.random.default_rng(5)
    starts = np.array(list(starts_of(raw)))
    for at in range(0, len(starts), 50_000):
        places = starts[at : at + 50_000, None] + np.arange(RECORD)
        records = raw[places]
        points = records[:, 48 : 48 + 256].astype("i2")
        noise = np.rint(rng.normal(0, amplitude / 2, points.shape)).astype("i2")
        records[:, 48 : 48 + 256] = np.clip(points + noise * (points > 0), 0, 255)
        records[:, 40:44] = crc32c(records[:, 48:])
        records[:, 44:48] = crc32c(records[:, :44])
        raw[places] = records
    raw.tofile(path)


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
    match what:
        case "bulk":
            bulk(*args)
        case "live":
            live(args[0], float(args[1]))
        case "compare":
            compare(*args)
        case "noisy":
            noisy(*args[:2], float(args[2]))
