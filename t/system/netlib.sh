# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced after lib.sh by tests of networks: a network namespace for the daemon, two more that play the world outside, to
# its left (198.51.100.0/24, it has the default route) and to its right (203.0.113.0/24).
need_root
need curl busybox runc ip nft nsenter
find_docker
scratch
ME=dkd-$$ OUT=dkd-$$-out RIGHT=dkd-$$-right
undo_networks() { for _n in "$ME" "$OUT" "$RIGHT"; do ip netns del "$_n" 2>/dev/null; done; }
trap 'cleanup; undo_networks' EXIT
{ ip netns add "$ME" && ip netns add "$OUT" && ip netns add "$RIGHT"; } || skip_all "no network namespaces"
nsenter "--net=/run/netns/$ME" nft list tables >/dev/null 2>&1 || skip_all "no nftables in this kernel"
ip link add dkdv0 netns "$ME" type veth peer name dkdv1 netns "$OUT"
ip link add dkdw0 netns "$ME" type veth peer name dkdw1 netns "$RIGHT"
ip -n "$ME" addr add 198.51.100.1/24 dev dkdv0
ip -n "$OUT" addr add 198.51.100.2/24 dev dkdv1
ip -n "$ME" addr add 203.0.113.1/24 dev dkdw0
ip -n "$RIGHT" addr add 203.0.113.2/24 dev dkdw1
for _n in "$ME" "$OUT" "$RIGHT"; do ip -n "$_n" link set lo up; done
for _l in dkdv0 dkdw0; do ip -n "$ME" link set "$_l" up; done
ip -n "$OUT" link set dkdv1 up
ip -n "$RIGHT" link set dkdw1 up
ip -n "$ME" route replace default via 198.51.100.2
ip -n "$RIGHT" route replace default via 203.0.113.1
NETNS=/run/netns/$ME
NETARGS=
here() { nsenter "--net=$NETNS" "$@"; }
outside() { nsenter "--net=/run/netns/$OUT" "$@"; }
right() { nsenter "--net=/run/netns/$RIGHT" "$@"; }
pings() { "$@" >/dev/null 2>&1; } # a command that ends with: ping -c 1 -W 2 ADDRESS
veths() { ip -n "$ME" -o link show type veth | grep -c ": veth"; }
gone() { for _i in $(seq $((50 * DKD_SLOW))); do [ "$(veths)" = "$1" ] && break; sleep 0.1; done; is "$(veths)" "$1" "$2"; }
address() { docker inspect -f '{{.NetworkSettings.IPAddress}}' "$1"; }
soon() { # description, command: within 5 s
	_what=$1
	shift
	for _i in $(seq $((50 * DKD_SLOW))); do "$@" >/dev/null 2>&1 && break; sleep 0.1; done
	"$@" >/dev/null 2>&1
	ok "$_what"
}
