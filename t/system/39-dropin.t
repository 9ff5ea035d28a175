#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A data-root of Debian's dockerd opens here with all that is in it, and there again with ours. Skips where that daemon is not installed.
. "$(dirname "$0")/lib.sh" || exit 1
. "${top_srcdir:?}/t/system/theirlib.sh" || exit 1
need ip
need_theirs
scratch
NETARGS="--iptables=false --ip6tables=false"
# What one engine's bridges leave is no concern of the other.
no_bridges() { for _b in $(ip -o link show type bridge | awk -F': ' '{ print $2 }'); do ip link del "$_b"; done; }
stop_ours() { stop_daemon; no_bridges; }
compare() { # what command...: the same words of both, after the other's answer was kept in a file
	_f=$WORK/said.$1
	shift
	is "$(docker "$@" 2>&1 | sort)" "$(sort "$_f")" "the same: $1 $2"
}
keep() { _f=$WORK/said.$1; shift; theirs "$@" > "$_f" 2>&1; }

"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
start_theirs -s overlay2; ok "Debian's dockerd starts" || no_theirs
theirs load -q -i "$WORK/busybox.tar" >/dev/null
theirs tag busybox localhost:5000/a/b:c
theirs volume create --label x=y --label z= v1 >/dev/null
theirs volume create -o type=tmpfs -o device=tmpfs -o o=size=1m v2 >/dev/null
theirs network create --label l=1 --subnet 10.77.0.0/16 --gateway 10.77.0.9 --ip-range 10.77.5.0/24 --aux-address a=10.77.5.1 -o com.docker.network.bridge.name=brx n1 >/dev/null
theirs network create --ipv6 --subnet fd00:1::/64 --internal n2 >/dev/null
theirs network create n3 >/dev/null
theirs network create --config-only --subnet 10.80.0.0/24 nc >/dev/null
# interfaces of the host for networks without a bridge
ip link add dkdm0 type veth peer name dkdm1 && ip link set dkdm0 up && ip link set dkdm1 up
theirs network create -d macvlan --subnet 10.82.0.0/24 --subnet 10.83.0.0/24 --ipv6 --subnet fd00:82::/64 -o parent=dkdm0 -o macvlan_mode=vepa nm >/dev/null
theirs network create -d ipvlan --subnet 10.84.0.0/24 -o parent=dkdm1 ni >/dev/null
theirs run --name stopped -v v1:/d -v /anon --network n1 --ip 10.77.7.7 -e A=b --label q=1 busybox sh -c 'echo in >/d/f; echo own >/own; echo said; rm -f /etc/group; exit 3' >/dev/null
theirs create --name made --restart on-failure:3 --network n3 -m 32m busybox sh -c 'cat /d 2>/dev/null; echo ran' >/dev/null
theirs run -d --name ran --network none busybox sleep 1000 >/dev/null
theirs commit stopped committed:1 >/dev/null
# its records keep the path as the image has it
theirs commit -c 'VOLUME up' stopped with-volume >/dev/null
theirs create --name relative --network none with-volume sh -c 'echo to >> /up/f; grep -c " /up " /proc/mounts; cat /up/f' >/dev/null
theirs rm -f ran >/dev/null
IMG='{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}'
keep images images --no-trunc --format "$IMG"
keep ps ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Networks}}'
keep volumes volume ls --format '{{.Name}} {{.Driver}}'
keep v1 volume inspect -f '{{json .Labels}} {{json .Options}}' v1
keep v2 volume inspect -f '{{json .Labels}} {{json .Options}}' v2
keep networks network ls --no-trunc --format '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}'
for n in n2 nm ni; do keep $n network inspect -f '{{.Id}} {{.Driver}} {{.Internal}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}{{json .Options}}' $n; done
for n in n1 n3 nc; do keep $n network inspect -f '{{.Id}} {{.Created}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.ConfigOnly}} {{json .IPAM.Config}} {{json .Options}} {{json .Labels}}' $n; done
keep stopped inspect -f '{{.Id}} {{.Created}} {{.Path}} {{json .Args}} {{json .State.ExitCode}} {{.Image}} {{json .Config.Env}} {{json .Config.Labels}} {{json .HostConfig.Binds}} {{(index .NetworkSettings.Networks "n1").IPAMConfig.IPv4Address}}' stopped
keep made inspect -f '{{.Id}} {{json .HostConfig.RestartPolicy}} {{.HostConfig.Memory}} {{.State.Status}}' made
keep diff diff stopped
keep logs logs stopped
# --- while it runs, its data-root is left alone
! start_daemon --storage-driver=overlay2; ok "while the other engine runs, this one does not start"
like "$(tail -n 3 "$WORK/log")" "in use by another engine" "and says why"
stop_theirs; no_bridges

