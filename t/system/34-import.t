#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docker import from an address (POST /images/create?fromSrc=URL), from a server that does not always do well.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 jq
find_docker
scratch
LOG=$WORK/files.log F=127.0.0.1:5040
mkdir "$WORK/tree" && echo hello > "$WORK/tree/hello" && head -c 3000000 /dev/urandom > "$WORK/tree/large"
tar -cf - -C "$WORK/tree" . | gzip -1 > "$WORK/archive"
python3 -B "$top_srcdir/t/clients/registry.py" files 5040 "$WORK/archive" "$LOG" > "$WORK/files.out" 2>&1 &
SERVER=$!
trap 'kill $SERVER; cleanup' EXIT
for _i in $(seq $((100 * DKD_SLOW))); do curl -s -o /dev/null --max-time 2 "http://$F/plain" && break; sleep 0.1; done
printf '{"max-download-stall":4,"max-download-attempts":3,"proxies":{"http-proxy":"http://%s"}}' "$F" > "$WORK/daemon.json"
start_daemon; ok "the daemon" || done_testing
import() { api POST "/images/create?fromSrc=$1&repo=i&tag=${2:-1}" -w '\n%{http_code}' 2>&1 | tr '\r\n' '  '; }
code() { api_status POST "/images/create?fromSrc=$1"; }
size() { docker image inspect -f '{{.Size}}' "$1" 2>&1; }
left() { echo "$(docker images -aq | wc -l) $(find "$WORK"/root/image/*/distribution/partial -type f | wc -l) $(find "$WORK/root/overlay2" -mindepth 1 -maxdepth 1 ! -name l | wc -l)"; }

like "$(import "http://$F/plain")" "^\{\"status\":\"Downloading from http://$F/plain\"\} .*\"status\":\"Importing\",\"progressDetail\":\{\"current\":[0-9]+,\"total\":[0-9]+\},\"progress\":.*\"status\":\"sha256:[0-9a-f]{64}\"\} *200\$" \
	"an archive, in Docker's words"
is "$(size i:1)" 3000006 "is an image"
is "$(docker history --format '{{.Comment}}' i:1)" "Imported from http://$F/plain" "that says where it is from"
docker create --name cc --network none i:1 true >/dev/null
is "$(docker cp cc:/hello - | tar -xOf -)" hello "and has what was there"
docker rm cc >/dev/null
like "$(docker import -m said -c 'CMD ["x"]' "http://$F/moved" i:2)" '^sha256:' "docker import, with a redirect"
is "$(docker inspect -f '{{.Comment}} {{json .Config.Cmd}}' i:2)" 'said ["x"]' "message and changes"
like "$(import "$F/plain" 3)" "Downloading from http://$F/plain" "without a scheme"
like "$(import "http://$F/unknown" 4)" '"status":"sha256:.*200$' "of a length that nobody says"
like "$(import "http://$F/cut-once" 5)" '"status":"sha256:.*200$' "a connection that breaks once"
is "$(size i:5)" 3000006 "is begun anew"
like "$(import http://far.example/plain 6)" 'Downloading from http://far.example/plain.*"status":"sha256:' "by the proxy of the configuration"
is "$(grep -c '^http://far.example/plain ' "$LOG")" 1 "which is asked for it"
docker rmi -f $(docker images -q | sort -u) >/dev/null
is "$(left)" "0 0 0" "nothing is left"

# what is no archive, and what does not come
is "$(code "http://$F/gone") $(api POST "/images/create?fromSrc=http://$F/gone" | jq -r .message)" "404 failed to GET http://$F/gone with status 404 Not Found: nope" "it is not there"
like "$(import http://127.0.0.1:1/x)" 'Get \\"http://127.0.0.1:1/x\\": dial tcp 127.0.0.1:1: connect: connection refused.* 500$' "nobody there"
like "$(import http://%5B::1%5D:1/x)" 'Get \\"http://\[::1\]:1/x\\": dial tcp \[::1\]:1: connect: connection refused.* 500$' "nor there"
like "$(import "ftp://$F/x")" "unsupported protocol scheme \\\\\"ftp\\\\\".* 400\$" "another protocol"
like "$(import file:///etc/passwd)" 'no Host in request URL|unsupported protocol scheme.* 400$' "a file of this host"
like "$(import "http://$F/file")" 'a redirect to no address of HTTP.* 500$' "a redirect to one"
like "$(import "http://$F/around")" 'stopped after 10 redirects.* 500$' "around and around"
is "$(code "http://bob:canary@$F/plain") $(code 'http:///x') $(code "http://$F/a%20b") $(code "http://$F/%0d%0ax")" "400 400 400 400" "addresses that are none"
like "$(import "http://$F/huge")" 'no space left on device: .* has more than the [0-9]+ bytes that are free' "more than fits"
like "$(import "http://$F/cut")" 'unexpected EOF' "a connection that always breaks"
like "$(import "http://$F/stall")" 'no data came for 2 seconds' "one on which nothing comes"
echo junk > "$WORK/archive"
like "$(import "http://$F/plain")" '"errorDetail":\{"message":"[^"]+"\}.* 200$' "no archive"
curl -s --unix-socket "$SOCK" -X POST "http://d/images/create?fromSrc=http://$F/stall" >/dev/null &
sleep 0.5
kill $!
fetchers() { for _p in $(pgrep -x dockerd-fetch); do grep -qs "^PPid:[[:space:]]*$(pgrep -P "$DPID" | head -n 1)\$" "/proc/$_p/status" && echo "$_p"; done | wc -l; }
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(fetchers)" = 0 ] && break; sleep 0.1; done
is "$(fetchers)" 0 "a client that leaves ends it"
is "$(left)" "0 0 0" "nothing is left of any of them"
is "$(grep -c canary "$WORK/log")" 0 "no secret is in the log"
stop_daemon; is "$?" 0 "the daemon ends well"
# proxies that are not there
proxied() { printf '{"max-download-attempts":1,"proxies":{"http-proxy":"%s","no-proxy":"%s"}}' "$1" "$2" > "$WORK/daemon.json"; start_daemon; }
proxied http://127.0.0.1:1 far.example:81,other.example:80
like "$(import http://far.example/plain)" 'Get \\"http://far.example/plain\\": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused' "a proxy that is not there is named"
like "$(import http://far.example:81/plain)" ': dial tcp: lookup far.example: no such host' "an exception with a port is one for that port"
stop_daemon
proxied nosuch.example ""
like "$(import http://far.example/plain)" 'proxyconnect tcp: dial tcp: lookup nosuch.example: no such host' "so is one that nobody knows, without a scheme"
stop_daemon
# from the environment: an empty word is none; one that refuses the way
rm "$WORK/daemon.json"
export HTTPS_PROXY= https_proxy="bob:canary@$F" NO_PROXY=none.example
start_daemon
unset HTTPS_PROXY https_proxy NO_PROXY
: > "$LOG"
like "$(import https://far.example/plain)" "proxyconnect tcp: $F answered 407 Proxy Authentication Required" "a proxy that wants another password"
is "$(cat "$LOG")" "CONNECT far.example:443 auth=Basic Ym9iOmNhbmFyeQ==" "is asked once, with the one that there is"
is "$(docker info -f '{{.HTTPSProxy}}')" "xxxxx:xxxxx@$F" "which nobody is told"
stop_daemon
export HTTPS_PROXY="$F" NO_PROXY='none.example,*'
start_daemon
unset HTTPS_PROXY NO_PROXY
like "$(import https://far.example/plain)" ': dial tcp: lookup far.example: no such host' "an exception for everything"
stop_daemon
done_testing
