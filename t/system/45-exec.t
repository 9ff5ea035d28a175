#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Execs by the shim at the edges: many at once, beside the end of the container and the daemon's death, frozen, in a user namespace, looked
# at from inside, with a damaged filter; what is not the shim's to do goes to the runtime. Nothing is left over.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl jq python3 runc
find_docker
scratch
RUNC=$(command -v runc)
mkdir -p "$WORK/bin"
printf '#!/bin/sh\ncase " $* " in *" exec "*) echo "$*" >> %s/execs ;; esac\nexec %s "$@"\n' "$WORK" "$RUNC" > "$WORK/bin/runc"
cp "$WORK/bin/runc" "$WORK/bin/other"
chmod 755 "$WORK/bin/"*
export PATH="$WORK/bin:$PATH"
# ThreadSanitizer gives the shim a second thread, and what has two joins no mount namespace: the runtime does all then.
threads_join() {
	grep -qa __tsan_init "$DOCKERD" || return 0
	docker exec "$1" true
	grep -q 'by the runtime: join the namespaces' "$WORK/log" || return 0
	skip "execs by the shim" "it has a thread of ThreadSanitizer's"
	docker ps -aq | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f > /dev/null
	done_testing
}
runtime_execs() { cat "$WORK/execs" 2>/dev/null | wc -l; }
state() { docker inspect -f '{{.State.Status}}' "$1"; }
shim_of() { sed 's/.*"shim":\([0-9]*\).*/\1/' "$WORK/exec/containers/$(docker inspect -f '{{.Id}}' "$1")/shim.json"; }
children() { cat "/proc/$1/task/"*/children 2>/dev/null | wc -w; }
settles() { # want command...: what it prints in the end
	_want=$1
	shift
	for _i in $(seq $((20 * DKD_SLOW))); do [ "$("$@")" = "$_want" ] && break; sleep 0.1; done
	"$@"
}
calm() { # command...: what it prints when it prints the same twice, half a second apart
	_was=
	for _i in $(seq $((20 * DKD_SLOW))); do _is=$("$@"); [ "$_is" = "$_was" ] && break; _was=$_is; sleep 0.5; done
	echo "$_is"
}
open_files() { ls "/proc/$1/fd" | wc -l; }

printf '{"runtimes":{"other":{"path":"%s/bin/other"}}}' "$WORK" > "$WORK/daemon.json"
start_daemon -D; ok "starts" || done_testing
load_busybox > /dev/null; ok "an image"
docker run -d --name one --stop-timeout 0 busybox sh -c 'echo up; while :; do sleep 1000; done' > /dev/null 2>&1
says one up
docker exec one true; ok "an exec"
threads_join one
shim=$(shim_of one)
files=$(calm open_files "$shim")

for i in $(seq 24); do { docker exec one sh -c "echo $i; exit $i" > "$WORK/out.$i" 2>&1; echo "$?" >> "$WORK/out.$i"; } & done
for i in $(seq 24); do wait -n || true; done
for i in $(seq 24); do printf '%s\n%s\n' "$i" "$i"; done > "$WORK/want"
is "$(for i in $(seq 24); do cat "$WORK/out.$i"; done)" "$(cat "$WORK/want")" "24 at once, each with its own output and exit code"
is "$(settles "$files" open_files "$shim")" "$files" "the shim has as many files open as before"
is "$(settles 1 children "$shim")" 1 "and no child but the container"
seq 200000 > "$WORK/in"
is "$(docker exec -i one cat < "$WORK/in" | sha256sum)" "$(sha256sum < "$WORK/in")" "a stream goes in and out whole"
docker exec one sh -c 'kill -9 $$'
is "$?" 137 "killed by a signal"
x=$(api POST /containers/one/exec -H 'Content-Type: application/json' -d '{"Cmd":["sleep","777"]}' | sed 's/.*"Id":"\([0-9a-f]*\).*/\1/')
api POST "/exec/$x/start" -H 'Content-Type: application/json' -d '{"Detach":true}' > /dev/null
pid=$(api GET "/exec/$x/json" | sed 's/.*"Pid":\([0-9]*\).*/\1/')
is "$(tr '\0' ' ' < "/proc/$pid/cmdline")$(readlink "/proc/$pid/ns/pid")" "sleep 777 $(readlink "/proc/$(docker inspect -f '{{.State.Pid}}' one)/ns/pid")" "its pid is the host's"
kill -KILL "$pid"

