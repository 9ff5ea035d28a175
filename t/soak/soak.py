#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mixed life against one daemon, for SECONDS (60). Rounds of ROUND seconds (30): in each, WORKERS (6) threads do what containers live through
(life.py), beside event listeners, of which some are stuck, and containers that live through it all; EVERY (2)nd round the daemon is killed or ended in
the middle (0: never; it has live-restore) and starts again. Between rounds everything that the workers made is removed, and what is
left is counted: files, layers, mounts, namespaces, control groups, processes, interfaces, rules; descriptors, threads, memory.
ONLY="fight logs": only this work. SEED: of the workers. KEEP=1 keeps the folder of a run that failed. Prints TAP. Needs root and runc."""
import collections
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/../crash"]
from check import Checker                           # noqa: E402
from life import KINDS, SLOW, Worker, parts         # noqa: E402
from work import BASE                               # noqa: E402
from world import Lost, Refused, World              # noqa: E402

ENV = os.environ.get
SECONDS, ROUND, EVERY = float(ENV("SECONDS") or 60), float(ENV("ROUND") or 30), int(ENV("EVERY") or 2)
WORKERS, SEED = int(ENV("WORKERS") or 6), ENV("SEED") or "1"
GROWTH_KB = 3072
JOURNAL = "/run/systemd/journal"
count = bad = 0


def ok(good, what, why=""):
    global count, bad
    count += 1
    bad += not good
    print(("ok" if good else "not ok") + f" {count} - {what}" + ("" if good else "\n# " + str(why)[:9000].replace("\n", "\n# ")), flush=True)


def say(text):
    print(f"# {time.strftime('%H:%M:%S')} {text}", flush=True)


class Home(World):
    """The world of the crash tests, with more addresses, and an account of the processes that it reaps."""
    pool = "10.111.0.0/24"

    def __init__(self):
        self.ended = {}
        super().__init__("kill")

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.ended[pid] = status

    def end(self, how, patience):
        """The daemon's status, None when it had to be killed."""
        self.ended.pop(self.daemon, None)
        os.kill(self.daemon, how)
        end = time.monotonic() + patience
        while self.daemon not in self.ended:
            if time.monotonic() > end:
                os.kill(self.daemon, signal.SIGKILL)
                end += patience
                how = None
            time.sleep(.01)
            self.reap()
        return self.ended.pop(self.daemon) if how else None

    def held(self):
        """Descriptors, threads, and kB of memory of its own, with its helpers."""
        kb = 0
        for p in [self.daemon] + [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if self.parent(p) == self.daemon]:
            try:
                with open(f"/proc/{p}/smaps_rollup", encoding="ascii") as f:
                    kb += next(int(line.split()[1]) for line in f if line.startswith("Pss_Anon:"))
            except (OSError, StopIteration):
                pass
        return len(os.listdir(f"/proc/{self.daemon}/fd")), len(os.listdir(f"/proc/{self.daemon}/task")), kb

    @staticmethod
    def parent(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                return int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return 0


class Sweeper(Checker):
    """What is there beside the containers that live on."""

    def __init__(self, world):
        super().__init__(world)
        self.stay = []

    def lives_on(self, text):
        return any(c in text for c in self.stay)

    def disk(self):
        return (x for x in super().disk() if not self.lives_on(x))

    def processes(self):
        for x in super().processes():
            try:
                with open(f"/proc/{x.split()[-1]}/cgroup", encoding="utf-8") as f:
                    if self.lives_on(f.read()):
                        continue
            except OSError:
                continue
            yield x

    def du(self):
        logs = sum(os.lstat(f"{top}/{f}").st_blocks * 512 for c in self.stay for top, _, files in os.walk(f"{self.w.root}/containers/{c}") for f in files)
        return super().du() - logs

    def leaks(self):
        """A probe's runtime is there for a moment only."""
        bad = super().leaks()
        if any("process runc" in x for x in bad):
            time.sleep(5 * SLOW)
            now = self.look()["names"]
            bad = [x for x in bad if "process runc" not in x or x.split(": ", 1)[1] in now]
        return bad

    def remove_all(self):
        wrong = []
        for x in self.c.get("/containers/json?all=1"):
            if x["Id"] not in self.stay:
                self.remove(f"/containers/{x['Id']}?force=1&v=1", wrong)
        for v in self.c.get("/volumes").get("Volumes") or []:
            self.remove(f"/volumes/{v['Name']}", wrong)
        for _ in range(8):  # children before parents
            left = [i for i in self.c.get("/images/json?all=1") if BASE not in (i.get("RepoTags") or [])]
            errors = []
            for i in left:
                self.remove(f"/images/{i['Id']}?force=1", errors)
            if not left or not errors:
                break
        return wrong + errors


class Sinks(threading.Thread):
    """Who takes datagrams of log drivers, and counts them."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count = 0
        self.socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
        self.socks[0].bind(("127.0.0.1", 0))
        self.port = self.socks[0].getsockname()[1]
        os.makedirs(JOURNAL)
        self.socks[1].bind(JOURNAL + "/socket")

    def run(self):
        def take(s):
            while True:
                s.recv(1 << 18)
                self.count += 1
        other = threading.Thread(target=take, args=(self.socks[1],), daemon=True)
        other.start()
        take(self.socks[0])


class Listener(threading.Thread):
    """Follows the events, over the daemon's ends."""

    def __init__(self, soak):
        super().__init__(daemon=True)
        self.soak, self.events, self.wrong = soak, 0, []

    def run(self):
        while not self.soak.over:
            try:
                self.follow(self.soak.epoch)
            except OSError:
                pass
            time.sleep(.1)

    def follow(self, epoch):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.soak.world.sock)
            s.sendall(b"GET /events HTTP/1.0\r\nHost: d\r\n\r\n")
            f = s.makefile("rb")
            while f.readline().strip():
                pass
            for line in f:
                try:
                    self.events += bool(json.loads(line)["Type"])
                except (ValueError, KeyError):
                    if not self.soak.disturbed(epoch):
                        self.wrong.append(line[:200])


