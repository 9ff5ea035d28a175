#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the default bridge lets through: rules that come back, a host that is no router, IPv6 that is off.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
here sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'
outside ip route add 203.0.113.0/24 via 198.51.100.1
conf6() { here cat "/proc/sys/net/ipv6/conf/$1/accept_ra" "/proc/sys/net/ipv6/conf/$1/disable_ipv6" | tr '\n' ' '; }
through() { right busybox ping -c 1 -W 1 198.51.100.2 >/dev/null; }
out() { docker exec one ping -c 1 -W 2 "$1" >/dev/null; }
tables() { here nft list tables | sort | tr '\n' ' '; }

start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
docker run -d --name one busybox sleep 1000 >/dev/null

# a host that forwarded nothing is no router now
is "$(here cat /proc/sys/net/ipv4/ip_forward)" 1 "forwarding is turned on"
out 198.51.100.2; ok "a container reaches the left"
out 203.0.113.2; ok "and the right"
! through; ok "the right does not reach the left through the host"
is "$(tables)" "table ip dockerd table ip dockerd-docker0 " "by a table for all"
like "$(here nft list table ip dockerd | tr -s ' \t\n' ' ')" 'elements = \{ "docker0" \}.*policy drop; iifname @bridges accept oifname @bridges accept' "that names the bridge"
before=$(grep -c 'they are put back' "$WORK/log")
churn() { here sh -c 'i=0; while [ $i -lt 40 ]; do nft "add table ip churn$1; add chain ip churn$1 a; add rule ip churn$1 a accept"; nft delete table ip "churn$1"; i=$((i + 1)); done' sh "$1"; }
churn 1 & one=$!
churn 2 & two=$!
churn 3
wait "$one" "$two"
sleep 0.5
is "$(grep -c 'they are put back' "$WORK/log")" "$before" "a list of rules that changes while it is read is no lost rule"
docker rm -f one >/dev/null
stop_daemon
start_daemon; ok "starts again, forwarding being on"
docker run -d --name one busybox sleep 1000 >/dev/null
! through; ok "the host is no router still"
out 203.0.113.2; ok "and the container reaches the right"

# IPv6
is "$(conf6 docker0)" "0 1 " "the bridge takes no router's word, and no IPv6"
is "$(conf6 "$(ip -n "$ME" -o link show type veth | sed -n 's/^[0-9]*: \(veth[0-9a-f]*\)@.*/\1/p')")" "0 1 " "nor does the port"
is "$(ip -n "$ME" -6 -o addr show docker0)" "" "no address of IPv6 on it"
is "$(docker exec one ip -6 -o addr | grep -vc ' ::1/128 ')" 0 "a container has none but its loopback's"

# rules that somebody takes away
here nft flush ruleset
soon "after nft flush ruleset the rules come back" here nft list chain ip dockerd-docker0 postrouting
out 198.51.100.2; ok "the container reaches the left"
soon "and the table for all" here nft list chain ip dockerd forward
! through; ok "the host is no router"
like "$(cat "$WORK/log")" "took the nftables rules of bridge docker0 away: they are put back" "the log tells"
here nft flush chain ip dockerd-docker0 postrouting
masked() { here nft list chain ip dockerd-docker0 postrouting | grep -q masquerade; }
soon "a rule that is gone comes back" masked
here nft delete table ip dockerd
soon "the table for all alone, too" here nft list chain ip dockerd forward
here nft add table ip mine
here nft delete table ip mine
is "$(tables)" "table ip dockerd table ip dockerd-docker0 " "other tables are no business of ours"
docker rm -f one >/dev/null

# the two ways out of it
stop_daemon
start_daemon --ip-forward-no-drop; ok "--ip-forward-no-drop"
is "$(tables)" "table ip dockerd-docker0 " "no table for all"
through; ok "the host is a router"
stop_daemon
start_daemon; ok "with forwarding on before"
is "$(tables)" "table ip dockerd-docker0 " "it is the admin's: no table for all"
through; ok "and the host stays a router"
stop_daemon
here sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'
start_daemon --ip-forward=false; ok "--ip-forward=false"
is "$(here cat /proc/sys/net/ipv4/ip_forward)" 0 "forwarding stays off"
like "$(docker info 2>&1)" "WARNING: IPv4 forwarding is disabled" "info warns"
like "$(docker run -d --name one busybox sleep 1000 2>&1)" "IPv4 forwarding is disabled. Networking will not work." "so does create"
out 198.51.100.1; ok "the host answers"
! out 198.51.100.2; ok "the world does not"
docker rm -f one >/dev/null
stop_daemon

# without masquerading the world sees the container's address
start_daemon --ip-masq=false; ok "--ip-masq=false"
outside nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }
add rule ip t in ip saddr 172.17.0.0/16 icmp type echo-request counter'
outside ip route add 172.17.0.0/16 via 198.51.100.1
docker run --rm busybox ping -c 1 -W 2 198.51.100.2 >/dev/null; ok "the world answers one whose route it knows"
like "$(outside nft list table ip t | tr -s ' \t\n' ' ')" "counter packets 1 " "by its own address"
stop_daemon
done_testing
