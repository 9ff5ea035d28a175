# SPDX-License-Identifier: LGPL-2.1-or-later
"""The workloads, and what they know: for each thing the set of states that it may be in. Before a request that is the old
state or the new one, after its acknowledgement the new one alone."""
import hashlib
import io
import json
import random
import tarfile
import threading
from urllib.parse import quote

from world import Lost, Refused

BASE = "busybox:latest"
GONE = None
HERE = "here"


class Model:
    """kind: tag (value: image id), image, container, volume (value: label), file (value: bytes); by a container's name or id:
    running, paused, healthy, exit (value: code), shares (value: CPU shares)"""

    def __init__(self):
        self.lock = threading.Lock()
        self.may = {}
        self.auto = set()     # containers that remove themselves
        self.moves = set()    # renames under way, (old, new): one of both is there
        self.refused = []

    def attempt(self, kind, key, new):
        with self.lock:
            self.may[kind, key] = self.may.get((kind, key), {GONE}) | {new}

    def settle(self, kind, key, new):
        with self.lock:
            self.may[kind, key] = {new}

    def know_nothing(self, kind, key, *values):
        with self.lock:
            self.may[kind, key] = self.may.get((kind, key), {GONE}) | set(values)

    def known(self, kind):
        with self.lock:
            return {k: v for (kd, k), v in self.may.items() if kd == kind}


def layer_tar(rng, size, files=12, prefix="d"):
    """A tar of random files, the first bytes of each its name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for i in range(files):
            data = rng.randbytes(size // files)
            info = tarfile.TarInfo(f"{prefix}/{i % 3}/f{i}")
            info.size, info.mode, info.mtime = len(data), 0o644, 1700000000
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def archive(tag, layers):
    """docker-archive of plain layers: its bytes and its image's id."""
    diffs = ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
                         "config": {"Env": ["PATH=/bin"], "Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": diffs},
                         "history": [{"created_by": "crash"} for _ in diffs]}).encode()
    name = hashlib.sha256(config).hexdigest()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        parts = [(f"{name}.json", config)] + [(f"{d[7:]}/layer.tar", l) for d, l in zip(diffs, layers)]
        manifest = [{"Config": f"{name}.json", "RepoTags": [tag], "Layers": [p for p, _ in parts[1:]]}]
        for path, data in parts + [("manifest.json", json.dumps(manifest).encode())]:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue(), "sha256:" + name


