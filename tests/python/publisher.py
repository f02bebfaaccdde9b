#!/usr/bin/env python3
"""Publish over ZeroMQ as the Open Ephys plugin does, by orders on standard input.

Words of an order are separated by tabs:

  bind PORT             bind PUB to PORT, 0 for any; with a second word, REP to the port after
  close                 close what was bound
  wait                  until somebody has subscribed
  data CH FIRST N       a block of one channel, in the JSON of 2025; samples are
                        run * 2000000 + CH * 100000 + number
  block N FIRST REAL ROOM   a block of N channels in one message, as of 2021
  send PART...          a message of these parts: text, hex:..., or zeros:N
  skip                  count a message, and do not send it
  restart               begin a new acquisition: the next message has number 1
  sleep MS
  heartbeats            say what has been asked so far
  answer no             let heartbeats go unanswered

In parts, % is the message's number, counted up by it. Each order is answered by a line.
"""
import json
import struct
import sys
import threading
import time

import zmq


class Publisher:
    def __init__(self):
        self.context = zmq.Context()
        self.pub = self.rep = None
        self.number = self.run = 0
        self.asked = []
        self.answers = True
        self.stop = threading.Event()

    def bind(self, port, *rep):
        port = int(port)
        for _ in range(50):
            self.pub = self.context.socket(zmq.XPUB)
            self.pub.setsockopt(zmq.XPUB_VERBOSE, 1)
            self.pub.setsockopt(zmq.LINGER, 500)
            if port:
                self.pub.bind(f"tcp://127.0.0.1:{port}")
                bound = port
            else:
                bound = self.pub.bind_to_random_port("tcp://127.0.0.1", 20000, 60000)
            if not rep:
                return bound
            self.rep = self.context.socket(zmq.REP)
            self.rep.setsockopt(zmq.LINGER, 0)
            try:
                self.rep.bind(f"tcp://127.0.0.1:{bound + 1}")
                break
            except zmq.ZMQError:
                if port:
                    raise
                self.pub.close()
                self.rep.close()
        self.stop = threading.Event()
        self.heart = threading.Thread(target=self.listen, args=(self.rep, self.stop))
        self.heart.start()
        return bound

    def listen(self, rep, stop):
        while not stop.is_set():
            if not rep.poll(20) or not self.answers:
                time.sleep(0.01)
                continue
            text = rep.recv()
            try:
                kind = json.loads(text).get("type")
                self.asked.append(json.loads(text))
            except ValueError:
                kind = None
            known = {"heartbeat": "heartbeat received", "event": "message correctly parsed"}
            rep.send_string(known.get(kind, "JSON message could not be read"))

    def close(self):
        self.stop.set()
        if self.rep:
            self.heart.join()
            self.rep.close()
        if self.pub:
            self.pub.close()
        self.pub = self.rep = None

    def wait(self):
        while True:
            message = self.pub.recv()
            if message[:1] == b"\x01":
                return len(message)

    def values(self, channel, first, n):
        start = self.run * 2_000_000 + channel * 100_000
        return struct.pack(f"<{n}f", *(start + k for k in range(first, first + n)))

    def data(self, channel, first, n):
        channel, first, n = int(channel), int(first), int(n)
        self.number += 1
        content = {
            "stream": "Rhythm Data", "channel_num": channel, "channel_name": f"CH{channel + 1}",
            "num_samples": n, "sample_num": first, "sample_rate": 30000.0,
        }
        values = self.values(channel, first, n)
        self.publish(b"DATA\0", "data", {"content": content, "data_size": len(values)}, values)

    def block(self, channels, first, real, room):
        channels, first, real, room = int(channels), int(first), int(real), int(room)
        self.number += 1
        rows = [self.values(c, first, real) + b"\x55" * 4 * (room - real) for c in range(channels)]
        values = b"".join(rows)
        content = {
            "n_channels": channels, "n_samples": room, "n_real_samples": real,
            "timestamp": first, "sample_rate": 30000,
        }
        head = {"message_no": self.number, "type": "data", "content": content}
        head["data_size"] = len(values)
        self.pub.send_multipart([b"DATA\0", json.dumps(head).encode(), values])

    def publish(self, envelope, kind, rest, payload):
        head = {"message_num": self.number, "type": kind, **rest}
        head["timestamp"] = int(time.time() * 1000)
        text = json.dumps(head, indent=2).replace("\n", "\r\n")
        self.pub.send_multipart([envelope, text.encode(), payload])

    def send(self, *parts):
        if any("%" in part for part in parts):
            self.number += 1
        made = []
        for part in parts:
            if part.startswith("hex:"):
                made.append(bytes.fromhex(part[4:]))
            elif part.startswith("zeros:"):
                made.append(bytes(int(part[6:])))
            else:
                text = part.replace("%", str(self.number)).replace("\\0", "\0")
                made.append(text.encode())
        self.pub.send_multipart(made)

    def skip(self):
        self.number += 1

    def restart(self):
        self.number = 0
        self.run += 1

    def sleep(self, ms):
        time.sleep(int(ms) / 1000)

    def heartbeats(self):
        return json.dumps(self.asked)

    def answer(self, whether):
        self.answers = whether == "yes"


def main():
    publisher = Publisher()
    for line in sys.stdin:
        name, *words = line.rstrip("\n").split("\t")
        result = getattr(publisher, name)(*words)
        print("" if result is None else result, flush=True)
    publisher.close()
    publisher.context.term()


main()
