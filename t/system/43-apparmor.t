#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# AppArmor: the default profile in the kernel, who is confined by it, by another, by none; execs of both kinds; what it denies.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
start_daemon --debug
ok "a daemon" || done_testing
load_busybox > /dev/null
profile() { docker inspect -f '{{.AppArmorProfile}}' "$1"; }
id=$(docker create --security-opt apparmor=docker-default busybox true)
is "$(profile "$id")" docker-default "the option is told before a start"
KERNEL=/sys/kernel/security/apparmor/profiles
if [ ! -e "$KERNEL" ]; then
	docker start "$id" > /dev/null
	is "$(profile "$id")" "" "without AppArmor no profile is told after it"
	unlike "$(docker info -f '{{.SecurityOptions}}')" apparmor "nor by info"
	skip "AppArmor" "the kernel has none"
	done_testing
fi
command -v apparmor_parser > /dev/null || { skip "AppArmor" "no apparmor_parser"; done_testing; }
loaded() { grep -c '^docker-default (enforce)' "$KERNEL"; }
like "$(docker info -f '{{.SecurityOptions}}')" "^\[name=apparmor name=seccomp" "info tells"
is "$(loaded)" 1 "the default profile is in the kernel"
docker run -d --name aa busybox sleep 10000 > /dev/null
is "$(profile aa)" docker-default "inspect names it"
current() { docker exec "$@" cat /proc/self/attr/current; }
is "$(docker exec aa cat /proc/1/attr/current)" "docker-default (enforce)" "the container is confined"
if command -v aa-status > /dev/null; then
	aa-status --json > "$WORK/aa"
	is "$(jq -r '.profiles["docker-default"]' "$WORK/aa")" enforce "aa-status has the profile"
	is "$(jq -r --arg pid "$(docker inspect -f '{{.State.Pid}}' aa)" '.processes[][] | select(.pid == $pid) | "\(.profile) \(.status)"' "$WORK/aa")" "docker-default enforce" \
		"and the container's process"
fi
is "$(current aa)" "docker-default (enforce)" "and so is an exec"
is "$(current -t aa | tr -d '\r')" "docker-default (enforce)" "with a terminal, too"
is "$(current --privileged aa)" "docker-default (enforce)" "and a privileged one"
is "$(current -u 1000 aa)" "docker-default (enforce)" "and another user's"
is "$(grep -c 'by the runtime' "$WORK/log")" 0 "the shim did them all"
docker exec aa sh -c 'echo b > /proc/sysrq-trigger' 2> /dev/null
is $? 1 "which may not write to /proc/sysrq-trigger"
like "$(docker exec --privileged aa sh -c 'mount -t tmpfs x /tmp 2>&1')" "denied|not permitted" "nor mount, whatever its capabilities"
is "$(docker exec aa sh -c 'sleep 100 & kill $! && echo ended')" ended "but signal its own"
is "$(docker exec aa sh -c 'echo x > /tmp/f && cat /tmp/f')" x "and write files"
docker kill aa > /dev/null
is "$(docker wait aa)" 137 "the daemon may end it"
docker start aa > /dev/null
docker stop -t 1 aa > /dev/null
is "$(docker inspect -f '{{.State.Running}}' aa)" false "and stop it"
is "$(docker run --rm --security-opt apparmor=unconfined busybox cat /proc/self/attr/current)" unconfined "unconfined"
docker run -d --name pp --privileged busybox sleep 10000 > /dev/null
is "$(profile pp) $(current pp)" "unconfined unconfined" "a privileged container"
is "$(docker exec --privileged pp sh -c 'mount -t tmpfs x /tmp && echo mounted')" mounted "which may mount"
printf 'profile dkd-test flags=(attach_disconnected) {\n file,\n capability,\n network,\n signal,\n deny /secret r,\n}\n' | apparmor_parser -r -K
docker run -d --name own --security-opt apparmor=dkd-test busybox sh -c 'echo x > /secret; sleep 10000' > /dev/null
is "$(profile own) $(current own)" "dkd-test dkd-test (enforce)" "a profile of the host's"
like "$(docker exec own cat /secret 2>&1)" "Permission denied" "and its rules"
like "$(docker run --rm --security-opt apparmor=none-such busybox true 2>&1)" "apparmor" "a profile that is not there: the runtime's words"
is $? 0 "name it"
docker rm -f own pp > /dev/null
printf 'profile dkd-test { }\n' | apparmor_parser -R
# taken away behind the daemon's back
printf 'profile docker-default { }\n' | apparmor_parser -R
is "$(loaded)" 0 "a profile that somebody removed"
docker start aa > /dev/null
is "$(loaded) $(current aa)" "1 docker-default (enforce)" "is back with the next start"
is "$(profile aa)" docker-default "and told"
printf 'profile docker-default { }\n' | apparmor_parser -R
is "$(current aa) $(loaded)" "docker-default (enforce) 1" "one that somebody removed beside a running container is back with an exec"
need_apart
parser=$(readlink -f "$(command -v apparmor_parser)")
cat > "$WORK/broken" <<'PARSER'
#!/bin/sh
echo "no such feature"
exit 3
PARSER
chmod +x "$WORK/broken"
printf 'profile docker-default { }\n' | apparmor_parser -R
mount --bind "$WORK/broken" "$parser"
like "$(docker run --rm busybox true 2>&1 | tr '\n' ' ')" "AppArmor enabled on system but the docker-default profile could not be loaded: running '[a-z/]*/apparmor_parser -Kr' failed with output: no such feature +error: exit status 3" "a profile that is refused: no container starts"
is "$(docker run --rm --security-opt apparmor=unconfined busybox cat /proc/self/attr/current)" unconfined "but those that do not want it"
umount "$parser"
mount --bind /dev/null "$parser"
stop_daemon
start_daemon --debug
is "$(grep -c 'apparmor_parser.* binary is missing' "$WORK/log")" 1 "without the program to load it: a warning"
docker run -d --name bare busybox sleep 10000 > /dev/null
is "$(docker exec bare cat /proc/self/attr/current)$(profile bare)" unconfined "and containers that are not confined, as in Docker"
docker rm -f bare > /dev/null
umount "$parser"
docker run -d --name bare busybox sleep 10000 > /dev/null
is "$(profile bare) $(docker exec bare cat /proc/self/attr/current)" "docker-default docker-default (enforce)" "until it is there"
mount --bind /dev/null "$parser"
is "$(docker exec bare cat /proc/self/attr/current)" "docker-default (enforce)" "a profile in the kernel needs none"
umount "$parser"
docker rm -f bare > /dev/null
if command -v crun > /dev/null; then
	printf '{"runtimes":{"crun":{"path":"%s"}}}\n' "$(command -v crun)" > "$WORK/daemon.json"
	stop_daemon
	start_daemon
	is "$(docker run --rm --runtime crun busybox cat /proc/self/attr/current)" "docker-default (enforce)" "crun"
fi
docker rm -f aa > /dev/null
done_testing
