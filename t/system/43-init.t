#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# --init with the program that comes along, on a host that has no docker-init.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc script
find_docker
scratch
mkdir "$WORK/bin"
ln -s "$(command -v runc)" "$WORK/bin/runc"
printf '#!/bin/sh\nPATH=%s exec %s "$@"\n' "$WORK/bin" "$DOCKERD" > "$WORK/start"
chmod 755 "$WORK/start"
DOCKERD=$WORK/start
start_daemon; ok "starts" || done_testing
case $(docker info -f '{{.InitBinary}}') in
*/dockerd-init) ;;
*) skip_all "this host has a docker-init where it is looked for" ;;
esac
load_busybox >/dev/null
run() { docker run --rm --network none --init "$@"; }
is "$(run busybox sh -c 'tr "\0" " " < /proc/1/cmdline' | cut -c1-26)" "/sbin/docker-init -- sh -c" "it is process 1"
run busybox sh -c 'exit 43'; is $? 43 "ends as the program does"
run busybox nosuch 2>"$WORK/err"; is $? 127 "a program that is not there"
like "$(cat "$WORK/err")" "exec nosuch failed: No such file or directory" "in words"
run busybox /etc 2>/dev/null; is $? 126 "one that cannot run"
run busybox sh -c 'kill -9 $$'; is $? 137 "one that was killed"
is "$(run busybox sh -c '(sleep 0.1 &) ; sleep 1; ps | grep -c "\[sleep\]"')" 0 "orphans are reaped"
docker run -d --name sig --network none --init busybox sh -c 'trap "exit 42" USR1 TERM; echo up; while :; do sleep 0.1; done' >/dev/null
says sig up
docker kill -s USR1 sig >/dev/null
is "$(docker wait sig)" 42 "signals are passed on"
docker start sig >/dev/null
ups() { docker logs sig | grep -c up; }
comes 2 ups
docker stop -t 5 sig >/dev/null
is "$(docker inspect -f '{{.State.ExitCode}}' sig)" 42 "that of stop, too"
docker rm sig >/dev/null
like "$(script -qec "$DOCKER -H unix://$SOCK run --rm -t --network none --init busybox sh -c 'ps -o pid,pgid,comm | grep sh; tty'" /dev/null </dev/null 2>&1 | tr -d '\r')" "/dev/(pts/0|console)" "with a terminal"
is "$(docker ps -aq | wc -l)" 0 "no container is left"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
