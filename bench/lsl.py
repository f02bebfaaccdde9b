"""to-lsl against an outlet in C and against pylsl's, over the same liblsl, in turns.

    lsl.py TOOLS LSL [--live SECONDS] [--floor SECONDS] [--wide SECONDS] [--samples N] [--consumers N]

TOOLS is the folder of the tools, LSL is bench/lsl.c compiled. First 161 channels at 200 Hz to
three consumers: what is lost, how far time stamps are from the capture times in the records,
how long samples take, and the CPU time of the process that has the outlet (for to-lsl with the
reading and checking of its input). Then 512 channels at 2 kHz, and then samples a second as
fast as they go, as one consumer gets them.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

CONFIG = """[ports]
MulticastPort = 17700
BasePort = 17701
PortRange = 64
IPv6 = disable
[multicast]
ResolveScope = machine
[lab]
SessionID = framepipe-bench
[log]
level = -2
"""
HERE = pathlib.Path(__file__).resolve()


def receive(name, quiet):
    """Prints how many came, when by their stamps, and how late, once nothing more comes."""
    import numpy
    import pylsl

    found = pylsl.resolve_byprop("name", name, timeout=30)
    inlet = pylsl.StreamInlet(found[0], max_buflen=360)
    inlet.open_stream(timeout=10)
    # Its complaint that the sender has gone is no news.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    print("ready", flush=True)
    stamps, late, began, ended = [], [], 0.0, time.monotonic()
    # What waited in the pipe until all consumers were there is late by that.
    calm = ended + 2
    room = numpy.zeros((4096, found[0].channel_count()), numpy.float32)
    while time.monotonic() - ended < (8 if not stamps else quiet):
        # One at a time waits in liblsl for the next; a chunk takes what there is.
        if len(stamps) < 100_000 and quiet > 1.5:
            values, stamp = inlet.pull_sample(timeout=0.5)
            times = [stamp] if values is not None else []
        else:
            _, times = inlet.pull_chunk(timeout=0.0, max_samples=4096, dest_obj=room)
            if not times:
                time.sleep(0.0005)
        if times:
            now = pylsl.local_clock()
            began, ended = began or time.monotonic(), time.monotonic()
            stamps += times
            if ended > calm:
                late.append(now - times[0])
    seconds = ended - began
    print(json.dumps({"stamps": stamps, "late": late, "seconds": seconds}), flush=True)
    os._exit(0)


def pylsl_pushes(way, name, channels, samples, rate):
    """push_sample in real time or as fast as it goes, or push_chunk of 100."""
    import numpy
    import pylsl

    info = pylsl.StreamInfo(name, "Bench", channels, rate or 200, "float32", name)
    outlet = pylsl.StreamOutlet(info, 0, 360)
    outlet.wait_for_consumers(60)
    time.sleep(1)
    sample, chunk = [0.5] * channels, numpy.zeros((100, channels), numpy.float32)
    cpu, due = time.process_time(), time.monotonic()
    for at in range(0, samples, 100 if way == "chunk" else 1):
        if rate:
            due += 1 / rate
            time.sleep(max(0, due - time.monotonic()))
            outlet.push_sample(sample, pylsl.local_clock())
        elif way == "sample":
            outlet.push_sample(sample, 1000 + at / 200)
        else:
            outlet.push_chunk(chunk, 1000 + at / 200)
    time.sleep(0.2)
    print(f"{1e6 * (time.process_time() - cpu) / samples:.2f}", flush=True)
    time.sleep(1)
    os._exit(0)


def python(*words):
    command = [sys.executable, str(HERE), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def heard(receivers):
    for receiver in receivers:
        assert receiver.stdout.readline() == "ready\n"
    return [json.loads(receiver.stdout.readline()) for receiver in receivers]


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def tell(who, told, samples, cpu):
    lost = [samples - len(one["stamps"]) for one in told]
    late = [value for one in told for value in one["late"]]
    p50, p99 = (1e3 * quantile(late, share) for share in (0.5, 0.99))
    print(f"  {who:<12} lost {lost}, late p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
          f"CPU {cpu:.1f} us/sample")
    return p99


def cpu_of(pid):
    """CPU time of a process until now, in seconds, as clock_getcpuclockid(3) makes its clock."""
    return time.clock_gettime((~pid << 3) | 2)


def to_lsl_live(tools, folder, channels, rate, seconds, receivers):
    """Runs sim-src into to-lsl; keeps what to-lsl read, and tells its CPU time a sample."""
    kept = os.path.join(folder, "live.frames")
    source = [f"{tools}/sim-src", f"sine:channels={channels},rate={rate}",
              "-n", str(int(rate * seconds))]
    sink = [f"{tools}/to-lsl", "--wait-consumers", str(receivers), "--no-markers"]
    first = subprocess.Popen(source, stdout=subprocess.PIPE)
    middle = subprocess.Popen(["tee", kept], stdin=first.stdout, stdout=subprocess.PIPE)
    last = subprocess.Popen(sink, stdin=middle.stdout)
    first.stdout.close(), middle.stdout.close()
    readers = [python("receive", "sine", 2) for _ in range(receivers)]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    # Neither what came while it waited, nor its end.
    time.sleep(1)
    cpu, begun = cpu_of(last.pid), time.monotonic()
    time.sleep(max(0.5, seconds - 4))
    cpu, took = cpu_of(last.pid) - cpu, time.monotonic() - begun
    told = [json.loads(reader.stdout.readline()) for reader in readers]
    codes = [stage.wait() for stage in (first, middle, last)]
    assert codes == [0, 0, 0], codes
    return told, kept, 1e6 * cpu / (took * rate)


def captured(path):
    sys.path.insert(0, str(HERE.parent.parent / "examples/python"))
    import framepipe

    described, times = {}, []
    with open(path, "rb") as file:
        for record in framepipe.read(file):
            if not isinstance(record, framepipe.Record):
                continue
            if record.kind == framepipe.STREAM:
                described[record.stream] = record.message()
            elif record.kind in (framepipe.DATA, framepipe.BATCH):
                times += list(record.samples(described[record.stream]).time)
    return [int(time) / 1e9 for time in times]


def live(tools, lsl, folder, seconds, floor_seconds, consumers):
    samples = int(200 * seconds)
    print(f"161 x float32 at 200 Hz for {seconds} s to {consumers} consumers")
    told, kept, ours = to_lsl_live(tools, folder, 161, 200, seconds, consumers)
    p99 = tell("to-lsl", told, samples, ours)
    times = captured(kept)
    off = max(abs(a - b) for one in told for a, b in zip(one["stamps"], times))
    print(f"  {'':<12} stamps are at most {1e6 * off:.3f} us from the capture times")
    samples = int(200 * floor_seconds)
    outlet = subprocess.Popen([lsl, "live", "c", "161", "200", str(floor_seconds)],
                              stdout=subprocess.PIPE, text=True)
    told = heard([python("receive", "c", 2) for _ in range(consumers)])
    theirs = float(outlet.communicate()[0])
    floor = tell("C", told, samples, theirs)
    outlet = python("push", "sample", "p", 161, samples, 200)
    told = heard([python("receive", "p", 2) for _ in range(consumers)])
    floor = min(floor, tell("pylsl", told, samples, float(outlet.communicate()[0])))
    print(f"  p99 {p99 - floor:+.3f} ms over the floor, CPU {ours / theirs:.2f} x C")


def wide(tools, folder, seconds):
    print(f"512 x float32 at 2 kHz for {seconds} s to one consumer")
    samples = int(2000 * seconds)
    told, _, cpu = to_lsl_live(tools, folder, 512, 2000, seconds, 1)
    tell("to-lsl", told, samples, cpu)


def fast(tools, lsl, folder, samples):
    print("161 x float32 as fast as it goes, samples/s at one consumer")
    path = os.path.join(folder, "fast.frames")
    line = (f"'{tools}/sim-src' sine:channels=161,rate=200 -n {samples} --rate max "
            f"| '{tools}/batch-frames' -n 100 > '{path}'")
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True)

    def rate(start, name, samples=samples):
        outlet = start()
        told = heard([python("receive", name, 1)])[0]
        outlet.wait()
        print(f"  {len(told['stamps']) / told['seconds']:>12,.0f}  {name}, "
              f"lost {samples - len(told['stamps'])}")
        return len(told["stamps"]) / told["seconds"]

    with open(path, "rb") as file:
        command = [f"{tools}/to-lsl", "--wait-consumers", "1", "--no-markers",
                   "--lsl-name", "sine=to-lsl"]
        ours = rate(lambda: subprocess.Popen(command, stdin=file), "to-lsl")
    few = samples // 4
    single = rate(lambda: python("push", "sample", "push_sample", 161, few, 0), "push_sample", few)
    chunk = rate(lambda: python("push", "chunk", "push_chunk", 161, samples, 0), "push_chunk")
    in_c = [lsl, "burst", "C", "161", str(samples), "100"]
    rate(lambda: subprocess.Popen(in_c, stdout=subprocess.DEVNULL), "C")
    print(f"  {ours / single:.1f} x push_sample, {ours / chunk:.2f} x push_chunk")


def main():
    if sys.argv[1] == "receive":
        return receive(sys.argv[2], float(sys.argv[3]))
    if sys.argv[1] == "push":
        way, name, channels, samples, rate = sys.argv[2:]
        return pylsl_pushes(way, name, int(channels), int(samples), int(rate))
    parser = argparse.ArgumentParser()
    parser.add_argument("tools")
    parser.add_argument("lsl")
    parser.add_argument("--live", type=float, default=20)
    parser.add_argument("--floor", type=float, help="seconds for the peers of --live")
    parser.add_argument("--wide", type=float, default=10)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--consumers", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "lsl_api.cfg")
        pathlib.Path(config).write_text(CONFIG)
        os.environ["LSLAPICFG"] = config
        library = pathlib.Path(sys.prefix).glob("lib/python3*/site-packages/pylsl/lib/liblsl.so.2")
        os.environ["PYLSL_LIB"] = str(next(library))
        live(args.tools, args.lsl, folder, args.live, args.floor or args.live, args.consumers)
        wide(args.tools, folder, args.wide)
        fast(args.tools, args.lsl, folder, args.samples)


main()