class Worker:
    """Does operations one after the other until the daemon is gone."""

    def __init__(self, world, model, rng, workload, number):
        self.w = world
        self.c, self.m, self.rng, self.n, self.workload = world.client, model, rng, number, workload
        self.count = 0
        self.ids = {}         # of its containers, by name
        self.stop = False
        self.kept = {name: [] for name in WORKLOADS}
        self.error = None
        self.thread = threading.Thread(target=self.work)

    def work(self):
        try:
            while not self.stop:
                name = self.rng.choice(list(WORKLOADS)) if self.workload == "mixed" else self.workload
                self.count += 1
                WORKLOADS[name](self, self.kept[name])
        except Lost:
            pass
        except Refused as e:
            self.error = str(e)

    def name(self, kind):
        return f"{kind}{self.n}x{self.count}"

    # Pieces

    def load(self, tag):
        layers = [layer_tar(self.rng, self.rng.randrange(20_000, 1_500_000), prefix=f"l{i}") for i in range(self.rng.randrange(1, 4))]
        data, image = archive(tag, layers)
        self.m.attempt("image", image, HERE)
        self.m.attempt("tag", tag, image)
        self.c.call("POST", "/images/load?quiet=1", data, "application/x-tar")
        self.m.settle("image", image, HERE)
        self.m.settle("tag", tag, image)
        return image

    def import_(self, tag):
        data = layer_tar(self.rng, self.rng.randrange(20_000, 2_000_000))
        if tag:
            self.m.know_nothing("tag", tag, "?")
        repo = f"&repo={tag.split(':')[0]}&tag={tag.split(':')[1]}" if tag else ""
        out = self.c.call("POST", "/images/create?fromSrc=-" + repo, data, "application/x-tar")
        image = json.loads(out.splitlines()[-1])["status"]
        self.m.settle("image", image, HERE)
        if tag:
            self.m.settle("tag", tag, image)
        return image

    def rmi(self, tag, image):
        self.m.attempt("tag", tag, GONE)
        self.m.attempt("image", image, GONE)
        out = json.loads(self.c.call("DELETE", "/images/" + quote(tag, safe="")))
        self.m.settle("tag", tag, GONE)
        if any(x.get("Deleted") == image for x in out):
            self.m.settle("image", image, GONE)
        else:
            self.m.settle("image", image, HERE)

    def create(self, cmd, host=None, image=BASE, **config):
        name = self.name("c")
        host = host or {}
        if host.get("AutoRemove"):
            with self.m.lock:
                self.m.auto.add(name)
        self.m.attempt("container", name, HERE)
        answer = self.c.call("POST", "/containers/create?name=" + name, dict(config, Image=image, Cmd=cmd, HostConfig=host))
        self.ids[name] = json.loads(answer)["Id"]
        self.m.settle("container", name, HERE)
        return name

    def start(self, name):
        self.m.attempt("running", name, HERE)
        self.c.call("POST", f"/containers/{name}/start")
        self.m.settle("running", name, HERE)

    def rm(self, name, args="?force=1&v=1"):
        self.m.attempt("container", name, GONE)
        self.m.attempt("running", name, GONE)
        self.c.call("DELETE", f"/containers/{name}{args}")
        self.m.settle("container", name, GONE)
        self.m.settle("running", name, GONE)

    def exec(self, name, cmd):
        ex = json.loads(self.c.call("POST", f"/containers/{name}/exec", {"Cmd": cmd, "AttachStdout": True, "AttachStderr": True}))["Id"]
        self.c.call("POST", f"/exec/{ex}/start", {"Detach": False})
        return self.c.get(f"/exec/{ex}/json")["ExitCode"]

    def commit(self, name, tag):
        data = layer_tar(self.rng, self.rng.randrange(10_000, 1_000_000), prefix=f"k{self.count}")
        self.c.call("PUT", f"/containers/{name}/archive?path=/", data, "application/x-tar")
        self.m.know_nothing("tag", tag, "?")
        image = json.loads(self.c.call("POST", f"/commit?container={name}&repo={tag.split(':')[0]}&tag={tag.split(':')[1]}", {}))["Id"]
        self.m.settle("image", image, HERE)
        self.m.settle("tag", tag, image)
        return image


# Each is one operation or a few, and leaves things behind or not, as the dice fall.

def load(w, _):
    tag = w.name("load") + ":a"
    image = w.load(tag)
    if w.rng.random() < 0.3:
        w.rmi(tag, image)


def pull(w, kept):
    """Some layers are other pulls', also such that are under way."""
    repo = w.name("pull")
    tag = f"{w.w.registry.name}/{repo}:a"
    shared = random.Random(w.rng.randrange(4))
    layers = [layer_tar(shared, 300_000, prefix="shared")] if w.rng.random() < 0.6 else []
    layers += [layer_tar(w.rng, w.rng.randrange(20_000, 1_500_000), prefix=f"p{i}") for i in range(w.rng.randrange(1, 4))]
    image = w.w.registry.publish(repo, "a", layers)
    w.m.attempt("image", image, HERE)
    w.m.attempt("tag", tag, image)
    w.c.call("POST", f"/images/create?fromImage={quote(tag[:-2], safe='')}&tag=a")
    w.m.settle("image", image, HERE)
    w.m.settle("tag", tag, image)
    if w.rng.random() < 0.3:
        w.rmi(tag, image)


def squash(w, kept):
    if not kept or w.rng.random() < 0.3:
        tag = w.name("squash") + ":first"
        kept.append((tag, w.load(tag)))
    image = w.rng.choice(kept)[1]
    tag = w.name("squashed") + ":a"
    w.m.know_nothing("tag", tag, "?")
    try:
        new = json.loads(w.c.call("POST", f"/images/{image}/squash?repo={tag[:-2]}&tag=a"))["Id"]
    except Refused as e:
        if "nothing to squash" in str(e):
            w.m.settle("tag", tag, GONE)    # it has one layer
            return
        raise
    w.m.settle("image", new, HERE)
    w.m.settle("tag", tag, new)
    if w.rng.random() < 0.3:
        w.rmi(tag, new)


