"""XDF as LabRecorder writes it, for tests and benches: other code than ours.

    xdf_write.py lab FILE [SECONDS]     a laboratory: two hosts, every format, late streams
    xdf_write.py small FILE             a few hundred bytes, to be cut at every one of them
    xdf_write.py one FILE MIB SAMPLES   one stream, 161 x float32 at 200 Hz, in chunks of so
                                        many samples
    xdf_write.py wide FILE MIB          one string after another, and chunks of many MiB

Samples go to the file in chunks of half a second, their count in 4 bytes, each with a time
unless it is the one before and an interval; a boundary each 10 s, a clock offset for each
stream each 5 s, headers before all samples and footers behind them.
"""

import struct
import sys

import numpy as np

BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
HEADER, STREAM, SAMPLES, OFFSET, MARK, FOOTER = range(1, 7)
FORMATS = {"float32": "<f4", "double64": "<f8", "int64": "<i8", "int32": "<i4", "int16": "<i2",
           "int8": "i1"}


class Writer:
    """Chunks into a file."""

    def __init__(self, path, datetime="2026-11-20T21:15:00+0100"):
        self.file = open(path, "wb")
        self.file.write(b"XDF:")
        xml = f'<?xml version="1.0"?><info><version>1.0</version><datetime>{datetime}</datetime></info>'
        self.chunk(HEADER, xml.encode())

    def chunk(self, tag, content, stream=None):
        head = struct.pack("<H", tag) + (b"" if stream is None else struct.pack("<I", stream))
        length = len(head) + len(content)
        # As LabRecorder chooses: one byte where that is enough, else four, else eight.
        size = struct.pack("<BB", 1, length) if length < 256 else struct.pack("<BI", 4, length)
        self.file.write(size + head + content)

    def boundary(self):
        self.chunk(MARK, BOUNDARY)


class Stream:
    """A stream of a host whose clock is `ahead` of the recorder's, and runs off by `ppm`."""

    def __init__(self, writer, number, name, kind, channels, form, rate, host="rig-a", ahead=0.0,
                 ppm=0.0, desc=""):
        self.writer, self.number, self.rate, self.form = writer, number, rate, form
        self.channels, self.ahead, self.ppm = channels, ahead, ppm
        self.count, self.first, self.last, self.offsets = 0, 0.0, 0.0, []
        xml = (f'<?xml version="1.0"?>\n<info>\n\t<name>{name}</name>\n\t<type>{kind}</type>\n'
               f"\t<channel_count>{channels}</channel_count>\n"
               f"\t<channel_format>{form}</channel_format>\n"
               f"\t<source_id>{name}-{host}</source_id>\n"
               f"\t<nominal_srate>{rate:.15f}</nominal_srate>\n"
               f"\t<version>1.100000000000000</version>\n\t<created_at>12.5</created_at>\n"
               f"\t<uid>{number:08x}-0000</uid>\n\t<session_id>default</session_id>\n"
               f"\t<hostname>{host}</hostname>\n\t<v4address />\n\t<v4data_port>16572</v4data_port>\n"
               f"\t<desc>{desc}</desc>\n</info>\n")
        writer.chunk(STREAM, xml.encode(), number)

    def on_host(self, time):
        """A time of the recorder on the stream's own clock."""
        return time * (1 + self.ppm * 1e-6) + self.ahead

    def samples(self, times, values, deduce=True):
        """One chunk; `times` on the stream's own clock."""
        parts, interval = [struct.pack("<BI", 4, len(times))], 1 / self.rate if self.rate else 0.0
        for time, value in zip(times, values):
            known = deduce and self.rate and self.count and time == self.last + interval
            parts.append(b"\x00" if known else struct.pack("<Bd", 8, time))
            parts.append(self.bytes_of(value))
            self.first = self.first if self.count else time
            self.last, self.count = time, self.count + 1
        self.writer.chunk(SAMPLES, b"".join(parts), self.number)

    def bytes_of(self, value):
        if self.form != "string":
            return np.asarray(value).astype(FORMATS[self.form]).tobytes()
        out = b""
        for text in value:
            text = text.encode()
            short = len(text) < 256
            out += (struct.pack("<BB", 1, len(text)) if short else struct.pack("<BI", 4, len(text))) + text
        return out

    def offset(self, time, noise=0.0):
        """As LabRecorder collects it at a time of its own clock."""
        value = time - self.on_host(time) + noise
        self.offsets.append((time - value, value))
        self.writer.chunk(OFFSET, struct.pack("<dd", time - value, value), self.number)

    def footer(self, count=None):
        offsets = "".join(f"<offset><time>{t!r}</time><value>{v!r}</value></offset>" for t, v in self.offsets)
        xml = (f'<?xml version="1.0"?><info><first_timestamp>{self.first!r}</first_timestamp>'
               f"<last_timestamp>{self.last!r}</last_timestamp>"
               f"<sample_count>{self.count if count is None else count}</sample_count>"
               f"<clock_offsets>{offsets}</clock_offsets></info>")
        self.writer.chunk(FOOTER, xml.encode(), self.number)


def values_of(stream, rng, n):
    if stream.form == "string":
        words = ["", "go", "stop=3", "ütf-8 ✓", "x" * 300]
        return [[words[(stream.count + i + c) % 5] for c in range(stream.channels)] for i in range(n)]
    if stream.form.startswith("int"):
        limits = np.iinfo(FORMATS[stream.form])
        return rng.integers(limits.min, limits.max, (n, stream.channels), FORMATS[stream.form][1:] if
                            stream.form != "int8" else "i1", endpoint=True)
    return rng.standard_normal((n, stream.channels))


