#!/usr/bin/env python3
"""Read and write framepipe records, format version 1 (see framepipe(5)), with numpy.

    imu = framepipe.load("run.frames")["imu"]; print(imu.time, imu.values, imu.lost)
    with framepipe.Writer("out.frames", meta={"subject": "7"}) as out:
        out.sample(out.stream("imu", media="samples", dtype="f32", shape=[3]), [0.1, 0.2, 9.8])
"""
import collections, contextlib, io, json, math, secrets, socket, struct, sys, time, types, warnings
import numpy as np

SESSION, STREAM, DATA, BATCH, GAP, CLOCK, EVENT, STATS, END = KINDS = range(1, 10)
MAGIC, HEADER = b"\xd5FP1", struct.Struct("<BBHIIQqqI")  # HEADER: from kind to payload_crc
DTYPES = {n: f"<{n[0]}{int(n[1:]) // 8}" for n in "u8 i8 u16 i16 u32 i32 u64 i64 f32 f64".split()}
CODES = "B H I B H I f d B H I Q b h i q 2s 3s 5s 9s 17s B H I H I H I".split()  # of tags from C4
MALFORMED = (ValueError, LookupError, TypeError, OverflowError, RecursionError, struct.error)
Damage = collections.namedtuple("Damage", "offset bytes cause record")  # record: or None
Samples = collections.namedtuple("Samples", "seq time device_time values")  # arrays
TABLE = range(256)
for _ in range(8): TABLE = [crc >> 1 ^ (crc & 1) * 0x82F63B78 for crc in TABLE]

def crc32c(data, crc=0xFFFFFFFF):
    for byte in data: crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
with contextlib.suppress(ImportError): from crc32c import crc32c  # the same, but faster
def unpack(file):  # the MessagePack value that comes next; keys of maps become texts
    take = lambda code: struct.unpack(">" + code, file.read(struct.calcsize(">" + code)))[0]
    tag = take("B")
    if tag < 0x80 or tag >= 0xE0: return tag if tag < 0x80 else tag - 256
    if 0xC0 <= tag < 0xC4: return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
    size = take(CODES[tag - 0xC4]) if tag >= 0xC4 else tag & (31 if tag >= 0xA0 else 15)
    if tag < 0x90 or tag > 0xDD: return {str(unpack(file)): unpack(file) for _ in range(size)}
    if tag < 0xA0 or tag > 0xDB: return [unpack(file) for _ in range(size)]
    if tag < 0xC0 or tag > 0xD8: return take(f"{size}s").decode(errors="replace")
    return size if tag >= 0xCA else take(f"{size + (tag >= 0xC7)}s")
def pack(item):  # of None, int, float, str, list and dict
    if item is None: return b"\xc0"
    if isinstance(item, int): return struct.pack(">Bq", 0xD3, item)
    if isinstance(item, float): return struct.pack(">Bd", 0xCB, item)
    if isinstance(item, str): return struct.pack(">BI", 0xDB, len(item.encode())) + item.encode()
    tag, parts = (0xDD, item) if isinstance(item, list) else (0xDF, sum(item.items(), ()))
    return struct.pack(">BI", tag, len(item)) + b"".join(map(pack, parts))
def fixed_size(keys):  # the bytes of each sample of a STREAM with these keys; None if they vary
    coded = keys.get("format") in ("MJPG", "JPEG", "H264", "HEVC", "PNG")
    if keys.get("dtype") and keys.get("media") in ("samples", "image")[:2 - coded]:
        return math.prod(keys.get("shape", []), start=int(DTYPES[keys["dtype"]][-1]))

class Record(collections.namedtuple("Record", "version kind flags stream length session seq time"
                                    " sent payload_crc offset payload cause")):
    def message(self):  # fails with one of MALFORMED, as samples() does
        return dict(unpack(io.BytesIO(self.payload)))
    def samples(self, keys):  # of a DATA or BATCH, by the message of STREAM
        file, size, batch = io.BytesIO(self.payload), fixed_size(keys), self.kind == BATCH
        count = int.from_bytes(file.read(8)[:4], "little") if batch else 1
        table = lambda code: np.frombuffer(file.read(count * int(code[-1])), code, count)
        times = self.time + (table("<i8") if batch else np.zeros(1, "<i8"))
        device = table("<u8") if self.flags & 1 else np.empty(0, "<u8")
        if size is not None: sizes = [size] * count
        else: sizes = table("<u4").tolist() if batch else [self.length - file.tell()]
        if not self.stream or self.length < 8 * batch or sum(sizes) != self.length - file.tell():
            raise ValueError("samples of stream 0, or not as long as they should be")
        values = np.fromiter(map(file.read, sizes), object, count)
        if size is not None: values = np.ndarray((count, *keys.get("shape", [])),
                                                 DTYPES[keys["dtype"]], b"".join(values))
        return Samples(np.uint64(self.seq) + np.arange(count, dtype="u8"), times, device, values)

