#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
limits.py SOCKET PID N ATTACHES LISTENERS STUCK NETWORKS PS_MS SLOW: N containers run at once while the first ATTACHES of them echo what
their attachments send, LISTENERS follow the events (STUCK of them never read) and a process of its own lists the containers all the time.
NETWORKS are taken in turn. Every listener that reads must get every event, every attachment its bytes, every container its exit; what the
stuck ones hold is bounded. Prints TAP without a plan.
"""
import hashlib
import http.client
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

SOCK, PID = sys.argv[1:3]
N, ATTACHES, LISTENERS, STUCK = map(int, sys.argv[3:7])
NETWORKS, PS_MS, SLOW = sys.argv[7].split(), float(sys.argv[8]), int(sys.argv[9])
ECHO = 300000 # bytes to each attachment and back: more than the pipes and sockets between hold
PATIENCE = 120 * SLOW
checks = 0


def check(good, what, detail=""):
    global checks
    checks += 1
    print(("ok" if good else "not ok") + f" - {what}" + ("" if good or not detail else f"\n# {str(detail)[:600]}"), flush=True)


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = connected()


def connected():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(SOCK)
    return s


def ask(method, path, want, body=None):
    c = Connection("d")
    try:
        c.request(method, path, None if body is None else json.dumps(body), {} if body is None else {"Content-Type": "application/json"})
        r = c.getresponse()
        data = r.read()
    finally:
        c.close()
    if r.status != want:
        raise RuntimeError(f"{method} {path}: {r.status} {data[:300]}")
    return json.loads(data) if data else None


def many(what, f, items, at_once=8):
    """f(item) for each; the errors."""
    begin = time.monotonic()

    def one(item):
        try:
            return f(item)
        except Exception as e: # a word for the check
            return f"{item}: {e}"
    with ThreadPoolExecutor(at_once) as pool:
        bad = [b for b in pool.map(one, items) if b]
    print(f"# {what}: {len(items)} in {time.monotonic() - begin:.1f} s", flush=True)
    check(not bad, f"{what}: all", f"{len(bad)} failed, among them {bad[:2]}")


def daemon(key, file="smaps_rollup"):
    with open(f"/proc/{PID}/{file}") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


class Listener:
    """Follows the events; keeps a digest of the stream, and the stream itself when asked to."""
    def __init__(self, keep):
        self.sock = connected()
        self.sock.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"): # byte by byte: what follows is the stream's
            head += self.sock.recv(1)
        if b" 200 " not in head:
            raise RuntimeError(head)
        self.raw, self.digest, self.size, self.kept, self.tail, self.ended = bytearray(), hashlib.sha1(), 0, [] if keep else None, b"", False

    def readable(self):
        data = self.sock.recv(1 << 18)
        self.ended |= not data
        self.raw += data
        at = 0
        while (nl := self.raw.find(b"\r\n", at)) >= 0: # one chunk
            size = int(self.raw[at:nl], 16)
            if len(self.raw) < nl + 4 + size:
                break
            self.got(bytes(self.raw[nl + 2:nl + 2 + size]))
            at = nl + 4 + size
        del self.raw[:at]

    def got(self, data):
        self.digest.update(data)
        self.size += len(data)
        self.tail = (self.tail + data)[-1000:]
        if self.kept is not None:
            self.kept.append(data)

    def done(self):
        return self.ended or b'"limits-end"' in self.tail


def read_all(listeners):
    with selectors.DefaultSelector() as sel:
        for l in listeners:
            sel.register(l.sock, selectors.EVENT_READ, l)
        left = len(listeners)
        while left:
            for key, _ in sel.select():
                key.data.readable()
                if key.data.done():
                    sel.unregister(key.fileobj)
                    left -= 1


def timed(path):
    begin = time.monotonic()
    s = connected()
    s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    answer = bytearray()
    while data := s.recv(1 << 20):
        answer += data
    s.close()
    return (time.monotonic() - begin) * 1e3, answer.startswith(b"HTTP/1.1 200")


def prober(out):
    """In a process of its own, till it is ended: when, milliseconds of a ping (what the processors make of anything), of a list, both good."""
    while True:
        ping, well = timed(b"/_ping")
        ps, good = timed(b"/containers/json")
        os.write(out, f"{time.time():.3f} {ping:.2f} {ps:.2f} {int(well and good)}\n".encode())
        time.sleep(0.05)


def create(i):
    config = {"Image": "busybox", "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": NETWORKS[i % len(NETWORKS)]}}
    if i < ATTACHES:
        config.update(Cmd=["sh", "-c", "cat; exit 7"], OpenStdin=True, StdinOnce=True)
    ask("POST", f"/containers/create?name=l{i}", 201, config)
    ask("POST", f"/containers/l{i}/start", 204)


def demultiplex(raw):
    out, at = bytearray(), 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4:at + 8], "big")
        out += raw[at + 8:at + 8 + size]
        at += 8 + size
    return bytes(out)


def attach(i):
    """Sends and reads at the same time; the input's end is the container's."""
    text = (hashlib.sha1(str(i).encode()).hexdigest() * (ECHO // 40)).encode()
    s = connected()
    s.sendall(b"POST /containers/l%d/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
              b"Upgrade: tcp\r\n\r\n" % i)
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += s.recv(4096)
    head, _, raw = raw.partition(b"\r\n\r\n")
    if b" 101 " not in head:
        return f"{i}: {head}"
    ready.wait(PATIENCE) # all of them are attached before the first one sends

    def send():
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    raw = bytearray(raw)
    while data := s.recv(1 << 16):
        raw += data
    sender.join()
    s.close()
    got = demultiplex(raw)
    return None if got == text else f"{i}: {len(got)} of {len(text)} bytes"


def end(i):
    """Its exit, then what inspect says, then its removal."""
    if i >= ATTACHES:
        ask("POST", f"/containers/l{i}/kill", 204)
    code = ask("POST", f"/containers/l{i}/wait", 200)["StatusCode"]
    return None if code == want_code(i) else f"{i}: {code}"


def want_code(i):
    return 7 if i < ATTACHES else 137


def events_of(listener):
    """Container's name -> its actions, and the exit code with which it died."""
    found = {}
    for line in b"".join(listener.kept).splitlines():
        e = json.loads(line)
        a = e["Actor"]["Attributes"]
        if e["Action"] == "events-lost":
            raise RuntimeError(f"events were lost: {a}")
        if e["Type"] == "container" and e["Action"] != "kill":
            found.setdefault(a["name"], []).append(e["Action"] + (" " + a["exitCode"] if e["Action"] == "die" else ""))
    return found


