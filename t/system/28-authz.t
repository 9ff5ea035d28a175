#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The policy driver in a running daemon: rules, texts as the CLI shows them, ways around that are none.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 busybox runc
find_docker
scratch
rules() { { printf '[daemon]\nauthorization-plugins = policy\n[authz.policy]\n'; cat; } > "$WORK/d.ini"; }
# without it: an image and a container to try things on
start_daemon || { echo "1..1"; echo "not ok 1 - starts"; exit 1; }
load_busybox >/dev/null
docker create --name kept --network none busybox true >/dev/null
stop_daemon
rules <<'E2'
rule = allow GET,HEAD *
rule = allow POST /containers/*/start
rule = allow POST /containers/*/wait
rule = deny POST /containers/create* ask the owner of this machine
rule = deny DELETE *
default = deny
E2
start_daemon --config-file "$WORK/d.ini"; ok "starts with rules" || done_testing
is "$(docker info -f '{{json .Plugins.Authorization}}')" '["policy"]' "docker info names it"
is "$(docker ps -aq | wc -l)" 1 "what is allowed works"
docker start kept >/dev/null; ok "a path with a star"
is "$(docker create busybox 2>&1)" "Error response from daemon: authorization denied by plugin policy: ask the owner of this machine" "the CLI shows the rule's reason"
is "$(docker run --rm busybox true 2>&1 | head -1)" "docker: Error response from daemon: authorization denied by plugin policy: ask the owner of this machine$([ "$(docker version -f '{{.Client.Version}}' | cut -d. -f1)" -lt 28 ] && echo .)" "docker run"
like "$(docker rm kept 2>&1)" "authorization denied by plugin policy: rule" "a rule without a reason is quoted"
like "$(docker tag busybox other 2>&1)" "authorization denied by plugin policy: no rule allows POST /images/busybox(:latest)?/tag" "the default names what it denied"
is "$(api_status POST /containers/create)" 403 "403"
like "$(api POST /containers/create -H 'Content-Type: application/json' -d '{"Image":"busybox"}')" '^\{"message":"authorization denied by plugin policy: ask the owner of this machine"\}' "as JSON"
body='{"Image":"busybox","HostConfig":{"Privileged":true}}'
n=0
for path in /containers/create /v1.41/containers/create /v1.24/containers/create '/containers/create?name=x' /containers//create //containers/create \
	/containers/./create /containers/x/../create /containers/creat%65 /containers%2fcreate /./containers/create /v1.41//containers/create \
	/containers/create/ '/containers/create#x' '/containers/create;x' /v1.41/v1.41/containers/create /CONTAINERS/create '/containers/create%00' \
	/containers/kept/start/../../create; do
	for chunked in '' 'Transfer-Encoding: chunked'; do
		st=$(api_status POST "$path" --path-as-is -H 'Content-Type: application/json' ${chunked:+-H "$chunked"} -d "$body")
		case $st in 4??) ;; *) echo "# $path $chunked: $st"; n=$((n + 1)) ;; esac
	done
done
is "$n" 0 "no spelling of the path leads around"
st=$(api_status post /containers/create -d "$body"); case $st in 4??) true ;; *) false ;; esac; ok "a method in small letters"
for override in X-HTTP-Method-Override X-HTTP-Method X-Method-Override; do
	is "$(api_status POST /containers/create -H "$override: GET" -H 'Content-Type: application/json' -d "$body")" 403 "$override changes nothing"
done
pad=$(head -c 3000000 /dev/zero | tr '\0' ' ')
printf '{"Image":"busybox","HostConfig":{"Privileged":true},"x":"%s"}' "$pad" > "$WORK/pad"
is "$(api_status POST /containers/create -H 'Content-Type: application/json' -d "@$WORK/pad")" 403 "a padded body is denied as well"
is "$(api_status POST /containers/create -H 'Content-Type: application/json' -d "{\"HostConfig\":{}, $body")" 403 "so is one that makes no sense"
is "$(docker ps -aq | wc -l)" 1 "nothing was made"
like "$(docker exec kept true 2>&1)" "authorization denied" "exec"
like "$(docker load -i "$WORK/busybox.tar" 2>&1)" "authorization denied" "an upload"
like "$(docker import "$WORK/busybox.tar" 2>&1)" "authorization denied" "import"
like "$(docker kill kept 2>&1)" "authorization denied" "kill"
like "$(docker pull busybox 2>&1)" "authorization denied" "pull, before it is refused otherwise"
is "$(api_status GET /nope)" 404 "an allowed path that is not there is 404"
is "$(api_status POST /nope)" 404 "so is a denied one: nothing is asked of a driver that nobody serves"
is "$(api GET /_ping)" OK "ping"
one="-sS --max-time $((60 * DKD_SLOW)) -o /dev/null -w %{http_code}/%{num_connects}; --unix-socket $SOCK"
# shellcheck disable=SC2086
is "$(curl $one http://d/_ping --next $one -X DELETE http://d/containers/kept --next $one http://d/containers/json)" "200/1;403/0;200/0;" \
	"a later request of a connection is asked about as the first is"
stop_daemon; is "$DSTATUS" 0 "stops"
# rules that make no sense
refused() { # pattern; what; the section
	printf '%s\n' "$3" | rules
	DSTATUS=
	start_daemon --config-file "$WORK/d.ini"
	[ -z "$DPID" ] && [ "${DSTATUS:-0}" != 0 ]; ok "$2: does not start" || stop_daemon
	like "$(tail -2 "$WORK/log")" "$1" "$2: in words"
}
refused 'rule "refuse GET /containers/\*": it begins with neither allow nor deny' "a word that is no verdict" 'rule = refuse GET /containers/*'
refused 'the third word is no path' "no path" 'rule = deny GET'
refused 'the second word is no method' "no method" 'rule = deny get /x'
refused 'a path has no version' "a path with a version" 'rule = deny GET /v1.41/x'
refused 'default is neither allow nor deny: perhaps' "a default that is none" 'default = perhaps'
refused 'unknown key: rul' "a misspelt key" 'rul = deny GET /x'
refused 'has no rule and no default' "no rule at all" ''
printf '[daemon]\nauthorization-plugins = nosuch\n' > "$WORK/d.ini"
DSTATUS=
start_daemon --config-file "$WORK/d.ini"; [ -z "$DPID" ] && [ "${DSTATUS:-0}" != 0 ]; ok "a driver that is not there: does not start"
like "$(tail -2 "$WORK/log")" "nosuch" "and is named"
is "$(grep -o 'Unable to locate plugin: nosuch, retrying in [0-9]*s' "$WORK/log" | grep -o '[0-9]*s$' | paste -sd,)" 1s,2s,4s,8s "it was waited for as in Docker"
DSTATUS=
start_daemon --authorization-plugin policy; [ -z "$DPID" ] && [ "${DSTATUS:-0}" != 0 ]; ok "policy without a policy: does not start"
done_testing
