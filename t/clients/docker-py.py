#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon through docker-py, the ways programs use it. Prints TAP. DOCKER_HOST names the daemon, BUSYBOX_TAR an image archive."""
import io
import os
import sys
import tarfile
import time

import docker
import docker.errors
import docker.types

sys.dont_write_bytecode = True
from checks import is_, ok, plan, raises  # noqa: E402



def main():
    c = docker.from_env(version="auto", timeout=60)
    ok(c.ping(), "ping")
    ok("ApiVersion" in c.version(), "version")
    ok(c.info()["OSType"] == "linux", "info")
    with open(os.environ["BUSYBOX_TAR"], "rb") as f:
        images = c.images.load(f)
    is_(images[0].tags, ["busybox:latest"], "images.load")
    is_([i.tags for i in c.images.list()], [["busybox:latest"]], "images.list")
    raises(docker.errors.ImageNotFound, "images.get of nothing", lambda: c.images.get("nope"))
    is_(c.containers.run("busybox", ["echo", "hi"], remove=True, network_mode="none"), b"hi\n", "containers.run")
    e = raises(docker.errors.ContainerError, "a failing run", lambda: c.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none"))
    is_(e and e.exit_status, 3, "its exit status")
    raises(docker.errors.ImageNotFound, "run of no image", lambda: c.api.create_container("nope:1", "true"))
    k = c.containers.create("busybox", ["sh", "-c", "echo one; echo two >&2; read x; echo got $x; exit 5"], name="py", stdin_open=True,
                            network_mode="none", labels={"a": "b"}, environment={"K": "v"}, mem_limit="64m", tmpfs={"/t": "size=1m"},
                            ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)], working_dir="/tmp", user="nobody")
    is_(k.status, "created", "create")
    sock = k.attach_socket(params={"stdin": 1, "stream": 1})
    k.start()
    raw = getattr(sock, "_sock", sock)
    raw.sendall(b"input\n")
    is_(k.wait(timeout=30)["StatusCode"], 5, "wait")
    sock.close()
    is_(sorted(k.logs().split()), sorted(b"one two got input".split()), "logs after the end")
    is_(k.logs(stdout=True, stderr=False), b"one\ngot input\n", "stdout only")
    k.reload()
    is_(k.status, "exited", "status")
    is_(k.attrs["Config"]["Labels"], {"a": "b"}, "labels")
    is_(k.attrs["HostConfig"]["Memory"], 64 << 20, "memory")
    is_([x.name for x in c.containers.list(all=True, filters={"label": ["a=b"]})], ["py"], "list by label")
    is_(c.containers.list(filters={"status": "running"}), [], "none is running")
    raises(docker.errors.APIError, "an unknown filter", lambda: c.containers.list(filters={"nope": "1"}))
    e = raises(docker.errors.APIError, "a name taken twice", lambda: c.containers.create("busybox", "true", name="py"))
    is_(e and e.response.status_code, 409, "is a conflict")
    k.remove()
    raises(docker.errors.NotFound, "removed", lambda: c.containers.get("py"))
    k = c.containers.run("busybox", ["sleep", "60"], detach=True, network_mode="none", auto_remove=False)
    code, out = k.exec_run(["sh", "-c", "echo out; echo err >&2; exit 7"], demux=True)
    is_((code, out), (7, (b"out\n", b"err\n")), "exec_run, demultiplexed")
    _, stream = k.exec_run(["sh", "-c", "for i in 1 2 3; do echo $i; done"], stream=True)
    is_(b"".join(stream), b"1\n2\n3\n", "exec_run as a stream")
    code, out = k.exec_run("id -u", user="1000")
    is_(out, b"1000\n", "exec as a user")
    e = raises(docker.errors.APIError, "exec with a bad body", lambda: c.api.exec_create(k.id, []))
    k.kill(signal="KILL")
    is_(k.wait()["StatusCode"], 137, "kill")
    k.restart(timeout=0)
    k.reload()
    is_(k.status, "running", "restart")
    k.rename("renamed")
    k.reload()
    is_(k.name, "renamed", "rename")
    k.stop(timeout=0)
    k.remove(v=True, force=True)
    v = c.volumes.create("pyvol", labels={"x": "y"})
    is_(v.attrs["Driver"], "local", "volumes.create")
    is_([x.name for x in c.volumes.list(filters={"label": "x=y"})], ["pyvol"], "volumes.list")
    is_(c.containers.run("busybox", "sh -c 'echo z > /v/f; cat /v/f'", volumes={"pyvol": {"bind": "/v", "mode": "rw"}}, remove=True, network_mode="none"), b"z\n", "a volume in a run")
    v.remove()
    raises(docker.errors.NotFound, "volume removed", lambda: c.volumes.get("pyvol"))
    is_(sorted(n.name for n in c.networks.list(names=["host", "none"])), ["host", "none"], "networks.list")
    img = c.images.get("busybox")
    ok(img.tag("py/copy", "v1"), "tag")
    data = b"".join(img.save(named=True))
    ok(tarfile.open(fileobj=io.BytesIO(data)).getmember("manifest.json") is not None, "save")
    c.images.remove("py/copy:v1")
    since = int(time.time())
    c.containers.run("busybox", "true", remove=True, network_mode="none")
    time.sleep(1)
    actions = [x["Action"] for x in c.events(since=since, until=int(time.time()) + 1, decode=True, filters={"type": "container"})]
    ok({"create", "start", "die"} <= set(actions), f"events {actions}")
    return plan()


sys.exit(main())
