#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sample of a network driver, built from the installed headers alone, and containers that it connects.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
need cc make pkg-config
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile" | head -1)
MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" install-dkdincludeHEADERS install-pkgconfigDATA DESTDIR="$WORK/dest" >/dev/null 2>&1
ok "the headers are installed" || done_testing
flags=$(PKG_CONFIG_PATH=$WORK/dest$prefix/lib/pkgconfig pkg-config --define-variable=prefix="$WORK/dest$prefix" --cflags dockerd-driver)
mkdir -p "$WORK/mine/net"
chmod 755 "$WORK/mine" "$WORK/mine/net"
# shellcheck disable=SC2086
cc -Wall -Wextra -Werror -shared -fPIC -Wl,-z,defs $flags -o "$WORK/mine/net/cable.so" "$top_srcdir/docs/samples/cable.c" && chmod 755 "$WORK/mine/net/cable.so"
ok "it builds without a warning" || done_testing

ip -n "$ME" link add br7 type bridge
ip -n "$ME" addr add 10.97.0.1/24 dev br7
ip -n "$ME" link set br7 up
here sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
outside ip route add 10.97.0.0/24 via 198.51.100.1
start_daemon -b none --plugin-dir "$WORK/mine"; ok "starts" || done_testing
load_busybox >/dev/null
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
start_daemon -b none --plugin-dir "$WORK/mine"; ok "the daemon starts again after kill -9"
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
