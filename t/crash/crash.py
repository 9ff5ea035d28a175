#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Crash test. In each round workers use the API; at a random moment the daemon is killed (MODE=kill) or the power is cut
(MODE=powercut); then it starts again, and what it says is compared with what it had acknowledged. At last everything is
removed, and what stays is counted. Needs root, runc, and for MODE=powercut a loop device.

  MODE       kill, powercut, or both separated by a space
  WORKLOADS  load pull squash import commit churn exec tagrmi volume life mixed
  ROUNDS     of each workload and mode
  SEED       the same seed makes the same schedule; FIRST: the round to begin with
  WORKERS    threads
  ACKS       acknowledgements that a round waits for at first; SPAN: the longest time from there to the blow, in seconds
  RESTART_DELAY  seconds between the blow and the start; without it 0, half the time with the dead daemon left a zombie
  SLOW       a start that takes longer shows its log (1 s)
  KEEP=1     keeps the folder when a round fails; STOP=1: ends at the first failure
"""
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check import Checker                           # noqa: E402
from work import BASE, WORKLOADS, Model, Worker     # noqa: E402
from world import World                             # noqa: E402

ENV = os.environ.get
ROUNDS, FIRST = int(ENV("ROUNDS", "3")), int(ENV("FIRST", "0"))
SEED = ENV("SEED", "1")
SPAN = float(ENV("SPAN", "0.7"))
ACKS, PATIENCE = int(ENV("ACKS", "4")), 20.0
SLOW = float(ENV("SLOW", "1"))
WORKER_COUNT = int(ENV("WORKERS", "3"))
ALL = list(WORKLOADS) + ["mixed"]
IMAGES = ["load", "pull", "squash", "import", "tagrmi"]     # after these the store is read by --check, too


def blow(world, rng):
    delay = ENV("RESTART_DELAY")
    if world.mode == "powercut":
        world.power_cut()
        return
    world.kill(leave_zombie=delay is None and rng.random() < 0.5)
    time.sleep(float(delay or 0))


def wait_for_acks(client, before, workers):
    end = time.monotonic() + PATIENCE
    while client.acked < before + ACKS and time.monotonic() < end and any(w.thread.is_alive() for w in workers):
        time.sleep(0.005)


def warned(lines):
    """What the daemon warned of, whatever the object: a crash may interrupt, it may not damage."""
    said = [re.search(r'level=(?:warning|error).*?msg="((?:[^"\\]|\\.)*)"', line) for line in lines]
    return [re.sub(r"[0-9a-f]{8,}|\d+(x\d+)?", "N", m.group(1)) for m in said if m]


def one_round(world, checker, workload, number):
    rng = random.Random(f"{SEED}/{world.mode}/{workload}/{number}")
    model = Model()
    workers = [Worker(world, model, random.Random(rng.random()), workload, i) for i in range(WORKER_COUNT)]
    before = world.client.acked
    for w in workers:
        w.thread.start()
    wait_for_acks(world.client, before, workers)
    time.sleep(rng.uniform(0.0, SPAN))
    refused = [w.error for w in workers if w.error]
    for w in workers:
        w.stop = True
    blow(world, rng)
    for w in workers:
        w.thread.join()
    if world.mode == "kill":    # a file system that is gone refuses, too
        refused = [w.error for w in workers if w.error]
    acked = world.client.acked - before
    world.log_new()
    took = world.start()
    lines, found = world.log_new(), []
    world.registry.forget()
    if workload in IMAGES:
        found = world.check()
    lost = found + checker.lost(model) + [f"warning: {w}" for w in warned(lines) if "damaged" in w or "not in the layer store" in w]
    leaked = checker.strays() + checker.remove_all() + checker.leaks()
    return acked, took, lines, refused, lost, leaked


def campaign(world, checker, workload):
    sums = {"rounds": 0, "acked": 0, "refused": 0, "lost": 0, "leaked": 0}
    slowest, least, warnings = 0.0, None, {}
    for number in range(FIRST, FIRST + ROUNDS):
        acked, took, lines, *found = one_round(world, checker, workload, number)
        slowest, least = max(slowest, took), acked if least is None else min(least, acked)
        for what in warned(lines):
            warnings[what] = warnings.get(what, 0) + 1
        if took > SLOW:
            print(f"# {world.mode} {workload} round {number}: the start took {took:.2f} s", *lines, sep="\n#   ", flush=True)
        sums["rounds"] += 1
        sums["acked"] += acked
        for what, items in zip(("refused", "lost", "leaked"), found):
            sums[what] += len(items)
            for item in items[:20]:
                print(f"# seed {SEED} {world.mode} {workload} round {number}: {what}: {item}", flush=True)
        if any(found):
            checker.remember()      # the next round answers for itself
        if any(found) and ENV("STOP"):
            break
    for what, times in sorted(warnings.items()):
        print(f"# {world.mode} {workload}: {times} x {what}", flush=True)
    good = not (sums["refused"] or sums["lost"] or sums["leaked"])
    figures = ", ".join(f"{v} {k}" for k, v in sums.items())
    print(f"{'ok' if good else 'not ok'} - {world.mode} {workload}: {figures}; at least {least or 0} acked a round; starts in at most {slowest:.2f} s", flush=True)
    return good


def load_base(world):
    here = os.path.dirname(os.path.abspath(__file__))
    data = subprocess.run([here + "/../tools/mkimage", BASE], check=True, stdout=subprocess.PIPE).stdout
    world.client.call("POST", "/images/load?quiet=1", data, "application/x-tar")


def run_mode(mode, workloads):
    world = World(mode)
    good = False
    try:
        checker = Checker(world)
        with open(world.dir + "/daemon.json", "w", encoding="ascii") as f:
            f.write("{}")
        world.start()
        load_base(world)
        world.client.call("POST", "/volumes/create", {"Name": "first"})
        world.client.call("DELETE", "/volumes/first")
        pool = checker.addresses()
        checker.remember()
        checker.base = settled(checker)
        good = all([campaign(world, checker, w) for w in workloads])
        left = checker.addresses()
        print(f"{'ok' if left == pool else 'not ok'} - {mode}: the pool gives {left} of {pool} addresses", flush=True)
        good = good and left == pool
    finally:
        if not good:
            print("# " + world.log_tail(40).replace("\n", "\n# "))
        world.close(keep=bool(ENV("KEEP")) and not good)
    return good


def settled(checker):
    """The clean state, once nothing of the first containers is on its way out any more."""
    last = checker.base
    while True:
        time.sleep(0.3)
        checker.w.reap()
        now = checker.look()
        if now["names"] == last["names"]:
            return now
        last = now


def main():
    if "--inside" not in sys.argv:
        # Namespaces of its own, this as process 1 in them: all ends with it.
        args = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--mount", "--propagation", "private"]
        os.execvp(args[0], args + [sys.executable, os.path.abspath(__file__), "--inside"])
    workloads = ENV("WORKLOADS", " ".join(ALL)).split()
    unknown = [w for w in workloads if w not in ALL]
    if unknown:
        sys.exit(f"unknown workload {unknown[0]}; there are {' '.join(ALL)}")
    sys.exit(0 if all([run_mode(m, workloads) for m in ENV("MODE", "kill powercut").split()]) else 1)


if __name__ == "__main__":
    main()
