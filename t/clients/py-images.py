#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images, volumes, networks, events, system and API versions through docker-py. Prints TAP.
DOCKER_HOST names the daemon, BUSYBOX_TAR an archive of an image with the label checks=py-images. NO_PRUNE=1: the daemon
holds the things of others, so nothing is pruned."""
import datetime
import io
import os
import re
import sys
import tarfile
import tempfile
import threading
import time

import docker
from docker.errors import APIError, ImageLoadError, ImageNotFound, InvalidArgument, InvalidVersion, NotFound, NullResource

from checks import SLOW, has, is_, ok, raises, run, skip, until

c = docker.from_env(version="auto", timeout=60 * SLOW)
PRUNE = not os.environ.get("NO_PRUNE")
IMAGE = "checks/images:1"
LABEL = {"checks": "py-images"}
MARK = {"label": "checks=py-images"}
with open(os.environ["BUSYBOX_TAR"], "rb") as archive:
    TAR = archive.read()


def load():
    return c.images.load(TAR)[0]


def tree(**files):
    """A layer of these files, as an archive."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as t:
        for name, text in files.items():
            i = tarfile.TarInfo(name)
            i.size = len(text)
            t.addfile(i, io.BytesIO(text.encode()))
    return data.getvalue()


def make(name, *changes, text="x"):
    """An image of its own, by import."""
    repository, _, tag = name.partition(":")
    c.api.import_image_from_data(tree(file=text), repository=repository, tag=tag or None, changes=["LABEL checks=py-images", *changes])
    return c.images.get(name)


def names(**kw):
    return sorted(t for i in c.images.list(**kw) for t in i.tags)


def refused(e, status, words, what):
    is_(getattr(e, "status_code", None), status, f"status: {what}")
    has(str(e), words, f"in words: {what}")


def minor():
    return int(c.api.api_version.split(".")[1])


def clean():
    for k in c.containers.list(all=True, filters=MARK):
        k.remove(force=True, v=True)
    for i in c.images.list(all=True, filters=MARK):
        try:
            c.images.remove(i.id, force=True)
        except ImageNotFound:
            pass
    for v in c.volumes.list(filters=MARK):
        v.remove(force=True)


# --- images

def loads():
    got = c.images.load(TAR)
    is_([i.tags for i in got], [[IMAGE]], "load of bytes")
    is_([i.id for i in c.images.load(io.BytesIO(TAR))], [got[0].id], "load of a file, again")
    lines = list(c.api.load_image(TAR, quiet=True))
    has("".join(x.get("stream", "") for x in lines), f"Loaded image: {IMAGE}", "load, low level")
    raises((APIError, ImageLoadError), "load of what is no archive", c.images.load, b"this is not an archive" * 100)
    raises((APIError, ImageLoadError), "load of an archive without an image", c.images.load, tree(a="b"))
    is_(c.images.get(IMAGE).id, got[0].id, "and the image is there")


def attrs():
    i = load()
    a = i.attrs
    is_((i.tags, i.labels, i.short_id), ([IMAGE], LABEL, i.id[:len(i.short_id)]), "tags, labels and short id")
    ok(re.fullmatch("sha256:[0-9a-f]{64}", a["Id"]) and a["Size"] > 100000 and a["Os"] == "linux", "id, size, os")
    is_((a["Config"]["Cmd"], a["Config"]["Labels"], a["Created"][:19]), (["sh"], LABEL, "2023-11-14T22:13:20"), "config and date")
    is_((a["RootFS"]["Type"], len(a["RootFS"]["Layers"])), ("layers", 1), "layers")
    ok(a["GraphDriver"]["Name"] and "Data" in a["GraphDriver"], "driver")
    ok(a["Architecture"] in ("amd64", "arm64") and "LastTagTime" in a["Metadata"] and a["RepoDigests"] == [], "architecture, metadata, digests")
    for key in (i.id, i.id.split(":")[1], i.id.split(":")[1][:12], IMAGE, "docker.io/" + IMAGE):
        is_(c.images.get(key).id, i.id, f"get by {key[:24]}")
    h = i.history()
    is_([(x["CreatedBy"], x["Id"], x["Tags"], x["Created"], x["Comment"]) for x in h], [("mkimage", i.id, [IMAGE], 1700000000, "")], "history")
    ok(h[0]["Size"] > 100000, "its size")
    i.reload()
    is_(i.attrs["Id"], a["Id"], "reload")
    is_(repr(i), f"<Image: '{IMAGE}'>", "repr")


