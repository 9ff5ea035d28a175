# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies, queries and paths with faults in them, drawn from seeds and from the official schemas where they are: mutate.py SOCKET PID RUNS SEED [FOLDER].

Prints TAP. No answer may be a 5xx (but 501, which refuses in words), each comes in time, and the daemon neither ends nor grows.
MUTATE_RSS=0 leaves the last out (sanitizers keep what is freed). The image busybox:latest and a container "probe" are there."""
import copy
import http.client
import json
import os
import random
import socket
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
from checks import ok, plan, small  # noqa: E402
from faults import DEEP, NUMBERS, TEXTS, Raw, dump, rss, unreached  # noqa: E402

SOCK, PID, RUNS, SEED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
FOLDER = sys.argv[5] if len(sys.argv) > 5 else ""
rnd = random.Random(SEED)


class Conn(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(SOCK)


kept = None


def call(method, path, body=None, kind="application/json"):
    """Status and text; 0 when the daemon gave none. A kept connection may just have been closed: then once more."""
    global kept
    for fresh in (False, True):
        if fresh or kept is None:
            kept = Conn("d")
        try:
            kept.putrequest(method, path, skip_accept_encoding=True)
            if body is not None:
                kept.putheader("Content-Type", kind)
                kept.putheader("Content-Length", str(len(body)))
            kept.endheaders()
            try:
                if body:
                    kept.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before its end; the answer is there
            r = kept.getresponse()
            text = r.read()
            if r.will_close:
                kept.close()
                kept = None
            return r.status, text.decode("utf8", "replace")
        except (OSError, http.client.HTTPException) as e:
            kept.close()
            kept = None
            if fresh:
                return 0, repr(e)
    return 0, ""


CONFIG = {
    "Hostname": "h", "Domainname": "d", "User": "1:1", "AttachStdin": False, "AttachStdout": True, "Tty": False, "OpenStdin": False,
    "StdinOnce": False, "ExposedPorts": {"80/tcp": {}}, "Env": ["A=1", "B"], "Cmd": ["true"], "Entrypoint": ["/bin/sh", "-c"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 1000000000, "StartPeriod": 0, "Retries": 3},
    "Image": "busybox", "Volumes": {"/v": {}}, "WorkingDir": "/w", "NetworkDisabled": False, "OnBuild": [], "Labels": {"l": "v"},
    "StopSignal": "SIGTERM", "StopTimeout": 1, "Shell": ["/bin/sh"],
}
HOST = {
    "Binds": ["vol:/b:ro"], "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "NetworkMode": "none",
    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080-8090"}]}, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}, "AutoRemove": False, "VolumeDriver": "local",
    "VolumesFrom": [], "CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN"], "CgroupnsMode": "private", "Dns": ["1.1.1.1"], "DnsOptions": [], "DnsSearch": [],
    "ExtraHosts": ["a:1.2.3.4"], "GroupAdd": ["5"], "IpcMode": "private", "Cgroup": "", "Links": [], "OomScoreAdj": 10, "PidMode": "",
    "Privileged": False, "PublishAllPorts": False, "ReadonlyRootfs": True, "SecurityOpt": ["no-new-privileges"], "Tmpfs": {"/t": "size=1m"}, "UTSMode": "",
    "UsernsMode": "", "ShmSize": 1048576, "Sysctls": {"net.ipv4.ip_forward": "1"}, "Runtime": "runc", "ConsoleSize": [24, 80], "Isolation": "",
    "CpuShares": 512, "Memory": 67108864, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "CpuPeriod": 100000,
    "CpuQuota": 50000, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "0", "CpusetMems": "0", "Devices": [{"PathOnHost": "/dev/null",
    "PathInContainer": "/dev/n", "CgroupPermissions": "r"}], "DeviceCgroupRules": ["c 1:3 r"], "DeviceRequests": [], "MemoryReservation": 0,
    "MemorySwap": 67108864, "MemorySwappiness": 50, "OomKillDisable": False, "PidsLimit": 10, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
    "Mounts": [{"Type": "tmpfs", "Target": "/m", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 511}},
               {"Type": "volume", "Source": "vol2", "Target": "/m2", "ReadOnly": True, "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}}}],
    "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"], "Init": True, "Annotations": {"a": "b"},
}
NET = {"EndpointsConfig": {"none": {"IPAMConfig": {}, "Aliases": [], "Links": [], "DriverOpts": {"k": "v"}}}}
SEEDS = [
    ("POST", "/containers/create?name=mm", dict(CONFIG, HostConfig=HOST, NetworkingConfig=NET)),
    ("POST", "/containers/create?name=mm", {"Image": "busybox", "Cmd": "true", "HostConfig": {"NetworkMode": "none", "Memory": 1 << 26}}),
    ("POST", "/containers/probe/update", {"Memory": 67108864, "CpuShares": 100, "PidsLimit": 5, "RestartPolicy": {"Name": "no"}, "CpusetCpus": "0"}),
    ("POST", "/containers/probe/exec", {"AttachStdout": True, "Cmd": ["true"], "Env": ["A=1"], "User": "1", "WorkingDir": "/", "Tty": False,
                                        "Privileged": False, "DetachKeys": "ctrl-p", "ConsoleSize": [1, 1]}),
    ("POST", "/exec/nosuch/start", {"Detach": True, "Tty": False, "ConsoleSize": [1, 1]}),
    ("POST", "/commit?container=probe&repo=mm", dict(CONFIG)),
    ("POST", "/volumes/create", {"Name": "mm", "Driver": "local", "DriverOpts": {"o": "size=1m", "type": "tmpfs", "device": "tmpfs"}, "Labels": {"a": "b"}}),
    ("POST", "/networks/create", {"Name": "mm", "Driver": "bridge", "CheckDuplicate": True, "Internal": True, "Attachable": False, "Ingress": False,
                                  "EnableIPv6": False, "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.0/25",
                                  "Gateway": "10.9.0.1", "AuxiliaryAddresses": {"a": "10.9.0.9"}}], "Options": {"x": "y"}}, "Options": {"a": "b"},
                                  "Labels": {"l": "v"}}),
    ("POST", "/networks/none/connect", {"Container": "probe", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Aliases": ["x"]}}),
    ("POST", "/networks/none/disconnect", {"Container": "probe", "Force": True}),
    ("POST", "/networks/mm/connect", {"Container": "probe", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.5", "IPv6Address": "fd00::5",
                                      "LinkLocalIPs": ["169.254.1.1"]}, "Aliases": ["x"], "Links": ["probe:y"], "MacAddress": "02:42:0a:09:00:05",
                                      "DriverOpts": {"k": "v"}, "GwPriority": 5}}),
    ("POST", "/networks/mm/disconnect", {"Container": "probe", "Force": False}),
    ("POST", "/auth", {"username": "u", "password": "p", "email": "e", "serveraddress": "http://127.0.0.1:1"}),
]
FILTERS = ["label", "label!", "name", "id", "status", "driver", "type", "dangling", "before", "since", "until", "ancestor", "reference", "event", "exited",
           "health", "network", "volume", "scope", "is-task", "publish", "expose", "container", "image", "nosuch"]
READS = ["/containers/json", "/images/json", "/volumes", "/networks", "/containers/probe/json", "/containers/probe/logs", "/containers/probe/top",
         "/containers/probe/changes", "/images/busybox/json", "/images/busybox/history", "/system/df", "/info", "/version", "/images/search",
         "/containers/probe/archive", "/distribution/busybox/json", "/plugins", "/containers/probe/stats"]
ACTIONS = ["/containers/prune", "/volumes/prune", "/networks/prune", "/images/prune", "/containers/probe/rename", "/containers/probe/resize",
           "/containers/probe/kill", "/containers/probe/stop", "/containers/probe/wait", "/images/busybox/tag", "/containers/probe/pause",
           "/exec/nosuch/resize", "/images/create", "/images/nosuch/push", "/build", "/containers/probe/attach"]
PARAMS = {"filters": None, "limit": "1", "all": "1", "size": "1", "since": "1", "until": "1", "tail": "1", "stdout": "1", "stderr": "1", "timestamps": "1",
          "ps_args": "-ef", "path": "/etc", "signal": "TERM", "t": "1", "h": "1", "w": "1", "name": "n", "condition": "removed", "repo": "r", "tag": "t",
          "stream": "0", "one-shot": "1", "fromImage": "x", "fromSrc": "x", "platform": "linux/amd64", "digests": "1", "shared-size": "1", "type": "image",
          "term": "x", "verbose": "1", "scope": "local", "noOverwriteDirNonDir": "1", "force": "1", "v": "1", "message": "m", "detachKeys": "ctrl-a"}


def places(v, at=()):
    yield at
    if isinstance(v, dict):
        for k in v:
            yield from places(v[k], at + (k,))
    elif isinstance(v, list):
        for i in range(len(v)):
            yield from places(v[i], at + (i,))


def put(v, at, new):
    if not at:
        return new
    v = copy.deepcopy(v)
    x = v
    for k in at[:-1]:
        x = x[k]
    x[at[-1]] = new
    return v


def get(v, at):
    for k in at:
        v = v[k]
    return v


def nonsense():
    n = rnd.randrange(16)
    if n < 4:
        return rnd.choice(TEXTS)
    if n < 7:
        return Raw(rnd.choice(NUMBERS))
    return [None, True, False, [], {}, [None], {"a": None}, Raw(DEEP), [1] * 3000, Raw("\"\xff\xfe\xc0\x80\""), Raw("\"\\ud800\\u0000\""),
            {"k%d" % i: {} for i in range(500)}, ["x"] * 2000, Raw("{\"a\":" * 60 + "1" + "}" * 60), Raw(""), Raw("'x'")][rnd.randrange(16)]


def mutate_json(v):
    for _ in range(rnd.choice((1, 1, 1, 2, 4))):
        at = rnd.choice(list(places(v)))
        old, n = get(v, at), rnd.randrange(10)
        if isinstance(old, dict) and n < 3 and old:
            new = dict(old)
            k = rnd.choice(list(new))
            if n == 0:
                del new[k]
            elif n == 1:
                new[rnd.choice((k.lower(), k.upper(), k + "x", k + "\0", "", "__proto__"))] = new[k]
            else:
                new = Raw("{" + ",".join("%s:%s" % (json.dumps(a), dump(b).decode("latin1")) for a, b in list(new.items()) + [(k, new[k])]) + "}")
                v = put(v, at, new)
                return v  # what lies within can be reached no more
        elif isinstance(old, list) and n < 2:
            new = list(old) * rnd.choice((0, 2, 300)) + [nonsense()]
        else:
            new = nonsense()
        v = put(v, at, new)
        if isinstance(v, Raw):
            return v
    return v


def mutate_text(text):
    n = rnd.randrange(24)
    if n == 0:
        return text[:rnd.randrange(len(text) + 1)]
    if n == 1:
        return text + rnd.choice((b"x", b"\0", b"{}", b"]", b" \n"))
    if n == 2 and text:
        at = rnd.randrange(len(text))
        return text[:at] + bytes([rnd.randrange(256)]) + text[at + 1:]
    if n == 3:
        return rnd.choice((b"\xef\xbb\xbf" + text, text.decode("latin1").encode("utf-16"), b"/**/" + text, text.replace(b'"', b"'"), b"", b" " * 100000 + text))
    return text


def from_schema(doc, s, depth=0):
    if "$ref" in s:
        s = doc["definitions"].get(s["$ref"].split("/")[-1], {})
    if depth > 6:
        return None
    if "allOf" in s:
        out = {}
        for x in s["allOf"]:
            got = from_schema(doc, x, depth)
            out.update(got if isinstance(got, dict) else {})
        return out
    if "properties" in s:
        return {k: from_schema(doc, x, depth + 1) for k, x in s["properties"].items()}
    kind = s.get("type")
    if kind == "object":
        extra = s.get("additionalProperties")
        return {"k": from_schema(doc, extra, depth + 1)} if isinstance(extra, dict) else {}
    if kind == "array":
        return [from_schema(doc, s.get("items", {}), depth + 1)]
    if "enum" in s:
        return rnd.choice(s["enum"])
    return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}.get(kind)


def schema_seeds():
    """Every operation of the newest schema that takes JSON."""
    if not FOLDER:
        return []
    try:
        import yaml
        name = sorted(x for x in os.listdir(FOLDER) if x.endswith(".yaml"))[-1]
        with open(os.path.join(FOLDER, name), encoding="utf8") as f:
            doc = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ImportError, OSError, IndexError):
        return []
    out = []
    for path, methods in doc["paths"].items():
        for method, op in methods.items():
            for p in op.get("parameters", []) if isinstance(op, dict) else []:
                if p.get("in") == "body" and not p.get("schema", {}).get("format") == "binary":
                    value = from_schema(doc, p["schema"])
                    if isinstance(value, (dict, list)):
                        if path == "/containers/create":
                            value.update(Image="busybox")
                        where = path.replace("{id}", "probe").replace("{name}", "probe").replace("{id:.*}", "probe")
                        out.append((method.upper(), where, value))
    return out


def query():
    out = []
    for name in rnd.sample(sorted(PARAMS), rnd.randrange(1, 4)):
        value = PARAMS[name]
        if name == "filters":
            value = {k: rnd.choice((["x"], {"x": True}, ["true"], ["24h"], [])) for k in rnd.sample(FILTERS, rnd.randrange(3))}
            value = mutate_text(dump(mutate_json(value) if rnd.random() < .7 else value))
        elif rnd.random() < .7:
            value = rnd.choice(TEXTS[:2] + TEXTS[3:] + NUMBERS).encode("utf8", "surrogatepass")
        out.append(name + "=" + urllib.parse.quote(value))
    return "&".join(out)[:30000]


def one(seeds):
    n = rnd.randrange(10)
    if n < 7:
        method, path, value = rnd.choice(seeds)
        return method, path, mutate_text(dump(mutate_json(value)))
    path = rnd.choice(READS + ACTIONS)
    if rnd.random() < .2:
        parts = path.split("/")
        parts[rnd.randrange(1, len(parts))] = urllib.parse.quote(rnd.choice(TEXTS[3:]).encode("utf8", "surrogatepass"))
        path = "/".join(parts)
    path = rnd.choice(("", "", "/v1.41", "/v1.24", "/v1.%s" % rnd.choice(NUMBERS))) + path + "?" + query()
    if path.split("?")[0].endswith("/stats"):
        path += "&stream=0"
    if path.split("?")[0].endswith(("/wait", "/attach")):
        path = path.replace("condition=", "condition=x")
    return ("GET" if path.split("?")[0].split("/")[-1] not in [x.split("/")[-1] for x in ACTIONS] else "POST"), path, None


def pointers():
    """A wrong type at any place of a body is answered with that place."""
    missed = []
    for method, path, value in SEEDS:
        if "/nosuch" in path or call(method, path, dump(value))[0] == 501:
            continue
        clean()
        for at in places(value):
            want = "/" + "/".join(str(x) for x in at)
            wrong = Raw("7") if isinstance(get(value, at), (list, str)) else Raw("[[]]")
            status, text = call(method, path, dump(put(value, at, wrong)))
            if path.startswith("/containers/create") and status == 201:
                call("DELETE", "/containers/mm?force=1")
            # keys of maps and members that no driver here reads are as free as their values
            if status != 400 or "invalid JSON: " + want + ":" not in text:
                missed.append((path, want, status, text[:120]))
    ok(not missed, "a wrong type is answered with its place (%d places)" % sum(len(list(places(x[2]))) for x in SEEDS), missed)


def clean():
    for c in json.loads(call("GET", "/containers/json?all=1")[1]):
        if "/probe" not in c["Names"]:
            call("DELETE", "/containers/%s?force=1&v=1" % c["Id"])
    for v in json.loads(call("GET", "/volumes")[1])["Volumes"] or []:
        call("DELETE", "/volumes/" + urllib.parse.quote(v["Name"], safe=""))
    call("POST", "/networks/prune")
    for i in json.loads(call("GET", "/images/json?all=1")[1]):
        for t in (i["RepoTags"] or []) + [i["Id"]]:
            if t != "busybox:latest" and "busybox:latest" not in (i["RepoTags"] or []) or (t not in ("busybox:latest", i["Id"])):
                call("DELETE", "/images/%s" % urllib.parse.quote(t, safe=""))


def main():
    seeds = SEEDS * 3 + [x for x in schema_seeds() if not x[1].startswith(("/swarm", "/services", "/nodes", "/secrets", "/configs", "/plugins", "/session"))]
    pointers()
    faults, seen, slow = [], {}, []
    warm = 0
    for i in range(RUNS):
        if i == min(RUNS // 2, 2000):
            clean()
            warm = rss(PID)
        method, path, body = one(seeds)
        start = time.monotonic()
        status, text = call(method, path, body)
        took = time.monotonic() - start
        seen[status] = seen.get(status, 0) + 1
        # 503 is how Docker says that there is no swarm
        if status == 0 or (status >= 500 and status != 501 and not (status == 503 and "swarm" in text) and not unreached(status, text)):
            faults.append((status, method, path[:300], (body or b"")[:300], text[:200]))
            if not os.path.exists("/proc/%d" % PID):
                break
        if took > 5:
            slow.append((took, method, path[:300], (body or b"")[:300]))
        if status == 501 and '"message"' not in text:
            faults.append(("501 without words", path[:300]))
        if i % 50 == 0 or (status == 201 and path.startswith("/containers/create")):
            clean()
    print("# %s" % ", ".join("%d: %d" % x for x in sorted(seen.items())))
    ok(not faults, "%d requests with faults: no answer is a 5xx" % RUNS, faults[:8])
    ok(not slow, "and all are answered within 5 s", slow[:4])
    clean()
    grown = rss(PID) - warm
    if os.environ.get("MUTATE_RSS") != "0":
        print("# %d KiB" % grown)
        small(grown <= 1024, "no more than 1 MiB of memory grew after the first", "%d KiB" % grown)
    ok(call("GET", "/_ping") == (200, "OK"), "the daemon is well")
    return plan()


sys.exit(main())
