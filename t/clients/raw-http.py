# SPDX-License-Identifier: LGPL-2.1-or-later
"""Raw HTTP against a running daemon: raw-http.py SOCKET PID. Prints TAP."""
import json
import os
import resource
import select
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
from checks import ok, plan  # noqa: E402

SLOW = float(os.environ.get("DKD_SLOW", "1"))  # builds with sanitizers take longer: lib.sh

SOCK, PID = sys.argv[1], int(sys.argv[2])


def dial(timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(SOCK)
    return s


def read_head(s, rest=b""):
    while b"\r\n\r\n" not in rest:
        got = s.recv(65536)
        if not got:
            break
        rest += got
    head, _, rest = rest.partition(b"\r\n\r\n")
    return head, rest


def read_answer(s, rest=b"", method="GET"):
    """One answer: status, headers, body, what follows."""
    head, rest = read_head(s, rest)
    lines = head.decode("latin1").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 "):
        return 0, {}, head, rest
    status = int(lines[0].split()[1])
    fields = {k.strip().lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:])}
    body = b""
    if method == "HEAD" or status in (204, 304) or status < 200:
        return status, fields, body, rest
    if fields.get("transfer-encoding") == "chunked":
        while True:
            while b"\r\n" not in rest:
                rest += s.recv(65536)
            size, _, rest = rest.partition(b"\r\n")
            size = int(size, 16)
            while len(rest) < size + 2:
                rest += s.recv(65536)
            body, rest = body + rest[:size], rest[size + 2:]
            if not size:
                return status, fields, body, rest
    if "content-length" in fields:
        size = int(fields["content-length"])
        while len(rest) < size:
            got = s.recv(65536)
            if not got:
                break
            rest += got
        return status, fields, rest[:size], rest[size:]
    while True:
        got = s.recv(65536)
        if not got:
            return status, fields, rest, b""
        rest += got


def closed(s):
    """The other side ends the connection within two seconds."""
    s.settimeout(2 * SLOW)
    try:
        while s.recv(65536):
            pass
        return True
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def send(s, data):
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def ask(data, method="GET"):
    s = dial()
    send(s, data)
    try:
        status, fields, body, _ = read_answer(s, method=method)
    except (ConnectionResetError, socket.timeout) as e:
        return 0, {}, repr(e).encode(), s
    return status, fields, body, s


def request(path, method="GET", fields="", body=b"", version="1.1"):
    length = "Content-Length: %d\r\n" % len(body) if body else ""
    return ("%s %s HTTP/%s\r\nHost: d\r\n%s%s\r\n" % (method, path, version, fields, length)).encode("latin1") + body


def ping():
    start = time.monotonic()
    status, _, body, s = ask(request("/_ping"))
    s.close()
    return status == 200 and body == b"OK", time.monotonic() - start


def rss():
    with open("/proc/%d/status" % PID) as f:
        return next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))


def cpu():
    with open("/proc/%d/stat" % PID) as f:
        w = f.read().rsplit(")", 1)[1].split()
    return (int(w[11]) + int(w[12])) / os.sysconf("SC_CLK_TCK")


def fds():
    return len(os.listdir("/proc/%d/fd" % PID))


CREATE = json.dumps({"Image": "nosuch"}).encode()
JSON = "Content-Type: application/json\r\n"


