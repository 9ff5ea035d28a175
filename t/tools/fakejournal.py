#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A journal: fakejournal.py SOCKET FILE appends each entry that comes to FILE as a line of JSON: its fields, lists of values.
"_VIA" tells how it came, "_SEALED" whether nobody can change it any more. Prints "ready" when it listens."""
import fcntl
import json
import os
import socket
import struct
import sys

address, path = sys.argv[1:3]
ALL_SEALS = 0xf


def fields(data):
    ret = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size, = struct.unpack("<Q", rest[:8])
            value, end, rest = rest[8:8 + size], rest[8 + size:9 + size], rest[9 + size:]
            assert len(value) == size and end == b"\n"
        else:
            assert _ == b"\n"
        ret.setdefault(name.decode(), []).append(value.decode("latin-1"))
        data = rest
    return ret


if os.path.exists(address):
    os.unlink(address)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(address)
out = open(path, "a", buffering=1)
print("ready", flush=True)
while True:
    data, fds, _, _ = socket.recv_fds(s, 1 << 20, 4)
    entry = {}
    if fds:
        fd, = fds
        assert not data
        entry["_SEALED"] = [str(fcntl.fcntl(fd, 1034) == ALL_SEALS)]
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        os.close(fd)
    elif not data:
        continue
    entry["_VIA"] = ["file" if fds else "datagram"]
    entry.update(fields(data))
    out.write(json.dumps(entry) + "\n")
