# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the clients with faults in their requests have in common: nonsense, JSON that is none, the daemon's figures."""
import json

# Text of every kind that readers trip over, and numbers past each bound; both also stand where the other is expected.
TEXTS = ["", " ", "x" * 70000, "../../../etc/passwd", "/", "a\x00b", "\ud800", "a\nroot::0:0", "%s%n", "é\u202e", "-1", "0x10", "18446744073709551616", "\x7f\x1b[2J",
         "sha256:" + "0" * 64, "a" * 300, "::", "0-2147483647", "(((((((a+)+)+)+)+)+)+", "[", "1e999", "true", "null", "{}", ".", "..", "a/b:c@d"]
NUMBERS = ["0", "-1", "1.5", "-0", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e308", "1e999", "99999999999999999999999999",
           "2147483648", "4294967296", "1E2", "01", "0x10", "+1", ".5", "NaN", "Infinity"]
DEEP = "[" * 70 + "]" * 70


def status_of(pid, field):
    with open("/proc/%d/status" % pid) as f:
        return next(int(x.split()[1]) for x in f if x.startswith(field + ":"))


def rss(pid):
    return status_of(pid, "VmRSS")


def unreached(status, text):
    """Docker's answer about a registry that is not there, as in a test there is none."""
    return status == 500 and any(x in text for x in ('Get \\"http', "no such host", "malformed"))


class Raw(str):
    """Text that goes into the body as it is."""


def dump(v):
    if isinstance(v, Raw):
        return str(v).encode("latin1")
    if isinstance(v, dict):
        return b"{" + b",".join((dump(k) if isinstance(k, Raw) else json.dumps(k).encode()) + b":" + dump(x) for k, x in v.items()) + b"}"
    if isinstance(v, (list, tuple)):
        return b"[" + b",".join(dump(x) for x in v) + b"]"
    return json.dumps(v).encode()
