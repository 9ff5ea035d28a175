#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root of Debian's dockerd opens here with all that is in it, and there again with ours. Skips where that daemon is not installed.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc jq ip
DEBIAN=${DEBIAN_DOCKERD:-/usr/sbin/dockerd}
[ -x "$DEBIAN" ] && command -v containerd >/dev/null || skip_all "Debian's dockerd is not installed (package docker.io)"
[ "${DKD_APART:-}" = $$ ] && unshare -n true 2>/dev/null || skip_all "no network namespaces"
find_docker
scratch
NETARGS="--iptables=false --ip6tables=false"
echo '{}' > "$WORK/theirs.json"
TPID=
start_theirs() {
	"$DEBIAN" -H "unix://$WORK/theirs.sock" --data-root "$WORK/root" --exec-root "$WORK/theirs" -p "$WORK/theirs.pid" --config-file "$WORK/theirs.json" \
		-s overlay2 --iptables=false --ip6tables=false > "$WORK/theirs.log" 2>&1 < /dev/null &
	TPID=$!
	for _i in $(seq $((100 * DKD_SLOW))); do
		curl -s --max-time 5 --unix-socket "$WORK/theirs.sock" http://d/_ping >/dev/null 2>&1 && return 0
		kill -0 $TPID 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
stop_theirs() {
	kill $TPID 2>/dev/null
	wait $TPID 2>/dev/null
	TPID=
	# what another engine's bridges leave is no concern of the next
	for _b in $(ip -o link show type bridge | awk -F': ' '{ print $2 }'); do ip link del "$_b"; done
}
stop_ours() {
	stop_daemon
	for _b in $(ip -o link show type bridge | awk -F': ' '{ print $2 }'); do ip link del "$_b"; done
}
theirs() { "$DOCKER" -H "unix://$WORK/theirs.sock" "$@"; }
compare() { # what command...: the same words of both, after the other's answer was kept in a file
	_f=$WORK/said.$1
	shift
	is "$(docker "$@" 2>&1 | sort)" "$(sort "$_f")" "the same: $1 $2"
}
keep() { _f=$WORK/said.$1; shift; theirs "$@" > "$_f" 2>&1; }

"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
start_theirs; ok "Debian's dockerd starts" || { tail -n 5 "$WORK/theirs.log" | sed 's/^/# /'; done_testing; }
theirs load -q -i "$WORK/busybox.tar" >/dev/null
theirs tag busybox localhost:5000/a/b:c
theirs volume create --label x=y --label z= v1 >/dev/null
theirs volume create -o type=tmpfs -o device=tmpfs -o o=size=1m v2 >/dev/null
theirs network create --label l=1 --subnet 10.77.0.0/16 --gateway 10.77.0.9 --ip-range 10.77.5.0/24 --aux-address a=10.77.5.1 -o com.docker.network.bridge.name=brx n1 >/dev/null
theirs network create --ipv6 --subnet fd00:1::/64 --internal n2 >/dev/null
theirs network create n3 >/dev/null
theirs network create --config-only --subnet 10.80.0.0/24 nc >/dev/null
theirs run --name stopped -v v1:/d -v /anon --network n1 --ip 10.77.7.7 -e A=b --label q=1 busybox sh -c 'echo in >/d/f; echo own >/own; echo said; rm -f /etc/group; exit 3' >/dev/null
theirs create --name made --restart on-failure:3 --network n3 -m 32m busybox sh -c 'cat /d 2>/dev/null; echo ran' >/dev/null
theirs run -d --name ran --network none busybox sleep 1000 >/dev/null
theirs commit stopped committed:1 >/dev/null
theirs rm -f ran >/dev/null
IMG='{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}'
keep images images --no-trunc --format "$IMG"
keep ps ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Networks}}'
keep volumes volume ls --format '{{.Name}} {{.Driver}}'
keep v1 volume inspect -f '{{json .Labels}} {{json .Options}}' v1
keep v2 volume inspect -f '{{json .Labels}} {{json .Options}}' v2
keep networks network ls --no-trunc --format '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}'
keep n2 network inspect -f '{{.Id}} {{.Internal}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}' n2
for n in n1 n3 nc; do keep $n network inspect -f '{{.Id}} {{.Created}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.ConfigOnly}} {{json .IPAM.Config}} {{json .Options}} {{json .Labels}}' $n; done
keep stopped inspect -f '{{.Id}} {{.Created}} {{.Path}} {{json .Args}} {{json .State.ExitCode}} {{.Image}} {{json .Config.Env}} {{json .Config.Labels}} {{json .HostConfig.Binds}} {{(index .NetworkSettings.Networks "n1").IPAMConfig.IPv4Address}}' stopped
keep made inspect -f '{{.Id}} {{json .HostConfig.RestartPolicy}} {{.HostConfig.Memory}} {{.State.Status}}' made
keep diff diff stopped
keep logs logs stopped
# --- while it runs, its data-root is left alone
! start_daemon --storage-driver=overlay2; ok "while the other engine runs, this one does not start"
like "$(tail -n 3 "$WORK/log")" "in use by another engine" "and says why"
stop_theirs

