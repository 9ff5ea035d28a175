#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every file of the exec-root, damaged in every way while no daemon runs: at most that container's run is lost, it is noticed,
# and the container starts again and goes without a rest. One container a case, one start of the daemon for all.
. "${top_srcdir:?}/t/system/lib.sh" || exit 1
. "$top_srcdir/t/system/netlib.sh" || exit 1
need python3 mkfifo
: "${WORK:?}"
start_daemon -s overlay2
ok "starts" || done_testing
load_busybox > /dev/null
E=$WORK/exec
wreck() { # path way
	python3 - "$1" "$2" <<'PY'
import os, random, shutil, sys
path, way = sys.argv[1:]
kind = not os.path.isfile(path)
data = b"" if kind else open(path, "rb").read()
rng = random.Random(7)
if way in ("empty", "cut", "random"):
    n = 0 if way == "empty" else len(data) // 2
    with open(path, "r+b") as f:
        f.truncate(n)
        f.seek(n)
        if way == "random":
            f.write(bytes(rng.randrange(256) for _ in range(len(data) - n)))
elif way == "bit":
    data = bytearray(data)
    if data:
        data[len(data) // 2] ^= 4
    with open(path, "r+b") as f:
        f.write(data)
else:
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    if way == "folder":
        os.mkdir(path)
        open(path + "/within", "w").close()
    elif way == "file":
        open(path, "w").write("x")
    elif way == "fifo":
        os.mkfifo(path)
    elif way == "link":
        os.symlink("/nonexistent/here", path)
PY
}
# two ways of each file by turns; all with ALL=1
names=
_turn=${SEED:-0}
ways() { # file way...
	_f=$1
	shift
	if [ -n "${ALL:-}" ]; then set -- "$@"; else
		_turn=$((_turn + 2))
		_a=$((_turn % $#)) _b=$(((_turn + 1) % $#))
		_all=("$@")
		set -- "${_all[$_a]}" "${_all[$_b]}"
	fi
	for w in "$@"; do names="$names $_f-$w"; done
}
for f in shim.json sandbox state.json init.pid config.json runtime.log; do ways $f empty cut random bit missing folder fifo link; done
ways shim.sock missing folder file fifo link
ways run missing folder file fifo link
ways exit.json empty cut random bit missing folder fifo link
begin() { docker run -d --name "$1" --stop-signal KILL busybox sleep 1000 > /dev/null; }
file_of() { # kind id
	case $1 in
	sandbox) echo "$E/sandboxes/$2.json" ;;
	state.json) echo "$E/runtime/$2/state.json" ;;
	run) echo "$E/containers/$2" ;;
	*) echo "$E/containers/$2/$1" ;;
	esac
}
left_of() { # id: all that is left of a run
	find "$E/containers" "$E/sandboxes" "$E/runtime" -maxdepth 1 -name "$1*" 2>/dev/null
	find /sys/fs/cgroup -type d -name "*$1*" 2>/dev/null
	awk -v i="$1" 'index($5, i) { print $5 }' /proc/self/mountinfo
	for _p in $(pgrep dockerd-shim); do { tr '\0' ' ' < "/proc/$_p/cmdline"; } 2>/dev/null | grep -q "$1" && echo "shim $_p"; done
}
begin other
other=$(docker inspect -f '{{.State.Pid}}' other)
for n in $names; do begin "$n"; done
is "$(docker ps -q | wc -l)" "$(($(echo $names | wc -w) + 1))" "all run"
docker inspect -f '{{.Name}} {{.Id}} {{.State.Pid}}' $names | tr -d / > "$WORK/runs"
stop_daemon KILL 2>/dev/null
# those whose end is to be read: they end while no daemon looks
while read -r n _ pid; do case $n in exit.json-*) kill -KILL "$pid" ;; esac; done < "$WORK/runs"
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(find "$E/containers" -name exit.json | wc -l)" -ge "$(echo "$names" | grep -o 'exit[.]json' | wc -l)" ] && break; sleep 0.1; done
while read -r n i _; do
	wreck "$(file_of "${n%-*}" "$i")" "${n##*-}" || echo "# $n: $(file_of "${n%-*}" "$i") cannot be damaged"
done < "$WORK/runs"
echo "#$names"
begun=$(date +%s%N)
start_daemon -s overlay2
ok "starts on all of it"
echo "# answered after $((($(date +%s%N) - begun) / 1000000)) ms"
is "$(docker inspect -f '{{.State.Status}} {{.State.Pid}}' other)" "running $other" "what is whole goes on"
is "$(docker exec other echo within)" within "and can be used"
is "$(docker ps -aq | wc -l)" "$(($(echo $names | wc -w) + 1))" "none vanished"
warnings=$(docker info -f '{{range .Warnings}}{{println .}}{{end}}' 2>/dev/null)
dead() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
while read -r n i pid; do
	st=$(timeout $((20 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" inspect -f '{{.State.Status}}' "$n")
	case $st in
	running) dead "$pid" && st="said to run" ;;
	*) for _i in $(seq $((50 * DKD_SLOW))); do dead "$pid" && break; sleep 0.1; done; dead "$pid" || st="$st, but it lives" ;;
	esac
	case $n in
	shim.json-bit) ;; # may still be what it was
	shim.json-* | run-missing | sandbox-empty) like "$warnings" "container $(echo "$i" | cut -c1-12).*damaged" "$n: info says it" ;;
	esac
	like "$st" '^(running|exited)$' "$n: its state is true ($st)"
	was=$st
	bad=
	docker stop -t 1 "$n" > /dev/null 2> "$WORK/said" || bad="stop: $(cat "$WORK/said")"
	dead "$pid" || bad="$bad its process lives"
	docker start "$n" > /dev/null 2> "$WORK/said" || bad="$bad start: $(cat "$WORK/said")"
	[ "$(docker exec "$n" echo again 2>&1)" = again ] || bad="$bad exec"
	docker rm -f "$n" > /dev/null 2> "$WORK/said" || bad="$bad rm: $(cat "$WORK/said")"
	is "$bad" "" "$n: was $was; stops, starts, serves and goes"
	is "$(left_of "$i")" "" "$n: leaves nothing"
done < "$WORK/runs"
docker rm -f other > /dev/null
is "$(ls "$E/containers" "$E/sandboxes" "$E/runtime" "$E/netns" | grep -v ':$' | grep .)" "" "the exec-root is empty"
gone 0 "no interface is left"
is "$(shims)" "" "no shim is left"
done_testing