def wrong_events(found):
    for i in range(N):
        want = ["create", "start", f"die {want_code(i)}", "destroy"]
        if i < ATTACHES:
            want.insert(2, "attach")
        if found.get(f"l{i}") != want:
            yield f"l{i}: {found.get(f'l{i}')}"


def settled(key, file, limit):
    """The figure, once it is within the limit or 10 s have passed."""
    for _ in range(100 * SLOW):
        if daemon(key, file) <= limit:
            break
        time.sleep(0.1)
    return daemon(key, file)


threads, fds = daemon("Threads:", "status"), len(os.listdir(f"/proc/{PID}/fd"))
listeners = [Listener(i == STUCK) for i in range(LISTENERS)]
stuck, reading = listeners[:STUCK], listeners[STUCK:]
reader = threading.Thread(target=read_all, args=(reading,), daemon=True)
reader.start()
check(ask("GET", "/info", 200)["NEventsListener"] == LISTENERS, f"{LISTENERS} listeners, of which {STUCK} never read")
pipe = os.pipe()
child = os.fork()
if not child:
    try:
        os.close(pipe[0])
        prober(pipe[1])
    finally:
        os._exit(1)
os.close(pipe[1])
samples = []
collector = threading.Thread(target=lambda: samples.extend(line.split() for line in os.fdopen(pipe[0])))
collector.start()
marks = []


def phase(name):
    marks.append((time.time(), name))


phase("create and start")
many("created and started, 8 at a time", create, range(N))
phase("at rest")
time.sleep(2)
listed = ask("GET", "/containers/json", 200)
check(len(listed) == N, f"{N} run at once", len(listed))
print(f"# daemon: {daemon('Pss:')} kB with {N} running")
phase("attachments")
ready = threading.Event()
attached = ThreadPoolExecutor(1).submit(many, f"{ATTACHES} attachments at once, {ECHO} bytes there and back", attach, range(ATTACHES), max(1, ATTACHES))
time.sleep(1)
ready.set()
attached.result()
phase("kill and wait")
many("ended, 8 at a time, each with its code", end, range(N))
phase("remove")
many("removed, 8 at a time", lambda i: ask("DELETE", f"/containers/l{i}?force=1", 204), range(N))
phase("end")
os.kill(child, signal.SIGTERM)
broken = os.waitpid(child, 0)[1] != signal.SIGTERM
collector.join()
times = [tuple(map(float, sample)) for sample in samples]
check(not broken and all(good for *_, good in times), f"{len(times)} lists meanwhile, all answered")
for (begin, name), (until, _) in zip(marks, marks[1:]):
    for what, column in ("ping", 1), ("ps", 2):
        ms = sorted(sample[column] for sample in times if begin <= sample[0] < until)
        if ms:
            print(f"# {what}, {name}: {len(ms)}, median {ms[len(ms) // 2]:.1f} ms, 99 of 100 {ms[len(ms) * 99 // 100]:.1f}, worst {ms[-1]:.1f}")
check(max(ps for _, _, ps, _ in times) < PS_MS * SLOW, f"each within {PS_MS * SLOW:g} ms")
ask("POST", "/volumes/create", 201, {"Name": "limits-end"})
reader.join(PATIENCE)
ask("DELETE", "/volumes/limits-end", 204)
check(not reader.is_alive() and not any(l.ended for l in reading), f"{len(reading)} listeners read to the end")
bad = list(wrong_events(events_of(reading[0])))
check(not bad, "every container's events, in their order", f"{len(bad)}, among them {bad[:2]}")
bad = [i for i, l in enumerate(reading) if (l.digest.digest(), l.size) != (reading[0].digest.digest(), reading[0].size)]
check(not bad, "every listener got the same", f"{len(bad)} of {len(reading)}: {[reading[i].size for i in bad[:5]]} of {reading[0].size} bytes")
print(f"# {reading[0].size} bytes of events")
for l in reading:
    l.sock.close()
settled("Threads:", "status", threads + STUCK)
time.sleep(3) # free memory is given back by then
held = daemon("Pss_Anon:")
for l in stuck:
    l.sock.close()
settled("Threads:", "status", threads)
time.sleep(3)
left = daemon("Pss_Anon:")
print(f"# daemon's own memory: {held} kB with the stuck listeners, {left} without")
if "SANITIZED" not in os.environ:
    check(held - left < 2048 + 32 * STUCK, "the stuck ones hold a queue of events between them, and a thread each", f"{held - left} kB")
    check(left < 8192 + 20 * N, "what so many left behind is bounded", f"{left} kB")
check(daemon("Threads:", "status") <= threads, "the threads are back to the start", (threads, daemon("Threads:", "status")))
check(len(os.listdir(f"/proc/{PID}/fd")) <= fds, "so are the descriptors", (fds, len(os.listdir(f"/proc/{PID}/fd"))))
