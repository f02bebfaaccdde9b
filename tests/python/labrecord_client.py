"""Remote control as LabRecorder's documentation shows it: python client.py HOST:PORT COMMAND…

Each COMMAND is sent as a line. 'sleep 2' waits. Without --lines the answer is whatever one
recv gives, as clients of LabRecorder have it; with it, a line. Prints each as JSON.
"""

import json
import socket
import sys
import time

words = sys.argv[1:]
lines = "--lines" in words
words = [word for word in words if word != "--lines"]
host, port = words[0].rsplit(":", 1)
s = socket.create_connection((host, int(port)))
s.settimeout(40)
file = s.makefile("r")
for command in words[1:]:
    if command.startswith("sleep "):
        time.sleep(float(command[6:]))
        continue
    s.sendall((command + "\n").encode())
    answer = file.readline() if lines else s.recv(4096).decode()
    print(json.dumps(answer), flush=True)
