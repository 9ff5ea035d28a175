#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server of Fluentd's forward protocol: fluentsink.py KIND ADDRESS FILE [HOW [CERT KEY]] appends each message to FILE, a line of
JSON: tag, time, fields, options, and how many connections there were. KIND: tcp, tls (ADDRESS: a port of 127.0.0.1), unix (a path).
HOW: ack answers what asks for it, wrong answers something else to the first, mute answers nothing on the first connection.
Prints "ready" when it listens."""
import json
import os
import socket
import ssl
import struct
import sys
import threading

kind, address, path = sys.argv[1:4]
how = sys.argv[4] if len(sys.argv) > 4 else ""
out = open(path, "a", encoding="utf-8")
connections = 0


class More(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise More
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def text(self, n):
        return self.take(n).decode("utf-8", "backslashreplace")

    def value(self):
        t = self.number("B")
        if t < 0x80:
            return t
        if t & 0xf0 == 0x80 or t in (0xde, 0xdf):
            n = t & 15 if t < 0x90 else self.number("H" if t == 0xde else "I")
            pairs = [(self.value(), self.value()) for _ in range(n)]
            assert len(dict(pairs)) == n, "a key comes twice"
            return dict(pairs)
        if t & 0xf0 == 0x90:
            return [self.value() for _ in range(t & 15)]
        if t & 0xe0 == 0xa0:
            return self.text(t & 31)
        if t in (0xd9, 0xda, 0xdb):
            return self.text(self.number({0xd9: "B", 0xda: "H", 0xdb: "I"}[t]))
        if t in (0xd2, 0xd3):
            return self.number("i" if t == 0xd2 else "q")
        assert t == 0xd7 and self.number("B") == 0, "type %02x" % t
        return "%d.%09d" % (self.number("I"), self.number("I"))


def pack(text):
    raw = text.encode()
    return struct.pack("B", 0xa0 | len(raw)) + raw


def serve(c, number):
    global how
    rest = b""
    while True:
        data = c.recv(65536)
        if not data:
            return
        rest += data
        while rest:
            reader = Reader(rest)
            try:
                tag, time, fields, options = reader.value()
            except More:
                break
            rest = rest[reader.at:]
            out.write(json.dumps({"tag": tag, "time": time, "options": options, "connection": number, "fields": fields}, sort_keys=True) + "\n")
            out.flush()
            if how == "mute" and number == 1:
                continue
            if how == "wrong":
                how = "ack"
                c.sendall(b"\x81" + pack("ack") + pack("x" * 24))
            elif "chunk" in options:
                c.sendall(b"\x81" + pack("ack") + pack(options["chunk"]))


def begin(c, number):
    try:
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[5], sys.argv[6])
            c = context.wrap_socket(c, server_side=True)
        serve(c, number)
    except (ssl.SSLError, ConnectionError) as e:
        print(e, file=sys.stderr)


s = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if kind == "unix" and os.path.exists(address):
    os.unlink(address)
s.bind(address if kind == "unix" else ("127.0.0.1", int(address)))
s.listen(64)
print("ready", flush=True)
while True:
    one = s.accept()[0]
    connections += 1
    threading.Thread(target=begin, args=(one, connections), daemon=True).start()
