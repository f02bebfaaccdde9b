"""An LSL outlet that does as it is told, and writes down what it has sent.

Samples have their own times, at the rate. It waits for a consumer before the first and
lingers after the last, so that whatever does not arrive was lost by who should have read it.
Each line of the log is a sample: [bits of its time, values]. 'ready' on stdout: the outlet is
there.
"""

import argparse
import json
import struct
import sys
import time

import pylsl

FORMATS = {
    "float32": pylsl.cf_float32,
    "double64": pylsl.cf_double64,
    "string": pylsl.cf_string,
    "int32": pylsl.cf_int32,
    "int16": pylsl.cf_int16,
    "int8": pylsl.cf_int8,
    "int64": pylsl.cf_int64,
}
LIMITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}


def value(form, n, channel):
    """A value that no neighbour has, up to the ends of the format."""
    if form == "string":
        texts = ["", "é", "x" * 300, "a=%d" % n, "n%d.%d" % (n, channel)]
        return texts[(n + channel) % len(texts)]
    if form in LIMITS:
        top = 1 << LIMITS[form]
        ends = {0: -top, 1: top - 1}
        return ends.get(n, (n * 131 + channel * 7) % (2 * top) - top)
    number = n * 1.5 + channel / 8
    return struct.unpack("<f", struct.pack("<f", number))[0] if form == "float32" else number


def bits(number):
    return struct.unpack("<Q", struct.pack("<d", number))[0]


def outlet(args, channels):
    info = pylsl.StreamInfo(
        args.name, args.type, channels, args.rate, FORMATS[args.format], args.source_id
    )
    if args.labels:
        all_channels = info.desc().append_child("channels")
        for channel in range(channels):
            one = all_channels.append_child("channel")
            one.append_child_value("label", "c%d" % channel)
            one.append_child_value("unit", "uV")
    return pylsl.StreamOutlet(info)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="Test")
    parser.add_argument("--type", default="EEG")
    parser.add_argument("--format", default="float32", choices=FORMATS)
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--pace", type=float, help="samples a second to push, if not the rate")
    parser.add_argument("--source-id", default="")
    parser.add_argument("-n", type=int, default=100, help="samples of each run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.1, help="between two runs")
    parser.add_argument("--more-channels", type=int, default=0, help="in each further run")
    parser.add_argument("--jump", type=float, default=0.0, help="of the times, with each run")
    parser.add_argument("--follow", action="store_true", help="times go on over restarts")
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--linger", type=float, default=0.5)
    parser.add_argument("--now", action="store_true", help="wait for no consumer")
    parser.add_argument("--stamp", action="store_true", help="times are those of pushing")
    parser.add_argument("--log")
    args = parser.parse_args()
    log = open(args.log, "w", buffering=1) if args.log else None
    period = 1.0 / (args.rate or args.pace or 100.0)
    pause = 1.0 / args.pace if args.pace else period
    at, number, channels = pylsl.local_clock(), 0, args.channels
    for run in range(args.runs):
        sender = outlet(args, channels)
        print("ready", flush=True)
        while not args.now and not sender.wait_for_consumers(60):
            sys.exit("nobody came")
        if not args.follow:
            at = pylsl.local_clock() + args.jump * run * (-1) ** run
        begun = time.monotonic()
        for n in range(args.n):
            stamp = pylsl.local_clock() if args.stamp else at
            sample = [value(args.format, number, channel) for channel in range(channels)]
            sender.push_sample(sample, stamp)
            if log:
                log.write(json.dumps([bits(stamp), sample]) + "\n")
            at, number = at + period, number + 1
            time.sleep(max(0.0, begun + (n + 1) * pause - time.monotonic()))
        time.sleep(args.linger)
        del sender
        channels += args.more_channels
        if run + 1 < args.runs:
            time.sleep(args.pause)


main()