docker run -d --name well --health-cmd true --health-interval 1s --stop-timeout 0 busybox sleep 1000 > /dev/null 2>&1
healthy() { docker inspect -f '{{.State.Health.Status}}' well; }
is "$(settles healthy healthy)" healthy "probes are execs, too"
docker rm -f well > /dev/null
by_runtime=$(runtime_execs)
[ "$by_runtime" = 0 ] || grep 'by the runtime' "$WORK/log" | sed 's/^/# /'
is "$by_runtime" 0 "the runtime had nothing to do with it"

# whose way is not the shim's
docker run -d --name other --runtime other --stop-timeout 0 busybox sleep 1000 > /dev/null 2>&1
is "$(docker exec other echo by it)" "by it" "another runtime's container"
is "$(runtime_execs)" $((by_runtime + 1)) "is that runtime's"
docker run -d --name user --privileged --stop-timeout 0 busybox unshare -U -r sleep 1000 > /dev/null 2>&1
sleep 0.5
if [ "$(readlink "/proc/$(docker inspect -f '{{.State.Pid}}' user)/ns/user")" != "$(readlink /proc/self/ns/user)" ]; then
	docker exec user readlink /proc/self/ns/user > "$WORK/out" 2>&1
	like "$(grep 'by the runtime' "$WORK/log")" "user namespace of its own" "a container in a user namespace of its own is left to the runtime"
else
	skip "a user namespace of its own" "none can be made here"
fi
docker rm -f other user > /dev/null

# An exec's stream by hand: its body, and from stdin what is done with the socket s.
by_hand() {
	{ cat <<'P'; cat; } | python3 - "$SOCK" "$(api POST /containers/one/exec -H 'Content-Type: application/json' -d "$1" | jq -r .Id)"
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
body = b'{"Detach":false,"Tty":false}'
s.sendall(b"POST /exec/%s/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n%s"
          % (sys.argv[2].encode(), len(body), body))
time.sleep(0.2)
P
}
# docker-py reads the head through a buffer, and the output past it: what came along with the head would be lost
is "$(by_hand '{"AttachStdout":true,"Cmd":["echo","hi"]}' <<'P'
print(s.recv(65536)[-4:], s.recv(65536))
P
)" "b'\\r\\n\\r\\n' b'\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x03hi\\n'" "output does not come before the head was read"
# nor is what a client sends lost that reads nothing and goes
by_hand '{"AttachStdin":true,"AttachStdout":true,"Cmd":["sh","-c","echo hi; cat > /sent; mv /sent /all-sent"]}' <<'P'
s.sendall(b"typed")
time.sleep(0.2)
P
comes typed docker exec one cat /all-sent
is "$(docker exec one cat /all-sent)" typed "what was sent by one who reads nothing and goes"
docker pause one > /dev/null
like "$(docker exec one true 2>&1)" 'is paused, unpause the container before exec' "paused"
docker unpause one > /dev/null
init=$(docker inspect -f '{{.State.Pid}}' one)
v1=/sys/fs/cgroup/freezer$(sed -n 's/^[0-9]*:freezer://p' "/proc/$init/cgroup") v2=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$init/cgroup")
if [ -e "$v1/freezer.state" ]; then freezer=$v1/freezer.state frozen=FROZEN thawed=THAWED; else freezer=$v2/cgroup.freeze frozen=1 thawed=0; fi
if [ -w "$freezer" ]; then
	echo "$frozen" > "$freezer"
	like "$(docker exec one true 2>&1)" 'paused container' "frozen by somebody else"
	echo "$thawed" > "$freezer"
	is "$(docker exec one echo on)" on "and thawed"
else
	skip "frozen by somebody else" "no freezer"
	skip "and thawed" "no freezer"
fi

