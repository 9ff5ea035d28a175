# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives and files, the rest of the hostile ones: archives.py SOCKET PID DATA-ROOT CANARY. Prints TAP.

What hostile.py does not: who unpacks and with which rights, bombs, decompressors and libraries of an image, races with a
running container, names in what comes out, files the daemon writes. SECONDS (3) and ROUNDS (10) make the races longer."""
import bz2
import contextlib
import glob
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.parse
import zlib

from hostile import (CANARY, CHR, DIR, FIFO, LNK, OUT, PID, ROOT, SLOW, SOCK, SYM, UP, XATTR, call, canary, entry, forget, image, layer_cases, load,
                     post_json, state, tar)

import checks
from checks import ok

SECONDS = float(os.environ.get("SECONDS_RACE", "3"))
ROUNDS = int(os.environ.get("ROUNDS", "10"))
FIVE = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27  # chown, dac_override, fowner, fsetid, mknod
QUIET = {"NetworkMode": "none"}


def q(path):
    return urllib.parse.quote(path)


def read(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def status_of(pid):
    try:
        return dict(x.split(":\t", 1) for x in read("/proc/%d/status" % pid).splitlines() if ":\t" in x)
    except OSError:
        return {}


def children(pid):
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        if status_of(int(path[6:])).get("PPid", "").strip() == str(pid):
            found.append(int(path[6:]))
    return found


def workers():
    return [w for s in children(PID) for w in children(s) if status_of(w).get("Name") == "dockerd-untar"]


def wait_worker():
    for _ in range(500):
        for w in workers():
            if status_of(w).get("Seccomp", "").strip() == "2":
                return w
        time.sleep(0.01)
    return None


def no_worker():
    for _ in range(500):
        if not workers():
            return True
        time.sleep(0.01)
    return False


# KiB; a build with a sanitizer keeps what is freed, and shadows of it
GROWN = (256 if os.environ.get("SANITIZED") else 32) << 10


class Peak(threading.Thread):
    """The most memory that the daemon and its processes that unpack grew to, over what they had, in KiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before, self.most, self.end = self.now(), 0, False

    @staticmethod
    def now():
        total = 0
        for pid in [PID] + workers():
            with contextlib.suppress(OSError, ValueError, KeyError):
                total += int(status_of(pid)["VmRSS"].split()[0])
        return total

    def run(self):
        while not self.end:
            self.most = max(self.most, self.now())
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.join()
        self.grown = self.most - self.before


def create(body, start=True):
    """The container's id, or None; the last answer."""
    status, text = post_json("/containers/create", dict({"HostConfig": QUIET}, **body))
    if status != 201:
        return None, (status, text)
    cid = json.loads(text)["Id"]
    if start:
        status, text = call("POST", "/containers/%s/start" % cid)
    return cid, (status, text)


def remove(cid):
    if cid:
        call("DELETE", "/containers/%s?force=1&v=1" % cid)


def run(body):
    """Runs it to its end: what it printed, or the error."""
    cid, (status, text) = create(body)
    if status == 204:
        call("POST", "/containers/%s/wait" % cid)
        _, text = call("GET", "/containers/%s/logs?stdout=1&stderr=1" % cid)
    remove(cid)
    return status, text


def put(cid, path, data):
    return call("PUT", "/containers/%s/archive?path=%s" % (cid, q(path)), data)


def get_raw(cid, path):
    c = checks.Unix(SOCK, 120 * SLOW)
    try:
        c.request("GET", "/containers/%s/archive?path=%s" % (cid, q(path)))
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def box(*more):
    return tar(entry("bin/busybox", data=read("/bin/busybox", "rb"), mode=0o755), *more)


def zeros_gzip(mib):
    """Members of 1 MiB each: what a stream of zeros of any length is made of in no time."""
    return gzip.compress(bytes(1 << 20), 9, mtime=0) * mib