def refusals():
    post = "POST /containers/create HTTP/1.1\r\nHost: d\r\n" + JSON
    chunk = "%x\r\n" % len(CREATE) + CREATE.decode() + "\r\n0\r\n\r\n"
    long_line = "X: " + "a" * 70000
    cases = [
        ("Content-Length beside chunked", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, 400),
        ("two Content-Lengths", post + "Content-Length: 18\r\nContent-Length: 19\r\n\r\n" + CREATE.decode(), 400),
        ("the same Content-Length twice", post + "Content-Length: 18\r\nContent-Length: 18\r\n\r\n" + CREATE.decode(), 400),
        ("a list of Content-Lengths", post + "Content-Length: 18, 18\r\n\r\n" + CREATE.decode(), 400),
        ("a negative Content-Length", post + "Content-Length: -1\r\n\r\n", 400),
        ("Content-Length with a plus", post + "Content-Length: +18\r\n\r\n" + CREATE.decode(), 400),
        ("a huge Content-Length", post + "Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
        ("Transfer-Encoding gzip", post + "Transfer-Encoding: gzip\r\n\r\n", (400, 501)),
        ("Transfer-Encoding gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk, (400, 501)),
        ("Transfer-Encoding twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk, 400),
        ("Transfer-Encoding xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n" + chunk, (400, 501)),
        ("bare line feeds in the head", "GET /_ping HTTP/1.1\nHost: d\n\n", 400),
        ("one bare line feed in the head", "GET /_ping HTTP/1.1\r\nHost: d\nX: y\r\n\r\n", 400),
        ("bare line feeds around chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunk.replace("\r\n", "\n"), 400),
        ("a chunk that is longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n" + CREATE.decode() + "\r\n0\r\n\r\n", 400),
        ("a chunk of negative size", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", 400),
        ("a chunk size over 64 bits", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n{}\r\n0\r\n\r\n", 400),
        ("NUL in a field", "GET /_ping HTTP/1.1\r\nHost: d\r\nX: a\0b\r\n\r\n", 400),
        ("NUL in the path", "GET /_pi\0ng HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("a folded line", "GET /_ping HTTP/1.1\r\nHost: d\r\nX: a\r\n b\r\n\r\n", 400),
        ("a blank before the colon", post + "Content-Length : 18\r\n\r\n" + CREATE.decode(), 400),
        ("no Host", "GET /_ping HTTP/1.1\r\n\r\n", 400),
        ("two Hosts", "GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("an absolute target", "GET http://other/_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        ("no version", "GET /_ping\r\n\r\n", 400),
        ("a header block over 64 KiB", "GET /_ping HTTP/1.1\r\nHost: d\r\n" + long_line + "\r\n\r\n", 431),
        ("too many fields", "GET /_ping HTTP/1.1\r\nHost: d\r\n" + "A: b\r\n" * 5000 + "\r\n", 431),
        ("a target over 32 KiB", "GET /" + "a" * 40000 + " HTTP/1.1\r\nHost: d\r\n\r\n", 414),
        ("a body of 9 MiB, announced", post + "Content-Length: %d\r\n\r\n" % (9 << 20), 413),
    ]
    for what, data, want in cases:
        status, fields, body, s = ask(data.encode("latin1"))
        end = closed(s)
        s.close()
        want = want if isinstance(want, tuple) else (want,)
        ok(status in want and end, "%s: %s, and the connection ends" % (what, " or ".join(map(str, want))), (status, end, body[:100]))
        if status and fields.get("content-type", "").startswith("application/json"):
            ok("message" in json.loads(body), "%s: says why in JSON" % what, body)


def bodies():
    before, work = rss(), cpu()
    # 9 MiB in chunks: no length announced
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    s = dial()
    send(s, ("POST /containers/create HTTP/1.1\r\nHost: d\r\n%sTransfer-Encoding: chunked\r\n\r\n" % JSON).encode())
    for _ in range(160):
        send(s, piece)
    send(s, b"0\r\n\r\n")
    try:
        status = read_answer(s)[0]
    except ConnectionResetError:
        status = "reset"
    s.close()
    ok(status == 413, "9 MiB of JSON in chunks: 413", status)
    s = dial()
    send(s, request("/containers/create", "POST", JSON, b'{"Image":"' + b"a" * (64 << 20) + b'"}'))
    try:
        status = read_answer(s)[0]
    except ConnectionResetError:
        status = "reset"
    s.close()
    ok(status in (413, "reset"), "a JSON string of 64 MiB: 413", status)
    for what, body in (("deep arrays", b'{"Cmd":' + b"[" * 100000 + b"]" * 100000 + b"}"),
                       ("deep objects", b'{"a":' * 100000 + b"1" + b"}" * 100000),
                       ("a number of a million digits", b'{"HostConfig":{"Memory":' + b"1" * 1000000 + b"}}"),
                       ("a key twice", b'{"Image":"a","Image":"b"}'),
                       ("text behind the object", b'{"Image":"nosuch"} trailing'),
                       ("broken UTF-8", b'{"Image":"\xff\xfe"}'),
                       ("a NUL escape", b'{"Image":"a\\u0000b"}'),
                       ("an array", b"[]"), ("nothing", b"null"), ("half an object", b'{"Image":')):
        start = time.monotonic()
        status, _, answer, s = ask(request("/containers/create", "POST", JSON, body))
        s.close()
        ok(status == 400 and time.monotonic() - start < 5 * SLOW, "%s: 400 at once" % what, (status, answer[:100]))
    ok(rss() - before < 65536, "no more than 64 MiB of memory grew", "%d KiB" % (rss() - before))
    ok(cpu() - work < 5, "in little time", cpu() - work)
    # an honest chunked body is heard, split anywhere
    data = ("POST /containers/create HTTP/1.1\r\nHost: d\r\n%sTransfer-Encoding: chunked\r\n\r\n" % JSON).encode()
    data += b"4\r\n" + CREATE[:4] + b"\r\n" + b"%x;ext=1\r\n" % (len(CREATE) - 4) + CREATE[4:] + b"\r\n0\r\n\r\n"
    for cut in (1, 20, len(data) - 30, len(data) - 3):
        s = dial()
        s.sendall(data[:cut])
        time.sleep(0.1)
        s.sendall(data[cut:])
        status, _, body, _ = read_answer(s)
        s.close()
        ok(status == 404 and b"No such image: nosuch" in body, "a chunked create, cut at %d" % cut, (status, body))


def connections():
    s = dial()
    rest = b""
    for i in range(3):
        s.sendall(request("/_ping"))
        status, _, body, rest = read_answer(s, rest)
        ok(status == 200 and body == b"OK", "keep-alive, request %d" % (i + 1), status)
    s.sendall(request("/containers/create", "POST", JSON, CREATE))
    status, _, _, rest = read_answer(s, rest)
    s.sendall(request("/_ping"))
    ok(status == 404 and read_answer(s, rest)[0] == 200, "an error keeps the connection", status)
    s.close()
    s = dial()
    s.sendall(request("/_ping") + request("/version") + request("/nope") + request("/_ping"))
    status, fields, _, rest = read_answer(s)
    ok(status == 200 and fields.get("connection") == "close" and not rest and closed(s),
       "of pipelined requests the first is answered, and the connection closes", (status, fields, rest))
    s.close()
    # behind the first, requests are taken out one by one
    status, fields, _, s = ask(request("/_ping"))
    s.sendall(request("/_ping") + request("/containers/create", "POST", JSON, CREATE) + request("/nope") + request("/_ping", "HEAD"))
    got, rest = [], b""
    for method in ("GET", "POST", "GET", "HEAD"):
        status, fields, body, rest = read_answer(s, rest, method)
        got.append((status, body))
    ok([g[0] for g in got] == [200, 404, 404, 200] and got[0][1] == b"OK" and b"nosuch" in got[1][1] and not got[3][1] and not rest,
       "pipelined requests behind the first are answered in order", got)
    s.close()
    # a field the library must see, a body in two pieces, the last request
    status, _, _, s = ask(request("/_ping"))
    piece = request("/containers/create", "POST", JSON, CREATE)
    s.sendall(piece[:-5])
    time.sleep(0.1)
    s.sendall(piece[-5:])
    status, _, _, rest = read_answer(s)
    s.sendall(request("/_ping", fields="connection:  Close \r\n"))
    again, fields, body, rest = read_answer(s, rest)
    ok((status, again, body) == (404, 200, b"OK") and fields.get("connection") == "close" and closed(s),
       "a body in two pieces, and Connection: close, behind a first request", (status, again, fields))
    s.close()
    status, _, _, s = ask(request("/_ping"))
    s.sendall(request("/_ping", fields="X: a\r\nHost: e\r\n"))
    status, _, _, rest = read_answer(s)
    ok(status == 400 and closed(s), "two Host fields in a second request", status)
    s.close()
    status, fields, body, s = ask(request("/_ping", "HEAD"), "HEAD")
    s.sendall(request("/_ping"))
    again = read_answer(s)
    ok(status == 200 and again[0] == 200 and again[2] == b"OK", "HEAD has no body, and the connection goes on", (status, again))
    s.close()
    status, _, _, s = ask(request("/_ping", fields="Connection: close\r\n"))
    ok(status == 200 and closed(s), "Connection: close", status)
    s.close()
    status, _, _, s = ask(request("/_ping", version="1.0"))
    ok(status == 200 and closed(s), "HTTP/1.0 closes", status)
    s.close()
    # Expect
    s = dial(5)
    s.sendall(("POST /containers/create HTTP/1.1\r\nHost: d\r\n%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (JSON, len(CREATE))).encode())
    try:
        head, rest = read_head(s)
        s.sendall(CREATE)
        status = read_answer(s, rest)[0]
    except (socket.timeout, BrokenPipeError) as e:
        head, status = repr(e).encode(), 0
    ok(head.startswith(b"HTTP/1.1 100") and status == 404, "Expect: 100-continue", (head[:40], status))
    s.close()
    # a client that writes half a request line by line
    s = dial()
    for byte in request("/_ping"):
        s.sendall(bytes([byte]))
        time.sleep(0.002)
    ok(read_answer(s)[0] == 200, "a request byte by byte")
    s.close()
    before = fds()
    for _ in range(50):
        s = dial()
        s.sendall(request("/events"))
        read_head(s)
        s.close()
    end = time.monotonic() + 10 * SLOW
    while fds() - before >= 10 and time.monotonic() < end:
        time.sleep(0.1)
    ok(fds() - before < 10, "fifty readers that leave take their descriptors along", (before, fds()))
    # a body that never comes
    s = dial()
    s.sendall(("POST /containers/create HTTP/1.1\r\nHost: d\r\n%sContent-Length: 10\r\n\r\n{" % JSON).encode())
    s.shutdown(socket.SHUT_WR)
    status = read_answer(s)[0]
    ok(status in (0, 400) and ping()[0], "a body cut off by a half-close", status)
    s.close()


def hijack(upgrade):
    what = "with Upgrade" if upgrade else "without Upgrade"
    body = json.dumps({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True,
                       "AttachStdout": True, "HostConfig": {"NetworkMode": "none"}}).encode()
    status, _, answer, s = ask(request("/containers/create", "POST", JSON, body))
    s.close()
    if status != 201:
        ok(False, "hijack %s" % what, answer)
        return
    cid = json.loads(answer)["Id"]
    s = dial()
    fields = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    # bytes of the stream right behind the request
    s.sendall(request("/containers/%s/attach?stream=1&stdin=1&stdout=1" % cid, "POST", fields) + b"early ")
    head, rest = read_head(s)
    want = b"HTTP/1.1 101 UPGRADED" if upgrade else b"HTTP/1.1 200 OK"
    ok(head.startswith(want), "hijack %s: %s" % (what, want.decode()[9:]), head)
    kind = b"application/vnd.docker.raw-stream"
    ok(kind in head or b"multiplexed-stream" in head, "hijack %s: content type" % what, head)
    ask(request("/containers/%s/start" % cid, "POST"))[3].close()
    s.sendall(b"and late")
    time.sleep(0.2)
    s.shutdown(socket.SHUT_WR)
    try:
        while True:
            got = s.recv(65536)
            if not got:
                break
            rest += got
    except socket.timeout:
        rest = b"time-out"
    text = b""
    while len(rest) >= 8:
        size = int.from_bytes(rest[4:8], "big")
        text, rest = text + rest[8:8 + size], rest[8 + size:]
    ok(text == b"early and late", "hijack %s: early bytes, late bytes, half-close, the end" % what, text or rest)
    s.close()
    status, _, answer, s = ask(request("/containers/%s/wait" % cid, "POST"))
    ok(b'"StatusCode":0' in answer, "hijack %s: the container ended by itself" % what, answer)
    s.close()
    ask(request("/containers/%s?force=1" % cid, "DELETE"))[3].close()


def slow():
    """Half requests are cut within 15 s, and nobody else notices."""
    idle, before = [], rss()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    for i in range(2000):
        s = dial()
        s.sendall([b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: ", b"", b"POST /contain"][i % 3])
        idle.append(s)
    start = time.monotonic()
    worst, good, open_ = 0, True, set(idle)
    poll = select.poll()
    by_fd = {s.fileno(): s for s in idle}
    for fd in by_fd:
        poll.register(fd, select.POLLIN | select.POLLHUP)
    while open_ and time.monotonic() - start < 15.5 + 10 * SLOW:
        answered, took = ping()
        good, worst = good and answered, max(worst, took)
        for fd, _ in poll.poll(200):
            s = by_fd[fd]
            try:
                if s.recv(65536):
                    continue
            except OSError:
                pass
            poll.unregister(fd)
            open_.discard(s)
        for s in list(open_)[:20]:
            try:
                s.send(b"x")  # a dribble does not save them
            except OSError:
                pass
    took = time.monotonic() - start
    ok(not open_ and took <= 15.5 + 10 * SLOW, "2000 half requests are cut", "%d open after %.1f s" % (len(open_), took))
    ok(good and worst < SLOW, "pings are answered meanwhile", "%s %.3f s" % (good, worst))
    ok(os.environ.get("SANITIZED") or rss() - before < 16384, "with at most 8 KiB for each", "%d KiB" % (rss() - before))
    for s in idle:
        s.close()


def mean():
    """Many at once, each leaving at a bad moment."""
    def one(n):
        s = dial()
        data = request("/containers/create", "POST", JSON, CREATE)
        send(s, data[:(n * 7) % len(data)])
        s.close()
    threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ok(ping()[0], "a hundred clients that leave in the middle")


refusals()
bodies()
connections()
hijack(True)
hijack(False)
slow()
mean()
ok(ping()[0], "the daemon is well")
sys.exit(plan())
