#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A log server: logsink.py KIND ADDRESS FILE appends what comes to FILE. KIND: udp tcp (ADDRESS: a port of 127.0.0.1), unix
unixgram (a path). A message of a datagram gets no line feed of its own. Prints "ready" when it listens."""
import os
import socket
import sys
import threading

kind, address, path = sys.argv[1:4]
family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
stream = kind in ("tcp", "unix")
s = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_UNIX and os.path.exists(address):
    os.unlink(address)
s.bind(address if family == socket.AF_UNIX else ("127.0.0.1", int(address)))
if stream:
    s.listen(64)
out = open(path, "ab", buffering=0)
print("ready", flush=True)


def drain(c):
    while True:
        data = c.recv(65536)
        if not data:
            return
        out.write(data)


if not stream:
    drain_one = s.recv
    while True:
        out.write(drain_one(65536))
while True:
    threading.Thread(target=drain, args=(s.accept()[0],), daemon=True).start()