# seen from inside: every process that comes, its program and its files
docker exec -d one sh -c 'while [ ! -e /enough ]; do for p in /proc/[0-9]*; do ls -l $p/exe $p/fd $p/cwd $p/root; cat $p/maps; echo x >> $p/exe; done; done > /seen 2> /dev/null; echo done >> /seen'
printf '#!/proc/self/exe\n' | docker exec -i one sh -c 'cat > /itself; chmod 755 /itself'
sums=$(sha256sum "$top_builddir/dockerd-shim" "$RUNC")
for i in $(seq 5); do docker exec one true; docker exec -it one true < /dev/null > /dev/null 2>&1; docker exec one /itself; docker exec one /itself join 1; docker exec -u 1000 one true; done > "$WORK/itself" 2>&1
docker exec one touch /enough
for i in $(seq $((20 * DKD_SLOW))); do docker exec one tail -n1 /seen | grep -q done && break; sleep 0.2; done
docker cp -q one:/seen "$WORK/seen"
unlike "$(cat "$WORK/seen")" "docker\.sock|$WORK|libexec|/plan|runc" "nothing of the host is seen in it"
is "$(sha256sum "$top_builddir/dockerd-shim" "$RUNC")" "$sums" "no program of the host was written to"
# a build with a sanitizer is no static program: its interpreter is not there
like "$(cat "$WORK/itself")" "started by dockerd, not by hand${SANITIZED:+|exec /itself: no such file}" "a program that is its starter gets a copy, which does nothing"
for fd in 3 4 5 6 7 8 9 10; do docker exec -w "/proc/self/fd/$fd" one pwd; done > "$WORK/out" 2>&1
unlike "$(cat "$WORK/out")" '^/' "a descriptor is no way out as a working folder"

# the container's end
for round in 1 2; do
	docker run -d --name brief --network none busybox sleep 0.6 > /dev/null 2>&1
	pids=
	for k in 1 2 3; do
		{ for i in 1 2 3 4 5; do docker exec brief true; echo "$?"; done > "$WORK/answers.$round.$k" 2>&1; } & pids="$pids $!"
	done
	# shellcheck disable=SC2086
	wait $pids
	is "$(settles exited state brief)" exited "execs to the end of a container ($round)"
	docker rm brief > /dev/null; ok "and it goes"
done
cat "$WORK"/answers.* | grep -vE '^(0|1|126|127|128|137)$|is not running|No such exec instance|cannot exec in a (stopped|container that has stopped)|OCI runtime exec failed|received (404|409)$' > "$WORK/odd"
is "$(cat "$WORK/odd")" "" "each was answered in words"

# the daemon's death
docker exec one rm -f /after
docker exec -d one sh -c 'sleep 1; echo over > /after'
docker exec one sh -c 'sleep 1' & inflight=$!
for i in 1 2 3 4; do docker exec one true > /dev/null 2>&1 & done
sleep 0.1
stop_daemon KILL > /dev/null 2>&1
wait "$inflight" 2> /dev/null
start_daemon -D; ok "a daemon after a killed one" || done_testing
: > "$WORK/execs"
is "$(docker exec one echo again)" again "an exec in what it took over"
is "$(settles over docker exec one cat /after)" over "those before went on"
is "$(settles 1 children "$(shim_of one)")" 1 "and are gone"
is "$(runtime_execs)" 0 "none by the runtime"
filter=$(ls "$WORK"/exec/seccomp/*)
is "$(stat -c '%U %a' "$WORK/exec/seccomp" "$filter" | tr '\n' ' ')" "root 700 root 600 " "filters are root's"
sum=$(sha256sum < "$filter")
stop_daemon KILL > /dev/null 2>&1
head -c 800 "$filter" > "$WORK/cut"; cat "$WORK/cut" > "$filter"
start_daemon -D; ok "one more" || done_testing
like "$(docker exec one grep Seccomp_f /proc/self/status)" '1$' "with a filter that was cut"
is "$(sha256sum < "$filter") $(runtime_execs)" "$sum 0" "it is compiled again, the same"
docker rm -f one > /dev/null; ok "rm"
is "$(shims | wc -l)" 0 "no shim stays"
done_testing
