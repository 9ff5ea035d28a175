# SPDX-License-Identifier: LGPL-2.1-or-later
"""More streams than the daemon has descriptors: crowd.py SOCKET PID CONTAINER, against one with "ulimit -n 200". Prints TAP."""
import json
import os
import socket
import sys
import time

sys.dont_write_bytecode = True
from checks import ok, plan  # noqa: E402

SOCK, PID, CID = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SLOW = int(os.environ.get("DKD_SLOW", 1))


def dial():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(SOCK)
    return s


def get(path):
    s = dial()
    start = time.monotonic()
    s.sendall(("GET %s HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n" % path).encode())
    data = b""
    while True:
        got = s.recv(65536)
        if not got:
            return data, time.monotonic() - start
        data += got


def fds():
    return len(os.listdir("/proc/%d/fd" % PID))


def state():
    return json.loads(get("/containers/%s/json" % CID)[0].partition(b"\r\n\r\n")[2])["State"]


before, running = fds(), state()
crowd = []
for _ in range(400):
    s = dial()
    try:
        s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    except BrokenPipeError:  # told and closed before it has asked; the answer can be read
        pass
    crowd.append(s)
answers = {}
for s in crowd:
    first = s.recv(12).decode()
    answers[first[9:]] = answers.get(first[9:], 0) + 1
ok(set(answers) == {"200", "503"} and answers["200"] >= 20, "400 streams: some are served, the rest is told that there are too many", answers)
times = []
good = True
for _ in range(50):
    data, took = get("/_ping")
    good = good and data.endswith(b"OK")
    times.append(took)
times.sort()
ok(good and times[45] < 0.01 * SLOW, "pings are answered within 10 ms", "%s, %.1f ms, worst %.1f ms" % (good, times[45] * 1e3, times[-1] * 1e3))
for _ in range(5):
    told = get("/containers/json")[0]
    if told.startswith(b"HTTP/1.1 503 "):
        break
    # a connection from before the crowd went after it: its place is to be taken, too
    s = dial()
    s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    s.recv(12)
    crowd.append(s)
ok(told.startswith(b"HTTP/1.1 503 "), "other requests are told, too", told[:100])
ok(fds() <= 168, "32 descriptors are left", fds())
for s in crowd:
    s.close()
end = time.monotonic() + 10
while fds() > before + 8 and time.monotonic() < end:
    time.sleep(0.1)
ok(fds() <= before + 8, "they take their descriptors along", (before, fds()))
now = state()
ok(now["Running"] and now["Pid"] == running["Pid"] and now["StartedAt"] == running["StartedAt"], "the container has run on", now)
sys.exit(plan())
