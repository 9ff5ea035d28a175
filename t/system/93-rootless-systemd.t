#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A user's daemon below the systemd of the user: the installed unit, the driver systemd, limits that hold, and nothing left. It makes a user of the
# machine, and has systemd start a manager for him: for t/vm alone (t/vm/suites --systemd --modules tun -- 93-rootless-systemd).
# not apart: systemd mounts the user's folder where the machine sees it
[ ! -e /run/vm/env ] || DKD_APART=$$
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc rootlesskit slirp4netns newuidmap setpriv systemctl
[ -e /run/vm/env ] || skip_all "makes a user of the machine (t/vm)"
[ -d /run/systemd/system ] || skip_all "systemd does not run here"
[ -e /sys/fs/cgroup/cgroup.controllers ] || skip_all "the control groups are not v2 alone"
[ -c /dev/net/tun ] || skip_all "no /dev/net/tun"
find_docker
scratch
OWN=23123 FIRST=900000000 RUN=/run/user/23123
mkdir "$WORK/home"
chown $OWN:$OWN "$WORK/home"
echo "rootl:x:$OWN:$OWN::$WORK/home:/bin/sh" >> /etc/passwd
echo "rootl:x:$OWN:" >> /etc/group
echo "rootl:$FIRST:65536" | tee /etc/subuid > /etc/subgid
chmod 666 /dev/net/tun
as_user() { setpriv --reuid $OWN --regid $OWN --clear-groups env -i PATH="$PATH" HOME="$WORK/home" XDG_RUNTIME_DIR=$RUN "$@"; }
user() { as_user systemctl --user "$@"; }
told() { journalctl --no-pager -o cat -n 60 _UID=$OWN; }
trap 'systemctl stop user@23123.service; cleanup' EXIT
# without PAM, which may not know of systemd here: what a session would set
mkdir -p /run/systemd/system/user@$OWN.service.d
printf '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=%s HOME=%s\n' $RUN "$WORK/home" > /run/systemd/system/user@$OWN.service.d/session.conf
systemctl daemon-reload
systemctl start user@$OWN.service
is "$(systemctl is-active user@$OWN.service)" active "the user's systemd" || { systemctl --no-pager status user@$OWN.service user-runtime-dir@$OWN.service; journalctl --no-pager -n 30; ls -la /run/user; done_testing; }
[ -S $RUN/bus ]; ok "has a bus"
mkdir -p "$WORK/home/.config/systemd/user"
sed "s|^ExecStart=.*|ExecStart=$top_builddir/dockerd-rootless -D --plugin-dir $PLUGDIR|; /^ExecStart=/iEnvironment=DOCKERD_ROOTLESS_DOCKERD=$top_builddir/dockerd PATH=$PATH" \
	"$top_builddir/docs/packaging/systemd/dockerd-rootless.service" > "$WORK/home/.config/systemd/user/dockerd-rootless.service"
chown -R $OWN:$OWN "$WORK/home"
SOCK=$RUN/docker.sock
user daemon-reload
user start dockerd-rootless; ok "the unit starts" || { user --no-pager status dockerd-rootless; journalctl --no-pager -n 40; done_testing; }
is "$(user is-active dockerd-rootless)" active "ready by the daemon's word"
is "$(docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}')" "systemd 2" "the driver"
unlike "$(docker info 2>&1)" 'without cgroups|No memory limit|No pids limit' "without a warning of limits that are not there"
load_busybox > /dev/null; ok "an image"
BASE=/sys/fs/cgroup/user.slice/user-$OWN.slice/user@$OWN.service
group() { echo "$BASE/user.slice/docker-$1.scope"; }
gone() { for _i in $(seq $((50 * DKD_SLOW))); do [ -e "$1" ] || return 0; sleep 0.1; done; return 1; }
id=$(docker run -d --name aa -m 64m --pids-limit 100 -p 8080:80 busybox nc -ll -p 80 -e echo hello 2> "$WORK/said"); is "$(cat "$WORK/said")" "" "a container with limits"
is "$(user show -P ActiveState "docker-$id.scope")" active "has a scope of the user's systemd"
is "$(cat "$(group "$id")"/{memory.max,pids.max} | xargs)" "67108864 100" "with its limits"
is "$(user show -P MemoryMax -P TasksMax "docker-$id.scope" | xargs)" "67108864 100" "which systemd knows"
is "$(docker exec aa cat /proc/self/cgroup)" "0::/" "an exec is in the group"
is "$(docker stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' aa | sed 's, .*/,,')" "1 64MiB" "stats"
is "$(docker top aa -o pid | wc -l)" 2 "top"
reach() { busybox nc -w 10 127.0.0.1 8080 < /dev/null; }
comes hello reach; ok "a port"
docker pause aa > /dev/null; ok "paused"
is "$(cat "$(group "$id")/cgroup.freeze")" 1 "really"
docker unpause aa > /dev/null
docker update -m 128m --memory-swap 128m --pids-limit 50 aa > /dev/null; ok "an update"
is "$(cat "$(group "$id")"/{memory.max,pids.max} | xargs)" "134217728 50" "of both"
DAEMON=$(cat $RUN/docker.pid)
kill -KILL "$DAEMON"
again() { [ "$(cat $RUN/docker.pid 2> /dev/null)" != "$DAEMON" ] && curl -s --max-time 5 --unix-socket "$SOCK" http://d/_ping; }
comes OK again; ok "a killed daemon comes back"
is "$(docker inspect -f '{{.State.Running}}' aa) $(docker exec aa echo x)" "true x" "and has the container"
user reload dockerd-rootless; ok "reload"
docker rm -f aa > /dev/null
gone "$(group "$id")"; ok "the scope is gone with it"
docker run --name oo -m 48m --memory-swap 48m busybox sh -c 'x=$(head -c 100000000 /dev/zero | tr "\0" x); echo ${#x}' > /dev/null 2>&1
is "$? $(docker inspect -f '{{.State.OOMKilled}}' oo)" "137 true" "out of memory"
like "$(docker run --rm --pids-limit 8 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait' 2>&1)" "can't fork" "out of processes"
if command -v crun > /dev/null; then
	mkdir -p "$WORK/home/.config/docker"
	printf '{"runtimes":{"crun":{"path":"%s"}}}\n' "$(command -v crun)" > "$WORK/home/.config/docker/daemon.json"
	user reload dockerd-rootless
	is "$(docker run --rm --runtime crun -m 64m busybox cat /sys/fs/cgroup/memory.max 2>&1)" 67108864 "crun"
fi
id=$(docker run -d --restart always busybox sleep 1000)
user stop dockerd-rootless; ok "stops"
gone "$(group "$id")"; ok "with its containers"
is "$(user list-units --all --no-legend 'docker-*.scope' | wc -l)" 0 "nothing is left with systemd"
is "$(pgrep -l -u "$OWN,$FIRST" | grep -v 'systemd\|(sd-pam)\|dbus-daemon')" "" "nor a process"
user start dockerd-rootless; ok "starts again"
running() { docker inspect -f '{{.State.Running}}' "$id"; }
comes true running; ok "with what is always to run"
docker rm -f "$id" > /dev/null
[ $TAP_BAD -eq 0 ] || told
done_testing
