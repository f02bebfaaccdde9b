"""Whether records agree with what pyxdf finds in the file that they came from.

    … | xdf_compare.py FILE     records on stdin; prints the streams and samples, as JSON

Numbers are compared to the bit, texts and markers to the letter, times as they stand in the
file to 1 ns, and times with the clocks' offsets in between to what pyxdf fits through them.
"""

import json
import logging
import os
import sys

import numpy as np
import pyxdf

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../examples/python"))
import framepipe

# pyxdf draws a line through offsets that have some noise, on beyond the first and last; we go
# from one to the next.
FIT = 200e-6


def collect(source):
    """By the uid of each stream: its description, samples, events and clock offsets."""
    streams, uids = {}, {}
    for record in framepipe.read(source):
        kind, number = getattr(record, "kind", None), getattr(record, "stream", 0)
        if kind == framepipe.STREAM:
            keys = record.message()
            uids[number] = keys["meta"]["lsl.uid"]
            found = streams.setdefault(uids[number], {"samples": [], "events": [], "clock": []})
            found["keys"] = keys
        elif kind in (framepipe.DATA, framepipe.BATCH):
            found = streams[uids[number]]
            found["samples"].append(record.samples(found["keys"]))
        elif kind == framepipe.EVENT:
            streams[uids[number]]["events"].append((record.time, record.message()))
        elif kind == framepipe.CLOCK and number:
            message = record.message()
            if message["offset"] is not None:
                streams[uids[number]]["clock"].append((record.time, message["offset"]))
    return streams


def marker(event):
    value = event["value"]
    return event["label"] if value is None else f"{event['label']}={value}"


def check_values(theirs, ours, keys):
    if keys["media"] == "event":
        assert [row[0] for row in theirs] == [marker(event) for _, event in ours["events"]]
    elif keys["media"] == "text":
        texts = [value.decode() for part in ours["samples"] for value in part.values]
        if keys.get("format") == "json":
            assert theirs == [json.loads(text) for text in texts]
        else:
            assert [row[0] for row in theirs] == texts
    else:
        values = np.concatenate([part.values for part in ours["samples"]] or [np.empty((0, theirs.shape[1]))])
        assert values.shape == theirs.shape, (values.shape, theirs.shape)
        # As bytes where there are any: -0.0 and NaN count, too.
        assert values.astype(theirs.dtype).tobytes() == theirs.tobytes()


def times_of(ours, keys):
    if keys["media"] == "event":
        return np.array([time for time, _ in ours["events"]], "i8")
    return np.concatenate([part.time for part in ours["samples"]] or [np.empty(0, "i8")]).astype("i8")


def check_numbers(ours):
    numbers = [part.seq for part in ours["samples"]]
    if numbers:
        numbers = np.concatenate(numbers)
        assert (numbers == numbers[0] + np.arange(len(numbers), dtype="u8")).all()


def main(path):
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    streams = collect(sys.stdin.buffer)
    raw, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    synchronised, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    samples, worst = 0, 0.0
    for theirs, corrected in zip(raw, synchronised):
        ours = streams.pop(theirs["info"]["uid"][0])
        keys = ours["keys"]
        check_values(theirs["time_series"], ours, keys)
        check_numbers(ours)
        times = times_of(ours, keys)
        off = np.abs(times - np.round(theirs["time_stamps"] * 1e9).astype("i8"))
        assert not len(off) or off.max() <= 1, (keys["name"], off.max())
        samples += len(times)
        if len(times) and ours["clock"]:
            at, ahead = np.array(ours["clock"], float).T
            own = (times - np.interp(times, at, ahead)) / 1e9
            worst = max(worst, float(np.abs(own - corrected["time_stamps"]).max()))
    assert not streams, f"streams that are not in the file: {list(streams)}"
    assert worst < FIT, f"{worst} s beside pyxdf's times"
    print(json.dumps({"streams": len(raw), "samples": samples, "beside": worst}))


if __name__ == "__main__":
    main(*sys.argv[1:])