def header(data, at, limit=2**32):  # the Record whose header holds there, without its payload
    raw = bytes(data[at:at + 48])
    held = len(raw) == 48 and raw[:3] == MAGIC[:3] and raw[3:4].isdigit()
    if held and crc32c(raw[:44]) == int.from_bytes(raw[44:], "little"):
        record = Record(raw[3] - 48, *HEADER.unpack(raw[4:44]), 0, b"", "")
        return record if record.version != 1 or record.length <= limit else None
def records_at_end(payload, sessions):  # where records of these sessions begin that fill its end
    first = payload.find(MAGIC)
    while first >= 0:
        last = end = first
        while (found := header(payload, end)) and found.version == 1 and found.session in sessions:
            last, end = end, end + 48 + found.length
        if end == len(payload): return first
        first = payload.find(MAGIC, last + 1)
    return len(payload)

def read(source, limit=24 << 20):
    """The Records and Damages of a path or buffered binary file, as they come."""
    src, buffer, offset = source if hasattr(source, "read") else open(source, "rb"), bytearray(), 0
    def have(size):
        while len(buffer) < size and (chunk := src.read1(1 << 18)): buffer.extend(chunk)
        return len(buffer) >= size
    while have(1):
        record, payload, cause, end, at = have(48) and header(buffer, 0), b"", "payload", None, 1
        if not record:
            late = offset == 0 and sum(map(int.__eq__, buffer, MAGIC)) < min(3, len(buffer))
            cause = "late" if late else "header" if len(buffer) >= 48 else "truncated"
        elif record.version != 1: cause = "version"
        elif record.length > limit: cause = "too-long"
        elif not have(size := 48 + record.length): cause = "truncated"
        elif crc32c(payload := buffer[48:size]) == record.payload_crc: cause, end = "", size
        elif after := have(size + 48) and header(buffer, size) or size == len(buffer) and record:
            other = after if after.version == 1 else record
            end = 48 + records_at_end(payload, (record.session, other.session))
        while end is None and have(at + 3):  # search for the next header
            if (at := buffer.find(MAGIC[:3], at)) < 0: at = len(buffer) - 2
            elif have(at + 48) and header(buffer, at, limit): end = at
            else: at += 1
        damage = Damage(offset, end or len(buffer), cause, record)
        yield damage if cause else record._replace(offset=offset, payload=bytes(payload))
        del buffer[:damage.bytes]
        offset += damage.bytes

def load(source):
    """The streams by name, as their Samples and counts; what comes before STREAM is left out."""
    streams, running = {}, {}
    for item in read(source):
        try:
            if item.cause: raise (ValueError, NotImplementedError)[item.cause == "version"](item)
            session, end = running.setdefault(item.session, {}), item.seq
            stream = session.get(item.stream)
            if item.kind == STREAM and not stream:
                if (name := item.message()["name"]) in streams: name += f" {item.session:08x}"
                stream = streams[name] = session[item.stream] = types.SimpleNamespace(
                    keys=item.message(), first=end, next=end, parts=[], broke_off=True)
            elif item.kind == STREAM: stream.keys = item.message()
            elif item.kind == END:
                ends = {entry["stream"]: entry["next"] for entry in item.message()["streams"]}
                for number, each in running.pop(item.session).items():
                    each.next, each.broke_off = max(each.next, ends.get(number, 0)), False
            elif item.kind in (DATA, BATCH) and stream:
                stream.parts.append(item.samples(stream.keys))
                end += len(stream.parts[-1].seq)
            elif item.kind == GAP: end = item.message()["first"] + item.message()["count"]
            elif item.kind not in KINDS and item.flags & 128: raise NotImplementedError(item.kind)
            if stream and item.kind in KINDS: stream.next = max(stream.next, end)
        except MALFORMED as error: warnings.warn(f"at byte {item.offset}: {error!r}")
    for stream in streams.values():
        columns = [np.concatenate(parts) for parts in zip(*stream.parts)] or [np.empty(0)] * 4
        order = np.unique(columns[0], return_index=True)[1]
        whole = (each[order] if len(each) == len(columns[0]) else None for each in columns)
        vars(stream).update(zip(Samples._fields, whole), samples=len(order),
                            duplicates=len(columns[0]) - len(order),
                            lost=stream.next - stream.first - len(order))
    return streams

