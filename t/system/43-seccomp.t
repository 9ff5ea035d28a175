#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Seccomp as clients see it: profiles of a container's own, the daemon's, what is wrong with them, execs. What the built-in one decides for each
# call is test-seccomp's.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon --debug
ok "a daemon" || done_testing
load_busybox > /dev/null
run() { docker run --rm --network none "$@"; }
filtered() { grep -c 'Seccomp:.*2'; }
HEAD='"defaultAction":"SCMP_ACT_ALLOW"'
SYNC='"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38'
profile() { printf '%s' "$1" > "$WORK/profile.json"; printf 'seccomp=%s' "$WORK/profile.json"; }
made() { run --security-opt "$(profile "$1")" ${2:-} busybox sh -c 'mkdir /x 2> /dev/null; echo $?'; }
is "$(made "{$HEAD,\"syscalls\":[{$SYNC}]}")" 1 "a profile denies"
is "$(made "{$HEAD,\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]},{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":null}],\"syscalls\":[{$SYNC}]}")" 1 "with a map of architectures"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}}]}")" 0 "a rule for a capability that is not there"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}}]}" --cap-add=SYS_ADMIN)" 1 "and that is"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}}]}" --cap-add=SYS_ADMIN)" 0 "one that a capability rules out"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"includes\":{\"minKernel\":\"255.1\"}}]}")" 0 "one for kernels to come"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"includes\":{\"minKernel\":\"3.1\"}}]}")" 1 "and for this one"
is "$(made "{$HEAD,\"syscalls\":[{$SYNC,\"args\":[{\"index\":0,\"value\":18446744073709551615,\"valueTwo\":7,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}")" 0 "values of 64 bits"
is "$(run --security-opt "$(profile '{}')" busybox grep Seccomp: /proc/self/status | filtered)" 0 "an empty profile is none"
like "$(made "{$HEAD,\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":[{$SYNC}]}" 2>&1)" "^1$|seccomp flags are not yet supported by runc" "flags, or the runtime's words about them"
docker run -d --name own --network none --security-opt "$(profile "{$HEAD,\"syscalls\":[{$SYNC}]}")" busybox sleep 1000 > /dev/null
is "$(docker exec own sh -c 'mkdir /x 2> /dev/null; echo $?')" 1 "an exec has the container's"
is "$(docker exec --privileged own sh -c 'mkdir /x 2> /dev/null; echo $?')" 1 "and so has a privileged one"
is "$(docker inspect -f '{{index .HostConfig.SecurityOpt 0}}' own)" "seccomp={$HEAD,\"syscalls\":[{$SYNC}]}" "inspect shows it"
docker rm -f own > /dev/null

# what is wrong with one is said at the start, as Docker does
wrong() { # profile, pattern
	id=$(api POST /containers/create -H 'Content-Type: application/json' -d "$(jq -nc --arg p "$1" '{Image:"busybox",Cmd:["true"],HostConfig:{NetworkMode:"none",SecurityOpt:["seccomp="+$p]}}')" | jq -r .Id)
	like "$(api POST "/containers/$id/start" | jq -r .message)" "$2" "wrong: $1"
	docker rm "$id" > /dev/null
}
wrong '{' '^Decoding seccomp profile failed: '
wrong 'x' '^Decoding seccomp profile failed: '
wrong '[]' '^Decoding seccomp profile failed: '
wrong '/etc/passwd' '^Decoding seccomp profile failed: '
wrong "{$HEAD} x" '^Decoding seccomp profile failed: '
wrong '{"defaultAction":5}' '^Decoding seccomp profile failed: '
wrong "{$HEAD,\"syscalls\":[{\"name\":\"x\",\"names\":[\"y\"],\"action\":\"SCMP_ACT_ERRNO\"}]}" "^both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'$"
wrong "{$HEAD,\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\"}]}" "^both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'$"
wrong "{$HEAD,\"syscalls\":[{$SYNC,\"includes\":{\"minKernel\":\"5\"}}]}" '^Decoding seccomp profile failed: invalid kernel version: "5", expected "<kernel>.<major>"$'
wrong '{"defaultAction":"NOPE"}' 'NOPE is not a valid action'
wrong "{\"syscalls\":[{$SYNC}]}" 'is not a valid action'
wrong "{$HEAD,\"listenerPath\":\"$WORK/none.sock\",\"syscalls\":[{\"names\":[\"sync\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}" 'none.sock'
wrong "{$HEAD,\"syscalls\":[{\"names\":[\"sync\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}" 'listenerPath is not set'

# the daemon's own
stop_daemon
printf '{%s,"syscalls":[{%s}]}' "$HEAD" "$SYNC" > "$WORK/all.json"
start_daemon --seccomp-profile "$WORK/all.json"
like "$(docker info -f '{{.SecurityOptions}}')" "name=seccomp,profile=$WORK/all.json" "info tells of a profile for all"
made_by() { run "$@" busybox sh -c 'mkdir /x 2> /dev/null; echo $?'; }
is "$(made_by)" 1 "which all containers have"
is "$(made_by --security-opt seccomp=builtin)" 0 "but those that want the built-in one"
is "$(run --security-opt seccomp=builtin busybox grep Seccomp: /proc/self/status | filtered)" 1 "which is one"
is "$(made_by --security-opt seccomp=unconfined)" 0 "those that want none"
is "$(made_by --privileged)" 0 "and privileged ones"
is "$(made_by --privileged --security-opt "$(profile "{$HEAD,\"syscalls\":[{$SYNC}]}")")" 1 "without one of their own"
stop_daemon
start_daemon --seccomp-profile unconfined
like "$(docker info -f '{{.SecurityOptions}}')" "name=seccomp,profile=unconfined" "none for all"
is "$(run busybox grep Seccomp: /proc/self/status | filtered)" 0 "is none"
stop_daemon
like "$("$DOCKERD" --seccomp-profile "$WORK/none.json" --data-root "$WORK/d2" --exec-root "$WORK/e2" -H "unix://$WORK/s2" --pidfile "$WORK/p2" 2>&1)" "opening seccomp profile \($WORK/none.json\) failed" "a file that is not there ends the start"
done_testing
