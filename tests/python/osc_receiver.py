"""Receives OSC as python-osc does, and writes each message as a line of JSON.

    osc_receiver.py udp|tcp|slip [IDLE]

The first line is the port. It ends when nothing has come for IDLE seconds since the last.
"""

import json
import socket
import sys
import threading
import time

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
from pythonosc.osc_tcp_server import BlockingOSCTCPServer

way = sys.argv[1]
idle = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
last = None


def plain(value):
    return value.hex() if isinstance(value, bytes) else value


def take(address, *arguments):
    global last
    last = time.monotonic()
    arguments = [plain(value) for value in arguments]
    # A time tag is a pair with a datetime.
    print(json.dumps([address, arguments], default=str), flush=True)


dispatcher = Dispatcher()
dispatcher.set_default_handler(take)
if way == "udp":
    server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
else:
    mode = "1.0" if way == "tcp" else "1.1"
    server = BlockingOSCTCPServer(("127.0.0.1", 0), dispatcher, mode=mode)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
begun = time.monotonic()
while time.monotonic() - (last or begun + 20) < idle:
    time.sleep(0.05)
