# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readers that do not read: readers.py SOCKET PID, against a daemon with the image busybox:latest. Prints TAP."""
import json
import os
import select
import socket
import sys
import time

sys.dont_write_bytecode = True
from checks import Unix, ok, plan, small  # noqa: E402

SOCK, PID = sys.argv[1], int(sys.argv[2])
READERS, PAIRS, MIB = int(os.environ.get("READERS", 100)), int(os.environ.get("PAIRS", 150)), int(os.environ.get("MIB", 60))
# A reader that is waited for holds its writer up for good: far beyond what a loaded machine needs.
HELD_UP_S = 90


def call(method, path, body=None):
    c = Unix(SOCK, 120)
    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def create(**more):
    host = {"NetworkMode": "none", "LogConfig": {"Type": "json-file", "Config": {"max-size": "-1"}}}
    status, text = call("POST", "/containers/create", dict({"Image": "busybox", "HostConfig": host}, **more))
    assert status == 201, text
    return json.loads(text)["Id"]


def memory(pid=PID):
    """Resident and not shared with files, in KiB."""
    with open("/proc/%d/status" % pid) as f:
        return next(int(x.split()[1]) for x in f if x.startswith("RssAnon"))


def open_stream(text):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(SOCK)
    s.sendall(text.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)  # not a byte more
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), head
    return s


def drain_all(sockets, quiet=1.0):
    """What each has to say until all are silent."""
    out, open_ = {s: [] for s in sockets}, set(sockets)
    while open_:
        ready = select.select(list(open_), [], [], quiet)[0]
        if not ready:
            break
        for s in ready:
            got = s.recv(1 << 20)
            if got:
                out[s].append(got)
            else:
                open_.discard(s)
    return [b"".join(out[s]) for s in sockets]


def drain(s):
    return drain_all([s])[0]


def pairs(n):
    """Seconds for n containers made and removed; their events are large."""
    start = time.monotonic()
    for _ in range(n):
        call("DELETE", "/containers/" + create(Labels={"l": "x" * 8192}))
    return time.monotonic() - start


def events():
    pairs(10)
    alone = pairs(PAIRS)
    before = memory()
    since = time.time()
    readers = [open_stream("GET /events HTTP/1.1\r\nHost: d\r\n\r\n") for _ in range(READERS)]
    took = pairs(PAIRS)
    grown = memory() - before
    ok(took < HELD_UP_S, "events: %d readers that read nothing hold nobody up" % READERS, "%.2f s, alone %.2f s" % (took, alone))
    # a thread's stack, its share of the library, and events that all of them share
    small(grown < READERS * 256 + 8192, "events: in bounded memory", "%d KiB" % grown)
    told = right = 0
    for data in drain_all(readers):
        data = b"".join(x for x in data.split(b"\r\n") if x.startswith(b"{"))
        seen, lost = 0, 0
        for line in data.decode().replace("}{", "}\n{").splitlines():
            e = json.loads(line)
            if e["Action"] == "events-lost":
                lost += int(e["Actor"]["Attributes"]["n"])
            elif e["Type"] == "container":
                seen += 1
        told += lost > 0
        right += seen + lost == 2 * PAIRS
    for s in readers:
        s.close()
    ok(told == READERS, "events: each reader that lost some is told", "%d of %d" % (told, READERS))
    ok(right == READERS, "events: what came and what it was told to have missed is all of them", "%d of %d" % (right, READERS))
    _, text = call("GET", "/events?since=%.9f&until=%.9f" % (since, time.time()))
    replayed = [json.loads(x) for x in text.splitlines()]
    times = [x["timeNano"] for x in replayed]
    ok(len(replayed) == min(256, 2 * PAIRS) and times == sorted(set(times)), "events: since= replays the last 256, in order", len(replayed))


def shims():
    mine = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as f:
                if f.read().strip() == "dockerd-shim" and any(os.path.dirname(SOCK) in os.readlink("/proc/%s/fd/%s" % (pid, x)) for x in os.listdir("/proc/%s/fd" % pid)):
                    mine.append(int(pid))
        except OSError:
            pass
    return mine


def written(readers_of):
    """Seconds that a container takes to write its log while these readers hang; what the daemon and the shim grew by."""
    cmd = "sleep 1; head -c %d /dev/zero | tr '\\0' x | fold -w 4000; : > /tmp/done; sleep 1000" % (MIB << 20)
    cid = create(Cmd=["sh", "-c", cmd])
    call("POST", "/containers/%s/start" % cid)
    held = [open_stream(text % cid) for text in readers_of]
    before, shim = memory(), sum(map(memory, shims()))
    start = time.monotonic()
    while call("HEAD", "/containers/%s/archive?path=/tmp/done" % cid)[0] != 200 and time.monotonic() - start < HELD_UP_S:
        time.sleep(0.05)
    return cid, held, time.monotonic() - start, memory() - before, sum(map(memory, shims())) - shim


def logs():
    attach = "POST /containers/%s/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n"
    follow = "GET /containers/%s/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n"
    cid, _, alone, _, _ = written([])
    call("DELETE", "/containers/%s?force=1" % cid)
    for what, kinds in (("logs -f", [follow] * 50), ("attach", [attach] * 50)):
        cid, held, took, grown, shim = written(kinds)
        ok(took < HELD_UP_S, "%s: %d MiB with 50 readers that hang" % (what, MIB), "%.1f s, alone %.1f s" % (took, alone))
        small(grown < 50 * 256, "%s: the daemon grows by %d KiB a reader" % (what, grown // 50), "%d KiB" % grown)
        small(shim < 50 * 64, "%s: the shim grows by %d KiB" % (what, shim))
        data = drain(held[0])
        if kinds[0] is attach:
            ok(b"bytes of output were skipped: nobody read them]" in data, "attach: who reads again is told what it missed", data[-200:])
        else:
            ok(data.count(b"x") > (MIB - 1) << 20, "logs -f: who reads again gets all", len(data))
        for s in held:
            s.close()
        call("DELETE", "/containers/%s?force=1" % cid)
    # the attachment of a foreground run misses nothing, however late it reads
    cid = create(Cmd=["sh", "-c", "head -c 8388608 /dev/zero | tr '\\0' x"])
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(SOCK)
    s.sendall((attach % cid).encode())
    time.sleep(0.2)
    call("POST", "/containers/%s/start" % cid)
    time.sleep(4)
    data = drain(s)
    ok(data.count(b"x") >= 8388608 and b"skipped" not in data, "attach before the start: nothing is skipped", len(data))
    s.close()
    call("DELETE", "/containers/%s?force=1" % cid)


events()
logs()
ok(call("GET", "/_ping") == (200, "OK"), "the daemon is well")
sys.exit(plan())
