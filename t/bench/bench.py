#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Our daemon beside another one, interleaved A B A B; medians, their ratio and whether a bar is reached, as a table. Nothing here
asserts a time: a bar that is missed is a word in the table, an exit status of 1 means that a case could not be measured.
Environment: DOCKERD (ours), PLUGINS (its drivers), HTTPBENCH, OTHER_DOCKERD (default /usr/sbin/dockerd; "" for none), DOCKER (the
CLI), MKIMAGE, RUNS (docker run --rm before the idle weight is taken, default 1000; the other makes a twentieth), ROUNDS (default
5), CASES (names of cases, "networks" for those of networks.py; default all but grow), MARKDOWN (the table is written there as well), BENCH_TMP (default /tmp), BENCH_CGROUP
(where containers' control groups go: one with more than its share of the processors, where others work beside it). The case
grow: GROW (default "1 10 50 100 200 500 1000") and GROW_OTHER (default 100) say how many containers run, PLOT names an SVG file.
"""
import datetime
import hashlib
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import images
import networks
import nullserver
import plot
import secure
from engines import Engine, Peak

here = os.path.dirname(os.path.abspath(__file__))
env = os.environ.get
CLI = env("DOCKER") or shutil.which("docker")
HTTPBENCH = env("HTTPBENCH", os.path.join(os.getcwd(), "t/bench/httpbench"))
MKIMAGE = env("MKIMAGE", os.path.join(here, "../tools/mkimage"))
RUNS, ROUNDS = int(env("RUNS", "1000")), int(env("ROUNDS", "5"))
CASES = ("ready", "run", "starts", "exec", "crowd", "files", "logs", "http", "slope", "archives", *secure.CASES, *images.CASES, *networks.CASES, "idle", "grow")
PARENT = [f"--cgroup-parent={env('BENCH_CGROUP')}"] if env("BENCH_CGROUP") else []
MB = 1e6
LOG_MB = 48 # its records stay within what our logs may take by default


def at_most(limit):
    """A bar on our own figure."""
    return f"at most {limit:g}", lambda ours, ratio: ours <= limit


def times(factor):
    """A bar on the ratio to the other engine."""
    return f"{factor:g} times", lambda ours, ratio: ratio >= factor


def clock(f, *args, **kw):
    begin = time.monotonic()
    f(*args, **kw)
    return time.monotonic() - begin


def quiet(argv, **kw):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **kw)


class Bench(images.Cases, networks.Cases, secure.Cases):
    cli, rounds = CLI, ROUNDS
    clock, times, at_most = staticmethod(clock), staticmethod(times), staticmethod(at_most)

    def __init__(self, work):
        self.work, self.rows, self.failed = work, [], False
        self.engines = [Engine("ours", os.path.abspath(env("DOCKERD", "dockerd")), work, ["--plugin-dir", self.drivers(work)] + PARENT)]
        other = env("OTHER_DOCKERD", "/usr/sbin/dockerd")
        if other and os.access(other, os.X_OK):
            self.engines.append(Engine("other", other, work, PARENT))
        else:
            print(f"bench: there is no {other or 'other dockerd'}: ours alone, no ratios", file=sys.stderr)
        asked = (env("CASES") or " ".join(c for c in CASES if c != "grow")).split()
        self.cases = asked + list(networks.CASES if "networks" in asked else ())

    @staticmethod
    def drivers(work):
        """The build tree's drivers, copied where the loader accepts them."""
        plugins, to = env("PLUGINS", "plugins"), os.path.join(work, "plugins")
        for kind in ("graph", "net", "volume", "authz", "log"):
            os.makedirs(os.path.join(to, kind), mode=0o755, exist_ok=True)
            built = os.path.join(plugins, kind, ".libs")
            for so in filter(lambda n: n.endswith(".so"), os.listdir(built) if os.path.isdir(built) else []):
                shutil.copy(os.path.join(built, so), os.path.join(to, kind, so))
        return to

    # Results

    def row(self, name, unit, values, higher=False, digits=1, bar=None):
        """values: engine name -> samples; bar: at_most() or times()"""
        median = {k: statistics.median(v) for k, v in values.items() if v}
        ours, other = median.get("ours"), median.get("other")
        ratio = None if not ours or not other else ours / other if higher else other / ours
        verdict = ""
        if bar:
            text, reached = bar
            known = ours is not None and (ratio is not None or "times" not in text)
            verdict = text + (": not measured" if not known else ": reached" if reached(ours, ratio) else ": missed")
        self.rows.append((name, ours, other, ratio, unit, digits, verdict))
        self.show(self.rows[-1], "{:<52} {:>9} {:>9} {:>7}  {:<11} {}")

    @staticmethod
    def show(row, form, file=sys.stdout):
        name, ours, other, ratio, unit, digits, verdict = row
        text = lambda v: "" if v is None else f"{v:.{digits}f}"
        print(form.format(name, text(ours), text(other), "" if ratio is None else f"{ratio:.2f}", unit, verdict).rstrip(), file=file, flush=True)

    def markdown(self, path):
        with open(path, "w") as f:
            print("| case | ours | other | ours is better by | unit | bar |\n|---|--:|--:|--:|---|---|", file=f)
            for row in self.rows:
                self.show(row, "| {} | {} | {} | {} | {} | {} |", f)

    # The frame of a case

    def each(self, f, rounds=ROUNDS):
        """f(engine) -> a number; every round asks all engines in turn."""
        values = {e.name: [] for e in self.engines}
        for _ in range(rounds):
            for e in self.engines:
                values[e.name].append(f(e))
        return values

    def run(self):
        for e in self.engines:
            e.settle()
            e.start()
        image = os.path.join(self.work, "busybox.tar")
        with open(image, "wb") as f:
            subprocess.run([MKIMAGE, "busybox:latest"], check=True, stdout=f)
        for e in self.engines:
            e.docker(CLI, "load", "-q", "-i", image)
        print("{:<52} {:>9} {:>9} {:>7}".format("", "ours", "other", "ratio"), flush=True)
        for case in (c for c in CASES if c in self.cases):
            try:
                getattr(self, "case_" + case)()
            except Exception: # the other cases are worth having
                self.failed = True
                traceback.print_exc()
            for e in self.engines:
                self.remove_all(e, e.output(CLI, "ps", "-aq").split())

    def httpbench(self, e, connections, seconds, path=None, lines=None):
        argv = [HTTPBENCH, e.sock, str(connections), str(seconds) if path else "-"] + ([path] if path else [])
        out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, input="".join(l + "\n" for l in lines or [])).stdout.split()
        if int(out[5]):
            raise RuntimeError(f"{e.name}: {out[5]} of {out[0]} requests failed: {path or lines[0]}")
        return float(out[2])

    def containers(self, e, n, cmd, prefix, network="none"):
        """Creates n of them; their names."""
        body = json.dumps({"Image": "busybox", "Cmd": cmd, "HostConfig": {"NetworkMode": network}})
        names = [f"{prefix}{i}" for i in range(n)]
        self.httpbench(e, 4, 0, lines=[f"POST /containers/create?name={c} {body}" for c in names])
        return names

    def start_all(self, e, names, connections=8):
        return self.httpbench(e, connections, 0, lines=[f"POST /containers/{c}/start" for c in names])

    def remove_all(self, e, names):
        self.httpbench(e, 4, 0, lines=[f"DELETE /containers/{c}?force=1" for c in names])

    # Cases

    def restart(self, e):
        e.stop()
        return e.start() * 1e3

    def case_ready(self):
        self.row("exec to first /_ping, no container", "ms", self.each(self.restart), bar=at_most(50))
        names = {e.name: self.containers(e, 100, ["true"], "r") for e in self.engines}
        self.row("exec to first /_ping, 100 containers on disk", "ms", self.each(self.restart, 3), bar=at_most(100))
        for e in self.engines:
            self.remove_all(e, names[e.name])

    def case_idle(self):
        for e in self.engines:
            count = RUNS if e.name == "ours" else max(1, RUNS // 20)
            e.stop() # its weight after these runs, not after the cases before
            e.start()
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: e.docker(CLI, "run", "--rm", "--network", "none", "busybox", "true"), range(count)))
        time.sleep(3)
        weight = self.each(lambda e: e.pss() / 1e3, 1)
        self.row(f"idle PSS after {RUNS} runs (other: after {max(1, RUNS // 20)})", "MB", weight, bar=at_most(8))

    def case_run(self):
        bare = self.bare_runc()
        networks = ("none", "bridge")
        noop, runc, run = [], [], {n: {e.name: [] for e in self.engines} for n in networks}
        for _ in range(ROUNDS * 3): # all in turn, so that what else the machine does falls on each
            noop.append(clock(self.engines[0].docker, CLI, "ps", "-q") * 1e3)
            runc.append(clock(quiet, bare, stdin=subprocess.DEVNULL) * 1e3)
            for n in networks:
                for e in self.engines:
                    run[n][e.name].append(clock(e.docker, CLI, "run", "--rm", "--network", n, "busybox", "true") * 1e3)
        for n in networks:
            self.row(f"docker run --rm --network {n} busybox true", "ms", run[n])
        self.row("a CLI call that does nothing (docker ps -q)", "ms", {"ours": noop})
        self.row("runc run of the same bundle", "ms", {"ours": runc})
        self.engines[0].docker(CLI, "rm", "-f", "bare")
        floor = statistics.median(noop) + statistics.median(runc)
        for n in networks:
            self.row(f"above the sum of both, --network {n}", "ms",
                     {k: [statistics.median(v) - floor] for k, v in run[n].items()}, bar=at_most(20 if n == "none" else 30))

    def bare_runc(self):
        """The bundle that our daemon made for the container "bare", which must live on: its files are mounted."""
        e = self.engines[0]
        e.docker(CLI, "run", "-d", "--name", "bare", "--network", "none", "busybox", "sleep", "1000")
        cid = e.output(CLI, "inspect", "-f", "{{.Id}}", "bare")
        found = [os.path.join(d, "config.json") for d, _, files in os.walk(os.path.join(e.work, "exec")) if cid in d and "config.json" in files]
        with open(found[0]) as f:
            spec = json.load(f)
        bundle = os.path.join(self.work, "bundle")
        os.makedirs(bundle + "/rootfs")
        quiet(["cp", "-a", f"/proc/{e.output(CLI, 'inspect', '-f', '{{.State.Pid}}', 'bare')}/root/bin", bundle + "/rootfs/"])
        for d in ("proc", "sys", "dev", "etc", "tmp"):
            os.makedirs(f"{bundle}/rootfs/{d}", exist_ok=True)
        spec["process"].update(args=["true"], terminal=False)
        spec["root"] = {"path": "rootfs", "readonly": False}
        spec["linux"]["cgroupsPath"] = "/docker/dkd-bench-bare"
        spec["linux"]["namespaces"] = [{"type": n["type"]} for n in spec["linux"]["namespaces"]]
        spec.pop("hooks", None)
        with open(bundle + "/config.json", "w") as f:
            json.dump(spec, f)
        return ["runc", "--root", os.path.join(self.work, "runc"), "run", "--bundle", bundle, "dkd-bench-bare"]

    def case_starts(self):
        def starts(e, network):
            names = self.containers(e, 40, ["sleep", "1000"], "s", network)
            rate = self.start_all(e, names)
            self.remove_all(e, names)
            return rate
        self.row("40 starts, 8 at a time, --network none", "per second", self.each(lambda e: starts(e, "none"), 2), higher=True)
        self.row("40 starts, 8 at a time, on the bridge", "per second", self.each(lambda e: starts(e, "bridge"), 3), higher=True, bar=times(4))

    def case_exec(self):
        for e in self.engines:
            e.docker(CLI, "run", "-d", "--name", "xx", "--network", "none", "busybox", "sleep", "1000")
        self.row("docker exec", "ms", self.each(lambda e: clock(e.docker, CLI, "exec", "xx", "true") * 1e3, ROUNDS * 2), bar=times(2))
        self.row("exec create, start and its output's end, without the CLI", "ms", self.each(lambda e: clock(e.exec, "xx", "true") * 1e3, ROUNDS * 2))
        for e in self.engines:
            e.docker(CLI, "rm", "-f", "xx")

    def case_crowd(self):
        """100 running containers: their figures, then their end. One engine after the other: neither bears the other's crowd."""
        of_one, of_all, removal = ({e.name: [] for e in self.engines} for _ in range(3))
        for _ in range(max(1, ROUNDS // 2)):
            for e in self.engines:
                names = self.containers(e, 100, ["sleep", "1000"], "w")
                self.start_all(e, names)
                asked = [f"GET /containers/{c}/stats?stream=0&one-shot=1" for c in names]
                of_one[e.name].append(clock(self.httpbench, e, 8, 0, lines=asked) * 1e3)
                of_all[e.name].append(clock(e.docker, CLI, "stats", "--no-stream") * 1e3)
                removal[e.name].append(clock(e.docker, CLI, "rm", "-f", *names) * 1e3)
        self.row("stats of 100 containers, one-shot, 8 at a time", "ms", of_one, bar=times(5))
        self.row("docker stats --no-stream, 100 containers", "ms", of_all)
        self.row("docker rm -f of 100 running", "ms", removal, bar=times(4))

    def case_files(self):
        """
        A tree into a container that does not run, out of it again, and the container as an image. As with archives: the bench's own
        writes are on the disk before, and nothing is deleted before the end.
        """
        tree = os.path.join(self.work, "cp.tar")
        into, out, commit = ({e.name: [] for e in self.engines} for _ in range(3))
        rounds = max(3, ROUNDS // 2)
        for i in range(rounds):
            _, size = self.make_tree(tree, f"cp {i}")
            for e in self.engines:
                e.docker(CLI, "create", "--name", f"ff{i}", "--network", "none", "busybox", "true")
                os.sync()
                with open(tree, "rb") as f:
                    into[e.name].append(size / clock(e.docker, CLI, "cp", "-", f"ff{i}:/tmp", stdin=f))
                out[e.name].append(size / clock(e.docker, CLI, "cp", f"ff{i}:/tmp", "-"))
                os.sync()
                commit[e.name].append(size / clock(e.docker, CLI, "commit", f"ff{i}", f"cp:{i}"))
        self.row(f"docker cp in, {size:.0f} MB", "MB/s", into, higher=True, bar=times(1.5))
        self.row(f"docker cp out, {size:.0f} MB", "MB/s", out, higher=True, bar=times(1.5))
        self.row(f"docker commit of it, {size:.0f} MB", "MB/s", commit, higher=True, bar=times(1.5))
        for e in self.engines:
            e.docker(CLI, "rm", *(f"ff{i}" for i in range(rounds)))

    def case_logs(self):
        lines = os.path.join(self.work, "lines")
        with open(lines, "w") as f:
            for i in range(int(LOG_MB * MB) // 100):
                f.write(f"{i:09d} {'the quick brown fox jumps over the lazy dog ' * 2}x\n")
        size = os.path.getsize(lines)

        def write(e):
            e.docker(CLI, "create", "--name", "ll", "--network", "none", "-v", f"{lines}:/lines:ro", "busybox", "cat", "/lines")
            e.docker(CLI, "start", "ll")
            e.docker(CLI, "wait", "ll")
            begin, end = (datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z", r"\1+00:00", t)) for t in
                          e.output(CLI, "inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", "ll").split())
            return size / MB / (end - begin).total_seconds()

        def remove(e):
            e.docker(CLI, "rm", "-f", "ll")

        written = self.each(lambda e: (write(e), remove(e))[0], 2)
        for e in self.engines:
            written[e.name].append(write(e))
        self.row("a container writes its log", "MB/s", written, higher=True, bar=times(5))
        get = lambda e: size / MB / clock(quiet, ["curl", "-sSo", "/dev/null", "--unix-socket", e.sock, "http://d/containers/ll/logs?stdout=1&stderr=1"])
        self.row("docker logs: the daemon's answer", "MB/s", self.each(get, 3), higher=True, bar=times(5))
        self.row("docker logs: through the CLI", "MB/s", self.each(lambda e: size / MB / clock(e.docker, CLI, "logs", "ll"), 3), higher=True)
        with nullserver.NullServer(os.path.join(self.work, "null.sock"), lines) as null:
            ceiling = [size / MB / clock(quiet, [CLI, "-H", f"unix://{null.path}", "logs", "ll"]) for _ in range(3)]
        self.row("the CLI's own limit: docker logs of a null server", "MB/s", {"ours": ceiling})
        for e in self.engines:
            remove(e)

    def make_tree(self, path, mark):
        """A tar of many small and a few large files, half of it compressible; its content occurs once. diff id, size."""
        words, random = b"some text that compresses well, as programs do; " * 84000, os.urandom(1000000)
        with tarfile.open(path, "w") as tar:
            def put(name, data):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            put("mark", mark.encode())
            for i in range(2000):
                put(f"d{i % 50}/e{i % 7}/f{i}", random[i * 100:i * 100 + 12000] + words[:12000])
            for i in range(6):
                put(f"big{i}", random * 4 + words[:4000000])
        with open(path, "rb") as f:
            return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest(), os.path.getsize(path) / MB

    def make_archive(self, path, tree, diff):
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
        manifest = json.dumps([{"Config": "c.json", "RepoTags": ["loaded:1"], "Layers": ["layer.tar"]}]).encode()
        with tarfile.open(path, "w") as tar:
            for name, data in (("c.json", config), ("manifest.json", manifest)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            tar.add(tree, "layer.tar")

    def case_archives(self):
        """
        Each content is new to both, and nothing is deleted before the end: ext4 is slow where much has just been. What the bench
        itself wrote is on the disk before the clock runs, and memory is watched in a round of its own: that takes a processor's time.
        """
        tree, archive, saved = (os.path.join(self.work, n) for n in ("tree.tar", "archive.tar", "saved.tar"))
        peaks = {w: {e.name: [] for e in self.engines} for w in ("import", "save", "load")}
        rates = {w: {e.name: [] for e in self.engines} for w in ("import", "save", "load")}

        def step(e, what, *args, **kw):
            os.sync()
            if watched:
                with Peak(e) as peak:
                    e.docker(CLI, *args, **kw)
                peaks[what][e.name].append(peak.kb / 1e3)
            else:
                rates[what][e.name].append(size / clock(e.docker, CLI, *args, **kw))

        for i in range(4):
            watched = i == 0
            _, size = self.make_tree(tree, f"import {i}")
            for e in self.engines:
                step(e, "import", "import", tree, f"tree:{i}")
                with open(saved, "wb") as f:
                    step(e, "save", "save", f"tree:{i}", stdout=f)
            diff, size = self.make_tree(tree, f"load {i}")
            self.make_archive(archive, tree, diff)
            for e in self.engines:
                step(e, "load", "load", "-q", "-i", archive)
        for what, factor in (("import", 3), ("save", 1.5), ("load", 1.5)):
            self.row(f"docker {what}, {size:.0f} MB", "MB/s", rates[what], higher=True, bar=times(factor))
        for what in peaks:
            self.row(f"docker {what}: peak PSS over idle", "MB", peaks[what], bar=at_most(32))

    def case_http(self):
        names = {e.name: self.containers(e, 100, ["true"], "h") for e in self.engines}
        def rate(name, connections, path, factor):
            samples = self.each(lambda e: self.httpbench(e, connections, 1, path))
            self.row(name, "per second", samples, higher=True, digits=0, bar=times(factor))
        rate("/_ping, one keep-alive connection", 1, "/_ping", 1.2)
        rate("/_ping, eight connections", 8, "/_ping", 1.5)
        rate("list of 100 containers", 1, "/containers/json?all=1", 5)
        rate("inspect of one", 1, "/containers/h7/json", 3)
        for e in self.engines:
            self.remove_all(e, names[e.name])

    def running_pss(self, e, upto, have, names):
        more = self.containers(e, upto - have, ["sleep", "1000"], f"p{upto}_")
        names += more
        self.start_all(e, more)
        time.sleep(2)
        return e.pss() / 1e3

    def case_slope(self):
        values = {}
        for e in self.engines:
            names = []
            at10, at100 = self.running_pss(e, 10, 0, names), self.running_pss(e, 100, 10, names)
            values[e.name] = [(at100 - at10) / 90]
            self.remove_all(e, names)
        self.row("PSS per running container (10 to 100)", "MB", values, digits=3, bar=at_most(0.5))

    def grown(self, e, names):
        """With those running: starting one more, ending that one, a list of all, figures of each."""
        start, end, ps = [], [], []
        for i in range(ROUNDS):
            one = self.containers(e, 1, ["sleep", "1000"], f"one{i}_")
            start.append(1e3 / self.start_all(e, one, 1))
            end.append(clock(self.remove_all, e, one) * 1e3)
            ps.append(1e3 / self.httpbench(e, 1, 0, lines=["GET /containers/json"] * 3))
        few = names[:: max(1, len(names) // 50)] # the other waits for two readings a second apart
        stats = 1e3 / self.httpbench(e, 8, 0, lines=[f"GET /containers/{c}/stats?stream=0&one-shot=1" for c in few])
        return {"starting one more": statistics.median(start), "rm -f of one": statistics.median(end), "a list": statistics.median(ps), "figures of one": stats}

    def case_grow(self):
        """One engine after the other, so that neither weighs on the other's figures."""
        limit = {"ours": 10 ** 6, "other": int(env("GROW_OTHER", "100"))}
        steps = [int(n) for n in env("GROW", "1 10 50 100 200 500 1000").split()]
        series = {} # title -> engine -> points
        def put(title, e, upto, value):
            series.setdefault(title, {o.name: [] for o in self.engines})[e.name].append((upto, value))
        for e in self.engines:
            names, have = [], 0
            for upto in (n for n in steps if n <= limit[e.name]):
                put("PSS of all", e, upto, self.running_pss(e, upto, have, names))
                have = upto
                for title, ms in self.grown(e, names).items():
                    put(title, e, upto, ms)
                print(f"{e.name:>6} {upto:>5} running: " + ", ".join(f"{t} {v[e.name][-1][1]:.1f}" for t, v in series.items()), flush=True)
            self.remove_all(e, names)
        for upto in (n for n in steps if n <= limit["ours"]):
            for title, s in series.items():
                self.row(f"{upto} running: {title}", "MB" if title == "PSS of all" else "ms", {k: [y for x, y in v if x == upto] for k, v in s.items()})
        if env("PLOT"):
            plot.write(env("PLOT"), [("memory of daemon and helpers (PSS)", "MB", series["PSS of all"]), ("starting one more container", "ms", series["starting one more"])])


def main():
    if os.geteuid() != 0:
        print("bench: skipped, needs root")
        return
    if not CLI:
        print("bench: skipped, there is no docker CLI")
        return
    work = tempfile.mkdtemp(prefix="dkd-bench-", dir=env("BENCH_TMP", "/tmp"))
    os.chmod(work, 0o755)
    bench = Bench(work)
    try:
        bench.run()
        if env("MARKDOWN"):
            bench.markdown(env("MARKDOWN"))
    finally:
        for e in bench.engines:
            e.clean()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(bench.failed)


main()
