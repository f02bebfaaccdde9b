#!/usr/bin/env python3
"""Open Ephys to OSC at full rate, from the block's publication to its last datagram:

    bench/open_ephys.py [CHANNELS,… [SECONDS [OPTIONS of to-osc]]]

A simulated plugin publishes 30 kHz in blocks of 480 samples; zmq-src | to-osc send them to a
UDP receiver on loopback (bench/datagrams.c), whose socket has as large a buffer as any program
may ask for. Values tell which sample they are, so each is looked for by number. Beside it, in
the same run, what python-osc builds and sends of the same messages: 30 000 a second are asked
for.
"""
import json, os, signal, socket, subprocess, sys, tempfile, threading, time
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.environ.get("TOOLS") or os.path.join(
    os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
RATE = 30_000
ENTRY = np.dtype([("ns", "<i8"), ("length", "<u4"), ("tag", "<u4"), ("words", ">u4", 8)])
# The mode that is meant for so many channels.
MODES = {32: "low-latency", 64: "balanced"}


class Stage:
    """A process of the pipeline, and what it took."""

    def __init__(self, name, arguments, **pipes):
        self.name, self.memory = name, []
        self.process = subprocess.Popen([os.path.join(TOOLS, name), *arguments], **pipes)

    def look(self):
        try:
            with open(f"/proc/{self.process.pid}/statm") as file:
                self.memory.append(int(file.read().split()[1]) * 4096)
        except (OSError, IndexError):
            pass

    def wait(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime


def flow(channels, seconds, options):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        log, truth = (os.path.join(folder, name) for name in ("log", "truth"))
        receiver = subprocess.Popen([build(), "0", log], stdout=subprocess.PIPE, text=True)
        port = receiver.stdout.readline().strip()
        stages = start(channels, seconds, port, truth, options)
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(stages, over))
        watcher.start()
        for stage in stages:
            stage.wait()
        over.set()
        watcher.join()
        time.sleep(0.2)
        receiver.send_signal(signal.SIGTERM)
        counts = json.loads(receiver.communicate()[0])
        return report(channels, seconds, stages, counts, np.fromfile(log, ENTRY), truth)


def build():
    path = os.path.join(tempfile.gettempdir(), f"framepipe-datagrams-{os.getuid()}")
    subprocess.run(["cc", "-O2", "-o", path, os.path.join(ROOT, "bench/datagrams.c")], check=True)
    return path


def start(channels, seconds, port, truth, options):
    plugin = Stage("sim-device", ["open-ephys", "--port", "0", "--channels", str(channels),
        "--duration", f"{seconds}s", "--wait-for-client", "--truth", truth], stdout=subprocess.PIPE, text=True)
    endpoint = plugin.process.stdout.readline().split()[0]
    source = Stage("zmq-src", [endpoint, "--idle", "2s"], stdout=subprocess.PIPE)
    sink = Stage("to-osc", [f"udp://127.0.0.1:{port}", *options], stdin=source.process.stdout)
    source.process.stdout.close()
    return [plugin, source, sink]


def watch(stages, over):
    while not over.wait(1):
        for stage in stages:
            stage.look()


def report(channels, seconds, stages, counts, log, truth):
    blocks = [json.loads(line) for line in open(truth)]
    blocks = [block for block in blocks if block["what"] == "block" and block["sent"]]
    begin, end = blocks[0]["sample_num"], blocks[-1]["sample_num"] + blocks[-1]["n"]
    first, last = spans(log, begin)
    fine = (first >= begin) & (last < end)
    came = np.zeros(end - begin + 1, np.int64)
    np.add.at(came, first[fine] - begin, 1)
    np.add.at(came, last[fine] - begin + 1, -1)
    lost = int((np.cumsum(came)[:-1] <= 0).sum())
    arrived = np.zeros(end - begin, np.int64)
    np.maximum.at(arrived, last[fine] - begin, log["ns"][fine])
    starts = np.array([block["sample_num"] for block in blocks]) - begin
    published = np.array([block["published_ns"] for block in blocks])
    late = (np.maximum.reduceat(arrived, starts) - published) / 1e6
    p50, p99, most = np.percentile(late, [50, 99, 100])
    cpu = ", ".join(f"{stage.name} {100 * stage.cpu / seconds:.1f} %" for stage in stages)
    memory = ", ".join(growth(stage) for stage in stages[1:])
    print(f"{channels} channels: {end - begin} samples, {lost} lost; delay p50 {p50:.2f}, p99 {p99:.2f}, "
          f"max {most:.2f} ms\n  {counts['datagrams'] / seconds:.0f} datagrams/s, {counts['kernel_drops']} "
          f"dropped by the receiver's socket; {cpu} of a core; {memory}; "
          f"exit status {[stage.code for stage in stages]}", flush=True)


def growth(stage):
    """Resident memory after a third of the time, and at its end."""
    third, end = (stage.memory[len(stage.memory) // 3], stage.memory[-1]) if stage.memory else (0, 0)
    return f"{stage.name} {third / 2**20:.1f} then {end / 2**20:.1f} MiB"


def spans(log, begin):
    """The first and last sample of each datagram, by its own number or by its values."""
    words = log["words"]
    if log["tag"][0] == ord("i"):
        first = words[:, 0].astype(np.int64)
        samples = np.where(words[:, 1] < 65536, words[:, 1], words[:, 4]).astype(np.int64)
        return first + begin, first + begin + samples - 1
    # Layout "sample": the value of channel 0 tells which one it is, modulo 16384.
    values = np.ascontiguousarray(words[:, 0].astype(">u4")).view(">f4")
    short = (values / 1024).astype(np.int64)
    steps = np.diff(short, prepend=begin % 16384)
    steps = (steps + 8192) % 16384 - 8192
    first = begin + np.cumsum(steps)
    return first, first


def python_osc(channels, seconds=2):
    """Messages a second that python-osc builds and sends, one of all channels for a sample."""
    try:
        from pythonosc.osc_message_builder import OscMessageBuilder
    except ImportError:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        sink.bind(("127.0.0.1", 0))
        values, sent, begin = [float(n) for n in range(channels)], 0, time.monotonic()
        while time.monotonic() - begin < seconds:
            builder = OscMessageBuilder(address="/data/sample")
            for value in values:
                builder.add_arg(value, "f")
            out.sendto(builder.build().dgram, sink.getsockname())
            sent += 1
        return sent / (time.monotonic() - begin)


def main():
    counts = [int(n) for n in (sys.argv[1] if len(sys.argv) > 1 else "32,64,128,256,512").split(",")]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    for channels in counts:
        mode = MODES.get(channels, "high-throughput")
        print(f"{mode}: " if len(sys.argv) < 4 else f"{' '.join(sys.argv[3:])}: ", end="")
        flow(channels, seconds, sys.argv[3:] or ["--mode", mode])
        rate = python_osc(channels)
        print(f"  python-osc: {rate:.0f} messages/s, 1/{RATE / rate:.1f} of what is needed" if rate
              else "  python-osc is not installed", flush=True)


if __name__ == "__main__":
    main()
