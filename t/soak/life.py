# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kinds of work of a soak. Each takes a worker, makes things of its own, and checks what it is answered."""
import hashlib
import http.client
import io
import json
import os
import random
import socket
import tarfile
import threading
import time
import traceback
from urllib.parse import quote

from work import BASE, archive, layer_tar
from world import Lost

SLOW = int(os.environ.get("DKD_SLOW", "1"))
PATIENCE = 60 * SLOW
SLEEP = ["sleep", "100000"]
REFUSED = [*range(400, 500), 501]  # 501: the logs of what keeps none
PROBE = {"Test": ["CMD", "true"], "Interval": 200_000_000, "Timeout": 30_000_000_000 * SLOW, "Retries": 100}


class Broken(Exception):
    """Something is not as it has to be."""


class Interrupted(Exception):
    """The daemon ended meanwhile: whatever was under way may be so or so."""


class Worker:
    """Does one piece of work after the other; its own things have names that begin with its number."""

    def __init__(self, soak, number):
        self.soak, self.n, self.count, self.doing = soak, number, 0, ""
        self.rng = random.Random(f"{soak.seed}/{number}")
        self.epoch, self.mine = 0, []
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while self.soak.gate(self):
            self.epoch = self.soak.epoch
            kind = self.rng.choices(list(KINDS), [KINDS[k][1] for k in KINDS])[0]
            self.doing, begin = kind, time.monotonic()
            self.attempt(kind, KINDS[kind][0])
            self.soak.note(kind, time.monotonic() - begin)
            self.doing = "tidy"
            self.attempt("tidy", Worker.tidy)
            self.doing = ""

    def attempt(self, kind, what):
        try:
            what(self)
        except Interrupted:
            self.soak.note("interrupted", 0)
        except Broken as e:
            self.soak.fault(f"{kind}: {e}")
        except Exception as e:  # of a stream that was cut, or of this program
            if not self.disturbed():
                self.soak.fault(f"{kind}: {e!r} {traceback.format_exc(limit=-3)}")

    def tidy(self):
        mine, self.mine = self.mine, []
        for path in reversed(mine):
            self.call("DELETE", path, want=(404, 409))

    def disturbed(self):
        return self.soak.disturbed(self.epoch)

    def check(self, good, what):
        if not good:
            raise Interrupted if self.disturbed() else Broken(what)

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.n}x{self.count}"

    # Requests

    def call(self, method, path, body=None, want=(), ctype="application/x-tar", timeout=PATIENCE):
        """The body of the answer; WANT: statuses from 400 on that are right, too."""
        try:
            status, data = self.soak.world.client.raw(method, path, body, ctype if isinstance(body, bytes) else None, timeout)
        except Lost as e:
            raise Interrupted if self.disturbed() else Broken(str(e)) from e
        self.soak.answered(status)
        if status >= 400 and status not in want:
            raise Interrupted if self.disturbed() else Broken(f"{method} {path}: {status} {data[:300].decode(errors='replace')}")
        if b'"errorDetail"' in data[-2000:] and not path.startswith("/images/get"):
            raise Interrupted if self.disturbed() else Broken(f"{method} {path}: {data[-300:].decode(errors='replace')}")
        return data

    def get(self, path, **args):
        return json.loads(self.call("GET", path, **args))

    def dial(self, method, path, body=None, upgrade=False):
        """A connection after its answer's head, and whatever came behind it."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        try:
            s.connect(self.soak.world.sock)
            data = b"" if body is None else json.dumps(body).encode()
            s.sendall((f"{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
                       + ("Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else "") + "\r\n").encode() + data)
            raw = b""
            while b"\r\n\r\n" not in raw:
                got = s.recv(4096)
                if not got:
                    break
                raw += got
        except OSError as e:
            s.close()
            raise Interrupted if self.disturbed() else Broken(f"{method} {path}: {e!r}") from e
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = int(head[9:12] or b"0")
        self.soak.answered(status)
        if status not in (101, 200):
            s.close()
            raise Interrupted if self.disturbed() else Broken(f"{method} {path}: {head + rest!r}")
        return s, rest

    # Pieces

    def create(self, cmd, host=None, image=BASE, keep=False, **config):
        name = self.name("c")
        config.update(Image=image, Cmd=cmd, HostConfig={"NetworkMode": "none", **(host or {})}, Labels={"soak": str(self.n)}, StopTimeout=1)
        if not keep:
            self.mine.append(f"/containers/{name}?force=1&v=1")
        self.call("POST", "/containers/create?name=" + name, config)
        return name

    def run(self, cmd, host=None, **config):
        name = self.create(cmd, host, **config)
        self.call("POST", f"/containers/{name}/start")
        return name

    def wait(self, name, condition="not-running"):
        return json.loads(self.call("POST", f"/containers/{name}/wait?condition={condition}"))["StatusCode"]

    def state(self, name):
        return self.get(f"/containers/{name}/json")["State"]

    def until(self, good, what, seconds=20):
        end = time.monotonic() + seconds * SLOW
        while not good():
            self.check(time.monotonic() < end, what)
            time.sleep(.05)

    def exec(self, name, cmd, **config):
        ex = json.loads(self.call("POST", f"/containers/{name}/exec", {"Cmd": cmd, "AttachStdout": True, "AttachStderr": True, **config}))["Id"]
        out = parts(self.call("POST", f"/exec/{ex}/start", {"Detach": False, "Tty": False}))
        return self.get(f"/exec/{ex}/json")["ExitCode"], out

    def logs(self, name, query=""):
        return parts(self.call("GET", f"/containers/{name}/logs?stdout=1&stderr=1{query}"))

    def read(self, s, raw, until=None):
        """What comes, to the end or until it holds so many bytes."""
        raw = bytearray(raw)
        while until is None or len(raw) < until:
            got = s.recv(65536)
            if not got:
                break
            raw += got
        return bytes(raw)


def parts(raw):
    """What a stream of standard output and error holds."""
    out, at = bytearray(), 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4:at + 8], "big")
        out += raw[at + 8:at + 8 + size]
        at += 8 + size
    return bytes(out)


def some_host(w):
    """A HostConfig with a few settings that any command lives with."""
    rng = w.rng
    driver = rng.choice(w.soak.drivers)
    all_ = [{"Memory": 64 << 20}, {"PidsLimit": 50}, {"NanoCpus": 500_000_000}, {"Tmpfs": {"/t": "size=1m"}}, {"ReadonlyRootfs": True}, {"Init": True}, {"CpuShares": 100},
            {"Ulimits": [{"Name": "nofile", "Soft": 500, "Hard": 600}]}, {"CapDrop": ["ALL"]}, {"CapAdd": ["SYS_TIME"]}, {"ShmSize": 1 << 20}, {"IpcMode": "private"},
            {"IpcMode": "host"}, {"UTSMode": "host"}, {"PidMode": "host"}, {"Sysctls": {"kernel.shm_rmid_forced": "1"}}, {"SecurityOpt": ["no-new-privileges"]},
            {"SecurityOpt": ["seccomp=unconfined"]}, {"Privileged": True}, {"GroupAdd": ["users"]}, {"ExtraHosts": ["a:1.2.3.4"]}, {"Dns": ["1.1.1.1"]}, {"OomScoreAdj": 100},
            {"NetworkMode": "bridge"}, {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostPort": ""}]}}, {"NetworkMode": "host"}, {"CgroupnsMode": "host"},
            {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/xx", "CgroupPermissions": "rw"}]}, {"Binds": ["/usr:/x:ro"]}, {"CpusetCpus": "0"},
            {"Mounts": [{"Type": "tmpfs", "Target": "/u"}]}, {"Mounts": [{"Type": "volume", "Target": "/v"}]}, {"Mounts": [{"Type": "image", "Source": BASE, "Target": "/i"}]},
            {"LogConfig": {"Type": driver, "Config": w.soak.log_config.get(driver, {})}}]
    host = {}
    for x in rng.sample(all_, rng.randrange(4)):
        host.update(x)
    if host.get("IpcMode") == "host":
        host.pop("Sysctls", None)  # they would be the host's
    return host


# Each is one piece of work.

def run_rm(w):
    code = w.rng.randrange(4)
    name = w.create(["sh", "-c", f"echo out; echo err >&2; exit {code}"], {**some_host(w), "AutoRemove": True})
    s, raw = w.dial("POST", f"/containers/{name}/attach?stream=1&stdout=1&stderr=1", upgrade=True)
    with s:
        waiter, _ = w.dial("POST", f"/containers/{name}/wait?condition=removed")
        with waiter:
            w.call("POST", f"/containers/{name}/start")
            out = parts(w.read(s, raw))
            w.check(sorted(out.split()) == [b"err", b"out"], f"run --rm: its output is {out!r}")
            got = w.read(waiter, b"")
            w.check(f'"StatusCode":{code}'.encode() in got.replace(b" ", b""), f"run --rm: exit code {code} is told as {got!r}")
    w.call("GET", f"/containers/{name}/json", want=(404,))


def echo(w):
    size = w.rng.randrange(1, 300_000)
    name = w.create(["sh", "-c", "cat; exit 7"], OpenStdin=True, StdinOnce=True, AttachStdin=True)
    s, raw = w.dial("POST", f"/containers/{name}/attach?stream=1&stdin=1&stdout=1", upgrade=True)
    with s:
        w.call("POST", f"/containers/{name}/start")
        text = w.rng.randbytes(size)

        def send():
            try:
                s.sendall(text)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        sender = threading.Thread(target=send)
        sender.start()
        got = parts(w.read(s, raw))
        sender.join()
    w.check(got == text, f"echo: {len(got)} of {size} bytes")
    w.check(w.wait(name) == 7, "echo: another exit code")


def long_life(w):
    probed = w.rng.random() < .5
    host = {"RestartPolicy": {"Name": "unless-stopped"}} if w.rng.random() < .3 else {}
    name = w.run(SLEEP, host, **({"Healthcheck": PROBE} if probed else {}))
    if probed:
        w.until(lambda: (w.state(name).get("Health") or {}).get("Status") == "healthy", "never healthy")
    for _ in range(w.rng.randrange(3, 14)):
        name = w.rng.choice(STEPS)(w, name) or name
        w.check(w.state(name)["Status"] == "running", f"{name} is {w.state(name)}")
    how = w.rng.randrange(3)
    if how == 0:
        w.call("POST", f"/containers/{name}/stop?t=0")
        w.check(w.state(name)["Status"] == "exited", "stopped, yet it is not")
        w.call("DELETE", f"/containers/{name}")
    elif how == 1:
        w.call("DELETE", f"/containers/{name}?force=1&v=1")


def s_exec(w, name):
    code, text = w.rng.randrange(3), str(w.rng.random())
    got = w.exec(name, ["sh", "-c", f"echo {text}; exit {code}"])
    w.check(got == (code, text.encode() + b"\n"), f"exec: {got}, not {code} {text}")


def s_exec_detached(w, name):
    ex = json.loads(w.call("POST", f"/containers/{name}/exec", {"Cmd": ["true"], "Tty": w.rng.random() < .5}))["Id"]
    w.call("POST", f"/exec/{ex}/start", {"Detach": True})
    w.until(lambda: not w.get(f"/exec/{ex}/json")["Running"], "an exec never ends")


def s_copy(w, name):
    data = w.rng.randbytes(w.rng.randrange(1, 200_000))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("f")
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    w.call("PUT", f"/containers/{name}/archive?path=/tmp", out.getvalue())
    with tarfile.open(fileobj=io.BytesIO(w.call("GET", f"/containers/{name}/archive?path=/tmp/f"))) as t:
        w.check(t.extractfile("f").read() == data, "cp: other bytes come back")
    w.call("HEAD", f"/containers/{name}/archive?path=/tmp/f")


def s_export(w, name):
    with tarfile.open(fileobj=io.BytesIO(w.call("GET", f"/containers/{name}/export"))) as t:
        w.check("bin/busybox" in t.getnames(), "export: no busybox")


def s_commit(w, name):
    tag = w.name("commit") + ":a"
    w.mine.append("/images/" + tag)
    w.call("POST", f"/commit?container={name}&repo={tag[:-2]}&tag=a&pause={w.rng.randrange(2)}&changes=ENV%20A=b", {})
    w.check("A=b" in w.get(f"/images/{tag}/json")["Config"]["Env"], "commit: no change")
    w.call("DELETE", "/images/" + tag)


def s_pause(w, name):
    w.call("POST", f"/containers/{name}/pause")
    w.check(w.state(name)["Paused"], "paused, yet it is not")
    w.call("POST", f"/containers/{name}/exec", {"Cmd": ["true"]}, want=(409,))
    w.call("POST", f"/containers/{name}/unpause")


def s_update(w, name):
    shares = w.rng.randrange(10, 1000)
    w.call("POST", f"/containers/{name}/update", {"CpuShares": shares, "PidsLimit": 100, "RestartPolicy": {"Name": w.rng.choice(["no", "always", "unless-stopped"])}})
    w.check(w.get(f"/containers/{name}/json")["HostConfig"]["CpuShares"] == shares, "update: another value")


def s_rename(w, name):
    new = w.name("r")
    w.mine.append(f"/containers/{new}?force=1&v=1")
    w.call("POST", f"/containers/{name}/rename?name={new}")
    w.call("GET", f"/containers/{name}/json", want=(404,))
    return new


def s_restart(w, name):
    w.call("POST", f"/containers/{name}/restart?t=0")


def s_kill(w, name):
    w.call("POST", f"/containers/{name}/update", {"RestartPolicy": {"Name": "no"}})
    w.call("POST", f"/containers/{name}/kill")
    w.check(w.wait(name) == 137, "killed with another code")
    w.call("POST", f"/containers/{name}/start")


def s_look(w, name):
    w.check(w.get(f"/containers/{name}/stats?stream=0")["pids_stats"]["current"] >= 1, "stats: nobody there")
    w.check("sleep" in json.dumps(w.get(f"/containers/{name}/top?ps_args=-ef")), "top: no sleep")
    w.get(f"/containers/{name}/changes")
    w.logs(name, "&tail=10")
    w.call("POST", f"/containers/{name}/resize?h=20&w=70", want=(400, 409))


def s_stats(w, name):
    """Two answers of a stream that goes on."""
    s, raw = w.dial("GET", f"/containers/{name}/stats")
    with s:
        w.check(len(w.read(s, raw, 4000)) >= 4000, "stats: the stream ends")


STEPS = [s_exec, s_exec, s_exec_detached, s_copy, s_export, s_commit, s_pause, s_update, s_rename, s_restart, s_kill, s_look, s_stats]


def policies(w):
    if w.rng.random() < .6:
        n = w.rng.randrange(1, 4)
        name = w.run(["sh", "-c", "exit 3"], {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": n}})
        w.until(lambda: w.state(name)["Status"] == "exited", "on-failure: it never stays down")
        c = w.get(f"/containers/{name}/json")
        w.check((c["RestartCount"], c["State"]["ExitCode"]) == (n, 3), f"on-failure:{n}: {c['RestartCount']}, {c['State']}")
        return
    name = w.run(["sleep", "0.2"], {"RestartPolicy": {"Name": "always"}})
    w.until(lambda: w.get(f"/containers/{name}/json")["RestartCount"] >= 2, "always: no restarts")
    w.call("POST", f"/containers/{name}/stop?t=0", want=(304,))
    w.check(w.state(name)["Status"] == "exited", f"always: stopped, yet {w.state(name)}")


def images(w):
    tag = w.name("load") + ":a"
    layers = [layer_tar(w.rng, w.rng.randrange(20_000, 800_000), prefix=f"l{i}") for i in range(w.rng.randrange(1, 4))]
    data, image = archive(tag, layers)
    other = w.name("other") + ":b"
    w.mine += ["/images/" + tag, "/images/" + other]
    w.call("POST", "/images/load?quiet=1", data)
    w.call("POST", f"/images/{tag}/tag?repo={other[:-2]}&tag=b")
    w.check(w.get(f"/images/{other}/json")["Id"] == image, "tag: another image")
    w.check(len(w.get(f"/images/{tag}/history")) == len(layers), "history: not its layers")
    with tarfile.open(fileobj=io.BytesIO(w.call("GET", f"/images/get?names={quote(tag)}"))) as t:
        entry = json.load(t.extractfile("manifest.json"))[0]
        w.check("sha256:" + hashlib.sha256(t.extractfile(entry["Config"]).read()).hexdigest() == image, "save: another configuration")
        got = {hashlib.sha256(t.extractfile(m).read()).digest() for m in t.getmembers() if m.isfile()}
        w.check(all(hashlib.sha256(l).digest() in got for l in layers), "save: not its layers")
    name = w.create(["true"], image=tag)
    w.call("DELETE", "/images/" + other)
    w.call("DELETE", "/images/" + tag, want=(409,))
    w.call("DELETE", f"/containers/{name}")
    w.call("DELETE", "/images/" + tag, want=(404,))


def import_(w):
    repo = w.name("import")
    w.mine.append(f"/images/{repo}:a")
    w.call("POST", f"/images/create?fromSrc=-&repo={repo}&tag=a&changes=CMD%20x", layer_tar(w.rng, w.rng.randrange(20_000, 900_000)))
    w.check(w.get(f"/images/{repo}:a/json")["Config"]["Cmd"], "import: no change")


def volumes(w):
    name = w.name("v")
    w.mine.append(f"/volumes/{name}?force=1")
    w.call("POST", "/volumes/create", {"Name": name, "Labels": {"l": "x"}})
    text = str(w.rng.random())
    first = w.run(["sh", "-c", f"echo {text} > /etc/new"], {"Binds": [name + ":/etc"]}, Volumes={"/anonymous": {}})
    w.check(w.wait(first) == 0, "the first of a volume fails")
    second = w.run(["sh", "-c", "cat /v/new; grep -c root /v/passwd"], {"Mounts": [{"Type": "volume", "Source": name, "Target": "/v", "ReadOnly": True}]})
    w.check(w.wait(second) == 0 and w.logs(second) == f"{text}\n1\n".encode(), f"a volume holds {w.logs(second)!r}")
    w.call("DELETE", "/volumes/" + name, want=(409,))
    third = w.run(SLEEP, {"VolumesFrom": [second]})
    w.check(w.exec(third, ["cat", "/v/new"])[0] == 0, "volumes-from: nothing there")


def logs(w):
    driver, n = w.rng.choice(w.soak.drivers), w.rng.randrange(1, 3000)
    config = {"max-size": "-1"} if driver == "json-file" and w.rng.random() < .5 else {}
    config.update(w.soak.log_config.get(driver, {}))
    if w.rng.random() < .3:
        config["mode"] = "non-blocking"
    name = w.run(["sh", "-c", f"sleep .3; seq {n}; sleep .2"], {"LogConfig": {"Type": driver, "Config": config}})
    want = "".join(f"{i}\n" for i in range(1, n + 1)).encode()
    if driver == "none":
        w.call("GET", f"/containers/{name}/logs?stdout=1", want=(400, 501))
        w.wait(name)
        return
    got = w.logs(name, "&follow=1")
    w.check(got == want, f"{driver} {config}: followed {len(got)} of {len(want)} bytes, {got[-20:]!r}")
    w.wait(name)
    got = w.logs(name)
    w.check(got == want, f"{driver} {config}: {len(got)} of {len(want)} bytes, {got[-20:]!r}")
    w.check(w.logs(name, "&tail=1") == f"{n}\n".encode(), f"{driver}: another tail")


def rotation(w):
    """Much more than the files hold, with a reader that follows, whatever it misses."""
    driver = w.rng.choice(["json-file", "local"])
    config = {"max-size": "100k", "max-file": "3", "compress": w.rng.choice(["true", "false"])}
    name = w.run(["sh", "-c", "seq 40000; sleep .1; echo end"], {"LogConfig": {"Type": driver, "Config": config}})
    s, raw = w.dial("GET", f"/containers/{name}/logs?stdout=1&follow=1")
    with s:
        got = w.read(s, raw)
    w.check(b"end" in got[-60:], f"rotation {driver}: the follower's end is {got[-40:]!r}")
    w.wait(name)
    w.check(w.logs(name).endswith(b"end\n"), f"rotation {driver}: the end is {w.logs(name)[-40:]!r}")


def stuck(w):
    """Readers that do not read: the container's other things go on, it ends when it is told to."""
    log = w.rng.choice(["json-file", "local", "none"])
    name = w.run(["sh", "-c", "while :; do seq 1000; done"], {"LogConfig": {"Type": log, "Config": {}}})
    held = [w.dial("POST", f"/containers/{name}/attach?stream=1&stdout=1", upgrade=w.rng.random() < .5)[0] for _ in range(w.rng.randrange(1, 4))]
    if log != "none":
        held += [w.dial("GET", f"/containers/{name}/logs?stdout=1&follow=1")[0]]
    held += [w.dial("GET", "/events")[0], w.dial("GET", f"/containers/{name}/stats")[0]]
    try:
        time.sleep(w.rng.random() * 2)
        w.check(w.exec(name, ["echo", "in"]) == (0, b"in\n"), "stuck: no exec")
        w.state(name)
        w.call("POST", f"/containers/{name}/kill")
        w.check(w.wait(name) == 137, "stuck: another code")
    finally:
        for s in held:
            s.close()


