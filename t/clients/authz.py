# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Ways around an authorization driver that judges bodies (t/abi/judge.c): authz.py SOCKET. Each sends a request for a privileged
container that the driver would deny if it saw it; none may make one. Prints TAP.
"""
import http.client
import json
import socket
import sys

sys.dont_write_bytecode = True
from checks import SLOW, Unix, has, is_, ok, run  # noqa: E402

SOCK = sys.argv[1]
BODY = b'{"Image":"busybox","HostConfig":{"Privileged":true,"NetworkMode":"none"}}'
DENIED = "authorization denied by plugin judge: privileged"


def raw(*parts):
    """What comes back until the other side ends, or an answer is whole and nothing more comes for a moment."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20 * SLOW)
    s.connect(SOCK)
    try:
        for part in parts:
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # refused early
    got = b""
    try:
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
    except OSError:
        pass
    s.close()
    return got


def status(answer):
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


def head(*fields, path="/containers/create", method="POST", version="1.1"):
    return (f"{method} {path} HTTP/{version}\r\nHost: d\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n").encode("latin1")


def call(method, path, body=None, fields=None):
    c = Unix(SOCK, 30 * SLOW)
    c.request(method, path, body, {"Content-Type": "application/json", **(fields or {})})
    r = c.getresponse()
    got = r.status, r.read()
    c.close()
    return got


def chunks(data, size):
    return b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + size]), data[i:i + size]) for i in range(0, len(data), size)) + b"0\r\n\r\n"


def nothing_made(what):
    is_(json.loads(call("GET", "/containers/json?all=1")[1]), [], what)


JSON = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"


def framings():
    seen = [("plain", raw(head(JSON, LENGTH) + BODY)),
            ("head and body apart", raw(head(JSON, LENGTH), BODY)),
            ("one chunk", raw(head(JSON, CHUNKED) + chunks(BODY, 1000))),
            ("chunks of a byte", raw(head(JSON, CHUNKED) + chunks(BODY, 1))),
            ("a chunk with an extension", raw(head(JSON, CHUNKED) + b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))),
            ("HTTP/1.0", raw(head(JSON, LENGTH, version="1.0") + BODY)),
            ("a type with a charset", raw(head(JSON + "; charset=utf-8", LENGTH) + BODY)),
            ("a type in capitals", raw(head("Content-Type: APPLICATION/JSON", LENGTH) + BODY)),
            ("a version", raw(head(JSON, LENGTH, path="/v1.41/containers/create?name=x") + BODY))]
    for what, answer in seen:
        is_(status(answer), 403, f"{what}: 403")
        has(answer.decode("latin1"), DENIED, f"{what}: it was seen")
    answer = raw(head(JSON, LENGTH, "Expect: 100-continue") + BODY)
    has(answer.decode("latin1"), DENIED, "behind an Expect")
    nothing_made("no framing hides a body")


def no_framing():
    """The body is not part of the request: the handler must not see it either."""
    for what, answer in (("no length", raw(head(JSON) + BODY)),
                         ("a length of 0", raw(head(JSON, "Content-Length: 0") + BODY)),
                         ("a length that ends before it", raw(head(JSON, "Content-Length: 2") + b"{}" + BODY)),
                         ("an empty chunked body", raw(head(JSON, CHUNKED) + b"0\r\n\r\n" + BODY)),
                         ("both framings", raw(head(JSON, LENGTH, CHUNKED) + chunks(BODY, 100))),
                         ("two lengths", raw(head(JSON, "Content-Length: 0", LENGTH) + BODY)),
                         ("an encoding that is none", raw(head(JSON, "Transfer-Encoding: gzip, chunked") + chunks(BODY, 100))),
                         ("a length with a sign", raw(head(JSON, f"Content-Length: +{len(BODY)}") + BODY)),
                         ("a body that is cut", raw(head(JSON, LENGTH) + BODY[:-1]))):
        ok(400 <= status(answer) < 500 or status(answer) == 0, f"{what}: {status(answer)}", answer[:200])
        ok(b"201 " not in answer, f"{what}: nothing is made", answer[:200])
    nothing_made("and nothing was")


