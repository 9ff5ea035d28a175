# SPDX-License-Identifier: LGPL-2.1-or-later
"""TAP for the clients of this folder."""
import os
import time
import traceback

SLOW = int(os.environ.get("DKD_SLOW", "3"))
count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    if not good:
        failed += 1
    print(("ok" if good else "not ok"), count, "-", what, flush=True)
    return good


def note(text):
    for line in str(text)[:1000].splitlines():
        print("#", line, flush=True)


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
    print(f"1..{count}")
    return failed != 0
