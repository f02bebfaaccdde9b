#!/usr/bin/env python3
"""Receive streams of LSL with pylsl, and say what came.

    lsl_receive.py NAME [NAME ...] [key=value ...]

Prints "ready" when all are open, then JSON by name: the description, values and times.
Options: seconds (how long nothing may come), limit (samples of all), pause (seconds that
nothing is pulled after "ready"), buffer (max_buflen), values=no (only counts and times, of float32),
recover=no.
"""
import json, os, sys, time
import numpy
import pylsl

names = [word for word in sys.argv[1:] if "=" not in word]
options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
seconds, limit = float(options.get("seconds", 2)), int(options.get("limit", 1 << 60))
buffer = int(options.get("buffer", 360))
FORMATS = ["", "float32", "double64", "string", "int32", "int16", "int8", "int64"]


def plain(value):
    return None if isinstance(value, float) and value != value else value


def described(info):
    channels, one = [], info.desc().child("channels").child("channel")
    while not one.empty():
        fields, child = {}, one.first_child()
        while not child.empty():
            fields[child.name()] = child.child_value()
            child = child.next_sibling()
        channels.append(fields)
        one = one.next_sibling("channel")
    acquisition = info.desc().child("acquisition")
    return {
        "name": info.name(), "type": info.type(), "channels": info.channel_count(),
        "format": FORMATS[info.channel_format()],
        "rate": info.nominal_srate(), "source_id": info.source_id(), "uid": info.uid(),
        "each": channels, "model": acquisition.child_value("model"),
    }


resolver = pylsl.ContinuousResolver()
found, deadline = {}, time.monotonic() + 20
while set(found) < set(names):
    if time.monotonic() > deadline:
        sys.exit(f"not found: {set(names) - set(found)}")
    time.sleep(0.02)
    found |= {info.name(): info for info in resolver.results() if info.name() in names}
del resolver
inlets = {}
for name, info in found.items():
    recover = options.get("recover") != "no"
    inlet = pylsl.StreamInlet(info, max_buflen=buffer, recover=recover)
    said = described(inlet.info(timeout=10))
    inlets[name] = (inlet, said, [], [])
for inlet, *_ in inlets.values():
    inlet.open_stream(timeout=10)
print("ready", flush=True)
time.sleep(float(options.get("pause", 0)))

came, last = 0, time.monotonic()
while came < limit and time.monotonic() - last < seconds:
    idle = True
    for inlet, said, values, times in inlets.values():
        try:
            room = None
            if options.get("values") == "no":
                room = numpy.zeros((4096, said["channels"]), numpy.float32)
            chunk, stamps = inlet.pull_chunk(timeout=0.0, max_samples=4096, dest_obj=room)
        except pylsl.util.LostError:
            said["lost"] = True
            continue
        if stamps:
            idle, last = False, time.monotonic()
            came += len(stamps)
            times += stamps
            if options.get("values") != "no":
                values += chunk
    if idle:
        time.sleep(0.002)
print(json.dumps({name: said | {"values": [[*map(plain, v)] for v in values],
                         "times": times, "count": len(times)}
                  for name, (_, said, values, times) in inlets.items()}), flush=True)
os._exit(0)
