#!/usr/bin/env python3
"""A socket of libzmq as a process, to meet those of libframe-zmtp.

    zmq_peer.py pub|sub|req|rep ENDPOINT [COUNT] [OPTION=VALUE ...]

Messages are numbered in their second part. Each event is a line on stdout: "ready" when the
socket is there, then what happened. Options: hwm, size, rate (messages a second), pause
(seconds that a subscriber does not read at first), linger, security (plain or curve).
"""
import sys, time
import zmq

kind, endpoint, *rest = sys.argv[1:]
count = int(rest[0]) if rest and "=" not in rest[0] else 1000
options = dict(item.split("=") for item in rest if "=" in item)
socket = zmq.Context().socket({"pub": zmq.PUB, "sub": zmq.SUB, "req": zmq.REQ, "rep": zmq.REP}[kind])
socket.set_hwm(int(options.get("hwm", 0)))
socket.rcvtimeo, socket.linger = 20_000, int(float(options.get("linger", 5)) * 1000)


def say(*words):
    print(*words, flush=True)


def publish():
    if options.get("security") == "plain":
        socket.plain_server = True
    elif options.get("security") == "curve":
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_server = True
    socket.bind(endpoint)
    say("ready", socket.last_endpoint.decode())
    payload, rate = bytes(int(options.get("size", 1920))), float(options.get("rate", 0))
    if rate == 0:
        sys.stdin.readline()  # a line says that all are there
    began = time.monotonic()
    for n in range(count):
        if rate:
            time.sleep(max(0, began + n / rate - time.monotonic()))
        socket.send_multipart([b"DATA\0", b"%d" % n, payload])
    say("sent", count)


def subscribe():
    socket.subscribe(b"DATA")
    socket.connect(endpoint)
    say("ready")
    time.sleep(float(options.get("pause", 0)))
    expected = received = missing = 0
    while expected < count:
        try:
            parts = socket.recv_multipart()
        except zmq.Again:
            break
        assert parts[0] == b"DATA\0" and len(parts) == 3, parts
        n = int(parts[1])
        if received == 0:
            say("first", n)
        if n < expected:
            say("again", n)
        missing, expected, received = missing + max(0, n - expected), n + 1, received + 1
        socket.rcvtimeo = 3_000
    say("received", received, "missing", missing)


def request():
    socket.connect(endpoint)
    say("ready")
    for n in range(count):
        socket.send(b"question %d" % n)
        answer = socket.recv()
        assert answer == b"heard question %d" % n, answer
    say("answered", count)


def reply():
    socket.bind(endpoint)
    say("ready", socket.last_endpoint.decode())
    for n in range(count):
        socket.send(b"heard " + socket.recv())
    say("answered", count)


{"pub": publish, "sub": subscribe, "req": request, "rep": reply}[kind]()