# --- ours
start_daemon --storage-driver=overlay2; ok "the data-root opens here" || done_testing
! start_theirs -s overlay2; ok "while this one runs, the other does not start"
like "$(tail -n 3 "$WORK/theirs.log")" "volume store metadata database: timeout" "for its database is locked"
TPID=
compare images images --no-trunc --format "$IMG"
compare ps ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.Labels}} {{.Networks}}'
compare volumes volume ls --format '{{.Name}} {{.Driver}}'
compare v1 volume inspect -f '{{json .Labels}} {{json .Options}}' v1
compare v2 volume inspect -f '{{json .Labels}} {{json .Options}}' v2
compare networks network ls --no-trunc --format '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}'
for n in n2 nm ni; do compare $n network inspect -f '{{.Id}} {{.Driver}} {{.Internal}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}{{json .Options}}' $n; done
for n in n1 n3 nc; do compare $n network inspect -f '{{.Id}} {{.Created}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.ConfigOnly}} {{json .IPAM.Config}} {{json .Options}} {{json .Labels}}' $n; done
compare stopped inspect -f '{{.Id}} {{.Created}} {{.Path}} {{json .Args}} {{json .State.ExitCode}} {{.Image}} {{json .Config.Env}} {{json .Config.Labels}} {{json .HostConfig.Binds}} {{(index .NetworkSettings.Networks "n1").IPAMConfig.IPv4Address}}' stopped
compare made inspect -f '{{.Id}} {{json .HostConfig.RestartPolicy}} {{.HostConfig.Memory}} {{.State.Status}}' made
compare diff diff stopped
compare logs logs stopped
docker start -a stopped >/dev/null 2>&1; is "$?" 3 "its stopped container starts"
is "$(docker logs stopped | tr '\n' ' ')" "said said " "and its log goes on"
is "$(docker start -a made 2>&1)" ran "its created one, too"
is "$(docker start -a relative 2>&1 | paste -sd' ') $(docker cp relative:/up/f - | tar -xO)" "1 to to" "one with a volume at a relative path"
is "$(docker run --rm --network n1 -v v1:/d busybox sh -c 'cat /d/f; ip -4 -o addr show eth0' | tr '\n' ' ' | grep -c 'in .*10\.77\.5\.')" 1 "a new one on its network and volume"
docker save committed:1 | tar -t >/dev/null; ok "its images can be saved"
docker rm made >/dev/null; docker network rm n3 >/dev/null; ok "its network can be removed"
docker run --name mine -v mine:/m -v v1:/d busybox sh -c 'echo mine > /m/f; echo mine > /own' ; ok "one of ours"
docker commit mine mine:1 >/dev/null; docker tag busybox mine:2; docker rmi localhost:5000/a/b:c >/dev/null
docker volume rm v2 >/dev/null
docker volume create --label own=1 --label q= -o type=tmpfs -o device=tmpfs -o o=size=1m ours >/dev/null
docker network create --label o=1 --subnet 10.90.0.0/16 --gateway 10.90.0.9 --ip-range 10.90.5.0/24 --aux-address a=10.90.5.1 \
	-o com.docker.network.bridge.name=bry -o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.enable_icc=false --attachable o1 >/dev/null
docker network create --ipv6 --subnet 172.30.0.0/24 --subnet fd00:2::/64 --internal o2 >/dev/null
docker network create o3 >/dev/null
docker network create --config-only --subnet 10.91.0.0/24 --label c=1 oc >/dev/null
docker network create -d macvlan --subnet 10.93.0.0/24 --gateway 10.93.0.9 --subnet 10.94.0.0/24 --ipv6 --subnet fd00:93::/64 --label m=1 -o parent=dkdm0 om >/dev/null
docker network create -d ipvlan --subnet 10.95.0.0/24 -o parent=dkdm1 -o ipvlan_mode=l3 oi >/dev/null
docker network rm nm >/dev/null
docker create --name onours --network o1 --ip 10.90.7.7 busybox sh -c 'ip -4 -o addr show eth0; cat /sys/class/net/eth0/mtu' >/dev/null
docker volume inspect -f '{{json .Labels}} {{json .Options}}' ours > "$WORK/said.ours"
SHOW='{{.Id}} {{.Name}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.ConfigOnly}} {{json .IPAM.Config}} {{json .Options}} {{json .Labels}}'
for n in o1 o2 o3 oc om oi; do docker network inspect -f "$SHOW" $n; done > "$WORK/said.own"
docker create --name waiting --label w=1 busybox echo waited >/dev/null
docker images --no-trunc --format "$IMG" > "$WORK/said.images"
docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Command}} {{.Labels}}' > "$WORK/said.ps"
stop_ours; ok "and stops"

