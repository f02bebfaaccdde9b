"""merge-frames against what a user would do without it, on 20 files in the same run.

    merge.py SIM_SRC MERGE_FRAMES [RECORDS]

Records a second of merge-frames; of cat with the same bytes, which neither checks nor orders
them; and of heapq.merge over the project's Python reader, on a hundredth of them. Then the
memory of merge-frames at this size and at a tenth of it.
"""

import heapq
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../examples/python"))
import framepipe

INPUTS = 20


def make(sim_src, folder, records):
    files = [f"{folder}/{records}-{n}.frames" for n in range(INPUTS)]
    for file in files:
        with open(file, "wb") as out:
            line = [sim_src, "glove", "--rate", "max", "-n", str(records)]
            subprocess.run(line, stdout=out, check=True)
    return files


def run(command):
    """Seconds, CPU seconds and peak memory of a command whose output a cat throws away."""
    sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    busy, begin = os.times(), time.perf_counter()
    child, peak = subprocess.Popen(command, stdout=sink.stdin), 0
    while not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        # Not ru_maxrss, in which this interpreter would be counted too.
        with open(f"/proc/{child.pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        peak = max(peak, int(lines.get("VmHWM", "0 kB").split()[0]))
        time.sleep(0.005)
    assert child.wait() == 0, command
    wall, after = time.perf_counter() - begin, os.times()
    sink.stdin.close()
    used = after.children_user + after.children_system
    cpu = used - busy.children_user - busy.children_system
    sink.wait()
    return wall, cpu, peak


def in_python(files):
    def samples(file):
        with open(file, "rb") as source:
            for record in framepipe.read(source):
                if getattr(record, "kind", None) == framepipe.DATA:
                    yield record.time, record.payload
    begin = time.perf_counter()
    n = sum(1 for _ in heapq.merge(*map(samples, files), key=lambda sample: sample[0]))
    return n / (time.perf_counter() - begin)


def main(sim_src, merge_frames, records=100_000):
    with tempfile.TemporaryDirectory() as folder:
        large, small, few = (make(sim_src, folder, records // n) for n in (1, 10, 100))
        ours, cats, cpu = [], [], []
        for _ in range(5):
            wall, busy, peak = run([merge_frames, *large])
            ours.append(INPUTS * records / wall)
            cpu.append(INPUTS * records / busy)
            cats.append(INPUTS * records / run(["cat", *large])[0])
        tenth = run([merge_frames, *small])[2]
        python = in_python(few)
    ours, cats, cpu = map(statistics.median, (ours, cats, cpu))
    print(f"merge-frames {ours:12,.0f} records/s, {cpu:,.0f} for each second of CPU")
    print(f"cat          {cats:12,.0f} records/s, {cats / ours:.1f} times as many")
    print(f"heapq.merge  {python:12,.0f} records/s, 1/{ours / python:.0f} of ours")
    print(f"memory       {tenth} kB at {records // 10} records of each, {peak} kB at {records}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
