# SPDX-License-Identifier: LGPL-2.1-or-later
"""A world of the test's own: process, mount and network namespaces, a data-root, and the daemon in it. Process 1 of the
namespace is the test: it reaps, or leaves zombies, and whatever lives beside it and the daemon is a leak."""
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from registry import Registry

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
IMAGE_SIZE = 1 << 30


class Lost(Exception):
    """No whole answer: what was asked for may have happened or not."""


class Refused(Exception):
    """A whole answer that is no success."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("d", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    def __init__(self, path):
        self.path = path
        self.acked = 0

    def raw(self, method, path, body=None, ctype=None, timeout=60):
        if isinstance(body, dict):
            body, ctype = json.dumps(body).encode(), "application/json"
        con = UnixConnection(self.path, timeout)
        try:
            con.request(method, path, body, {"Content-Type": ctype} if ctype else {})
            answer = con.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise Lost(f"{method} {path}: {e!r}") from e
        finally:
            con.close()

    def call(self, method, path, body=None, ctype=None, timeout=60):
        """The body of a success that came whole; counted as acknowledged unless it only reads."""
        status, data = self.raw(method, path, body, ctype, timeout)
        if status >= 300 and status != 304:
            raise Refused(f"{method} {path}: {status} {data[:300].decode(errors='replace')}")
        if b'"errorDetail"' in data[-2000:] and not path.startswith("/images/get"):
            raise Refused(f"{method} {path}: {data[-300:].decode(errors='replace')}")
        if method != "GET":
            self.acked += 1
        return data

    def get(self, path, timeout=60):
        return json.loads(self.call("GET", path, timeout=timeout) or b"null")


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


def text_of(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True).stdout


class World:
    pool = "10.111.0.0/28"

    def __init__(self, mode):
        self.mode = mode
        self.builddir = os.environ.get("top_builddir", os.getcwd())
        self.dir = tempfile.mkdtemp(prefix="dkd-crash-", dir="/tmp")
        self.root, self.exec = self.dir + "/fs/root", self.dir + "/exec"
        self.sock = self.dir + "/docker.sock"
        self.cgroup = "dkd-crash-" + os.path.basename(self.dir)[-8:]
        self.daemon = None
        self.started = 0.0
        self.log_at = 0
        self.zombies = []
        os.chmod(self.dir, 0o755)
        for d in ("fs", "exec", "plugins"):
            os.mkdir(f"{self.dir}/{d}", 0o755)
        self.copy_plugins()
        if mode == "powercut":
            with open(self.dir + "/disk", "wb") as f:
                f.truncate(IMAGE_SIZE)
            run("mkfs.ext4", "-q", "-F", self.dir + "/disk")
            self.mount_disk()
        run("mount", "-t", "tmpfs", "exec", self.exec)
        run("ip", "link", "set", "lo", "up")
        self.client = Client(self.sock)
        self.registry = Registry()

    def copy_plugins(self):
        for kind in ("graph", "net", "volume", "authz", "log"):
            to = f"{self.dir}/plugins/{kind}"
            os.mkdir(to, 0o755)
            libs = f"{self.builddir}/plugins/{kind}/.libs"
            for so in os.listdir(libs) if os.path.isdir(libs) else []:
                if so.endswith(".so"):
                    shutil.copy(f"{libs}/{so}", to)

    def mount_disk(self):
        run("mount", "-o", "loop", self.dir + "/disk", self.dir + "/fs")

    # Processes

    def reap(self):
        """Takes note of all that ended, but the daemon's processes that are to stay zombies."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return

    def start(self, timeout=30):
        began = time.monotonic()
        self.started = time.time()
        with open(self.dir + "/log", "ab") as log:
            self.daemon = os.posix_spawn(f"{self.builddir}/dockerd", [
                "dockerd", "--config-file", self.dir + "/daemon.json", "--data-root", self.root, "--exec-root", self.exec + "/d",
                "--pidfile", self.exec + "/docker.pid", "-H", "unix://" + self.sock, "--plugin-dir", self.dir + "/plugins",
                "--bip", "10.111.0.1/24", "--fixed-cidr", self.pool, "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/" + self.cgroup,
            ], dict(os.environ), file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ], setpgroup=0)
        while time.monotonic() - began < timeout:
            try:
                if self.client.raw("GET", "/_ping", timeout=10)[1] == b"OK":
                    return time.monotonic() - began
            except Lost:
                pass
            if self.state_of(self.daemon) in (None, "Z"):
                raise SystemExit(f"the daemon does not start: {self.log_tail()}")
            time.sleep(0.004)
        raise SystemExit("the daemon does not answer")

    @staticmethod
    def state_of(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return None

    def log_tail(self, lines=15):
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as f:
            return "\n" + "".join(f.readlines()[-lines:])

    def log_new(self):
        """The lines since the last call."""
        with open(self.dir + "/log", "rb") as f:
            f.seek(self.log_at)
            data = f.read()
            self.log_at += len(data)
        return data.decode(errors="replace").splitlines()

    def kill(self, leave_zombie):
        """The daemon alone. A process 1 that does not reap leaves it as a zombie until settle()."""
        os.kill(self.daemon, signal.SIGKILL)
        if not leave_zombie:
            os.waitpid(self.daemon, 0)

    def check(self):
        """What dockerd --check says of the data-root, with the daemon at its end meanwhile; nothing when all is well."""
        os.kill(self.daemon, signal.SIGTERM)
        os.waitpid(self.daemon, 0)
        done = subprocess.run([f"{self.builddir}/dockerd", "--check", "--config-file", self.dir + "/daemon.json", "--data-root", self.root,
                               "--exec-root", self.exec + "/d", "--plugin-dir", self.dir + "/plugins"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.log_new()
        self.start()
        return [f"--check: {line}" for line in done.stdout.splitlines()] if done.returncode else []

    def power_cut(self):
        """The file system stops first, without what its log still holds; then everything ends."""
        fd = os.open(self.dir + "/fs", os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(fd)
        self.end_all()
        self.unmount(self.dir + "/")
        for link in self.links():
            if link != "lo":
                subprocess.run(["ip", "link", "del", link], stderr=subprocess.DEVNULL, check=False)
        run("nft", "flush", "ruleset")
        self.drop_cgroups()
        self.mount_disk()
        run("mount", "-t", "tmpfs", "exec", self.exec)

    def thaw(self):
        """What is paused does not die."""
        for d in self.cgroup_dirs():
            for file, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                try:
                    with open(f"{d}/{file}", "r+", encoding="ascii") as f:
                        f.write(text)
                except OSError:
                    pass

    def end_all(self):
        """Until nobody is left: as process 1, -1 is everybody else of the namespace."""
        while True:
            self.thaw()
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                self.reap()
                return
            self.reap()
            time.sleep(0.002)

    def unmount(self, below):
        for path in reversed(self.mounts(below)):
            subprocess.run(["umount", path], stderr=subprocess.DEVNULL, check=False)
        for path in reversed(self.mounts(below)):
            run("umount", "-l", path)

    @staticmethod
    def mounts(below):
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            return [p for p in (line.split()[4] for line in f) if p.startswith(below)]

    @staticmethod
    def links():
        return [name for _, name in socket.if_nameindex()]

    def cgroup_dirs(self):
        found = []
        for top in os.listdir("/sys/fs/cgroup") + [""]:
            base = os.path.join("/sys/fs/cgroup", top, self.cgroup)
            if os.path.isdir(base):
                found += [d for d, _, _ in os.walk(base, topdown=False)]
        return found

    def drop_cgroups(self):
        for d in self.cgroup_dirs():
            try:
                os.rmdir(d)
            except OSError:
                pass

    def close(self, keep):
        self.end_all()
        self.unmount(self.dir + "/")
        self.drop_cgroups()
        if keep:
            print(f"# kept: {self.dir}")
            if os.path.exists(self.dir + "/disk"):
                return
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
