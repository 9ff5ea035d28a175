# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two engines that a bench compares, each on a private data-root and socket, and what their processes weigh."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

# What belongs to an engine ("exe" is one that started itself again, to unpack); what runs inside its containers does not.
NAMES = ("dockerd", "containerd", "dockerd-shim", "containerd-shim", "docker-proxy", "docker-containe", "exe")


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def processes():
    """pid -> (parent, comm)"""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = read(f"/proc/{pid}/stat")
        if stat:
            comm, rest = stat[stat.index(b"(") + 1:].rsplit(b")", 1)
            found[int(pid)] = (int(rest.split()[1]), comm.decode(errors="replace"))
    return found


def pss(pid):
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0


class Engine:
    def __init__(self, name, program, work, extra):
        self.name, self.program, self.extra = name, program, extra
        self.work = os.path.join(work, name)
        self.netns = None
        self.sock = os.path.join(self.work, "docker.sock")
        self.daemon = None
        os.makedirs(os.path.join(self.work, "exec"), mode=0o755, exist_ok=True)
        with open(os.path.join(self.work, "daemon.json"), "w") as f:
            f.write("{}")

    def settle(self):
        """A network namespace of its own, whose docker0 no other engine or host has; state in memory, as below /run."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "bench", os.path.join(self.work, "exec")], check=True)
        self.netns = f"dkd-bench-{os.getpid()}-{self.name}"
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        subprocess.run(["ip", "-n", self.netns, "link", "set", "lo", "up"], check=True)

    def argv(self):
        w = self.work
        enter = ["nsenter", f"--net=/run/netns/{self.netns}"] if self.netns else []
        return enter + [self.program, "--config-file", f"{w}/daemon.json", "--data-root", f"{w}/root", "--exec-root", f"{w}/exec",
                "--pidfile", f"{w}/docker.pid", "-H", f"unix://{self.sock}"] + self.extra

    def start(self, limit=60):
        """Seconds from exec to the first answered /_ping."""
        with open(os.path.join(self.work, "log"), "ab") as log:
            begin = time.monotonic()
            self.daemon = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while time.monotonic() - begin < limit:
            if self.ping():
                return time.monotonic() - begin
            if self.daemon.poll() is not None:
                break
            time.sleep(0.0005)
        raise RuntimeError(f"{self.name} did not start: see {self.work}/log")

    def ping(self):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(self.sock)
            s.settimeout(10)
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
            return s.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
        finally:
            s.close()

    def stop(self, how=signal.SIGTERM):
        if self.daemon:
            self.daemon.send_signal(how)
            try:
                self.daemon.wait(60)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
            self.daemon = None

    def docker(self, cli, *args, **kw):
        kw.setdefault("stdout", subprocess.DEVNULL)
        return subprocess.run([cli, "-H", f"unix://{self.sock}", *args], check=True, **kw)

    def ask(self, method, path, body):
        """The answer's body, read to its end; the connection is not kept."""
        data = json.dumps(body).encode()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.sock)
            s.sendall(f"{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            answer = b""
            while more := s.recv(1 << 16):
                answer += more
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{self.name}: {method} {path}: {answer[:300]}")
        return rest

    def exec(self, container, *cmd):
        made = self.ask("POST", f"/containers/{container}/exec", {"AttachStdout": True, "AttachStderr": True, "Cmd": cmd})
        self.ask("POST", f"/exec/{json.loads(made)['Id']}/start", {"Detach": False, "Tty": False})

    def output(self, cli, *args):
        return self.docker(cli, *args, stdout=subprocess.PIPE, text=True).stdout.strip()

    def pids(self):
        """The daemon, its descendants, and shims and dockerd-netd, which left it: these name the private folder or the shim's socket in it."""
        all_ = processes()
        mine = {self.daemon.pid} if self.daemon else set()
        for pid, (_, comm) in all_.items():
            if ("shim" in comm or "netd" in comm) and self.work.encode() in read(f"/proc/{pid}/cmdline") + b" ".join(self.opened(pid)):
                mine.add(pid)
        grown = True
        while grown:
            grown = {p for p, (parent, comm) in all_.items() if parent in mine and p not in mine and self.counts(comm)}
            mine |= grown
        return mine

    @staticmethod
    def counts(comm):
        return comm.startswith(NAMES)

    @staticmethod
    def opened(pid):
        try:
            return [os.readlink(f"/proc/{pid}/fd/{fd}").encode() for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return []

    def pss(self):
        """kB over all of the engine's processes."""
        return sum(pss(p) for p in self.pids())

    def clean(self):
        """After a failure: what still runs is ours by its folder; then mounts, then files."""
        try:
            self.stop()
        finally:
            for pid, (_, comm) in processes().items():
                if self.counts(comm) and self.work.encode() in read(f"/proc/{pid}/cmdline") + b" ".join(self.opened(pid)):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
            points = [line.split()[4].decode() for line in read("/proc/self/mountinfo").splitlines()]
            for point in sorted((p for p in points if p.startswith(self.work + "/")), reverse=True):
                subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
            shutil.rmtree(self.work, ignore_errors=True)
            if self.netns:
                subprocess.run(["ip", "netns", "del", self.netns], stderr=subprocess.DEVNULL)


class Peak:
    """with Peak(engine) as p: ...; p.kb is the highest total PSS above where it began."""
    def __init__(self, engine):
        self.engine, self.kb = engine, 0

    def __enter__(self):
        self.idle = self.engine.pss()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.03):
            self.kb = max(self.kb, self.engine.pss() - self.idle)

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
