# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cases of bench.py about the store of images: lists of 1,000, and what save gives of many layers."""
import hashlib
import io
import json
import os
import tarfile

CASES = ("images", "save")
COUNT, BASES = 1000, 50
LAYERS, LAYER_MB = 10, 16


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
