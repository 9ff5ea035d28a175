# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an ended daemon may have left beside containers that are still there: marks of creates, run folders, the runtime's state,
sandboxes and namespaces of what does not run, files of execs, fifos that nobody waits at."""
import os

from world import Refused


def names(path):
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def strays(world):
    there = world.client.get("/containers/json?all=1")
    running, paused, auto, spaces = set(), set(), set(), {"default"}
    for x in there:
        try:
            info = world.client.get(f"/containers/{x['Id']}/json")
        except Refused:
            continue        # it has just gone
        if info["HostConfig"]["AutoRemove"]:
            auto.add(x["Id"])
        if info["State"]["Running"] and not info["State"]["Restarting"]:
            running.add(x["Id"])
            paused |= {x["Id"]} if info["State"]["Paused"] else set()
            spaces.add(os.path.basename(info["NetworkSettings"]["SandboxKey"]))
    return marks(world, {x["Id"] for x in there}, auto) + run_folders(world, running, paused) + runtime(world, running) + sandboxes(world, running, spaces)


def marks(world, there, auto):
    path = world.root + "/containers"
    bad = [f"container {c} has no record" for c in names(path) if c not in there]
    for c in names(path):
        bad += [f"a create's mark of {c}" for n in names(f"{path}/{c}") if n == "unfinished" and c not in auto]
        bad += [f"container {c}: {n}" for n in names(f"{path}/{c}") if n.startswith(".tmp-")]
    return bad


def run_folders(world, running, paused):
    """An exec that a pause came into waits for its end."""
    path = f"{world.exec}/d/containers"
    bad = [f"run folder of {c}, which does not run" for c in names(path) if c not in running]
    for c in set(names(path)) - paused:
        bad += [f"run folder of {c}: {n}" for n in names(f"{path}/{c}") if n.startswith(("exec-", ".tmp-"))]
    return bad


def runtime(world, running):
    path = f"{world.exec}/d/runtime"
    bad = [f"the runtime's state of {c}, which does not run" for c in names(path) if c not in running]
    for c in names(path):
        bad += [f"the runtime's state of {c}: {n}" for n in names(f"{path}/{c}") if "fifo" in n]
    return bad


def sandboxes(world, running, spaces):
    bad = [f"sandbox {n}" for n in names(f"{world.exec}/d/sandboxes") if n.split(".")[0] not in running]
    return bad + [f"network namespace {n}" for n in names(f"{world.exec}/d/netns") if n not in spaces]
