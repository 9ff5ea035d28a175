# SPDX-License-Identifier: LGPL-2.1-or-later
"""After the restart: is what was acknowledged there, and what was removed gone? After removing all: is anything left?"""
import calendar
import hashlib
import io
import json
import os
import tarfile
import time

from stray import strays
from work import BASE, GONE, HERE
from world import Lost, Refused, text_of

DU_SLACK = 1 << 20
SETTLE = 10.0


def whole_image(client, image):
    """What is wrong with it, or None: every byte of it goes through the digests of its configuration."""
    try:
        data = client.call("GET", f"/images/get?names={image}")
    except Refused as e:
        return str(e)
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        files = {m.name: m for m in t.getmembers()}
        entry = json.load(t.extractfile("manifest.json"))[0]
        config = t.extractfile(entry["Config"]).read()
        if "sha256:" + hashlib.sha256(config).hexdigest() != image:
            return "its configuration has another digest"
        diffs = json.loads(config)["rootfs"]["diff_ids"]
        if len(diffs) != len(entry["Layers"]):
            return "it lacks layers"
        for diff, path in zip(diffs, entry["Layers"]):
            member = files[path]
            while member.issym():
                path = os.path.normpath(os.path.join(os.path.dirname(path), member.linkname))
                member = files[path]
            if "sha256:" + hashlib.sha256(t.extractfile(member).read()).hexdigest() != diff:
                return f"layer {diff} has another digest"
    return None