def import_(w, _):
    tag = w.name("import") + ":a" if w.rng.random() < 0.8 else None
    image = w.import_(tag)
    if tag and w.rng.random() < 0.3:
        w.rmi(tag, image)


def commit(w, kept):
    if not kept or w.rng.random() < 0.2:
        runs = w.rng.random() < 0.5     # it stands still meanwhile
        kept.append(w.create(["sleep", "1000"] if runs else ["true"]))
        if runs:
            w.start(kept[-1])
    tag = w.name("commit") + ":a"
    image = w.commit(kept[-1], tag)
    if w.rng.random() < 0.3:
        w.rmi(tag, image)


def churn(w, kept):
    kind = w.rng.randrange(4)
    if kind == 0:           # docker run --rm
        name = w.create(["true"], {"AutoRemove": True}, Volumes={"/anonymous": {}})
        w.m.know_nothing("container", name, GONE)
        w.c.call("POST", f"/containers/{name}/start")
        try:
            w.c.call("POST", f"/containers/{name}/wait?condition=removed")
        except Refused:
            pass            # it was faster
        w.m.settle("container", name, GONE)
    elif kind == 1:         # create, start, wait, rm
        code = w.rng.randrange(3)
        name = w.create(["sh", "-c", f"exit {code}"], {"Binds": [f"{w.name('v')}:/data"]} if w.rng.random() < 0.3 else None)
        w.m.know_nothing("volume", w.name("v"), "")
        w.c.call("POST", f"/containers/{name}/start")
        w.m.attempt("exit", name, code)
        if json.loads(w.c.call("POST", f"/containers/{name}/wait"))["StatusCode"] != code:
            raise Refused(f"{name}: not the exit code {code}")
        w.m.settle("exit", name, code)
        if w.rng.random() < 0.7:
            w.m.attempt("exit", name, GONE)
            w.rm(name, "?v=1")
            w.m.settle("exit", name, GONE)
    elif kind == 2:         # one that goes on
        if len(kept) > 2:
            w.rm(kept.pop(0))
        name = w.create(["sleep", "1000"], {"StopTimeout": 0}, Volumes={"/anonymous": {}})
        kept.append(name)
        w.start(name)
    else:                   # created only
        w.create(["true"], Volumes={"/anonymous": {}, "/another": {}})


def exec_(w, kept):
    if not kept:
        kept.append(w.create(["sleep", "1000"]))
        w.start(kept[0])
    code = w.rng.randrange(3)
    got = w.exec(kept[0], ["sh", "-c", f"echo {w.count} > /tmp/f; exit {code}"])
    if got != code:
        raise Refused(f"exec: exit code {got}, not {code}")


def tagrmi(w, kept):
    if not kept or w.rng.random() < 0.1:
        tag = w.name("tagrmi") + ":first"
        kept.append((tag, w.load(tag)))
    tag, image = w.rng.choice(kept)
    other = f"moved{w.n}:{w.rng.randrange(4)}"
    w.m.attempt("tag", other, image)
    w.c.call("POST", f"/images/{quote(tag, safe='')}/tag?repo={other.split(':')[0]}&tag={other.split(':')[1]}")
    w.m.settle("tag", other, image)
    if w.rng.random() < 0.4:
        w.m.attempt("tag", other, GONE)
        w.c.call("DELETE", "/images/" + quote(other, safe=""))
        w.m.settle("tag", other, GONE)


