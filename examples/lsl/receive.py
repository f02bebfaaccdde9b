#!/usr/bin/env python3
"""Receive a stream of the Lab Streaming Layer: its channels, then its newest values.

    receive.py [NAME] [SECONDS]

For instance of a glove:

    capture-glove auto | calibrate-frames --unit kPa | to-lsl
    receive.py JQGlove
"""
import sys
import time

import numpy
from pylsl import StreamInlet, local_clock, proc_clocksync, resolve_byprop

name = sys.argv[1] if len(sys.argv) > 1 else "JQGlove"
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")

found = resolve_byprop("name", name, timeout=10)
if not found:
    sys.exit(f"nobody sends {name}")
# max_buflen is in seconds: what is not pulled for so long is overwritten here, unseen by
# the sender. Time stamps of another host are put on this one's clock.
inlet = StreamInlet(found[0], max_buflen=360, processing_flags=proc_clocksync)
info = inlet.info()

labels, units = [], []
channel = info.desc().child("channels").child("channel")
while not channel.empty():
    labels.append(channel.child_value("label"))
    units.append(channel.child_value("unit"))
    channel = channel.next_sibling("channel")
print(f"{info.name()} ({info.type()}) from {info.hostname()}: {info.channel_count()} channels "
      f"at {info.nominal_srate():g} Hz, source {info.source_id()}", flush=True)

count, shown, end = 0, time.monotonic(), time.monotonic() + seconds
while time.monotonic() < end:
    # All that has come; a time for each sample.
    samples, times = inlet.pull_chunk(timeout=0.2, max_samples=1024)
    count += len(times)
    if times and time.monotonic() - shown >= 1:
        shown = time.monotonic()
        newest = numpy.asarray(samples[-1], float)
        most = int(newest.argmax())
        label = labels[most] if labels else most
        unit = units[most] if units else ""
        late = 1e3 * (local_clock() - times[-1])
        print(f"{count} samples, {late:.1f} ms ago, most: {label} {newest[most]:g} {unit}",
              flush=True)
print(f"{count} samples")
