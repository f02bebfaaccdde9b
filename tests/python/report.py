#!/usr/bin/env python3
"""What jitter-report must say of a recording, by numpy; and the recording as HDF5.

    report.py figures IN.frames IN.json  compares the figures of all intervals, to the last
                                         bit; prints how many streams had some
    report.py h5 IN.frames OUT.h5        the recording by the layout, without its samples
    report.py page REPORT.html           checks that the page is whole and needs nothing else
"""
import collections, html.parser, json, pathlib, re, sys
import xml.etree.ElementTree as xml
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "examples/python"))
import framepipe

TABLES = {framepipe.EVENT: "events", framepipe.GAP: "gaps", framepipe.CLOCK: "clock",
          framepipe.STATS: "stats"}


def records(path):
    with open(path, "rb") as file:
        for item in framepipe.read(file):
            if isinstance(item, framepipe.Record):
                yield item


def columns(path):
    """Time, number and device time of all samples of each stream, in the order they came."""
    described, parts = {}, collections.defaultdict(list)
    for record in records(path):
        if record.kind == framepipe.STREAM:
            described[record.stream] = record.message()
        elif record.kind in (framepipe.DATA, framepipe.BATCH):
            parts[record.stream].append(record.samples(described[record.stream]))
    for stream, samples in parts.items():
        joined = [np.concatenate([np.asarray(part[i]) for part in samples]) for i in range(3)]
        yield stream, described[stream]["name"], *joined


def figures(path, report):
    streams = json.loads(pathlib.Path(report).read_text())[0]["sessions"][0]["streams"]
    ours = {stream["name"]: stream["intervals"] for stream in streams}
    told = {}
    for _, name, _, time, _ in columns(path):
        intervals = np.diff(time)
        if not len(intervals):
            continue
        told[name] = {"count": len(intervals), "mean_ns": intervals.mean(),
                      "deviation_ns": intervals.std(), "min_ns": int(intervals.min()),
                      "max_ns": int(intervals.max())}
        for percent in (0.1, 1, 5, 50, 95, 99, 99.9):
            name_of = "p" + str(percent).replace(".", "_") + "_ns"
            told[name][name_of] = float(np.percentile(intervals, percent))
    for name, theirs in told.items():
        for figure, value in theirs.items():
            if figure == "deviation_ns":
                # numpy rounds each square; ours are exact to the last division.
                near = abs(ours[name][figure] - value) <= 1e-9 * value
            else:
                near = ours[name][figure] == value
            assert near, (name, figure, ours[name][figure], value)
    print(len(told))


def h5(path, out):
    import h5py

    rows, tables = collections.Counter(), collections.defaultdict(list)
    told, session, end, tag = collections.defaultdict(list), b"", None, 0
    for record in records(path):
        tag = record.session
        if record.kind == framepipe.SESSION:
            session = record.payload
        elif record.kind == framepipe.END:
            end = record.payload
        elif record.kind == framepipe.STREAM:
            seen = told[record.stream]
            if not seen or seen[-1][1] != record.payload:
                seen.append((rows[record.stream], record.payload))
        elif record.kind == framepipe.DATA:
            rows[record.stream] += 1
        elif record.kind == framepipe.BATCH:
            rows[record.stream] += int.from_bytes(record.payload[:4], "little")
        elif record.kind in TABLES:
            tables[TABLES[record.kind]].append((record, rows[record.stream]))
    as_bytes = lambda payload: np.frombuffer(payload, "u1")
    with h5py.File(out, "w") as file:
        file.attrs.update({"format": np.bytes_("framepipe-h5"), "format_version": np.int32(1),
                           "complete": np.int8(1), "journal": np.uint64(0)})
        group = file.create_group("session")
        group.attrs["tag"] = np.uint32(tag)
        group["payload"] = as_bytes(session)
        if end is not None:
            group["end"] = as_bytes(end)
        packed = dict(chunks=True, compression="gzip", compression_opts=1, shuffle=True)
        for stream, name, seq, time, device in columns(path):
            group = file.create_group(f"streams/{name}")
            group.attrs.update({"stream": np.int32(stream), "session": np.int32(1)})
            group.create_dataset("time_ns", data=time.astype("i8"), **packed)
            group.create_dataset("seq", data=seq.astype("u8"), **packed)
            if len(device):
                group.create_dataset("device_time", data=device.astype("u8"), **packed)
            add_payloads(group.create_group("descriptions"), told[stream])
        for name, entries in tables.items():
            group = file.create_group(name)
            add_payloads(group, [(row, record.payload) for record, row in entries])
            group["session"] = np.ones(len(entries), "i4")
            group["stream"] = np.array([record.stream for record, _ in entries], "i4")
            group["seq"] = np.array([record.seq for record, _ in entries], "u8")
            group["time_ns"] = np.array([record.time for record, _ in entries], "i8")


def add_payloads(group, entries):
    group["row"] = np.array([row for row, _ in entries], "u8")
    group["payload"] = np.frombuffer(b"".join(payload for _, payload in entries), "u1")
    group["payload_end"] = np.cumsum([len(payload) for _, payload in entries]).astype("u8")


class Page(html.parser.HTMLParser):
    """Checks that what is opened is closed, and that nothing is asked of a network."""

    VOID = {"meta", "link", "br", "hr", "img", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.viewport = [], collections.Counter(), ""

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert not {"src", "href", "xlink:href"} & attrs.keys(), (tag, attrs)
        self.seen[tag] += 1
        if tag == "meta" and attrs.get("name") == "viewport":
            self.viewport = attrs["content"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] += 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


def page(path):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    parser = Page()
    parser.feed(text)
    parser.close()
    assert parser.open == [], parser.open
    assert "width=device-width" in parser.viewport
    assert not parser.seen["script"] and not parser.seen["img"] and not parser.seen["link"]
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    assert "prefers-color-scheme: dark" in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.S)
    for drawing in drawings:
        tree = xml.fromstring(drawing)
        assert tree.get("aria-label") and tree.find("title") is not None
        assert "NaN" not in drawing and "inf" not in drawing
        _, _, width, height = map(float, tree.get("viewBox").split())
        for shape in tree.iter("rect"):
            x, y, w, h = (float(shape.get(key)) for key in ("x", "y", "width", "height"))
            assert 0 <= x <= width and x + w <= width + 2, drawing
            assert 0 <= y <= height and w >= 0 and h >= 0, drawing
    labels = [re.search('aria-label="([^"]*)"', drawing)[1] for drawing in drawings]
    json.dump({"drawings": labels, "tables": parser.seen["table"]}, sys.stdout)


if __name__ == "__main__":
    {"figures": figures, "h5": h5, "page": page}[sys.argv[1]](*sys.argv[2:])
