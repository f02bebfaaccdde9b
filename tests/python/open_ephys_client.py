"""A client of the Open Ephys GUI's ZMQ plugin, with the real libzmq.

    open_ephys_client.py listen ENDPOINT [--stall S] [--stay S]
    open_ephys_client.py ask ENDPOINT TEXT...

`listen` subscribes to everything and prints a line of JSON for each message: its parts, and
what it found by checking the text and every value. It ends when the publisher hangs up, or,
if it is to --stay, when nothing came for so many seconds. `ask` sends each text with a REQ socket, and prints
the replies as a list.
"""

import argparse
import json
import struct
import sys
import time

import zmq


def juce(message):
    """The text that JUCE would have written: what json writes, with CRLF."""
    return json.dumps(message, indent=2).replace("\n", "\r\n").encode()


def counter(channel, sample, stream):
    """What a channel shows, as the manual says."""
    return 1024 * (sample % 16384) + (channel + 256 * stream) % 1024


def wrong_values(content, payload, streams):
    """How many values of a block of one channel are not what they should be."""
    count = content["num_samples"]
    first, channel = content["sample_num"], content["channel_num"]
    stream = streams.index(content["stream"]) if content["stream"] in streams else 0
    expected = [counter(channel, first + at, stream) for at in range(count)]
    got = struct.unpack(f"<{len(payload) // 4}f", payload)
    return sum(a != b for a, b in zip(got, expected)) + abs(len(got) - count)


def describe(parts, args):
    message = json.loads(parts[1])
    told = {
        "envelope": parts[0].hex(),
        "exact": juce(message) == parts[1],
        "sizes": [len(part) for part in parts],
        "message": message,
    }
    if message["type"] == "data" and "channel_num" in message["content"]:
        if "num_samples" in message["content"]:
            told["wrong"] = wrong_values(message["content"], parts[2], args.stream)
    elif len(parts) > 2:
        told["payload"] = parts[2].hex()
    if args.payload and len(parts) > 2:
        told["payload"] = parts[2].hex()
    return told


def listen(args):
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    hangup = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    for endpoint in [args.endpoint, *args.also]:
        socket.connect(endpoint)
    heard, gone, limit = 0, False, time.monotonic() + 60
    while time.monotonic() < limit:
        if socket.poll(20):
            parts = socket.recv_multipart()
            heard, since = heard + 1, time.monotonic()
            print(json.dumps(describe(parts, args)))
            if heard == 1 and args.stall:
                time.sleep(args.stall)
        elif args.stay:
            if heard and time.monotonic() - since > args.stay:
                break
        elif gone:
            break
        else:
            # What it sent before is in the queue by then; look once more.
            gone = bool(hangup.poll(0))


def ask(args):
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 20_000)
    socket.connect(args.endpoint)
    replies = []
    for text in args.text:
        socket.send(text.encode())
        replies.append(socket.recv().decode())
    print(json.dumps(replies))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    listener = commands.add_parser("listen")
    listener.add_argument("endpoint")
    listener.add_argument("--also", action="append", default=[], metavar="ENDPOINT")
    listener.add_argument("--stall", type=float, default=0)
    listener.add_argument("--stay", type=float)
    listener.add_argument("--payload", action="store_true", help="print payloads too")
    listener.add_argument("--stream", action="append", default=[], help="in their order")
    listener.set_defaults(run=listen)
    asker = commands.add_parser("ask")
    asker.add_argument("endpoint")
    asker.add_argument("text", nargs="+")
    asker.set_defaults(run=ask)
    args = parser.parse_args()
    args.run(args)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
