# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The case tls: the API by TLS, certificates of both sides, in both engines. As a program it is the client, in the engine's network namespace:
secure.py PORT CERTS SECONDS WHAT CONNECTIONS prints how many a second (keep: requests on kept connections; new: connections, with a request each), or
MB a second (get PATH: one answer, to its end).
"""
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

PORT = 2376
CASES = ("tls",)
PING = b"GET /_ping HTTP/1.1\r\nHost: d\r\n%s\r\n"


def certificates(folder):
    """An authority, a server, a client."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-subj", "/CN=ca", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    for who, ext in (("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"), ("client", "extendedKeyUsage=clientAuth\n")):
        with open(os.path.join(folder, "ext"), "w") as f:
            f.write(ext)
        openssl("req", *key, "-subj", "/CN=" + who, "-keyout", who + ".key", "-out", who + ".csr")
        openssl("x509", "-req", "-in", who + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", str(time.time_ns()), "-days", "2", "-extfile", "ext", "-out", who + ".pem")


class Cases:
    def secure_rate(self, e, what, connections=1, path=""):
        argv = ["nsenter", f"--net=/run/netns/{e.netns}", sys.executable, os.path.abspath(__file__), str(PORT), self.certs, "1", what, str(connections), path]
        return float(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def case_tls(self):
        self.certs = os.path.join(self.work, "certs")
        os.makedirs(self.certs)
        certificates(self.certs)
        tree = os.path.join(self.work, "secure.tar")
        self.make_tree(tree, "tls")
        for e in self.engines:
            e.stop()
            e.extra += ["-H", f"tcp://127.0.0.1:{PORT}", "--tlsverify", "--tlscacert", self.certs + "/ca.pem", "--tlscert", self.certs + "/server.pem",
                        "--tlskey", self.certs + "/server.key"]
            e.start()
            e.docker(self.cli, "import", tree, "secure:1")
        for name, unit, digits, args in (
                ("TLS: /_ping, one kept connection", "per second", 0, ("keep", 1)), ("TLS: /_ping, eight kept connections", "per second", 0, ("keep", 8)),
                ("TLS: handshake and /_ping, one after the other", "per second", 0, ("new", 1)), ("TLS: handshake and /_ping, four at once", "per second", 0, ("new", 4)),
                ("TLS: an image of 97 MB is saved", "MB/s", 1, ("get", 1, "/images/secure:1/get"))):
            self.row(name, unit, self.each(lambda e: self.secure_rate(e, *args)), higher=True, digits=digits)
        for e in self.engines:
            e.stop()
            del e.extra[e.extra.index(f"tcp://127.0.0.1:{PORT}") - 1:]
            e.start()


def main(port, certs, seconds, what, connections, path=""):
    context = ssl.create_default_context(cafile=certs + "/ca.pem")
    context.load_cert_chain(certs + "/client.pem", certs + "/client.key")
    done = [0] * int(connections)
    end = time.monotonic() + float(seconds)

    def dial():
        s = socket.create_connection(("127.0.0.1", int(port)))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(s, server_hostname="127.0.0.1")

    def ping(s, fields=b""):
        s.sendall(PING % fields)
        got = b""
        while not got.endswith(b"OK"):
            part = s.recv(4096)
            if not part:
                raise RuntimeError(f"no answer: {got!r}")
            got += part

    def keep(i):
        with dial() as s:
            while time.monotonic() < end:
                ping(s)
                done[i] += 1

    def new(i):
        while time.monotonic() < end:
            with dial() as s:
                ping(s, b"Connection: close\r\n")
            done[i] += 1

    def get(i):
        room = memoryview(bytearray(1 << 18))
        with dial() as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
            while n := s.recv_into(room):
                done[i] += n / 1e6
    begin = time.monotonic()
    threads = [threading.Thread(target={"keep": keep, "new": new, "get": get}[what], args=(i,)) for i in range(len(done))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if not all(done):
        sys.exit("a connection got nothing")
    print(sum(done) / (time.monotonic() - begin))


if __name__ == "__main__":
    main(*sys.argv[1:])
