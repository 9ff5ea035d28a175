#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Images and containers collected by policy: by age, by use, under pressure of the disk; what is used, kept or labelled stays.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc mkfs.ext4 jq
find_docker
scratch
mkdir -p "$WORK/root"
truncate -s 160M "$WORK/img" && mkfs.ext4 -q -m 0 -F "$WORK/img" && mount -o loop "$WORK/img" "$WORK/root" || skip_all "no loop device"
policy() { printf '{"gc":%s}\n' "$1" > "$WORK/daemon.json"; }
collected() { grep -c 'msg="collected ' "$WORK/log"; }
reload() { # policy: set, and until it was looked at, which its end says
	_n=$(collected)
	policy "$1"
	kill -HUP "$DPID"
	for _i in $(seq $((100 * DKD_SLOW))); do [ "$(collected)" -gt "$_n" ] && return 0; sleep 0.1; done
	return 1
}
names() { docker images --format '{{.Repository}}:{{.Tag}}' | sort | tr '\n' ' '; }
make_image() { # name created label size-in-MB
	head -c "$(($4 * 1048576))" /dev/urandom > "$WORK/f"
	tar -C "$WORK" -cf "$WORK/layer.tar" f
	_d=$(sha256sum < "$WORK/layer.tar" | cut -d' ' -f1)
	printf '{"architecture":"amd64","os":"linux","created":"%s","config":{"Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$2" "$3" "$_d" > "$WORK/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" > "$WORK/manifest.json"
	tar -C "$WORK" -c manifest.json config.json layer.tar | docker load -q >/dev/null
}
# --- what is no policy is refused
for bad in '{"hgih":80}' '{"high":101}' '{"high":"80"}' '{"high":50,"low":60}' '{"unused":"soon"}' '{"unused":3}' '{"interval":"1ms"}' '{"keep-last":-1}' '{"filters":"label=a"}' '{"filters":["until=1h"]}'; do
	policy "$bad"
	said=$("$DOCKERD" --validate --config-file "$WORK/daemon.json" 2>&1)
	[ $? -ne 0 ] && printf '%s' "$said" | grep -q '"gc"'
	ok "refused: $bad" || printf '# %s\n' "$said"
done
echo '{}' > "$WORK/daemon.json"
start_daemon --storage-driver=overlay2; ok "starts without a policy" || done_testing
load_busybox >/dev/null
make_image repo:1 2020-01-01T00:00:00Z '' 1
make_image repo:2 2021-01-01T00:00:00Z '' 1
make_image repo:3 2022-01-01T00:00:00Z '' 1
make_image labelled:1 2020-01-01T00:00:00Z '"keep":"yes"' 1
make_image inuse:1 2020-01-01T00:00:00Z '' 1
docker create --name holds inuse:1 x >/dev/null
docker tag repo:1 other:1
docker run --name ended busybox true
docker run --name policied --restart on-failure:2 busybox true
docker run --name marked --label keep=yes busybox true
docker create --name fresh busybox true >/dev/null
docker run -d --name runs busybox sleep 1000 >/dev/null
id=$(docker inspect -f '{{.Id}}' busybox:latest)
used=$WORK/root/image/overlay2/imagedb/metadata/sha256/${id#sha256:}/lastUsed
like "$(cat "$used")" '^20[0-9]{2}-[0-9]{2}-.*Z$' "a start notes that the image was used"
! [ -e "$(dirname "$used")/../$(docker inspect -f '{{.Id}}' inuse:1 | cut -c8-)/lastUsed" ]; ok "and of no other"
sleep 0.3
is "$(collected)" 0 "without a policy nothing is collected"
# --- containers
reload '{"containers":"1ns","filters":["label!=keep"]}'; ok "containers: a reload brings a policy"
is "$(docker ps -a --format '{{.Names}}' | sort | tr '\n' ' ')" "marked policied runs " "ended ones go; those that run, have a policy or the label stay"
is "$(names)" "busybox:latest inuse:1 labelled:1 other:1 repo:1 repo:2 repo:3 " "no image went"
docker create --name holds inuse:1 x >/dev/null
# --- images, by age
docker events --since "$(date +%s)" --filter type=daemon --filter type=image --format '{{.Type}} {{.Action}} {{.Actor.Attributes.images}}' > "$WORK/events" & events=$!
reload '{"unused":"1ns","keep-last":1,"filters":["label!=keep"]}'; ok "images: another policy"
is "$(names)" "busybox:latest inuse:1 labelled:1 other:1 repo:1 repo:3 " "the newest of each repository stay, what is used, and the label"
for _i in $(seq $((50 * DKD_SLOW))); do grep -q "daemon gc 1" "$WORK/events" && break; sleep 0.1; done
kill $events; wait $events 2>/dev/null
is "$(grep -E 'gc|untag|delete' "$WORK/events" | grep -v 'gc 0' | tr '\n' ' ' | sed 's/<no value>//g')" "image untag  image delete  daemon gc 1 " "events"
like "$(grep collected "$WORK/log")" 'image sha256:[0-9a-f]+ .repo:2. is collected: it was not used for long' "and a line in the log"
docker rmi other:1 repo:1 repo:3 labelled:1 >/dev/null
# --- under pressure: those that were not used longest, until it is low
for i in 1 2 3; do make_image big:$i 2020-01-0${i}T00:00:00Z '' 20; done
percent() { df --output=used,avail "$WORK/root" | awk 'NR == 2 { print int(($1 * 100 + $1 + $2 - 1) / ($1 + $2)) }'; }
# a tag counts as a use
docker tag big:1 big:again
p=$(percent)
policy "{\"high\":$((p - 1)),\"low\":$((p - 17))}"; kill -HUP "$DPID"
for _i in $(seq $((50 * DKD_SLOW))); do grep -q 'nothing more may be collected' "$WORK/log" && break; sleep 0.1; done
is "$(names)" "big:1 big:2 big:3 big:again busybox:latest inuse:1 " "what came within the last hour stays, however full it is"
like "$(grep 'nothing more' "$WORK/log" | head -1)" "$WORK/root is [0-9]+ percent full" "which is said"
reload "{\"high\":$((p - 1)),\"low\":$((p - 17)),\"min-age\":\"0s\"}"; ok "full: with no age"
is "$(names)" "big:1 big:again busybox:latest inuse:1 " "those not used longest go, until there is room"
[ "$(percent)" -le $((p - 17)) ]; ok "and there is"
# --- a policy that is none changes nothing
policy '{"high":"x"}'; kill -HUP "$DPID"
for _i in $(seq $((50 * DKD_SLOW))); do grep -q 'Error reconfiguring' "$WORK/log" && break; sleep 0.1; done
like "$(grep 'Error reconfiguring' "$WORK/log")" 'gc' "a reload with nonsense is refused"
docker rm -f runs >/dev/null
stop_daemon; ok "ends"
policy '{"unused":"1ns","containers":"1ns"}'
start_daemon --storage-driver=overlay2; ok "starts with a policy"
for _i in $(seq $((100 * DKD_SLOW))); do [ "$(names)" = "busybox:latest " ] && break; sleep 0.1; done
is "$(names)" "busybox:latest " "which it keeps to by itself"
stop_daemon; ok "ends"
done_testing
