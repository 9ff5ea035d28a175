# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that knows one container and one log, both ready in memory: what the CLI takes from it is the CLI's own limit."""
import os
import socket
import struct
import threading

INSPECT = b'{"Id":"' + b"0" * 64 + b'","Name":"/ll","State":{"Status":"exited"},"Config":{"Tty":false},"HostConfig":{"LogConfig":{"Type":"json-file"}}}'


class NullServer:
    def __init__(self, path, lines):
        self.path = path
        with open(lines, "rb") as f:
            self.log = b"".join(struct.pack(">BxxxI", 1, len(line)) + line for line in f)

    def __enter__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        os.unlink(self.path)

    def accept(self):
        while True:
            try:
                fd, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(fd,), daemon=True).start()

    def serve(self, fd):
        head = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nOstype: linux\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
        with fd, fd.makefile("rb") as f:
            while line := f.readline():
                while f.readline().strip():
                    pass
                target = line.split()[1]
                kind, body = ("application/vnd.docker.multiplexed-stream", self.log) if b"/logs" in target else \
                    ("application/json", INSPECT) if target.endswith(b"/json") else ("text/plain", b"OK")
                try:
                    fd.sendall(head.format(kind, len(body)).encode())
                    if not line.startswith(b"HEAD"):
                        fd.sendall(body)
                except OSError:
                    return