def saves():
    i = load()
    for what, data, tags in (("an id", b"".join(i.save()), None), ("a name", b"".join(i.save(named=True)), [IMAGE]),
                             ("one of its names", b"".join(i.save(named=IMAGE, chunk_size=1000)), [IMAGE])):
        with tarfile.open(fileobj=io.BytesIO(data)) as t:
            ok({"manifest.json"} <= set(t.getnames()), f"save of {what} has a manifest")
            has(t.extractfile("manifest.json").read().decode().replace(" ", ""), f'"RepoTags":["{IMAGE}"]' if tags else '"RepoTags":null', f"save of {what}: its names")
    raises(InvalidArgument, "save by a name it does not have", i.save, named="other:1")
    c.images.remove(IMAGE)
    back = c.images.load(data)
    is_([(x.id, x.tags) for x in back], [(i.id, [IMAGE])], "load of what was saved")
    refused(raises(APIError, "save of nothing", lambda: b"".join(c.api.get_image("nope-nope:1"))), 404, "nope-nope:1", "save of nothing")
    raises(NullResource, "save of no name", c.api.get_image, "")


def tags():
    i = load()
    is_(i.tag("checks/tagged"), True, "tag")
    is_(i.tag("checks/tagged", tag="two"), True, "tag with a tag")
    is_(i.tag("localhost:5000/checks/tagged", "three", force=True), True, "tag with a registry")
    i.reload()
    is_(sorted(i.tags), sorted([IMAGE, "checks/tagged:latest", "checks/tagged:two", "localhost:5000/checks/tagged:three"]), "all of its names")
    other = make("checks/other:1", text="other")
    is_(other.tag("checks/tagged", "two"), True, "a tag moves")
    is_(c.images.get("checks/tagged:two").id, other.id, "to the other image")
    for name, words in (("Upper", "must be lowercase"), ("a b", "invalid reference format"), ("x//y", "invalid reference format")):
        refused(raises(APIError, f"tag as {name!r}", i.tag, name), 400, words, f"tag as {name!r}")
    refused(raises(APIError, "a tag that is none", i.tag, "checks/x", tag="a b"), 400, "invalid tag format", "a tag that is none")
    refused(raises(APIError, "tag as an id", i.tag, "a" * 64), 400, "cannot specify 64-byte hexadecimal strings", "tag as an id")
    refused(raises(ImageNotFound, "tag of nothing", c.api.tag, "nope-nope:1", "checks/x"), 404, "No such image: nope-nope:1", "tag of nothing")
    got = c.api.remove_image("checks/tagged:two")
    is_(got, [{"Untagged": "checks/tagged:two"}], "remove of a name among many")
    refused(raises(APIError, "remove by id of what has many names", c.images.remove, i.id), 409, "must be forced) - image is referenced in multiple repositories", "many names")
    c.images.remove(i.id, force=True)
    raises(ImageNotFound, "remove by force", c.images.get, IMAGE)
    c.images.remove(other.id)


