#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sends requests and validates each answer against the official schema: swagger.py SOCKET FOLDER VERSION... Prints TAP.

A slice, map or pointer of the reference implementation may be null wherever the schema says array, object or a reference.
Operations that this build refuses (501 with words) count as skipped, with their number."""
import http.client
import json
import os
import socket
import sys
import time
import warnings

import yaml

warnings.simplefilter("ignore", DeprecationWarning)
import jsonschema  # noqa: E402

count = failed = 0


def report(good, what, notes=()):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what)
    for n in notes:
        print("#", n)
    sys.stdout.flush()


def skip(what, why):
    global count
    count += 1
    print("ok", count, "-", what, "# SKIP", why, flush=True)


# What the reference implementation sends as well, although its schema does not say so.
BEYOND = {"/events": (".status", ".id", ".from"), "/system/df": (".BuilderSize",)}


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Spec:
    def __init__(self, folder, version):
        with open(os.path.join(folder, f"v{version}.yaml"), encoding="utf-8") as f:
            self.doc = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.definitions = {k: self.schema(v) for k, v in self.doc["definitions"].items()}

    def schema(self, s):
        """Swagger 2.0 schema object to JSON schema draft 4."""
        if isinstance(s, list):
            return [self.schema(x) for x in s]
        if not isinstance(s, dict):
            return s
        if "$ref" in s:
            return {"anyOf": [{"$ref": s["$ref"]}, {"type": "null"}]}
        out = {}
        for key, value in s.items():
            if key == "properties":
                out[key] = {k: self.schema(v) for k, v in value.items()}
            elif key in ("items", "allOf", "additionalProperties"):
                out[key] = self.schema(value)
            elif key in ("type", "enum", "required", "minimum", "maximum", "minItems", "maxItems", "pattern"):
                out[key] = value
        nullable = s.get("x-nullable") or s.get("x-omitempty") or s.get("type") in ("array", "object")
        nullable = nullable or (s.get("type") == "integer" and s.get("maximum") == 100)
        if nullable and isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
            if "enum" in out:
                out["enum"] = list(out["enum"]) + [None]
        return out

    def response(self, method, template, status):
        op = self.doc["paths"].get(template, {}).get(method.lower())
        if op is None:
            return None, "the operation is not in the schema"
        r = op["responses"].get(str(status), op["responses"].get(status))
        if r is None:
            return None, f"status {status} is not documented"
        return r.get("schema"), None

    def unknown(self, s, value, where=""):
        """Members that the schema does not know."""
        while s and "$ref" in s:
            s = self.doc["definitions"][s["$ref"].rsplit("/", 1)[1]]
        if not s:
            return []
        if isinstance(value, list):
            return [u for x in value[:2] for u in self.unknown(s.get("items"), x, where + "[]")]
        if not isinstance(value, dict):
            return []
        props = {}
        for part in [s] + s.get("allOf", []):
            while "$ref" in part:
                part = self.doc["definitions"][part["$ref"].rsplit("/", 1)[1]]
            props.update(part.get("properties", {}))
        if not props:
            return []
        out = []
        for k, v in value.items():
            if k in props:
                out += self.unknown(props[k], v, f"{where}.{k}")
            elif not s.get("additionalProperties"):
                out.append(f"{where}.{k}")
        return out


class Run:
    def __init__(self, sock, folder, version):
        self.sock, self.version, self.spec = sock, version, Spec(folder, version)

    def send(self, method, path, body=None):
        c = Connection(self.sock)
        data = None if body is None else json.dumps(body)
        c.request(method, f"/v{self.version}{path}", data, {"Content-Type": "application/json"} if data else {})
        r = c.getresponse()
        out = r.status, r.read()
        c.close()
        return out

    def check(self, method, template, path=None, body=None, want=200):
        status, data = self.send(method, path or template, body)
        what = f"v{self.version} {method} {template} {status}"
        if status == 501 or b"there is no such network driver yet" in data or (status in (400, 403, 404) and b"not in this build" in data):
            skip(what, "not in this build: " + json.loads(data).get("message", "")[:80])
            return None
        notes = []
        if status != want:
            notes.append(f"status {status}, want {want}: {data[:200]!r}")
        schema, why = self.spec.response(method, template, status)
        if why:
            notes.append(why)
        value = None
        if schema and schema.get("type") != "string" and schema.get("format") != "binary":
            try:
                value = json.loads(data.splitlines()[0] if template == "/events" else data)
            except (ValueError, IndexError):
                notes.append(f"no JSON: {data[:80]!r}")
            else:
                full = dict(self.spec.schema(schema))
                full["definitions"] = self.spec.definitions
                for e in list(jsonschema.Draft4Validator(full).iter_errors(value))[:5]:
                    while e.context:
                        e = max(e.context, key=lambda x: len(list(x.absolute_path)))
                    where = "/".join(map(str, e.absolute_path))
                    if "Interface/Types" not in where:  # the reference implementation prints these as strings
                        notes.append(f"{where}: {e.message[:160]}")
                notes += [f"unknown member {u}" for u in self.spec.unknown(schema, value) if u not in BEYOND.get(template, ())]
        report(not notes, what, notes)
        return value

    def networks(self):
        """Two networks, one with all of it, and a container that comes, goes and publishes a port."""
        check, n = self.check, "/networks/{id}"
        check("POST", "/networks/create", body={"Name": "swgn", "Driver": "bridge", "Internal": False, "Attachable": True, "EnableIPv6": True,
              "IPAM": {"Driver": "default", "Options": {"a": "b"}, "Config": [{"Subnet": "10.71.0.0/24", "IPRange": "10.71.0.128/25",
              "Gateway": "10.71.0.1", "AuxiliaryAddresses": {"x": "10.71.0.9"}}, {"Subnet": "fd71::/64"}]}, "Options": {"o": "p"}, "Labels": {"l": "m"}}, want=201)
        check("POST", "/networks/create", body={"Name": "swgo"}, want=201)
        check("POST", "/networks/create", body={"Name": "bridge"}, want=403)
        check("POST", "/networks/create", body={"Name": "swgp", "Driver": "nonesuch"}, want=404)
        check("POST", "/networks/create", body={"Name": "swgp", "IPAM": {"Config": [{"Subnet": "x"}]}}, want=400)
        check("POST", "/containers/create", "/containers/create?name=swgc", {"Image": "busybox:latest", "Cmd": ["sleep", "100"], "ExposedPorts": {"81/udp": {}},
              "HostConfig": {"NetworkMode": "swgn", "PortBindings": {"80/tcp": [{"HostPort": ""}]}},
              "NetworkingConfig": {"EndpointsConfig": {"swgn": {"Aliases": ["y"], "IPAMConfig": {"IPv4Address": "10.71.0.5"}}}}}, 201)
        check("POST", "/containers/{id}/start", "/containers/swgc/start", want=204)
        check("POST", n + "/connect", "/networks/swgo/connect", {"Container": "swgc", "EndpointConfig": {"Aliases": ["z"], "DriverOpts": {"k": "v"}}})
        check("POST", n + "/connect", "/networks/swgo/connect", {"Container": "swgc"}, 403)
        check("POST", n + "/connect", "/networks/swgo/connect", {"Container": "nope"}, 404)
        check("GET", n, "/networks/swgn")
        check("GET", n, "/networks/swgo?verbose=true")
        check("GET", "/networks")
        check("GET", "/containers/json")
        check("GET", "/containers/{id}/json", "/containers/swgc/json")
        check("DELETE", n, "/networks/swgo", want=403)
        check("POST", n + "/disconnect", "/networks/swgo/disconnect", {"Container": "swgc"})
        check("POST", n + "/disconnect", "/networks/swgo/disconnect", {"Container": "nope", "Force": True}, 404)
        check("DELETE", n, "/networks/swgo", want=204)
        check("DELETE", "/containers/{id}", "/containers/swgc?force=1", want=204)
        check("DELETE", n, "/networks/none", want=403)
        check("POST", "/networks/prune")

    def all(self):
        c = "/containers/{id}"
        n = "/containers/swg"
        check = self.check
        for path in ("/_ping", "/version", "/info", "/images/json", "/containers/json", "/volumes", "/networks", "/plugins", "/system/df"):
            check("GET", path)
        check("GET", "/images/json", "/images/json?all=1&digests=1")
        check("GET", "/images/{name}/json", "/images/busybox:latest/json")
        check("GET", "/images/{name}/history", "/images/busybox:latest/history")
        check("POST", "/volumes/create", body={"Name": "swgv", "Labels": {"a": "b"}}, want=201)
        check("GET", "/volumes/{name}", "/volumes/swgv")
        check("GET", "/networks/{id}", "/networks/none")
        self.networks()
        body = {"Image": "busybox:latest", "Cmd": ["sh", "-c", "echo hi; exec sleep 100"], "Labels": {"x": "y"}, "Env": ["A=b"],
                "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/anon": {}},
                "HostConfig": {"NetworkMode": "none", "Binds": ["swgv:/v"], "Memory": 67108864, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}}
        check("POST", "/containers/create", "/containers/create?name=swg", body, 201)
        check("GET", c + "/json", n + "/json")
        check("POST", c + "/start", n + "/start", want=204)
        check("POST", c + "/start", n + "/start", want=304)
        time.sleep(0.5)
        check("GET", "/containers/json", "/containers/json?all=1&size=1")
        check("GET", c + "/json", n + "/json?size=1")
        check("GET", c + "/top", n + "/top")
        check("GET", c + "/changes", n + "/changes")
        check("GET", c + "/stats", n + "/stats?stream=0")
        check("GET", c + "/logs", n + "/logs?stdout=1")
        ex = check("POST", c + "/exec", n + "/exec", {"Cmd": ["true"], "AttachStdout": True}, 201)
        if ex:
            check("POST", "/exec/{id}/start", f"/exec/{ex['Id']}/start", {"Detach": True})
            time.sleep(0.5)
            check("GET", "/exec/{id}/json", f"/exec/{ex['Id']}/json")
        check("POST", c + "/update", n + "/update", {"Memory": 134217728, "MemorySwap": -1})
        check("POST", c + "/resize", n + "/resize?h=10&w=10")
        check("POST", c + "/rename", n + "/rename?name=swg2", want=204)
        check("POST", c + "/rename", "/containers/swg2/rename?name=swg", want=204)
        now = int(time.time())
        check("GET", "/events", f"/events?since={now - 30}&until={now}")
        check("POST", c + "/stop", n + "/stop?t=1", want=204)
        check("POST", c + "/stop", n + "/stop?t=1", want=304)
        check("POST", c + "/wait", n + "/wait")
        check("POST", c + "/kill", n + "/kill", want=409)
        check("POST", "/images/{name}/tag", "/images/busybox:latest/tag?repo=swgi&tag=u", want=201)
        check("DELETE", "/images/{name}", "/images/swgi:u")
        check("POST", "/containers/create", "/containers/create?name=swg", {"Image": "busybox"}, 409)
        check("POST", "/containers/create", body={"Image": "nope:nope"}, want=404)
        check("POST", "/containers/create", body={}, want=400)
        for m, t in (("GET", "/containers/{id}/json"), ("POST", "/containers/{id}/start"), ("DELETE", "/containers/{id}"), ("GET", "/images/{name}/json"),
                     ("GET", "/networks/{id}"), ("GET", "/volumes/{name}"), ("GET", "/exec/{id}/json"), ("DELETE", "/images/{name}")):
            check(m, t, t.replace("{id}", "nope").replace("{name}", "nope"), want=404)
        check("DELETE", "/volumes/{name}", "/volumes/swgv", want=409)
        check("DELETE", c, n + "?force=1&v=1", want=204)
        check("DELETE", "/volumes/{name}", "/volumes/swgv", want=204)
        for kind in ("containers", "volumes", "networks", "images"):
            check("POST", f"/{kind}/prune", f"/{kind}/prune?filters=%7B%22label%22%3A%5B%22nope%22%5D%7D")


for version in sys.argv[3:]:
    Run(sys.argv[1], sys.argv[2], version).all()
print(f"1..{count}")
sys.exit(failed != 0)
