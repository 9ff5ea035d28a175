#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Networks and published ports through docker-py. Prints TAP. DOCKER_HOST names the daemon, BUSYBOX_TAR an image archive."""
import os
import sys

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from checks import SLOW, has, is_, ok, raises, run, until

c = docker.from_env(version="auto", timeout=60 * SLOW)
with open(os.environ["BUSYBOX_TAR"], "rb") as archive:
    IMAGE = c.images.load(archive.read())[0].tags[0]


def nets(k):
    k.reload()
    return k.attrs["NetworkSettings"]["Networks"]


def sh(k, script):
    return k.exec_run(["sh", "-c", script]).output.decode()


def networks():
    """What create takes, and what lists and inspect answer."""
    n = c.networks.create("py1", driver="bridge", options={"com.docker.network.driver.mtu": "1400"}, labels={"x": "y"}, internal=False, attachable=True,
                          ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.81.0.0/24", iprange="10.81.0.128/25", gateway="10.81.0.1",
                                                                 aux_addresses={"router": "10.81.0.130"})]))
    is_(n.attrs["IPAM"]["Config"], [{"Subnet": "10.81.0.0/24", "IPRange": "10.81.0.128/25", "Gateway": "10.81.0.1",
                                     "AuxiliaryAddresses": {"router": "10.81.0.130"}}], "create with a pool")
    is_((n.attrs["Labels"], n.attrs["Attachable"], n.attrs["Options"]), ({"x": "y"}, True, {"com.docker.network.driver.mtu": "1400"}), "and all else")
    is_([x.name for x in c.networks.list(names=["py1"], filters={"label": "x=y"})], ["py1"], "list")
    is_(c.networks.get(n.id[:12]).name, "py1", "get by a part of the id")
    e = raises(APIError, "no name twice", lambda: c.networks.create("py1", check_duplicate=True))
    is_(e.status_code, 409, "is a conflict")
    raises(NotFound, "no such driver", lambda: c.networks.create("py9", driver="nonesuch"))


def connect():
    """A container on it, on another, and off again."""
    n, m = c.networks.get("py1"), c.networks.create("py2")
    k = c.containers.run(IMAGE, "sleep 600", name="pyk", detach=True, network="py1", hostname="kay")
    is_(list(nets(k)), ["py1"], "run with network")
    m.connect(k, aliases=["al", "ka"], driver_opt={"a": "b"})
    is_(sorted(nets(k)), ["py1", "py2"], "connect")
    has(" ".join(nets(k)["py2"]["Aliases"]), "al ka", "with aliases")
    is_(sorted(x.name for x in c.networks.get("py2").containers), ["pyk"], "the network knows its containers")
    raises(APIError, "not twice", lambda: m.connect(k))
    raises(APIError, "one in use stays", lambda: m.remove())
    m.disconnect(k)
    is_(sorted(nets(k)), ["py1"], "disconnect")
    raises(APIError, "not twice", lambda: m.disconnect(k))
    k.stop(timeout=0)
    m.connect(k)
    n.disconnect(k, force=True)
    k.start()
    is_(sorted(nets(k)), ["py2"], "of one that does not run")
    has(sh(k, "ip -o -4 addr show dev eth0"), nets(k)["py2"]["IPAddress"] + "/", "it has that network's address")
    k.remove(force=True)
    raw = c.api.create_container(IMAGE, "sleep 600", host_config=c.api.create_host_config(network_mode="py1"),
                                 networking_config=c.api.create_networking_config({"py1": c.api.create_endpoint_config(
                                     ipv4_address="10.81.0.77", aliases=["low"])}))
    c.api.start(raw["Id"])
    k = c.containers.get(raw["Id"])
    is_((nets(k)["py1"]["IPAddress"], nets(k)["py1"]["Aliases"]), ("10.81.0.77", ["low"]), "an endpoint of its own making")
    k.remove(force=True)
    m.remove()
    raises(NotFound, "removed", m.reload)


def ports():
    """ports of run, in all its forms."""
    k = c.containers.run(IMAGE, "sleep 600", detach=True, network="py1",
                         ports={"80/tcp": 18080, "81/tcp": ("127.0.0.1", 18081), "82/udp": None, "83/tcp": [18083, 18084]})
    until(lambda: (k.reload(), k.ports)[1].get("80/tcp"))
    p = k.ports
    is_(sorted(x["HostIp"] for x in p["80/tcp"]), ["0.0.0.0", "::"], "a number")
    is_({x["HostPort"] for x in p["80/tcp"]}, {"18080"}, "is that of the host")
    is_(p["81/tcp"], [{"HostIp": "127.0.0.1", "HostPort": "18081"}], "an address")
    ok(int(p["82/udp"][0]["HostPort"]) >= 1024, "any")
    is_(sorted({x["HostPort"] for x in p["83/tcp"]}), ["18083", "18084"], "a list")
    e = raises(APIError, "a port that is taken", lambda: c.containers.run(IMAGE, "true", detach=True, network="py1", name="pyl", ports={"80/tcp": 18080}))
    has(str(e), "port is already allocated", "in Docker's words")
    c.containers.get("pyl").remove(force=True)
    is_([x.id for x in c.containers.list(filters={"publish": "18080"})], [k.id], "list by publish")
    k.stop(timeout=0)
    k.reload()
    is_(k.ports, {}, "stopped: none")
    k.remove(force=True)


def prune():
    c.networks.create("py3")
    is_(c.networks.prune(filters={"label": ["nope"]})["NetworksDeleted"], None, "prune by a label that none has")
    is_(sorted(c.networks.prune()["NetworksDeleted"]), ["py1", "py3"], "prune")


sys.exit(run([networks, connect, ports, prune]))
