# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every operation of the newest official schema with faults in its requests: schema-mutate.py SOCKET PID FOLDER CASES SEED [OPERATION].

Each of up to CASES requests of an operation has one fault, of one kind, at one place: a member of its body, a parameter of its query, a header, a
name in its path. Half of the bodies hold nothing but what is needed and the fault, the others all that the schema knows. Every kind comes before
one comes again. OPERATION ("POST /auth") is the only one asked, then.

Prints TAP. Refusals are in words; only 501 says that something is not in the build and 503 that there is no swarm, no other 5xx is right. Each
answer begins in time, and the daemon neither ends nor grows. The image busybox:latest is there; whatever else is, goes."""
import copy
import http.client
import json
import os
import random
import re
import socket
import sys
import time
import urllib.parse

import yaml

sys.dont_write_bytecode = True
from checks import ok, plan, small  # noqa: E402
from faults import DEEP, NUMBERS, TEXTS, Raw, dump, status_of, unreached  # noqa: E402

SOCK, PID, FOLDER, CASES, SEED = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
ONLY = sys.argv[6] if len(sys.argv) > 6 else ""
PATIENCE = 10 * int(os.environ.get("DKD_SLOW", "1"))
# Answers that end when the client or a container does; and those that begin only then.
STREAMS = ("/events", "/logs", "/attach", "/attach/ws", "/wait", "/stats", "/exec/{id}/start", "/session")
WAITS = ("/containers/{id}/stop", "/containers/{id}/restart", "/containers/{id}/wait")
KINDS = ("swapped", "huge", "nested", "missing", "unknown", "utf8", "range", "text", "whole")
VALID = {"path": "/etc", "container": "probe", "repo": "mm", "tag": "t", "name": "mm", "term": "x", "h": "24", "w": "80", "t": "0", "signal": "USR1", "names": "probe",
         "follow": "0", "stream": "0", "stdout": "1", "since": "0", "until": "1", "version": "1", "remote": "x", "platform": "linux/amd64", "fromImage": "probe",
         "condition": "not-running", "ps_args": "-ef", "detachKeys": "ctrl-p", "type": "image", "changes": "ENV A=1"}
# The least that is accepted; of what is not here, the schema's required members.
LEAST = {"/containers/create": {"Image": "busybox"}, "/containers/{id}/exec": {"Cmd": ["true"]}, "/networks/{id}/connect": {"Container": "probe"},
         "/networks/{id}/disconnect": {"Container": "probe"}}
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}


class Daemon:
    """Its socket, and what every case finds there: a container that runs, an exec of it, an image, a volume."""

    def __init__(self):
        self.conn = self.exec = None

    def call(self, method, path, body=None, headers=(), least=None, patience=PATIENCE):
        """Status and text; 0 without an answer, -1 when it lasts. With LEAST seconds: of a stream, its begin."""
        for again in (True, False):
            fresh = self.conn is None or least is not None
            conn = http.client.HTTPConnection("d") if fresh else self.conn
            try:
                if fresh:
                    conn.sock = socket.socket(socket.AF_UNIX)
                    conn.sock.settimeout(patience)
                    conn.sock.connect(SOCK)
                conn.sock.settimeout(patience)
                return self.talk(conn, method, path, body, dict(headers), least)
            except (OSError, http.client.HTTPException) as e:
                conn.close()
                if conn is self.conn:
                    self.conn = None
                # one that was kept may just have been closed
                if fresh or not again or isinstance(e, TimeoutError):
                    return (-1 if isinstance(e, TimeoutError) else 0), repr(e)
        return 0, ""

    def talk(self, conn, method, path, body, headers, least):
        conn.putrequest(method, path, skip_accept_encoding=True)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            headers["Content-Length"] = str(len(body))
        for k, v in headers.items():
            conn.putheader(k, v)
        conn.endheaders()
        try:
            if body:
                conn.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before its end; the answer is there
        sock = conn.sock
        r = conn.getresponse()
        if least is not None and r.status < 400:
            text = b""
            sock.settimeout(least)
            try:
                text = r.read1(65536)
            except (OSError, http.client.HTTPException, AttributeError):
                pass
        else:
            text = r.read()
        if least is not None or r.will_close or r.status == 101:
            r.close()
            sock.close()
            conn.close()
            if conn is self.conn:
                self.conn = None
        else:
            self.conn = conn
        return r.status, text.decode("utf8", "replace")

    def clean(self):
        for c in json.loads(self.call("GET", "/containers/json?all=1")[1]):
            self.call("DELETE", "/containers/%s?force=1&v=1" % c["Id"])
        for v in json.loads(self.call("GET", "/volumes")[1])["Volumes"] or []:
            self.call("DELETE", "/volumes/%s?force=1" % urllib.parse.quote(v["Name"], safe=""))
        self.call("POST", "/images/busybox/tag?repo=keep")
        for i in json.loads(self.call("GET", "/images/json?all=1")[1]):
            for t in (i["RepoTags"] or [i["Id"]]):
                if t not in ("busybox:latest", "keep:latest"):
                    self.call("DELETE", "/images/%s?force=1" % urllib.parse.quote(t, safe=""))
        if self.call("GET", "/images/busybox/json")[0] != 200:
            self.call("POST", "/images/keep/tag?repo=busybox")
        self.exec = None

    def ready(self):
        """Whatever the last case did, the next finds the same."""
        status, text = self.call("GET", "/containers/probe/json")
        state = json.loads(text).get("State", {}) if status == 200 else {}
        if not state.get("Running") or state.get("Paused") or state.get("Restarting") or not self.exec:
            self.clean()
            # a process of its own ends with each signal
            body = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"], "Tty": True, "HostConfig": {"NetworkMode": "none"}}
            self.call("POST", "/containers/create?name=probe", dump(body))
            self.call("POST", "/containers/probe/start")
            self.exec = json.loads(self.call("POST", "/containers/probe/exec", dump({"Cmd": ["true"]}))[1]).get("Id", "none")
        if self.call("GET", "/images/probe/json")[0] != 200:
            self.call("POST", "/images/keep/tag?repo=busybox")
            self.call("POST", "/images/busybox/tag?repo=probe")
        if self.call("GET", "/volumes/probe")[0] != 200:
            self.call("POST", "/volumes/create", b'{"Name":"probe"}')

    def held(self):
        return len(os.listdir("/proc/%d/fd" % PID)), status_of(PID, "Threads"), status_of(PID, "VmRSS")


class Schema:
    def __init__(self):
        name = max((x for x in os.listdir(FOLDER) if re.fullmatch(r"v\d+\.\d+\.yaml", x)), key=lambda x: [int(n) for n in re.findall(r"\d+", x)])
        with open(os.path.join(FOLDER, name), encoding="utf8") as f:
            self.doc = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.name = name

    def operations(self):
        for path, methods in self.doc["paths"].items():
            for method, op in methods.items():
                if isinstance(op, dict) and (not ONLY or ONLY == "%s %s" % (method.upper(), path)):
                    yield method.upper(), path, [self.resolve(p) for p in op.get("parameters", [])]

    def resolve(self, s):
        if "$ref" in s:
            at = self.doc
            for k in s["$ref"].split("/")[1:]:
                at = at.get(k, {})
            return self.resolve(at)
        return s

    def value(self, s, depth=0):
        """One value with every member that the schema knows."""
        s = self.resolve(s)
        if depth > 8:
            return None
        if "allOf" in s:
            out = {}
            for x in s["allOf"]:
                got = self.value(x, depth)
                out.update(got if isinstance(got, dict) else {})
            return out
        if "properties" in s:
            return {k: self.value(x, depth + 1) for k, x in s["properties"].items()}
        kind, sample = s.get("type"), s.get("example", s.get("default"))
        if kind == "object":
            extra = s.get("additionalProperties")
            return {"k": self.value(extra, depth + 1)} if isinstance(extra, dict) else {}
        if kind == "array":
            return [self.value(s.get("items", {}), depth + 1)]
        if "enum" in s:
            return s["enum"][-1]
        default = {"string": "x", "integer": 1, "number": 1.5, "boolean": True}.get(kind)
        return sample if type(sample) is type(default) else default

    def least(self, path, s):
        s = self.resolve(s)
        parts = [self.resolve(x) for x in s.get("allOf", [s])]
        need = {k: self.value(x["properties"][k]) for x in parts for k in x.get("required", []) if k in x.get("properties", {})}
        for k in need:
            need[k] = "mm" if k == "Name" else need[k]
        return copy.deepcopy(LEAST.get(path, need))


def places(v, at=()):
    yield at
    for k in v if isinstance(v, dict) else range(len(v)) if isinstance(v, list) else ():
        yield from places(v[k], at + (k,))


def follow(v, at):
    for k in at:
        v = v[k]
    return v


def only(full, least, at):
    """Of the full value no more than the place needs: what is around it in lists and maps, and the least."""
    if not at or not isinstance(full, dict):
        return copy.deepcopy(full) if at else copy.deepcopy(least or full)
    out = copy.deepcopy(least) if isinstance(least, dict) else {}
    out[at[0]] = only(full[at[0]], out.get(at[0]), at[1:]) if at[1:] else copy.deepcopy(full[at[0]])
    return out


class Faults:
    """Values and requests with one fault, by a generator of random numbers of their own."""

    def __init__(self, seed):
        self.rnd = random.Random(seed)

    def odd(self, kind, old):
        pick = self.rnd.choice
        if kind == "swapped":
            return pick([x for x in (None, True, 7, 1.5, "text", [], [1], ["x"], {}, {"a": 1}, [{}], {"a": None}) if type(x) is not type(old)])
        if kind == "huge":
            return pick(["x" * 70000, "é" * 600000, [old] * 3000, {"k%d" % i: old for i in range(3000)}, ["x" * 300] * 2000, "a," * 20000])
        if kind == "nested":
            return Raw(pick((DEEP, "[" * 20000, '{"a":' * 60 + "1" + "}" * 60, '{"a":' * 20000, "[" * 31 + "]" * 31, '[{"a":' * 40 + "[]" + "}]" * 40)))
        if kind == "utf8":
            return Raw(pick(('"\xff\xfe\xc0\x80"', '"\\ud800"', '"\\u0000"', '"\xed\xa0\x80"', '"\xf5\x80\x80\x80"', '"\xc3"', '"a\xe2\x82"', '"\\udc00\\ud800"', '"\x01"')))
        if kind == "range":
            return Raw(pick(NUMBERS))
        return pick(TEXTS)

    def body(self, kind, full, least):
        """The bytes of one; None where the kind has nothing to break."""
        at = self.rnd.choice(list(places(full)))
        v = only(full, least, at) if self.rnd.random() < .5 else copy.deepcopy(full)
        if kind == "whole":
            return self.whole(dump(v))
        if not at or (kind in ("missing", "unknown") and not isinstance(at[-1], str)):
            if kind in ("missing", "unknown"):
                return dump(dict(v, **{self.rnd.choice(("Unknown", "", "__proto__", "a\0b")): full}) if isinstance(v, dict) else [])
            return dump(self.odd(kind, v))
        inside = follow(v, at[:-1])
        if kind == "missing":
            del inside[at[-1]]
        elif kind == "unknown":
            new = self.rnd.choice((at[-1] + "x", at[-1].lower(), at[-1].upper(), Raw('"\xff"'), Raw(json.dumps(at[-1])), "x" * 70000, at[-1] + "\0"))
            inside[new] = inside[at[-1]]
        else:
            inside[at[-1]] = self.odd(kind, inside[at[-1]])
        return dump(v)

    def whole(self, text):
        at = self.rnd.randrange(len(text) + 1)
        return self.rnd.choice((text[:at], text + b"x", text + b"{}", text[:at] + bytes([self.rnd.randrange(256)]) + text[at + 1:], b"\xef\xbb\xbf" + text,
                                text.decode("latin1").encode("utf-16"), text.replace(b'"', b"'"), b"", b"null", b"[]", b"7", b'"x"', b" " * 200000 + text, b"\0" + text))

    def data(self, kind):
        """Of what is no JSON: archives that are none."""
        tar = b"f".ljust(100, b"\0") + b"0000644\0" * 3 + b"77777777777\0" * 2 + b"        0" + b"\0" * 100 + b"ustar\00000"
        return {"huge": b"\0" * 1500000, "missing": b"", "utf8": b"\xff\xfe" * 400, "nested": DEEP.encode(), "range": tar.ljust(512, b"\0") + b"x" * 512}.get(
            kind, bytes(self.rnd.randrange(256) for _ in range(self.rnd.randrange(1500))))

    def text(self, kind, old):
        """Of a parameter, percent-encoded; None: it goes."""
        if kind == "missing":
            return None
        if kind == "utf8":
            return self.rnd.choice(("%ff%fe", "%c0%80", "a%00b", "%ed%a0%80", "%", "%zz", "%f5%80%80%80"))
        v = self.rnd.choice(("[]", "{}", "true", "7", "null", "x", "1.5")) if kind == "swapped" else "x" * 12000 if kind == "huge" else self.odd(kind, old)
        return urllib.parse.quote(str(v).encode("utf8", "surrogatepass"))[:15000]

    def filters(self, kind, names):
        full = {n: {"x": True} if self.rnd.random() < .5 else [self.rnd.choice(("x", "true", "24h", "probe", "a=b", "0"))]
                for n in self.rnd.sample(names, min(len(names), self.rnd.randrange(3)))}
        return urllib.parse.quote(self.body(kind, full or {"label": ["x"]}, {}))[:15000]

    def request(self, path, params, kind, seed_body):
        """Path, query, headers and body with one fault in one of them."""
        by = {"path": [], "query": [], "header": [], "body": []}
        for p in params:
            by[p["in"]].append(p)
        # whole requests without parameters have their faults in a query and a body that nobody asked for
        where = self.rnd.choice([w for w in by if by[w]] + ["body"] * 3 * bool(by["body"]) + ["query"] * bool(by["query"])) if params else self.rnd.choice(("query", "body"))
        names, query, headers, body = {}, [], {}, None
        target = self.rnd.choice(by[where])["name"] if by[where] else None
        for p in by["query"]:
            name, hit = p["name"], where == "query" and p["name"] == target
            value = urllib.parse.quote(VALID.get(name, "1")) if p.get("required") or name in VALID and self.rnd.random() < .6 else None
            if hit and name == "filters" and self.rnd.random() < .8:
                value = self.filters(kind, re.findall(r"`([a-z][a-z-]*!?)[=`]", p.get("description", "")) + ["label", "nosuch"])
            elif hit and kind == "unknown":
                query += ["%s=%s" % (self.rnd.choice((name + "x", name.upper(), "", name)), self.text("swapped", ""))]
            elif hit:
                value = self.text(kind, value)
            if value is not None:
                query.append(name + "=" + value)
        if where == "query" and not by["query"]:
            query.append("x=" + str(self.text(kind, "")))
        for p in by["header"]:
            hit = where == "header" and p["name"] == target
            headers[p["name"]] = urllib.parse.unquote_to_bytes(self.text(kind, "") or "").replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\0", b" ")[:7000] if hit else b"e30="
        for p in by["path"]:
            names[p["name"]] = (self.text(kind, "probe") or "") if where == "path" else None
        if seed_body is not None:
            full, least = seed_body
            faulty = where == "body"
            body = self.data(kind) if full is None else self.body(kind, full, least) if faulty else dump(least)
            headers.setdefault("Content-Type", "application/x-tar" if full is None else "application/json")
            if faulty and kind == "unknown" and self.rnd.random() < .1:
                headers["Content-Type"] = "text/x-nothing"
        elif where == "body":
            body = self.body(kind, {"a": 1}, {})
        return names, "&".join(query), headers, body


class Campaign:
    def __init__(self):
        self.daemon, self.schema = Daemon(), Schema()
        self.wrong, self.slow, self.seen, self.absent, self.waited = [], [], {}, set(), 0

    def where(self, path, names):
        """The path with names of what is there, where the case has no other."""
        there = {"/networks": "none", "/exec": self.daemon.exec}.get("/" + path.split("/")[1], "probe")
        return re.sub(r"\{([^}:]*)[^}]*\}", lambda m: names.get(m.group(1)) if names.get(m.group(1)) is not None else there, path)

    def seed_body(self, path, params):
        for p in params:
            if p["in"] == "body":
                schema = self.schema.resolve(p["schema"])
                if schema.get("format") == "binary" or schema.get("type") == "string":
                    return None, None
                return self.schema.value(schema), self.schema.least(path, schema)
        return None

    def one(self, method, path, params, kind, faults, seed_body):
        names, query, headers, body = faults.request(path, params, kind, seed_body)
        stream = path.endswith(STREAMS)
        if path.endswith("/ws"):
            headers.update(WEBSOCKET)
        target = self.where(path, names) + ("?" + query if query else "")
        start = time.monotonic()
        status, text = self.daemon.call(method, target, body, headers, .05 if stream or path in WAITS else None, 1 if path in WAITS else PATIENCE)
        took = time.monotonic() - start
        self.seen[status] = self.seen.get(status, 0) + 1
        if status == 501:
            self.absent.add(method + " " + path)
        case = (kind, method, target[:300], (body or b"")[:600], status, text[:300])
        if status == -1 and path in WAITS:
            self.waited += 1
        elif status <= 0 or (status >= 500 and status != 501 and not (status == 503 and "swarm" in text) and not unreached(status, text)
                               and "is not connected to network" not in text):  # 500, as Docker's
            self.wrong.append(case)
        elif status >= 400 and method != "HEAD" and not self.words(path, text):
            self.wrong.append(("no words",) + case)
        if took > PATIENCE / 2:
            self.slow.append((took,) + case)
        if method != "GET" and (0 <= status < 400 or status == -1):
            self.daemon.ready()

    @staticmethod
    def words(path, text):
        if path.endswith("/attach") and text.endswith("\r\n"):  # what was to be a stream is a line of text, as Docker has it
            return len(text) > 2
        try:
            return len(json.loads(text)["message"]) > 0
        except (ValueError, KeyError, TypeError):
            return False

    def round(self, first, last):
        """Cases FIRST to LAST of every operation."""
        for method, path, params in self.schema.operations():
            seed_body = self.seed_body(path, params)
            self.daemon.ready()
            for n in range(first, last):
                # each case has a seed of its own: fewer cases are the same cases
                faults = Faults("%s %s %s %d" % (SEED, method, path, n))
                self.one(method, path, params, KINDS[n % len(KINDS)], faults, seed_body)
                if not os.path.exists("/proc/%d" % PID):
                    return False
        return True

    def run(self):
        half = max(CASES // 2, 1)
        print("# SEED=%s CASES=%d of %s" % (SEED, CASES, self.schema.name))
        self.daemon.clean()
        alive = self.round(0, half)
        if alive:
            self.daemon.clean()
            warm = self.settled()
            alive = self.round(half, CASES)
        total = sum(self.seen.values())
        print("# %s; %d waited for a container" % (", ".join("%d: %d" % x for x in sorted(self.seen.items())), self.waited))
        print("# not in this build, in words: %d operations: %s" % (len(self.absent), ", ".join(sorted(self.absent))))
        ok(alive, "the daemon lives")
        ok(total >= CASES * 50 or ONLY, "every operation has been asked (%d requests)" % total)
        first = {(x[0] == "no words", x[1], x[2].split("?")[0][:60], x[5][:80] if isinstance(x[5], str) else x[4]): x for x in reversed(self.wrong)}
        ok(not self.wrong, "none answers with a fault of its own, refusals have words", "%d: %s" % (len(self.wrong), "\n".join(str(x) for x in first.values())))
        ok(not self.slow, "each in time", self.slow[:4])
        if alive:
            self.daemon.clean()
            now = self.settled(warm)
            ok(now[0] <= warm[0] + 2, "no descriptors are kept", "%d, then %d" % (warm[0], now[0]))
            ok(now[1] <= warm[1] + 2, "no threads", "%d, then %d" % (warm[1], now[1]))
            for _ in range(3):
                # memory of threads that were not there before, or a leak, which comes again with the same cases
                if now[2] - warm[2] <= 4096:
                    break
                self.round(half, CASES)
                self.daemon.clean()
                warm, now = now, self.settled(warm)
            print("# %d KiB, then %d" % (warm[2], now[2]))
            small(now[2] - warm[2] <= 4096, "no memory", "%d KiB, then %d" % (warm[2], now[2]))
            ok(self.daemon.call("GET", "/_ping") == (200, "OK"), "the daemon is well")
        return plan()

    def settled(self, want=None):
        """What it holds when the last streams have gone: their ends are seen a little later."""
        end = time.monotonic() + PATIENCE
        now = self.daemon.held()
        while time.monotonic() < end:
            time.sleep(.3)
            last, now = now, self.daemon.held()
            if now[:2] == last[:2] and (not want or now[0] <= want[0] + 2 and now[1] <= want[1] + 2):
                break
        return now


sys.exit(Campaign().run())
