#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""State files x ways to damage them, on copies of one data-root: a line "PASS|FAIL KIND WAY OUTCOME" each.

damage.py WORK ROOT -- DOCKERD ARGS...: WORK is a scratch folder, ROOT the data-root to copy. Environment: KINDS (a word that a
kind must contain), ALL (every way of each kind, not two of them by turns), BITS (so many bits of each kind's files, one at a time), SEED."""
import glob, http.client, json, os, random, shutil, signal, subprocess, sys, time

sys.dont_write_bytecode = True
from checks import Unix  # noqa: E402

work, base = sys.argv[1:3]
command = sys.argv[4:]
rng = random.Random(int(os.environ.get("SEED", "1")))
root, exec_root, sock, log = (f"{work}/{n}" for n in ("damaged", "dexec", "d.sock", "dlog"))


def call(method, path, body=None):
    c = Unix(sock, 30)
    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, json.loads(data) if data[:1] in (b"{", b"[") else data.decode(errors="replace")


def start():
    p = subprocess.Popen(command + ["--data-root", root, "--exec-root", exec_root, "--pidfile", f"{work}/d.pid", "-H", "unix://" + sock],
                         stdout=open(log, "ab"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    for _ in range(1000):
        if p.poll() is not None:
            return None
        try:
            if call("GET", "/_ping")[0] == 200:
                return p
        except OSError:
            pass
        time.sleep(0.005)
    p.kill()
    p.wait()
    return None


def stop(p, sig=signal.SIGTERM):
    p.send_signal(sig)
    try:
        p.wait(20)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()


def wreck(path, way):
    link = os.path.islink(path)
    data = open(path, "rb").read() if os.path.isfile(path) and not link else b""
    if way == "empty":
        open(path, "wb").close()
    elif way == "cut":
        open(path, "wb").write(data[:len(data) // 2])
    elif way == "random":
        n = len(data) // 2
        open(path, "wb").write(data[:n] + bytes(rng.randrange(256) for _ in range(len(data) - n)))
    elif way.startswith("bit"):
        if data:
            data = bytearray(data)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            with open(path, "r+b") as f:
                f.write(data)
    else:
        if os.path.lexists(path):
            shutil.rmtree(path) if os.path.isdir(path) and not link else os.unlink(path)
        if way == "folder":
            os.mkdir(path)
        elif way == "fifo":
            os.mkfifo(path)
        elif way == "link":
            os.symlink("/nonexistent/here", path)


FILE = ["empty", "cut", "random", "missing", "folder", "fifo", "link"]
names = {m["Name"]: m for m in json.load(open(f"{base}/../facts.json"))}
run_id, made_id, top, low = (names[n]["Id"] for n in ("ran", "made", "top", "low"))
layers = "image/overlay2/layerdb"
rd = lambda p: open(f"{base}/{p}").read().strip()
chains = [os.path.basename(p) for p in glob.glob(f"{base}/{layers}/sha256/*")]
child = next(c for c in chains if os.path.exists(f"{base}/{layers}/sha256/{c}/parent"))
bottom = next(c for c in chains if c != child)
child_dir, bottom_dir = (rd(f"{layers}/sha256/{c}/cache-id") for c in (child, bottom))
rw = rd(f"{layers}/mounts/{made_id}/mount-id")
C = f"containers/{made_id}"
# kind, files, ways, what must be so: "repaired" (and the container made starts), "lost" (said, listed, removable) or "quiet"
KINDS = [
    ("tags", ["image/overlay2/repositories.json"], FILE, "repaired"),
    ("tags without copy", ["image/overlay2/repositories.json", "image/overlay2/repositories.json.copy"], FILE[:3], "lost"),
    ("image configuration", [f"image/overlay2/imagedb/content/sha256/{top}"], FILE, "lost"),
    ("image metadata", [f"image/overlay2/imagedb/metadata/sha256/{top}/lastUpdated"], FILE, "quiet"),
    ("image parent", [f"image/overlay2/imagedb/metadata/sha256/{top}/parent"], FILE, "quiet"),
]
for who, chain in (("base", bottom), ("top", child)):
    for f in ["diff", "size", "cache-id"] + (["parent"] if who == "top" else []):
        # half a number is a number
        KINDS.append((f"{who} layer {f}", [f"{layers}/sha256/{chain}/{f}"], [w for w in FILE if (f, w) != ("size", "cut")], "repaired"))
    KINDS.append((f"{who} layer tar-split", [f"{layers}/sha256/{chain}/tar-split.json.gz"], FILE, "lost, starts"))
    KINDS.append((f"{who} layer folder", [f"{layers}/sha256/{chain}"], ["missing"], "lost" if who == "base" else "lost, starts"))
KINDS += [(f"container layer {f}", [f"{layers}/mounts/{made_id}/{f}"], FILE, "repaired") for f in ("mount-id", "init-id", "parent")]
KINDS += [
    ("container layer folder", [f"{layers}/mounts/{made_id}"], ["missing"], "lost"),
    ("overlay base link", [f"overlay2/{bottom_dir}/link"], FILE, "repaired"),
    ("overlay base diff", [f"overlay2/{bottom_dir}/diff"], ["missing"], "lost"),
    ("overlay top lower", [f"overlay2/{child_dir}/lower"], FILE, "repaired"),
    ("overlay top link", [f"overlay2/{child_dir}/link"], FILE, "repaired"),
    ("overlay short name", [f"overlay2/l/{rd(f'overlay2/{bottom_dir}/link')}"], ["missing", "folder", "fifo", "link"], "repaired"),
    ("overlay container lower", [f"overlay2/{rw}/lower"], FILE, "repaired"),
    ("overlay container link", [f"overlay2/{rw}/link"], FILE, "repaired"),
    ("overlay container work", [f"overlay2/{rw}/work"], ["missing"], "quiet"),
    ("overlay container diff", [f"overlay2/{rw}/diff"], ["missing"], "lost"),
    ("overlay init lower", [f"overlay2/{rw}-init/lower"], FILE, "repaired"),
    ("overlay committed", [f"overlay2/{bottom_dir}/committed"], ["missing", "folder"], "quiet"),
    ("container record", [f"{C}/config.v2.json"], FILE, "repaired"),
    ("container record without copy", [f"{C}/config.v2.json", f"{C}/config.v2.json.copy"], FILE[:3] + FILE[4:], "lost"),
    ("container host configuration", [f"{C}/hostconfig.json"], FILE, "repaired"),
    ("container host configuration without copy", [f"{C}/hostconfig.json", f"{C}/hostconfig.json.copy"], FILE, "lost"),
    ("container copies", [f"{C}/config.v2.json.copy", f"{C}/hostconfig.json.copy"], FILE, "quiet"),
    ("container log", [f"containers/{run_id}/{run_id}-json.log"], ["empty", "cut", "random", "missing"], "quiet"),
    ("container hosts", [f"containers/{run_id}/hosts"], FILE, "quiet"),
    ("volume options", ["volumes/bound/opts.json"], FILE, "repaired"),
    ("volume data", ["volumes/plain/_data"], ["missing", "fifo", "link"], "lost, starts"),
    ("volume index", ["volumes/dockerd.json"], FILE, "repaired"),
    ("volume index without copy", ["volumes/dockerd.json", "volumes/dockerd.json.copy"], FILE[:3], "lost, starts"),
    ("network list", ["network/dockerd.json"], FILE, "repaired"),
    ("network list without copy", ["network/dockerd.json", "network/dockerd.json.copy"], FILE[:3], "lost, starts"),
    ("engine id", ["engine-id"], ["empty", "folder", "fifo"], "repaired"),
    ("lock", [".dockerd.lock"], FILE, "quiet"),
    ("reserve", [".dockerd.reserve"], FILE, "quiet"),
    ("container names", [f"containers/{run_id}/hostname", f"containers/{run_id}/resolv.conf"], FILE, "quiet"),
    ("overlay init link", [f"overlay2/{rw}-init/link"], FILE, "repaired"),
    ("overlay short names", ["overlay2/l"], ["missing", "fifo", "link"], "repaired"),
    ("temporary folder", ["tmp"], ["missing", "fifo", "link"], "quiet"),
    ("stages", [f"{layers}/tmp"], ["missing", "fifo", "link"], "quiet"),
    ("distribution", ["image/overlay2/distribution"], ["missing", "fifo", "link"], "quiet"),
    ("container shm", [f"{C}/mounts"], ["fifo", "link"], "quiet"),
]


def look(expect):
    """What is wrong, or None; and a word for the outcome."""
    info = call("GET", "/info")[1]
    said = [w for w in info["Warnings"] if "damaged" in w or "repaired" in w or "lost" in w]
    containers = call("GET", "/containers/json?all=1")[1]
    images = call("GET", "/images/json?all=1")[1]
    volumes = call("GET", "/volumes")[1]["Volumes"] or []
    nets = {n["Name"] for n in call("GET", "/networks")[1]}
    if {c["Id"] for c in containers} != {run_id, made_id}:
        return "a container vanished", "?"
    # a name that lost its image by one bit stands for one that is not there
    ids = {i["Id"] for i in images}
    if not {"sha256:" + top, "sha256:" + low} <= ids or (expect != "any" and len(ids) != 2):
        return "an image vanished", "?"
    if {v["Name"] for v in volumes} != {"bound", "plain"}:
        return "a volume vanished", "?"
    if not {"none", "host"} <= nets:
        return "a network vanished", "?"
    events = Unix(sock, 30)
    events.request("GET", f"/events?since=1&until={time.time():.9f}")
    kinds = [json.loads(l)["Action"] for l in events.getresponse().read().split(b"\n") if l]
    events.close()
    if expect.startswith("lost") and (not said or "damaged" not in kinds):
        return "damage is not said", "?"
    if expect == "repaired" and (not said or "repaired" not in kinds):
        return "a repair is not said", "?"
    code, body = call("POST", f"/containers/{made_id}/start")
    outcome = "starts" if code == 204 else "refused"
    text = body if isinstance(body, str) else body.get("message", "")
    if expect == "any" and code != 204 and not text:
        return "no reason given", outcome
    if expect in ("repaired", "quiet", "lost, starts") and code != 204:
        return f"does not start: {text}", outcome
    if expect == "lost" and code != 204 and not text:
        return "no reason given", outcome
    for c in (made_id, run_id):
        code, body = call("DELETE", f"/containers/{c}?force=1")
        if code != 204:
            return f"rm: {body}", outcome
    for i in (top, low):
        code, body = call("DELETE", f"/images/sha256:{i}?force=1")
        if code not in (200, 404):
            return f"rmi: {body}", outcome
    for v in ("bound", "plain"):
        code, body = call("DELETE", f"/volumes/{v}")
        if code != 204:
            return f"volume rm: {body}", outcome
    return None, outcome


def case(kind, files, way, expect):
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(exec_root, ignore_errors=True)
    subprocess.run(["cp", "-a", base, root], check=True)
    for f in files:
        wreck(f"{root}/{f}", way)
    p = start()
    if not p:
        return "FAIL", "does not start"
    try:
        why, outcome = look(expect)
    except (OSError, ValueError, http.client.HTTPException) as e:
        why, outcome = repr(e), "?"
    stop(p)
    if p.returncode and not why:
        why = f"ends with {p.returncode}"
    return ("FAIL", why) if why else ("PASS", outcome)


turn = int(os.environ.get("SEED", "0"))
for kind, files, ways, expect in KINDS:
    if os.environ.get("KINDS", "") not in kind:
        continue
    if not os.environ.get("ALL") and len(ways) > 2:
        turn += 2
        ways = [ways[(turn + i) % len(ways)] for i in range(2)]
    if ways[0] == "empty":
        # what one bit makes of a file may be as good as what it was: all that must be so is what is so in any case
        ways = ways + [f"bit {n}" for n in range(int(os.environ.get("BITS", "1")))]
    for way in ways:
        if way.startswith("bit"):
            expect = "any"
        result, text = case(kind, files, way, expect)
        print(f"{result} {kind}: {way}: {text}", flush=True)
