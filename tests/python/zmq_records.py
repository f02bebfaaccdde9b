#!/usr/bin/env python3
"""Receive what to-zmq publishes, with libzmq, and say what it was.

    zmq_records.py ENDPOINT [OUT.frames] [key=value ...]

Each message must be one record in one part. Options: pause (seconds that nothing is read),
hwm, check=no (not the payloads' CRCs, which take long without the package crc32c), and
records (how many to take; until END if not given). Prints JSON.
"""
import io, json, pathlib, sys, time
import zmq

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "examples/python"))
import framepipe

endpoint, *rest = sys.argv[1:]
out = [item for item in rest if "=" not in item]
options = dict(item.split("=") for item in rest if "=" in item)
socket = zmq.Context().socket(zmq.SUB)
socket.rcvhwm, socket.rcvtimeo = int(options.get("hwm", 0)), 20_000
socket.subscribe(framepipe.MAGIC)
socket.connect(endpoint)
print("ready", flush=True)
time.sleep(float(options.get("pause", 0)))

said = {"kinds": [], "samples": {}, "missing": 0, "end": None, "order": []}
frames, described, following = bytearray(), {}, {}
while len(said["kinds"]) < int(options.get("records", 1 << 60)):
    try:
        parts = socket.recv_multipart()
    except zmq.Again:
        break
    assert len(parts) == 1, len(parts)
    if options.get("check") == "no":
        records = [framepipe.header(parts[0], 0)._replace(payload=parts[0][48:])]
    else:
        records = list(framepipe.read(io.BytesIO(parts[0])))
    assert len(records) == 1 and isinstance(records[0], framepipe.Record), records
    record, key = records[0], (records[0].session, records[0].stream)
    frames += parts[0]
    said["kinds"].append(record.kind)
    if record.kind == framepipe.STREAM:
        described[key] = record.message()
        following.setdefault(key, record.seq)
    elif record.kind in (framepipe.DATA, framepipe.BATCH):
        name = described[key]["name"]
        samples = record.samples(described[key])
        said["missing"] += max(0, record.seq - following[key])
        following[key] = record.seq + len(samples.seq)
        said["samples"][name] = said["samples"].get(name, 0) + len(samples.seq)
    elif record.kind == framepipe.SESSION:
        said["stages"] = [stage["name"] for stage in record.message()["stages"]]
    elif record.kind == framepipe.END:
        said["end"] = record.message()["reason"]
        break
if out:
    pathlib.Path(out[0]).write_bytes(frames)
said["first"], said["kinds"] = said["kinds"][:3], len(said["kinds"])
print(json.dumps(said), flush=True)