def fight(w):
    """Several clients do what they like with one container: anything may be refused, nothing may break."""
    auto = w.rng.random() < .2
    name = w.run(["sh", "-c", "trap 'exit 0' TERM; while :; do echo x; sleep .1; done"], {"AutoRemove": auto, **some_host(w)}, Healthcheck=PROBE)
    cid = json.loads(w.call("GET", f"/containers/{name}/json", want=(404,))).get("Id", name)
    end = time.monotonic() + 2 + w.rng.random() * 2
    errors = []

    def fighter(seed):
        rng = random.Random(seed)
        while time.monotonic() < end and not w.disturbed():
            method, path, body = rng.choice(BLOWS)
            try:
                if method == "EXEC":
                    enter(w, cid, rng)
                    continue
                if method == "PEEK":
                    peek(w, f"/containers/{cid}{path}", rng)
                    continue
                if b"No such container" in w.call(method, f"/containers/{cid}{path}", body(rng) if callable(body) else body, want=REFUSED):
                    return
            except (Broken, Interrupted) as e:
                if isinstance(e, Broken):
                    errors.append(str(e))
                return
    crowd = [threading.Thread(target=fighter, args=(w.rng.random(),)) for _ in range(3)]
    for t in crowd:
        t.start()
    for t in crowd:
        t.join()
    w.check(not errors, "fight: " + "; ".join(errors[:2]))
    w.call("DELETE", f"/containers/{cid}?force=1&v=1", want=(404, 409))


