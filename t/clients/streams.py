# SPDX-License-Identifier: LGPL-2.1-or-later
"""Attachments and execs as bytes on the wire: streams.py SOCKET, against a daemon with the image busybox:latest. Prints TAP."""
import io
import json
import re
import socket
import sys
import tarfile
import time

sys.dont_write_bytecode = True
from checks import Unix, is_ as check, plan  # noqa: E402

SOCK = sys.argv[1]
PATIENCE = 120


def call(method, path, body=None):
    c = Unix(SOCK, PATIENCE)
    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, json.loads(data) if data.strip() else None


class Stream:
    """A connection that was taken over: what comes, by stream, or as it is."""

    def __init__(self, path, body=None, version=""):
        text = json.dumps(body) if body is not None else ""
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(PATIENCE)
        self.s.connect(SOCK)
        self.s.sendall(("POST %s%s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                        "Content-Length: %d\r\n\r\n%s" % (version, path, len(text), text)).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.s.recv(1) or b"\r\n\r\n"
        self.status = int(head.split()[1])
        self.kind = re.search(rb"(?i)content-type: *(\S*)", head)
        self.kind = self.kind and self.kind[1].decode().replace("application/vnd.docker.", "")
        self.data = b""

    def send(self, data):
        self.s.sendall(data)

    def end(self):
        self.s.shutdown(socket.SHUT_WR)

    def until(self, text):
        """Reads on until that has come, in however many frames: nothing here goes by time."""
        while text not in self.said():
            more = self.s.recv(65536)
            assert more, self.data
            self.data += more

    def said(self):
        if self.kind != "multiplexed-stream":
            return self.data
        text, rest = b"", self.data
        while len(rest) >= 8:
            size = int.from_bytes(rest[4:8], "big")
            text, rest = text + rest[8:8 + size], rest[8 + size:]
        return text

    def rest(self):
        while True:
            more = self.s.recv(65536)
            if not more:
                break
            self.data += more
        self.s.close()
        return self.data

    def streams(self):
        data, out = self.rest(), {}
        while data:
            size = int.from_bytes(data[4:8], "big")
            out[data[0]] = out.get(data[0], b"") + data[8:8 + size]
            data = data[8 + size:]
        return out


def create(cmd, start=True, **more):
    host = {"NetworkMode": "none"}
    status, answer = call("POST", "/containers/create", dict({"Image": "busybox", "Cmd": cmd, "HostConfig": host}, **more))
    assert status == 201, answer
    if start:
        assert call("POST", "/containers/%s/start" % answer["Id"])[0] == 204
    return answer["Id"]


def remove(cid):
    call("DELETE", "/containers/%s?force=1" % cid)


def state(cid):
    return call("GET", "/containers/%s/json" % cid)[1]["State"]["Status"]


def executed(cid, cmd, **more):
    status, answer = call("POST", "/containers/%s/exec" % cid, dict({"Cmd": cmd, "AttachStdout": True, "AttachStderr": True}, **more))
    assert status == 201, answer
    return answer["Id"]


def inspected(eid, *keys):
    """An exit is told behind the last byte."""
    by = time.time() + PATIENCE
    while call("GET", "/exec/%s/json" % eid)[1]["Running"] and time.time() < by:
        time.sleep(0.02)
    answer = call("GET", "/exec/%s/json" % eid)[1]
    return [answer[k] for k in keys]


def run(cid, cmd, says=None, **more):
    eid = executed(cid, cmd, **more)
    out = Stream("/exec/%s/start" % eid, says or {}).streams()
    return out, inspected(eid, "ExitCode")[0]


BOTH = ["sh", "-c", "echo o; echo e >&2; exit 3"]


def execs():
    cid = create(["sleep", "1000"], Env=["FROM=container"], WorkingDir="/etc")
    check(run(cid, BOTH), ({1: b"o\n", 2: b"e\n"}, 3), "an exec: both streams, and its code")
    check(run(cid, BOTH, AttachStderr=False), ({1: b"o\n"}, 3), "one stream")
    check(run(cid, BOTH, AttachStdout=False, AttachStderr=False), ({}, 3), "none")
    eid = executed(cid, ["cat"], AttachStdin=True)
    s = Stream("/exec/%s/start" % eid, {})
    check((s.status, s.kind), (101, "multiplexed-stream"), "the type of its stream")
    s.send(b"hello\n")
    s.until(b"hello\n")
    s.send(b"there")
    s.end()
    check((s.streams(), inspected(eid, "ExitCode")), ({1: b"hello\nthere"}, [0]), "stdin, to its end")
    s = Stream("/exec/%s/start" % executed(cid, ["cat"], AttachStdin=True), {}, "/v1.41")
    check(s.kind, "raw-stream", "... that old clients know")
    s.end()
    s.rest()
    for tty, says, what in (True, False, "frames"), (False, True, "none"):
        s = Stream("/exec/%s/start" % executed(cid, ["echo", "o"], Tty=tty), {"Tty": says})
        check((s.kind, s.rest()), ("raw-stream", b"o\n") if says else ("multiplexed-stream", b"\x01\0\0\0\0\0\0\x03o\r\n"),
              "a terminal %s, the start says %s: %s" % (tty, says, what))
    check(Stream("/exec/%s/start" % executed(cid, ["sh", "-c", "echo o; echo e >&2; stty size"], Tty=True),
                 {"Tty": True, "ConsoleSize": [41, 101]}).rest(), b"o\r\ne\r\n41 101\r\n", "a terminal and its size")
    eid = executed(cid, ["cat"], Tty=True, AttachStdin=True)
    s = Stream("/exec/%s/start" % eid, {"Tty": True})
    s.send(b"hi\n")
    s.until(b"hi\r\nhi\r\n")
    s.end()
    check((s.rest(), call("GET", "/exec/%s/json" % eid)[1]["Running"]), (b"hi\r\nhi\r\n", True), "a client's end leaves a terminal's process")
    s = Stream("/exec/%s/start" % executed(cid, ["sh", "-c", "sleep 0.5; echo late"], Tty=True), {"Tty": True})
    s.end()
    check(s.rest(), b"late\r\n", "but not where it has no stdin")
    for keys, typed in (None, b"\x10\x11"), ("ctrl-a,x", b"\x01x"):
        eid = executed(cid, ["cat"], Tty=True, AttachStdin=True, **({"DetachKeys": keys} if keys else {}))
        s = Stream("/exec/%s/start" % eid, {"Tty": True})
        s.send(b"q\n")
        s.until(b"q\r\nq\r\n")
        s.send(typed)
        check((s.rest(), call("GET", "/exec/%s/json" % eid)[1]["Running"]), (b"q\r\nq\r\n", True), "keys detach: %s" % (keys or "the default"))
    check(call("POST", "/containers/%s/exec" % cid, {"Cmd": ["true"], "DetachKeys": "x9"}),
          (400, {"message": "Invalid detach keys (x9) provided"}), "keys that are none")
    env, code = run(cid, ["sh", "-c", "echo $FROM $A $B; pwd; id -u"], Env=["A=1", "B=x=y", "FROM=exec"], WorkingDir="/tmp", User="1:2")
    check(env, {1: b"exec 1 x=y\n/tmp\n1\n"}, "environment, folder, user")
    check(run(cid, ["sh", "-c", "echo $FROM; pwd; id -u"])[0], {1: b"container\n/etc\n0\n"}, "... and the container's own")
    caps = ["grep", "CapBnd", "/proc/self/status"]
    check(run(cid, caps)[0] != run(cid, caps, Privileged=True)[0], True, "privileged is more")
    failed = b"OCI runtime exec failed: exec failed: unable to start container process: "
    check(run(cid, ["nosuch"]), ({1: failed + b'exec: "nosuch": executable file not found in $PATH: unknown\r\n'}, 127), "no such program")
    check(run(cid, ["/etc/passwd"]), ({1: failed + b'exec: "/etc/passwd": permission denied: unknown\r\n'}, 126), "one that is none")
    check(run(cid, ["true"], User="nosuch"), ({1: b"unable to find user nosuch: no matching entries in passwd file\r\n"}, 126), "no such user")
    check(run(cid, ["sh", "-c", "kill -9 $$"])[1], 137, "a signal's code")
    silent = ["sh", "-c", "exec >/log 2>&1; sleep 0.5; cat > /taken; exit 3"]
    eid = executed(cid, silent, AttachStdin=True)
    s = Stream("/exec/%s/start" % eid, {})
    time.sleep(0.2)  # so that both outputs are closed by then
    s.send(b"typed" * 100000)
    s.end()
    check((s.streams(), call("GET", "/exec/%s/json" % eid)[1]["ExitCode"], run(cid, ["wc", "-c", "/taken"])[0]), ({}, 3, {1: b"500000 /taken\n"}),
          "a process without an output takes its stdin, and its stream lasts as long as it")
    talker = ["sh", "-c", "head -c 10000000 /dev/zero & wc -c > /taken; wait; cat /taken"]
    s = Stream("/exec/%s/start" % executed(cid, talker, AttachStdin=True), {})
    time.sleep(1)  # so that the output is stuck by then
    s.send(b"x" * 5000000)
    s.end()
    out = s.streams()
    check((len(out[1]), out[1][-8:]), (10000008, b"5000000\n"), "input does not wait behind output that nobody reads")
    fields(cid)
    remove(cid)


def fields(cid):
    eid = executed(cid, ["sh", "-c", "exit 4"], User="1", Privileged=True, AttachStdin=True, Tty=True, DetachKeys="a")
    _, e = call("GET", "/exec/%s/json" % eid)
    check({k: e[k] for k in e if k != "ID"},
          {"DetachKeys": "YQ==", "Running": False, "ExitCode": None, "OpenStdin": True, "OpenStdout": True, "OpenStderr": True, "CanRemove": False, "ContainerID": cid,
           "Pid": 0, "ProcessConfig": {"tty": True, "entrypoint": "sh", "arguments": ["-c", "exit 4"], "privileged": True, "user": "1"}},
          "what inspect says before the start")
    check(call("POST", "/exec/%s/start" % eid, {"Detach": True}), (200, None), "started without a stream")
    code, pid = inspected(eid, "ExitCode", "Pid")
    check((code, pid > 1), (4, True), "and after it")
    check(call("POST", "/exec/%s/start" % eid, {"Detach": True}), (409, {"message": "Error: Exec command %s has already run" % eid}), "once only")
    check([call("GET", "/exec/%s/json" % executed(cid, ["true"], **keys))[1]["DetachKeys"] for keys in ({}, {"DetachKeys": "ctrl-p,ctrl-q"})],
          ["", "EBE="], "keys to detach with are shown as bytes")
    check(call("POST", "/exec/%s/start" % executed(cid, ["nosuch"]), {"Detach": True})[0], 400, "a start that fails, without a stream")
    eid = executed(cid, ["sh", "-c", "while [ ! -e /sized ]; do usleep 20000; done; stty size"], Tty=True)
    s = Stream("/exec/%s/start" % eid, {"Tty": True})
    by = time.time() + PATIENCE
    while not call("GET", "/exec/%s/json" % eid)[1]["Pid"] and time.time() < by:
        time.sleep(0.02)
    check(call("GET", "/containers/%s/json" % cid)[1]["ExecIDs"].count(eid), 1, "the container lists it")
    check([call("POST", "/exec/%s/resize%s" % (eid, q))[0] for q in ("?h=33&w=77", "", "?h=1", "?h=x&w=1")], [200, 400, 400, 400], "resize")
    check(call("POST", "/exec/%s/start" % eid, {"Detach": True}), (409, {"message": "Error: Exec command %s is already running" % eid}), "nor while it runs")
    run(cid, ["touch", "/sized"])
    check(s.rest(), b"33 77\r\n", "has its effect")
    check([call(*x)[0] for x in (("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}), ("POST", "/exec/nosuch/start", {}), ("GET", "/exec/nosuch/json"),
                                 ("POST", "/exec/nosuch/resize?h=1&w=1"), ("POST", "/containers/%s/exec" % cid, {"Cmd": []}))], [404] * 4 + [400], "errors")
    eid, ran = executed(cid, ["true"]), executed(cid, ["sleep", "1000"])
    call("POST", "/containers/%s/pause" % cid)
    check((call("POST", "/containers/%s/exec" % cid, {"Cmd": ["true"]})[0], call("POST", "/exec/%s/start" % eid, {"Detach": True})[0]), (409, 409), "paused")
    call("POST", "/containers/%s/unpause" % cid)
    call("POST", "/exec/%s/start" % ran, {"Detach": True})
    call("POST", "/containers/%s/kill" % cid)
    call("POST", "/containers/%s/wait" % cid)
    gone = (404, {"message": "No such exec instance: " + eid})
    check((call("GET", "/exec/%s/json" % eid), call("POST", "/exec/%s/start" % eid, {"Detach": True})), (gone, gone), "what nobody started goes with the run")
    check((call("GET", "/exec/%s/json" % ran)[1]["Running"], call("GET", "/containers/%s/json" % cid)[1]["ExecIDs"]), (False, None), "what ran is told of")
    check(call("POST", "/containers/%s/exec" % cid, {"Cmd": ["true"]})[0], 409, "stopped")


ALL = "stream=1&stdin=1&stdout=1&stderr=1"


def attach(cid, query=ALL):
    return Stream("/containers/%s/attach?%s" % (cid, query))


def logged(cid):
    """What an exited container wrote to /log."""
    c = Unix(SOCK, PATIENCE)
    c.request("GET", "/containers/%s/archive?path=/log" % cid)
    data = c.getresponse().read()
    c.close()
    return tarfile.open(fileobj=io.BytesIO(data)).extractfile("log").read()


def before_the_start():
    for tty in False, True:
        for half in False, True:
            cid = create(["sh", "-c", "exec 2>&1; read x; echo $x > /log"], start=False, OpenStdin=True, StdinOnce=True, Tty=tty)
            s = attach(cid)
            s.send(b"typed\n")
            if half:
                s.end()
            time.sleep(0.2)
            s.s.close()
            time.sleep(0.2)
            call("POST", "/containers/%s/start" % cid)
            call("POST", "/containers/%s/wait" % cid)
            check(logged(cid), b"typed\n", "what was sent before the start by one who then went%s%s" % (", by halves" if half else "", ", a terminal" if tty else ""))
            remove(cid)
    cid = create(["cat"], start=False, OpenStdin=True, StdinOnce=True)
    s = attach(cid)
    s.end()
    time.sleep(0.2)
    call("POST", "/containers/%s/start" % cid)
    check(s.streams(), {}, "an end of stdin before the start")
    remove(cid)
    for what, how in ("keys detach", lambda s: s.send(b"\x10\x11")), ("a client's end ends its connection", lambda s: s.end()):
        cid = create(["cat"], start=False, OpenStdin=True, Tty=True)
        s = attach(cid)
        how(s)
        check((s.rest(), state(cid)), (b"", "created"), what + " before the start, too")
        remove(cid)


def attachments():
    cid = create(["sh", "-c", "echo o; echo e >&2; exit 3"], start=False)
    s = attach(cid)
    call("POST", "/containers/%s/start" % cid)
    check((s.status, s.kind, s.streams()), (101, "multiplexed-stream", {1: b"o\n", 2: b"e\n"}), "attached before the start")
    check(attach(cid, "logs=1&stdout=1").streams(), {1: b"o\n"}, "the log alone, of one that has ended")
    check(attach(cid, "logs=1&stdin=1").streams(), {}, "of no stream")
    remove(cid)

    cid = create(["sh", "-c", "cat; echo end"], OpenStdin=True, StdinOnce=True)
    s = attach(cid)
    s.send(b"hello\n")
    s.until(b"hello\n")
    s.end()
    check(s.streams(), {1: b"hello\nend\n"}, "stdin once: its end is the container's")
    remove(cid)
    cid = create(["cat"], OpenStdin=True, StdinOnce=True)
    s = attach(cid)
    s.send(b"x\n")
    s.until(b"x\n")
    s.s.close()
    check(call("POST", "/containers/%s/wait" % cid)[1]["StatusCode"], 0, "so is a client that goes")
    remove(cid)

    cid = create(["sh", "-c", "exec >/log 2>&1; sleep 0.5; cat; exit 4"], start=False, OpenStdin=True, StdinOnce=True)
    s = attach(cid)
    call("POST", "/containers/%s/start" % cid)
    time.sleep(0.2)
    s.send(b"typed")
    s.end()
    check((s.streams(), call("POST", "/containers/%s/wait" % cid)[1]["StatusCode"], logged(cid)), ({}, 4, b"typed"), "so has one without an output its stdin")
    remove(cid)
    before_the_start()

    for tty in False, True:
        cid = create(["sh", "-c", "stty -echo 2>/dev/null; echo ready; exec cat"], OpenStdin=True, Tty=tty)
        nl, what = b"\r\n" if tty else b"\n", "a terminal" if tty else "stdin that stays"
        first = attach(cid, ALL + "&logs=1")
        first.until(b"ready" + nl)
        first.send(b"one\n")
        first.until(b"one" + nl)
        first.end()
        check((first.rest()[-4 - tty:], state(cid)), (b"one" + nl, "running"), what + ": a client's end ends its connection only")
        first, second = attach(cid), attach(cid, "stream=1&stdout=1")
        second.end()
        first.send(b"two\n")
        for s in first, second:
            s.until(b"two" + nl)
        check(True, True, "two clients see the same, one without stdin")
        first.s.close()
        second.s.close()
        third = attach(cid, ALL + "&detachKeys=a,ctrl-b,c")
        third.send(b"ab\na\x02x\n")
        third.until(b"a\x02x" + nl)
        third.send(b"a\x02")
        third.send(b"c")
        if tty:
            check((third.rest(), state(cid)), (b"ab\r\na\x02x\r\n", "running"), "keys of a client's own detach, parts of them are input")
        else:
            third.send(b"\n")
            third.until(b"a\x02c\n")
            check(True, True, "without a terminal keys are input")
            third.s.close()
        remove(cid)

    cid = create(["sleep", "1000"])
    for q in "stream=1", "stream=1&stdin=1", "stdout=1", "":
        check(attach(cid, q).rest(), b"", "nothing asked for: over at once (%s)" % q)
    words = {400: b"Invalid detach keys (x9) provided\r\n", 404: b"No such container: nosuch\r\n",
             409: b"container named is paused, unpause the container before attach\r\n"}
    call("POST", "/containers/%s/rename?name=named" % cid)
    for who, q, status in (cid, "stream=1&stdout=1&detachKeys=x9", 400), ("nosuch", ALL, 404), ("named", "stream=1&stdout=1", 409):
        if status == 409:
            call("POST", "/containers/%s/pause" % cid)
        s = attach(who, q)
        check((s.status, s.kind, s.rest()), (status, "raw-stream", words[status]), "refused with %d, in plain text as by Docker" % status)
    call("POST", "/containers/%s/unpause" % cid)
    s = attach(cid, "stream=1&stdout=1")
    check([call("POST", "/containers/%s/resize%s" % (cid, q))[0] for q in ("?h=1", "?w=1", "", "?h=x&w=1")], [400] * 4, "resize without a size")
    remove(cid)
    check((s.streams(), attach(cid).status), ({}, 404), "over when the container is removed")
    cid = create(["sh", "-c", "sleep 0.5; echo late"], start=False)
    s = attach(cid)
    s.end()
    call("POST", "/containers/%s/start" % cid)
    check(s.streams(), {1: b"late\n"}, "stdin where there is none: its end is nothing")
    remove(cid)


execs()
attachments()
sys.exit(plan())
