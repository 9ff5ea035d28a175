# SPDX-License-Identifier: LGPL-2.1-or-later
"""TAP, and a connection to the daemon's socket, for the clients of this folder."""
import http.client
import os
import socket
import time
import traceback

SLOW = int(os.environ.get("DKD_SLOW", "3"))
count = failed = 0


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("d", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ok(good, what, why=""):
    global count, failed
    count += 1
    if not good:
        failed += 1
    print(("ok" if good else "not ok"), count, "-", what, flush=True)
    if not good and why != "":
        note(f" got: {why!r}")
    return good


def note(text):
    for line in str(text)[:1000].splitlines():
        print("#", line, flush=True)


def small(good, what, why=""):
    """As ok, of a bound on memory: builds with a sanitizer keep what is freed, and shadows of it."""
    skipped = not good and os.environ.get("SANITIZED")
    ok(good or skipped, what + (" # SKIP memory of a build with a sanitizer says nothing" if skipped else ""), why)


def plan():
    """The last line; whether something failed."""
    print(f"1..{count}", flush=True)
    return failed != 0


def is_(got, want, what):
    if not ok(got == want, what):
        note(f" got: {got!r}")
        note(f"want: {want!r}")


def has(text, part, what):
    if not ok(part in text, what):
        note(f" got: {text!r}")
        note(f"want: ...{part!r}")


def skip(what, why):
    global count
    count += 1
    print(f"ok {count} - {what} # SKIP {why}", flush=True)


def raises(kind, what, fn, *args, **kwargs):
    """The error, whose text is str(e); another error, or none, is a failed check."""
    try:
        got = fn(*args, **kwargs)
    except kind as e:
        ok(True, what)
        return e
    except Exception as e:
        note(f"{type(e).__name__}: {e}")
    else:
        note(f"returned {got!r}")
    ok(False, what)
    return Exception("nothing was raised")


def until(fn, what=None, seconds=10):
    """Waits for fn() to be true, and checks it when it is named."""
    end = time.monotonic() + seconds * SLOW
    got = fn()
    while not got and time.monotonic() < end:
        time.sleep(0.05)
        got = fn()
    if what:
        ok(got, what)
    return got


def run(parts):
    """Each part is a function; what it raises is one failed check, and the next one goes on."""
    for part in parts:
        try:
            part()
        except Exception:
            note(traceback.format_exc()[-900:])
            ok(False, f"{part.__name__} goes through")
    return plan()