def enter(w, name, rng):
    """An exec, as far as it comes."""
    ex = json.loads(w.call("POST", f"/containers/{name}/exec", {"Cmd": ["sh", "-c", "echo in; sleep .1"], "AttachStdout": True}, want=REFUSED)).get("Id")
    if ex:
        peek(w, f"/exec/{ex}/start", rng, {"Detach": rng.random() < .3})  # a pause may come into it
        w.call("GET", f"/exec/{ex}/json", want=(404,))


def peek(w, path, rng, body=None):
    """A stream for a moment; a refusal is fine."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        try:
            s.connect(w.soak.world.sock)
            data = b"" if body is None else json.dumps(body).encode()
            s.sendall(f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
            s.settimeout(rng.random() / 2)
            head = s.recv(500)
        except OSError:
            return
        if head[9:10] == b"5":
            raise Interrupted if w.disturbed() else Broken(f"{path}: {head!r}")


BLOWS = [("EXEC", None, None), ("EXEC", None, None), ("PEEK", "/attach?stream=1&stdout=1&logs=1&stdin=1", None), ("PEEK", "/wait?condition=next-exit", None),
         ("POST", "/start", None), ("POST", "/start", None), ("POST", "/stop?t=0", None), ("POST", "/kill", None), ("POST", "/kill?signal=TERM", None), ("POST", "/restart?t=0", None),
         ("POST", "/pause", None), ("POST", "/unpause", None), ("POST", "/unpause", None), ("GET", "/json?size=1", None), ("GET", "/stats?stream=0", None), ("GET", "/top", None),
         ("GET", "/stats?stream=0&one-shot=1", None), ("GET", "/logs?stdout=1&tail=5", None), ("GET", "/changes", None), ("GET", "/archive?path=/etc", None),
         ("POST", "/exec", {"Cmd": ["true"]}), ("POST", "/resize?h=9&w=9", None), ("POST", "/update", lambda r: {"CpuShares": r.randrange(2, 900), "RestartPolicy": {"Name": r.choice(["no", "always"])}}),
         ("GET", "/export", None), ("POST", "/rename?name=fight", None), ("PUT", "/archive?path=/tmp", lambda r: layer_tar(r, 5000))]


def reads(w):
    """What looks at all, while all of it changes."""
    for _ in range(20):
        path = w.rng.choice(["/info", "/version", "/_ping", "/containers/json?all=1&size=1", "/containers/json", "/images/json?all=1", "/volumes", "/networks", "/system/df",
                             f"/events?since={time.time() - 5:.3f}&until={time.time():.3f}", '/containers/json?filters={"status":["running"]}', '/images/json?filters={"dangling":["true"]}'])
        data = w.call("GET", path, want=(404,))
        if path == "/containers/json":
            for c in json.loads(data):
                w.call("GET", f"/containers/{c['Id']}/json", want=(404,))
                w.call("GET", f"/containers/{c['Id']}/stats?stream=0&one-shot=1", want=(404, 409))
                w.call("GET", f"/containers/{c['Id']}/top", want=(404, 409))


def prune(w):
    label = w.name("prune")
    for _ in range(3):
        w.call("POST", "/containers/create", {"Image": BASE, "Labels": {label: ""}, "HostConfig": {"NetworkMode": "none"}})
        w.call("POST", "/volumes/create", {"Labels": {label: ""}})
    filters = quote(json.dumps({"label": [label]}))
    c = json.loads(w.call("POST", "/containers/prune?filters=" + filters))
    w.check(len(c["ContainersDeleted"] or []) == 3, f"prune: {c}")
    v = json.loads(w.call("POST", "/volumes/prune?filters=" + filters))
    w.check(len(v["VolumesDeleted"] or []) == 3, f"prune: {v}")
    w.call("POST", "/images/prune?filters=" + filters, want=(409,))  # another worker's


def vanish(w):
    """Clients that go away in the middle of what they asked for."""
    name = w.run(SLEEP)
    data = archive(w.name("gone") + ":a", [layer_tar(w.rng, 300_000)])[0]
    for _ in range(w.rng.randrange(2, 6)):
        method, path, body = w.rng.choice([
            ("POST", "/images/load", data), ("POST", "/images/create?fromSrc=-", layer_tar(w.rng, 300_000)), ("GET", f"/containers/{name}/export", b""),
            ("POST", f"/commit?container={name}", b"{}"), ("POST", f"/containers/{name}/wait", b""), ("GET", f"/containers/{name}/logs?follow=1&stdout=1", b""),
            ("GET", f"/containers/{name}/stats", b""), ("POST", f"/containers/{name}/restart?t=0", b""), ("GET", f"/images/get?names={quote(BASE)}", b""),
            ("GET", "/events", b""), ("PUT", f"/containers/{name}/archive?path=/tmp", layer_tar(w.rng, 300_000)), ("GET", "/system/df", b"")])
        kind = "application/json" if body == b"{}" else "application/x-tar"
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        with s:
            s.connect(w.soak.world.sock)
            try:
                s.sendall(f"{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                s.sendall(body[:w.rng.randrange(len(body) + 1)])
                time.sleep(w.rng.random() * .1)
            except OSError:
                pass


# What it is, how often.
KINDS = {"run_rm": (run_rm, 6), "echo": (echo, 3), "long_life": (long_life, 6), "policies": (policies, 2), "images": (images, 3), "import": (import_, 2),
         "volumes": (volumes, 3), "logs": (logs, 4), "rotation": (rotation, 1), "stuck": (stuck, 2), "fight": (fight, 4), "reads": (reads, 2), "prune": (prune, 2),
         "vanish": (vanish, 3)}
