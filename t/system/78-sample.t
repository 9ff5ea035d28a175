#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The samples of drivers, one of each kind, built from the installed headers alone, and a daemon that uses them all.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need cc make pkg-config
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile" | head -1)
MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" install-dkdincludeHEADERS install-pkgconfigDATA DESTDIR="$WORK/dest" >/dev/null 2>&1
ok "the headers are installed" || done_testing
flags=$(PKG_CONFIG_PATH=$WORK/dest$prefix/lib/pkgconfig pkg-config --define-variable=prefix="$WORK/dest$prefix" --cflags dockerd-driver)
umask 022
kind_of() { sed -n 's/.*\.kind = DKD_KIND_\([A-Z]*\),.*/\1/p' "$1" | tr '[:upper:]' '[:lower:]'; }
for f in "$top_srcdir"/docs/samples/*.c; do
	to=$WORK/mine/$(kind_of "$f") name=$(basename "$f" .c)
	mkdir -p "$to"
	# shellcheck disable=SC2086
	cc -Wall -Wextra -Werror -shared -fPIC -Wl,-z,defs $flags -o "$to/$name.so" "$f"
	ok "$name builds without a warning" || done_testing
done
# The shelf with what else a volume driver may have: it tells a mountpoint only when asked for one, knows sizes, and what it is opened with.
sed -e 's/ \.mountpoint = path,//; s/"shelf"/"rack"/; s/v->host = host;/& dkd_logf(host, DKD_LOG_INFO, "exec_root %s", open->exec_root);/' \
	-e '/^static const struct dkd_volume_ops/i static int32_t rack_path(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit *emit, void *to) { char path[4096]; (void)call; path_of(v, name, path); return emit(to, path); }' \
	-e '/^static const struct dkd_volume_ops/i static int64_t rack_usage(const struct dkd_call *call, struct dkd_volume *v, const char *name) { (void)call; (void)v; (void)name; return 4242; }' \
	-e 's/\.rename = shelf_rename,/& .path = rack_path, .usage = rack_usage,/' "$top_srcdir/docs/samples/shelf.c" > "$WORK/rack.c"
# shellcheck disable=SC2086
cc -Wall -Wextra -Werror -shared -fPIC -Wl,-z,defs $flags -o "$WORK/mine/volume/rack.so" "$WORK/rack.c"; ok "a shelf that knows sizes"

ip -n "$ME" link add br7 type bridge
ip -n "$ME" addr add 10.97.0.1/24 dev br7
ip -n "$ME" link set br7 up
here sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
outside ip route add 10.97.0.0/24 via 198.51.100.1
mkdir "$WORK/place"
printf '[volume.shelf]\nplace = %s\n' "$WORK/place" > "$WORK/own.conf"
OWN="-b none --plugin-dir $WORK/mine --storage-driver copies --config-file $WORK/own.conf"
start_daemon $OWN; ok "starts" || { tail -3 "$WORK/log" | sed 's/^/# /'; done_testing; }
is "$(docker info -f '{{.Driver}}')" copies "with layers as copies"
load_busybox >/dev/null; ok "an image is loaded"
docker run --name changed busybox sh -c 'echo new > /etc/new; rm /bin/vi; ln /etc/new /etc/newer' >/dev/null; ok "a container changes it"
is "$(docker diff changed | sort | tr '\n' ' ')" "A /etc/new A /etc/newer C /bin C /etc D /bin/vi " "which shows"
docker commit changed changed:1 >/dev/null; ok "it becomes an image"
is "$(docker run --rm changed:1 sh -c 'cat /etc/newer; [ -e /bin/vi ] || echo none' | tr '\n' ' ')" "new none " "that has it"
docker rm changed >/dev/null; docker rmi changed:1 >/dev/null
is "$(find "$WORK/root/copies" -mindepth 1 -maxdepth 1 | wc -l)" 1 "only the image's layer is left"
docker volume create -d shelf -o mode=0770 books >/dev/null; ok "a volume on the shelf"
is "$(docker volume inspect -f '{{.Options.mode}} {{.Mountpoint}}' books)" "0770 $WORK/place/books" "is where the configuration says"
docker run --rm -v books:/b busybox sh -c 'echo text > /b/one'; ok "a container writes to it"
is "$(cat "$WORK/place/books/one")" text "and there it is"
like "$(docker volume create -d shelf -o size=1 more 2>&1)" "unknown option size" "its words reach the client"
docker volume rm books >/dev/null; ok "the volume goes"
[ ! -e "$WORK/place/books" ]; ok "and its folder"
docker volume create -d rack coats >/dev/null; ok "a volume on the rack"
is "$(docker volume inspect -f '{{.Mountpoint}}' coats)" "$WORK/root/volume-drivers/rack/coats" "is where path() says"
is "$(docker system df -v --format '{{json .Volumes}}' | grep -o '"Size":"[^"]*"')" '"Size":"4.242kB"' "as large as usage() says"
tells "$WORK/log" "exec_root $WORK/exec"; ok "its driver was told of a place that a reboot empties"
docker volume rm coats >/dev/null
docker run --rm --log-driver append --log-opt path="$WORK/lines" --log-opt tag='{{.Name}}' --name talker busybox sh -c 'echo out; echo err >&2' >/dev/null 2>&1
soon "the lines are in the file" grep -q 'Z talker: out$' "$WORK/lines"
soon "with those of stderr" grep -q 'Z talker! err$' "$WORK/lines"
like "$(docker run --rm --log-driver append busybox true 2>&1)" "absolute path" "a wrong option is refused at create"
docker network create -d cable -o bridge=br7 --ipam-driver ladder --subnet 10.97.0.0/29 rungs >/dev/null; ok "a network with addresses of the ladder"
is "$(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' rungs)" 10.97.0.1 "whose first rung is the gateway"
for n in 2 3 4 5 6; do docker create --name "r$n" --network rungs busybox sleep 1000 >/dev/null; docker start "r$n" >/dev/null; done
is "$(docker inspect -f '{{.NetworkSettings.Networks.rungs.IPAddress}}' r2 r6 | tr '\n' ' ')" "10.97.0.2 10.97.0.6 " "containers climb"
like "$(docker run --rm --network rungs busybox true 2>&1)" "used up" "until there are no more"
docker rm -f r3 >/dev/null
is "$(docker run --rm --network rungs busybox ip -4 -o addr show eth0 | grep -o '10\.97\.0\.[0-9]*/')" "10.97.0.3/" "a free rung is taken again"
docker rm -f r2 r4 r5 r6 >/dev/null; docker network rm rungs >/dev/null; ok "the network goes with its pool"
is "$(find "$WORK/root/network/ipam/ladder" -mindepth 1 | wc -l)" 0 "of which nothing is left"
like "$(docker network create -d cable --subnet 10.97.0.0/24 lan 2>&1)" 'there is no bridge "": name one with the option bridge' "its words reach the client"
docker network create -d cable -o bridge=br7 --subnet 10.97.0.0/24 --gateway 10.97.0.1 lan >/dev/null; ok "a network"
docker run -d --name one --network lan busybox sleep 100000 >/dev/null; ok "a container" || tail -3 "$WORK/log" | sed 's/^/# /'
docker run -d --name two --network lan --ip 10.97.0.77 busybox sleep 100000 >/dev/null; ok "another, with an address of its choice"
like "$(docker exec two ip -4 addr show eth0)" "10\.97\.0\.77/24" "which it has"
soon "they meet" docker exec one ping -c 1 -W 2 10.97.0.77
soon "by name" docker exec one ping -c 1 -W 2 two
soon "the host is there" docker exec one ping -c 1 -W 2 10.97.0.1
soon "and the world" docker exec one ping -c 1 -W 2 198.51.100.2
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
start_daemon $OWN --authorization-plugin look; ok "the daemon starts again after kill -9"
is "$(docker inspect -f '{{.State.Running}}' one)" true "everybody may look"
like "$(docker exec one true 2>&1)" "authorization denied by plugin look: look, don't touch" "nobody may touch"
kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=
start_daemon $OWN; ok "without the one that refuses"
soon "they meet still" docker exec one ping -c 1 -W 2 two
docker network disconnect lan two; ok "one is disconnected"
unlike "$(docker exec two ip addr)" "10\.97\.0\.77" "and has no address there"
docker network connect --ip 10.97.0.78 lan two; ok "and connected"
soon "it is found" docker exec one ping -c 1 -W 2 10.97.0.78
docker rm -f one two >/dev/null
no_wires() { ! ip -n "$ME" -o link | grep -q ": c[nf][0-9a-f]"; }
soon "its wires go with the containers" no_wires
docker network rm lan >/dev/null; ok "the network goes"
here ip link show br7 >/dev/null; ok "the bridge stays"
done_testing
