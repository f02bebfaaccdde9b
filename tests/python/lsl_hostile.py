"""Outlets that speak LSL's protocol badly: all kinds at once, each a stream of its name.

'ready' on stdout: all of them listen.
"""

import os
import socket
import struct
import sys
import threading
import time

CONFIG = dict(
    line.replace(" ", "").strip().split("=", 1)
    for line in open(os.environ["LSLAPICFG"])
    if "=" in line
)
FORMATS = {"int16": "<h", "string": None, "float32": "<f"}


class Outlet(threading.Thread):
    channels, form, rate = 2, "int16", "100"

    def __init__(self, port):
        super().__init__(daemon=True)
        self.name, self.port = type(self).__name__.lower(), port
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.tcp = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.answer, daemon=True).start()

    def info(self, desc="<desc/>"):
        return (
            "<info><name>%s</name><type>Bad</type><channel_count>%s</channel_count>"
            "<channel_format>%s</channel_format><source_id/><nominal_srate>%s</nominal_srate>"
            "<version>1.1</version><created_at>1</created_at><uid>uid-%s</uid>"
            "<session_id>%s</session_id><hostname>h</hostname><v4data_port>%d</v4data_port>"
            "<v4service_port>%d</v4service_port>%s</info>"
            % (self.name, self.channels, self.form, self.rate, self.name,
               CONFIG["SessionID"], self.port, self.port, desc)
        ).encode()

    def short(self):
        return self.info()

    def full(self, peer):
        peer.sendall(self.info())

    def answer(self):
        while True:
            bytes, peer = self.udp.recvfrom(65536)
            lines = bytes.split(b"\r\n")
            if lines[0] == b"LSL:shortinfo":
                port, query = lines[2].split()
                self.udp.sendto(query + b"\r\n" + self.short(), ("127.0.0.1", int(port)))
            elif lines[0] == b"LSL:timedata":
                wave = lines[1].split()[0].decode()
                self.udp.sendto((" %s nan 1e999 -5" % wave).encode(), peer)

    def run(self):
        while True:
            peer, _ = self.tcp.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        try:
            request = peer.recv(65536)
            if request.startswith(b"LSL:fullinfo"):
                self.full(peer)
            else:
                self.greet(peer)
                self.feed(peer)
                time.sleep(60)
            peer.close()
        except OSError:
            pass

    def greet(self, peer):
        peer.sendall(
            b"LSL/110 200 OK\r\nUID: uid-%s\r\nByte-Order: 1234\r\nSuppress-Subnormals: 0\r\n"
            b"Data-Protocol-Version: 110\r\n\r\n" % self.name.encode()
        )
        for offset in (4, 2):
            if self.form == "string":
                values = b"\x01\x0210" * self.channels
            else:
                values = struct.pack("<h", offset + 257) * self.channels
            peer.sendall(b"\x02" + struct.pack("<d", 123456.789) + values)

    def feed(self, peer):
        pass


class Huge(Outlet):
    """A description without end."""

    def full(self, peer):
        peer.sendall(b"<info><desc>")
        while True:
            peer.sendall(b"<channel>" * 10000)


class Broken(Outlet):
    def full(self, peer):
        peer.sendall(b"<info><desc><channels>")


class Senseless(Outlet):
    channels = "many"


class Pattern(Outlet):
    def greet(self, peer):
        peer.sendall(b"LSL/110 200 OK\r\n\r\n" + bytes(range(1, 200)))


class Endless(Outlet):
    """A text that is longer than all memory."""

    form, channels = "string", 1

    def feed(self, peer):
        peer.sendall(b"\x01\x08" + struct.pack("<Q", 1 << 60) + b"x" * 1000)


class Mute(Outlet):
    def greet(self, peer):
        pass


class Wide(Outlet):
    channels = 10000

    def feed(self, peer):
        for n in range(20):
            peer.sendall(b"\x02" + struct.pack("<d", 5.0 + n / 100))
            peer.sendall(struct.pack("<h", n) * 10000)


class Timeless(Outlet):
    rate = "nan"

    def feed(self, peer):
        for stamp in (float("nan"), float("inf"), -1e300, 7.5):
            peer.sendall(b"\x02" + struct.pack("<dhh", stamp, 1, 2))


class Garbage(Outlet):
    def feed(self, peer):
        peer.sendall(b"\x02" + struct.pack("<dhh", 1.0, 1, 2) + b"\x07" * 100)


class Cut(Outlet):
    def feed(self, peer):
        peer.sendall(b"\x02" + struct.pack("<dhh", 1.0, 1, 2) + b"\x02\x00")
        peer.shutdown(socket.SHUT_RDWR)
        peer.close()


kinds = [Huge, Broken, Senseless, Pattern, Endless, Mute, Wide, Timeless, Garbage, Cut]
base = int(CONFIG["BasePort"]) + int(CONFIG["PortRange"]) - len(kinds)
for number, kind in enumerate(kinds):
    kind(base + number).start()
print("ready", flush=True)
time.sleep(60)
sys.exit("nobody stopped us")
