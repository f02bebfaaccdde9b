#!/usr/bin/env python3
"""Check that examples/python/framepipe.py finds in the vectors what they say.

usage: vectors.py ROOT        (the root of the repository)
"""
import io
import json
import pathlib
import struct
import sys
import warnings

NAMES = "SESSION STREAM DATA BATCH GAP CLOCK EVENT STATS END".split()


def portable(value):
    """JSON as the vectors have it: whole numbers over 53 bits as texts."""
    if isinstance(value, dict):
        return {key: portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [portable(item) for item in value]
    big = isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53
    return str(value) if big else value


def state_payload(record):
    typed = 1 <= record.kind <= 9 and record.kind not in (3, 4)
    if not typed and record.length <= 64:
        return {"payload_hex": record.payload.hex()}
    stated = {"payload_len": record.length, "payload_crc32c": f"{record.payload_crc:08x}"}
    if typed:
        stated["payload"] = portable(record.message())
    return stated


def state_samples(record, description):
    try:
        samples = record.samples(description)
    except ValueError:
        return None
    stated = []
    for row, value in enumerate(samples.values):
        plain = value if isinstance(value, bytes) else value.tobytes()
        one = {"seq": str(samples.seq[row]), "time": str(samples.time[row]), "hex": plain.hex()}
        if len(samples.device_time):
            one["device_time"] = str(samples.device_time[row])
        stated.append(one)
    return stated


def state(framepipe, frames):
    """The records and damages in the form of the vectors."""
    records, damages, descriptions = [], [], {}
    for item in framepipe.read(io.BytesIO(frames), limit=64 << 20):
        if isinstance(item, framepipe.Damage):
            # Of a header of another version, only its magic and CRC are known.
            known = item.record is not None and item.record.version == 1
            stated = {"offset": item.offset, "bytes": item.bytes, "cause": item.cause}
            damages.append({**stated, "header": known})
            continue
        known = 1 <= item.kind <= 9
        stated = {
            "kind": NAMES[item.kind - 1] if known else item.kind,
            "flags": item.flags,
            "stream": item.stream,
            "session": f"{item.session:08x}",
            "seq": str(item.seq),
            "time": str(item.time),
            "sent": str(item.sent),
            **state_payload(item),
        }
        key = (item.session, item.stream)
        if item.kind == framepipe.STREAM:
            descriptions[key] = item.message()
        if item.kind in (framepipe.DATA, framepipe.BATCH) and key in descriptions:
            stated["samples"] = state_samples(item, descriptions[key])
        records.append(stated)
    return {"records": records, "damage": damages}


def differences(expected, found):
    for part in ("records", "damage"):
        for index in range(max(len(expected[part]), len(found[part]))):
            pair = [side[part][index : index + 1] for side in (expected, found)]
            if pair[0] != pair[1]:
                yield f"  {part} {index}:\n    expected {pair[0]}\n    found    {pair[1]}"


def check_totals(framepipe, expected, frames):
    """The accounts, of streams that are described and of one session."""
    if len(expected["totals"]) != 1:
        return
    streams = framepipe.load(io.BytesIO(frames))
    (totals,) = expected["totals"].values()
    names = {
        (record["stream"], record["payload"]["name"])
        for record in expected["records"]
        if record["kind"] == "STREAM"
    }
    for number, name in names:
        wanted = {key: int(totals[str(number)][key]) for key in ("samples", "lost", "duplicates")}
        found = {key: getattr(streams[name], key) for key in wanted}
        if found != wanted:
            yield f"  stream {number}:\n    expected {wanted}\n    found    {found}"


def check(framepipe, path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    frames = path.read_bytes()
    try:
        yield from differences(expected, state(framepipe, frames))
        must_stop = path.stem in ("must-know", "version")
        try:
            yield from check_totals(framepipe, expected, frames)
            stopped = False
        except NotImplementedError:
            stopped = True
        if stopped != must_stop:
            yield f"  load must {'' if must_stop else 'not '}stop"
    except (LookupError, TypeError, ValueError, struct.error) as error:
        yield f"  {error!r}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    root = pathlib.Path(sys.argv[1])
    sys.path.insert(0, str(root / "examples/python"))
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")  # of damage, which is meant to be there
    import framepipe

    vectors = sorted((root / "tests/vectors").glob("*/*.frames"))
    wrong = 0
    for path in vectors:
        found = list(check(framepipe, path))
        wrong += bool(found)
        if found:
            print(f"{path.relative_to(root)}:", *found, sep="\n")
    if wrong or not vectors:
        sys.exit(f"{wrong} of {len(vectors)} vectors are read otherwise")
    print(f"{len(vectors)} vectors ok")


if __name__ == "__main__":
    main()
