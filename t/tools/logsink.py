#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A log server: logsink.py KIND ADDRESS FILE [CERT KEY [CA]] appends what comes to FILE. KIND: udp tcp tls (ADDRESS: a port of
127.0.0.1), unix unixgram (a path). A message of a datagram gets no line feed of its own. CA: a client of tls needs a certificate
from it, whose name is appended when it comes. Prints "ready" when it listens."""
import os
import socket
import ssl
import sys
import threading

kind, address, path = sys.argv[1:4]
family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
stream = kind in ("tcp", "tls", "unix")
s = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_UNIX and os.path.exists(address):
    os.unlink(address)
s.bind(address if family == socket.AF_UNIX else ("127.0.0.1", int(address)))
if stream:
    s.listen(64)
out = open(path, "ab", buffering=0)
print("ready", flush=True)


def secure(c):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    if len(sys.argv) > 6:
        context.load_verify_locations(sys.argv[6])
        context.verify_mode = ssl.CERT_REQUIRED
    c = context.wrap_socket(c, server_side=True)
    if len(sys.argv) > 6:
        out.write(b"from %s\n" % c.getpeercert()["subject"][0][0][1].encode())
    return c


def drain(c):
    if kind == "tls":
        try:
            c = secure(c)
        except (ssl.SSLError, ConnectionError) as e:
            print(e, file=sys.stderr)
            return
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
