# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What tests of pulls need beside a real registry:
  registry.py make DIR            OCI layouts: DIR/multi (four layers: gzip, zstd, plain, gzip), DIR/bottom (the first of them alone), DIR/other (three others), DIR/index (this machine's image,
                                  one of another, an attestation), DIR/many (a hundred layers)
  registry.py token PORT KEY CRT  a token server; KEY and CRT sign what the registry believes. User bob/secret; refresh token "again-bob"
  registry.py faults PORT UP LOG  a proxy before the registry at UP: /v2/FAULT/NAME/... does to NAME what FAULT says; requests go to LOG. PORT + 1 is where
                                  "redirect" sends clients to. Faults of pushes begin with up-
  registry.py silent PORT LOG     takes connections, notes each, and says nothing
  registry.py stuck SOCKET NAME   asks the daemon for a pull, and does not read what it says
  registry.py files PORT FILE LOG gives FILE, in the way that the path says; also what a proxy is asked for
"""
import base64
import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(name, size, seed):
    rnd = random.Random(seed)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = size
        t.addfile(info, io.BytesIO(rnd.randbytes(size)))
    return out.getvalue()


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(path + "/blobs/sha256")
        with open(path + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')

    def put(self, data, media, **more):
        with open(self.path + "/blobs/sha256/" + digest(data)[7:], "wb") as f:
            f.write(data)
        return dict(more, mediaType=media, digest=digest(data), size=len(data))

    def image(self, layers, arch=ARCH):
        """layers: (tar, "gzip", "zstd" or "")"""
        entries, diffs = [], []
        for tar, how in layers:
            diffs.append(digest(tar))
            blob = {"gzip": lambda: gzip.compress(tar, 1, mtime=0), "": lambda: tar,
                    "zstd": lambda: subprocess.run(["zstd", "-q", "-c"], input=tar, stdout=subprocess.PIPE, check=True).stdout}[how]()
            entries.append(self.put(blob, OCI + "layer.v1.tar" + ("+" + how if how else "")))
        config = {"architecture": arch, "os": "linux", "config": {"Cmd": ["true"], "Labels": {"l": "v"}}, "rootfs": {"type": "layers", "diff_ids": diffs}}
        c = self.put(json.dumps(config).encode(), OCI + "config.v1+json")
        m = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": c, "layers": entries}
        return self.put(json.dumps(m).encode(), m["mediaType"])

    def done(self, *manifests):
        with open(self.path + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": manifests}, f)


def make(path):
    multi = Layout(path + "/multi")
    multi.done(multi.image([(layer("one", 3000000, 1), "gzip"), (layer("two", 20000, 2), "zstd"), (layer("three", 30000, 3), ""), (layer("four", 900000, 4), "gzip")]))
    other = Layout(path + "/other")
    other.done(other.image([(layer("five", 70000, 8), "gzip"), (layer("six", 80000, 9), "gzip"), (layer("seven", 90000, 10), "gzip")]))
    bottom = Layout(path + "/bottom")
    bottom.done(bottom.image([(layer("one", 3000000, 1), "gzip")]))
    many = Layout(path + "/many")
    many.done(many.image([(layer("n%d" % i, 10, 100 + i), "") for i in range(100)]))
    index = Layout(path + "/index")
    here = dict(index.image([(layer("here", 5000, 5), "gzip")]), platform={"os": "linux", "architecture": ARCH})
    there = dict(index.image([(layer("there", 5000, 6), "gzip")], "s390x"), platform={"os": "linux", "architecture": "s390x"})
    # tools that write indexes list what belongs to an image first
    proof = dict(index.image([(layer("proof", 100, 7), "gzip")], "unknown"), platform={"os": "unknown", "architecture": "unknown"})
    inner = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [proof, there, here]}
    index.done(index.put(json.dumps(inner).encode(), inner["mediaType"]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message, **headers):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), **headers)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Token(Handler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != ["again-bob"]:
            return self.error(401, "UNAUTHORIZED", "incorrect refresh token")
        # a form has them in one, with blanks between them
        self.grant("bob", " ".join(form.get("scope", [])).split(), form["service"][0], False)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        q = urllib.parse.parse_qs(url.query)
        auth = self.headers.get("Authorization")
        user = ""
        if auth:
            user, password = base64.b64decode(auth.split()[1]).decode().split(":", 1)
            if (user, password) != ("bob", "secret"):
                return self.error(401, "UNAUTHORIZED", "incorrect username or password")
        self.grant(user, q.get("scope", []), q["service"][0], q.get("offline_token") == ["true"])

    def grant(self, user, scopes, service, offline):
        access = []
        for s in scopes:
            kind, name, actions = s.split(":")
            # what begins with open/ is for everybody
            access.append({"type": kind, "name": name, "actions": actions.split(",") if user or name.startswith("open/") else []})
        now = int(time.time())
        body = b64(json.dumps({"iss": "issuer", "sub": user, "aud": service, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(random.random()),
                               "access": access}).encode())
        with open(self.server.crt) as f:
            chain = "".join(x for x in f.read().splitlines() if "-----" not in x)
        text = b64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [chain]}).encode()) + "." + body
        sign = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.server.key], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
        answer = {"token": text + "." + b64(sign), "expires_in": 300}
        if offline and user:
            answer["refresh_token"] = "again-" + user
        self.answer(200, json.dumps(answer).encode())


CUT = 1 << 20  # where connections break
MANIFEST = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json"}
CONFIG = {"mediaType": OCI + "config.v1+json", "digest": digest(b"{}"), "size": 2}
ENTRY = {"mediaType": OCI + "layer.v1.tar", "digest": digest(b"x"), "size": 1}


def of(base, **more):
    return dict(base, **more)


# What /v2/doc-NAME/... has for a manifest: its type and its document.
DOCUMENTS = {
    "schema1": (DOCKER + "distribution.manifest.v1+prettyjws", {"schemaVersion": 1, "name": "x", "tag": "t", "fsLayers": [], "history": []}),
    "schema1-hidden": (OCI + "manifest.v1+json", {"schemaVersion": 1, "fsLayers": []}),
    "both": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[], manifests=[])),
    "confused": (OCI + "manifest.v1+json", {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": []}),
    "travdigest": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, digest="sha256:../../../../etc/passwd")])),
    "shortdigest": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, digest="sha256:abcd")])),
    "negsize": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, size=-1)])),
    "hugesize": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, size=1 << 62)])),
    "floatsize": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, size=1e300)])),
    "bigconfig": (OCI + "manifest.v1+json", of(MANIFEST, config=of(CONFIG, size=1 << 40), layers=[])),
    "nolayers": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG)),
    "toomany": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[ENTRY] * 126)),
    "helm": (OCI + "manifest.v1+json", of(MANIFEST, config=of(CONFIG, mediaType="application/vnd.cncf.helm.config.v1+json"), layers=[])),
    "strange": (OCI + "manifest.v1+json", of(MANIFEST, config=CONFIG, layers=[of(ENTRY, mediaType="application/x-strange")])),
    "version3": (OCI + "manifest.v1+json", of(MANIFEST, schemaVersion=3, config=CONFIG, layers=[])),
    "unknown": ("application/x-strange", {"schemaVersion": 2, "mediaType": "application/x-strange"}),
    "junk": (OCI + "manifest.v1+json", b"junk"),
    "nothing": (OCI + "manifest.v1+json", b""),
    "list": (OCI + "manifest.v1+json", b"[]"),
    "deep": (OCI + "manifest.v1+json", b'{"schemaVersion":2,"config":' + b"[" * 3000 + b"]" * 3000 + b"}"),
    "twice": (OCI + "manifest.v1+json", b'{"schemaVersion":2,"schemaVersion":2,"config":' + json.dumps(CONFIG).encode() + b',"layers":[]}'),
    "html": ("text/html", b"<html>hello</html>"),
    "others": (OCI + "index.v1+json", {"schemaVersion": 2, "manifests": [dict(ENTRY, mediaType=OCI + "manifest.v1+json", platform={"os": "linux", "architecture": "s390x"})]}),
    "nobody": (OCI + "index.v1+json", {"schemaVersion": 2, "manifests": []}),
}
STATUS = {
    "denied": (403, "DENIED", "requested access to the resource is denied"), "unauthorized": (401, "UNAUTHORIZED", "authentication required"),
    "noname": (404, "NAME_UNKNOWN", "repository name not known to registry"), "limit": (429, "TOOMANYREQUESTS", "You have reached your pull rate limit."),
}
# Configurations: name -> its bytes; the manifest names none, or as many layers as said.
HERE = {"architecture": ARCH, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
CONFIGS = {"config-junk": b"junk", "config-norootfs": json.dumps({"architecture": ARCH, "os": "linux"}).encode(),
           "config-more": json.dumps(of(HERE, rootfs={"type": "layers", "diff_ids": [digest(b"x")]})).encode(),
           "config-big": json.dumps(of(HERE, rootfs={"type": "layers", "diff_ids": [digest(b"x"), digest(b"y")]})).encode(),
           "config-windows": json.dumps(of(HERE, os="windows")).encode(), "config-other": json.dumps(HERE).encode()}


class Faults(Handler):
    def note(self):
        with self.server.guard, open(self.server.log, "a") as f:
            f.write("%s %s auth=%s range=%s part=%s\n" % (self.command, self.path, self.headers.get("Authorization"), self.headers.get("Range"),
                                                              self.headers.get("Content-Range") if self.headers.get("Content-Range", "0-")[:2] != "0-" else None))

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        self.note()
        where, _, query = self.path.partition("?")
        parts = where.split("/")
        self.fault, self.name, self.kind = parts[2], where, ""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.path = "/v2/" + "/".join(parts[3:]) + ("?" + query if query else "")
        getattr(self, "send_" + self.fault.replace("-", "_"), self.send)(body)

    do_PATCH = do_PUT = do_DELETE = do_POST

    def send(self, body, path=None):
        c = http.client.HTTPConnection(self.server.up, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k in ("Content-Type", "Content-Range", "Authorization")}
        c.request(self.command, path or self.path, body=body, headers=headers)
        r = c.getresponse()
        answer = r.read()
        self.answer(r.status, answer, **{k.replace("-", "_"): self.moved(v) if k == "Location" else v for k, v in r.getheaders()
                                         if k in ("Location", "Range", "Docker-Upload-UUID", "Docker-Content-Digest")})

    def moved(self, location):
        return location.replace("http://%s/v2/" % self.server.up, "http://127.0.0.1:%d/v2/%s/" % (self.server.server_port, self.fault))

    # half of it arrives, and nobody says so
    def send_up_cut(self, body):
        self.name = "once"
        if self.command != "PATCH" or len(body) < CUT or self.times() > 1:
            return self.send(body)
        c = http.client.HTTPConnection(self.server.up, timeout=30)
        c.request("PATCH", self.path, body=body[:CUT], headers={"Content-Type": "application/octet-stream"})
        r = c.getresponse()
        r.read()
        self.server.cut = {"Location": self.moved(r.getheader("Location")), "Range": r.getheader("Range")}
        self.close_connection = True

    def send_up_busy(self, body):
        self.error(503, "UNAVAILABLE", "later", Retry_After="1") if self.times() == 1 and self.command != "PATCH" else self.send(body)

    def send_up_elsewhere(self, body):
        self.answer(202, Location="http://127.0.0.1:%d/v2/x/blobs/uploads/1" % (self.server.server_port + 1))

    # places are told from where one is, and not again while it stays the same for a client
    def send_up_laconic(self, body):
        where, _, query = self.path.partition("?")
        if where in self.server.nested:
            query = self.server.nested[where] + ("&" + query.rpartition("&")[2] if self.command == "PUT" else "")
        c = http.client.HTTPConnection(self.server.up, timeout=30)
        c.request(self.command, where + "?" + query, body=body, headers={k: v for k, v in self.headers.items() if k in ("Content-Type", "Content-Range")})
        r = c.getresponse()
        answer, location = r.read(), (r.getheader("Location") or "").partition("/v2/")[2]
        if "/blobs/uploads/" in location:
            self.server.nested["/v2/" + location.partition("?")[0]] = location.partition("?")[2]
        self.answer(r.status, answer, **({"Location": location.rpartition("/")[2].partition("?")[0] + "?x=y"} if self.command == "POST" else {}))

    def send_up_nomount(self, body):
        self.send(body, self.path.split("?")[0] if self.command == "POST" else None)

    def send_up_denied(self, body):
        self.error(403, "DENIED", "requested access to the resource is denied")

    def send_up_lost(self, body):
        self.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry") if self.command == "PATCH" else self.send(body)

    def send_up_late(self, body):
        if self.command == "PUT" and "/manifests/" in self.path:
            return self.error(400, "MANIFEST_INVALID", "manifest invalid")
        self.send(body)

    def do_GET(self):
        self.note()
        parts = self.path.split("?")[0].split("/")
        if self.path.startswith("/v1/search"):
            results = [{"name": "one/" + "x" * i, "description": "d\x1b[2J", "star_count": i, "is_official": i == 2, "is_trusted": True} for i in range(4)]
            return self.answer(200, json.dumps({"results": results + [{"name": 5}, 7, {"description": "none"}]}).encode())
        if "/blobs/uploads/" in self.path:
            # the registry itself knows no upload by where it was before a break
            return self.answer(204, **self.server.cut) if parts[2] == "up-cut" else self.answer(404)
        if self.path.startswith("/v2/ping-"):
            return self.answer(500)
        if len(parts) < 6:
            return self.answer(200, b"{}")
        self.fault, self.kind = parts[2], parts[-2]
        self.path = "/v2/" + "/".join(parts[3:])
        self.name = self.path
        if self.fault in STATUS:
            status, code, message = STATUS[self.fault]
            return self.error(status, code, message)
        if self.fault.startswith("doc-"):
            kind, doc = DOCUMENTS[self.fault[4:]]
            return self.answer(200, doc if isinstance(doc, bytes) else json.dumps(doc).encode(), kind)
        if self.fault in CONFIGS:
            return self.config()
        getattr(self, "fault_" + self.fault.replace("-", "_"), self.through)()

    def config(self):
        data = CONFIGS[self.fault]
        if self.kind == "blobs":
            return self.answer(200, b"{}" + data[2:] if self.fault == "config-other" else data, "application/octet-stream")
        layers = [ENTRY, of(ENTRY, digest=digest(b"y"), size=1 << 50)] if self.fault == "config-big" else []
        self.answer(200, json.dumps(of(MANIFEST, config={"mediaType": OCI + "config.v1+json", "digest": digest(data), "size": len(data)}, layers=layers)).encode(),
                    OCI + "manifest.v1+json")

    def times(self):
        """How often this was asked for, from 1."""
        with self.server.guard:
            key = (self.fault, self.name)
            self.server.count[key] = self.server.count.get(key, 0) + 1
            return self.server.count[key]

    def fetch(self, ranged=True):
        c = http.client.HTTPConnection(self.server.up, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k in ("Accept", "Authorization") or (ranged and k == "Range")}
        c.request("GET", self.path, headers=headers)
        r = c.getresponse()
        return r, r.read()

    def through(self, ranged=True, change=lambda body: body, length=None):
        r, body = self.fetch(ranged)
        body = change(body)
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k not in ("Content-Length", "Date", "Connection", "Transfer-Encoding"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        try:
            self.wfile.write(b"" if self.command == "HEAD" else body)
        except OSError:
            self.close_connection = True

    def part(self, n, ranged=True):
        """The first n bytes of what was asked for, and then the connection ends."""
        r, body = self.fetch(ranged)
        self.through(ranged, lambda b: b[:n], len(body))
        self.close_connection = True

    def of_blob(self, fn):
        return fn() if self.kind == "blobs" else self.through()

    # the connection breaks once, and the rest can be asked for
    def fault_cut(self):
        self.of_blob(lambda: self.part(CUT) if self.times() == 1 and not self.headers.get("Range") else self.through())

    # the same, and ranges are not known
    def fault_cut_norange(self):
        self.of_blob(lambda: self.part(CUT, False) if self.times() == 1 else self.through(False))

    # another part comes than was asked for
    def fault_cut_lie(self):
        def lie():
            if self.times() == 1:
                return self.part(CUT)
            r, body = self.fetch(False)
            self.answer(206, body[5:], "application/octet-stream", Content_Range="bytes 5-%d/%d" % (len(body) - 1, len(body)))
        self.of_blob(lie)

    def fault_cut_always(self):
        self.of_blob(lambda: self.part(1000))

    def fault_wrong(self):
        self.of_blob(lambda: self.through(change=lambda b: b[:-1] + bytes([b[-1] ^ 1])))

    def fault_longer(self):
        self.of_blob(lambda: self.through(change=lambda b: b + b"x" * 100))

    def fault_shorter(self):
        self.of_blob(lambda: self.through(False, change=lambda b: b[:-10]))

    def fault_endless(self):
        def endless():
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            try:
                for _ in range(1 << 14):
                    self.wfile.write(piece)
                    with self.server.guard:
                        self.server.sent += 65536
            except OSError:
                pass
            self.close_connection = True
            with self.server.guard, open(self.server.log, "a") as f:
                f.write("endless sent=%d\n" % self.server.sent)
        self.of_blob(endless)

    # layers whose type says that they lie at addresses; a registry may have them all the same
    def foreign(self, here):
        if self.kind == "blobs":
            what = self.name.rsplit("/", 1)[1]
            return self.through() if here or what == self.server.nested.get("config") else self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        r, body = self.fetch()
        m = json.loads(body)
        self.server.nested["config"] = m["config"]["digest"]
        for e in m["layers"]:
            e["mediaType"] = e["mediaType"].replace("layer.v1", "layer.nondistributable.v1")
            e["urls"] = ["http://127.0.0.1:%d/v2/x/multi/blobs/%s" % (self.server.server_port + 1, e["digest"])]
        self.answer(200, json.dumps(m).encode(), m["mediaType"])

    def fault_foreign(self):
        self.foreign(False)

    def fault_foreign_here(self):
        self.foreign(True)

    def fault_gone(self):
        self.of_blob(lambda: self.error(404, "BLOB_UNKNOWN", "blob unknown to registry"))

    def fault_busy(self):
        self.of_blob(lambda: self.error(503, "UNAVAILABLE", "later", Retry_After="1") if self.times() == 1 else self.through())

    def fault_broken(self):
        self.of_blob(lambda: self.answer(500) if self.times() == 1 else self.through())

    def fault_limit_once(self):
        self.error(429, "TOOMANYREQUESTS", "slow down", Retry_After="1") if self.kind == "manifests" and self.times() == 1 else self.through()

    def fault_limit_long(self):
        self.error(429, "TOOMANYREQUESTS", "come back tomorrow", Retry_After="86400")

    def fault_slow(self):
        self.of_blob(lambda: (time.sleep(self.server.delay), self.through()))

    # the large layer, the lowest one, comes once LOG.go is there; with hold-wrong the others come as they are but for the last
    def fault_hold(self, spoil=False):
        def hold():
            r, body = self.fetch()
            while len(body) > 2 * CUT and not os.path.exists(self.server.log + ".go"):
                time.sleep(.02)
            self.through(change=lambda b: b[:-1] + bytes([b[-1] ^ 1]) if spoil and CUT // 2 < len(b) < CUT else b)
        self.of_blob(hold)

    def fault_hold_wrong(self):
        self.fault_hold(True)

    # how many are at it at once goes to LOG.most
    def crowd(self, fn):
        with self.server.guard:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            with open(self.server.log + ".most", "w") as f:
                f.write("%d" % self.server.most)
        time.sleep(.15)
        with self.server.guard:
            self.server.now -= 1
        fn()

    def fault_crowd(self):
        if self.kind != "blobs":
            return self.through()
        r, body = self.fetch()
        self.crowd(self.through) if len(body) > 10000 else self.through()

    def send_up_crowd(self, body):
        self.crowd(lambda: self.send(body)) if self.command == "PATCH" and len(body) > 10000 else self.send(body)

    # some bytes, all the time, but too few
    def fault_drip(self):
        def drip():
            self.through(change=lambda b: b[:1000], length=10000000)
            try:
                for _ in range(600):
                    self.wfile.write(b"x" * 5)
                    time.sleep(.1)
            except OSError:
                pass
            self.close_connection = True
        self.of_blob(drip)

    # nothing comes for longer than anybody should wait
    def fault_stall(self):
        def stall():
            self.through(change=lambda b: b[:1000], length=10000000)
            time.sleep(60)
        self.of_blob(stall)

    def fault_redirect(self):
        self.of_blob(lambda: self.answer(307, Location="http://127.0.0.1:%d%s" % (self.server.server_port + 1, self.path)))

    def fault_redirect_loop(self):
        self.of_blob(lambda: self.answer(302, Location=self.path.replace("/v2/", "/v2/redirect-loop/")))

    def fault_redirect_file(self):
        self.of_blob(lambda: self.answer(302, Location="file:///etc/passwd"))

    # what an index leads to is itself, or is another thing than it said
    def fault_digest_lie(self):
        if self.kind == "manifests" and self.name.rsplit("/", 1)[1].startswith("sha256:"):
            return self.through(change=lambda b: b.replace(b"{", b"{ ", 1))
        self.through()

    def fault_huge(self):
        if self.kind != "manifests":
            return self.through()
        self.send_response(200)
        self.send_header("Content-Type", OCI + "manifest.v1+json")
        self.send_header("Content-Length", str(120 << 20))
        self.end_headers()
        try:
            for _ in range(120):
                self.wfile.write(b" " * (1 << 20))
        except OSError:
            self.close_connection = True

    # index in index in index, each with a digest of its own
    def fault_nested(self):
        m = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": []}
        for i in range(8):
            data = json.dumps(m).encode()
            self.server.nested[digest(data)] = data
            m = of(m, manifests=[{"mediaType": m["mediaType"], "digest": digest(data), "size": len(data), "platform": {"os": "linux", "architecture": ARCH}}])
        data = json.dumps(m).encode()
        what = self.name.rsplit("/", 1)[1]
        self.answer(200, self.server.nested.get(what, data), m["mediaType"])

    # a token server of plain HTTP elsewhere, and one that is no address
    def fault_realm_file(self):
        self.answer(401, b"{}", WWW_Authenticate='Bearer realm="file:///etc/passwd",service="s"')

    def fault_realm_user(self):
        self.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://a:b@127.0.0.1:%d/token",service="s"' % (self.server.server_port + 1))

    def fault_challenge_junk(self):
        self.answer(401, b"{}", WWW_Authenticate='Bearer realm="unclosed, =,=,,,"" Basic')

    def fault_token_junk(self):
        self.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/v2/token-body/x/y/z",service="s"' % self.server.server_port)

    def fault_token_body(self):
        self.answer(200, b'{"token":"a\\r\\nX-Evil: 1"}')

    # a token server whose name nobody tells, in an address with a query, in another word for its token
    def fault_token_nameless(self):
        if self.headers.get("Authorization") == "Bearer nameless":
            del self.headers["Authorization"]
            return self.through()
        self.answer(401, b"{}", WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/v2/token-given/x/y/z?tenant=1"' % self.server.server_port)

    def fault_token_given(self):
        self.answer(200, b'{"access_token":"nameless","expires_in":"300"}')

    # no image, but what others keep in registries
    def fault_artifact(self, config="application/vnd.example.config"):
        if self.kind != "manifests":
            return self.through()
        r, body = self.fetch()
        m = json.loads(body)
        m["config"]["mediaType"] = config or m["config"]["mediaType"]
        for e in m["layers"]:
            e["mediaType"] = "application/vnd.example.layer"
        self.answer(200, json.dumps(m).encode(), m["mediaType"])

    def fault_layers(self):
        self.fault_artifact(None)

    # pages of tags that lead around and around
    def fault_tags_loop(self):
        if self.kind == "tags":
            return self.answer(200, b'{"name":"x","tags":["a"]}', Link='<%s?n=1&last=a>; rel="next"' % self.path.replace("/v2/", "/v2/tags-loop/"))
        self.through()

    def fault_tags_pages(self):
        if self.kind != "tags":
            return self.through()
        if self.times() == 1:
            return self.answer(200, b'{"name":"x","tags":["nosuch/../x","latest"]}', Link='</v2/tags-pages%s?last=latest>; rel="next"' % self.path[3:])
        self.answer(200, b'{"name":"x","tags":["two"]}')


def serve(port, handler, **more):
    s = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    s.daemon_threads = True
    s.guard, s.count, s.sent, s.nested, s.delay, s.now, s.most = threading.Lock(), {}, 0, {}, .7, 0, 0
    for k, v in more.items():
        setattr(s, k, v)
    return s


class Files(Handler):
    # as a proxy that is asked for the way to a registry
    def do_CONNECT(self):
        with self.server.guard, open(self.server.log, "a") as f:
            f.write("CONNECT %s auth=%s\n" % (self.path, self.headers.get("Proxy-Authorization")))
        self.answer(407, b"<html>", Proxy_Authenticate='Basic realm="x"')

    def do_GET(self):
        with self.server.guard, open(self.server.log, "a") as f:
            f.write("%s auth=%s\n" % (self.path, self.headers.get("Authorization")))
        with open(self.server.file, "rb") as f:
            data = f.read()
        where = self.path.rsplit("/", 1)[1]
        if where == "gone":
            return self.answer(404, b"nope\nmore")
        if where == "moved":
            return self.answer(302, Location="/plain")
        if where == "file":
            return self.answer(302, Location="file:///etc/passwd")
        if where == "around":
            return self.answer(302, Location="/around")
        if where == "huge":
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 60))
            self.end_headers()
            self.close_connection = True
            return self.wfile.write(data)
        if where in ("cut", "cut-once"):
            with self.server.guard:
                self.server.sent += 1
            if where == "cut" or self.server.sent == 1:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.close_connection = True
                return self.wfile.write(data[:len(data) // 2])
        if where == "unknown":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            return self.wfile.write(data)
        if where == "stall":
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:10])
            self.close_connection = True
            time.sleep(60)
            return None
        return self.answer(200, data)


def silent(port, log):
    kept = []
    with socket.create_server(("127.0.0.1", port)) as s:
        while True:
            kept.append(s.accept())
            with open(log, "a") as f:
                f.write("connection\n")


def stuck(path, name):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(("POST /images/create?fromImage=%s&tag=latest HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n" % name).encode())
        while True:
            time.sleep(60)


class Elsewhere(Faults):
    """Where redirects lead: gives what the registry has, whoever asks."""

    def do_GET(self):
        with self.server.guard, open(self.server.log, "a") as f:
            f.write("ELSEWHERE %s auth=%s\n" % (self.path, self.headers.get("Authorization")))
        self.fault = self.name = ""
        self.kind = "blobs"
        del self.headers["Authorization"]
        self.through()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    elif sys.argv[1] == "token":
        serve(int(sys.argv[2]), Token, key=sys.argv[3], crt=sys.argv[4]).serve_forever()
    elif sys.argv[1] == "silent":
        silent(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1] == "stuck":
        stuck(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "files":
        serve(int(sys.argv[2]), Files, file=sys.argv[3], log=sys.argv[4]).serve_forever()
    elif sys.argv[1] == "faults":
        there = serve(int(sys.argv[2]) + 1, Elsewhere, up=sys.argv[3], log=sys.argv[4])
        threading.Thread(target=there.serve_forever, daemon=True).start()
        serve(int(sys.argv[2]), Faults, up=sys.argv[3], log=sys.argv[4]).serve_forever()
