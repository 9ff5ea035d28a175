# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The cases of networks. Beside each engine's namespace stands another one, of a client, with a wire between them. Environment: NETLOAD
(t/bench/netload), ATTACH (default "1 10 50 100 200 500") and ATTACH_OTHER (default 100): containers on a network, and the
most of the other engine; LOOKUPS (default 20000); RANGE_ROUNDS (default 1).
"""
import json
import os
import shutil
import statistics
import subprocess
import time

from engines import processes, read

env = os.environ.get
NETLOAD = env("NETLOAD", os.path.join(os.getcwd(), "t/bench/netload"))
LOOKUPS = int(env("LOOKUPS", "20000"))
RANGE_ROUNDS = int(env("RANGE_ROUNDS", "1"))
PORTS = 1000
CASES = ("netstart", "connect", "range", "traffic", "names", "attach")


def at_most_more(limit):
    """A bar on what our figure has more than another one of ours, which is what the row shows."""
    return f"at most {limit:g} more", lambda ours, ratio: ours <= limit


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def inside(netns, *argv):
    return ["nsenter", f"--net={netns}", *argv]


def cpu(pids):
    """CPU time of all their threads so far, in us."""
    total = 0
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        total += sum(int((read(f"/proc/{pid}/task/{t}/schedstat").split() or [b"0"])[0]) for t in tasks)
    return total / 1e3


class Client:
    """A namespace with a wire to the engine's: 10.99.0.1 and fd99::1 are the engine's host, .2 and ::2 are here."""
    def __init__(self, e):
        self.name = f"{e.netns}-c"
        ip("netns", "add", self.name)
        ip("-n", e.netns, "link", "add", "wire", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        for netns, dev, n in ((e.netns, "wire", 1), (self.name, "eth0", 2)):
            ip("-n", netns, "addr", "add", f"10.99.0.{n}/24", "dev", dev)
            ip("-n", netns, "-6", "addr", "add", f"fd99::{n}/64", "dev", dev, "nodad")
            ip("-n", netns, "link", "set", dev, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def __enter__(self):
        return f"/run/netns/{self.name}"

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Cases:
    """What is mixed into the bench."""

    def add_network(self, name, *options):
        for e in self.engines:
            e.docker(self.cli, "network", "create", *options, name)

    def remove_network(self, name):
        for e in self.engines:
            e.docker(self.cli, "network", "rm", name)

    def one_start(self, e, network):
        names = self.containers(e, 1, ["sleep", "1000"], "ns", network)
        ms = 1e3 / self.start_all(e, names, 1)
        self.remove_all(e, names)
        return ms

    def case_netstart(self):
        """Starts through the API, one at a time; the kinds of network in turn."""
        self.add_network("startnet")
        networks = ("none", "bridge", "startnet")
        ms = {n: {e.name: [] for e in self.engines} for n in networks}
        for _ in range(self.rounds * 4):
            for n in networks:
                for e in self.engines:
                    ms[n][e.name].append(self.one_start(e, n))
        for n, title in zip(networks, ("--network none", "the default bridge", "a user network")):
            self.row(f"a start, {title}", "ms", ms[n])
        for n, title in zip(networks[1:], ("the default bridge", "a user network")):
            more = {k: [statistics.median(v) - statistics.median(ms["none"][k])] for k, v in ms[n].items()}
            self.row(f"a start: what {title} costs more than none", "ms", more, bar=at_most_more(10))
        self.remove_network("startnet")

    def case_connect(self):
        """A running container, to a second network and off it again."""
        self.add_network("second")
        for e in self.engines:
            e.docker(self.cli, "run", "-d", "--name", "cc", "busybox", "sleep", "1000")
        by_api = lambda e, what: self.clock(e.ask, "POST", f"/networks/second/{what}", {"Container": "cc"}) * 1e3
        by_cli = lambda e, what: self.clock(e.docker, self.cli, "network", what, "second", "cc") * 1e3
        for title, one in (("", by_api), (", through the CLI", by_cli)):
            ms = {w: {e.name: [] for e in self.engines} for w in ("connect", "disconnect")}
            for _ in range(self.rounds * 4):
                for e in self.engines:
                    for what in ms:
                        ms[what][e.name].append(one(e, what))
            for what in ms:
                self.row(f"network {what} of a running container{title}", "ms", ms[what], bar=None if title else self.times(5))
        for e in self.engines:
            e.docker(self.cli, "rm", "-f", "cc")
        self.remove_network("second")

    @staticmethod
    def beside(e):
        """Processes in the engine's own namespaces: its daemons and what they started, shims and containers not counted."""
        mine = os.stat(f"/run/netns/{e.netns}").st_ino
        found = [(p, comm) for p, (_, comm) in processes().items() if "shim" not in comm and not comm.startswith("runc")]
        def lives_there(pid):
            try:
                return os.stat(f"/proc/{pid}/ns/net").st_ino == mine
            except OSError:
                return False
        return sum(lives_there(p) for p, _ in found)

    def case_range(self):
        took, extra = ({e.name: [] for e in self.engines} for _ in range(2))
        for _ in range(RANGE_ROUNDS):
            for e in self.engines:
                # there is a published port before: dockerd-netd, which one port would start as well, is not one of the thousand's
                e.docker(self.cli, "run", "-d", "--name", "r1", "-p", "19999:1", "busybox", "sleep", "1000")
                before = self.beside(e)
                begin = time.monotonic()
                e.docker(self.cli, "run", "-d", "--name", "rr", "-p", f"20000-{20000 + PORTS - 1}:20000-{20000 + PORTS - 1}", "busybox", "sleep", "1000")
                spent = time.monotonic() - begin
                extra[e.name].append(self.beside(e) - before)
                took[e.name].append((spent + self.clock(e.docker, self.cli, "rm", "-f", "rr")) * 1e3)
                e.docker(self.cli, "rm", "-f", "r1")
        self.row(f"run -d -p of {PORTS} ports, and rm -f", "ms", took, bar=self.times(50))
        self.row(f"processes of {PORTS} ports", "", extra, digits=0, bar=self.at_most(0))

    def netload(self, netns, *args):
        out = subprocess.run(inside(netns, NETLOAD, *map(str, args)), check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return float(out[0])

    def case_traffic(self):
        """A server in a container on a network of both families, port 8000 published as 18000 on all addresses."""
        shutil.copy(NETLOAD, os.path.join(self.work, "netload"))
        self.add_network("both", "--ipv6", "--subnet", "10.98.0.0/24", "--subnet", "fd98::/64")
        clients = {e.name: Client(e) for e in self.engines}
        try:
            for e in self.engines:
                e.docker(self.cli, "run", "-d", "--name", "tt", "--network", "both", "-p", "18000:8000", "-v",
                         f"{self.work}/netload:/netload:ro", "busybox", "/netload", "serve", "8000")
            time.sleep(1)
            for title, far, host in (("another host, IPv4", True, "10.99.0.1"), ("another host, IPv6", True, "fd99::1"),
                                     ("localhost, IPv4", False, "127.0.0.1"), ("localhost, IPv6", False, "::1")):
                netns = lambda e: f"/run/netns/{clients[e.name].name if far else e.netns}"
                def measure(what, unit, digits, *args):
                    samples = {e.name: [] for e in self.engines}
                    for i in range(self.rounds): # each is the first in turn: bytes of a warm processor go faster
                        for e in self.engines[::1 if i % 2 else -1]:
                            samples[e.name].append(self.netload(netns(e), args[0], host, 18000, *args[1:]))
                    self.row(f"published port from {title}: {what}", unit, samples, higher=True, digits=digits, bar=self.times(1))
                measure("requests, a connection each", "per second", 0, "get", 4, 1, "new")
                measure("requests, 4 kept connections", "per second", 0, "get", 4, 1, "keep")
                measure("bytes, one connection", "GB/s", 2, "pull", 1, 1.5)
        finally:
            for e in self.engines:
                e.docker(self.cli, "rm", "-f", "tt")
                clients[e.name].__exit__()
        self.remove_network("both")

    # Names

    def lookups(self, e, containers, name, count, rate, how):
        """us of CPU of all of the engine's processes for one lookup; every container asks count times."""
        argv = [NETLOAD, "ask", "127.0.0.11", name, str(count), str(rate), how]
        pids = e.pids()
        before = cpu(pids)
        asking = [subprocess.Popen(inside(f"/proc/{c}/ns/net", *argv), stdout=subprocess.PIPE, text=True) for c in containers]
        answers = [p.communicate()[0].split() for p in asking]
        failed = sum(int(a[1]) for a in answers)
        if failed > count * len(containers) // 1000:
            raise RuntimeError(f"{e.name}: {failed} lookups of {name} failed")
        return (cpu(pids) - before) / count / len(containers)

    def case_names(self):
        """Containers beside each other on a user network ask for one of them, and for a name that a resolver of the bench knows."""
        self.add_network("named")
        clients = {e.name: Client(e) for e in self.engines}
        resolvers, inits = [], {}
        try:
            for e in self.engines:
                resolvers.append(subprocess.Popen(inside(f"/run/netns/{clients[e.name].name}", NETLOAD, "resolver", "10.99.0.2")))
                names = [f"nn{i}" for i in range(10)]
                for n in names:
                    e.docker(self.cli, "run", "-d", "--name", n, "--network", "named", "--dns", "10.99.0.2", "busybox", "sleep", "1000")
                inits[e.name] = e.output(self.cli, "inspect", "-f", "{{.State.Pid}}", *names).split()
            for what, name in (("a container's name", "nn3"), ("a forwarded name", "www.example.org")):
                for title, n, count, rate, how in (("one container, 100 a second", 1, 500, 100, "one"), ("10 containers, 100 a second each", 10, 500, 100, "one"),
                                                   ("one after the other", 1, LOOKUPS, 0, "one"), ("A and AAAA at once", 1, LOOKUPS // 2, 0, "pair")):
                    samples = self.each(lambda e: self.lookups(e, inits[e.name][:n], name, count, rate, how), 3)
                    self.row(f"CPU of a lookup of {what}: {title}", "us", samples, bar=self.times(10))
        finally:
            for p in resolvers:
                p.kill()
                p.wait()
            for e in self.engines:
                e.docker(self.cli, "rm", "-f", *(f"nn{i}" for i in range(10)))
                clients[e.name].__exit__()
        self.remove_network("named")

    # Growth

    def attached(self, e, names, upto, network):
        """A start there and one without a network, a connect and a disconnect where upto containers run on the network, ms."""
        more = self.containers(e, upto - len(names), ["sleep", "1000"], f"at{upto}_", network)
        self.start_all(e, more)
        names += more
        took = {"start": [], "start with --network none beside": [], "connect": [], "disconnect": []}
        for _ in range(self.rounds):
            took["start"].append(self.one_start(e, network))
            took["start with --network none beside"].append(self.one_start(e, "none"))
            for what in ("connect", "disconnect"):
                took[what].append(self.clock(e.ask, "POST", f"/networks/{network}/{what}", {"Container": "guest"}) * 1e3)
        return {what: statistics.median(ms) for what, ms in took.items()}

    def case_attach(self):
        """One engine after the other, so that neither bears the other's crowd."""
        steps = [int(n) for n in env("ATTACH", "1 10 50 100 200 500").split()]
        most = {"ours": max(steps), "other": int(env("ATTACH_OTHER", "100"))}
        self.add_network("crowd", "--subnet", "10.97.0.0/20")
        took = {}
        for e in self.engines:
            e.docker(self.cli, "run", "-d", "--name", "guest", "--network", "none", "busybox", "sleep", "1000")
            e.docker(self.cli, "network", "disconnect", "none", "guest")
            names = []
            for upto in (n for n in steps if n <= most[e.name]):
                for what, ms in self.attached(e, names, upto, "crowd").items():
                    took.setdefault((what, upto), {})[e.name] = [ms]
            self.remove_all(e, names + ["guest"])
        for (what, upto), ms in sorted(took.items(), key=lambda t: (not t[0][0].startswith("start"), t[0])):
            self.row(f"{what}{'' if 'beside' in what else ' on'} a network of {upto}", "ms", ms)
        self.remove_network("crowd")