def check_confined(door, start_request):
    before = state()
    s = start_request()
    pid = wait_worker()
    st = status_of(pid) if pid else {}
    ok(pid is not None, "%s: a process unpacks" % door)
    ok(st.get("NoNewPrivs", "").strip() == "1" and st.get("Seccomp", "").strip() == "2", "%s: without new privileges, its calls filtered" % door, st)
    ok(int(st.get("CapEff", "-1"), 16) & ~FIVE == 0 and int(st.get("CapPrm", "-1"), 16) & ~FIVE == 0, "%s: with five capabilities" % door, st)
    ok(pid and os.readlink("/proc/%d/ns/net" % pid) != os.readlink("/proc/%d/ns/net" % PID), "%s: not in the host's network" % door)
    ok(pid and not os.path.samestat(os.stat("/proc/%d/root" % pid), os.stat("/")), "%s: with the tree as its root" % door)
    s.close()
    ok(no_worker(), "%s: it goes when the client goes" % door)
    for _ in range(100):
        if state() == before:
            break
        time.sleep(0.05)
    ok(state() == before, "%s: and nothing stays" % door, [x for x in state() if x not in before][:3])


def half_sent(method, path, data):
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCK)
    s.sendall(("%s %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n" % (method, path, len(data))).encode())
    s.sendall(data[:len(data) * 3 // 4])
    return s


def answer_of(s, rest):
    """All that is said to somebody whose worker was killed. It may be said, and the connection ended, before the rest is sent."""
    text = b""
    with contextlib.suppress(OSError):
        s.sendall(rest)
    with contextlib.suppress(OSError):
        while b"killed by signal" not in text:
            more = s.recv(65536)
            if not more:
                break
            text += more
    s.close()
    return text.decode()


def run_confined():
    data = tar(*[entry("f%d" % i, data=os.urandom(60000)) for i in range(64)])
    cid, _ = create({"Image": "busybox", "Cmd": ["sleep", "100"]})
    check_confined("import", lambda: half_sent("POST", "/images/create?fromSrc=-", data))
    check_confined("import of gzip", lambda: half_sent("POST", "/images/create?fromSrc=-", gzip.compress(data, 1)))
    check_confined("files", lambda: half_sent("PUT", "/containers/%s/archive?path=/tmp" % cid, data))
    remove(cid)
    s = half_sent("POST", "/images/create?fromSrc=-&repo=hostile&tag=1", data)
    pid = wait_worker()
    os.kill(pid, 9)
    text = answer_of(s, data[len(data) * 3 // 4:])
    ok("killed by signal 9" in text, "import: one that is killed is an error in words", text)
    ok(no_worker() and not [x for p in children(PID) for x in children(p) if status_of(x).get("State", "").startswith("Z")], "no zombie stays")
    cid, _ = create({"Image": "busybox", "Cmd": ["sleep", "100"]})
    s = half_sent("PUT", "/containers/%s/archive?path=/tmp" % cid, data)
    os.kill(wait_worker(), 9)
    text = answer_of(s, data[len(data) * 3 // 4:])
    ok("killed by signal 9" in text, "files: the same", text)
    remove(cid)


def run_attributes():
    """What may be stored, is; the overlay's own marks never are, however compressed they come."""
    cap = b"\x01\x00\x00\x02\x00\x20" + bytes(14)
    # tarfile's PAX values are text: the bytes of a capability all are
    blob = tar(entry("ping", data=b"x", pax={XATTR + "security.capability": cap.decode("latin1")}), entry("suid", mode=0o6755, data=b"x"),
               *[entry(k + "-" + m, DIR, mode=0o755, pax={XATTR + k + ".overlay." + m: v}) for k, m, v in
                 (("trusted", "redirect", "/.."), ("trusted", "metacopy", "y"), ("user", "opaque", "y"), ("user", "redirect", "/.."))],
               entry("zero", CHR, dev=(0, 0)), entry("null", CHR, dev=(1, 3), pax={XATTR + "trusted.note": "n"}),
               entry("link", SYM, "ping", pax={XATTR + "trusted.note": "l"}))
    for what, pack in (("plain", bytes), ("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)):
        before = set(glob.glob(ROOT + "/overlay2/*"))
        good, text = load(image([blob], stored=[pack(blob)]))
        ok(good, "%s: a layer with attributes loads" % what, text)
        for tree in (set(glob.glob(ROOT + "/overlay2/*")) - before) if good else ():
            if not os.path.exists(tree + "/diff/ping"):
                continue
            marks = [(n, x) for n in os.listdir(tree + "/diff") for x in os.listxattr(tree + "/diff/" + n, follow_symlinks=False) if ".overlay." in x]
            ok(not marks, "%s: no mark of the overlay is stored raw" % what, marks)
            ok(os.getxattr(tree + "/diff/ping", "security.capability") == cap, "%s: capabilities of a file are" % what)
            ok([os.getxattr(tree + "/diff/" + n, "trusted.note", follow_symlinks=False) for n in ("null", "link")] == [b"n", b"l"] and
               "trusted.note" not in os.listxattr(tree + "/diff/ping"), "%s: attributes of devices and links are" % what)
            ok(os.stat(tree + "/diff/suid").st_mode & 0o7777 == 0o6755, "%s: so are set-id bits" % what)
            ok(os.stat(tree + "/diff/null").st_rdev == os.makedev(1, 3) and not os.path.lexists(tree + "/diff/zero"), "%s: and devices, but no raw whiteout" % what)
        forget()


def run_doors_gzip():
    """The corpus through compressed doors."""
    before, clean = canary(), state()
    left = []
    for what, layers in layer_cases():
        blobs = [tar(*x) for x in layers]
        load(image(blobs, stored=[gzip.compress(b, 1) for b in blobs]))
        forget()
        call("POST", "/images/create?fromSrc=-&repo=hostile&tag=1", gzip.compress(blobs[-1], 1))
        forget()
        if canary() != before or state() != clean:
            left.append(what)
    ok(not left, "the corpus of layers, compressed, by load and import: nothing outside changes, nothing stays", left)


def run_bombs_more():
    clean = state()
    head, _ = entry("big")
    head.size = 1 << 30
    blob = gzip.compress(head.tobuf(tarfile.USTAR_FORMAT), mtime=0) + zeros_gzip(1024) + gzip.compress(bytes(1024), mtime=0)
    ok(len(blob) < 3 << 20, "1 GiB of zeros in %d KiB" % (len(blob) >> 10))
    with Peak() as peak:
        good, text = load(image([blob[:100]], stored=[blob], diff_ids=["sha256:" + "1" * 64]))
    ok(not good and "diffID" in text and peak.grown <= GROWN, "a bomb of 1 GiB: refused, daemon and helper grow by at most 32 MiB", (text, peak.grown))
    with Peak() as peak:
        good, text = load(gzip.compress(image([blob[:100]], stored=[gzip.compress(blob)], diff_ids=["sha256:" + "1" * 64]), 1))
    ok(not good and peak.grown <= GROWN, "one inside another: refused in bounded memory", (text, peak.grown))
    padded = gzip.compress(tar(entry("f", data=b"x"))) + zeros_gzip(1024)
    for what, door in (("load", lambda: load(image([b""], stored=[padded], diff_ids=["sha256:" + "2" * 64]))),
                       ("import", lambda: (lambda r: (r[0] == 200 and '"error"' not in r[1], r[1]))(call("POST", "/images/create?fromSrc=-", padded))),
                       ("load of all", lambda: load(padded))):
        start = time.monotonic()
        with Peak() as peak:
            good, text = door()
        took = time.monotonic() - start
        ok(not good and took < 30 * SLOW and peak.grown < GROWN, "1 GiB of padding by %s: refused in bounded time and memory" % what, (text, took, peak.grown))
    # frame header: no content size, window of 2^31
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    cid, _ = create({"Image": "busybox"}, start=False)
    for what, door in (("load", lambda: load(image([b""], stored=[frame], diff_ids=["sha256:" + "3" * 64]))[1]), ("load of all", lambda: load(frame)[1]),
                       ("import", lambda: call("POST", "/images/create?fromSrc=-", frame)[1]), ("files", lambda: put(cid, "/tmp", frame)[1])):
        with Peak() as peak:
            text = door()
        ok("zstd" in text and peak.grown < GROWN, "a zstd window of 2 GiB by %s: refused" % what, (text, peak.grown))
    remove(cid)
    for what, data in (("gzip", gzip.compress(tar(entry("f", data=b"x"))) + b"garbage behind it"), ("plain", tar(entry("f", data=b"x")) + b"garbage")):
        start = time.monotonic()
        good, text = load(image([data], stored=[data], diff_ids=["sha256:" + "4" * 64]))
        ok(not good and time.monotonic() - start < 10 * SLOW, "%s with garbage behind it: an error at once" % what, text)
    ok(state() == clean, "nothing of all that stays", [x for x in state() if x not in clean][:4])
    ok(load(image([tar(entry("f", data=b"x"))]))[0], "the next load works")
    forget()


def run_bombs_packed():
    """bzip2 and xz: bombs, windows, and what is no stream, by every door."""
    clean = state()
    good, small = tar(entry("f", data=b"x")), 1 << 20
    # a stream of xz whose block asks for a window of 1.5 GiB
    wide = bytearray(lzma.compress(good, check=lzma.CHECK_CRC32))
    wide[16] = 37
    wide[20:24] = zlib.crc32(bytes(wide[12:20])).to_bytes(4, "little")
    cid, _ = create({"Image": "busybox"}, start=False)
    doors = (("load", lambda x: load(image([b""], stored=[x], diff_ids=["sha256:" + "5" * 64]))), ("load of all", load),
             ("import", lambda x: (lambda r: (r[0] == 200 and '"error"' not in r[1], r[1]))(call("POST", "/images/create?fromSrc=-", x))),
             ("files", lambda x: (lambda r: (r[0] == 200, r[1]))(put(cid, "/tmp", x))))
    for name, pack, mib in (("bzip2", bz2.compress, 64), ("xz", lzma.compress, 512)):
        padded = pack(good) + pack(bytes(small)) * mib
        for what, door in doors[:3]:
            start = time.monotonic()
            with Peak() as peak:
                done, text = door(padded)
            took = time.monotonic() - start
            ok(not done and took < 30 * SLOW and peak.grown < GROWN, "%s: %d MiB of padding by %s: refused in bounded time and memory" % (name, mib, what), (text, took, peak.grown))
        cut = pack(good)[:-5]
        for what, door in doors[1:]:
            done, text = door(cut)
            ok(what == "files" or (not done and "unexpected EOF" in text), "%s: a cut stream by %s" % (name, what), text)
            done, text = door(pack(good)[:12] + b"\xff" * 5000)
            ok(not done and name + ": invalid data" in text, "%s: nonsense by %s" % (name, what), text)
    for what, door in doors:
        with Peak() as peak:
            done, text = door(bytes(wide))
        ok(not done and "xz: needs too much memory" in text and peak.grown < GROWN, "an xz window of 1.5 GiB by %s: refused" % what, (text, peak.grown))
    remove(cid)
    ok(state() == clean, "nothing of all that stays", [x for x in state() if x not in clean][:4])


def run_foreign_code():
    """Nothing that lies in an image is run or loaded by the daemon's side."""
    trap = entry("", data=b"#!/bin/busybox sh\n/bin/busybox touch /xzran\n", mode=0o755)[1]
    traps = [entry(d + "/" + n, data=trap, mode=0o755) for d in ("bin", "usr/bin", "usr/local/bin", "sbin") for n in ("xz", "unxz", "gzip", "unpigz", "pigz", "zstd", "bzip2", "tar", "ps")]
    lib, tmp = [], tempfile.mkdtemp()
    cc = shutil.which("cc") or shutil.which("gcc")
    if cc:
        with open(tmp + "/t.c", "w") as f:
            f.write('#include <fcntl.h>\n__attribute__((constructor)) static void pwn(void) { open("/pwned", O_CREAT | O_WRONLY, 0600); open("/tmp/pwned", O_CREAT | O_WRONLY, 0600); }\n')
        subprocess.run([cc, "-shared", "-fPIC", "-o", tmp + "/t.so", tmp + "/t.c"], check=True)
        so = read(tmp + "/t.so", "rb")
        lib = [entry(d + "/" + n, data=so, mode=0o755) for d in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib") for n in
               ("libnss_files.so.2", "libnss_dns.so.2", "libc.so.6", "libzstd.so.1", "libisal.so.2", "libnettle.so.8", "libnss_compat.so.2", "libgcc_s.so.1")]
        lib += [entry("etc/ld.so.preload", data=b"/lib64/libc.so.6\n"), entry("etc/nsswitch.conf", data=b"passwd: files\ngroup: files\n")]
    else:
        print("# no compiler: without the libraries")
    shutil.rmtree(tmp)
    before = canary()
    passwd = [entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\njoe:x:77:77::/:/bin/sh\n"), entry("etc/group", data=b"joe:x:77:\n")]
    good, text = load(image([box(*traps, *lib, *passwd)]))
    ok(good, "an image with its own decompressors and libraries", text)
    for running in (False, True):
        cid, answer = create({"Image": "hostile:1", "Cmd": ["/bin/busybox", "sleep", "100"], "User": "joe"}, start=running)
        ok(cid and (not running or answer[0] == 204), "its container, %s" % ("running as a named user" if running else "created"), answer)
        packed = [(n, pack(tar(entry(n, data=n.encode() * 5000)))) for n, pack in
                  (("xz", lzma.compress), ("bzip2", bz2.compress), ("gzip", gzip.compress), ("plain", bytes))]
        st = [put(cid, "/", x)[0] for _, x in packed]
        ok(st == [200] * 4, "archives of every kind go in", st)
        ok(all(n.encode() * 5000 in get_raw(cid, "/" + n)[1] for n, _ in packed), "and are unpacked")
        get_raw(cid, "/etc")
        call("GET", "/containers/%s/top" % cid)
        ok(all(get_raw(cid, p)[0] == 404 for p in ("/xzran", "/pwned", "/tmp/pwned")) and canary() == before, "and no program or library of the image ran")
        remove(cid)
    forget()


SWAP = """mkdir -p /race/real /race/d; echo mine > /race/real/secret
while :; do
 mv /race/d /race/old; ln -s %s /race/d; rm /race/d; ln -s %s /race/d; rm /race/d; mv /race/old /race/d
 mv /a/b /a/old 2>/dev/null && { ln -s %s /a/b; rm /a/b; mv /a/old /a/b; }
done"""


def run_races():
    before = canary()
    cid, answer = create({"Image": "busybox", "Cmd": ["sh", "-c", SWAP % (CANARY, UP + OUT, CANARY)], "HostConfig": dict(QUIET, Binds=["race-vol:/a/b/vol"])})
    ok(cid and answer[0] == 204, "a container that swaps folders for links", answer)
    end, n, leaks, wrong = time.monotonic() + SECONDS, 0, 0, {}
    def mounts():
        mine = os.path.dirname(CANARY) + "/"
        return sorted(x.split()[4] for x in read("/proc/%d/mountinfo" % PID).splitlines() if mine in x)

    mounted = mounts()
    data = tar(entry("./", DIR, mode=0o777), entry("pwned", data=b"pwned"), entry("sub/", DIR, mode=0o777), entry("sub/l", SYM, CANARY), entry("sub/l/pwned", data=b"x"))
    while time.monotonic() < end:
        n += 1
        for path in ("/race/d/secret", "/race/d", "/race/d/"):
            status, got = get_raw(cid, path)
            leaks += b"the canary's secret" in got
            wrong[status] = wrong.get(status, 0) + 1
        for path in ("/race/d", "/race/d/", "/a/b/vol", "/a/b"):
            status, _ = put(cid, path, data)
            wrong[status] = wrong.get(status, 0) + 1
    ok(leaks == 0, "%d rounds: nothing of the host comes out" % n, leaks)
    ok(canary() == before, "nothing goes there", [x for x in canary() if x not in before][:3])
    ok(mounts() == mounted and not [m for m in mounted if m.startswith(CANARY)], "nothing is mounted anywhere else", mounts())
    ok(0 not in wrong and not [s for s in wrong if s >= 500], "and each is answered in words", wrong)
    remove(cid)
    # layers that swap a folder for a link to outside, on the same parent, at once
    base = tar(entry("d/", DIR, mode=0o755), entry("d/f", data=b"x"))
    one = tar(entry("d", SYM, CANARY), entry("d/secret", data=b"pwned"))
    two = tar(entry(".wh.d", data=b""), entry("d", SYM, UP + OUT))
    three = tar(entry("d/secret", data=b"pwned"), entry("d/.wh..wh..opq"), entry("d/.wh.secret"))
    results = []

    def loader(number, layers):
        for _ in range(ROUNDS):
            results.append(load(image(layers, name="hostile:%d" % number))[0])
            forget("hostile:%d" % number)

    threads = [threading.Thread(target=loader, args=a) for a in ((1, [base, one]), (2, [base, two, three]), (3, [base, three]), (4, [base, two]))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ok(len(results) == 4 * ROUNDS and canary() == before, "%d loads at once of layers that swap folders for links: nothing outside changes" % len(results))
    call("DELETE", "/volumes/race-vol?force=1")


def run_names():
    """What comes out of a container has names below the one that was asked for."""
    cid, _ = create({"Image": "busybox"}, start=False)
    evil = [entry("t/", DIR, mode=0o755), entry("t/...", data=b"x"), entry("t/..x", data=b"x"), entry("t/-rf", data=b"x"), entry("t/a\nb", data=b"x"),
            entry("t/a\\..\\b", data=b"x"), entry("t/up", SYM, "../../../../etc"), entry("t/abs", SYM, "/etc/passwd"), entry("t/h1", data=b"x"),
            entry("t/h2", LNK, "t/h1"), entry("t/p", FIFO), entry("t/long" + "n" * 200, data=b"x"), entry("t/d/", DIR, mode=0o700), entry("t/d/" + "e" * 150, data=b"x"),
            entry("t/.wh.x", data=b"x"), entry("t/.wh..wh..opq", data=b"x"), entry("t/\u00e4\u20ac", data=b"x")]
    status, text = put(cid, "/tmp", tar(*evil))
    ok(status == 200, "odd names go in", text)
    for path, base in (("/tmp/t", "t"), ("/tmp/t/", "t"), ("/tmp/../tmp/t", "t"), ("/tmp/t/.", "."), ("/tmp/t/up", "up"), ("/tmp/t/d/..", "t"), ("/.", "."), ("/", "/"), ("/..", "/")):
        status, got = get_raw(cid, path)
        with tarfile.open(fileobj=io.BytesIO(got)) as f:
            members = f.getmembers()
        if base == "/":  # named from the root, as Docker names them
            base = "."
            for m in members:
                m.name = m.name.removeprefix("/")
                m.linkname = m.linkname.removeprefix("/") if m.islnk() else m.linkname
        clean = [os.path.normpath(m.name) for m in members]
        bad = [m.name for m, c in zip(members, clean) if m.name.startswith("/") or ".." in m.name.split("/") or not (c == base or base == "." or c.startswith(base + "/"))]
        bad += [m.linkname for m in members if m.islnk() and (m.linkname.startswith("/") or ".." in m.linkname.split("/") or os.path.normpath(m.linkname) not in clean)]
        ok(status == 200 and members and not bad, "GET %s: every name is below %s" % (path, base), (status, bad[:3]))
    remove(cid)


def run_unreachable():
    """Folders of the daemon, seen by somebody else on the host."""
    good, _ = load(image([tar(entry("suid", mode=0o6755, data=b"x"), entry("null", CHR, dev=(1, 3), mode=0o666))]))
    trees = glob.glob(ROOT + "/overlay2/*/diff/suid") + glob.glob(ROOT + "/vfs/dir/*/suid") + glob.glob(ROOT + "/overlay/*/root/suid")
    ok(good and trees, "a layer with a set-id file is stored")
    probe = "import os,sys\nfor p in sys.argv[1:]:\n try: os.stat(p); print(p)\n except OSError: pass\n"
    inside = trees + [ROOT + "/" + x for x in ("overlay2", "overlay2/l", "vfs", "image", "containers", "volumes", "tmp", "engine-id")]
    r = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", probe] + inside, capture_output=True, text=True)
    ok(r.returncode == 0 and r.stdout == "", "another user of the host sees nothing below the data-root", (r.stdout, r.stderr))
    forget()


def run_written():
    """Values that become lines of files in the container, or paths."""
    cases = [{"User": "a\nroot2::0:0::/:/bin/sh"}, {"User": "a\0b"}, {"User": "a:b:c"}, {"Hostname": "a\nb"}, {"Hostname": "a\0b"}, {"Domainname": "a\nb"},
             {"HostConfig": {"ExtraHosts": ["a\nb:1.2.3.4"]}}, {"HostConfig": {"ExtraHosts": ["a:1.2.3.4\n5.6.7.8 b"]}}, {"HostConfig": {"ExtraHosts": ["a\0:1.2.3.4"]}},
             {"HostConfig": {"Dns": ["1.1.1.1\nnameserver 6.6.6.6"]}}, {"HostConfig": {"DnsSearch": ["a\nnameserver 6.6.6.6"]}}, {"HostConfig": {"DnsOptions": ["a\nnameserver 6.6.6.6"]}},
             {"WorkingDir": "a"}, {"WorkingDir": "/a\0b"}, {"HostConfig": {"Binds": ["../../x:/y"]}}, {"HostConfig": {"Binds": ["vol:/y\0z"]}}, {"HostConfig": {"Binds": ["vol:../y"]}}]
    for config in cases:
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": dict(QUIET)}
        for k, v in config.items():
            body[k] = dict(body[k], **v) if isinstance(v, dict) else v
        cid, (status, text) = create(body)
        remove(cid)
        ok(status == 400, "%s: refused as a bad request" % json.dumps(config)[:70], (status, text))
    cid, _ = create({"Image": "busybox", "Cmd": ["sleep", "100"]})
    for user in ("a\nb", "a\0b", "99999999999", "-1"):
        status, text = post_json("/containers/%s/exec" % cid, {"Cmd": ["id"], "User": user, "AttachStdout": True})
        if status == 201:
            status, text = post_json("/exec/%s/start" % json.loads(text)["Id"], {"Detach": False})
        ok(status == 400 or "invalid user" in text or "must be in range" in text, "exec as %r: refused" % user, (status, text))
    before = os.listdir(ROOT)
    status, text = post_json("/containers/%s/checkpoints" % cid, {"CheckpointID": "../../x"})
    ok(400 <= status <= 404 or status == 501, "a checkpoint named ../../x: refused", (status, text))
    ok(os.listdir(ROOT) == before, "and nothing is made")
    remove(cid)


def run_runtime():
    before = canary()
    for name in ("proc", "sys", "dev", "proc/self"):
        load(image([box(entry(name.split("/")[0] + "/", DIR, mode=0o755))], config={"config": {"Cmd": ["/bin/busybox", "cat", "/proc/self/status"], "Volumes": {"/" + name: {}}}}))
        status, text = run({"Image": "hostile:1"})
        real = "CapEff" in text if status == 204 else True
        ok(status in (204, 400, 500) and real and canary() == before, "an image's volume over /%s: refused, or the runtime's own is above it (%d)" % (name, status), (status, text))
        forget()
    watched = [p for p in (shutil.which("runc"), shutil.which("crun")) if p] + ["/proc/%d/exe" % PID] + ["/proc/%d/exe" % p for p in children(PID)]
    sums = [hashlib.sha256(read(p, "rb")).hexdigest() for p in watched]
    load(image([box(entry("go", data=b"#!/proc/self/exe\n", mode=0o755), entry("over", mode=0o755, data=b"#!/bin/busybox sh\nfor i in 1 2 3; do for p in /proc/[0-9]*/exe; do /bin/busybox echo pwned > $p; done; done 2>/dev/null\n"))]))
    for cmd in (["/go"], ["/over"], ["/proc/self/exe"]):
        run({"Image": "hostile:1", "Cmd": cmd})
    ok([hashlib.sha256(read(p, "rb")).hexdigest() for p in watched] == sums, "/proc/self/exe as an entry point: the runtime and the daemon's programs are what they were")
    for fd in (3, 5, 7, 8, 9, 12, 15):
        status, text = run({"Image": "hostile:1", "Cmd": ["/bin/busybox", "ls", "-l", "/proc/self/fd/", "."], "WorkingDir": "/proc/self/fd/%d" % fd})
        ok(canary() == before and (status != 204 or "canary" not in text and "overlay2" not in text), "a working folder /proc/self/fd/%d leads nowhere (%d)" % (fd, status), text)
    _, text = run({"Image": "hostile:1", "Cmd": ["/bin/busybox", "sh", "-c", "/bin/busybox ls /proc/$$/fd; true"]})
    fds = set("".join(c if c.isdigit() else " " for c in text).split())
    ok({"0", "1", "2"} <= fds and not fds & {str(i) for i in range(3, 20)} - {"10"}, "a container has its three descriptors", text)
    forget()
    info = json.loads(call("GET", "/info")[1])
    version = subprocess.run(["runc", "--version"], capture_output=True, text=True).stdout.split()[2]
    old = [int(x) for x in version.split("+")[0].split("~")[0].split("-")[0].split(".")[:3]]
    named = [w for w in info["Warnings"] or [] if "runc" in w and version.split("+")[0] in w]
    ok(bool(named) == (old < [1, 2, 8] or [1, 3, 0] <= old < [1, 3, 3]), "runc %s: named in the warnings of info where it is too old" % version, info["Warnings"])


def run_rest():
    ok(call("GET", "/_ping")[1] == "OK", "the daemon is well")
    ok(no_worker(), "nobody unpacks any more")


sys.exit(checks.run((run_confined, run_attributes, run_doors_gzip, run_bombs_more, run_bombs_packed, run_foreign_code, run_races, run_names, run_unreachable,
                     run_written, run_runtime, run_rest)))
