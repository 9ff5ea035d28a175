# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS clients that do not do as others do: tls.py PORT CERTS PID. Prints TAP."""
import json
import os
import select
import socket
import ssl
import sys
import time

sys.dont_write_bytecode = True
from checks import SLOW, has, is_, ok, run, until  # noqa: E402

PORT, CERTS, PID = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def context():
    c = ssl.create_default_context(cafile=CERTS + "/ca.pem")
    c.load_cert_chain(CERTS + "/client.pem", CERTS + "/client.key")
    return c


def plain():
    return socket.create_connection(("127.0.0.1", PORT), timeout=20 * SLOW)


def dial(ctx=None):
    return (ctx or context()).wrap_socket(plain(), server_hostname="localhost", suppress_ragged_eofs=False)


def ask(s, method, path, body=b"", fields=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: d\r\n{fields}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    s.sendall(head.encode() + b"\r\n" + body)


def hear(s, until_text=None, most=1 << 26):
    got = b""
    while len(got) < most and not (until_text and until_text in got):
        part = s.recv(65536)
        if not part:
            break
        got += part
    return got


def call(method, path, body=None):
    s = dial()
    ask(s, method, path, json.dumps(body).encode() if body is not None else b"", "Connection: close\r\n")
    head, _, rest = hear(s).partition(b"\r\n\r\n")
    s.close()
    return int(head.split()[1]), rest


def unframed(got):
    out, at = b"", 0
    while at + 8 <= len(got):
        size = int.from_bytes(got[at + 4:at + 8], "big")
        out += got[at + 8:at + 8 + size]
        at += 8 + size
    return out


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def kept_alive():
    s = dial()
    good = 0
    for _ in range(50):
        ask(s, "GET", "/_ping")
        good += hear(s, b"\r\n\r\nOK").endswith(b"OK")
    is_(good, 50, "fifty requests on one connection")
    is_(s.version(), "TLSv1.3", "TLS 1.3")
    is_(s.compression(), None, "nothing is compressed")
    s.close()


def dribbled():
    s = dial()
    text = b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    for i in range(len(text)):
        s.sendall(text[i:i + 1])
    has(hear(s), b"\r\n\r\nOK", "a request in records of a byte each")


def pipelined():
    s = dial()
    s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /info HTTP/1.1\r\nHost: d\r\n\r\n")
    is_(hear(s).count(b"HTTP/1.1 "), 1, "of two requests in one record the first is answered, as on other sockets")


def resumed():
    ctx = context()
    for version, name in ((ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")):
        ctx.minimum_version = ctx.maximum_version = version
        s = dial(ctx)
        ask(s, "GET", "/_ping")
        hear(s, b"OK")
        old = s.session
        s.close()
        try:
            s = ctx.wrap_socket(plain(), server_hostname="localhost", session=old)
            s.do_handshake()
            ok(not s.session_reused, f"no session of TLS {name} is resumed: its certificate is looked at again")
            s.close()
        except ValueError:  # there is nothing to resume
            ok(True, f"no session of TLS {name} is resumed: its certificate is looked at again")


def both_ways(s, data, end):
    """What comes while data goes, up to its end; by one thread: two may not use a session of TLS at once."""
    got, at, before, until_then = b"", 0, s.gettimeout(), time.monotonic() + 30 * SLOW
    s.setblocking(False)
    while not got.endswith(end) and time.monotonic() < until_then:
        _, writable, _ = select.select([s], [s] if at < len(data) else [], [], 0.1)
        try:
            if writable:
                at += s.send(data[at:at + 16384])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            part = s.recv(65536)
            if not part:
                break
            got += part
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
    s.settimeout(before)
    return got


def hijacked():
    status, body = call("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", "head -c 1048576; echo END"], "OpenStdin": True,
                                                       "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "HostConfig": {"NetworkMode": "none"}})
    is_(status, 201, "a container")
    cid = json.loads(body)["Id"]
    s = dial()
    ask(s, "POST", f"/containers/{cid}/attach?stream=1&stdin=1&stdout=1", fields="Connection: Upgrade\r\nUpgrade: tcp\r\n")
    has(hear(s, b"\r\n\r\n"), b"101 UPGRADED", "attach takes the connection over")
    is_(call("POST", f"/containers/{cid}/start")[0], 204, "started")
    data = bytes(range(256)) * 4096
    got = both_ways(s, data, b"END\n")
    out = unframed(got)
    ok(out == data + b"END\n", "a megabyte there and back", len(out))
    s.close()
    until(lambda: call("DELETE", f"/containers/{cid}?force=1")[0] in (204, 404))


def half_closed():
    """A close_notify, which TCP knows nothing of, in the middle of a stream: the end of a container's input, and of nothing else."""
    status, body = call("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", "cat; echo END"], "OpenStdin": True, "Tty": False,
                                                       "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "HostConfig": {"NetworkMode": "none"}})
    cid = json.loads(body)["Id"]
    sock, came, goes = plain(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(came, goes, server_hostname="localhost")

    def step(fn):
        while True:
            try:
                got = fn()
            except ssl.SSLWantReadError:
                sock.sendall(goes.read())
                part = sock.recv(65536)
                if not part:
                    return b""
                came.write(part)
                continue
            sock.sendall(goes.read())
            return got

    step(tls.do_handshake)
    step(lambda: tls.write(f"POST /containers/{cid}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()))
    has(step(lambda: tls.read(4096)), b"101 UPGRADED", "another attach")
    step(lambda: tls.write(b"before\n"))
    try:
        tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    sock.sendall(goes.read())
    call("POST", f"/containers/{cid}/start")
    got = b""
    while b"END" not in got:
        part = step(lambda: tls.read(4096))
        if not part:
            break
        got += part
    is_(unframed(got), b"before\nEND\n", "half a close ends its input and not its output")
    sock.close()
    until(lambda: call("DELETE", f"/containers/{cid}?force=1")[0] in (204, 404))


def uploads():
    big = b"x" * (32 << 20)
    s = dial()
    ask(s, "POST", "/images/load", fields=f"Content-Type: application/x-tar\r\nContent-Length: {len(big)}\r\n")
    try:
        s.sendall(big)
    except OSError:
        pass
    got = hear(s)
    ok(got.startswith(b"HTTP/1.1 ") and b"message" in got or b"errorDetail" in got, "an upload that fails early is answered all the same", got[:200])
    s.close()


def cut_off():
    s = plain()
    w = context().wrap_socket(s, server_hostname="localhost")
    ask(w, "POST", "/containers/create", fields="Content-Type: application/json\r\nContent-Length: 1000\r\n")
    before = descriptors()
    w.close()
    until(lambda: descriptors() < before, "a client that leaves in the middle leaves nothing behind")


def events_end():
    s = dial()
    ask(s, "GET", "/events")
    hear(s, b"\r\n\r\n")
    before = descriptors()
    s.close()
    until(lambda: descriptors() < before, "a reader of events that leaves is noticed")


def bad_records():
    s = dial()
    ask(s, "GET", "/events")
    hear(s, b"\r\n\r\n")
    raw = socket.socket(fileno=os.dup(s.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
    raw.settimeout(20 * SLOW)
    end = b"x"
    try:
        while end:
            end = raw.recv(65536)
    except OSError:
        end = b""
    ok(end == b"", "a record that was changed on the way ends the connection")
    raw.close()
    s.close()
    ok(call("GET", "/_ping")[0] == 200, "and no other")


def half_open():
    """More handshakes that never end than there is room for, of three kinds."""
    socks = []
    before = descriptors()
    for i in range(330):
        s = plain()
        if i % 3 == 1:
            s.sendall(b"\x16\x03\x01")
        elif i % 3 == 2:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"A" * 20)
        socks.append(s)
        if i == 100:
            t = time.monotonic()
            ok(call("GET", "/_ping")[0] == 200 and time.monotonic() - t < 5 * SLOW, "beside a hundred of them another is served at once")
    until(lambda: descriptors() - before < 300)
    ok(descriptors() - before < 300, "handshakes that do not end are bounded", descriptors() - before)
    t = time.monotonic()
    ok(call("GET", "/_ping")[0] == 200 and time.monotonic() - t < 5 * SLOW, "beside more than there is room for, too")
    until(lambda: descriptors() - before < 20, "they are cut after their time", 15)
    for s in socks:
        s.close()


def slow_reader():
    """It reads nothing, leaves, and holds up nobody."""
    s = dial()
    ask(s, "GET", "/images/busybox/get")
    time.sleep(0.3)
    t = time.monotonic()
    is_(sum(call("GET", "/_ping")[0] == 200 for _ in range(8)), 8, "others are served beside one that reads nothing")
    ok(time.monotonic() - t < 8 * SLOW, "soon")
    n = len(hear(s))
    ok(n > 100000, "and it gets all of it, later", n)
    s.close()


sys.exit(run([kept_alive, dribbled, pipelined, resumed, hijacked, half_closed, uploads, cut_off, events_end, bad_records, slow_reader, half_open]))