class Writer(contextlib.AbstractContextManager):
    """A session in a path or binary file; END follows unless an error leaves the with block."""
    def __init__(self, file, name="python", meta=None):
        self._file = file if hasattr(file, "write") else open(file, "wb")
        self._session, self._streams, self._stage, self._due = secrets.randbits(32), {}, name, None
        self._about = {"uuid": secrets.token_hex(16), "host": socket.gethostname(),
                       "stages": [{"name": name, "command": sys.argv}], "meta": meta or {},
                       "start_realtime": time.time_ns(), "start_monotonic": time.monotonic_ns()}
    def __exit__(self, error, *_):
        totals = [{"stream": number, "first": 0, "next": each.next, "lost": each.lost,
                   "samples": each.next - each.lost} for number, each in self._streams.items()]
        if error in (None, KeyboardInterrupt):
            self._write(END, 0, {"streams": totals, "reason": "signal" if error else "end"})
    def _write(self, kind, number, payload, at=None, flags=0):
        if self._due is None or time.monotonic_ns() >= self._due:  # announce everything again
            first, self._due = self._due is None, time.monotonic_ns() + 10**9
            self._write(SESSION, 0, self._about, self._about["start_monotonic"] if first else None)
            self._write(CLOCK, 0, {"monotonic": time.monotonic_ns(), "realtime": time.time_ns()})
            for each, stream in self._streams.items(): self._write(STREAM, each, stream.keys)
        payload = payload if isinstance(payload, bytes) else pack(payload)
        now, seq = time.monotonic_ns(), self._streams[number].next if number else 0
        start = MAGIC + HEADER.pack(kind, flags, number, len(payload), self._session, seq,
                                    now if at is None else at, now, crc32c(payload))
        self._file.write(start + struct.pack("<I", crc32c(start)) + payload)
        self._file.flush()
    def stream(self, name, **keys):  # announces it, with keys of STREAM; its number
        number, keys = len(self._streams) + 1, {"name": name, **keys}
        self._streams[number] = types.SimpleNamespace(keys=keys, next=0, lost=0)
        self._write(STREAM, number, keys)
        return number
    def sample(self, number, value, at=None):
        self.batch(number, [value], [time.monotonic_ns() if at is None else at])
    def batch(self, number, values, times, device_times=None):
        stream, times = self._streams[number], np.asarray(times, "<i8")
        data = [struct.pack("<II", len(times), 0), times - times[0]]
        if device_times is not None: data.append(np.asarray(device_times, "<u8"))
        if fixed_size(stream.keys) is None: data += [np.array([*map(len, values)], "<u4"), *values]
        else: data.append(np.asarray(values, DTYPES[stream.keys["dtype"]]))
        self._write(BATCH, number, b"".join(data), times[0], device_times is not None)
        stream.next += len(times)
    def event(self, label, value=None, number=0, at=None):
        self._write(EVENT, number, {"label": label, "value": value}, at)
    def gap(self, number, count, reason="device"):
        stream = self._streams[number]
        gap = {"first": stream.next, "count": count, "reason": reason, "stage": self._stage}
        stream.next, stream.lost = stream.next + (count or 0), stream.lost + (count or 0)
        self._write(GAP, number, gap)

if __name__ == "__main__":
    source = sys.stdin.buffer if sys.argv[-1] == "-" else sys.argv[-1]
    for item in read(source) if "--json" in sys.argv else ():
        print(json.dumps({"damage": dict(zip(Damage._fields, item[:3]))} if item.cause else {
            "kind": item.kind, "flags": item.flags, "stream": item.stream, "seq": str(item.seq),
            "session": f"{item.session:08x}", "time": str(item.time), "sent": str(item.sent),
            "payload_len": item.length, "payload_crc32c": item.payload_crc}))
    streams = {} if "--json" in sys.argv else load(source)
    for name, each in streams.items():
        print(f"{name}: {each.samples} samples, {each.lost} lost, {each.duplicates} twice")
    sys.exit(any(each.lost or each.broke_off for each in streams.values()))