def removes():
    i = load()
    k = c.containers.create(IMAGE, "true", labels=LABEL, network_mode="none")
    e = raises(APIError, "remove of what a container uses", c.images.remove, IMAGE)
    refused(e, 409, f"conflict: unable to remove repository reference \"{IMAGE}\" (must force) - container {k.id[:12]} is using its referenced image", "in use")
    e = raises(APIError, "remove by id of what a container uses", c.images.remove, i.id)
    refused(e, 409, "(must be forced) - image is being used by stopped container " + k.id[:12], "in use, by id")
    is_(c.api.remove_image(IMAGE, force=True), [{"Untagged": IMAGE}, {"Deleted": i.id}], "force leaves the layer to the container")
    k.reload()
    is_(k.attrs["Image"], i.id, "which stays")
    k.remove()
    i = load()
    got = c.api.remove_image(i.id)
    is_([x for x in got if "Deleted" in x][0], {"Deleted": i.id}, "remove by id")
    ok(len(got) == 3 and got[-1]["Deleted"].startswith("sha256:"), "with its layer")
    for call in (c.images.get, c.images.remove, c.api.history, c.api.inspect_image):
        refused(raises(ImageNotFound, f"{call.__name__} of nothing", call, IMAGE), 404, f"No such image: {IMAGE}", f"{call.__name__} of nothing")
    i = load()
    k = c.containers.run(IMAGE, "sleep 600", labels=LABEL, network_mode="none", detach=True)
    e = raises(APIError, "remove by id of what runs", c.images.remove, i.id, force=True)
    refused(e, 409, "(cannot be forced) - image is being used by running container " + k.id[:12], "runs")
    child = k.commit("checks/child", "1")
    k.remove(force=True)
    is_(child.attrs["Parent"], i.id, "a child knows its parent")
    is_(len(child.history()), 2, "and its history")
    refused(raises(APIError, "remove by id of a parent", c.images.remove, i.id), 409, "image has dependent child images", "a parent")
    c.images.remove(IMAGE)
    got = c.api.remove_image("checks/child:1", noprune=True)
    is_([x.get("Untagged") for x in got][:1], ["checks/child:1"], "remove without its parents")
    is_(c.images.get(i.id).id, i.id, "which stay")
    is_([x.id for x in c.images.list(filters={**MARK, "dangling": True})], [i.id], "as dangling")
    c.images.remove(i.id)


def imports():
    data = tree(hello="world")
    got = c.api.import_image_from_data(data, repository="checks/made", tag="data", changes=["LABEL checks=py-images", "CMD [\"/hello\"]", "ENV A=b"])
    has(got, '"status":"sha256:', "import of bytes")
    i = c.images.get("checks/made:data")
    is_((i.labels, i.attrs["Config"]["Cmd"], i.attrs["Config"]["Env"]), (LABEL, ["/hello"], ["A=b"]), "with its changes")
    has(i.attrs["Comment"], "Imported from -", "its comment")
    with tempfile.NamedTemporaryFile(suffix=".tar") as f:
        f.write(data)
        f.flush()
        c.api.import_image_from_file(f.name, repository="checks/made", tag="file", changes="LABEL checks=py-images")
        c.api.import_image(src=f.name, repository="checks/made", tag="src", changes="LABEL checks=py-images")
    # of a length that it cannot know; otherwise docker-py announces both a length and chunks
    c.api.import_image_from_stream((data[n:n + 1000] for n in range(0, len(data), 1000)), repository="checks/made", tag="stream", changes="LABEL checks=py-images")
    made = [c.images.get(f"checks/made:{t}") for t in ("data", "file", "src", "stream")]
    is_(len({m.attrs["RootFS"]["Layers"][0] for m in made}), 1, "import of a file, a path and a stream: one layer")
    is_(len(made[1].history()), 1, "history of an import")
    e = raises(APIError, "import with a change that is none", c.api.import_image_from_data, data, repository="checks/bad", changes=["NOPE x"])
    has(str(e).lower(), "nope", "in words: a change")
    e = raises(APIError, "import with a change that imports do not have", c.api.import_image_from_data, data, repository="checks/bad", changes=["RUN true"])
    refused(e, 400, "run is not a valid change command", "RUN")
    refused(raises(APIError, "import to a name that is none", c.api.import_image_from_data, data, repository="Upper"), 400, "must be lowercase", "a name that is none")
    raises(ImageNotFound, "what was refused is not there", c.images.get, "checks/bad")
    for m in made:
        c.images.remove(m.id, force=True)


