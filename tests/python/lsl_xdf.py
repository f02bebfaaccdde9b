"""Compares a recording in XDF, as pyxdf reads it, with what an outlet says it has sent."""

import json
import struct
import sys

import pyxdf

file, name, log = sys.argv[1:]
streams, _ = pyxdf.load_xdf(file, synchronize_clocks=False, dejitter_timestamps=False)
[stream] = [one for one in streams if one["info"]["name"] == [name]]
sent = [json.loads(line) for line in open(log)]
times, values = stream["time_stamps"], stream["time_series"]
assert len(times) == len(values) == len(sent), (len(times), len(sent))
for n, (bits, numbers) in enumerate(sent):
    [time] = struct.unpack("<d", struct.pack("<Q", bits))
    assert abs(times[n] - time) < 1e-9, (n, times[n], time)
    assert list(map(float, values[n])) == numbers, (n, values[n], numbers)
offsets = stream["footer"]["info"]["clock_offsets"][0]["offset"]
assert offsets, "no clock offset"
print(len(sent), "samples are the same,", len(offsets), "clock offsets")
