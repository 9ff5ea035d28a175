#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network and address plugin as Docker's protocol has them, with real wires: a bridge for each network, a veth pair for each endpoint.
network-plugin.py SOCKET LOG [global]: serves at the socket, writes one line of JSON for each request to the log. Its networks are this host's, or a cluster's.
The network option "fail=METHOD" lets that method fail with a sentence; "fail=hang:METHOD" never answers it, "junk:METHOD" answers no JSON."""
import http.server, ipaddress, json, os, signal, socketserver, subprocess, sys, threading, time

sock, log = sys.argv[1], open(sys.argv[2], "a")
networks, pools, lock = {}, {}, threading.Lock()


def ip(*args):
    subprocess.run(["ip", *args], check=True, stderr=subprocess.DEVNULL)


def bridge(network):
    return "np" + network[:12]


def create_network(r):
    generic = r["Options"].get("com.docker.network.generic", {})
    networks[r["NetworkID"]] = {"fail": generic.get("fail", ""), "gateway": "", "gateway6": ""}
    if "CreateNetwork" == generic.get("fail"):
        del networks[r["NetworkID"]]
        return {"Err": "the plugin is told to fail"}
    name = bridge(r["NetworkID"])
    ip("link", "add", name, "type", "bridge")
    ip("link", "set", name, "up")
    for pool, key in ((r["IPv4Data"], "gateway"), (r["IPv6Data"], "gateway6")):
        for p in pool:
            if p["Gateway"]:
                ip("addr", "add", p["Gateway"], "dev", name)
                networks[r["NetworkID"]][key] = p["Gateway"].split("/")[0]
    return {}


def delete_network(r):
    if networks.pop(r["NetworkID"], None):
        ip("link", "del", bridge(r["NetworkID"]))
    return {}


def create_endpoint(r):
    return {"Interface": {} if r["Interface"]["MacAddress"] else {"MacAddress": "02:99:" + ":".join(r["EndpointID"][i:i + 2] for i in (0, 2, 4, 6))}}


def join(r):
    near, far = "nv" + r["EndpointID"][:10], "nf" + r["EndpointID"][:10]
    ip("link", "add", near, "type", "veth", "peer", "name", far)
    ip("link", "set", near, "master", bridge(r["NetworkID"]), "up")
    n = networks[r["NetworkID"]]
    return {"InterfaceName": {"SrcName": far, "DstPrefix": "plug"}, "Gateway": n["gateway"], "GatewayIPv6": n["gateway6"],
            "StaticRoutes": [{"Destination": "10.200.0.0/16", "RouteType": 1, "NextHop": ""}]}


def leave(r):
    subprocess.run(["ip", "link", "del", "nv" + r["EndpointID"][:10]], stderr=subprocess.DEVNULL)
    return {}


def request_pool(r):
    pool = r["Pool"] or "10.66.%d.0/24" % (len(pools) + 1)
    pools["pool-" + pool] = {"net": ipaddress.ip_network(pool), "taken": set()}
    return {"PoolID": "pool-" + pool, "Pool": pool, "Data": {}}


def request_address(r):
    p = pools[r["PoolID"]]
    for a in [ipaddress.ip_address(r["Address"])] if r["Address"] else p["net"].hosts():
        if a not in p["taken"]:
            p["taken"].add(a)
            return {"Address": "%s/%d" % (a, p["net"].prefixlen), "Data": {}}
    return {"Err": "no address is left"}


def release_address(r):
    pools.get(r["PoolID"], {"taken": set()})["taken"].discard(ipaddress.ip_address(r["Address"]))
    return {}


METHODS = {
    "Plugin.Activate": lambda r: {"Implements": ["NetworkDriver", "IpamDriver"]},
    "NetworkDriver.GetCapabilities": lambda r: {"Scope": sys.argv[3] if len(sys.argv) > 3 else "local", "ConnectivityScope": "local"},
    "NetworkDriver.CreateNetwork": create_network, "NetworkDriver.DeleteNetwork": delete_network,
    "NetworkDriver.CreateEndpoint": create_endpoint, "NetworkDriver.DeleteEndpoint": lambda r: {},
    "NetworkDriver.EndpointOperInfo": lambda r: {"Value": {"wire": "veth", "number": 7}},
    "NetworkDriver.Join": join, "NetworkDriver.Leave": leave,
    "NetworkDriver.ProgramExternalConnectivity": lambda r: {},
    "IpamDriver.GetCapabilities": lambda r: {"RequiresMACAddress": True, "RequiresRequestReplay": True},
    "IpamDriver.GetDefaultAddressSpaces": lambda r: {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"},
    "IpamDriver.RequestPool": request_pool, "IpamDriver.ReleasePool": lambda r: pools.pop(r["PoolID"], None) and {} or {},
    "IpamDriver.RequestAddress": request_address, "IpamDriver.ReleaseAddress": release_address,
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
        with lock:
            log.write(json.dumps({"method": method, "request": request, "accept": self.headers.get("Accept")}) + "\n")
            log.flush()
        fail = networks.get(request.get("NetworkID"), {}).get("fail", "")
        short = method.split(".")[-1]
        if fail == "hang:" + short:
            time.sleep(120)
        if method not in METHODS:
            return self.answer(404, "no such method")
        if fail == "junk:" + short:
            return self.answer(200, "this is no JSON")
        if fail == short:
            return self.answer(200, json.dumps({"Err": "the plugin is told to fail"}))
        try:
            with lock:
                answer = METHODS[method](request)
            self.answer(200, json.dumps(answer))
        except Exception as e:
            self.answer(500, json.dumps({"Err": repr(e)}))

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if os.path.exists(sock):
    os.unlink(sock)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # as the first process of a namespace it would ignore it
Server(sock, Handler).serve_forever()
