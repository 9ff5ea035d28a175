#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The image store over the API: manifests, archives as other tools write them, shared layers, filters. store.py SOCKET FOLDER"""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.parse

import legacy
from checks import SLOW, Unix, has, is_, ok, run, skip

SOCK, FOLDER = sys.argv[1:3]
DRIVER = os.listdir(f"{FOLDER}/image")[0]
LABEL = {"checks": "store"}


def call(method, path, body=None, version="v1.50"):
    c = Unix(SOCK, 60 * SLOW)
    c.request(method, f"/{version}{path}", body)
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, data


def get(path, version="v1.50"):
    status, data = call("GET", path, version=version)
    ok(status == 200, f"GET {path[:60]}", data[:300])
    return json.loads(data)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def layer(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files.items():
            i = tarfile.TarInfo(name.replace("__", "/"))
            i.size = len(text)
            t.addfile(i, io.BytesIO(text.encode()))
    return out.getvalue()


def archive(members):
    """Of (name, bytes), or (name, "-> target")."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in members:
            i = tarfile.TarInfo(name)
            if isinstance(data, str):
                i.type, i.linkname = tarfile.SYMTYPE, data[3:]
                t.addfile(i)
            else:
                i.size = len(data)
                t.addfile(i, io.BytesIO(data))
    return out.getvalue()


def config(layers, created="2024-01-01T00:00:00Z", arch="amd64", **more):
    return json.dumps({"architecture": arch, "os": "linux", "created": created, "config": {"Labels": {**LABEL, **more}},
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]},
                       "history": [{"created": created, "created_by": f"step {i}"} for i in range(len(layers))]}).encode()


def docker_archive(images, name_of=lambda x: sha(x) + "/layer.tar", pack=lambda x: x, config_name=lambda c: sha(c) + ".json"):
    """images: (tags, layers, configuration)."""
    members, items, seen = [], [], set()
    for tags, layers, c in images:
        members.append((config_name(c), c))
        for x in layers:
            if name_of(x) not in seen:
                members.append((name_of(x), pack(x)))
            seen.add(name_of(x))
        items.append({"Config": config_name(c), "RepoTags": tags, "Layers": [name_of(x) for x in layers]})
    return archive(members + [("manifest.json", json.dumps(items).encode())])


def oci(images, suffix="", pack=lambda x: x, extra=()):
    """images: (annotations, layers, configuration)."""
    members, entries, seen = [("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')], [], set()

    def blob(kind, data):
        d = sha(data)
        if d not in seen:
            members.append((f"blobs/sha256/{d}", data))
        seen.add(d)
        return {"mediaType": kind, "digest": "sha256:" + d, "size": len(data)}
    for notes, layers, c in images:
        m = {"schemaVersion": 2, "config": blob("application/vnd.oci.image.config.v1+json", c),
             "layers": [blob("application/vnd.oci.image.layer.v1.tar" + suffix, pack(x)) for x in layers]}
        entries.append({**blob("application/vnd.oci.image.manifest.v1+json", json.dumps(m).encode()), "annotations": notes})
    index = {"schemaVersion": 2, "manifests": [*entries, *extra]}
    return archive([*members, ("index.json", json.dumps(index).encode())])


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def gz(data):
    return gzip.compress(data, mtime=0)


def load(data):
    status, said = call("POST", "/images/load?quiet=1", data)
    return status, said.decode()


def loads(what, data, name, c):
    status, said = load(data)
    ok(status == 200 and "errorDetail" not in said, f"{what}: loads", said)
    found = get(f"/images/{urllib.parse.quote(name, safe='')}/json")
    is_(found.get("Id"), "sha256:" + sha(c), f"{what}: is the image")


def clean():
    for i in get("/images/json?all=1&filters=" + urllib.parse.quote(json.dumps({"label": ["checks=store"]}))):
        call("DELETE", f"/images/{i['Id']}?force=1")
    is_(get("/images/json?all=1&filters=" + urllib.parse.quote(json.dumps({"label": ["checks=store"]}))), [], "all are removed")


# --- manifests

def manifests():
    a, b = layer(one="1" * 3000), layer(two="2" * 5000)
    c = config([a, b])
    loads("two layers", docker_archive([(["store/m:1"], [a, b], c)]), "store/m:1", c)
    index = json.loads(member(call("GET", "/images/store/m:1/get")[1], "index.json"))
    want = index["manifests"][0]
    mark = "&filters=" + urllib.parse.quote(json.dumps({"reference": ["store/m"]}))
    got = get("/images/json?manifests=1" + mark)[0]
    is_([m["ID"] for m in got["Manifests"]], [want["digest"]], "the one that save writes")
    m = got["Manifests"][0]
    is_(m["Descriptor"], {k: want[k] for k in ("mediaType", "digest", "size")}, "its descriptor")
    is_((m["Kind"], m["Available"], m["ImageData"]["Platform"]), ("image", True, {"architecture": "amd64", "os": "linux"}), "and platform")
    is_(m["Size"], {"Content": len(a) + len(b) + len(c) + want["size"], "Total": len(a) + len(b) + len(c) + want["size"] + 8000}, "and sizes")
    is_((m["ImageData"]["Size"], m["ImageData"]["Containers"]), ({"Unpacked": 8000}, []), "unpacked, unused")
    cid = json.loads(post("/containers/create", {"Image": "store/m:1", "Cmd": ["x"], "Labels": LABEL})[1])["Id"]
    m = get("/images/store%2Fm:1/json?manifests=1")["Manifests"][0]
    is_((m["ID"], m["ImageData"]["Containers"]), (want["digest"], [cid]), "inspection: the same, and its container")
    call("DELETE", f"/containers/{cid}?force=1")
    ok("Manifests" not in get("/images/json?manifests=1" + mark, "v1.46")[0], "not in lists before 1.47")
    ok("Manifests" not in get("/images/store%2Fm:1/json?manifests=1", "v1.47"), "not in inspection before 1.48")
    ok("Manifests" not in get("/images/json?dummy=1" + mark)[0], "nor where it was not asked for")
    status, said = call("GET", "/images/store%2Fm:1/json?manifests=1&platform=" + urllib.parse.quote('{"os":"linux","architecture":"amd64"}'))
    is_(status, 400, "with a platform: 400")
    has(said.decode(), "conflicting options", "in Docker's words")
    clean()


def member(data, name):
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return t.extractfile(name).read()


# --- archives

def forms():
    a, b = layer(bin__a="a" * 100), layer(etc__b="b" * 100)
    n = 0

    def fresh():
        nonlocal n
        n += 1
        return config([a, b], created=f"2024-01-01T00:00:{n:02}Z")
    c = fresh()
    loads("kaniko: gzip in a docker-archive, ids as names",
          docker_archive([(["store/kaniko:1"], [a, b], c)], lambda x: sha(gz(x)) + ".tar.gz", gz, lambda x: "sha256:" + sha(x)), "store/kaniko:1", c)
    c = fresh()
    members = [(sha(c) + ".json", c)]
    for i, x in enumerate((a, b)):
        members += [(f"{sha(x)}.tar", x), (f"{i:064}/VERSION", b"1.0"), (f"{i:064}/json", b"{}"), (f"{i:064}/layer.tar", f"-> ../{sha(x)}.tar")]
    members += [("manifest.json", json.dumps([{"Config": sha(c) + ".json", "RepoTags": ["localhost/store/podman:1"],
                                               "Layers": [sha(a) + ".tar", sha(b) + ".tar"]}]).encode()),
                ("repositories", json.dumps({"localhost/store/podman": {"1": f"{1:064}"}}).encode())]
    loads("podman: layers with links to them", archive(members), "localhost/store/podman:1", c)
    c = fresh()
    loads("buildah: oci-archive, gzip", oci([({"org.opencontainers.image.ref.name": "localhost/store/buildah:1"}, [a, b], c)], "+gzip", gz), "localhost/store/buildah:1", c)
    c = fresh()
    loads("zstd layers", oci([({"io.containerd.image.name": "docker.io/store/zstd:1"}, [a, b], c)], "+zstd", zstd), "store/zstd:1", c)
    c = fresh()
    status, said = load(docker_archive([(None, [a, b], c)]))
    has(said, f"Loaded image ID: sha256:{sha(c)}", "no RepoTags: the id")
    c, d = fresh(), config([a])
    status, said = load(oci([({"org.opencontainers.image.ref.name": "store/multi:1"}, [a, b], c), ({"org.opencontainers.image.ref.name": "store/multi:2"}, [a], d)]))
    is_([get(f"/images/store%2Fmulti:{i}/json")["Id"] for i in (1, 2)], ["sha256:" + sha(c), "sha256:" + sha(d)], "a layout of several images")
    for what, pack in (("xz", lzma.compress), ("bz2", bz2.compress), ("gzip", gz), ("zstd", zstd)):
        c = fresh()
        loads(f"the whole in {what}", pack(docker_archive([([f"store/{what}:1"], [a, b], c)])), f"store/{what}:1", c)
    # layers that images share are one layer on disk and in an archive
    is_(len([d for d in os.listdir(f"{FOLDER}/image/{DRIVER}/layerdb/sha256")]), 2, "two layers for all of them")
    clean()


def skopeo():
    if not shutil.which("skopeo"):
        skip("skopeo", "skopeo is not installed")
        return
    a, b = layer(bin__a="a" * 100), layer(etc__b="b" * 100)
    c = config([a, b], created="2024-02-01T00:00:00Z")
    loads("ours", docker_archive([(["store/s:1"], [a, b], c)]), "store/s:1", c)
    work = os.path.join(os.path.dirname(FOLDER), "skopeo")
    os.makedirs(work)
    saved = f"{work}/saved.tar"
    with open(saved, "wb") as f:
        f.write(call("GET", "/images/store/s:1/get")[1])

    def copy(*args):
        r = subprocess.run(["skopeo", "--tmpdir", work, "copy", "--insecure-policy", "-q", *args], stderr=subprocess.PIPE, check=False)
        return ok(r.returncode == 0, f"skopeo copy {args[0].split(':')[0]} {args[1].split(':')[0]}", r.stderr)
    for what, args in (("docker-archive", ()), ("oci-archive", ()), ("oci-archive", ("--dest-compress-format", "zstd", "--dest-compress"))):
        target = f"{work}/{what}{len(args)}.tar"
        if not copy(f"docker-archive:{saved}", f"{what}:{target}:store/{what}:1", *args):
            continue
        with open(target, "rb") as f:
            status, said = load(f.read())
        ok(status == 200 and "errorDetail" not in said, f"{what} {' '.join(args)}: loads", said)
        found = get(f"/images/store%2F{what}:1/json")
        is_(found.get("RootFS", {}).get("Layers"), ["sha256:" + sha(a), "sha256:" + sha(b)], f"{what}: the same layers")
    copy(f"oci-archive:{saved}", f"docker-archive:{work}/back.tar:store/back:1")
    clean()


def several():
    a, b, d = layer(base="x" * 1000), layer(one="1"), layer(two="2")
    c1, c2 = config([a, b]), config([a, d])
    loads("two images in one", docker_archive([(["store/a:1", "store/a:2"], [a, b], c1), (["store/b:1"], [a, d], c2)]), "store/b:1", c2)
    data = call("GET", "/images/get?names=store/a:1&names=store/b:1")[1]
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        names = [m.name for m in t]
        items = json.loads(t.extractfile("manifest.json").read())
    is_(names.count(f"blobs/sha256/{sha(a)}"), 1, "save of two: the layer of both once")
    is_([i["RepoTags"] for i in items], [["store/a:1"], ["store/b:1"]], "and both by name")
    both = json.loads(member(call("GET", "/images/get?names=store/a")[1], "manifest.json"))
    is_(sorted(both[0]["RepoTags"]), ["store/a:1", "store/a:2"], "a repository: all of its tags")
    status, said = call("GET", "/images/get?names=store/a&platform=" + urllib.parse.quote('{"os":"linux","architecture":"s390x"}'))
    is_(status, 404, "save for another platform: 404")
    has(said.decode(), "does not provide the specified platform", "in words")
    mark = "&filters=" + urllib.parse.quote(json.dumps({"label": ["checks=store"]}))
    shared = {i["Id"]: i["SharedSize"] for i in get("/images/json?shared-size=1" + mark)}
    is_(shared, {"sha256:" + sha(c1): 1000, "sha256:" + sha(c2): 1000}, "shared-size")
    is_({i["SharedSize"] for i in get("/images/json?dummy=1" + mark)}, {-1}, "and without")

    def pick(**f):
        return sorted(t for i in get("/images/json?filters=" + urllib.parse.quote(json.dumps({"label": ["checks=store"], **f}))) for t in i["RepoTags"])
    is_(pick(reference=["store/a"]), ["store/a:1", "store/a:2"], "reference: a repository")
    is_(pick(reference=["store/*:1"]), ["store/a:1", "store/b:1"], "reference: a pattern")
    is_(pick(reference=["store/a:2", "store/b"]), ["store/a:2", "store/b:1"], "reference: several")
    is_(pick(until=["2023-01-01T00:00:00Z"]), [], "until: older ones")
    is_(len(pick(until=["2025-01-01T00:00:00Z"])), 3, "until: all")
    is_(call("GET", "/images/json?filters=" + urllib.parse.quote('{"nonsense":["1"]}'))[0], 400, "an unknown filter: 400")
    steps = get("/images/store%2Fa:1/history")
    is_([(s["CreatedBy"], s["Size"], s["Id"][:9]) for s in steps], [("step 1", 1, "sha256:" + sha(c1)[:2]), ("step 0", 1000, "<missing>")], "history")
    is_(sorted(steps[0]["Tags"]), ["store/a:1", "store/a:2"], "with its tags")
    clean()


# --- squash

def put(t, name, text=None, kind=tarfile.REGTYPE, **kw):
    i = tarfile.TarInfo(name)
    i.type = kind
    for k, v in kw.items():
        setattr(i, k, v)
    data = (text or "").encode()
    i.size = len(data)
    t.addfile(i, io.BytesIO(data))


def made(fill):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        fill(t)
    return out.getvalue()


def squash_layers():
    def base(t):
        put(t, "./", kind=tarfile.DIRTYPE, mode=0o711)
        for d in ("kept", "gone", "opaque", "links", "swapped"):
            put(t, d + "/", kind=tarfile.DIRTYPE, mode=0o750, uid=5, gid=6)
        put(t, "kept/same", "same", uid=7, gid=8, mode=0o4755)
        put(t, "kept/alike", "AAAA")
        put(t, "kept/deleted", "x")
        put(t, "gone/in", "x")
        put(t, "opaque/old", "x")
        put(t, "links/one", "linked")
        put(t, "swapped/in", "x")
        put(t, "turned", "a file")
        put(t, "sym", kind=tarfile.SYMTYPE, linkname="kept/same")
        put(t, "attr", "x", pax_headers={"SCHILY.xattr.user.a": "1"})

    def second(t):
        put(t, "kept/alike", "BBBB")  # size and time as before
        put(t, "kept/.wh.deleted")
        put(t, ".wh.gone")
        put(t, "opaque/", kind=tarfile.DIRTYPE, mode=0o700)
        put(t, "opaque/.wh..wh..opq")
        put(t, "opaque/new", "n")
        put(t, "links/one", "linked")
        put(t, "links/two", kind=tarfile.LNKTYPE, linkname="links/one")
        put(t, "brief", "only here")
        put(t, "sym", kind=tarfile.SYMTYPE, linkname="kept/othr")
        put(t, "attr", "x", pax_headers={"SCHILY.xattr.user.a": "2"})

    def third(t):
        put(t, ".wh.brief")
        put(t, "./", kind=tarfile.DIRTYPE, mode=0o755)
        put(t, "swapped", "a file now")
        put(t, "turned/", kind=tarfile.DIRTYPE, mode=0o711, uid=9)
        put(t, "turned/in", "x", mtime=1700000000)
        put(t, "pipe", kind=tarfile.FIFOTYPE)
        put(t, "device", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)
        put(t, "gone/", kind=tarfile.DIRTYPE)
        put(t, "gone/again", "y")
    return [made(base), made(second), made(third)]


def shown(image):
    """Everything that a container of it has, with what archives tell of it."""
    status, said = post("/containers/create", {"Image": image, "Cmd": ["x"], "Labels": LABEL})
    cid = json.loads(said).get("Id", "")
    ok(status == 201, f"a container of {image[:19]}", said)
    data = call("GET", f"/containers/{cid}/export")[1]
    call("DELETE", f"/containers/{cid}?force=1")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        for m in t:
            text = t.extractfile(m).read() if m.isfile() else b""
            attrs = {k: v for k, v in m.pax_headers.items() if "xattr" in k}
            found[m.name] = (m.type, m.mode, m.uid, m.gid, m.linkname, m.devmajor, m.devminor, text, attrs,
                             None if m.isdir() or m.mtime > 1750000000 else m.mtime)  # not of what is made for a container
    return found


def post(path, body=None):
    c = Unix(SOCK, 60 * SLOW)
    c.request("POST", "/v1.50" + path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, data


def squash():
    layers = squash_layers()
    c = config(layers)
    loads("three layers", docker_archive([(["store/q:1"], layers, c), (["store/base:1"], layers[:1], config(layers[:1])), (["store/other:1"], layers[1:2], config(layers[1:2]))]),
          "store/q:1", c)
    before = shown("store/q:1")
    is_((before["kept/alike"][7], "brief" in before, "opaque/old" in before, before["gone/again"][7]), (b"BBBB", False, False, b"y"), "what it shows")
    for what, query, count, said in (("all", "", 1, "create new from"), ("above a base", "&from=store/base:1", 2, "merge sha256:")):
        status, answer = post("/images/store/q:1/squash?repo=store/squashed&tag=1" + query)
        new = json.loads(answer).get("Id", "")
        if not ok(status == 201 and new, f"squash, {what}", answer):
            continue
        i = get("/images/store%2Fsquashed:1/json")
        is_((i["Id"], len(i["RootFS"]["Layers"]), i["Config"]["Labels"]), (new, count, LABEL), f"{what}: tagged, as many layers, the same configuration")
        if count == 2:
            is_(i["RootFS"]["Layers"][0], "sha256:" + sha(layers[0]), "the base's stays")
        after = shown(new)
        is_({k: (v, after.get(k)) for k, v in before.items() if after.get(k) != v}, {}, f"{what}: the same files")
        is_(sorted(set(after) - set(before)), [], f"{what}: and no others")
        steps = get("/images/store%2Fsquashed:1/history")
        is_([s["CreatedBy"] for s in steps], ["", "step 2", "step 1", "step 0"], f"{what}: the history has one step more")
        has(steps[0]["Comment"], said, f"{what}: which tells what it did")
        is_([s["Size"] > 0 for s in steps], [True, False, False, count == 2], f"{what}: and has the layer")
        data = call("GET", f"/images/{new}/get")[1]
        name = "blobs/sha256/" + i["RootFS"]["Layers"][-1][7:]
        is_("sha256:" + sha(member(data, name)), i["RootFS"]["Layers"][-1], f"{what}: its layer can be saved")
        with tarfile.open(fileobj=io.BytesIO(member(data, name))) as t:
            names = {m.name: m for m in t}
        is_(names["."].mode if "." in names else None, 0o755, f"{what}: the root's own mode")
        ok(("kept/.wh.deleted" in names) == (count == 2), f"{what}: whiteouts only above a base", sorted(names))
        ok(".wh.brief" not in names and "brief" not in names, f"{what}: what came and went is nowhere")
        if count == 2:
            ok("kept/same" not in names and "kept/alike" in names, "of the base only what changed", sorted(names))
            is_((names["links/two"].islnk() or names["links/one"].islnk()), True, "with its links")
        call("DELETE", f"/images/{new}?force=1")
    is_(get("/images/store%2Fq:1/json")["Id"], "sha256:" + sha(c), "the image itself stays")
    for query, status, said in (("from=store/other:1", 400, "is not a base of image"), ("from=store/q:1", 400, "nothing to squash"),
                                ("from=nope", 404, "No such image: nope:latest"), ("repo=Bad", 400, "invalid reference format"), ("tag=1", 400, "without repo")):
        got, answer = post("/images/store/q:1/squash?" + query)
        is_(got, status, f"{query}: {status}")
        has(answer.decode(), said, "in words")
    got, answer = post("/images/store/nope/squash")
    is_((got, json.loads(answer)["message"]), (404, "No such image: store/nope:latest"), "no image")
    loads("no layers", docker_archive([(["store/empty:1"], [], config([]))]), "store/empty:1", config([]))
    got, answer = post("/images/store/empty:1/squash")
    is_(got, 400, "an image without layers: 400")
    clean()
    is_([d for d in os.listdir(f"{FOLDER}/tmp")], [], "no temporary file stays")


# --- archives of Docker before 1.10

def oldest():
    for name, want in legacy.RECORDED.items():
        is_(legacy.made_of(SOCK, name), want, f"an archive of Docker before 1.10, {name}: the images that Docker makes of it")
    images, tags = legacy.GOOD["of 1.9"]
    status, said = call("POST", "/images/load", legacy.archive(images, tags))
    is_([json.loads(x)["stream"] for x in said.splitlines() if b'"stream"' in x],
        ["Loaded image: store/v1:base\n", "Loaded image: store/v1:nine\n"], "what it says: nothing of the image between them")
    status, said = call("POST", "/images/load?platform=linux/arm64", legacy.archive(images, tags))
    ok(b"errorDetail" not in said, "for another platform", said)
    before = sorted(get("/images/json?all=1"), key=lambda i: i["Id"])
    for what, (images, tags, words) in legacy.BAD.items():
        status, said = load(legacy.archive(images, tags))
        ok(words in said and ("errorDetail" in said or 400 <= status < 500), f"one with {what} is refused", (status, said))
    is_(sorted(get("/images/json?all=1"), key=lambda i: i["Id"]), before, "and nothing of them stays")
    clean()


def main():
    parts = [manifests, forms, oldest, skopeo, several, squash]
    return run([p for p in parts if not sys.argv[3:] or p.__name__ in sys.argv[3:]])


if __name__ == "__main__":
    sys.exit(main())
