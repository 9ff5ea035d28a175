# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hostile archives through every door of the API: hostile.py SOCKET PID DATA-ROOT CANARY. Prints TAP.

CANARY is a folder beside the daemon's own that nothing may change."""
import glob
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
import time

sys.dont_write_bytecode = True
from checks import Unix, ok, plan  # noqa: E402

SOCK, PID, ROOT, CANARY = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


SLOW = float(os.environ.get("DKD_SLOW", "1"))  # builds with sanitizers take longer: lib.sh

def call(method, path, body=None, kind="application/x-tar"):
    c = Unix(SOCK, 120 * SLOW)
    try:
        c.request(method, path, body, {"Content-Type": kind} if body is not None else {})
        r = c.getresponse()
        return r.status, r.read().decode("utf8", "replace")
    except (BrokenPipeError, ConnectionResetError):
        try:
            r = c.getresponse()
            return r.status, r.read().decode("utf8", "replace")
        except Exception as e:
            return 0, repr(e)
    finally:
        c.close()


def post_json(path, value):
    return call("POST", path, json.dumps(value), "application/json")


def rss():
    with open("/proc/%d/status" % PID) as f:
        return next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))


def canary():
    seen = []
    for top, dirs, files in os.walk(CANARY):
        for name in [top] + [os.path.join(top, f) for f in files + dirs]:
            st = os.lstat(name)
            seen.append((name, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_nlink, st.st_mtime_ns))
            if stat.S_ISREG(st.st_mode):
                with open(name, "rb") as f:
                    seen.append(f.read())
    for name in ("/pwned", "/tmp/pwned", os.path.dirname(CANARY) + "/pwned", os.path.join(ROOT, "pwned")):
        seen.append((name, os.path.lexists(name)))
    return seen


def state():
    """What a refused image must not add to."""
    seen = []
    for top, dirs, files in os.walk(os.path.join(ROOT, "image")):
        seen += [os.path.join(top, f) for f in files if not f.endswith(".lock")]
        seen += [os.path.join(top, d) for d in dirs]
    for name in ("overlay2", "vfs/dir", "tmp"):
        path = os.path.join(ROOT, name)
        seen += [os.path.join(path, x) for x in (os.listdir(path) if os.path.isdir(path) else [])]
    return sorted(seen)


def entry(name, kind=tarfile.REGTYPE, link="", data=b"", mode=0o644, dev=(0, 0), pax=None, uid=0):
    t = tarfile.TarInfo(name)
    t.type, t.linkname, t.size, t.mode, t.uid = kind, link, len(data), mode, uid
    t.devmajor, t.devminor = dev
    t.pax_headers = pax or {}
    return t, data


def tar(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as f:
        for t, data in entries:
            f.addfile(t, io.BytesIO(data))
    return out.getvalue()


SYM, LNK, DIR, CHR, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE


def image(layers, name="hostile:1", config=None, diff_ids=None, manifest=None, stored=None):
    diff_ids = diff_ids or ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]
    cfg = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
           "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": []}
    cfg.update(config or {})
    cfg = json.dumps(cfg).encode()
    cname = hashlib.sha256(cfg).hexdigest() + ".json"
    manifest = manifest or [{"Config": cname, "RepoTags": [name], "Layers": ["%d/layer.tar" % i for i in range(len(layers))]}]
    parts = [entry("manifest.json", data=json.dumps(manifest).encode()), entry(cname, data=cfg)]
    parts += [entry("%d/layer.tar" % i, data=x) for i, x in enumerate(stored or layers)]
    return tar(*parts)


def load(archive):
    status, text = call("POST", "/images/load?quiet=1", archive)
    return status == 200 and "errorDetail" not in text and '"error"' not in text, text


def forget(name="hostile:1"):
    call("DELETE", "/images/%s?force=1" % name)


UP = "../" * 12
OUT = CANARY.lstrip("/")
XATTR = "SCHILY.xattr."


