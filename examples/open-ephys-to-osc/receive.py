#!/usr/bin/env python3
"""Shows what arrives from to-osc, with python-osc (pip install python-osc):

    receive.py [PORT]

Prints rate, channels and the newest values of each address once a second. python-osc reads
some 20 000 messages a second: what arrives faster overflows the socket's buffer, and the
numbers in the scaling layouts tell. Let to-osc send fewer (thin-frames --to 1kHz, or a
layout that puts many samples into a message).
"""
import collections, sys, threading, time

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

seen = collections.defaultdict(lambda: [0, ()])


def take(address, *values):
    entry = seen[address]
    entry[0] += 1
    entry[1] = values


def report():
    while True:
        time.sleep(1)
        for address, (count, values) in sorted(seen.items())[:20]:
            numbers = [v for v in values if isinstance(v, (int, float))]
            shown = " ".join(f"{v:g}" for v in numbers[:4])
            more = " …" if len(values) > 4 else ""
            print(f"{address}: {count}/s, {len(values)} arguments: {shown}{more}", flush=True)
        if len(seen) > 20:
            print(f"… and {len(seen) - 20} more addresses")
        seen.clear()


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(take)
    server = BlockingOSCUDPServer(("127.0.0.1", port), dispatcher)
    threading.Thread(target=report, daemon=True).start()
    print(f"listening on udp://127.0.0.1:{port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
