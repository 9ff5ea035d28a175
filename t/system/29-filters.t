#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Filters of lists and of prune, by the docker CLI: what each lets pass, how values and keys add up, what is refused.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need python3
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
N="--network none"
sorted() { sort | paste -sd' '; }
by() { for _f; do printf -- '--filter %s ' "$_f"; done; }
ask() { api "$1" "$2?filters=$(python3 -c 'import urllib.parse, sys; print(urllib.parse.quote(sys.argv[1]))' "$3")"; }

# containers
tar c -C "$top_srcdir/t/system" lib.sh | docker import -c 'LABEL im=1' - derived:a > /dev/null
docker create --name fa -p 80 -p 8090-8092:90-92/udp -l a=1 -l b $N busybox true > /dev/null 2>&1
docker create --name fb -l a=2 -v fv:/x -v /tmp:/y --health-cmd true $N busybox true > /dev/null
docker run --name fc --network host busybox sh -c 'exit 3'
docker run -d --name fd --expose 80 --expose 100-102/udp --health-cmd true --health-interval 1h busybox sleep 1000 > /dev/null
docker run --name fe $N busybox true
docker run -d --name ff $N busybox sleep 1000 > /dev/null
docker pause ff > /dev/null
docker commit -c 'LABEL c=1' fe child:a > /dev/null
docker create --name fg $N child:a true > /dev/null
id=$(docker inspect -f '{{.Id}}' fa)
image=$(docker inspect -f '{{.Image}}' fa)
network=$(docker network inspect -f '{{.Id}}' host)
ps() { docker ps -a --format '{{.Names}}' $(by "$@") 2>&1 | sorted; }
while read -r want filters; do
	[ "$want" = - ] && want=
	# shellcheck disable=SC2086
	is "$(ps $filters)" "${want//,/ }" "ps: $filters"
done << EOF
fa,fb label=a
fa label=a=1
fa label=b
fa label=b=
- label=nosuch
fa label=a label=b
fb volume=fv
fb volume=/x
fb volume=/tmp
fb volume=/y
- volume=/z
fb volume=fv volume=/z
fc network=host
fd network=bridge
fc,fd network=host network=bridge
fc network=$network
fc network=${network:0:12}
fe exited=0
fc exited=3
fc,fe exited=0 exited=3
fc,fe status=exited
fa,fb,fg status=created
fd status=running
ff status=paused
- status=dead
- status=restarting
- status=removing
fa,fb,fc,fe,fg status=created status=exited
fd health=starting
fa,fb,fc,fe,ff,fg health=none
- health=unhealthy
fa,fb,fc,fd,fe,ff,fg ancestor=busybox
fa,fb,fc,fd,fe,ff,fg ancestor=$image
fa,fb,fc,fd,fe,ff,fg ancestor=${image:7:12}
fg ancestor=child:a
- ancestor=nosuch
fa,fb before=fc
fd,fe,ff,fg since=fc
fb,fc since=fa before=fd
- before=fa
fa name=^/fa\$
fa name=^fa\$
fa name=/fa
fa,fb name=f[ab]
fa,fb name=fa name=fb
fa id=${id:0:10}
- id=${id:3:10}
fa id=$id
- is-task=true
fa,fb,fc,fd,fe,ff,fg is-task=false
fd expose=80
fd expose=80/tcp
- expose=80/udp
fd expose=101/udp
fd expose=102-110/udp
fd expose=90 expose=80
- publish=80
fa label=a status=created name=fa
EOF
is "$(docker ps --format '{{.Names}}' | sorted)" "fd ff" "without -a: what runs"
is "$(docker ps --filter status=exited --format '{{.Names}}' | sorted)" "fc fe" "a status implies -a"
is "$(docker ps -n 2 --format '{{.Names}}' | sorted) $(docker ps -l --format '{{.Names}}')" "ff fg fg" "the last two, the last"
is "$(docker ps -n 2 -f label=a --format '{{.Names}}' | sorted)" "fa fb" "of those that pass"
is "$(docker ps -a --filter name=fd --format '{{.Ports}}')" "80/tcp, 100-102/udp" "ports that are open"
is "$(docker inspect -f '{{json .NetworkSettings.Ports}}' fd) $(docker inspect -f '{{json .NetworkSettings.Ports}}' fa)" \
	'{"100/udp":null,"101/udp":null,"102/udp":null,"80/tcp":null} {}' "inspect, of what runs only"
