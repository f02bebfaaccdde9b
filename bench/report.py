#!/usr/bin/env python3
"""Measure jitter-report's whole report against h5py and numpy's mean, deviation, maximum and p99.

    bench/report.py --tool target/release/jitter-report [--rows 18748800] [--rounds 5]

Both read the same recording, made here by the layout of framepipe-h5(5), in turns. The peer
computes four figures of the intervals and nothing else; the start of Python and its imports is
given apart. What is printed is the median of the rounds, and the highest memory.
"""
import argparse, multiprocessing, os, pathlib, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "examples/python"))

PEER = """
import sys, time
began = time.perf_counter()
import h5py, numpy as np
imported = time.perf_counter()
with h5py.File(sys.argv[1], "r") as file:
    intervals = np.diff(file["streams/glove/" + sys.argv[2]][:])
print(intervals.mean(), intervals.std(), intervals.max(), np.percentile(intervals, 99))
print(time.perf_counter() - imported, imported - began, file=sys.stderr)
"""
IMPORTS = "import h5py, numpy"


def make(path, rows, device_clock):
    """A glove at 217 Hz with the jitter of a serial port, without its pressures."""
    import framepipe, h5py
    import numpy as np

    rng = np.random.default_rng(1)
    start = 10**13
    time_ns = start + (np.arange(rows) * (1e9 / 217)).astype("i8")
    time_ns += rng.gamma(2.0, 50e3, rows).astype("i8")
    time_ns = np.maximum.accumulate(time_ns)
    session = {"uuid": "bench", "host": "bench", "start_monotonic": start,
               "start_realtime": 17 * 10**17, "stages": [{"name": "bench"}]}
    stream = {"name": "glove", "media": "samples", "dtype": "u8", "shape": [272], "rate": 217.0}
    totals = {"stream": 1, "first": 0, "next": rows, "samples": rows, "lost": 0}
    if device_clock:
        stream["device_clock"] = {"rate": 1e6, "bits": 32}
    end = {"streams": [totals], "reason": "duration"}
    as_bytes = lambda message: np.frombuffer(framepipe.pack(message), "u1")
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": np.bytes_("framepipe-h5"), "format_version": np.int32(1),
                           "complete": np.int8(1), "journal": np.uint64(0)})
        group = file.create_group("session")
        group.attrs["tag"] = np.uint32(7)
        group["payload"], group["end"] = as_bytes(session), as_bytes(end)
        group = file.create_group("streams/glove")
        group.attrs.update({"stream": np.int32(1), "session": np.int32(1)})
        columns = {"time_ns": time_ns, "seq": np.arange(rows, dtype="u8"),
                   "timestamps": (time_ns - start + 17 * 10**17) / 1e9}
        if device_clock:
            true = np.arange(rows) * (1e6 / 217) * (1 + 35e-6)
            columns["device_time"] = true.astype("u8") % 2**32
        for name, column in columns.items():
            group.create_dataset(name, data=column, chunks=(16384,), shuffle=True,
                                 compression="gzip", compression_opts=1)
        told = file.create_group("streams/glove/descriptions")
        told["row"], told["payload"] = np.zeros(1, "u8"), as_bytes(stream)
        told["payload_end"] = np.array([len(as_bytes(stream))], "u8")


def run(command):
    """Seconds, and the most resident memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: {process.returncode}: {told.decode()}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True)
    parser.add_argument("--rows", type=int, default=18_748_800, help="24 h at 217 Hz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device-clock", action="store_true", help="with device times too")
    parser.add_argument("--keep", help="keep the recording here, and use it if it is there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or f"{folder}/day.h5"
        if not os.path.exists(path):
            # In a process of its own: those that we start later begin with our memory.
            maker = multiprocessing.Process(target=make, args=(path, args.rows, args.device_clock))
            maker.start()
            maker.join()
        compare(path, args)


def compare(path, args):
    html = ["--html", f"{path}.html"]
    sides = {
        "jitter-report, text": [args.tool, path],
        "jitter-report, text and HTML": [args.tool, path, *html],
        "h5py + numpy, time_ns": [sys.executable, "-c", PEER, path, "time_ns"],
        "h5py + numpy, timestamps": [sys.executable, "-c", PEER, path, "timestamps"],
        "Python and its imports alone": [sys.executable, "-c", IMPORTS],
    }
    measured = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            measured[name].append(run(command))
    os.remove(f"{path}.html")
    medians = {name: statistics.median(s for s, _ in runs) for name, runs in measured.items()}
    for name, runs in measured.items():
        print(f"{name:30} {medians[name]:6.2f} s {max(m for _, m in runs):7.0f} MiB")
    peer = medians["h5py + numpy, time_ns"] - medians["Python and its imports alone"]
    ratio = peer / medians["jitter-report, text"]
    print(f"the whole report is {ratio:.2f} times as fast as the peer's four figures without imports")


if __name__ == "__main__":
    main()
