# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies of POST /containers/create against what Docker's daemon answered to them (TAP).

usage: matrix.py SOCKET FILE            compares the daemon at SOCKET with FILE (t/clients/matrix.tsv)
       matrix.py --record SOCKET FILE   prints FILE with the answers of that daemon in the column of Docker's

A line of the file: MARK, tab, BODY, tab, DOCKER, tab, OURS. An answer is a JSON list: status and message, or 201 and the warnings,
then status and message of a start where that is what refuses. OURS is only there where MARK is "~": it differs on purpose.
"=" rows must be equal, but that a 5xx of Docker's for a wrong body is a 400 here."""
import http.client
import json
import re
import socket
import sys


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("d", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def request(path, method, url, body=None):
    c = Connection(path)
    c.request(method, url, body, {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read().decode("utf-8", "replace")
    c.close()
    try:
        return r.status, json.loads(text)
    except ValueError:
        return r.status, {"message": text}


# What the host decides, ids, and the words that newer daemons put in front.
def plain(text):
    text = re.sub(r"[0-9a-f]{64}", "ID", text)
    text = re.sub(r"available: [0-9,-]+", "available: N", text)
    text = re.sub(r"to [0-9]+\.00, as there are only [0-9]+", "to N, as there are only N", text)
    return text.replace("failed to create task for container: ", "")


def ours_alone(warning):
    return warning.startswith("This daemon has no bridge network") or warning.startswith("IPv4 forwarding is disabled")


def ask(path, body, start):
    full = {"Image": "busybox:latest", "Cmd": ["true"]}
    full.update(json.loads(body))
    status, js = request(path, "POST", "/v1.41/containers/create", json.dumps(full))
    if status != 201:
        return [status, plain(js.get("message", ""))]
    got = [status, [plain(w) for w in js["Warnings"] or [] if not ours_alone(w)]]
    if start:
        status, js2 = request(path, "POST", "/v1.41/containers/%s/start" % js["Id"])
        got += [status, plain(js2.get("message", ""))]
    request(path, "DELETE", "/v1.41/containers/%s?force=1&v=1" % js["Id"])
    return got


def same(docker, got):
    if len(docker) != len(got):
        return False
    for d, g in zip(docker, got):
        if d != g and not (isinstance(d, int) and d >= 500 and g == 400):
            return False
    return True


def rows(name):
    with open(name, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                cells = line.rstrip("\n").split("\t")
                yield cells[0], cells[1], json.loads(cells[2]), json.loads(cells[3]) if len(cells) > 3 else None


def main():
    record = sys.argv[1] == "--record"
    path, name = sys.argv[1 + record:3 + record]
    n = bad = 0
    v2 = request(path, "GET", "/v1.41/info")[1].get("CgroupVersion") == "2"
    for mark, body, docker, ours in rows(name):
        if v2 and ("MemorySwappiness" in body or "OomKillDisable" in body):
            continue  # the answers are those of a host with v1
        got = ask(path, body, len(docker) > 2)
        if record:
            print("\t".join([mark, body, json.dumps(got)] + ([json.dumps(ours)] if ours else [])))
            continue
        n += 1
        fine = same(docker, got) if ours is None else got == ours
        bad += not fine
        print("%sok %d - %s" % ("" if fine else "not ", n, body.replace("#", "\\#")[:110]))
        if not fine:
            print("#  got: %s\n# want: %s" % (json.dumps(got), json.dumps(ours or docker)))
    if not record:
        status, js = request(path, "GET", "/v1.41/containers/json?all=1")
        n += 1
        print("%sok %d - no container is left" % ("" if js == [] else "not ", n))
        bad += js != []
        print("1..%d" % n)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
