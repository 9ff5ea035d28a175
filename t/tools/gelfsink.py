#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A GELF server: gelfsink.py KIND PORT FILE [COUNT] appends each message to FILE, a line of JSON with its fields sorted and "_FORM",
how it came: gzip, zlib or none, with "/N" behind it if it came in N chunks. KIND: udp, tcp. COUNT, of tcp: the first connection
is cut off after so many messages, before they are written. Prints "ready" when it listens."""
import json
import socket
import struct
import sys
import threading
import zlib

kind, port, path = sys.argv[1:4]
count = int(sys.argv[4]) if len(sys.argv) > 4 else 0
out = open(path, "a", encoding="utf-8")
pieces = {}


def put(data, form):
    message = json.loads(data, strict=True)
    message["_FORM"] = form
    out.write(json.dumps(message, sort_keys=True) + "\n")
    out.flush()


def unpack(data, suffix=""):
    if data[:2] == b"\x1f\x8b":
        put(zlib.decompress(data, 31), "gzip" + suffix)
    elif data[:1] == b"\x78":
        put(zlib.decompress(data), "zlib" + suffix)
    else:
        put(data, "none" + suffix)


def datagram(data):
    if data[:2] != b"\x1e\x0f":
        return unpack(data)
    ident, at, of = struct.unpack(">8sBB", data[2:12])
    got = pieces.setdefault(ident, {})
    got[at] = data[12:]
    assert at < of and len(data) <= 1420
    if len(got) == of:
        unpack(b"".join(got[i] for i in range(of)), "/%d" % of)
        del pieces[ident]


def drain(c, most):
    rest, held = b"", []
    while True:
        data = c.recv(65536)
        if not data:
            return
        *whole, rest = (rest + data).split(b"\0")
        held += whole
        if most and len(held) < most:
            continue
        if most:
            c.close()
        for one in held[: most or None]:
            unpack(one)
        held.clear()
        if most:
            return


s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(port)))
if kind == "tcp":
    s.listen(64)
print("ready", flush=True)
while kind == "udp":
    datagram(s.recv(65536))
while True:
    threading.Thread(target=drain, args=(s.accept()[0], count), daemon=True).start()
    count = 0