# --- ours
start_daemon --storage-driver=overlay2; ok "the data-root opens here" || done_testing
compare images images --no-trunc --format "$IMG"
compare ps ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Networks}}'
compare volumes volume ls --format '{{.Name}} {{.Driver}}'
compare v1 volume inspect -f '{{json .Labels}} {{json .Options}}' v1
compare v2 volume inspect -f '{{json .Labels}} {{json .Options}}' v2
compare networks network ls --no-trunc --format '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}'
compare n2 network inspect -f '{{.Id}} {{.Internal}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}' n2
for n in n1 n3 nc; do compare $n network inspect -f '{{.Id}} {{.Created}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.ConfigOnly}} {{json .IPAM.Config}} {{json .Options}} {{json .Labels}}' $n; done
compare stopped inspect -f '{{.Id}} {{.Created}} {{.Path}} {{json .Args}} {{json .State.ExitCode}} {{.Image}} {{json .Config.Env}} {{json .Config.Labels}} {{json .HostConfig.Binds}} {{(index .NetworkSettings.Networks "n1").IPAMConfig.IPv4Address}}' stopped
compare made inspect -f '{{.Id}} {{json .HostConfig.RestartPolicy}} {{.HostConfig.Memory}} {{.State.Status}}' made
compare diff diff stopped
compare logs logs stopped
docker start -a stopped >/dev/null 2>&1; is "$?" 3 "its stopped container starts"
is "$(docker logs stopped | tr '\n' ' ')" "said said " "and its log goes on"
is "$(docker start -a made 2>&1)" ran "its created one, too"
is "$(docker run --rm --network n1 -v v1:/d busybox sh -c 'cat /d/f; ip -4 -o addr show eth0' | tr '\n' ' ' | grep -c 'in .*10\.77\.5\.')" 1 "a new one on its network and volume"
docker save committed:1 | tar -t >/dev/null; ok "its images can be saved"
docker rm made >/dev/null; docker network rm n3 >/dev/null; ok "its network can be removed"
docker run --name mine -v mine:/m -v v1:/d busybox sh -c 'echo mine > /m/f; echo mine > /own' ; ok "one of ours"
docker commit mine mine:1 >/dev/null; docker tag busybox mine:2; docker rmi localhost:5000/a/b:c >/dev/null
docker volume rm v2 >/dev/null
docker create --name waiting --label w=1 busybox echo waited >/dev/null
docker images --no-trunc --format "$IMG" > "$WORK/said.images"
docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Command}} {{.Labels}}' > "$WORK/said.ps"
stop_ours; ok "and stops"

# --- and back
start_theirs; ok "the other engine opens it again" || { tail -n 5 "$WORK/theirs.log" | sed 's/^/# /'; done_testing; }
is "$(theirs images --no-trunc --format "$IMG" | sort)" "$(sort "$WORK/said.images")" "with our images and tags"
is "$(theirs ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Command}} {{.Labels}}' | sort)" "$(sort "$WORK/said.ps")" "and containers"
is "$(theirs start -a waiting 2>&1)" waited "which start"
is "$(theirs run --rm -v mine:/m mine:1 cat /m/f /own | tr '\n' ' ')" "mine mine " "our image and our volume"
is "$(theirs volume inspect -f '{{json .Labels}}' v1)" "$(sed 's/ null$//; s/ {}$//' "$WORK/said.v1")" "its own volume's labels are there"
like "$(theirs volume inspect v2 2>&1)" "no such volume" "what was removed here is gone"
theirs start -a stopped >/dev/null 2>&1; is "$?" 3 "its own container still starts"
is "$(theirs network inspect -f '{{.Id}}' n1)" "$(cut -d' ' -f1 "$WORK/said.n1")" "on its own network"
theirs rm -f stopped >/dev/null; theirs network rm n1 >/dev/null; theirs network create --label again=1 n4 >/dev/null
theirs volume create --label new=1 v3 >/dev/null
four=$(theirs network inspect -f '{{.Id}}' n4)
stop_theirs

# --- what became different meanwhile
start_daemon --storage-driver=overlay2; ok "and here once more"
is "$(docker network ls --no-trunc --format '{{.Name}} {{.ID}}' | grep '^n' | sort | sed 's/\(n[^4o].*\|none\) .*/\1/' | tr '\n' ' ')" "n2 n4 $four nc none " "networks: removed there, removed here, made there"
is "$(docker volume inspect -f '{{json .Labels}}' v3)" '{"new":"1"}' "a volume made there"
! docker inspect stopped >/dev/null 2>&1; ok "a container removed there"
stop_ours
is "$("$DOCKERD" --check --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" --storage-driver overlay2 --plugin-dir "$PLUGDIR" > "$WORK/check" 2>&1; echo $?)" 0 "dockerd --check finds nothing" || sed 's/^/# /' "$WORK/check"
done_testing
