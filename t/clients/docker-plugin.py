#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plugin in Docker's protocol: volumes, authorization, logs, layers, figures; each the simplest thing that works.
docker-plugin.py LISTEN STATE [CERT KEY CA]: LISTEN is the path of a socket, or a port on the loopback, then with TLS where files are named.
STATE/requests gets one line of JSON for each request. STATE/control says how to misbehave, read at each: lines "METHOD MODE", modes
hang, junk, list, deep, fail (200 with Err), fail500, huge, die, cut, chunked, path=PATH, says=STATUS BODY. STATE/deny: words; a request whose URI has one is denied, "response:WORD"
is for its answer. STATE/logged gets what containers say."""
import base64, http.server, json, os, shutil, signal, socket, socketserver, ssl, struct, subprocess, sys, threading, time

listen, state = sys.argv[1], sys.argv[2]
lock = threading.Lock()
mounts = {}
volumes_dir, layers = state + "/volumes", {"home": None}
os.makedirs(volumes_dir, exist_ok=True)


def read(name):
    try:
        with open(state + "/" + name) as f:
            return f.read()
    except FileNotFoundError:
        return ""


def told(method):
    for line in read("control").splitlines():
        word = line.split(" ", 1)
        if word[0] == method:
            return word[1]
    return ""


def volume(name):
    return {"Name": name, "Mountpoint": volumes_dir + "/" + name if mounts.get(name) else "", "CreatedAt": "2020-01-02T03:04:05Z",
            "Status": {"mounts": len(mounts.get(name, ())), "kind": "folder"}}


def create(r):
    if "refuse" in (r["Opts"] or {}):
        return {"Err": "option refuse is refused"}
    os.makedirs(volumes_dir + "/" + r["Name"], exist_ok=True)
    return {}


def remove(r):
    shutil.rmtree(volumes_dir + "/" + r["Name"])
    return {}


def get(r):
    return {"Volume": volume(r["Name"])} if os.path.isdir(volumes_dir + "/" + r["Name"]) else {"Err": "no such volume here"}


def mount(r):
    mounts.setdefault(r["Name"], []).append(r["ID"])
    return {"Mountpoint": (told("path") or volumes_dir) + "/" + r["Name"]}


def unmount(r):
    mounts[r["Name"]].remove(r["ID"])
    return {}


def allowed(half):
    def answer(r):
        uri = r["RequestUri"]
        for word in read("deny").split():
            part, _, rest = word.rpartition(":")
            if part == half and rest in uri + base64.b64decode(r.get("RequestBody") or "").decode("latin1"):
                return {"Allow": False, "Msg": "the plugin says no to " + rest}
        return {"Allow": True}
    return answer


def field(data, at):
    def varint(at):
        v = shift = 0
        while True:
            b = data[at]
            v |= (b & 127) << shift
            at, shift = at + 1, shift + 7
            if b < 128:
                return v, at
    key, at = varint(at)
    value, at = varint(at)
    if key & 7 == 2:
        return key >> 3, data[at:at + value], at + value
    return key >> 3, value, at


def entry(data):
    fields, at = {}, 0
    while at < len(data):
        number, value, at = field(data, at)
        fields[number] = value
    piece = {}
    if 5 in fields:
        p, at = fields[5], 0
        while at < len(p):
            number, value, at = field(p, at)
            piece[number] = value if isinstance(value, int) else value.decode()
    return {"source": fields[1].decode(), "time": fields[2], "line": fields.get(3, b"").decode("latin1"), "partial": fields.get(4, 0), "piece": piece}


def follow(path, container):
    with open(path, "rb") as f:
        while True:
            head = f.read(4)
            if len(head) < 4:
                return
            e = entry(f.read(struct.unpack(">I", head)[0]))
            e["id"] = container
            with lock, open(state + "/logged", "a") as out:
                out.write(json.dumps(e) + "\n")


def start_logging(r):
    threading.Thread(target=follow, args=(r["File"], r["Info"]["ContainerID"]), daemon=True).start()
    return {}


def layer(r):
    return layers["home"] + "/" + r["ID"]


def init(r):
    layers["home"] = r["Home"]
    os.makedirs(r["Home"], exist_ok=True)
    return {}


def create_layer(r):
    if r["Parent"]:
        subprocess.run(["cp", "-a", layers["home"] + "/" + r["Parent"], layer(r)], check=True)
    else:
        os.makedirs(layer(r))
    return {}


def remove_layer(r):
    shutil.rmtree(layer(r))
    return {}


def collect(r):
    """What the daemon's figures are, into STATE/figures."""
    with socket.socket(socket.AF_UNIX) as s, open(state + "/figures", "wb") as out:
        s.connect("/run/docker/metrics.sock")
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        while data := s.recv(65536):
            out.write(data)
    return {}


