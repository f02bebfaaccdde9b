"""What h5py finds in a recording.

    recording.py tree FILE      every group, dataset and attribute as JSON; fails on types
                                that MATLAB cannot read
    recording.py frames FILE    whether the frames of `the_frame` are whole, as JSON
    recording.py rows FILE      how many frames there are in what a crash left
    recording.py ledger FILE    which numbers are missing, and who lost them by the table of
                                gaps, as JSON
"""

import collections
import json
import sys

import h5py
import numpy as np


def plain(value):
    """An attribute or a dataset's content for JSON."""
    if isinstance(value, np.ndarray):
        if value.size > 2000:
            value = value[:10]
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def check_type(name, kind):
    """Only numbers and texts of fixed length: no references, enums, tables, variable length."""
    fixed = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
    text = kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str()
    assert fixed or text, f"{name}: {kind}"


def node(name, item):
    attrs = {}
    for key in item.attrs:
        check_type(f"{name}@{key}", item.attrs.get_id(key).get_type())
        attrs[key] = plain(item.attrs[key])
    found = {"attrs": attrs}
    if isinstance(item, h5py.Dataset):
        check_type(name, item.id.get_type())
        found |= {"shape": item.shape, "dtype": item.dtype.str, "chunks": item.chunks}
        found["value"] = plain(item[...])
    return found


def tree(path):
    found = {}
    with h5py.File(path, "r") as file:
        found["/"] = node("/", file)
        file.visititems(lambda name, item: found.update({name: node(name, item)}))
        for link in ("sensor_data", "timestamps", "sensor_mapping"):
            if link in file:
                found[link] = node(link, file[link])
    return found


def the_frame(seq):
    """The 272 bytes that the test sends as a sample, for each number."""
    return ((seq.astype(np.int64)[:, None] * 31 + np.arange(272) * 7) >> 2 & 0xFF).astype(np.uint8)


def frames(path):
    for _ in range(10):
        found = frames_now(path)
        # In a growing file there may be a commit between two columns.
        if found["complete"] or len(found["lengths"]) == 1:
            break
    return found


def frames_now(path):
    with h5py.File(path, "r") as file:
        if "streams/frames" not in file:
            return {"complete": int(file.attrs["complete"]), "rows": 0, "lengths": [0],
                    "in_order": True, "altered": 0, "times": True, "stamps": True,
                    "event_rows": []}
        group = file["streams/frames"]
        seq, time = group["seq"][...], group["time_ns"][...]
        data, stamps = group["data"][...], group["timestamps"][...]
        session = file["session"].attrs
        offset = session["start_realtime_ns"] - session["start_monotonic_ns"]
        lengths = {len(seq), len(time), len(data), len(stamps)}
        if len(lengths) > 1:
            return {"complete": int(file.attrs["complete"]), "lengths": sorted(lengths)}
        wrong = int((data != the_frame(seq)).any(axis=1).sum()) if len(seq) else 0
        return {
            "complete": int(file.attrs["complete"]),
            "lengths": sorted(lengths),
            "rows": len(seq),
            "in_order": bool((seq == np.arange(len(seq))).all()),
            "altered": wrong,
            "times": bool((time == seq.astype(np.int64) * 1_000_000).all()),
            "stamps": bool((np.abs(stamps - (time + offset) / 1e9) < 1e-6).all()),
            "event_rows": [int(row) for row in file["events/row"][...]],
        }


def rows(path):
    try:
        with h5py.File(path, "r") as file:
            return len(file["streams/frames/seq"])
    except (OSError, KeyError):
        return 0


def ledger(path):
    with h5py.File(path, "r") as file:
        end = json.loads(file["session"].attrs["end_json"])["streams"]
        totals = {of["stream"]: range(of["first"], of["next"]) for of in end}
        columns = [file[f"gaps/{name}"][...].tolist() for name in
                   ("stream", "first", "count", "reason", "stage")]
        gaps = list(zip(*columns))
        # Whoever owns up goes before who only noticed.
        gaps.sort(key=lambda gap: gap[3] in (b"upstream", b"unknown"))
        lost, numbered, by = 0, 0, collections.Counter()
        for group in file["streams"].values():
            number = int(group.attrs["stream"])
            missing = set(totals[number]) - set(group["seq"][...].tolist())
            lost, numbered = lost + len(missing), numbered + len(totals[number])
            for stream, first, count, reason, stage in gaps:
                owned = missing & set(range(first, first + max(count, 0)))
                if stream == number and owned:
                    by[f"{reason.decode()} {stage.decode()}"] += len(owned)
                    missing -= owned
            if missing:
                by["nobody"] += len(missing)
        return {"numbered": numbered, "lost": lost, "by": by}


def main():
    what, path = sys.argv[1:]
    print(json.dumps({"tree": tree, "frames": frames, "rows": rows, "ledger": ledger}[what](path)))


if __name__ == "__main__":
    main()
