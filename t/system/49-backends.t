#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options that say whose rules decide over published ports: the firewall's backend, the policy, marks, direct routing.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/netlib.sh" || exit 1
here sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'
outside ip route add 172.17.0.0/16 via 198.51.100.1
web() { docker run -d --name "$1" -p "$2:80" busybox sh -c 'mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w' >/dev/null; }
get() { outside curl -s --max-time "${2:-5}" "http://$1/"; }
deaf() { ! get "$1" 1 >/dev/null; }
answers() { [ "$(get "$1" 1)" = hello ]; }

like "$("$DOCKERD" --validate --publish-policy=ajar 2>&1)" 'invalid publish-policy "ajar"; use "open" or "host"' "a policy that there is not"
like "$("$DOCKERD" --validate --publish-policy=host --userland-proxy=false 2>&1)" 'publish-policy=host needs the userland proxy' "one that needs the proxy"
# a host whose iptables is of the older variant
mkdir "$WORK/bin"
printf '#!/bin/sh\n' > "$WORK/bin/xtables-legacy-multi"
chmod 755 "$WORK/bin/xtables-legacy-multi"
ln -s xtables-legacy-multi "$WORK/bin/iptables"
PATH="$WORK/bin:$PATH" start_daemon --firewall-backend=iptables; is $? 1 "iptables-legacy and the backend iptables do not go together"
like "$(tail -n 3 "$WORK/log")" "iptables of this host is $WORK/bin/xtables-legacy-multi, which has others: switch it" "in words"
PATH="$WORK/bin:$PATH" start_daemon; ok "nftables is fine with it"
unlike "$(cat "$WORK/log")" firewalld "no firewalld is seen"
here nft add table inet firewalld
docker network create -o com.docker.network.bridge.name=br-zone zoned >/dev/null
like "$(tail -n 2 "$WORK/log")" "firewalld runs, and is not told of the bridge br-zone: .*--add-interface=br-zone" "one that runs is warned of"
docker network rm zoned >/dev/null
stop_daemon
here nft flush ruleset
here sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'

if here iptables -V 2>/dev/null | grep -q nf_tables; then
	start_daemon --firewall-backend=iptables; ok "--firewall-backend=iptables" || done_testing
	load_busybox >/dev/null
	is "$(docker info -f '{{json .FirewallBackend}}')" '{"Driver":"iptables"}' "info"
	web one 8080
	soon "a published port" answers 198.51.100.1:8080
	like "$(here iptables -S FORWARD | tr "\n" " ")" "-P FORWARD DROP.*-j DOCKER-USER.*-j DOCKER-FORWARD" "Docker's chains, DOCKER-USER first"
	here iptables -I DOCKER-USER -p tcp --dport 80 -j DROP
	deaf 198.51.100.1:8080; ok "a rule there shuts the port"
	stop_daemon KILL >/dev/null 2>&1
	start_daemon --firewall-backend=iptables; ok "comes back"
	like "$(here iptables -S DOCKER-USER)" "--dport 80 -j DROP" "the user's rule is there"
	here iptables -D DOCKER-USER 1
	soon "and without it the port" answers 198.51.100.1:8080
	stop_daemon KILL >/dev/null 2>&1
	start_daemon; ok "by nftables"
	here iptables -P FORWARD ACCEPT
	unlike "$(here iptables-save)" "docker0" "nothing is left of the other rules"
	soon "the port goes on" answers 198.51.100.1:8080
	docker rm -f one >/dev/null
	stop_daemon
	here nft flush ruleset
fi

start_daemon --publish-policy=host --bridge-accept-fwmark=0x10/0xf0; ok "--publish-policy=host" || done_testing
load_busybox >/dev/null
web one 8080
soon "a published port, by the proxy" answers 198.51.100.1:8080
here nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in iifname dkdv0 tcp dport 8080 drop'
deaf 198.51.100.1:8080; ok "is shut by the host's own rules for what comes in"
here nft 'add chain ip t pre { type filter hook prerouting priority -150; }; add rule ip t pre ip saddr 198.51.100.2 meta mark set 0x12'
answers 198.51.100.1:8080; ok "what has the mark goes in by the kernel"
answers "$(address one):80"; ok "also by the container's own address"
here nft delete table ip t
docker rm -f one >/dev/null
stop_daemon

start_daemon --allow-direct-routing --ip 198.51.100.1; ok "--allow-direct-routing --ip"
web one 8080
answers "$(address one):80"; ok "a published port at the container's address"
deaf "$(address one):81"; ok "no other"
like "$(docker port one)" "^80/tcp -> 198.51.100.1:8080$" "published at the address that --ip names"
docker rm -f one >/dev/null
stop_daemon
start_daemon --bridge-accept-fwmark=x; is $? 1 "a mark that is none"
like "$(tail -n 3 "$WORK/log")" "invalid firewall mark: x" "is told"
done_testing
