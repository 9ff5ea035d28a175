#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a default container gets and what not: system calls, devices, paths, capabilities, groups; and what of requests never reaches the host.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
start_daemon -D
ok "the daemon starts" || done_testing
load_busybox > /dev/null
post() { api POST "$1" -H 'Content-Type: application/json' -d "$2"; }

if ${CC:-cc} -static -O1 -w -o "$WORK/probe" "$top_srcdir/t/tools/probe.c" 2> "$WORK/cc.log"; then
	docker create --name probe --network none busybox:latest /probe > /dev/null
	docker cp -q "$WORK/probe" probe:/probe
	docker start -a probe > "$WORK/doors" 2>&1
	is "$(grep -Ev '^(denied|known) ' "$WORK/doors")" "" "no door is open"
	known="none|known socketcall AF_VSOCK: behind a pointer"
	[ ! -e /sys/kernel/security/apparmor/profiles ] || ! command -v apparmor_parser > /dev/null || known=none
	like "$(grep '^known ' "$WORK/doors" || echo none)" "^($known)$" "but the one that no filter closes and AppArmor does"
	[ "$(grep -c '^denied ' "$WORK/doors")" -ge 96 ]
	ok "of $(grep -c '^denied ' "$WORK/doors")"
	docker rm probe > /dev/null
else
	skip "no door is open" "no compiler that links statically"
fi

docker run -d --name cc --network none busybox:latest sleep 1000 > /dev/null
docker exec cc sh -c 'echo "app:x:1000:1000::/:/bin/sh" >> /etc/passwd; printf "app:x:1000:\nextra:x:77:app\nother:x:78:root\n" >> /etc/group'
caps() { docker exec ${1:-} cc sh -c 'grep ^Cap /proc/self/status' | tr -d '\t\n'; }
is "$(caps)" "CapInh:0000000000000000CapPrm:00000000a80425fbCapEff:00000000a80425fbCapBnd:00000000a80425fbCapAmb:0000000000000000" "an exec has Docker's fourteen capabilities, none inheritable or ambient"
is "$(caps '-u 1000')" "CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000CapBnd:00000000a80425fbCapAmb:0000000000000000" "one of another user has none in effect"
is "$(docker run --rm --network none -u 1000 busybox:latest sh -c 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status' | tr -d '\t\n')" \
	"CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000CapAmb:0000000000000000" "nor has a container of another user"
is "$(docker exec -u app cc id -G)" "1000 77" "the groups of a user are its own and those of /etc/group"
is "$(docker exec -u 1000:5 cc id -G)" "5" "a group that is given is the only one"
like "$(docker exec cc cat /proc/self/status)" 'Seccomp:[[:space:]]*2' "an exec is filtered, too"
is "$(docker exec cc ls -l /proc/self/fd 2>&1 | grep -c ' -> ')" 3 "no descriptor of the daemon is in a container" 

# values that would be more than one
refused() { # body part, description
	like "$(post /containers/create "{\"Image\":\"busybox\",\"HostConfig\":{\"NetworkMode\":\"none\",$1}}" -o /dev/null; api_status POST /containers/create -H 'Content-Type: application/json' -d "{\"Image\":\"busybox\",\"HostConfig\":{\"NetworkMode\":\"none\",$1}}")" '400$' "$2"
}
refused '"Sysctls":{"kernel.shm_rmid_forced":"1+kernel.core_pattern=|/x"}' "a sysctl within a value"
refused '"Sysctls":{"kernel.shm_rmid_forced":"1\nkernel.core_pattern=|/x"}' "on another line"
refused '"Sysctls":{"kernel.core_pattern":"|/x"}' "one of the host"
refused '"Sysctls":{"net/../kernel/core_pattern":"|/x"}' "by way of another"
refused '"CpusetCpus":"0-2147483647"' "more processors than there are"
refused '"CpusetCpus":"0-,1"' "a list that is none"
refused '"CpusetMems":"0-2147483647"' "more memory nodes"

# labels and annotations are words
docker create --name ll --network none --label io.containerd.runtime=evil-label --label run.oci.handler=evil-label --label org.systemd.property.ExecStop=evil-label \
	busybox:latest sleep 1000 > /dev/null
docker start ll > /dev/null
is "$(find "$WORK/exec" -name config.json -exec grep -l evil-label {} + | wc -l)" 0 "labels do not reach the runtime's configuration"
docker rm -f ll > /dev/null

# secrets
auth=$(printf '{"username":"u","password":"canary-secret"}' | base64 -w0)
api POST '/images/create?fromImage=busybox&tag=x' -H "X-Registry-Auth: $auth" > /dev/null
post /auth '{"username":"u","password":"canary-secret","serveraddress":"http://127.0.0.1:1"}' > /dev/null
docker exec -e TOKEN=canary-secret cc true
post /containers/create '{"Image":"busybox","Env":["TOKEN=canary-secret"],"HostConfig":{"NetworkMode":"nosuch"}}' > /dev/null
post /containers/create '{"Image":"busybox","Env":["TOKEN=canary-secret"],"Cmd":7}' > /dev/null
is "$(grep -c -e canary-secret -e "$auth" "$WORK/log")" 0 "no secret is in the log at debug level"
is "$(api GET "/events?since=1&until=$(date +%s)" | grep -c canary-secret)" 0 "nor in an event"

is "$(stat -c %a:%u "$WORK/root")" 710:0 "the data-root is closed to others"
is "$(stat -c %a:%u "$WORK/exec")" 700:0 "the exec-root to all"
is "$(stat -c %a "$SOCK")" 660 "the socket to others"
is "$(stat -c %a:%u "$WORK/root/containers" | cut -d: -f1 | tr -d '\n')" 710 "the containers to others"
is "$(grep -c '@' /proc/net/unix | head -1)" "$(grep '@' /proc/net/unix | grep -vc -i -e dkd -e shim)" "no socket has an abstract name"

if command -v strace > /dev/null; then
	strace -f -qq -e trace=openat,open,creat,mkdir,mkdirat -o "$WORK/trace" -p "$DPID" & tracer=$!
	sleep 1
	docker run --rm --network none busybox:latest true
	docker load -q -i "$WORK/busybox.tar" > /dev/null
	kill "$tracer"
	wait "$tracer" 2> /dev/null
	is "$(grep -F '"/tmp/' "$WORK/trace" | grep -vF "$WORK" | head -3)" "" "nothing is opened in /tmp"
else
	skip "nothing is opened in /tmp" "strace is not installed"
fi
docker rm -f cc > /dev/null
stop_daemon
is "$?" 0 "the daemon ends"
done_testing
