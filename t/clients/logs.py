# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docker logs answers, byte by byte: logs.py SOCKET, against a daemon with the image busybox:latest. Prints TAP."""
import calendar
import json
import re
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
from checks import Unix, is_ as check, plan  # noqa: E402

SOCK = sys.argv[1]
STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


def call(method, path, body=None):
    c = Unix(SOCK, 120)
    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    r = c.getresponse()
    data, kind = r.read(), r.headers.get("Content-Type")
    c.close()
    return r.status, data, kind


def create(driver, options, script, **more):
    log = {"Type": driver, "Config": options}
    body = dict({"Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": "none", "LogConfig": log}}, **more)
    status, data, _ = call("POST", "/containers/create", body)
    assert status == 201, data
    return json.loads(data)["Id"]


def run(*args, wait=True, **more):
    cid = create(*args, **more)
    assert call("POST", "/containers/%s/start" % cid)[0] == 204
    if wait:
        call("POST", "/containers/%s/wait" % cid)
    return cid


def remove(cid):
    call("DELETE", "/containers/%s?force=1" % cid)


def frames(data):
    out = []
    while data:
        size = struct.unpack(">I", data[4:8])[0]
        out.append((data[0], data[8:8 + size]))
        data = data[8 + size:]
    return out


def logs(cid, query=""):
    status, data, _ = call("GET", "/containers/%s/logs?stdout=1&stderr=1%s" % (cid, query))
    return frames(data) if status == 200 else (status, json.loads(data)["message"])


def seconds(stamp):
    day, rest = stamp.decode().rstrip("Z ").split(".")
    return "%d.%s" % (calendar.timegm(time.strptime(day, "%Y-%m-%dT%H:%M:%S")), rest)


def touch(cid, path):
    _, data, _ = call("POST", "/containers/%s/exec" % cid, {"Cmd": ["touch", path]})
    call("POST", "/exec/%s/start" % json.loads(data)["Id"], {"Detach": True})


def wait_for(cid, n):
    """Until that many records are in the log: nothing else says that one stream was read before the other."""
    by = time.time() + 60
    while len(logs(cid)) < n:
        assert time.time() < by, logs(cid)
        time.sleep(0.02)


def reading(name, driver, options):
    cid = run(driver, options, r"""hold() { while [ ! -e $1 ]; do usleep 20000; done; }
        echo a; hold /1; echo b >&2; hold /2; printf 'c\n\nd'; printf '\377\376\000x\303\050\n';
        head -c 40000 /dev/zero | tr '\0' x; echo; printf 'tab\t"q" \\ <&> \342\200\250\n'; printf open""", wait=False, Labels={"color": "light blue"})
    for n in 1, 2:
        wait_for(cid, n)
        touch(cid, "/%d" % n)
    call("POST", "/containers/%s/wait" % cid)
    raw = b"d\xff\xfe\x00x\xc3(\n"
    if "json" in name:
        raw = raw.decode("utf-8", "replace").encode()
    full = [(1, b"a\n"), (2, b"b\n"), (1, b"c\n"), (1, b"\n"), (1, raw), (1, b"x" * 16384), (1, b"x" * 16384), (1, b"x" * 7232 + b"\n"),
            (1, 'tab\t"q" \\ <&> \u2028\n'.encode()), (1, b"open")]
    check(logs(cid), full, name + ": all that was written, in pieces of 16 KiB")
    check([(t, STAMP.sub(b"T ", x)) for t, x in logs(cid, "&timestamps=1")], [(t, b"T " + x) for t, x in full], "time stamps")
    check([(t, STAMP.sub(b"T ", x)) for t, x in logs(cid, "&timestamps=1&details=1")],
          [(t, b"T " + (b"color=light+blue" if options.get("labels") and "json" in name else b"") + b" " + x) for t, x in full], "details after them")
    for q, want in ("tail=0", []), ("tail=1", full[-1:]), ("tail=4", full[-4:]), ("tail=10", full), ("tail=1000", full), ("tail=-1", full), ("tail=x", full), \
            ("tail=all", full), ("since=-1", full), ("since=1.5", full), ("since=9999999999", []), ("until=1", []), ("until=-1", []), ("until=9999999999", full), \
            ("until=0&since=0", full), ("follow=1", full), ("follow=1&tail=2", full[-2:]), ("follow=1&until=1", []):
        check(logs(cid, "&" + q), want, q)
    when = [seconds(STAMP.match(x)[0]) for t, x in logs(cid, "&timestamps=1")]
    check(logs(cid, "&since=" + when[1]), full[1:], "since the very nanosecond")
    check(logs(cid, "&until=" + when[1]), full[:2], "until the very nanosecond")
    check(logs(cid, "&since=%s&until=%s&tail=100" % (when[1], when[1])), full[1:2], "both")
    check([x for t, x in frames(call("GET", "/containers/%s/logs?stderr=1" % cid)[1])], [b"b\n"], "one stream")
    check(call("GET", "/containers/%s/logs?stdout=1" % cid)[2], "application/vnd.docker.multiplexed-stream", "its type")
    check(call("GET", "/v1.41/containers/%s/logs?stdout=1" % cid)[2] in (None, "application/vnd.docker.raw-stream"), True, "and that of old")
    for q in "since=x", "until=x", "since=.5":
        check(logs(cid, "&" + q), (400, 'invalid value for "%s": %s' % tuple(q.split("="))), q)
    check(call("GET", "/containers/%s/logs?stdout=0" % cid)[::2], (400, "application/json"), "no stream")
    remove(cid)
    cid = run(driver, options, "echo a; echo b >&2; printf open", Tty=True)
    check(call("GET", "/containers/%s/logs?stdout=1&stderr=1" % cid)[1:], (b"a\r\nb\r\nopen", "application/vnd.docker.raw-stream"), "a terminal: no frames")
    check(call("GET", "/containers/%s/logs?stderr=1" % cid)[1], b"", "and no stderr")
    remove(cid)
    cid = create(driver, options, "true")
    check((logs(cid), logs(cid, "&follow=1"), logs(cid, "&tail=3")), ([], [], []), "of a container that has never run")
    remove(cid)
    follow(name, driver, options)