def layer_cases():
    """Layers that try to leave. Each is a list of layers; harmless or refused, both will do, the canary decides."""
    pw = b"pwned"
    return [
        ("..", [[entry("../pwned", data=pw)]]),
        ("many ..", [[entry(UP + "tmp/pwned", data=pw)]]),
        (".. in the middle", [[entry("a/", DIR, mode=0o755), entry("a/../../pwned", data=pw)]]),
        ("an absolute name", [[entry(CANARY + "/new", data=pw)]]),
        ("a symlink, then a file through it", [[entry("out", SYM, CANARY), entry("out/secret", data=pw)]]),
        ("a relative symlink, then a file through it", [[entry("out", SYM, UP + OUT), entry("out/new", data=pw)]]),
        ("a symlink in one layer, a file in the next", [[entry("out", SYM, CANARY)], [entry("out/new", data=pw)]]),
        ("a chain of symlinks", [[entry("a", SYM, "b"), entry("b", SYM, "c"), entry("c", SYM, CANARY), entry("a/new", data=pw)]]),
        ("a file over a symlink", [[entry("f", SYM, CANARY + "/secret"), entry("f", data=pw)]]),
        ("a folder over a symlink", [[entry("d", SYM, CANARY), entry("d", DIR, mode=0o777), entry("d/new", data=pw)]]),
        ("a hard link out", [[entry("h", LNK, CANARY + "/secret"), entry("h", data=pw)]]),
        ("a hard link with ..", [[entry("h", LNK, UP + OUT + "/secret"), entry("h", data=pw)]]),
        ("a hard link through a symlink", [[entry("s", SYM, CANARY), entry("h", LNK, "s/secret"), entry("h", data=pw)]]),
        ("a hard link to a symlink, changed", [[entry("s", SYM, CANARY + "/secret"), entry("h", LNK, "s"), entry("h", mode=0o777, data=pw)]]),
        ("a hard link in the next layer", [[entry("s", SYM, CANARY)], [entry("h", LNK, "s/secret"), entry("h", data=pw)]]),
        ("a whiteout of ..", [[entry(".wh...", data=b"")]]),
        ("a whiteout of .", [[entry(".wh..", data=b"")]]),
        ("a whiteout through a symlink", [[entry("out", SYM, CANARY)], [entry("out/.wh.secret", data=b"")]]),
        ("an opaque mark through a symlink", [[entry("out", SYM, CANARY)], [entry("out/.wh..wh..opq", data=b"")]]),
        ("a whiteout of the symlink itself", [[entry("out", SYM, CANARY)], [entry(".wh.out", data=b"")]]),
        ("aufs' link folder", [[entry(".wh..wh.plnk/1.2", data=pw), entry("x", LNK, ".wh..wh.plnk/1.2")]]),
        ("overlay's redirect", [[entry("d", DIR, mode=0o755, pax={XATTR + "trusted.overlay.redirect": "/" + UP + OUT})]]),
        ("overlay's opaque mark", [[entry("d", DIR, mode=0o755, pax={XATTR + "trusted.overlay.opaque": "y"})]]),
        ("overlay's whiteout as a device", [[entry("d", CHR, dev=(0, 0))]]),
        ("a FIFO, then a file", [[entry("p", FIFO), entry("p", data=pw)]]),
        ("the root itself as a symlink", [[entry(".", SYM, CANARY), entry("new", data=pw)]]),
        ("the root itself as a file", [[entry("./", data=pw)]]),
        ("a parent that is a file", [[entry("f", data=b"x"), entry("f/new", data=pw)]]),
        ("a parent that is a FIFO", [[entry("f", FIFO), entry("f/new", data=pw)]]),
        ("a link to itself", [[entry("l", SYM, "l"), entry("l/new", data=pw)]]),
        ("a hard link to itself", [[entry("l", LNK, "l")]]),
        ("deep folders", [[entry("d/" * 1500 + "f", data=pw)]]),
        ("names of 300 bytes", [[entry("n" * 300, data=pw)]]),
        ("an empty name", [[entry("", data=pw)]]),
        ("a NUL in a name", [[entry("a", pax={"path": "a\0b"}, data=pw)]]),
        ("a huge uid", [[entry("u", data=pw, uid=2 ** 40)]]),
    ]


def run_layers():
    before = canary()
    for what, layers in layer_cases():
        start = time.monotonic()
        blobs = [tar(*x) for x in layers]
        clean = state()
        good, text = load(image(blobs))
        took = time.monotonic() - start
        after = canary()
        ok(after == before and took < 30 * SLOW, "layer, %s: nothing outside changes (%s)" % (what, "loads" if good else "refused"),
           [x for x in after if x not in before][:3] or took)
        if good:
            status, text = post_json("/containers/create", {"Image": "hostile:1", "HostConfig": {"NetworkMode": "none"}})
            if status == 201:
                call("DELETE", "/containers/%s?force=1" % json.loads(text)["Id"])
            forget()
        ok(state() == clean, "layer, %s: nothing of it stays" % what, [x for x in state() if x not in clean][:4])
        ok(canary() == before, "layer, %s: nor when it is used and removed" % what)
        status, text = call("POST", "/images/create?fromSrc=-&repo=hostile&tag=1", blobs[-1])
        forget()
        ok(canary() == before and state() == clean, "import, %s" % what, [x for x in state() if x not in clean][:4])


