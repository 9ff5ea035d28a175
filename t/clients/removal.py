#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images shown, chosen by filters, removed and pruned: each answer, at API 1.41, beside the one that Docker 20.10 gave (removal.tsv).
removal.py SOCKET compares; removal.py --record SOCKET FILE asks another daemon, in which nothing else may be."""
import json
import os
import re
import sys
import urllib.parse

import legacy
from checks import SLOW, Unix, is_, run

RECORD = sys.argv[1] == "--record"
SOCK = sys.argv[2 if RECORD else 1]
HERE = os.path.dirname(os.path.abspath(__file__))
LABEL = {"checks": "removal"}
said = []
names = {}      # of ids


def call(method, path, body=None):
    c = Unix(SOCK, 60 * SLOW)
    if isinstance(body, dict):
        c.request(method, "/v1.41" + path, json.dumps(body), {"Content-Type": "application/json"})
    else:
        c.request(method, "/v1.41" + path, body)
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, data


def named(text):
    """Ids as names, also where they are cut; layers, which are not named anywhere, as one."""
    for i, name in sorted(names.items(), key=lambda x: -len(x[0])):
        text = text.replace("sha256:" + i, name).replace(i, name).replace(i[:12], name + "~")
    return re.sub(r"sha256:[0-9a-f]{64}", "LAYER", text)


def say(what, text):
    said.append(f"{what}\t{named(text)}")


def ask(what, method, path, body=None, show=None):
    status, data = call(method, path, body)
    try:
        js = json.loads(data) if data else None
        if status == 200 and show:
            js = show(js)
        text = js["message"] if isinstance(js, dict) and list(js) == ["message"] else json.dumps(js, sort_keys=True, ensure_ascii=False)
    except ValueError:
        text = data.decode()
    say(what, f"{status} {text}")
    return status, data


def by(**f):
    return "filters=" + urllib.parse.quote(json.dumps(f))


def image(name, above=None, layer="", config=""):
    labels = json.dumps({**LABEL, "n": name})
    parent = f'"parent": "{above}", ' if above else ""
    return (name, '{%s"created": "2014-06-05T00:0%d:00Z", "architecture": "amd64", "os": "linux", "docker_version": "1.9.1", %s'
                  '"container_config": {"Cmd": ["step", "%s"]}, "config": {"Labels": %s}}'
            % (parent, len(name) % 10, config, name, labels), legacy.layer(**{name: layer or name}))


def load(images, tags):
    """Folders of an archive, of which each becomes an image; names are learnt from the list."""
    status, data = call("POST", "/images/load?quiet=1", legacy.archive(images, tags))
    assert status == 200 and b"errorDetail" not in data, data
    for i in json.loads(call("GET", "/images/json?all=1")[1]):
        n = (i["Labels"] or {}).get("n")
        if n:
            names[i["Id"][7:]] = n.upper()


def wipe():
    for c in json.loads(call("GET", "/containers/json?all=1&" + by(label=["checks=removal"]))[1]):
        call("DELETE", f"/containers/{c['Id']}?force=1")
    for _ in range(10):
        mine = json.loads(call("GET", "/images/json?all=1&" + by(label=["checks=removal"]))[1])
        if not mine:
            break
        for i in sorted(mine, key=lambda i: -len(i["RepoTags"] or [])):
            call("DELETE", f"/images/{i['Id']}?force=1")


def container(img, name):
    status, data = call("POST", f"/containers/create?name={name}", {"Image": img, "Cmd": ["sleep", "1000"], "Labels": LABEL, "HostConfig": {"NetworkMode": "none"}})
    assert status == 201, data
    names[json.loads(data)["Id"]] = "CONTAINER"
    return name


def tags():
    show = sorted(t for i in json.loads(call("GET", "/images/json?all=1&" + by(label=["checks=removal"]))[1]) for t in i["RepoTags"] or ["<none>"])
    say("  left", " ".join(show))


def rows(js):
    return sorted((i["Id"], sorted(i["RepoTags"] or [])) for i in js)


def chain():
    wipe()
    load([image("base"), image("middle", "base"), image("top", "middle"), image("other", "base")],
         {"removal/a": {"top": "top", "top2": "top"}, "removal/b": {"top": "top"}, "removal/base": {"1": "base"}, "localhost:5000/removal/c": {"x": "other"}})


def lists():
    chain()
    for what, query in (("all", "all=1"), ("no intermediate", "all=0"), ("dangling", by(dangling=["true"])), ("not dangling", by(dangling=["false"])),
                        ("dangling and all", "all=1&" + by(dangling=["true"])), ("dangling both", by(dangling=["true", "false"])),
                        ("dangling nonsense", by(dangling=["x"])), ("dangling as a map", "filters=" + urllib.parse.quote('{"dangling":{"1":true}}')),
                        ("label", by(label=["n"])), ("label and value", by(label=["n=base"])), ("two labels", by(label=["n", "checks=removal"])),
                        ("no such label", by(label=["n=nosuch"])), ("before", by(before=["removal/a:top"])), ("since", by(since=["removal/base:1"])),
                        ("before and since", by(before=["removal/a:top"], since=["removal/base:1"])), ("before nobody", by(before=["nosuch"])),
                        ("since nobody", by(since=["nosuch"])), ("unknown filter", by(nope=["1"])), ("no JSON", "filters=x"),
                        *((f"reference {p}", by(reference=[p])) for p in ("removal/a", "removal/a:top", "removal/*", "removal/*:top", "*/*:top*", "*", "*:top", "removal/[ab]",
                                                                           "removal/a:t?p", "localhost:5000/*/*", "localhost:5000/removal/c", "**", "removal/", "[", "nosuch*",
                                                                           "docker.io/removal/a", "docker.io/removal/*")),
                        ("two references", by(reference=["removal/a:top", "removal/base"])), ("reference and label", by(reference=["removal/*"], label=["n=base"]))):
        ask(f"list: {what}", "GET", "/images/json?" + query + ("" if "label" in query or "nosuch" in query else ""), show=rows)


def shown():
    chain()
    for n in ("removal/a:top", "removal/base:1"):
        ask(f"history of {n}", "GET", f"/images/{n}/history")
        ask(f"inspect {n}", "GET", f"/images/{n}/json",
            show=lambda i: {k: i.get(k) for k in ("Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Container", "DockerVersion", "Author", "Config",
                                                  "Architecture", "Os", "Size", "VirtualSize", "RootFS")})
    ask("disk usage", "GET", "/system/df", show=lambda d: [d["LayersSize"]] + sorted((i["Id"], i["Size"], i["SharedSize"], i["Containers"]) for i in d["Images"]))
    for method, path in (("GET", "/images/nosuch/json"), ("GET", "/images/nosuch/history"), ("DELETE", "/images/nosuch"), ("DELETE", "/images/nosuch:1?force=1"),
                         ("DELETE", "/images/No_Such:%20x"), ("GET", "/images/Bad/json"), ("POST", "/images/removal/a:top/tag?repo=Bad&tag=1"),
                         ("POST", "/images/removal/a:top/tag?repo=removal/a&tag=-"), ("POST", "/images/removal/a:top/tag?repo=&tag=1"), ("POST", "/images/nosuch/tag?repo=a&tag=1"),
                         ("POST", "/images/removal/a:top/tag?repo=removal/n@sha256:" + 64 * "0"), ("POST", "/images/removal/a:top/tag?repo=" + 64 * "a")):
        ask(f"{method} {path[:60]}", method, path)


def removals():
    top = lambda: next(i for i, n in names.items() if n == "TOP")
    for what, do in (
        ("one of many tags", ["/images/removal/b:top"]),
        ("by id, in two repositories", [lambda: f"/images/{top()}"]),
        ("by id, forced", [lambda: f"/images/{top()}?force=1"]),
        ("by short id, two tags of one repository", ["/images/removal/b:top", lambda: f"/images/{top()[:12]}"]),
        ("tag by tag, and the parents with the last", ["/images/removal/b:top", "/images/removal/a:top", "/images/removal/a:top2"]),
        ("the last, without the parents", ["/images/removal/b:top", "/images/removal/a:top", "/images/removal/a:top2?noprune=1"]),
        ("a parent's name", ["/images/removal/base:1"]),
        ("a parent by id", [lambda: "/images/" + next(i for i, n in names.items() if n == "BASE")]),
        ("a parent by id, forced", [lambda: "/images/" + next(i for i, n in names.items() if n == "BASE") + "?force=1"]),
        ("one between", [lambda: "/images/" + next(i for i, n in names.items() if n == "MIDDLE")]),
        ("one between, forced", [lambda: "/images/" + next(i for i, n in names.items() if n == "MIDDLE") + "?force=1"]),
        ("all children, then the base", ["/images/localhost:5000/removal/c:x", lambda: f"/images/{top()}?force=1", "/images/removal/base:1"]),
    ):
        chain()
        for path in do:
            ask(f"remove: {what}", "DELETE", path if isinstance(path, str) else path())
        tags()


def used():
    for what, running in (("created", False), ("running", True)):
        for way in ("/images/localhost:5000/removal/c:x", "/images/localhost:5000/removal/c:x?force=1", "by id", "by id, forced"):
            wipe()
            load([image("base"), image("other", "base")], {"localhost:5000/removal/c": {"x": "other"}})
            name = container(BUSY if running else "localhost:5000/removal/c:x", "removal-used")
            if running:
                call("POST", f"/images/{BUSY}/tag?repo=localhost:5000/removal/c&tag=x")
                call("POST", f"/containers/{name}/start")
                other = json.loads(call("GET", f"/images/{BUSY}/json")[1])["Id"][7:]
                names[other] = "BUSY"
            else:
                other = next(i for i, n in names.items() if n == "OTHER")
            path = way if way.startswith("/") else f"/images/{other}" + ("?force=1" if "forced" in way else "")
            ask(f"used by one {what}: {way}", "DELETE", path)
            tags()
            call("POST", f"/images/{other}/tag?repo=removal/b&tag=1")
            ask(f"used by one {what}: {way}: another name", "DELETE", "/images/removal/b:1")
            call("POST", f"/images/{BUSY}/tag?repo=removal-busy&tag=1")
            wipe()
            call("DELETE", "/images/localhost:5000/removal/c:x")


BUSY = "busybox:latest"


def deleted(js):
    return {"ImagesDeleted": sorted((json.dumps(x) for x in js["ImagesDeleted"] or []), key=named), "SpaceReclaimed": js["SpaceReclaimed"]}


def prunes():
    mine = {"label": ["checks=removal"]}
    for what, query in (("what has no name", mine), ("all", {**mine, "dangling": ["false"]}), ("by label", {**mine, "dangling": ["false"], "label": ["n=other"]}),
                        ("by no label", {**mine, "dangling": ["false"], "label!": ["n=other"]}), ("no such label", {"label": ["nosuch"], "dangling": ["false"]}),
                        ("older than an hour", {**mine, "dangling": ["false"], "until": ["1h"]}), ("older than long ago", {**mine, "dangling": ["false"], "until": ["2010-01-01"]}),
                        ("two times", {**mine, "until": ["1h", "2h"]}), ("no time", {**mine, "until": ["x"]}), ("unknown filter", {"nope": ["1"]}), ("dangling nonsense", {"dangling": ["x"]})):
        chain()
        ask(f"prune: {what}", "POST", "/images/prune?" + by(**query), show=deleted)
        tags()
    chain()
    container("localhost:5000/removal/c:x", "removal-used")
    ask("prune: all but what is used", "POST", "/images/prune?" + by(**mine, dangling=["false"]), show=deleted)
    tags()
    wipe()


def compare():
    with open(f"{HERE}/removal.tsv", encoding="utf-8") as f:
        want = [line.rstrip("\n").split("\t", 2) for line in f if not line.startswith("#")]
    # behind a second tab stands what this daemon says instead
    want = [(w[0], w[2] if len(w) > 2 else w[1]) for w in want]
    for i, line in enumerate(said):
        is_(line.split("\t", 1), list(want[i]) if i < len(want) else None, line.split("\t")[0])
    is_(len(said), len(want), "as many answers")


PARTS = [lists, shown, removals, used, prunes]
if __name__ == "__main__":
    if RECORD:
        for p in PARTS:
            p()
        wipe()
        with open(sys.argv[3], "w", encoding="utf-8") as f:
            f.write("# What Docker 20.10 answered to t/clients/removal.py; behind a second tab what this daemon answers instead.\n")
            f.write("\n".join(said) + "\n")
    else:
        sys.exit(run([*PARTS, wipe, compare]))
