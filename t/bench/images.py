# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of bench.py about images: lists of 1,000, what save gives of many layers, and pulls and pushes beside a registry of each engine's own."""
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

from engines import Peak

CASES = ("images", "save", "pull")
COUNT, BASES = 1000, 50
LAYERS, LAYER_MB = 10, 16
PULL_LAYERS, PULL_MB = 10, int(os.environ.get("PULL_MB", "500"))
REGISTRY = os.environ.get("REGISTRY") or next((p for p in ("/usr/bin/docker-registry", "registry/usr/bin/docker-registry") if os.access(p, os.X_OK)), None)
PULLED, PUSHED = "127.0.0.1:5000", "127.0.0.1:5001"
DOCKER = "application/vnd.docker."


def layer(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def config(diffs, **labels):
    return json.dumps({"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "config": {"Labels": labels, "Env": ["PATH=/bin"], "Cmd": ["sh"]},
                       "rootfs": {"type": "layers", "diff_ids": diffs}, "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "step"} for _ in diffs]}).encode()


class Registry:
    """docker-registry within an engine's network namespace, on a folder."""

    def __init__(self, engine, folder, address):
        self.enter = ["nsenter", f"--net=/run/netns/{engine.netns}"] if engine.netns else []
        conf = folder + ".yml"
        os.makedirs(folder, exist_ok=True)
        with open(conf, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: {address}}}\n")
        self.process = subprocess.Popen(self.enter + [REGISTRY, "serve", conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=dict(os.environ, OTEL_TRACES_EXPORTER="none"))
        for _ in range(600):
            if subprocess.run(self.enter + ["curl", "-so", "/dev/null", f"http://{address}/v2/"], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("docker-registry does not start")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()


def tree_layers(work):
    """The machine's own programs, libraries and texts, as layers of the same size: path of the blob, its digest and size, the plain digest and size."""
    names = [os.path.join(d, n) for d, dirs, files in os.walk("/usr") if not dirs.sort() for n in sorted(files)]
    each, at = PULL_MB * 1000000 // PULL_LAYERS, 0
    for i in range(PULL_LAYERS):
        plain = os.path.join(work, f"pull{i}.tar")
        with tarfile.open(plain, "w", format=tarfile.GNU_FORMAT) as tar:
            while tar.offset < each and at < len(names):
                if os.path.isfile(names[at]) and not os.path.islink(names[at]) and os.path.getsize(names[at]) < each // 8:
                    tar.add(names[at], names[at][1:])
                at += 1
    paths = [os.path.join(work, f"pull{i}.tar") for i in range(PULL_LAYERS)]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(pack, paths))


def of_file(path):
    with open(path, "rb") as f:
        return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else "sha256:" + sha(f.read())


def pack(path):
    diff, size = of_file(path), os.path.getsize(path)
    subprocess.run(["gzip", "-n", "-6", path], check=True)
    return path + ".gz", of_file(path + ".gz"), os.path.getsize(path + ".gz"), diff, size


def lay_down(folder, repo, layers):
    """An image as docker-registry keeps it; no registry has to run."""
    def blob(digest):
        path = f"{folder}/docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
        os.makedirs(os.path.dirname(path))
        return path

    def link(where, digest):
        path = f"{folder}/docker/registry/v2/repositories/{repo}/{where}/link"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(digest)

    def document(data):
        digest = "sha256:" + sha(data)
        with open(blob(digest), "wb") as f:
            f.write(data)
        return digest

    for path, digest, _, _, _ in layers:
        os.rename(path, blob(digest))
        link(f"_layers/sha256/{digest[7:]}", digest)
    c = config([diff for _, _, _, diff, _ in layers])
    cd = document(c)
    link(f"_layers/sha256/{cd[7:]}", cd)
    m = json.dumps({"schemaVersion": 2, "mediaType": DOCKER + "distribution.manifest.v2+json",
                    "config": {"mediaType": DOCKER + "container.image.v1+json", "digest": cd, "size": len(c)},
                    "layers": [{"mediaType": DOCKER + "image.rootfs.diff.tar.gzip", "digest": d, "size": n} for _, d, n, _, _ in layers]}).encode()
    md = document(m)
    for where in (f"revisions/sha256/{md[7:]}", "tags/1/current", f"tags/1/index/sha256/{md[7:]}"):
        link("_manifests/" + where, md)


class Cases:
    def many_images(self, path):
        """1,000 configurations over a layer of all and one of fifty."""
        layers = [layer(f"f{i}", b"x" * 1000 + str(i).encode()) for i in range(BASES + 1)]
        diffs = ["sha256:" + sha(x) for x in layers]
        with tarfile.open(path, "w") as tar:
            for i, x in enumerate(layers):
                add(tar, f"l{i}.tar", x)
            items = []
            for i in range(COUNT):
                top = 1 + i % BASES
                add(tar, f"c{i}.json", config([diffs[0], diffs[top]], number=str(i)))
                items.append({"Config": f"c{i}.json", "RepoTags": [f"bench/many{i % 100}:{i}"], "Layers": ["l0.tar", f"l{top}.tar"]})
            add(tar, "manifest.json", json.dumps(items).encode())

    def case_images(self):
        path = os.path.join(self.work, "many.tar")
        self.many_images(path)
        taken = self.each(lambda e: self.clock(e.docker, self.cli, "load", "-q", "-i", path, stdout=-3), rounds=1)
        self.row(f"docker load of {COUNT:,} images", "s", taken)
        for name, request in ((f"list of {COUNT:,} images", "/images/json"),
                              ("the same, of one repository", "/images/json?filters=%7B%22reference%22%3A%5B%22bench%2Fmany7%22%5D%7D")):
            self.row(name, "per second", self.each(lambda e, path=request: self.httpbench(e, 1, 1, path)), higher=True, digits=0, bar=self.times(5))
        self.row(f"docker images, {COUNT:,}", "ms", self.each(lambda e: 1e3 * self.clock(e.docker, self.cli, "images", stdout=-3)))

    def case_save(self):
        """Contents are new to both, and on the disk before the clock runs."""
        layers = [layer(f"f{i}", os.urandom(LAYER_MB << 20)) for i in range(LAYERS)]
        path, saved = (os.path.join(self.work, n) for n in ("layers.tar", "saved.tar"))
        c = config(["sha256:" + sha(x) for x in layers])
        with tarfile.open(path, "w") as tar:
            for i, x in enumerate(layers):
                add(tar, f"l{i}.tar", x)
            add(tar, "c.json", c)
            add(tar, "manifest.json", json.dumps([{"Config": "c.json", "RepoTags": ["bench/save:1"], "Layers": [f"l{i}.tar" for i in range(LAYERS)]}]).encode())
        for e in self.engines:
            e.docker(self.cli, "load", "-q", "-i", path, stdout=-3)

        def save(e):
            os.sync()
            with open(saved, "wb") as f:
                return os.path.getsize(path) / 1e6 / self.clock(e.docker, self.cli, "save", "bench/save:1", stdout=f)
        self.row(f"docker save, {LAYERS} layers, {os.path.getsize(path) / 1e6:.0f} MB", "MB/s", self.each(save), higher=True, bar=self.times(3))

    def limit(self, e, layers):
        """What the same blobs take without any engine: two at a time, fetched, inflated, unpacked."""
        to = os.path.join(self.work, "limit")
        unzip = "igzip -dc" if shutil.which("igzip") else "gzip -dc"
        line = f"mkdir -p {to}/$0 && curl -s http://{PULLED}/v2/bench/pull/blobs/$0 | {unzip} | tar -xf - -C {to}/$0"
        os.sync()
        seconds = self.clock(subprocess.run, (["nsenter", f"--net=/run/netns/{e.netns}"] if e.netns else []) + ["xargs", "-n", "1", "-P", "2", "sh", "-c", line],
                             input="\n".join(d for _, d, _, _, _ in layers), text=True, check=True)
        shutil.rmtree(to)
        return seconds

    def case_pull(self):
        """10 layers of real files; every round begins with an image that is not there and a disk that has nothing to write."""
        if not REGISTRY:
            raise RuntimeError("there is no docker-registry (REGISTRY)")
        layers = tree_layers(self.work)
        folder, size = os.path.join(self.work, "blobs"), sum(n for _, _, _, _, n in layers) / 1e6
        lay_down(folder, "bench/pull", layers)
        image = PULLED + "/bench/pull:1"
        pulled, pushed, saved, peak, limits = ({e.name: [] for e in self.engines} for _ in range(5))
        servers = [Registry(e, folder, PULLED) for e in self.engines]
        for i in range(self.rounds):
            for e in self.engines:
                if i:
                    e.docker(self.cli, "rmi", image)
                os.sync()
                with Peak(e) as p:
                    pulled[e.name].append(size / self.clock(e.docker, self.cli, "pull", "-q", image))
                peak[e.name].append(p.kb / 1e3)
            limits[self.engines[0].name].append(size / self.limit(self.engines[0], layers))
        for i in range(max(1, self.rounds // 2)):
            for e in self.engines:
                to, name = os.path.join(self.work, f"pushed{i}{e.name}"), f"{PUSHED}/bench/push{i}:1"
                e.docker(self.cli, "tag", image, name)
                os.sync()
                with Registry(e, to, PUSHED):
                    pushed[e.name].append(size / self.clock(e.docker, self.cli, "push", "-q", name))
                shutil.rmtree(to)
                os.sync()
                with open(os.path.join(self.work, "saved.tar"), "wb") as f:
                    saved[e.name].append(size / self.clock(e.docker, self.cli, "save", image, stdout=f))
        what = f"{PULL_LAYERS} layers, {size:.0f} MB"
        self.row(f"docker pull, {what}", "MB/s", pulled, higher=True, bar=self.times(2))
        self.row("the same by curl, igzip and tar, two at once", "MB/s", limits)
        part = 100 * statistics.median(pulled["ours"]) / statistics.median(limits["ours"])
        self.row("the pull's part of that", "%", {"ours": [part]}, bar=("at least 50", lambda ours, ratio: ours >= 50))
        self.row("docker pull: peak PSS over idle", "MB", peak, bar=self.at_most(64))
        self.row("docker push of it", "MB/s", pushed, higher=True, bar=self.times(1.5))
        self.row("docker save of it", "MB/s", saved, higher=True, bar=self.times(3))
        for s in servers:
            s.__exit__()
        for e in self.engines:
            e.docker(self.cli, "rmi", "-f", image)