def lists():
    old = load()
    one = make("checks/list:one", "LABEL n=1", text="one")
    time.sleep(1.1)  # dates of images are compared in seconds
    two = make("checks/list:two", "LABEL n=2", text="two")
    mine = [IMAGE, "checks/list:one", "checks/list:two"]
    is_(names(filters=MARK), sorted(mine), "list by label")
    is_(names(filters={"label": ["checks=py-images", "n"]}), mine[1:], "list by two labels")
    is_(names(filters={"label": ["checks=py-images", "n=2"]}), mine[2:], "list by a label's value")
    is_(names(name="checks/list"), mine[1:], "list by name")
    is_(names(name="checks/list:two"), mine[2:], "list by name and tag")
    is_(names(filters={"reference": "checks/list:t*"}), mine[2:], "list by a pattern")
    is_(names(filters={"reference": ["checks/list:one", "checks/im*"]}), sorted(mine[:2]), "list by two patterns")
    is_(names(filters={**MARK, "before": "checks/list:two"}), sorted(mine[:2]), "list before")
    is_(names(filters={**MARK, "since": IMAGE}), mine[1:], "list since")
    is_(names(filters={**MARK, "since": one.id, "before": two.id}), [], "list between")
    is_(names(filters={**MARK, "dangling": False}), sorted(mine), "list of what has names")
    is_([x.id for x in c.images.list(name="checks/nope")], [], "list of nothing")
    is_(c.api.images(name="checks/list:one", quiet=True), [one.id], "list of ids")
    two.tag("checks/list", "one")
    is_([x.id for x in c.images.list(filters={**MARK, "dangling": True})], [one.id], "an image without a name")
    is_([x.tags for x in c.images.list(filters={**MARK, "dangling": True})], [[]], "has no tags")
    entry = [x for x in c.api.images(filters=MARK) if x["Id"] == two.id][0]
    is_((sorted(entry["RepoTags"]), entry["Labels"], entry["Containers"], entry["SharedSize"]), (["checks/list:one", "checks/list:two"], {**LABEL, "n": "2"}, 0 if minor() >= 51 else -1, -1), "an entry")
    ok(entry["Size"] > 0 and abs(entry["Created"] - time.time()) < 100 * SLOW, "its size and date")
    refused(raises(APIError, "an unknown filter", c.images.list, filters={"nope": "1"}), 400, "nvalid filter", "an unknown filter")
    refused(raises(APIError, "dangling as neither", c.images.list, filters={"dangling": "maybe"}), 400, "nvalid filter", "dangling as neither")
    e = raises(NotFound, "before nothing", c.images.list, filters={"before": "nope-nope:1"})
    refused(e, 404, "nope-nope:1", "before nothing")
    if PRUNE:
        got = c.images.prune(filters={"label": ["nope=1"]})
        is_(got, {"ImagesDeleted": None, "SpaceReclaimed": 0}, "prune of nothing")
        got = c.images.prune(filters=MARK)
        ok({"Deleted": one.id} in got["ImagesDeleted"] and got["SpaceReclaimed"] > 0, "prune takes what has no name")
        is_(names(filters=MARK), sorted(mine), "and leaves the rest")
        k = c.containers.create(IMAGE, "true", labels=LABEL, network_mode="none")
        got = c.images.prune(filters={**MARK, "dangling": False})
        is_(sorted(x["Untagged"] for x in got["ImagesDeleted"] if "Untagged" in x), mine[1:], "prune of all that is not used")
        k.remove()
        is_(names(filters=MARK), [IMAGE], "what is used stays")
        refused(raises(APIError, "prune with an unknown filter", c.images.prune, filters={"nope": "1"}), 400, "nvalid filter", "prune")
    clean()
    raises(ImageNotFound, "all gone", c.images.get, old.id)


def registry():
    """What needs a registry is refused, never silently taken."""
    e = raises(APIError, "pull without a registry", c.images.pull, "localhost:1/checks/nope", tag="1")
    ok(e.status_code >= 400 and len(e.explanation) > 10, "in words")
    raises(APIError, "registry data without a registry", c.images.get_registry_data, "localhost:1/checks/nope")


# --- volumes