def run_files():
    before = canary()
    _, text = post_json("/containers/create", {"Image": "busybox", "HostConfig": {"NetworkMode": "none"}})
    cid = json.loads(text)["Id"]
    for what, layers in layer_cases():
        for entries in layers:
            status, text = call("PUT", "/containers/%s/archive?path=/tmp" % cid, tar(*entries))
            ok(status != 0 and canary() == before, "into a container, %s: %d, nothing outside changes" % (what, status), text)
    call("PUT", "/containers/%s/archive?path=/" % cid, tar(entry("way", SYM, CANARY), entry("up", SYM, UP + OUT)))
    for path in ("/way", "/way/secret", "/up/secret", "/proc/1/root" + CANARY + "/secret", UP + OUT + "/secret"):
        status, text = call("GET", "/containers/%s/archive?path=%s" % (cid, path))
        ok("the canary's secret" not in text, "out of a container, %s: not the host's file" % path, (status, text))
    status, _ = call("PUT", "/containers/%s/archive?path=/way" % cid, tar(entry("new", data=b"pwned")))
    ok(canary() == before, "into a link that leads out: %d" % status)
    call("DELETE", "/containers/%s?force=1" % cid)


def run_archives():
    before, clean = canary(), state()
    blob = tar(entry("f", data=b"x"))
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    zeros = "sha256:" + "0" * 64
    up = [{"Config": "../../../../etc/passwd", "RepoTags": ["hostile:1"], "Layers": ["0/layer.tar"]}]
    cases = [
        ("a layer that is not what its digest says", image([blob], diff_ids=[zeros])),
        ("more layers than digests", image([blob, blob], diff_ids=[digest])),
        ("fewer layers than digests", image([blob], diff_ids=[digest, digest])),
        ("a digest that is a path", image([blob], diff_ids=["sha256:../../../../tmp/pwned"])),
        ("a digest of capital letters", image([blob], diff_ids=["sha256:" + digest[7:].upper()])),
        ("a digest of another algorithm", image([blob], diff_ids=["md5:" + "0" * 32])),
        ("a config that leads out", image([blob], manifest=up)),
        ("a layer that leads out", tar(entry("manifest.json", data=json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["../../../etc/passwd"]}]).encode()), entry("c.json", data=b"{}"))),
        ("a manifest that is a link", tar(entry("manifest.json", SYM, "/etc/passwd"))),
        ("a layer that is a link out", tar(entry("manifest.json", data=json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l"]}]).encode()), entry("c.json", SYM, "/etc/passwd"), entry("l", SYM, "/etc/shadow"))),
        ("a manifest of 40 MiB", tar(entry("manifest.json", data=b"[" + b" " * (40 << 20) + b"]"))),
        ("a manifest of deep arrays", tar(entry("manifest.json", data=b"[" * 100000 + b"]" * 100000))),
        ("a config of deep objects", image([blob], config={"x": json.loads("[" * 900 + "]" * 900)}, diff_ids=[zeros])),
        ("a bad tag", image([blob], name="Bad Name:..")),
        ("a cut gzip layer", image([blob], stored=[gzip.compress(blob)[:-6]])),
        ("a layer of garbage", image([b"\x1f\x8b" + os.urandom(5000)])),
        ("the old format", tar(entry("repositories", data=b'{"hostile":{"1":"../../../tmp/pwned"}}'), entry("../pwned/json", data=b"{}"))),
        ("an unknown file system", image([blob], config={"rootfs": {"type": "squares", "diff_ids": [digest]}})),
        ("another system", image([blob], config={"os": "windows"})),
    ]
    for what, archive in cases:
        memory = rss()
        good, text = load(archive)
        ok(not good and text, "archive, %s: refused" % what, text)
        ok(state() == clean and canary() == before, "archive, %s: nothing stays" % what, [x for x in state() if x not in clean][:4])
        ok(rss() - memory < 64 << 10, "archive, %s: in bounded memory" % what, "%d KiB" % (rss() - memory))
    good, text = load(image([blob]))
    ok(good, "an honest one loads", text)
    forget()


def bomb(size):
    """A gzip of a layer with one file of SIZE zeros, and its digest, without holding it."""
    head, _ = entry("big")
    head.size = size
    out, digest = io.BytesIO(), hashlib.sha256()
    block = bytes(1 << 20)
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as z:
        for part in [head.tobuf(tarfile.USTAR_FORMAT)] + [block] * (size >> 20) + [bytes(1024)]:
            z.write(part)
            digest.update(part)
    return out.getvalue(), "sha256:" + digest.hexdigest()


def run_bombs():
    clean = state()
    blob, digest = bomb(512 << 20)
    memory, start = rss(), time.monotonic()
    good, text = load(image([blob], diff_ids=["sha256:" + "1" * 64]))
    ok(not good and rss() - memory < 64 << 10, "512 MiB of zeros as %d KiB of gzip, with a wrong digest: bounded memory" % (len(blob) >> 10),
       (text, "%d KiB" % (rss() - memory)))
    ok(state() == clean, "and nothing of it stays")
    ok(time.monotonic() - start < 30 * SLOW, "in time", time.monotonic() - start)
    # padding without end behind the end of the tar
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as z:
        z.write(tar(entry("f", data=b"x")))
        for _ in range(256):
            z.write(bytes(1 << 20))
    memory, start = rss(), time.monotonic()
    good, text = load(image([out.getvalue()], diff_ids=["sha256:" + "2" * 64]))
    ok(not good and rss() - memory < 64 << 10 and time.monotonic() - start < 20 * SLOW, "256 MiB of padding: bounded memory and time",
       (text, "%d KiB" % (rss() - memory)))
    ok(state() == clean, "and nothing of it stays")
    # one that tells the truth is allowed, with little memory
    blob, digest = bomb(64 << 20)
    memory = rss()
    good, text = load(image([blob], diff_ids=[digest]))
    ok(good and rss() - memory < 48 << 10, "64 MiB of zeros, honest: loads with little memory", (text, "%d KiB" % (rss() - memory)))
    forget()
    ok(state() == clean, "and goes again", [x for x in state() if x not in clean][:4])
    ok(load(image([], diff_ids=[]))[0] in (True, False), "an image without layers is survived")
    forget()


def run_passwd():
    """What an image calls /etc/passwd is opened with care."""
    with open("/bin/busybox", "rb") as f:
        box = entry("bin/busybox", data=f.read(), mode=0o755)
    cases = [
        ("a FIFO", [entry("etc/passwd", FIFO), entry("etc/group", FIFO)]),
        ("a link to /dev/zero", [entry("etc/passwd", SYM, "/dev/zero"), entry("etc/group", SYM, "/dev/zero")]),
        ("a link to the host's", [entry("etc/passwd", SYM, CANARY + "/passwd"), entry("etc/group", SYM, "/etc/group")]),
        ("a folder", [entry("etc/passwd/", DIR, mode=0o755)]),
        ("a line of 16 MiB", [entry("etc/passwd", data=b"x" * (16 << 20)), entry("etc/group", data=b"y" * (16 << 20))]),
        ("a million lines", [entry("etc/passwd", data=b"a:x:1:1::/:/bin/sh\n" * 1000000)]),
        ("uid 0 under another number's name", [entry("etc/passwd", data=b"1000:x:0:0::/:/bin/sh\n")]),
    ]
    for what, entries in cases:
        good, text = load(image([tar(box, *entries)]))
        if not good:
            ok(False, "passwd is %s: the image loads" % what, text)
            continue
        for user in ("mallory", "1000"):
            start, memory = time.monotonic(), rss()
            status, text = post_json("/containers/create", {"Image": "hostile:1", "User": user, "Cmd": ["/bin/busybox", "id", "-u"],
                                                             "HostConfig": {"NetworkMode": "none"}})
            cid = json.loads(text).get("Id")
            if cid:
                status, text = call("POST", "/containers/%s/start" % cid)
            took = time.monotonic() - start
            want = (204,) if user == "1000" else (400, 404, 500)
            ok((status in want or (user == "1000" and status in (400, 500) and ("passwd" in text or "find user" in text))) and took < 10 * SLOW,
               "passwd is %s: user %s is answered at once" % (what, user), (status, took, text))
            ok(rss() - memory < 32 << 10, "passwd is %s: in bounded memory" % what, "%d KiB" % (rss() - memory))
            if cid:
                if status == 204:
                    call("POST", "/containers/%s/wait" % cid)
                    _, logs = call("GET", "/containers/%s/logs?stdout=1" % cid)
                    ok(logs.strip()[-4:] == "1000", "passwd is %s: a number is a number" % what, logs)
                start = time.monotonic()
                status, text = call("DELETE", "/containers/%s?force=1" % cid)
                ok(status == 204 and time.monotonic() - start < 10 * SLOW, "passwd is %s: and is removed at once" % what, (status, text))
        forget()


def run_roots():
    """Folders that the runtime mounts over, as links."""
    before = canary()
    with open("/bin/busybox", "rb") as f:
        box = entry("bin/busybox", data=f.read(), mode=0o755)
    for name in ("proc", "sys", "dev", "etc", "etc/hosts", "etc/resolv.conf", "run", "tmp"):
        good, text = load(image([tar(box, entry(name, SYM, CANARY + ("/secret" if "/" in name else "")))]))
        for config in ({}, {"WorkingDir": "/%s/pwned" % name}, {"HostConfig": {"NetworkMode": "none", "Tmpfs": {"/" + name: ""}}},
                       {"HostConfig": {"NetworkMode": "none", "Binds": ["/usr:/%s/pwned" % name]}},
                       {"HostConfig": {"NetworkMode": "none", "Binds": ["vol-%s:/%s/pwned" % (name.replace("/", "-"), name)]}}):
            body = {"Image": "hostile:1", "Cmd": ["/bin/busybox", "true"], "HostConfig": {"NetworkMode": "none"}}
            body.update(config)
            status, text = post_json("/containers/create", body)
            if status == 201:
                cid = json.loads(text)["Id"]
                status, text = call("POST", "/containers/%s/start" % cid)
                if status == 204:
                    call("POST", "/containers/%s/wait" % cid)
                call("DELETE", "/containers/%s?force=1&v=1" % cid)
            ok(status and canary() == before, "/%s is a link, %s: %d, nothing outside changes" % (name, json.dumps(config)[:60], status),
               [x for x in canary() if x not in before][:3])
        forget()
    for bad_config in ({"Hostname": "a\nb"}, {"User": "a\nroot2::0:0::/:/bin/sh"}, {"HostConfig": {"ExtraHosts": ["a\nb:1.2.3.4"]}},
                       {"HostConfig": {"Sysctls": {"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/x\nkernel.x=1"}}},
                       {"HostConfig": {"Sysctls": {"../../../etc/x": "1"}}}, {"HostConfig": {"CpusetCpus": "0-2147483647"}},
                       {"User": "4294967296"}, {"User": "-1"}, {"Env": ["A\0B=c"]}):
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        for k, v in bad_config.items():
            body[k] = dict(body[k], **v) if isinstance(v, dict) else v
        memory = rss()
        status, text = post_json("/containers/create", body)
        if status == 201:
            cid = json.loads(text)["Id"]
            status, text = call("POST", "/containers/%s/start" % cid)
            call("DELETE", "/containers/%s?force=1" % cid)
        ok(400 <= status < 500 and rss() - memory < 32 << 10, "%s: refused" % json.dumps(bad_config)[:70], (status, text))
    body = {"Image": "busybox", "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": "none", "CgroupParent": "../../../dkd-hostile/../dkd-x"}}
    cid = json.loads(post_json("/containers/create", body)[1])["Id"]
    call("POST", "/containers/%s/start" % cid)
    pid = json.loads(call("GET", "/containers/%s/json" % cid)[1])["State"]["Pid"]
    groups = [line.rstrip("\n").split(":", 2)[2] for line in open("/proc/%d/cgroup" % pid)] if pid else []
    ok(any(g.endswith("/dkd-x/" + cid) for g in groups) and not any(".." in g for g in groups), "CgroupParent stays below the root", groups)
    call("DELETE", "/containers/%s?force=1" % cid)
    for made in glob.glob("/sys/fs/cgroup/*/dkd-x") + glob.glob("/sys/fs/cgroup/dkd-x"):
        os.rmdir(made)


if __name__ == "__main__":
    run_layers()
    run_archives()
    run_files()
    run_passwd()
    run_roots()
    run_bombs()
    ok(call("GET", "/_ping")[1] == "OK", "the daemon is well")
    sys.exit(plan())
