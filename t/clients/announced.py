#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""announced.py INTERFACE FILE: hears gratuitous ARP and unsolicited neighbour advertisements, and writes a line for each: who has what, and by
which MAC address. A frame that no kernel would take is a line that says why."""
import socket, struct, sys

s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
out = open(sys.argv[2], "a", buffering=1)
out.write("listening\n")


def mac(b):
    return ":".join("%02x" % x for x in b)


def arp(f):
    hard, proto, hlen, plen, op, sha, spa, tha, tpa = struct.unpack("!HHBBH6s4s6s4s", f[14:42])
    if spa != tpa:
        return None
    if (hard, proto, hlen, plen, op) != (1, 0x800, 6, 4, 1) or f[0:6] != b"\xff" * 6 or f[6:12] != sha:
        return "bad arp " + f.hex()
    return "arp %s %s" % (socket.inet_ntoa(spa), mac(sha))


def advertisement(f):
    if f[20] != 58 or f[54] != 136:
        return None
    size = struct.unpack("!H", f[18:20])[0]
    body = f[22:54] + struct.pack("!II", size, 58) + f[54:54 + size]
    total = sum(struct.unpack("!%dH" % (len(body) // 2), body))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    if f[58] & 0x40:
        return None  # somebody asked
    if total != 0xffff or f[21] != 255 or f[22:38] != f[62:78] or f[58] != 0x20 or f[78:80] != b"\x02\x01" or f[80:86] != f[6:12]:
        return "bad advertisement " + f.hex()
    return "na %s %s" % (socket.inet_ntop(socket.AF_INET6, f[62:78]), mac(f[80:86]))


while True:
    try:
        f = s.recv(2048)
    except OSError:
        break  # the interface is gone
    kind = f[12:14]
    line = arp(f) if kind == b"\x08\x06" and len(f) >= 42 else advertisement(f) if kind == b"\x86\xdd" and len(f) >= 86 else None
    if line:
        out.write(line + "\n")
