# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same thing again and again, and what grows by it: slopes.py PART WHAT-IT-NEEDS... For each part: a few rounds first, then ROUNDS
of them, between two looks at the daemon and its children. Prints TAP.
  pulls SOCK PID IMAGE, managed SOCK PID PLUGIN, volumes SOCK PID DRIVER IMAGE, reloads SOCK PID FILE LINE, handshakes SOCK PID PORT CERTS"""
import json
import os
import signal
import socket
import ssl
import sys
import time

sys.dont_write_bytecode = True
from checks import SLOW, Unix, is_, note, ok, run, small  # noqa: E402

PART, SOCK, PID = sys.argv[1], sys.argv[2], int(sys.argv[3])
ARGS = sys.argv[4:]
ROUNDS = int(os.environ.get("ROUNDS", "4"))
FIRST = max(3, ROUNDS // 10)
KB_ALL, KB_EACH = 1024, 4  # how much may be more: of all rounds, of each


def ask(method, path, body=None, good=(200, 201, 204)):
    c = Unix(SOCK, 60 * SLOW)
    c.request(method, path, None if body is None else json.dumps(body), {} if body is None else {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    c.close()
    if r.status not in good:
        raise RuntimeError(f"{method} {path}: {r.status} {text[:300]!r}")
    return text


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(n) for n in f.read().split()]


def field(path, name):
    with open(path) as f:
        for line in f:
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def look():
    """Of the daemon, its spawner, and what that keeps: processes, threads, descriptors, kB of their own."""
    all_, at = [PID], 0
    while at < len(all_):
        all_ += children(all_[at])
        at += 1
    pids = [p for p in all_ if os.path.basename(os.readlink(f"/proc/{p}/exe")).startswith("dockerd")]
    return {"processes": len(pids), "threads": sum(field(f"/proc/{p}/status", "Threads") for p in pids),
            "descriptors": sum(len(os.listdir(f"/proc/{p}/fd")) for p in pids), "kB": sum(field(f"/proc/{p}/smaps_rollup", "Pss_Anon") for p in pids)}


def settled(least=None):
    """When nothing moves any more, or is as little as it was."""
    last, calm = None, 0
    for _ in range(200 * SLOW):
        try:
            now = look()
        except OSError:  # one has just ended
            continue
        same = all(now[k] == (last or {}).get(k) for k in ("processes", "threads", "descriptors"))
        calm = calm + 1 if same else 0
        if calm >= 8 and (not least or all(now[k] <= least[k] for k in ("processes", "threads", "descriptors"))):
            return now
        if least and calm >= 50 * SLOW:
            return now
        last = now
        time.sleep(0.1)
    return last


def slope(what, fn, kb_each=KB_EACH):
    for i in range(FIRST):
        fn(i)
    before = settled()
    for i in range(ROUNDS):
        fn(FIRST + i)
    after = settled(before)
    for k in ("processes", "threads", "descriptors"):
        ok(after[k] <= before[k], f"{what}: no more {k}", (before[k], after[k]))
    grown = after["kB"] - before["kB"]
    small(grown <= KB_ALL + kb_each * ROUNDS, f"{what}: no more memory", grown)
    note(f"{ROUNDS} times: {before} -> {after}, {grown * 1024 // ROUNDS} bytes each")


def pulls():
    image = ARGS[0]

    def one(_):
        text = ask("POST", "/images/create?fromImage=" + image)
        if b"errorDetail" in text:
            raise RuntimeError(text[-300:])
        ask("DELETE", "/images/" + image)
    slope("pulls and removals", one)


def managed():
    def one(_):
        ask("POST", f"/plugins/{ARGS[0]}/enable?timeout={30 * SLOW}")
        ask("POST", f"/plugins/{ARGS[0]}/disable")
    slope("a plugin is enabled and disabled", one)


def volumes():
    driver, image = ARGS

    def one(i):
        name = f"slope{i}"
        ask("POST", "/volumes/create", {"Name": name, "Driver": driver, "DriverOpts": {"n": str(i)}})
        made = json.loads(ask("POST", "/containers/create", {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": [name + ":/v"]}}))["Id"]
        ask("POST", f"/containers/{made}/start")
        ask("POST", f"/containers/{made}/wait")
        ask("DELETE", f"/containers/{made}")
        ask("DELETE", f"/volumes/{name}")
        ask("GET", "/volumes")
    slope("volumes of a plugin are made, mounted, removed", one)


def reloads():
    path, line = ARGS
    with open(path) as f:
        text = f.read()

    def one(i):
        with open(path, "w") as f:
            f.write(text.replace(line, line + "\nrule = deny GET /info round %d of those that stand here" % i + "\nrule = allow GET /x*" * 50))
        os.kill(PID, signal.SIGHUP)
        for _ in range(100 * SLOW):
            if b"round %d " % i in ask("GET", "/info", good=(200, 403)):
                return
            time.sleep(0.02)
        raise RuntimeError(f"round {i} is not read")
    # 256 events are kept, each with all the configuration, and configurations for ten minutes
    slope("policies are read again", one, kb_each=10)


def handshakes():
    port, certs = int(ARGS[0]), ARGS[1]
    ctx = ssl.create_default_context(cafile=certs + "/ca.pem")
    ctx.load_cert_chain(certs + "/client.pem", certs + "/client.key")
    nobody = ssl.create_default_context(cafile=certs + "/ca.pem")
    old = ssl.create_default_context(cafile=certs + "/ca.pem")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(certs + "/client.pem", certs + "/client.key")
    came = ssl.MemoryBIO()
    hello = ctx.wrap_bio(ssl.MemoryBIO(), came, server_hostname="localhost")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    first = came.read()

    def dial():
        return socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)

    def speak(context, cut=False):
        with context.wrap_socket(dial(), server_hostname="localhost") as s:
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"[:20 if cut else None])
            return b"" if cut else s.recv(4096)

    def say(data, read):
        with dial() as s:
            s.sendall(data)
            if read:
                s.recv(4096)
    kinds = [lambda: speak(ctx), lambda: speak(old), lambda: speak(ctx, True), lambda: speak(nobody), lambda: say(b"", False), lambda: say(first, False),
             lambda: say(first, True), lambda: say(first[:50], False), lambda: say(b"GET / HTTP/1.1\r\n\r\n", True), lambda: say(b"\x16\x03\x01\x00\x05hello", False),
             lambda: say(b"\x80\x2e\x01\x00\x02" + b"\x00" * 60, True), lambda: say(first + b"\x15\x03\x03\x00\x02\x02\x28", True)]
    counts = [0] * len(kinds)

    def one(_):
        for i, kind in enumerate(kinds):
            try:
                kind()
                counts[i] += 1
            except OSError:
                pass
    slope(f"handshakes, {len(kinds)} a round", one)
    is_([counts[i] for i in (0, 1)], [FIRST + ROUNDS] * 2, "those of clients with a certificate went well")
    is_(counts[3], 0, "those without one did not")


sys.exit(run([{"pulls": pulls, "managed": managed, "volumes": volumes, "reloads": reloads, "handshakes": handshakes}[PART]]))
