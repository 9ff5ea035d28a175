#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives as Docker before 1.10 wrote them, for store.py. By itself (legacy.py SOCKET) it tells what another daemon makes of them."""
import gzip
import io
import json
import sys
import tarfile

from checks import Unix


def layer(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, text in files.items():
            i = tarfile.TarInfo(name)
            i.size = len(text)
            t.addfile(i, io.BytesIO(text.encode()))
    return out.getvalue()


def archive(images, repositories):
    """images: (folder, json as a text, layer: bytes, or a link's target)."""
    members = []
    for folder, text, data in images:
        members += [(folder + "/", None), (folder + "/VERSION", b"1.0")]
        if text is not None:
            members.append((folder + "/json", text.encode()))
        if data is not None:
            members.append((folder + "/layer.tar", data))
    if repositories is not None:
        members.append(("repositories", repositories.encode() if isinstance(repositories, str) else json.dumps(repositories).encode()))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in members:
            i = tarfile.TarInfo(name)
            if data is None:
                i.type, i.mode = tarfile.DIRTYPE, 0o755
                t.addfile(i)
            elif isinstance(data, str):
                i.type, i.linkname = tarfile.SYMTYPE, data
                t.addfile(i)
            else:
                i.size = len(data)
                t.addfile(i, io.BytesIO(data))
    return out.getvalue()


A, B, C = layer(one="1"), layer(two="22"), layer(three="333")
I1, I2, I3 = "a1" * 32, "0b" * 32, "c3" * 32
MARK = '"config": {"Labels": {"checks": "store", "n": "%s"}, "Cmd": ["sh", "-c", "a \\u003c b && c"], "Future": 1.50e2}'


def chain(version):
    """A child before its parents, by name; numbers, escapes and members that nobody knows."""
    more = f'"docker_version": "{version}", ' if version else ""
    return [
        (I1, '{"id": "%s", "architecture": "amd64", "os": "linux", "created": "2014-06-05T00:05:35.990887725Z", "Size": 12, %s'
             '"container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD <file>"], "Hostname": "h"}, %s}' % (I1, more, MARK % ("1" + version)), A),
        (I2, '{\n\t"id": "%s",\n "parent": "%s", "created": "2014-06-05T00:05:36.5Z", "author": "An & Other", "comment": "caf\\u00e9 \u2028", %s'
             '"container": "%s", "container_config": {"Cmd": ["x", "y z"], "PortSpecs": ["1"], "OnBuild": []}, %s, "z": {"deep": [1, 2.0, {"a" : null}]},'
             ' "throwaway": true, "layer_id": "x", "parent_id": "y", "os": "linux", "architecture": "amd64"}'
             % (I2, I3, more, "e" * 64, MARK % ("2" + version)), C),
        (I3, '{"id": "%s", "parent": "%s", "created": "2014-06-05T00:05:36Z", %s"container_config": {}, %s, "variant": "v8",'
             ' "os": "linux", "architecture": "arm64", "Config2": null}' % (I3, I1, more, MARK % ("3" + version)), B),
    ]


FULL = ('{"Hostname": "h", "Domainname": "d", "User": "u", "AttachStdin": true, "Tty": true, "ExposedPorts": {"80/tcp": {}, "1/udp": {}},'
        ' "Env": ["A=<b>"], "Cmd": "one word", "Image": "i", "Volumes": {"/v": {}}, "WorkingDir": "/w", "Entrypoint": ["/e"], "OnBuild": ["RUN x"],'
        ' "Labels": {"z": "1", "checks": "store"}, "StopSignal": "TERM", "NetworkDisabled": true, "MacAddress": "m", "Memory": 12}')
GOOD = {
    "of 1.9": (chain("1.9.1"), {"store/v1": {"nine": I2, "base": I1}}),
    "of 1.7": (chain("1.7.1"), {"store/v1": {"seven": I2}}),
    "of no version": (chain(""), {"localhost:5000/store/v1": {"none": I2}, "store/v1": {"none": I2}}),
    "of 1.8.3-rc1": (chain("1.8.3-rc1"), {"store/v1": {"rc": I3}}),
    "of 1.8.3": (chain("1.8.3"), {"store/v1": {"three": I3}}),
    "all known members": ([(I1, '{"docker_version": "0.5", "created": "0001-01-01T00:00:00Z", "config": %s, "container_config": %s}' % (FULL, FULL), A)],
                          {"store/v1": {"full": I1}}),
    "linked and packed layers": ([("base", '{"config": {"Labels": {"checks": "store", "l": "1"}}}', A),
                                  ("middle", '{"parent": "base", "config": {"Labels": {"checks": "store", "l": "2"}}}', gzip.compress(B, mtime=0)),
                                  ("top", '{"parent": "middle", "config": {"Labels": {"checks": "store", "l": "3"}}}', "../base/layer.tar")],
                                 {"store/v1": {"linked": "top"}}),
}
# What Docker 20.10 makes of them: the images in this order.
RECORDED = {
    'of 1.9': ['1526067505fbfb31ed849550766ab3e32b42152335580db517846c3e309077e6', '1526067505fbfb31ed849550766ab3e32b42152335580db517846c3e309077e6 2d9aa7efca6d75cdebfdbaec8444c92a1dc4deb19f1840addef1a6a53c98d9c5 dbf39ee2da06c200ba316b87c82a36817f64b4fb8133fb82afe79d44854992bd'],
    'of 1.7': ['0f7fd1fb409923f2c177cb8ef98abf1d4781cc558744bc8d3ce34489d01233f4 e36cdb7dc45f92d2360d87a63dc5fcd1cf0b4eab6cb927b2daea05aa47bc3076 ae12b9dc0c7ddf3aba3ce7af26ee7c378c7562c89a411a6389b3ab488d66bd32'],
    'of no version': ['d403d37342c50cbea4016837b0072c826084112483f7537a15a98a20134d237e 0ed7056a549a01b03317fa61e37ef77a701db70828b8ecfd12d3d07d1da50f8d 6b62992764ea5661fa1e77b27753eb68bf3b3d0f673ff6f9c7aab3e4a06f9e91', 'd403d37342c50cbea4016837b0072c826084112483f7537a15a98a20134d237e 0ed7056a549a01b03317fa61e37ef77a701db70828b8ecfd12d3d07d1da50f8d 6b62992764ea5661fa1e77b27753eb68bf3b3d0f673ff6f9c7aab3e4a06f9e91'],
    'of 1.8.3-rc1': ['13e7074efbbc4b19d20ccae56316036c4befef5ff36a08bce21222a84a39a107 bc7f167b784b73e39360d0c5e6f9faf9410d27a651a597abca7798368e622812'],
    'of 1.8.3': ['1f53f300e29f4563acf80bcf33b33a883ba3b659ca0342c3e2f3eef9be7b7b9b 5b973660389ddbeea81f896573c4ffde17cacc967a83bb955f85e157858c7089'],
    'all known members': ['638d6bb5d6f9ca19323a739d6dde17252639e9517d5053b28d88e2c3345d8d5c'],
    'linked and packed layers': ['d4fa0200b2d01087b9486bf0fb5b4b7d9aacdbf21522114678eab6e28d78d637 f9658e042f86a5f92ae46f7eff9243923dfa6b56bd2ee95d56f8a03764a406d1 de9d38f4b9f808dc26da93516340728eac47e261e2e8dc3a408ea22cc3eac013'],
}
ONE = '{"config": {"Labels": {"checks": "store", "bad": "1"}}}'
BAD = {
    "no repositories": ([("x", ONE, A)], None, "neither manifest.json nor index.json"),
    "a parent that is not there": ([("x", '{"parent": "y"}', A)], {}, "no image y"),
    "a parent outside": ([("x", '{"parent": "../../x"}', A)], {}, "no image ../../x"),
    "an image that is its own parent": ([("x", '{"parent": "x"}', A)], {}, "its own ancestor"),
    "parents in a circle": ([("x", '{"parent": "y"}', A), ("y", '{"parent": "z"}', A), ("z", '{"parent": "x"}', A)], {}, "its own ancestor"),
    "no json": ([("x", None, A)], {}, "no file x/json"),
    "no layer": ([("x", ONE, None)], {}, "no file x/layer.tar"),
    "a layer that leads out": ([("x", ONE, "../../etc/passwd")], {}, "leads outside"),
    "a layer that is a circle": ([("x", ONE, "layer.tar")], {}, "no file x/layer.tar"),
    "json that is none": ([("x", "hello", A)], {}, "invalid JSON"),
    "json of another type": ([("x", "[]", A)], {}, "invalid JSON"),
    "a configuration of another type": ([("x", '{"config": 1}', A)], {}, "invalid JSON"),
    "too many members": ([("x", json.dumps({str(i): i for i in range(300)}), A)], {}, "more than 256 members"),
    "another system": ([("x", '{"os": "windows"}', A)], {}, "cannot load windows image on linux"),
    "a tag of nothing": ([("x", ONE, A)], {"store/bad": {"1": "y"}}, "invalid target ID: y"),
    "a tag that is none": ([("x", ONE, A)], {"store/bad": {"-": "x"}}, "invalid reference format"),
    "a target that is none": ([("x", ONE, A)], {"store/bad": {"1": 5}}, "invalid target ID"),
    "repositories that are no object": ([("x", ONE, A)], "[]", "repositories is no object"),
    "repositories that are no JSON": ([("x", ONE, A)], "hello", "invalid JSON"),
    "a layer that is no archive": ([("x", ONE, b"x" * 2000)], {"store/bad": {"1": "x"}}, ""),
    "too deep": ([("i%03d" % i, json.dumps({"parent": "i%03d" % (i + 1)} if i < 126 else {}), A) for i in range(127)], {}, "max depth exceeded"),
}


def ids_of(socket):
    """All images, with their parents."""
    c = Unix(socket, 60)
    c.request("GET", "/v1.41/images/json?all=1")
    return {i["Id"]: i["ParentId"] for i in json.loads(c.getresponse().read())}


def send(socket, path, body=None, method="POST"):
    c = Unix(socket, 60)
    c.request(method, "/v1.41" + path, body)
    r = c.getresponse()
    return r.status, r.read()


def made_of(socket, name):
    """Loads one, tells the images that came (as a line from the base upwards for each tag), and removes them."""
    images, tags = GOOD[name]
    before = ids_of(socket)
    status, said = send(socket, "/images/load?quiet=1", archive(images, tags))
    if status != 200 or b"errorDetail" in said:
        return said.decode()
    after, lines = ids_of(socket), []
    for repo in sorted(tags):
        for tag in sorted(tags[repo]):
            i = json.loads(send(socket, f"/images/{repo}:{tag}/json", method="GET")[1])["Id"]
            line = []
            while i:
                line.append(i.removeprefix("sha256:"))
                i = after[i]
            lines.append(" ".join(reversed(line)))
            send(socket, f"/images/{repo}:{tag}", method="DELETE")
    for _ in range(4):
        for i in set(ids_of(socket)) - set(before):
            send(socket, f"/images/{i}", method="DELETE")
    return lines


if __name__ == "__main__":
    for one in GOOD:
        print(f"    {one!r}: {made_of(sys.argv[1], one)!r},")