METHODS = {
    "MetricsCollector.StartMetrics": collect, "MetricsCollector.StopMetrics": lambda r: {},
    "Plugin.Activate": lambda r: {"Implements": ["VolumeDriver", "authz", "LogDriver", "GraphDriver"]},
    "VolumeDriver.Create": create, "VolumeDriver.Remove": remove, "VolumeDriver.Get": get, "VolumeDriver.Mount": mount, "VolumeDriver.Unmount": unmount,
    "VolumeDriver.Path": lambda r: {"Mountpoint": volumes_dir + "/" + r["Name"]},
    "VolumeDriver.List": lambda r: {"Volumes": [volume(n) for n in sorted(os.listdir(volumes_dir))]},
    "VolumeDriver.Capabilities": lambda r: {"Capabilities": {"Scope": "global"}},
    "AuthZPlugin.AuthZReq": allowed(""), "AuthZPlugin.AuthZRes": allowed("response"),
    "LogDriver.StartLogging": start_logging, "LogDriver.StopLogging": lambda r: {}, "LogDriver.Capabilities": lambda r: {"Cap": {"ReadLogs": False}},
    "GraphDriver.Init": init, "GraphDriver.Create": create_layer, "GraphDriver.CreateReadWrite": create_layer, "GraphDriver.Remove": remove_layer,
    "GraphDriver.Get": lambda r: {"Dir": layer(r)}, "GraphDriver.Put": lambda r: {}, "GraphDriver.Exists": lambda r: {"Exists": os.path.isdir(layer(r))},
    "GraphDriver.Status": lambda r: {"Status": [["Kind", "copies"]]}, "GraphDriver.GetMetadata": lambda r: {"Metadata": {"dir": layer(r)}},
    "GraphDriver.Cleanup": lambda r: {},
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "daemon"

    def do_POST(self):
        method = self.path.lstrip("/")
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        with lock, open(state + "/requests", "a") as out:
            out.write(json.dumps({"method": method, "request": request, "accept": self.headers.get("Accept")}) + "\n")
        mode = told(method)
        if mode == "hang":
            time.sleep(600)
        if mode == "die":
            os._exit(1)
        if mode == "huge":
            return self.answer(200, json.dumps({"Err": "x" * (8 << 20)}))
        if mode in ("junk", "list", "deep"):
            return self.answer(200, {"junk": "this is no JSON", "list": "[1]", "deep": '{"a":' * 2040 + "1" + "}" * 2040}[mode])
        if mode in ("fail", "fail500"):
            return self.answer(500 if mode == "fail500" else 200, json.dumps({"Err": "the plugin is told to fail"}))
        if mode.startswith("says="):
            status, _, text = mode[5:].partition(" ")
            return self.answer(int(status), text)
        if mode == "cut":
            self.close_connection = True
            return self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"Err":')
        if method not in METHODS:
            return self.answer(404, "no such method")
        try:
            with lock:
                answer = METHODS[method](request)
            self.answer(200, json.dumps(answer), mode == "chunked")
        except Exception as e:
            self.answer(500, json.dumps({"Err": repr(e)}))

    def answer(self, status, text, chunked=False):
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
            text = "".join("1\r\n%s\r\n" % c for c in text) + "0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text.encode())
        except OSError:
            pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *args):
        pass


if listen.startswith("/"):
    Server.address_family = socket.AF_UNIX
    Server.allow_reuse_address = False
    if os.path.exists(listen):
        os.unlink(listen)
    server = Server(listen, Handler)
else:
    server = Server(("127.0.0.1", int(listen)), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    context.load_verify_locations(sys.argv[5])
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # as the first process of a namespace it would ignore it
open(state + "/ready", "w").close()
server.serve_forever()
