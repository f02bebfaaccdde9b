"""to-osc against python-osc and against liblo in C, all to one UDP port, in turns.

    osc.py TOOLS OSC [ROUNDS]

TOOLS is the folder of the tools, OSC is bench/osc.c compiled. First floats a second, as fast
as each can, with a receiver that reads and with one that does not; figures of to-osc are of
the whole process, with the reading and checking of its input, less what a tenth of the input
takes, so that starting does not count. Then what arrives of 30 kHz in real time: of a Python
program that builds a message of each sample, and of to-osc.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient

TOOLS, OSC = sys.argv[1:3]
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
PORT = 27400
SHAPES = [(32, 50), (256, 50), (32, 1)]


def tool(name):
    return os.path.join(TOOLS, name)


class Ear:
    """The receiver: one that reads, or one whose buffer is full."""

    def __init__(self, way):
        command = [OSC, way, str(PORT)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout.readline() == "ready\n"

    def heard(self):
        time.sleep(0.1)
        self.child.send_signal(signal.SIGTERM)
        return [int(n) for n in self.child.communicate()[0].split()]


def record(path, channels, samples):
    """A file of samples in blocks of 480, as an acquisition system sends them."""
    source = f"'{tool('sim-src')}' ephys:channels={channels} -n {samples} --rate max"
    line = f"{source} | '{tool('batch-frames')}' -n 480 > '{path}'"
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True)


def python_sends(channels, samples, seconds):
    """Messages a second, and how many in all."""
    client = UDPClient("127.0.0.1", PORT)
    numbers = [float(n) for n in range(channels * samples)]
    address = "/data/sample" if samples == 1 else f"/data/batch/{samples}"
    sent, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        builder = OscMessageBuilder(address=address)
        if samples > 1:
            builder.add_arg(channels)
        for number in numbers:
            builder.add_arg(number, OscMessageBuilder.ARG_TYPE_FLOAT)
        client.send(builder.build())
        sent += 1
    return sent / elapsed, sent


def liblo_sends(channels, samples, seconds):
    command = [OSC, "liblo", PORT, channels, samples, seconds]
    text = subprocess.check_output([str(word) for word in command], text=True)
    sent, elapsed = text.split()
    return int(sent) / float(elapsed), int(sent)


def osc_takes(path, options):
    """Seconds, and messages."""
    command = [tool("to-osc"), "-v", f"udp://127.0.0.1:{PORT}", *options]
    with open(path, "rb") as file:
        begun = time.perf_counter()
        run = subprocess.run(
            command, stdin=file, check=True, stderr=subprocess.PIPE, text=True
        )
        return time.perf_counter() - begun, messages_of(run)


def messages_of(run):
    return int(run.stderr.split(" messages,")[0].split()[-1])


def options(layout, samples):
    batch = ["--batch", str(samples)] if samples > 1 else []
    return ["--layout", layout, "--mtu", "65507", "--pace", "0", *batch]


def compare(folder, way, shape):
    channels, samples = shape
    size = 1_200_000 if samples > 1 else 480_000
    files = []
    for part in (size // channels * 32, size // channels * 32 // 10):
        path = os.path.join(folder, f"{channels}-{part}.frames")
        if not os.path.exists(path):
            record(path, channels, part)
        files.append((path, part))
    layouts = ["batch", "bundle", "blob"] if samples > 1 else ["sample"]
    (long, most), (short, least) = files

    def ours(layout):
        time, sent = osc_takes(long, options(layout, samples))
        less, few = osc_takes(short, options(layout, samples))
        return (most - least) / samples / (time - less), sent + few

    senders = {
        "python-osc": lambda: python_sends(*shape, 0.5),
        "liblo in C": lambda: liblo_sends(*shape, 0.5),
        **{f"to-osc {layout}": lambda layout=layout: ours(layout) for layout in layouts},
    }
    rates, shares = {}, {}
    for _ in range(ROUNDS):
        for name, sends in senders.items():
            ear = Ear(way)
            rate, sent = sends()
            rates.setdefault(name, []).append(rate * channels * samples)
            shares.setdefault(name, []).append(ear.heard()[0] / sent)
    rates = {name: statistics.median(all) for name, all in rates.items()}
    for name, rate in rates.items():
        share = f", {statistics.median(shares[name]):.0%} arrive" if way == "hear" else ""
        python, liblo = rate / rates["python-osc"], rate / rates["liblo in C"]
        print(
            f"osc: {way}, {channels} ch x {samples}, {name}: {rate / 1e6:.2f} M floats/s, "
            f"{python:.1f} x python-osc, {liblo:.2f} x liblo{share}",
            flush=True,
        )


def compare_calls(size):
    """What it is worth to give the kernel many datagrams at once."""
    ear = Ear("hear")
    command = [OSC, "calls", str(PORT), str(size)]
    rounds = [subprocess.check_output(command, text=True).split() for _ in range(ROUNDS)]
    ear.heard()
    ways = zip(*rounds)
    send, sendmmsg, segments = (statistics.median(map(float, way)) / 1e3 for way in ways)
    print(
        f"osc: datagrams of {size} B, thousands a second: send {send:.0f}, "
        f"sendmmsg {sendmmsg:.0f}, UDP_SEGMENT {segments:.0f}",
        flush=True,
    )


def in_real_time(channels, mode):
    """The share of 30 kHz that arrives, by a message for each sample."""
    seconds, rate = 2, 30_000
    ear = Ear("hear")
    python = min(1.0, python_sends(channels, 1, seconds)[0] / rate)
    ear.heard()
    ear = Ear("hear")
    source = f"'{tool('sim-src')}' ephys:channels={channels} --rate {rate} -n {seconds * rate}"
    line = (
        f"{source} | '{tool('batch-frames')}' -n 480 | "
        f"'{tool('to-osc')}' udp://127.0.0.1:{PORT} --mode {mode} --mtu 65507"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True)
    datagrams, _ = ear.heard()
    share = datagrams / (seconds * rate)
    print(
        f"osc: {channels} ch at 30 kHz, a message a sample: "
        f"python-osc {python:.0%}, to-osc {share:.1%}",
        flush=True,
    )


def at_scale(channels, layout, mode):
    """The share of 30 kHz that arrives in a layout that scales."""
    seconds, rate = 3, 30_000
    ear = Ear("hear")
    source = f"'{tool('sim-src')}' ephys:channels={channels} --rate {rate} -n {seconds * rate}"
    line = (
        f"{source} | '{tool('batch-frames')}' -n 480 | '{tool('to-osc')}' -v "
        f"udp://127.0.0.1:{PORT} --layout {layout} --mode {mode}"
    )
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], check=True, stderr=subprocess.PIPE, text=True
    )
    sent = messages_of(run)
    datagrams, size = ear.heard()
    print(
        f"osc: {channels} ch at 30 kHz, {layout}, {mode}: {datagrams / sent:.2%} of "
        f"{sent} datagrams arrive, {size / seconds / 1e6:.1f} MB/s",
        flush=True,
    )


for size in (180, 1448, 8024):
    compare_calls(size)
with tempfile.TemporaryDirectory() as folder:
    for shape in SHAPES:
        for way in ("deaf", "hear"):
            compare(folder, way, shape)
for channels in (8, 16, 32, 64, 128):
    in_real_time(channels, "balanced")
for channels, mode in (
    (32, "low-latency"),
    (64, "balanced"),
    (128, "high-throughput"),
    (256, "high-throughput"),
    (512, "high-throughput"),
):
    for layout in ("bundle", "blob"):
        at_scale(channels, layout, mode)
