#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers through docker-py: every argument of create, streams, exec, files, waiting, restarts. Prints TAP.
DOCKER_HOST names the daemon, BUSYBOX_TAR an image archive."""
import io
import os
import sys
import tarfile
import tempfile
import threading
import time

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import DeviceRequest, Healthcheck, LogConfig, Mount, Ulimit

from checks import SLOW, has, is_, ok, raises, run, until

c = docker.from_env(version="auto", timeout=60 * SLOW)
with open(os.environ["BUSYBOX_TAR"], "rb") as archive:
    IMAGE = c.images.load(archive.read())[0].tags[0]
LABEL = {"checks": "py-containers"}
MARK = {"label": "checks=py-containers"}


def create(command=None, **kwargs):
    kwargs.setdefault("network_mode", "none")
    return c.containers.create(IMAGE, command, labels={**LABEL, **kwargs.pop("labels", {})}, **kwargs)


def start(command="sleep 600", **kwargs):
    k = create(command, **kwargs)
    k.start()
    return k


def out(command, **kwargs):
    """What a container of these arguments prints; it is gone afterwards."""
    kwargs.setdefault("network_mode", "none")
    command = command if isinstance(command, list) else ["sh", "-c", command]
    return c.containers.run(IMAGE, command, remove=True, labels=LABEL, **kwargs).decode()


def sh(k, script, **kwargs):
    return k.exec_run(["sh", "-c", script], **kwargs).output.decode()


def clean():
    for k in c.containers.list(all=True, filters=MARK):
        k.remove(force=True, v=True)


# --- create

def fields():
    """Arguments that the daemon only keeps, or that the next part looks at from inside."""
    want = dict(blkio_weight=300, cap_add=["SYS_ADMIN"], cap_drop=["MKNOD"], cpu_period=50000, cpu_quota=25000, cpu_shares=512,
                cpuset_cpus="0", cpuset_mems="0", dns=["8.8.8.8"], dns_opt=["ndots:2"], dns_search=["example.org"], group_add=["100", "users"],
                ipc_mode="private", mem_limit="128m", mem_reservation="64m", memswap_limit="256m",
                oom_score_adj=100, pid_mode="", pids_limit=50, privileged=False, publish_all_ports=False, read_only=True,
                security_opt=["no-new-privileges"], shm_size="32m", userns_mode="host", uts_mode="", isolation="default", init=True)
    k = create("true", **want)
    h = k.attrs["HostConfig"]
    for name, value in {
            "BlkioWeight": 300, "CapAdd": h["CapAdd"], "CpuPeriod": 50000, "CpuQuota": 25000, "CpuShares": 512, "CpusetCpus": "0",
            "CpusetMems": "0", "Dns": ["8.8.8.8"], "DnsOptions": ["ndots:2"], "DnsSearch": ["example.org"], "GroupAdd": ["100", "users"],
            "IpcMode": "private", "Memory": 128 << 20, "MemoryReservation": 64 << 20, "MemorySwap": 256 << 20,
            "OomScoreAdj": 100, "PidMode": "", "PidsLimit": 50, "Privileged": False, "PublishAllPorts": False, "ReadonlyRootfs": True,
            "SecurityOpt": ["no-new-privileges"], "ShmSize": 32 << 20, "UsernsMode": "host", "UTSMode": "", "Isolation": "default", "Init": True,
            "NetworkMode": "none"}.items():
        is_(h[name], value, f"create keeps {name}")
    is_([x.replace("CAP_", "") for x in h["CapAdd"] + h["CapDrop"]], ["SYS_ADMIN", "MKNOD"], "create keeps the capabilities")
    k.remove()
    k = create(["true"], hostname="h1", domainname="example.org", entrypoint=["/bin/sh", "-c"], environment=["A=1", "B=2"], user="1000:100",
               working_dir="/tmp", tty=True, stdin_open=True, stop_signal="SIGINT", mac_address="02:42:00:00:00:01",
               healthcheck={"test": ["CMD", "true"], "interval": 10 ** 9, "retries": 3}, volumes=["/data"], network_disabled=True)
    g = k.attrs["Config"]
    for name, value in {"Hostname": "h1", "Domainname": "example.org", "Entrypoint": ["/bin/sh", "-c"], "User": "1000:100", "WorkingDir": "/tmp",
                        "Tty": True, "OpenStdin": True, "StopSignal": "SIGINT", "NetworkDisabled": True, "Cmd": ["true"]}.items():
        is_(g[name], value, f"create keeps {name}")
    is_([x for x in g["Env"] if x[0] in "AB"], ["A=1", "B=2"], "create keeps the environment")
    is_(g["Healthcheck"], {"Test": ["CMD", "true"], "Interval": 10 ** 9, "Retries": 3}, "create keeps the health check")
    is_([m["Destination"] for m in k.attrs["Mounts"]], ["/data"], "create makes an anonymous volume")
    k.remove(v=True)
    k = create("true", environment={"X": "1", "Y": None}, entrypoint="/bin/echo a")
    is_((k.attrs["Path"], k.attrs["Args"]), ("/bin/echo", ["a", "true"]), "an entrypoint as a string")
    ok("X=1" in k.attrs["Config"]["Env"] and "Y" in k.attrs["Config"]["Env"], "an environment as a dictionary")
    k.remove()


def inside():
    """Arguments as the container sees them."""
    is_(out("hostname; id -u; id -g; pwd; echo $A", hostname="inner", user="1000:100", working_dir="/tmp", environment={"A": "x y"}).split("\n"),
        ["inner", "1000", "100", "/tmp", "x y", ""], "host name, user, group, folder, environment")
    is_(out("id -G", group_add=["1234", "users"]).strip(), "0 100 1234", "more groups")
    is_(out("ulimit -n; ulimit -Hn", ulimits=[Ulimit(name="nofile", soft=123, hard=456)]).split(), ["123", "456"], "ulimits")
    is_(out("df -k /dev/shm | tail -n 1 | awk '{print $2}'", shm_size="8m").strip(), "8192", "size of /dev/shm")
    is_(out("touch /x 2>/dev/null || echo no; touch /t/x && echo yes", read_only=True, tmpfs={"/t": "size=1m,mode=755"}).split(), ["no", "yes"], "read only, and a tmpfs")
    is_(out("grep -w host1 /etc/hosts; grep nameserver /etc/resolv.conf", extra_hosts={"host1": "10.1.2.3"}, dns=["9.9.9.9"], network_mode="host").count("host1"), 1, "more hosts")
    is_(out("cat /proc/self/oom_score_adj", oom_score_adj=77).strip(), "77", "score of the OOM killer")
    is_(out("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", sysctls={"net.ipv4.ip_unprivileged_port_start": "99"}).strip(), "99", "sysctls")
    is_(out("cat /proc/1/comm", init=True).strip() in ("docker-init", "tini"), True, "an init")
    has(out("ls -l /dev/mynull", devices=["/dev/null:/dev/mynull:rwm"]), "1,", "devices")
    is_(out("cat < /dev/zero | head -c 1 | wc -c", device_cgroup_rules=["c 1:5 rwm"]).strip(), "1", "rules of devices")
    is_(out("grep CapEff /proc/self/status", cap_drop=["ALL"]).split()[1], "0" * 16, "no capability")
    ok(int(out("grep CapEff /proc/self/status", privileged=True).split()[1], 16) > 1 << 37, "privileged")
    is_(out("grep NoNewPrivs /proc/self/status", security_opt=["no-new-privileges:true"]).split()[1], "1", "no new privileges")
    is_(out("grep ^Seccomp: /proc/self/status", security_opt=["seccomp=unconfined"]).split()[1], "0", "seccomp off")
    ok(int(out("ls -d /proc/[0-9]* | wc -l", pid_mode="host")) > 3, "the host's processes")
    is_(out("readlink /proc/self/ns/uts", uts_mode="host").strip(), os.readlink("/proc/self/ns/uts"), "the host's name")
    is_(out("readlink /proc/self/ns/ipc", ipc_mode="host").strip(), os.readlink("/proc/self/ns/ipc"), "the host's ipc")
    k = start(pids_limit=10, cpu_shares=512)
    l = start(pid_mode=f"container:{k.id}", ipc_mode=f"container:{k.name}") if k.attrs["HostConfig"]["IpcMode"] == "shareable" else start(pid_mode=f"container:{k.id}")
    has(sh(l, "ps"), "sleep 600", "another's processes")
    l.remove(force=True)
    l = start(network_mode=f"container:{k.id}")
    is_(sh(l, "readlink /proc/1/ns/net"), sh(k, "readlink /proc/1/ns/net"), "another's network")
    k.remove(force=True)
    l.remove(force=True)


def mounts():
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        with open(d + "/in", "w") as f:
            f.write("from outside")
        is_(out("cat /m/in; touch /m/new 2>/dev/null || echo -ro", volumes={d: {"bind": "/m", "mode": "ro"}}), "from outside-ro\n", "a folder, read only")
        is_(out("cat /m/in; touch /m/x && echo +", mounts=[Mount("/m", d, type="bind")]), "from outside+\n", "a Mount of a folder")
        is_(out("touch /m/y || echo ro", mounts=[Mount("/m", d, type="bind", read_only=True, propagation="rprivate")]), "ro\n", "a Mount, read only")
        k = create("true", mounts=[Mount("/m", d, type="bind")])
        is_([(m["Type"], m["Source"], m["Destination"], m["RW"]) for m in k.attrs["Mounts"]], [("bind", d, "/m", True)], "Mounts of inspect")
        k.remove()
    is_(out("df -k /m | tail -n 1 | awk '{print $2}'", mounts=[Mount("/m", None, type="tmpfs", tmpfs_size="2m", tmpfs_mode=0o1777)]).strip(), "2048", "a Mount of a tmpfs")
    k = create("true", mounts=[Mount("/m", "pyc-vol", type="volume", labels=LABEL, no_copy=True)])
    v = c.volumes.get("pyc-vol")
    is_(v.attrs["Labels"], LABEL, "a Mount makes a volume with its labels")
    e = raises(APIError, "a volume in use stays", v.remove)
    is_(e.response.status_code, 409, "with a conflict")
    has(str(e), "volume is in use", "in words")
    k.remove()
    v.remove()
    a = create("true", volumes={"pyc-from": {"bind": "/f", "mode": "rw"}})
    b = create("true", volumes_from=[a.id])
    is_([m["Name"] for m in b.attrs["Mounts"]], ["pyc-from"], "volumes from another")
    b.remove()
    a.remove()
    c.volumes.get("pyc-from").remove()
    e = raises(APIError, "no such folder of a Mount", create, "true", mounts=[Mount("/m", "/nope/nope", type="bind")])
    has(str(e), "bind source path does not exist: /nope/nope", "is named")


def refused():
    """What create refuses, by the class of the error and its words."""
    e = raises(ImageNotFound, "no image", c.containers.create, "nope-nope:1", "true")
    is_(e.explanation.lower().startswith("no such image: nope-nope:1"), True, "the image is named")
    is_((e.is_client_error(), e.is_server_error(), e.status_code), (True, False, 404), "a client's error")
    for what, words, args in (
            ("a negative memory", "Minimum memory limit allowed", dict(mem_limit=1)),
            ("swap below memory", "larger than memory limit", dict(mem_limit="64m", memswap_limit="32m")),
            ("a capability that is none", "nvalid CapAdd", dict(cap_add=["NOPE"])),
            ("a folder that is relative", "must be absolute", dict(volumes={"pyc": {"bind": "rel", "mode": "rw"}})),
            ("a mode of a mount", "invalid mode", dict(volumes={"/tmp": {"bind": "/a", "mode": "xx"}})),
            ("two mounts at one place", "Duplicate mount point", dict(volumes=["/tmp:/a", "/usr:/a"])),
            ("a restart policy", "invalid restart policy", dict(restart_policy={"Name": "sometimes"})),
            ("a restart policy beside auto-remove", "AutoRemove", dict(restart_policy={"Name": "always"}, auto_remove=True)),
            ("a name", "Invalid container name", dict(name="a b")),
            ("a log driver", "looking up logging plugin nope", dict(log_config=LogConfig(type="nope"))),
            ("an option of a log driver", "unknown log opt 'nope'", dict(log_config=LogConfig(type="json-file", config={"nope": "1"}))),
            ("an ipc mode", "invalid IPC mode", dict(ipc_mode="nope")),
            ("a pid mode", "invalid PID mode", dict(pid_mode="nope")),
            ("an unknown runtime", "nope", dict(runtime="nope")),
            ("a security option", "invalid --security-opt", dict(security_opt=["nope:1:2"])),
    ):
        e = raises(APIError, f"refused: {what}", create, "true", **args)
        has(str(e).lower(), words.lower(), f"in words: {what}")
    k = create("nope-nope")
    e = raises(APIError, "a command that is not there", k.start)
    is_(e.status_code, 400, "is the client's error")
    has(str(e), "executable file not found in $PATH", "in words")
    k.reload()
    is_((k.status, k.attrs["State"]["ExitCode"]), ("created", 127), "and the exit code")
    k.remove()
    k = create("/tmp")
    has(str(raises(APIError, "a command that is a folder", k.start)), "ermission denied", "in words")
    k.reload()
    is_(k.attrs["State"]["ExitCode"], 126, "and the exit code")
    k.remove()
    k = create("true", devices=["/dev/nope:/dev/nope:rwm"])
    has(str(raises(APIError, "a device that is not there", k.start)), "error gathering device information while adding custom device", "in words")
    k.remove()
    k = create("true", device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])])
    has(str(raises(APIError, "a device that nobody gives", k.start)), "could not select device driver", "in words")
    k.remove()


# --- streams

def runs():
    is_(c.containers.run(IMAGE, "echo hello world", remove=True, labels=LABEL, network_mode="none"), b"hello world\n", "run")
    e = raises(ContainerError, "run of what fails", out, "echo oops >&2; exit 9")
    is_((e.exit_status, e.stderr), (9, b"oops\n"), "its status and its errors")
    is_(c.containers.run(IMAGE, ["sh", "-c", "echo a; echo b >&2"], remove=True, labels=LABEL, network_mode="none", stderr=True, stdout=True).count(b"\n"), 2, "run with both")
    is_(b"".join(c.containers.run(IMAGE, "seq 3", stream=True, remove=True, labels=LABEL, network_mode="none")), b"1\n2\n3\n", "run as a stream")
    k = c.containers.run(IMAGE, "sleep 600", detach=True, network_mode="none", labels=LABEL, name="pyc-run")
    ok(k.id in [x.id for x in c.containers.list(filters=MARK)], "run detached")
    ok(k.short_id and k.image.tags and k.labels == LABEL and k.ports == {} or k.ports is not None, "attributes")
    k.remove(force=True)
    none = c.containers.run(IMAGE, "echo x", log_config=LogConfig(type="none"), network_mode="none", labels=LABEL, detach=True)
    none.wait()
    has(str(raises(APIError, "logs of the driver none", none.logs)), "configured logging driver does not support reading", "in words")
    none.remove()


def attach():
    k = create("cat", stdin_open=True)
    s = k.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    stream = k.attach(stream=True, logs=False)
    k.start()
    s._sock.sendall(b"line 1\nline 2\n")
    got = b""
    while got.count(b"\n") < 2:
        got += next(stream)
    is_(got, b"line 1\nline 2\n", "attach_socket and attach")
    s._sock.shutdown(1)
    s.close()
    is_(k.wait()["StatusCode"], 0, "the end of what is attached ends the input")
    k.remove(force=True)
    k = create(["sh", "-c", "read x; echo o$x; echo e$x >&2; exit 4"], stdin_open=True)
    s = k.attach_socket(params={"stdin": 1, "stream": 1})
    both = k.attach(stream=True, demux=True)
    k.start()
    s._sock.sendall(b"1\n")
    is_(sorted(both, key=str), [(None, b"e1\n"), (b"o1\n", None)], "attach, demultiplexed")
    is_(k.wait()["StatusCode"], 4, "its end")
    k.remove()
    k = create(["sh", "-c", "stty size; read x; stty size; echo got $x"], tty=True, stdin_open=True)
    s = k.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    k.start()
    until(lambda: k.logs())
    k.resize(height=33, width=99)
    s._sock.sendall(b"word\n")
    k.wait()
    has(k.logs().decode(), "33 99\r\ngot word\r\n", "a terminal and its size")
    s.close()
    k.remove()
    k = create("true")
    raises(APIError, "resize of what does not run", k.resize, 10, 10)
    k.remove()


def logs():
    k = start(["sh", "-c", "for i in 1 2 3; do echo o$i; done; echo e >&2; read x; echo last"], stdin_open=True)
    until(lambda: k.logs().count(b"\n") == 4)
    is_(k.logs(stderr=False), b"o1\no2\no3\n", "logs of one stream")
    is_(k.logs(stdout=False), b"e\n", "logs of the other")
    is_(len(k.logs(tail=2).split()), 2, "logs, the tail")
    is_(k.logs(tail=0), b"", "no tail")
    stamp = k.logs(timestamps=True, stderr=False).split(b"\n")[0].split(b" ")
    ok(len(stamp) == 2 and stamp[1] == b"o1" and stamp[0][10:11] == b"T" and stamp[0].endswith(b"Z"), "logs with times")
    is_(k.logs(since=int(time.time()) + 100), b"", "logs since the future")
    is_(k.logs(until=1), b"", "logs until long ago")
    is_(len(k.logs(since=int(time.time()) - 1000 * SLOW).split()), 4, "logs since a while")
    follow = k.logs(stream=True, follow=True, stderr=False)
    got = b"".join(next(follow) for _ in range(3))
    is_(got, b"o1\no2\no3\n", "logs that follow")
    s = k.attach_socket(params={"stdin": 1, "stream": 1})
    s._sock.sendall(b"x\n")
    is_(b"".join(follow), b"last\n", "to the end")
    s.close()
    k.remove()
    k = start(["sh", "-c", "echo tty; echo two"], tty=True)
    k.wait()
    is_(k.logs(), b"tty\r\ntwo\r\n", "logs of a terminal")
    k.remove()


def stats():
    k = start(mem_limit="64m")
    one = k.stats(stream=False)
    is_((one["id"], one["name"]), (k.id, "/" + k.name), "stats once")
    ok(one["cpu_stats"]["cpu_usage"]["total_usage"] > 0 and one["cpu_stats"]["online_cpus"] >= 1 and one["precpu_stats"]["cpu_usage"]["total_usage"] >= 0, "of processors")
    is_(one["memory_stats"]["limit"], 64 << 20, "of memory")
    ok(one["pids_stats"]["current"] >= 1, "of processes")
    stream = k.stats(decode=True)
    a, b = next(stream), next(stream)
    ok(b["read"] > a["read"] and b["preread"] == a["read"], "stats as a stream")
    stream.close()
    raw = k.stats(stream=True)
    ok(isinstance(next(raw), bytes), "stats as bytes")
    raw.close()
    k.stop(timeout=0)
    is_(k.stats(stream=False)["pids_stats"], {}, "stats of what does not run")
    k.remove()


# --- exec

def execs():
    k = start(environment={"E": "1"})
    is_(k.exec_run("echo a"), (0, b"a\n"), "exec_run")
    is_(k.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output, (b"o\n", b"e\n"), "demux")
    is_(k.exec_run("false").exit_code, 1, "exit code")
    is_(b"".join(k.exec_run("seq 4", stream=True).output), b"1\n2\n3\n4\n", "stream")
    pairs = list(k.exec_run(["sh", "-c", "echo o; echo e >&2"], stream=True, demux=True).output)
    is_(sorted(pairs, key=str), [(None, b"e\n"), (b"o\n", None)], "stream and demux")
    is_(k.exec_run("tty", tty=True).output, b"/dev/pts/0\r\n", "tty")
    is_(sh(k, "id -u; pwd; echo $E$F", user="nobody", workdir="/tmp", environment={"F": "2"}).split(), ["65534", "/tmp", "12"], "user, folder, environment")
    ok(int(k.exec_run("grep CapEff /proc/self/status", privileged=True).output.split()[1], 16) > 1 << 37, "privileged")
    is_(k.exec_run("sleep 600", detach=True).exit_code, None, "detached")
    code, s = k.exec_run("cat", stdin=True, socket=True)
    s._sock.sendall(b"to cat\n")
    head = s.read(8)
    is_((head, s.read(7)), (b"\1\0\0\0\0\0\0\7", b"to cat\n"), "socket")
    s._sock.shutdown(1)
    is_(s.read(1), b"", "its end")
    s.close()
    x = c.api.exec_create(k.id, ["sh", "-c", "stty size; read y; stty size"], tty=True, stdin=True, detach_keys="ctrl-x")
    info = c.api.exec_inspect(x["Id"])
    is_((info["Running"], info["ExitCode"], info["ProcessConfig"]["tty"], info["ProcessConfig"]["entrypoint"], info["ContainerID"]),
        (False, None, True, "sh", k.id), "exec_inspect before")
    raises(APIError, "exec_resize of what is not started", c.api.exec_resize, x["Id"], 10, 10)
    s = c.api.exec_start(x["Id"], tty=True, socket=True)
    c.api.exec_resize(x["Id"], height=30, width=90)
    s._sock.sendall(b"\n")
    has(s.read().decode(), "30 90", "exec_resize")
    s.close()
    until(lambda: not c.api.exec_inspect(x["Id"])["Running"])
    is_(c.api.exec_inspect(x["Id"])["ExitCode"], 0, "exec_inspect after")
    e = raises(APIError, "an exec starts once", c.api.exec_start, x["Id"])
    ok(e.status_code in (404, 409), "its status")
    x = c.api.exec_create(k.id, "nope-nope")
    try:
        text = c.api.exec_start(x["Id"]).decode()
    except APIError as e:
        text = str(e)
    has(text, "executable file not found in $PATH", "a command that is not there")
    is_(c.api.exec_inspect(x["Id"])["ExitCode"], 127, "its exit code")
    e = raises(NotFound, "no such exec", c.api.exec_inspect, "nope")
    has(str(e), "No such exec instance: nope", "in words")
    k.pause()
    e = raises(APIError, "exec of what is paused", k.exec_run, "true")
    is_(e.status_code, 409, "is a conflict")
    has(str(e), "is paused, unpause the container before exec", "in words")
    k.unpause()
    k.stop(timeout=0)
    e = raises(APIError, "exec of what does not run", k.exec_run, "true")
    is_((e.status_code, "is not running" in str(e)), (409, True), "is a conflict")
    k.remove()


# --- files

def pack(**files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as t:
        for name, text in files.items():
            i = tarfile.TarInfo(name)
            i.size, i.mode, i.uid = len(text), 0o640, 1000
            t.addfile(i, io.BytesIO(text.encode()))
    return data.getvalue()


def unpack(chunks):
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as t:
        return {m.name: t.extractfile(m).read().decode(errors="replace") if m.isfile() and m.size < 1000 else None for m in t}


def files():
    for k in (create("true"), start()):
        running = c.api.inspect_container(k.id)["State"]["Status"]
        is_(k.put_archive("/tmp", pack(a="one", b="two")), True, f"put_archive, {running}")
        chunks, stat = k.get_archive("/tmp/a")
        is_(unpack(chunks), {"a": "one"}, f"get_archive of a file, {running}")
        is_((stat["name"], stat["size"], stat["mode"] & 0o777, stat["linkTarget"]), ("a", 3, 0o640, ""), f"its stat, {running}")
        is_(unpack(k.get_archive("/tmp", chunk_size=512)[0]), {"tmp": None, "tmp/a": "one", "tmp/b": "two"}, f"get_archive of a folder, {running}")
        is_(sorted(n.strip("./") for n in unpack(k.get_archive("/tmp/.")[0])), ["", "a", "b"], f"get_archive of its content, {running}")
        e = raises(NotFound, f"get_archive of nothing, {running}", k.get_archive, "/nope")
        has(str(e), "Could not find the file /nope in container", f"in words, {running}")
        raises(NotFound, f"put_archive to nothing, {running}", k.put_archive, "/nope", pack(a="x"))
        e = raises(APIError, f"put_archive to a file, {running}", k.put_archive, "/tmp/a", pack(a="x"))
        has(str(e), "extraction point is not a directory", f"in words, {running}")
        is_(sorted((d["Path"], d["Kind"]) for d in k.diff() if d["Path"].startswith("/tmp")), [("/tmp", 0), ("/tmp/a", 1), ("/tmp/b", 1)], f"diff, {running}")
        is_(unpack(k.export()).get("tmp/a"), "one", f"export, {running}")
        i = k.commit(repository="pyc/made", tag="1", message="m", author="me", changes=["ENV C=1", "CMD [\"cat\", \"/tmp/b\"]"], conf={"Labels": {"l": "1"}})
        is_(i.tags, ["pyc/made:1"], f"commit, {running}")
        is_((i.attrs["Comment"], i.attrs["Author"], i.attrs["Config"]["Cmd"], "C=1" in i.attrs["Config"]["Env"]), ("m", "me", ["cat", "/tmp/b"], True), f"what it keeps, {running}")
        is_(c.containers.run("pyc/made:1", remove=True, network_mode="none"), b"two", f"run of it, {running}")
        c.images.remove("pyc/made:1")
        k.remove(force=True)


# --- life

def life():
    k = create("sleep 600", name="pyc-life")
    is_(k.status, "created", "created")
    for n, f in (("start", k.start), ("pause", k.pause), ("unpause", k.unpause)):
        f()
        k.reload()
        is_(k.status, {"start": "running", "pause": "paused", "unpause": "running"}[n], n)
    k.start()
    k.reload()
    is_(k.status, "running", "start of what runs is nothing")
    e = raises(APIError, "unpause of what is not paused", k.unpause)
    has(str(e), "is not paused", "in words")
    k.pause()
    has(str(raises(APIError, "pause twice", k.pause)), "is already paused", "in words")
    k.unpause()
    top = k.top()
    ok("PID" in top["Titles"] and "sleep 600" in top["Processes"][0][-1], "top")
    is_(k.top(ps_args="-o pid,comm")["Titles"], ["PID", "COMMAND"], "top with arguments")
    raises(APIError, "top with wrong arguments", k.top, ps_args="--nope")
    k.rename("pyc-life2")
    is_(c.containers.get("pyc-life2").id, k.id, "rename")
    other = create("true", name="pyc-other")
    e = raises(APIError, "rename to a name that is taken", other.rename, "pyc-life2")
    is_(e.status_code, 409, "is a conflict")
    has(str(e), 'The container name "/pyc-life2" is already in use by container', "in words")
    other.remove()
    u = k.update(mem_limit="100m", memswap_limit="200m", cpu_shares=300, restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    ok("Warnings" in u, "update")
    k.reload()
    is_((k.attrs["HostConfig"]["Memory"], k.attrs["HostConfig"]["CpuShares"], k.attrs["HostConfig"]["RestartPolicy"]),
        (100 << 20, 300, {"Name": "on-failure", "MaximumRetryCount": 2}), "what it changed")
    e = raises(APIError, "update to too little", k.update, mem_limit="1m")
    has(str(e), "inimum memory limit", "in words")
    k.update(restart_policy={"Name": "no"})
    e = raises(APIError, "remove of what runs", k.remove)
    is_(e.status_code, 409, "is a conflict")
    has(str(e).lower(), "cannot remove", "in words")
    began = k.attrs["State"]["StartedAt"]
    k.restart(timeout=0)
    k.reload()
    ok(k.attrs["State"]["StartedAt"] > began, "restart")
    k.stop(timeout=0)
    is_(k.wait()["StatusCode"], 137, "stop")
    k.stop()
    e = raises(APIError, "kill of what does not run", k.kill)
    is_((e.status_code, "is not running" in str(e)), (409, True), "is a conflict")
    k.remove()
    e = raises(NotFound, "gone", k.reload)
    has(str(e), f"No such container: {k.id}", "in words")
    k = start(["sh", "-c", "trap 'exit 3' USR1; trap 'exit 4' TERM; echo set; while :; do sleep 0.05; done"])
    until(lambda: k.logs().count(b"set") == 1)
    e = raises(APIError, "a signal that is none", k.kill, signal="SIGNOPE")
    has(str(e).lower(), "invalid signal: signope", "in words")
    k.kill(signal="SIGUSR1")
    is_(k.wait()["StatusCode"], 3, "kill with a name")
    k.start()
    until(lambda: k.logs().count(b"set") == 2)
    k.kill(signal=15)
    is_(k.wait()["StatusCode"], 4, "kill with a number")
    k.remove()


def waits():
    k = create(["sh", "-c", "exit 6"])
    got = []
    t = threading.Thread(target=lambda: got.append(k.wait(condition="next-exit", timeout=60 * SLOW)))
    t.start()
    for _ in range(20):  # an exit before the wait is there is not its next one
        time.sleep(0.3)
        k.start()
        t.join(2)
        if got:
            break
    is_([g["StatusCode"] for g in got], [6], "wait for the next exit")
    is_(k.wait(condition="not-running")["StatusCode"], 6, "wait for what does not run")
    got.clear()
    t = threading.Thread(target=lambda: got.append(k.wait(condition="removed", timeout=60 * SLOW)))
    t.start()
    time.sleep(0.5 * SLOW)
    is_(got, [], "wait for the removal waits")
    k.remove()
    t.join(30 * SLOW)
    is_([g["StatusCode"] for g in got], [6], "wait for the removal")
    raises(NotFound, "wait for nothing", k.wait)
    k = start()
    import requests
    raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError), "wait with a time-out", k.wait, timeout=1)
    e = raises(APIError, "a condition that is none", k.wait, condition="nope")
    has(str(e), "nvalid condition", "in words")
    k.remove(force=True)
    k = create("sleep 600", auto_remove=True)
    k.start()
    k.kill()
    until(lambda: k.id not in [x.id for x in c.containers.list(all=True, ignore_removed=True)], "auto_remove")


def restarts():
    k = start(["sh", "-c", "exit 2"], restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    until(lambda: c.api.inspect_container(k.id)["RestartCount"] == 2 and not c.api.inspect_container(k.id)["State"]["Running"]
          and not c.api.inspect_container(k.id)["State"]["Restarting"], "restarts that end", 20)
    is_(c.api.inspect_container(k.id)["State"]["ExitCode"], 2, "with the exit code")
    k.remove()
    k = start(["sh", "-c", "exit 0"], restart_policy={"Name": "always"})
    until(lambda: c.api.inspect_container(k.id)["RestartCount"] >= 1, "restarts always")
    k.stop(timeout=0)
    k.remove(force=True)


def health():
    k = start(healthcheck=Healthcheck(test=["CMD-SHELL", "test -e /ok"], interval=200 * 10 ** 6, timeout=5 * 10 ** 9, retries=2, start_period=10 ** 6))
    is_(k.attrs["Config"]["Healthcheck"]["Test"], ["CMD-SHELL", "test -e /ok"], "a health check")
    state = lambda: c.api.inspect_container(k.id)["State"]["Health"]
    until(lambda: state()["Status"] == "unhealthy", "unhealthy")
    ok(state()["FailingStreak"] >= 2 and state()["Log"][-1]["ExitCode"] == 1, "its log")
    is_([x.id for x in c.containers.list(filters={**MARK, "health": "unhealthy"})], [k.id], "list by health")
    sh(k, "touch /ok")
    until(lambda: state()["Status"] == "healthy", "healthy")
    has(c.containers.list(filters=MARK)[0].attrs["State"]["Status"], "running", "and runs")
    has(c.api.containers(filters=MARK)[0]["Status"], "(healthy)", "status of the list")
    k.remove(force=True)
    raises((APIError, docker.errors.InvalidArgument), "a health check of the wrong form", create, "true", healthcheck={"test": ["NOPE"], "interval": 1})


def lists():
    ks = [create("sleep 600", name=f"pyc-l{i}", labels={"n": str(i)}) for i in range(3)]
    ks[0].start()
    ks[1].start()
    ks[1].kill()
    ks[1].wait()
    names = lambda **kw: sorted(x.name for x in c.containers.list(**kw))
    is_(names(filters=MARK), ["pyc-l0"], "list")
    is_(names(all=True, filters=MARK), ["pyc-l0", "pyc-l1", "pyc-l2"], "list all")
    is_(names(all=True, limit=1, filters=MARK), ["pyc-l2"], "list with a limit")
    is_(names(all=True, filters={"label": ["checks=py-containers", "n=1"]}), ["pyc-l1"], "list by two labels")
    is_(names(all=True, filters={**MARK, "status": "exited"}), ["pyc-l1"], "list by status")
    is_(names(all=True, filters={**MARK, "exited": 137}), ["pyc-l1"], "list by exit code")
    is_(names(all=True, filters={**MARK, "name": "l[01]$"}), ["pyc-l0", "pyc-l1"], "list by name")
    is_(names(all=True, filters={**MARK, "id": ks[2].id}), ["pyc-l2"], "list by id")
    is_(names(filters={**MARK, "since": ks[0].id}, all=True), ["pyc-l1", "pyc-l2"], "list since")
    is_(names(filters={**MARK, "before": ks[1].id}, all=True), ["pyc-l0"], "list before")
    is_(names(all=True, filters={**MARK, "ancestor": IMAGE}), ["pyc-l0", "pyc-l1", "pyc-l2"], "list by image")
    is_([x.attrs["State"] for x in c.containers.list(filters=MARK, sparse=True)], ["running"], "list, sparse")
    is_(sorted(len(x["Id"]) for x in c.api.containers(quiet=True, all=True, filters=MARK)), [64, 64, 64], "list of ids")
    ok(all("SizeRootFs" in x for x in c.api.containers(size=True, all=True, filters=MARK)), "list with sizes")
    got = c.containers.prune(filters=MARK)
    is_((sorted(got["ContainersDeleted"]), got["SpaceReclaimed"]), (sorted(x.id for x in ks[1:]), 0), "prune")
    is_(names(all=True, filters=MARK), ["pyc-l0"], "what it leaves")
    ks[0].remove(force=True)


def links():
    a = start(name="pyc-a", network_mode=None) if "bridge" in [n.name for n in c.networks.list()] else None
    if not a:
        return
    b = start(name="pyc-b", network_mode=None, links={"pyc-a": "alias"})
    has(sh(b, "cat /etc/hosts"), "alias", "a link in hosts")
    is_(b.attrs["HostConfig"]["Links"], ["/pyc-a:/pyc-b/alias"], "a link in inspect")
    b.remove(force=True)
    a.remove(force=True)


clean()
try:
    parts = [fields, inside, mounts, refused, runs, attach, logs, stats, execs, files, life, waits, restarts, health, lists, links]
    status = run([p for p in parts if p.__name__ in sys.argv[1:] or not sys.argv[1:]])
finally:
    clean()
sys.exit(status)