while IFS='|' read -r filters want; do
	is "$(ask GET /containers/json "$filters")" "{\"message\":\"$want\"}" "refused: $filters"
done << 'EOF'
{"foo":["x"]}|invalid filter 'foo'
{"label!":["x"]}|invalid filter 'label!'
{"status":["x"]}|Invalid filter 'status=x'
{"health":["x"]}|Unrecognised filter value for health: x
{"exited":["x"]}|strconv.Atoi: parsing \"x\": invalid syntax
{"is-task":["x"]}|invalid filter 'is-task=[x]'
{"publish":["x"]}|error while looking up for publish x: strconv.ParseUint: parsing \"x\": invalid syntax
{"publish":["70000"]}|error while looking up for publish 70000: strconv.ParseUint: parsing \"70000\": value out of range
{"publish":["80:90"]}|filter for 'publish' should not contain ':': 80:90
{"expose":["90-80"]}|error while looking up for expose 90-80: invalid range specified for port: 90-80
{"expose":["80-"]}|error while looking up for expose 80-: strconv.ParseUint: parsing \"\": invalid syntax
{"before":["nosuch"]}|no such container nosuch
{"since":["nosuch"]}|no such container nosuch
[]|invalid filter
x|invalid filter
{"name":"x"}|invalid filter
{"name":["x",1]}|invalid filter
EOF
is "$(ask GET /containers/json null | grep -o '"Names"' | wc -l) $(ask GET /containers/json '{}' | grep -o '"Names"' | wc -l)" "2 2" "null and {} ask for nothing"

# sizes
docker run --name big $N busybox sh -c 'head -c 4000 /dev/zero > /big'
is "$(docker ps -as --filter name=big --format '{{.Size}}' | sed 's/virtual .*/virtual/')" "4kB (virtual" "ps -s"
is "$(docker inspect -s -f '{{.SizeRw}}' big)" 4000 "inspect -s"
[ "$(docker inspect -s -f '{{.SizeRootFs}}' big)" = $(($(docker image inspect -f '{{.Size}}' busybox) + 4000)) ]
ok "with the image's bytes"
is "$(docker inspect -f '{{json .}}' big | grep -c SizeRw)" 0 "only when it is asked for"

# images
docker tag busybox:latest other/name:v1
images() { docker images -a --format '{{.Repository}}:{{.Tag}}' $(by "$@") 2>&1 | sorted; }
docker commit fe child:a > /dev/null # the older one has no name any more, but a container
while read -r want filters; do
	[ "$want" = - ] && want=
	# shellcheck disable=SC2086
	is "$(images $filters)" "${want//,/ }" "images: $filters"