def follow(name, driver, options):
    cid = run(driver, options, "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after", wait=False)
    out = {}

    def read(key, query):
        out[key] = logs(cid, query)

    wait_for(cid, 1)
    readers = [threading.Thread(target=read, args=x) for x in (("all", "&follow=1"), ("new", "&follow=1&tail=0"),
               ("until", "&follow=1&until=%f" % (time.time() + 0.3)))]
    for t in readers:
        t.start()
    readers[2].join()
    check(out["until"], [(1, b"before\n")], "a follower leaves when until has come")
    touch(cid, "/go")
    for t in readers:
        t.join()
    check(out["all"], [(1, b"before\n"), (1, b"after\n")], "another reads to the end")
    check(out["new"], [(1, b"after\n")], "one with tail=0 only what is new")
    check(logs(cid), out["all"], "and the log is the same (%s)" % name)
    remove(cid)


def unread(driver, options, what):
    cid = run(driver, options, "echo hi")
    none = (501, "configured logging driver does not support reading")
    check((logs(cid), logs(cid, "&follow=1")), (none, none), what)
    remove(cid)


NOWHERE = "udp://127.0.0.1:9"
reading("json-file", "json-file", {"labels": "color"})
reading("local", "local", {})
reading("the cache of syslog", "syslog", {"syslog-address": NOWHERE, "cache-max-size": "1m", "cache-max-file": "2", "cache-compress": "true"})
reading("tee with json-file", "tee", {"drivers": "syslog,json-file", "syslog-address": NOWHERE, "labels": "color"})
unread("none", {}, "none: 501")
unread("none", {"max-size": "1m"}, "whatever its options")
unread("syslog", {"syslog-address": NOWHERE, "cache-disabled": "true"}, "syslog without a cache")
for d in "json-file", "local":
    cid = run(d, {"cache-disabled": "true", "cache-max-size": "1m"}, "echo hi")
    check(logs(cid), [(1, b"hi\n")], d + " needs no cache: its options are taken, and it is read")
    remove(cid)
    status, data, _ = call("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"LogConfig": {"Type": d, "Config": {"cache-disabled": "x"}}}})
    check((status, json.loads(data)["message"]), (400, "invalid value for option cache-disabled: x"), "but not nonsense")
sys.exit(plan())