def sizes():
    for n in (1 << 20, 2 << 20, 5 << 20, (8 << 20) - 200):
        padded = b'{"pad":"' + b"x" * n + b'",' + BODY[1:]
        is_(status(raw(head(JSON, f"Content-Length: {len(padded)}") + padded)), 403, f"padded with {n} bytes")
        is_(status(raw(head(JSON, CHUNKED) + chunks(padded, 65536))), 403, "the same in chunks")
    padded = b'{"pad":"' + b"x" * (9 << 20) + b'",' + BODY[1:]
    is_(status(raw(head(JSON, f"Content-Length: {len(padded)}") + padded)), 413, "more than can be shown is refused")
    is_(status(raw(head(JSON, CHUNKED) + chunks(padded, 65536))), 413, "in chunks, too")
    nothing_made("nothing was made behind padding")


def several():
    """Requests of one connection: each is asked about."""
    c = Unix(SOCK, 30 * SLOW)
    seen = []
    for _ in range(3):
        c.request("GET", "/_ping")
        r = c.getresponse()
        r.read()
        seen.append(r.status)
        try:
            c.request("POST", "/containers/create", BODY, {"Content-Type": "application/json"})
            r = c.getresponse()
            r.read()
            seen.append(r.status)
        except (http.client.HTTPException, OSError):
            seen.append("closed")
    is_(seen, [200, 403] * 3, "a later request of a kept connection")
    bad = head(JSON, LENGTH) + BODY
    for what, first in (("a ping", head(method="GET", path="/_ping")),
                        ("a request with a body", head("Content-Type: application/json", "Content-Length: 2", path="/containers/prune") + b"{}"),
                        ("a chunked one", head("Content-Type: application/json", CHUNKED, path="/containers/prune") + chunks(b"{}", 1)),
                        ("one that is hijacked", head("Connection: Upgrade", "Upgrade: tcp", path="/containers/x/attach?stream=1"))):
        answer = raw(first + bad)
        ok(b"201 " not in answer and answer.count(b"HTTP/1.1 ") <= 2, f"behind {what} in one packet", answer[:300])
    nothing_made("nothing was made by a request behind another")


def hijacks():
    answer = raw(head("Connection: Upgrade", "Upgrade: tcp", path="/containers/x/attach?stream=1&stdin=1"))
    has(answer.decode("latin1"), "authorization denied by plugin judge: a stream", "what a terminal types is a stream")
    for what, answer in (("a length", raw(head(JSON, LENGTH, "Connection: Upgrade", "Upgrade: tcp", path="/exec/x/start") + BODY)),
                         ("chunks", raw(head(JSON, CHUNKED, "Connection: Upgrade", "Upgrade: tcp", path="/exec/x/start") + chunks(BODY, 7)))):
        has(answer.decode("latin1"), DENIED, f"the JSON of one that will be hijacked is seen, by {what}")
    is_(status(raw(head("Content-Type: application/x-tar", LENGTH, path="/images/load") + BODY)), 403, "an upload is a stream")


def spellings():
    for path in ("//containers/create", "/containers//create", "/containers/%63reate", "/./containers/create", "/containers/x/../create",
                 "/containers/create/", "/v1.41//containers/create", "/containers%2fcreate", "/containers/create%00", "/v1.41/v1.41/containers/create",
                 "http://d/containers/create", "/containers/create#x", "/CONTAINERS/CREATE"):
        answer = raw(head(JSON, LENGTH, path=path) + BODY)
        ok(status(answer) in (400, 403, 404), f"{path}: {status(answer)}", answer[:200])
    for method in ("post", "PUT", "PATCH", "GET", "OPTIONS"):
        ok(b" 201 " not in raw(head(JSON, LENGTH, "X-HTTP-Method-Override: POST", method=method) + BODY), f"{method} makes nothing")
    nothing_made("no spelling leads around")


def secrets():
    got = call("POST", "/containers/create", b"facts", {"Authorization": "Bearer secret", "X-Registry-Auth": "secret", "x-registry-config": "secret"})
    has(got[1].decode(), "secrets 0", "credentials are not shown")
    got = call("POST", "/auth", b'{"username":"a","password":"who"}')
    has(got[1].decode(), "a stream", "nor is a login")
    got = call("POST", "/containers/create", b"who")
    has(got[1].decode(), f"//0 certs, peer 1 0 0 1, unix://{SOCK}, policy ", "who asks is")


def answers():
    got = call("POST", "/volumes/create", b'{"Name":"..","x":"hold back"}')
    is_(got[0], 400, "an answer that the driver does not hold back")
    got = call("POST", "/volumes/create", b'{"Labels":{"a":"hold back"}}')
    is_(got[0], 403, "one that it does")
    has(got[1].decode(), "an answer of", "which it has seen")


sys.exit(run([framings, no_framing, sizes, several, hijacks, spellings, secrets, answers]))