def when(text):
    """Seconds since 1970 of a time in UTC as the API writes it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(head, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


class Checker:
    def __init__(self, world):
        self.w, self.c = world, world.client
        self.base = None

    def remember(self):
        """The clean state that every round has to come back to."""
        self.base = self.look()

    # What was acknowledged

    def lost(self, m):
        return self.lost_images(m) + self.lost_containers(m) + self.lost_volumes(m) + self.damage()

    def strays(self):
        """What the last daemon left, while its containers are still there: what is seen all the time. The rest was on its way."""
        end = time.monotonic() + SETTLE
        found = strays(self.w)
        while found and time.monotonic() < end:
            time.sleep(0.1)
            now = strays(self.w)
            found = [x for x in found if x in now]
        return found

    def damage(self):
        return [f"warning: {w}" for w in self.c.get("/info").get("Warnings") or [] if "damaged" in w or "left out" in w]

    def lost_images(self, m):
        bad = []
        images = self.c.get("/images/json?all=1")
        tags = {t: i["Id"] for i in images for t in i.get("RepoTags") or [] if t != "<none>:<none>"}
        ids = {i["Id"] for i in images}
        if BASE not in tags:
            bad.append(f"{BASE} is gone")
        for tag, may in m.known("tag").items():
            got = tags.get(tag)
            if got not in may and not (got and "?" in may):
                bad.append(f"tag {tag}: is {got}, may be {may}")
        for image, may in m.known("image").items():
            if (HERE if image in ids else GONE) not in may:
                bad.append(f"image {image}: {'there' if image in ids else 'gone'}")
        for image in ids:
            why = whole_image(self.c, image)
            if why:
                bad.append(f"image {image}: {why}")
        return bad

    def containers(self):
        return {x["Names"][0][1:]: x for x in self.c.get("/containers/json?all=1")}

    def lost_containers(self, m):
        bad = []
        end = time.monotonic() + SETTLE
        there = self.containers()
        while any(n in there for n in m.auto) and time.monotonic() < end:
            for n in m.auto & set(there):       # a run that the crash came into: it goes on
                if there[n]["State"] == "created" or time.monotonic() > end - SETTLE / 2:
                    self.try_call("DELETE", f"/containers/{n}?force=1")
            time.sleep(0.05)
            there = self.containers()
        known = m.known("container")
        for name, may in known.items():
            if name not in m.auto and (HERE if name in there else GONE) not in may:
                bad.append(f"container {name}: {'there' if name in there else 'gone'}")
        for old, new in m.moves:
            if (old in there) == (new in there):
                bad.append(f"container {old}, renamed to {new}: {'both are' if old in there else 'none is'} there")
        for name in there:
            if name not in known or name in m.auto:
                bad.append(f"container {name} is there")
        return bad + self.unusable(m, there)

    def try_call(self, *args):
        try:
            return self.c.call(*args)
        except Refused:
            return None

    def unusable(self, m, there):
        bad = []
        facts = {kind: m.known(kind) for kind in ("running", "paused", "healthy", "exit", "shares")}
        for name, info in there.items():
            may = {kind: values.get(info["Id"]) or values.get(name) for kind, values in facts.items()}
            try:
                bad += self.other_state(name, may)
                if not self.c.get(f"/containers/{name}/json")["State"]["Running"]:
                    self.c.call("POST", f"/containers/{name}/start")
                    self.c.call("POST", f"/containers/{name}/kill") if "sleep 1000" in info["Command"] else \
                        self.c.call("POST", f"/containers/{name}/wait")
            except Refused as e:
                bad.append(f"container {name} is of no use: {e}")
        return bad

    def other_state(self, name, may):
        """What is not as it may be. A power cut ends all that runs, and may take the last mark of a state."""
        got = self.c.get(f"/containers/{name}/json")
        state = got["State"]
        now = {"shares": got["HostConfig"]["CpuShares"] or GONE}
        if self.w.mode == "kill":
            now |= {"running": HERE if state["Running"] else GONE, "paused": HERE if state["Paused"] else GONE}
            if may["exit"] and len(may["exit"]) == 1:
                now["exit"] = state["ExitCode"]
        bad = [f"container {name}: {kind} is {value}, may be {may[kind]}; {state}" for kind, value in now.items()
               if may[kind] and value not in may[kind]]
        if may["healthy"] and state["Running"] and not state["Paused"] and not self.is_probed(name):
            bad.append(f"container {name} is not probed any more")
        return bad

    def is_probed(self, name):
        end = time.monotonic() + 2 * SETTLE
        while time.monotonic() < end:
            health = self.c.get(f"/containers/{name}/json")["State"].get("Health") or {}
            if health.get("Status") == "healthy" and any(when(p["Start"]) > self.w.started for p in health.get("Log") or []):
                return True
            time.sleep(0.1)
        return False

    def lost_volumes(self, m):
        bad = []
        there = {v["Name"]: (v.get("Labels") or {}).get("l", "") for v in self.c.get("/volumes").get("Volumes") or []}
        for name, may in m.known("volume").items():
            if there.get(name) not in may:
                bad.append(f"volume {name}: is {there.get(name)}, may be {may}")
        for path, may in m.known("file").items():
            name, file = path.split("/")
            try:
                with open(f"{self.w.root}/volumes/{name}/_data/{file}", encoding="utf-8") as f:
                    text = f.read()
            except OSError as e:
                text = repr(e)
            if text not in may and not (may == {"image"} and text.startswith("root:") and text.endswith("nogroup:x:65534:\n")
                                        or "image" in may and text.startswith("root:x:0:0") and text.count("\n") == 3):
                bad.append(f"volume {name}: {file} holds {text[:80]!r}, not {may}")
        return bad

    # What is left

    def remove_all(self):
        bad = []
        for x in self.c.get("/containers/json?all=1"):
            self.remove(f"/containers/{x['Id']}?force=1&v=1", bad)
        for v in self.c.get("/volumes").get("Volumes") or []:
            self.remove(f"/volumes/{v['Name']}", bad)
        for _ in range(8):    # children before parents
            left = [i for i in self.c.get("/images/json?all=1") if BASE not in (i.get("RepoTags") or [])]
            if not left:
                return bad
            errors = []
            for i in left:
                self.remove(f"/images/{i['Id']}?force=1", errors)
        return bad + errors

    def remove(self, path, bad):
        try:
            self.c.call("DELETE", path)
        except Refused as e:
            if " 404 " not in str(e):
                bad.append(f"cannot be removed: {e}")
        except Lost as e:
            bad.append(f"cannot be removed: {e}")

    def leaks(self):
        """Names of what is there now and was not in the clean state. What goes in the background has some time."""
        end = time.monotonic() + SETTLE
        while True:
            self.w.reap()
            now = self.look()
            bad = [f"left: {x}" for x in sorted(now["names"] - self.base["names"])]
            bad += [f"missing: {x}" for x in sorted(self.base["names"] - now["names"])]
            if now["du"] > self.base["du"] + DU_SLACK:
                bad.append(f"the data-root holds {now['du']} bytes, {self.base['du']} before")
            if not bad or time.monotonic() > end:
                return bad
            time.sleep(0.1)

    def look(self):
        names = set(self.disk()) | set(self.run_time()) | set(self.processes())
        names |= {"mount " + p for p in self.w.mounts(self.w.dir + "/")}
        names |= {"interface " + l for l in self.w.links()}
        names |= {"cgroup " + d for d in self.w.cgroup_dirs() if not d.endswith(self.w.cgroup)}
        names |= {"nft " + l.strip() for l in text_of("nft", "list", "ruleset").splitlines()}
        return {"names": names, "du": self.du()}

    def disk(self):
        """Files and folders by name; below the layers' own folders only whether they are there."""
        root = self.w.root
        for top, dirs, files in os.walk(root):
            at = top[len(root):]
            if at.count("/") == 2 and at.startswith("/overlay2/") and at != "/overlay2/l":
                yield "disk " + at
                dirs[:] = []
                continue
            if at.endswith("/distribution"):
                dirs[:] = []    # hints, and what the next pull goes on with
                continue
            for f in files + [d for d in dirs if os.path.islink(f"{top}/{d}")]:
                yield "disk " + at + "/" + f
            if not dirs and not files:
                yield "disk " + at + "/"

    def run_time(self):
        for sub in ("containers", "sandboxes", "netns", "runtime"):
            path = f"{self.w.exec}/d/{sub}"
            for f in os.listdir(path) if os.path.isdir(path) else []:
                yield f"exec-root {sub}/{f}"

    def processes(self):
        mine = {1, self.w.daemon}
        for p in os.listdir("/proc"):
            if not p.isdigit() or int(p) in mine:
                continue
            try:
                with open(f"/proc/{p}/stat", encoding="utf-8", errors="replace") as f:
                    head, rest = f.read().rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[1]) != self.w.daemon:     # its spawner is a part of it
                yield "process " + head.split("(", 1)[1] + (" (zombie)" if rest.split()[0] == "Z" else "") + " " + p

    def du(self):
        total = 0
        for top, dirs, files in os.walk(self.w.root):
            if top.endswith("/distribution"):
                dirs[:] = []
                continue
            for f in files + dirs:
                try:
                    total += os.lstat(f"{top}/{f}").st_blocks * 512
                except OSError:
                    pass
        return total

    def addresses(self):
        """How many containers the pool of addresses takes."""
        names = []
        while len(names) < 100:
            name = f"pool{len(names)}"
            names.append(name)
            try:
                self.c.call("POST", "/containers/create?name=" + name, {"Image": BASE, "Cmd": ["sleep", "1000"]})
                self.c.call("POST", f"/containers/{name}/start")
            except Refused as e:
                if "available" not in str(e):
                    raise
                break
        for name in names:
            self.try_call("DELETE", f"/containers/{name}?force=1")
        return len(names) - 1