def volume(w, _):
    kind = w.rng.randrange(4)
    name = w.name("v")
    label = str(w.rng.random())
    if kind < 2:
        w.m.attempt("volume", name, label)
        w.c.call("POST", "/volumes/create", {"Name": name, "Labels": {"l": label}})
        w.m.settle("volume", name, label)
        if w.rng.random() < 0.5:
            w.m.attempt("volume", name, GONE)
            w.c.call("DELETE", "/volumes/" + name)
            w.m.settle("volume", name, GONE)
    elif kind == 2:         # what the image has there comes along
        w.m.attempt("volume", name, "")
        w.create(["true"], {"Binds": [name + ":/etc"]})
        w.m.settle("volume", name, "")
        w.m.settle("file", name + "/passwd", "image")
    else:                   # what a container wrote and synced
        w.m.attempt("volume", name, "")
        c = w.create(["sh", "-c", f"echo {label} | dd of=/v/f conv=fsync"], {"Binds": [name + ":/v"]})
        w.m.settle("volume", name, "")
        w.c.call("POST", f"/containers/{c}/start")
        if json.loads(w.c.call("POST", f"/containers/{c}/wait"))["StatusCode"] != 0:
            raise Refused("a container that writes into its volume failed")
        w.m.settle("file", name + "/f", label + "\n")


# What a container lives through. Facts are told by its id, since its name changes.

PROBE = {"Test": ["CMD", "true"], "Interval": 200_000_000, "Timeout": 30_000_000_000, "Retries": 100}


def rename(w, kept, name):
    new = w.name("r")
    w.m.moves.add((name, new))
    w.m.attempt("container", new, HERE)
    w.m.attempt("container", name, GONE)
    w.c.call("POST", f"/containers/{name}/rename?name={new}")
    w.m.settle("container", new, HERE)
    w.m.settle("container", name, GONE)
    w.m.moves.discard((name, new))
    kept[kept.index(name)] = new
    w.ids[new] = w.ids[name]


def update(w, _, name):
    shares = w.rng.randrange(10, 1000)
    w.m.attempt("shares", w.ids[name], shares)
    w.c.call("POST", f"/containers/{name}/update", {"CpuShares": shares})
    w.m.settle("shares", w.ids[name], shares)


def restart(w, _, name):
    key = w.ids[name]
    w.m.know_nothing("running", key, HERE, GONE)
    w.m.know_nothing("exit", key, 0, 137)
    w.c.call("POST", f"/containers/{name}/restart?t=0")
    w.m.settle("running", key, HERE)


def kill(w, kept, name):
    key = w.ids[name]
    if w.m.known("running").get(key) == {HERE}:
        w.m.attempt("running", key, GONE)
        w.m.know_nothing("exit", key, 137)
        w.c.call("POST", f"/containers/{name}/kill")
        code = json.loads(w.c.call("POST", f"/containers/{name}/wait"))["StatusCode"]
        if code != 137:
            raise Refused(f"{name}: killed with exit code {code}")
        w.m.settle("running", key, GONE)
        w.m.settle("exit", key, 137)
        if w.rng.random() < 0.3:    # it stays so
            kept.remove(name)
            return
    w.m.know_nothing("exit", key, 0)
    w.m.attempt("running", key, HERE)
    w.c.call("POST", f"/containers/{name}/start")
    w.m.settle("running", key, HERE)


def pause(w, kept, name):
    key = w.ids[name]
    if w.m.known("running").get(key) != {HERE}:
        return
    w.m.attempt("paused", key, HERE)
    w.c.call("POST", f"/containers/{name}/pause")
    w.m.settle("paused", key, HERE)
    if w.rng.random() < 0.3:    # it stays so
        kept.remove(name)
        return
    w.m.attempt("paused", key, GONE)
    w.c.call("POST", f"/containers/{name}/unpause")
    w.m.settle("paused", key, GONE)


def life(w, kept):
    if len(kept) < 2:
        host = {"RestartPolicy": {"Name": "unless-stopped"}} if w.rng.random() < 0.3 else {}
        probed = w.rng.random() < 0.5
        name = w.create(["sleep", "1000"], host, **({"Healthcheck": PROBE} if probed else {}))
        key = w.ids[name]
        w.m.attempt("running", key, HERE)
        w.c.call("POST", f"/containers/{name}/start")
        w.m.settle("running", key, HERE)
        if probed:
            w.m.settle("healthy", key, HERE)
        kept.append(name)
        return
    w.rng.choice([rename, update, restart, kill, pause])(w, kept, w.rng.choice(kept))


WORKLOADS = {"load": load, "pull": pull, "squash": squash, "import": import_, "commit": commit, "churn": churn, "exec": exec_, "tagrmi": tagrmi, "volume": volume,
             "life": life}