class Soak:
    def __init__(self, world):
        self.world, self.sweeper, self.seed = world, Sweeper(world), SEED
        self.rng = random.Random(SEED + "/main")
        self.lock = threading.Condition()
        self.epoch, self.down, self.resting, self.over = 0, False, True, False
        self.idle, self.faults, self.done, self.statuses = 0, collections.OrderedDict(), collections.Counter(), collections.Counter()
        self.took, self.ends, self.figures, self.left, self.living, self.stuck = collections.Counter(), collections.Counter(), [], [], {}, []
        self.slowest_start = 0.0

    # What workers call

    def gate(self, worker):
        """False when there is nothing more to do; waits while the others rest."""
        with self.lock:
            self.idle += 1
            self.lock.notify_all()
            while (self.resting or self.down) and not self.over:
                self.lock.wait()
            self.idle -= 1
            return not self.over

    def disturbed(self, epoch):
        return self.down or epoch != self.epoch or self.over

    def note(self, kind, seconds):
        with self.lock:
            self.done[kind] += 1
            self.took[kind] += seconds

    def answered(self, status):
        with self.lock:
            self.statuses[status] += 1

    def fault(self, text):
        """Once for each kind of it."""
        key = re.sub(r"[0-9a-f]{8,}|\d+(x\d+)?", "N", text)[:300]
        with self.lock:
            first = key not in self.faults
            self.faults[key] = (self.faults.get(key, (0, text))[0] + 1, text)
        if first:
            say("fault: " + text.replace("\n", "\n#   "))

    # The story

    def prepare(self):
        data = subprocess.run([HERE + "/../tools/mkimage", BASE], check=True, stdout=subprocess.PIPE).stdout
        self.world.client.call("POST", "/images/load?quiet=1", data, "application/x-tar")
        sinks = Sinks()
        sinks.start()
        self.sinks = sinks
        there = self.world.client.get("/info")["Plugins"]["Log"]
        self.log_config = {"syslog": {"syslog-address": f"udp://127.0.0.1:{sinks.port}"}, "gelf": {"gelf-address": f"udp://127.0.0.1:{sinks.port}"}}
        self.drivers = [d for d in ("json-file", "local", "none", "journald", "syslog", "gelf") if d in there + ["none"]]
        say("log drivers: " + " ".join(self.drivers))
        for d in self.drivers:
            if d != "none":
                config = {"Image": BASE, "Cmd": ["sh", "-c", "i=0; while :; do i=$((i + 1)); echo $i; sleep .2; done"], "Labels": {"stays": d},
                          "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000},
                          "HostConfig": {"NetworkMode": "bridge" if d == "local" else "none", "LogConfig": {"Type": d, "Config": self.log_config.get(d, {})}}}
                self.world.client.call("POST", "/containers/create?name=stays-" + d, config)
                self.world.client.call("POST", f"/containers/stays-{d}/start")
                info = self.world.client.get(f"/containers/stays-{d}/json")
                self.living[d] = (info["Id"], info["State"]["Pid"])
                self.sweeper.stay += [info["Id"], info["NetworkSettings"]["SandboxKey"].split("/")[-1]]
        # what the first volume makes stays
        self.world.client.call("POST", "/volumes/create", {"Name": "first"})
        self.world.client.call("DELETE", "/volumes/first")

    def stick(self):
        """Listeners that never read."""
        for s in self.stuck:
            s.close()
        self.stuck = []
        for _ in range(3):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.world.sock)
            s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
            self.stuck.append(s)

    def alive(self):
        self.world.reap()
        if self.world.daemon in self.world.ended:
            say(f"the daemon has ended by itself: {self.world.ended[self.world.daemon]:#x}" + self.world.log_tail(30).replace("\n", "\n# "))
            return False
        return True

    def pass_time(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(.2)
            if not self.alive():
                return False
        return True

    def end_daemon(self):
        how = self.rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        with self.lock:
            self.down = True
        status = self.world.end(how, 60 * SLOW)
        self.ends[how.name] += 1
        if how == signal.SIGTERM and status != 0:
            self.fault(f"the daemon's end by SIGTERM has the status {status}" + self.world.log_tail(10))
        time.sleep(self.rng.choice([0, 0, 1]))
        self.slowest_start = max(self.slowest_start, self.world.start(60 * SLOW))
        self.stick()
        with self.lock:
            self.epoch += 1
            self.down = False
            self.lock.notify_all()
        self.living_on()

    def living_on(self):
        for d, (cid, pid) in self.living.items():
            state = self.world.client.get(f"/containers/{cid}/json")["State"]
            if not state["Running"] or state["Pid"] != pid:
                self.fault(f"{d}: a container has not lived on: {state}")

    def lines(self):
        """No line of those that live on is missing among the last ones, and they go on."""
        for d, (cid, _) in self.living.items():
            got = [int(x) for x in parts(self.world.client.call("GET", f"/containers/{cid}/logs?stdout=1&tail=2000")).split()]
            if not got or got != list(range(got[0], got[-1] + 1)):
                jumps = [(a, b) for a, b in zip(got, got[1:]) if b != a + 1]
                self.fault(f"{d}: lines are missing: {jumps[:5]} of {got[:1]} to {got[-1:]}")

    def round(self, number, seconds):
        with self.lock:
            self.resting = False
            self.lock.notify_all()
        blow = EVERY and number % EVERY == 0
        first = seconds * self.rng.uniform(.2, .8) if blow else seconds
        going = self.pass_time(first)
        if going and blow:
            self.end_daemon()
            going = self.pass_time(seconds - first)
        with self.lock:
            self.resting = True
            end = time.monotonic() + 120 * SLOW
            while self.idle < WORKERS and time.monotonic() < end:
                self.lock.wait(1)
            late = [w.doing for w in self.workers if w.doing]
        if going and late:
            self.fault(f"work that never ends: {late}")
            going = False
        return going and self.alive()

    def rest(self, number):
        """Removes all that was made, and counts what stays."""
        wrong = self.sweeper.remove_all()
        wrong += self.sweeper.leaks()
        for x in wrong[:10]:
            say(f"round {number}: {x}")
        self.left += wrong
        self.lines()
        now = self.quiet()
        self.figures.append(now)
        if self.figures[1:]:
            base = self.figures[0]
            if now[0] > base[0] + 4 or now[1] > base[1] + 4:
                self.fault(f"descriptors and threads at rest: {now[:2]}, {base[:2]} at first")
        if number % 10 == 0 or number < 3:
            say(f"round {number}: {now[0]} descriptors, {now[1]} threads, {now[2]} kB, {sum(self.statuses.values())} requests, {sum(self.done.values())} pieces of work")
        if wrong:
            self.sweeper.remember()  # the next round answers for itself

    def quiet(self):
        """Figures, when idle threads have left."""
        end, base = time.monotonic() + 15 * SLOW, self.figures[0] if self.figures else (0, 0)
        now = self.world.held()
        while time.monotonic() < end:
            time.sleep(.5 if self.figures else 3)
            last, now = now, self.world.held()
            if now[:2] == last[:2] and (not self.figures or now[0] <= base[0] and now[1] <= base[1]):
                break
        return now

    def run(self):
        self.prepare()
        self.listeners = [Listener(self) for _ in range(4)]
        for x in self.listeners:
            x.start()
        self.stick()
        time.sleep(1)
        self.sweeper.remember()
        while any("process runc" in x for x in self.sweeper.base["names"]):  # a probe's
            self.sweeper.remember()
        self.workers = [Worker(self, i) for i in range(WORKERS)]
        for w in self.workers:
            w.thread.start()
        begin, number, going = time.monotonic(), 0, True
        while going and (number == 0 or time.monotonic() - begin < SECONDS):
            number += 1
            going = self.round(number, min(ROUND, max(5, SECONDS - (time.monotonic() - begin))))
            if going:
                self.rest(number)
        self.verdict(going, number, time.monotonic() - begin)

    def verdict(self, going, rounds, seconds):
        with self.lock:
            self.over = True
            self.lock.notify_all()
        if going:
            self.living_on()
        say("work: " + ", ".join(f"{n} {k} ({self.took[k] / n:.2f} s)" for k, n in sorted(self.done.items())))
        say("answers: " + ", ".join(f"{n} of {k}" for k, n in sorted(self.statuses.items())))
        say(f"ends of the daemon: {dict(self.ends)}, the slowest start {self.slowest_start:.2f} s; {sum(x.events for x in self.listeners)} events, {self.sinks.count} datagrams of logs")
        ok(going, f"{seconds:.0f} s, {rounds} rounds: the daemon lives, and nothing hangs")
        ok(not self.faults, f"{sum(self.statuses.values())} requests: every answer is right", "\n".join(f"{n} times: {t}" for n, t in self.faults.values()))
        ok(not any(x.wrong for x in self.listeners), "listeners get whole events", [x.wrong[:2] for x in self.listeners])
        ok(not self.left, "nothing is left after any round", "\n".join(self.left[:40]))
        self.memory()
        for s in self.stuck:
            s.close()
        self.sweeper.stay = []
        if going:
            wrong = self.sweeper.remove_all()
            ok(not wrong, "all can be removed", wrong)
            status = self.world.end(signal.SIGTERM, 60 * SLOW)
            ok(status == 0, "the daemon ends", f"{status}" + self.world.log_tail(20))
        found = reports(self.world)
        if SANITIZED:
            ok(not found, "no report of a sanitizer", found)

    def memory(self):
        kb = [x[2] for x in self.figures]
        if not kb:
            return
        third = max(len(kb) // 3, 1)
        median = [sorted(x)[len(x) // 2] for x in (kb[:third], kb[-third:])]
        say(f"memory at rest: {median[0]} kB in the first third, {median[1]} kB in the last; descriptors {min(x[0] for x in self.figures)} to {max(x[0] for x in self.figures)}, "
            f"threads {min(x[1] for x in self.figures)} to {max(x[1] for x in self.figures)}")
        say("kB at each rest: " + " ".join(map(str, kb)))
        if SANITIZED:
            ok(True, "memory # SKIP of a build with a sanitizer says nothing")
        else:
            ok(median[1] <= median[0] + GROWTH_KB, "memory at rest does not grow", median)


def sanitized(world):
    """Reports of whatever process go to a folder of this test."""
    with open(world.builddir + "/dockerd", "rb") as f:
        text = f.read()
    if b"__asan_init" not in text and b"__tsan_init" not in text:
        return False
    os.mkdir(world.dir + "/san", 0o1777)
    os.chmod(world.dir + "/san", 0o1777)
    top = os.path.abspath(HERE + "/../..")
    for name, more in (("ASAN", "detect_stack_use_after_return=0"), ("UBSAN", "print_stacktrace=1"), ("TSAN", f"suppressions={top}/t/tsan.supp:second_deadlock_stack=1")):
        os.environ[name + "_OPTIONS"] = f"log_path={world.dir}/san/{name.lower()}:{more}:" + ENV(name + "_OPTIONS", "")
    return True


def reports(world):
    out = ""
    for f in sorted(os.listdir(world.dir + "/san")) if SANITIZED else ():
        with open(f"{world.dir}/san/{f}", encoding="utf-8", errors="replace") as r:
            text = r.read()
            out += f"{f}:\n{text[:4000]}\n" if text else ""
    with open(world.dir + "/log", encoding="utf-8", errors="replace") as f:
        return out + "".join(line for line in f if ": runtime error: " in line)[:3000]


def place_for_a_journal(world):
    os.mkdir(world.dir + "/systemd")
    if not os.path.isdir("/run/systemd"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/systemd")
    subprocess.run(["mount", "--bind", world.dir + "/systemd", "/run/systemd"], check=True)


def main():
    global SANITIZED
    if "--inside" not in sys.argv:
        # Namespaces of its own, this as process 1 in them: all ends with it.
        args = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--mount", "--propagation", "private"]
        os.execvp(args[0], args + [sys.executable, os.path.abspath(__file__), "--inside"])
    for name in list(KINDS) if ENV("ONLY") else ():
        if name not in ENV("ONLY").split():
            del KINDS[name]
    world = Home()
    try:
        SANITIZED = sanitized(world)
        place_for_a_journal(world)
        with open(world.dir + "/daemon.json", "w", encoding="ascii") as f:
            f.write('{"live-restore": true}')
        say(f"SECONDS={SECONDS:.0f} ROUND={ROUND:.0f} EVERY={EVERY} WORKERS={WORKERS} SEED={SEED} in {world.dir}")
        world.start(60 * SLOW)
        Soak(world).run()
        print(f"1..{count}")
    except (Lost, Refused) as e:
        ok(False, "the soak itself is answered", f"{e}" + world.log_tail(20))
    finally:
        world.close(keep=bool(ENV("KEEP")) and bad)
    return bad > 0


sys.exit(main())