def volumes():
    a = c.volumes.create("pyi-a", driver="local", labels={**LABEL, "n": "1"})
    is_((a.name, a.id, a.short_id), ("pyi-a",) * 2 + ("pyi-a"[:len(a.short_id)],), "create")
    t = a.attrs
    is_((t["Driver"], t["Labels"], t["Scope"], t["Options"] or None), ("local", {**LABEL, "n": "1"}, "local", None), "its attributes")
    ok(t["Mountpoint"].endswith("/volumes/pyi-a/_data") and re.match(r"\d{4}-\d\d-\d\dT", t["CreatedAt"]), "place and date")
    is_(c.volumes.get("pyi-a").attrs["Mountpoint"], t["Mountpoint"], "get")
    is_(c.volumes.create("pyi-a", labels=LABEL).attrs["Labels"], {**LABEL, "n": "1"}, "create again is the same")
    b = c.volumes.create("pyi-b", driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, labels=LABEL)
    is_(b.attrs["Options"], {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, "options of the driver")
    anon = c.volumes.create(labels=LABEL)
    ok(re.fullmatch("[0-9a-f]{64}", anon.name), "a name by the daemon")
    vs = lambda **f: sorted(v.name for v in c.volumes.list(filters=f))
    is_(vs(**MARK), sorted(["pyi-a", "pyi-b", anon.name]), "list by label")
    is_(vs(label=["checks=py-images", "n=1"]), ["pyi-a"], "list by two labels")
    is_(vs(name="pyi-"), ["pyi-a", "pyi-b"], "list by a part of the name")
    is_(vs(driver="local", **MARK), sorted(["pyi-a", "pyi-b", anon.name]), "list by driver")
    is_(vs(driver="nope"), [], "list by another driver")
    load()
    k = c.containers.create(IMAGE, "true", labels=LABEL, network_mode="none", volumes={"pyi-a": {"bind": "/a", "mode": "rw"}})
    is_(vs(dangling=False, **MARK), ["pyi-a"], "list of what is used")
    is_(vs(dangling=True, **MARK), sorted(["pyi-b", anon.name]), "list of what is not used")
    refused(raises(APIError, "remove of what is used", a.remove), 409, f"remove pyi-a: volume is in use - [{k.id}]", "in use")
    refused(raises(APIError, "force does not help", a.remove, force=True), 409, "volume is in use", "in use, forced")
    k.remove()
    a.remove()
    refused(raises(NotFound, "get of nothing", c.volumes.get, "pyi-a"), 404, "get pyi-a: no such volume", "get of nothing")
    refused(raises(NotFound, "remove of nothing", a.remove), 404, "get pyi-a: no such volume", "remove of nothing")
    is_(c.api._delete(c.api._url("/volumes/pyi-a"), params={"force": True}).status_code, 204, "remove of nothing, forced")  # volumes.remove drops its parameter
    refused(raises(APIError, "a name that is none", c.volumes.create, "a b"), 400, "includes invalid characters for a local volume name", "a name that is none")
    refused(raises(APIError, "an unknown driver", c.volumes.create, "pyi-c", driver="nope"), 404, "nope", "an unknown driver")
    refused(raises(APIError, "an unknown option", c.volumes.create, "pyi-c", driver_opts={"nope": "1"}), 400, 'invalid option: "nope"', "an unknown option")
    refused(raises(APIError, "an unknown filter", c.volumes.list, filters={"nope": "1"}), 400, "nvalid filter", "an unknown filter of volumes")
    raises(TypeError, "options that are none", c.volumes.create, "pyi-c", driver_opts="x")
    if PRUNE:
        c.volumes.create("pyi-d", labels=LABEL)
        got = c.volumes.prune(filters=MARK)
        ok(anon.name in got["VolumesDeleted"] and got["SpaceReclaimed"] == 0, "prune takes what has no name")
        is_(vs(name="pyi-"), ["pyi-b", "pyi-d"] if "pyi-d" not in got["VolumesDeleted"] else [], "and leaves what has one")
        got = c.volumes.prune(filters={**MARK, "all": "true"})
        is_(got["VolumesDeleted"] or [], ["pyi-d"], "prune of all: but not of what has options")
        b.remove()
        is_(c.volumes.prune(filters={"label": "nope"})["VolumesDeleted"] or [], [], "prune of nothing")
        refused(raises(APIError, "prune with an unknown filter", c.volumes.prune, filters={"nope": "1"}), 400, "nvalid filter", "prune of volumes")


# --- networks

def networks():
    have = {n.name: n for n in c.networks.list()}
    ok({"none", "host"} <= set(have), "list")
    for name, driver in (("none", "null"), ("host", "host"), ("bridge", "bridge")):
        if name not in have:
            skip(f"network {name}", "this daemon has no bridge")
            continue
        a = c.networks.get(name).attrs
        is_((a["Name"], a["Driver"], a["Scope"], a["Internal"], a["Attachable"], a["Ingress"]), (name, driver, "local", False, False, False), f"inspect of {name}")
        is_((a["Id"], len(a["Id"]), a["IPAM"]["Driver"]), (have[name].id, 64, "default"), f"its id, {name}")
        is_(c.networks.get(a["Id"][:12]).name, name, f"get by a part of its id, {name}")
        refused(raises(APIError, f"remove of {name}", have[name].remove), 403, f"{name} is a pre-defined network and cannot be removed", f"remove of {name}")
    is_(sorted(n.name for n in c.networks.list(names=["none", "host"])), ["host", "none"], "list by names")
    is_([n.name for n in c.networks.list(ids=[have["host"].id])], ["host"], "list by ids")
    is_([n.name for n in c.networks.list(filters={"driver": "null"})], ["none"], "list by driver")
    is_([n.name for n in c.networks.list(filters={"type": "custom", "name": "none"})], [], "list of one's own")
    ok({"none", "host"} <= {n.name for n in c.networks.list(greedy=True)}, "list, greedy")
    refused(raises(NotFound, "get of nothing", c.networks.get, "nope-nope"), 404, "network nope-nope not found", "get of nothing")
    refused(raises(APIError, "an unknown filter", c.networks.list, filters={"nope": "1"}), 400, "nvalid filter", "an unknown filter of networks")
    for name, driver, status, words in (("pyi-n", "host", 403, 'only one instance of "host" network is allowed'), ("pyi-n", "null", 403, 'only one instance of "null" network is allowed'),
                                        ("pyi-n", "nope", 404, "nope")):
        refused(raises(APIError, f"create with the driver {driver}", c.networks.create, name, driver=driver), status, words, f"the driver {driver}")
    is_([n.name for n in c.networks.list(names=["pyi-n"])], [], "nothing was made")
    load()
    k = c.containers.create(IMAGE, "sleep 600", labels=LABEL, network_mode="none")
    k.start()
    ok(k.name in [x.name for x in c.networks.get("none").containers], "the containers of none")
    e = raises(APIError, "connect of what has none", c.networks.get("host").connect, k)
    ok(400 <= e.status_code <= 501 and len(e.explanation) > 20, "in words: connect")
    k.remove(force=True)


# --- events

def events():
    image = load()
    since = int(time.time())
    stream = c.events(decode=True, filters={"label": "checks=py-images", "type": "container"})
    got = []
    t = threading.Thread(target=lambda: got.extend(stream))
    t.start()
    raw = c.events(filters={"type": "image"})
    name = "pyi-ev"
    k = c.containers.create(IMAGE, "true", name=name, labels=LABEL, network_mode="none")
    k.start()
    k.wait()
    image.tag("checks/event", "1")
    c.images.remove("checks/event:1")
    k.remove()
    want = ["create", "start", "die", "destroy"]
    until(lambda: "destroy" in [x["Action"] for x in got], "events arrive")
    is_([x["Action"] for x in got if x["Action"] in want], want, "in their order")
    x = [x for x in got if x["Action"] == "die"][0]
    is_((x["Type"], x["Actor"]["ID"], x["Actor"]["Attributes"]["exitCode"], x["Actor"]["Attributes"]["name"], x["Actor"]["Attributes"]["image"], x["scope"]),
        ("container", k.id, "0", name, IMAGE, "local"), "what one says")
    if minor() < 52:
        is_((x["status"], x["id"], x["from"]), ("die", k.id, IMAGE), "and its old names")
    ok(x["time"] == x["timeNano"] // 10 ** 9 and abs(x["time"] - time.time()) < 100 * SLOW, "its time")
    stream.close()
    t.join(20 * SLOW)
    ok(not t.is_alive(), "close ends the stream")
    one = next(raw)
    ok(isinstance(one, (bytes, str)) and ("tag" in str(one) or "image" in str(one)), "events as text")
    raw.close()
    end = max(x["time"] for x in got) + 1
    until(lambda: time.time() >= end)
    past = lambda **f: [x["Action"] for x in c.events(since=since, until=end, decode=True, filters=f)]
    is_([a for a in past(type="container", container=name) if a in want], want, "since and until, by container")
    is_(past(container=k.id, event=["die", "start"]), ["start", "die"], "by events")
    is_(past(container="pyi-nope"), [], "by another container")
    ok(set(past(type="image", image=IMAGE)) <= {"tag", "untag", "load"}, "by image")
    is_([a for a in past(type="image") if a == "untag"][:1], ["untag"], "by type")
    zone = datetime.datetime.utcfromtimestamp
    is_([x["Action"] for x in c.events(since=zone(since), until=zone(end), decode=True, filters={"container": k.id, "event": "create"})], ["create"], "times as datetimes")
    is_(list(c.events(since=since - 100, until=since - 50, decode=True, filters={"container": name})), [], "another time")
    ok(400 <= c.api._get(c.api._url("/events"), params={"since": "nope"}).status_code <= 500, "a time that is none")
    v = c.volumes.create("pyi-ev", labels=LABEL)
    v.remove()
    stop = int(time.time()) + 1
    is_([(x["Action"], x["Actor"]["ID"]) for x in c.events(since=since, until=stop, decode=True, filters={"type": "volume", "volume": "pyi-ev"})],
        [("create", "pyi-ev"), ("destroy", "pyi-ev")], "of volumes, until a time to come")


# --- system

def system():
    is_(c.ping(), True, "ping")
    v, i = c.version(), c.info()
    for key in ("Version", "ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime", "Components", "Platform"):
        ok(key in v, f"version has {key}")
    is_((v["Os"], v["KernelVersion"], "Engine" in [x["Name"] for x in v["Components"]]), ("linux", os.uname().release, True), "its values")
    is_((i["ServerVersion"], i["KernelVersion"], i["OSType"], i["NCPU"]), (v["Version"], v["KernelVersion"], "linux", os.cpu_count()), "info agrees with version")
    for key, kind in {"ID": str, "Containers": int, "ContainersRunning": int, "ContainersPaused": int, "ContainersStopped": int, "Images": int, "Driver": str, "DriverStatus": list,
                      "Plugins": dict, "MemoryLimit": bool, "SwapLimit": bool, "LoggingDriver": str, "CgroupDriver": str, "CgroupVersion": str, "NEventsListener": int, "MemTotal": int,
                      "DockerRootDir": str, "Name": str, "Labels": list, "Runtimes": dict, "DefaultRuntime": str, "Swarm": dict, "LiveRestoreEnabled": bool, "InitBinary": str,
                      "SecurityOptions": list, "RegistryConfig": dict}.items():
        ok(isinstance(i.get(key), kind), f"info has {key}")
    ok({"Volume", "Network", "Log"} <= set(i["Plugins"]) and "local" in i["Plugins"]["Volume"], "its plugins")
    before = c.info()["Containers"]
    load()
    k = c.containers.create(IMAGE, "true", labels=LABEL, network_mode="none", volumes={"pyi-df": {"bind": "/d", "mode": "rw"}})
    ok(c.info()["Containers"] >= before + (1 if PRUNE else 0), "info counts containers")
    d = c.df()
    ok({"LayersSize", "Images", "Containers", "Volumes", "BuildCache"} <= set(d), "df")
    x = [x for x in d["Images"] if x["RepoTags"] == [IMAGE]]
    is_([(x[0]["Containers"], x[0]["Size"] > 0, x[0]["SharedSize"] >= 0)], [(1, True, True)], "df: an image")
    is_([x["Labels"] for x in d["Containers"] if x["Id"] == k.id], [LABEL], "df: a container")
    is_([x["UsageData"] for x in d["Volumes"] if x["Name"] == "pyi-df"], [{"RefCount": 1, "Size": 0}], "df: a volume")
    k.remove()
    c.volumes.get("pyi-df").remove()
    e = raises(APIError, "login without a registry", c.login, "u", "p", registry="http://localhost:1/v1/", reauth=True)
    ok(e.status_code >= 400 and len(e.explanation) > 10, "in words: login")
    raises((APIError, NotFound), "no swarm", c.nodes.list)


def versions():
    """Each version that the daemon and docker-py have, by the low-level client."""
    v = c.version()
    number = lambda text: tuple(int(x) for x in text.split("."))
    newest, least = number(v["ApiVersion"]), max(number(v["MinAPIVersion"]), (1, 24))
    is_(docker.APIClient(base_url=os.environ["DOCKER_HOST"], version="auto").api_version, v["ApiVersion"], "auto takes the newest")
    load()
    k = c.containers.create(IMAGE, "true", name="pyi-ver", labels=LABEL, network_mode="none", volumes={"pyi-ver": {"bind": "/v", "mode": "rw"}})
    for minor in range(least[1], newest[1] + 1):
        name = f"1.{minor}"
        a = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version=name, timeout=60 * SLOW)
        try:
            is_((a.api_version, a.ping(), a.version()["ApiVersion"], a.version(api_version=False)["Version"]), (name, True, v["ApiVersion"], v["Version"]), f"{name}: ping and version")
            ok(a.info()["ServerVersion"] == v["Version"] and isinstance(a.info()["Swarm"], dict), f"{name}: info")
            got = a.containers(all=True, filters=MARK)
            is_([(x["Id"], x["Names"], x["Image"], x["State"]) for x in got], [(k.id, ["/pyi-ver"], IMAGE, "created")], f"{name}: containers")
            x = a.inspect_container("pyi-ver")
            is_((x["Id"], x["Config"]["Image"], x["HostConfig"]["NetworkMode"], x["State"]["Status"]), (k.id, IMAGE, "none", "created"), f"{name}: inspect of a container")
            is_([x["RepoTags"] for x in a.images(name="checks/images")], [[IMAGE]], f"{name}: images by name")
            x = a.images(filters={**MARK, "dangling": False})[0]
            ok(x["Size"] > 0 and ("VirtualSize" in x) == (minor < 44), f"{name}: images have VirtualSize until 1.43")
            x = a.inspect_image(IMAGE)
            ok(x["Size"] > 0 and ("VirtualSize" in x) == (minor < 44), f"{name}: and so an image")
            is_([x["Name"] for x in a.volumes(filters={"name": "pyi-ver"})["Volumes"]], ["pyi-ver"], f"{name}: volumes")
            is_(a.inspect_volume("pyi-ver")["Driver"], "local", f"{name}: inspect of a volume")
            ok("none" in [n["Name"] for n in a.networks()], f"{name}: networks")
            refused(raises(NotFound, f"{name}: no such container", a.inspect_container, "nope-nope"), 404, "No such container: nope-nope", name)
            refused(raises(ImageNotFound, f"{name}: no such image", a.inspect_image, "nope-nope"), 404, "No such image: nope-nope", name)
            if minor >= 25:
                ok("LayersSize" in a.df(), f"{name}: df") if minor < 52 else ok(isinstance(a.df(), dict), f"{name}: df")
            else:
                raises(InvalidVersion, f"{name}: df is newer", a.df)
        finally:
            a.close()
    k.remove()
    c.volumes.get("pyi-ver").remove()
    name = "1.999"
    a = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version=name)
    refused(raises(APIError, "a version that is too new", a.info), 400, f"client version {name} is too new. Maximum supported API version is {v['ApiVersion']}", "too new")
    a.close()
    if number(v["MinAPIVersion"]) > (1, 21):
        old = f"1.{number(v['MinAPIVersion'])[1] - 1}"
        a = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version=old)
        refused(raises(APIError, "a version that is too old", a.info), 400, f"client version {old} is too old. Minimum supported API version is {v['MinAPIVersion']}", "too old")
        a.close()


clean()
try:
    parts = [loads, attrs, saves, tags, removes, imports, lists, registry, volumes, networks, events, system, versions]
    status = run([p for p in parts if p.__name__ in sys.argv[1:] or not sys.argv[1:]])
finally:
    clean()
sys.exit(status)