done << EOF
derived:a label=im
derived:a label=im=1
- label=im=2
<none>:<none> label=c=1
busybox:latest reference=busybox
busybox:latest reference=busy*
busybox:latest reference=busybox:l*
other/name:v1 reference=*/name
busybox:latest,other/name:v1 reference=busybox reference=other/*
- reference=nosuch
<none>:<none> dangling=true
busybox:latest,child:a,derived:a,other/name:v1 dangling=false
<none>:<none>,child:a since=derived:a
busybox:latest,other/name:v1 before=derived:a
- since=child:a
EOF
is "$(ask GET /images/json '{"foo":["x"]}')" "{\"message\":\"invalid filter 'foo'\"}" "images: an unknown filter"
is "$(ask GET /images/json '{"dangling":["x"]}')" "{\"message\":\"invalid filter 'dangling=[x]'\"}" "a value that is none"
like "$(ask GET /images/json '{"before":["nosuch"]}')" 'No such image: nosuch' "an image that is not there"
is "$(ask GET /images/json "{\"until\":[\"$(date -u +%Y)-01-01\"]}" | grep -o '"Id"' | wc -l)" "$(docker images -q busybox | wc -l)" "until: what is older than this year"

# prune
prune() { docker "$1" prune -f $(by "${@:2}") 2>&1 | grep -v '^Deleted \(Con\|Ima\|Vol\|Net\)' | paste -sd' '; }
space() { grep -o 'Total reclaimed space: .*' <<< "$1" | cut -d' ' -f4; }
is "$(prune container label=nosuch)" "Total reclaimed space: 0B" "prune: nothing has that label"
is "$(prune container until=1h)" "Total reclaimed space: 0B" "nothing is an hour old"
like "$(ask POST /containers/prune '{"until":["1h","2h"]}')" "more than one until filter" "one time only"
like "$(ask POST /containers/prune '{"until":["x"]}')" 'invalid filter .until=\[x\].|failed to parse value' "what is no time"
like "$(ask POST /containers/prune '{"foo":["x"]}')" "invalid filter 'foo'" "an unknown filter"
got=$(prune container label=a=1)
like "$got" "$id" "by a label"
is "$(docker ps -aq | wc -l)" 7 "only that one"
got=$(prune container label!=a "until=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)")
is "$(space "$got") $(docker ps -a --format '{{.Names}}' | sorted)" "4kB fb fd ff" "without a label, until now: the bytes, and what runs stays"
docker image prune -f > /dev/null
is "$(images)" "busybox:latest child:a derived:a other/name:v1" "image prune: what has no name and no container"
is "$(prune image label=im=2) $(images label=im)" "Total reclaimed space: 0B derived:a" "a label that is not there"
docker rmi other/name:v1 > /dev/null
docker image prune -af --filter label!=im > /dev/null
is "$(images)" "busybox:latest derived:a" "image prune -a: names, too, but what is used and what is left out"
got=$(docker image prune -af --filter until=1h)
is "$(images) $(space "$got")" "busybox:latest derived:a 0B" "until"
got=$(docker image prune -af --filter "until=$(date +%s).5")
is "$(images)" "busybox:latest" "a time with a fraction"
[ "$(space "$got")" != 0B ]
ok "the space it took"

# volumes and networks
docker volume create --label va=1 va > /dev/null
docker volume create vb > /dev/null
docker create --name anon $N -v /anon busybox > /dev/null
docker rm anon > /dev/null
volumes() { docker volume ls --format '{{.Name}}' $(by "$@") 2>&1 | sed -E 's/^[0-9a-f]{64}$/ANON/' | sorted; }
for want in "va label=va" "va label=va=1" "va,vb name=v[ab]" "fv dangling=false" "ANON,va,vb dangling=true" "ANON,fv,va,vb driver=local" "- driver=nosuch"; do
	filters=${want#* } want=${want%% *}
	[ "$want" = - ] && want=
	is "$(volumes "$filters")" "${want//,/ }" "volumes: $filters"
done
docker volume prune -f > /dev/null
is "$(volumes)" "fv va vb" "volume prune: what nobody named"
docker volume prune -af --filter label=va=2 > /dev/null
is "$(volumes)" "fv va vb" "no such label"
docker volume prune -af --filter label!=va > /dev/null
is "$(volumes)" "fv va" "all, but by label"
docker volume prune -f --filter all=1 > /dev/null
is "$(volumes)" "fv" "all=1"
docker volume create -o type=tmpfs -o device=tmpfs vt > /dev/null
docker create --name anon $N --mount type=volume,dst=/anon,volume-opt=type=tmpfs,volume-opt=device=tmpfs busybox > /dev/null
docker rm anon > /dev/null
docker volume prune -af > /dev/null
api POST /v1.41/volumes/prune > /dev/null
is "$(volumes)" "ANON fv vt" "volumes with options are not pruned"
docker volume ls -q --filter dangling=true | xargs "$DOCKER" -H "unix://$SOCK" volume rm > /dev/null
networks() { docker network ls --format '{{.Name}}' $(by "$@") 2>&1 | sorted; }
for want in "bridge driver=bridge" "host,none driver=host driver=null" "host name=host" "host id=${network:0:8}" "bridge,host,none type=builtin" "- type=custom" \
	"bridge,host,none scope=local" "- scope=swarm" "- label=x" "- dangling=true" "bridge,host,none dangling=false"; do
	filters=${want#* } want=${want%% *}
	[ "$want" = - ] && want=
	# shellcheck disable=SC2086
	is "$(networks $filters)" "${want//,/ }" "networks: $filters"
done
like "$(networks foo=x)" "invalid filter 'foo'" "an unknown one"
is "$(prune network until=1h)$(prune network label!=x)" "" "network prune"
done_testing