def lab(path, seconds=21.0):
    """Streams of two hosts; one begins late, one never, one is irregular, two share a name."""
    rng, writer, start = np.random.default_rng(7), Writer(path), 5000.0
    channels = "".join(f"<channel><label>E{i}</label><unit>microvolts</unit><type>EEG</type></channel>"
                       for i in range(8))
    desc = (f"<channels>{channels}</channels><acquisition><manufacturer>ACME</manufacturer>"
            "<model>Amp</model><serial_number>0042</serial_number></acquisition>")
    far = {"host": "rig-b", "ahead": 86400.5, "ppm": 20.0}
    late = {3: 4.0, 7: 9.0}
    streams = [
        Stream(writer, 1, "EEG", "EEG", 8, "float32", 500, desc=desc),
        Stream(writer, 2, "EEG", "EEG", 3, "double64", 250, **far),
        Stream(writer, 3, "Late", "Count", 2, "int64", 100, **far),
        Stream(writer, 4, "Markers", "Markers", 1, "string", 0),
        Stream(writer, 5, "Notes", "Text", 2, "string", 0, **far),
        Stream(writer, 6, "Loose", "Mocap", 4, "int32", 0),
        Stream(writer, 7, "Small", "Data", 1, "int16", 50),
        Stream(writer, 9, "Tiny", "Data", 2, "int8", 20),
        Stream(writer, 12, "Silent", "Data", 2, "int8", 20),
    ]
    ends = {s.number: start + late.get(s.number, 0.0) for s in streams}
    for half in range(int(seconds * 2)):
        now = start + (half + 1) * 0.5
        for stream in streams[:-1]:
            pace = stream.rate or 7.0
            times = []
            while ends[stream.number] < now:
                jitter = rng.random() * 1e-4 if (stream.count + len(times)) % 3 == 0 else 0.0
                own = stream.on_host(ends[stream.number])
                # Two of three are exactly an interval behind the one before, and need no time.
                before = times[-1] if times else stream.last
                exact = stream.rate and jitter == 0.0 and before
                times.append(before + 1 / stream.rate if exact else own + jitter)
                ends[stream.number] += 1 / pace
            if times:
                stream.samples(times, values_of(stream, rng, len(times)))
        if half % 10 == 9:
            for stream in streams:
                stream.offset(now, rng.standard_normal() * 1e-5)
        if half % 20 == 19:
            writer.boundary()
    for stream in streams:
        stream.footer()


def small(path):
    """Two streams, a few chunks each, boundaries between."""
    writer = Writer(path)
    numbers = Stream(writer, 1, "N", "Data", 2, "int16", 100)
    texts = Stream(writer, 2, "M", "Markers", 1, "string", 0)
    for part in range(4):
        times = [100.0 + part * 0.05 + i * 0.01 for i in range(5)]
        numbers.samples(times, [[part * 5 + i, -i] for i in range(5)], deduce=False)
        texts.samples([100.0 + part * 0.05], [[f"part={part}"]])
        if part == 1:
            numbers.offset(100.2)
        writer.boundary()
    numbers.footer()
    texts.footer()


def one(path, mib, samples):
    """One stream, as fast as a disk takes it."""
    mib, samples, channels, rate = int(mib), int(samples), 161, 200
    rng, writer = np.random.default_rng(1), Writer(path)
    label = "".join(f"<channel><label>C{i}</label><unit>kPa</unit></channel>" for i in range(channels))
    stream = Stream(writer, 1, "JQGlove", "Pressure", channels, "float32", rate,
                    desc=f"<channels>{label}</channels>")
    rows = np.zeros(samples, np.dtype([("has", "u1"), ("time", "<f8"), ("values", "<f4", channels)]))
    rows["has"], rows["values"] = 8, rng.standard_normal((samples, channels))
    head, next_offset, next_boundary = struct.pack("<BI", 4, samples), 1005.0, 1010.0
    while writer.file.tell() < mib << 20:
        times = 1000.0 + (stream.count + np.arange(samples)) / rate + rng.random(samples) * 1e-4
        rows["time"] = np.maximum(times, stream.last + 1e-5)
        writer.chunk(SAMPLES, head + rows.tobytes(), 1)
        stream.first = stream.first or float(rows["time"][0])
        stream.count, stream.last = stream.count + samples, float(rows["time"][-1])
        if stream.last >= next_offset:
            stream.offset(stream.last, rng.standard_normal() * 1e-5)
            next_offset += 5.0
        if stream.last >= next_boundary:
            writer.boundary()
            next_boundary += 10.0
    stream.footer()


def wide(path, mib):
    """Chunks of 20 MiB: numbers, and strings of 64 KiB."""
    writer = Writer(path)
    numbers = Stream(writer, 1, "numbers", "Data", 4, "float32", 1000)
    texts = Stream(writer, 2, "texts", "Text", 1, "string", 1)
    while writer.file.tell() < int(mib) << 20:
        n = 800_000
        rows = np.zeros(n, np.dtype([("has", "u1"), ("values", "<f4", 4)]))
        content = struct.pack("<BI", 4, n) + rows.tobytes()
        writer.chunk(SAMPLES, content, 1)
        numbers.count += n
        texts.samples([float(texts.count + i + 1) for i in range(200)], [["y" * 65536]] * 200, deduce=False)
        writer.boundary()
    numbers.footer()
    texts.footer()


if __name__ == "__main__":
    scenario, arguments = sys.argv[1], sys.argv[2:]
    {"lab": lambda path, seconds=21.0: lab(path, float(seconds)), "small": small, "one": one,
     "wide": wide}[scenario](*arguments)
