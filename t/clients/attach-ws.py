# SPDX-License-Identifier: LGPL-2.1-or-later
"""A WebSocket client of a few lines for the tests: attach-ws.py SOCKET PATH [ACTION...]; prints what it sees.

Actions: send:TEXT, split:TEXT (one message in two fragments), ping:TEXT, close, unmasked, big:N (N bytes), reserved, wait:SECONDS,
recv (the next frame), data:N (N bytes of data, in however many frames; other frames are shown as they come), until-close (all
frames), bad-key, bad-version, cut.
"""
import base64, hashlib, os, socket, struct, sys, time


def frame(op, data, fin=True, mask=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv | op])
    n = len(data)
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + data
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(data))


class Socket:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        self.buf = b""

    def need(self, n):
        while len(self.buf) < n:
            d = self.s.recv(65536)
            if not d:
                raise EOFError
            self.buf += d
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def head(self):
        while b"\r\n\r\n" not in self.buf:
            d = self.s.recv(65536)
            if not d:
                raise EOFError
            self.buf += d
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        return head.decode()

    def frame(self):
        a, b = self.need(2)
        n = b & 0x7f
        if n == 126:
            n = struct.unpack(">H", self.need(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.need(8))[0]
        return a & 0x0f, self.need(n)


def show(op, data):
    if op == 8:
        print("close", struct.unpack(">H", data[:2])[0] if len(data) > 1 else "")
    else:
        print({1: "text", 2: "binary", 9: "ping", 10: "pong"}.get(op, op), data.decode(errors="replace").strip())


def main():
    c = Socket(sys.argv[1])
    actions = sys.argv[3:]
    key = "short" if "bad-key" in actions else base64.b64encode(os.urandom(16)).decode()
    version = "8" if "bad-version" in actions else "13"
    c.s.sendall(f"GET {sys.argv[2]} HTTP/1.1\r\nHost: d\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n\r\n".encode())
    head = c.head()
    print(head.split("\r\n")[0].split(" ", 1)[1])
    if " 101 " not in head.split("\r\n")[0]:
        return
    fields = dict(x.split(": ", 1) for x in head.split("\r\n")[1:])
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    print("accept", fields.get("Sec-WebSocket-Accept") == want, fields.get("Upgrade"), fields.get("Connection"))
    for a in actions:
        what, _, text = a.partition(":")
        data = text.encode().decode("unicode_escape").encode()
        if what == "send":
            c.s.sendall(frame(1, data))
        elif what == "split":
            c.s.sendall(frame(2, data[:2], fin=False))
            c.s.sendall(frame(9, b"between"))
            c.s.sendall(frame(0, data[2:]))
        elif what == "ping":
            c.s.sendall(frame(9, data))
        elif what == "close":
            c.s.sendall(frame(8, struct.pack(">H", 1000)))
        elif what == "unmasked":
            c.s.sendall(frame(1, b"x", mask=False))
        elif what == "reserved":
            c.s.sendall(frame(1, b"x", rsv=0x40))
        elif what == "big":
            c.s.sendall(frame(2, b"y" * int(text)))
        elif what == "wait":
            time.sleep(float(text))
        elif what == "data":
            kind, got = None, b""
            while len(got) < int(text):
                op, data = c.frame()
                if op in (1, 2):
                    kind, got = op, got + data
                else:
                    show(op, data)
            show(kind, got)
        elif what == "recv":
            show(*c.frame())
        elif what == "cut":
            c.s.close()
            return
        elif what == "eof":
            try:
                print("eof" if not c.s.recv(1) else "data")
            except OSError as e:
                print(e)
        elif what == "until-close":
            total = {}
            try:
                while True:
                    op, data = c.frame()
                    if op in (1, 2):
                        total[op] = total.get(op, b"") + data
                    else:
                        show(op, data)
            except (EOFError, OSError):
                pass
            for op, data in total.items():
                if len(data) > 1000:
                    print(len(data), "bytes")
                else:
                    show(op, data)


main()
