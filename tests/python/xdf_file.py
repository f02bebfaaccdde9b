#!/usr/bin/env python3
"""What pyxdf finds in a file, as JSON: values, and times before and after synchronisation.

With `walk`, only whether it can be read at all, and how many samples there are by stream."""

import json
import logging
import sys

import numpy as np
import pyxdf

logging.disable(logging.CRITICAL)


def first(info, name):
    found = info.get(name)
    return found[0] if found else None


def load(path, synchronize):
    streams, header = pyxdf.load_xdf(
        path, synchronize_clocks=synchronize, dejitter_timestamps=False
    )
    return {s["info"]["stream_id"]: s for s in streams}, header


def plain(values):
    return values.tolist() if isinstance(values, np.ndarray) else values


def stream(number, raw, synced):
    info = raw["info"]
    footer = (raw.get("footer") or {}).get("info", {})
    return {
        "xdf": number,
        "name": first(info, "name"),
        "type": first(info, "type"),
        "format": first(info, "channel_format"),
        "channels": int(first(info, "channel_count")),
        "rate": float(first(info, "nominal_srate")),
        "source_id": first(info, "source_id"),
        "desc": first(info, "desc"),
        "values": plain(raw["time_series"]),
        "dtype": str(getattr(raw["time_series"], "dtype", "list")),
        "times": [float(t) for t in raw["time_stamps"]],
        "synced": [float(t) for t in synced["time_stamps"]],
        "offsets": [list(pair) for pair in zip(raw["clock_times"], raw["clock_values"])],
        "footer": int(footer["sample_count"][0]) if "sample_count" in footer else None,
        "span": [float(footer[k][0]) for k in ("first_timestamp", "last_timestamp") if k in footer],
    }


def main():
    what, path = sys.argv[1:]
    try:
        raw, header = load(path, False)
    except Exception as err:  # what a cut or damaged file does to pyxdf is what we want to know
        if what != "walk":
            raise
        print(json.dumps({"error": f"{type(err).__name__}: {err}"}))
        return
    if what == "walk":
        counts = {first(s["info"], "name"): len(s["time_stamps"]) for s in raw.values()}
        print(json.dumps({"counts": counts}))
        return
    synced, _ = load(path, True)
    streams = [stream(number, raw[number], synced[number]) for number in sorted(raw)]
    print(json.dumps({"header": header["info"], "streams": streams}))


main()