# --- and back
start_theirs -s overlay2; ok "the other engine opens it again" || no_theirs
is "$(theirs images --no-trunc --format "$IMG" | sort)" "$(sort "$WORK/said.images")" "with our images and tags"
is "$(theirs ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Command}} {{.Labels}}' | sort)" "$(sort "$WORK/said.ps")" "and containers"
is "$(theirs start -a waiting 2>&1)" waited "which start"
is "$(theirs run --rm -v mine:/m mine:1 cat /m/f /own | tr '\n' ' ')" "mine mine " "our image and our volume"
is "$(theirs volume inspect -f '{{json .Labels}}' v1)" "$(sed 's/ null$//; s/ {}$//' "$WORK/said.v1")" "its own volume's labels are there"
like "$(theirs volume inspect v2 2>&1)" "no such volume" "what was removed here is gone"
is "$(theirs volume inspect -f '{{json .Labels}} {{json .Options}}' ours)" "$(cat "$WORK/said.ours")" "our volume's labels and options"
is "$(for n in o1 o2 o3 oc om oi; do theirs network inspect -f "$SHOW" $n; done)" "$(cat "$WORK/said.own")" "our networks"
is "$(theirs network ls -q --filter name=nm) $(grep -ac "$(cut -d' ' -f1 "$WORK/said.nm")" "$WORK/root/network/files/local-kv.db")" " 0" "of one that we removed nothing is left"
like "$(theirs run --rm --network om --ip 10.93.0.77 busybox ip -4 -o addr show eth0 2>&1)" "10\.93\.0\.77/24" "its containers are on our macvlan network"
like "$(theirs network inspect n3 2>&1)" "n3 not found" "without the one that we removed"
like "$(theirs start -a onours 2>&1 | tr '\n' ' ')" "10\.90\.7\.7/16 .* 1400 " "our container starts on our network"
theirs start -a stopped >/dev/null 2>&1; is "$?" 3 "its own container still starts"
theirs rm -f onours >/dev/null; theirs network rm o3 >/dev/null
is "$(theirs network inspect -f '{{.Id}}' n1)" "$(cut -d' ' -f1 "$WORK/said.n1")" "on its own network"
theirs rm -f stopped >/dev/null; theirs network rm n1 >/dev/null; theirs network create --label again=1 n4 >/dev/null
theirs volume create --label new=1 v3 >/dev/null
four=$(theirs network inspect -f '{{.Id}}' n4)
stop_theirs; no_bridges

# --- what became different meanwhile
start_daemon --storage-driver=overlay2; ok "and here once more"
is "$(docker network ls --no-trunc --format '{{.Name}} {{.ID}}' | grep '^[no]' | sort | sed 's/\(n[^4o].*\|none\|o.\) .*/\1/' | tr '\n' ' ')" "n2 n4 $four nc ni none o1 o2 oc oi om " "networks: removed there, removed here, made there and here"
is "$(docker volume inspect -f '{{json .Labels}}' v3)" '{"new":"1"}' "a volume made there"
! docker inspect stopped >/dev/null 2>&1; ok "a container removed there"
docker volume create --label killed=1 k1 >/dev/null; docker network create k2 >/dev/null; docker network rm o2 >/dev/null
kill -9 $DPID; wait $DPID 2>/dev/null; DPID=
start_daemon --storage-driver=overlay2; ok "after a kill"
is "$(grep -ac '"killed":"1"' "$WORK/root/volumes/metadata.db") $(grep -ac '"name":"k2"' "$WORK/root/network/files/local-kv.db")" "1 1" "the next start tells the other's databases what was made before"
stop_ours
is "$("$DOCKERD" --check --config-file "$WORK/daemon.json" --data-root "$WORK/root" --exec-root "$WORK/exec" --storage-driver overlay2 --plugin-dir "$PLUGDIR" > "$WORK/check" 2>&1; echo $?)" 0 "dockerd --check finds nothing" || sed 's/^/# /' "$WORK/check"
# --- a data-root of our own
rm -rf "$WORK/root"/* "$WORK/root"/.[!.]*
start_daemon --storage-driver=overlay2; ok "a new data-root"
docker volume create --label a=b first >/dev/null; docker network create --subnet 10.92.0.0/24 second >/dev/null
! start_theirs -s overlay2; ok "is locked for the other engine, too"; TPID=
stop_ours
start_theirs -s overlay2; ok "which opens it then" || no_theirs
is "$(theirs volume inspect -f '{{json .Labels}}' first) $(theirs network inspect -f '{{(index .IPAM.Config 0).Subnet}}' second)" '{"a":"b"} 10.92.0.0/24' "and finds what is in it"
stop_theirs; no_bridges
done_testing
