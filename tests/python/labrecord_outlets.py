"""Outlets for labrecord: NAME:TYPE:CHANNELS:RATE[:AFTER[:FOR]] each, until stdin closes.

Channel 0 of a sample is its number. AFTER so many seconds an outlet appears, FOR so many it
sends, and then it is silent; 'gone' behind that (NAME:…:AFTER:FOR:gone) takes it away instead.
A rate of 0 is irregular: markers, two a second. Prints 'ready', and at the end how many samples
each has pushed, as JSON.
"""

import json
import sys
import threading
import time

import pylsl


def run(spec, stop, sent):
    words = spec.split(":") + [""] * 3
    name, kind, channels, rate = words[0], words[1], int(words[2]), float(words[3])
    after, length, gone = float(words[4] or 0), float(words[5] or 1e9), words[6] == "gone"
    stop.wait(after)
    form = pylsl.cf_float32 if rate else pylsl.cf_string
    info = pylsl.StreamInfo(name, kind, channels, rate, form, "id-" + name)
    outlet = pylsl.StreamOutlet(info)
    begin, n = time.monotonic(), 0
    while not stop.is_set():
        due = begin + n / (rate or 2.0)
        if due - begin >= length:
            if gone:
                del outlet
                return
            stop.wait(0.1)
            continue
        if (wait := due - time.monotonic()) > 0 and stop.wait(wait):
            break
        sample = [float(n)] * channels if rate else ["mark=%d" % n]
        outlet.push_sample(sample, pylsl.local_clock())
        n += 1
        sent[name] = n


stop, sent = threading.Event(), {}
threads = [threading.Thread(target=run, args=(spec, stop, sent)) for spec in sys.argv[1:]]
for thread in threads:
    thread.start()
print("ready", flush=True)
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(sent), flush=True)
