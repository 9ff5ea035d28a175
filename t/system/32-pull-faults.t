#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Registries that break, lie and attack, by a proxy before a real one (t/clients/registry.py). After each pull: right, or an error and nothing left.
# STALL=1 also waits for a connection on which nothing comes.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/registrylib.sh" || exit 1
P=127.0.0.1:5001 F=127.0.0.1:5020 LOG=$WORK/faults.log
registry blobs $P
faults 5020 $P "$LOG"
answer_all $P $F
$PY make "$WORK/oci"
copy "oci:$WORK/oci/multi" docker://$P/x/multi:latest && copy --all "oci:$WORK/oci/index" docker://$P/x/index:latest
ok "images in a registry" || done_testing
start_daemon --max-download-attempts=3; ok "the daemon" || done_testing

# what a pull says, on one line; its status on the last
pull() { _q="fromImage=$F/$1&tag=${2-latest}"; shift; [ $# -eq 0 ] || shift; api POST "/images/create?$_q" -w '\n%{http_code}' "$@" 2>&1 | tail -n 3 | tr '\r\n' '  '; }
layers() { find "$WORK"/root/image/*/layerdb/sha256 -mindepth 1 -maxdepth 1 | wc -l; }
trees() { find "$WORK/root/overlay2" "$WORK/root/vfs/dir" -mindepth 1 -maxdepth 1 ! -name l 2>/dev/null | wc -l; }
partial() { find "$WORK"/root/image/*/distribution/partial -type f | wc -l; }
fetchers() { for _p in $(pgrep -x dockerd-fetch); do grep -qs "^PPid:[[:space:]]*$(pgrep -P "$DPID" | head -n 1)\$" "/proc/$_p/status" && echo "$_p"; done | wc -l; }
drop_partial() { find "$WORK"/root/image/*/distribution/partial -type f -delete; }
left() { echo "$(docker images -aq | wc -l) images $(layers) layers $(trees) trees $(fetchers) processes"; }
NOTHING="0 images 0 layers 0 trees 0 processes"
whole() { # fault description: the pull comes through, and all is there
	like "$(pull "$1/x/multi")" 'Downloaded newer image .* 200$' "$2"
	is "$(docker image inspect -f '{{len .RootFS.Layers}}' "$F/$1/x/multi" 2>&1) $(partial)" "4 0" "and is whole"
	docker rmi "$F/$1/x/multi" >/dev/null 2>&1
}
fails() { # fault pattern [name]: an error, and nothing is left
	like "$(pull "$1/x/${3:-multi}")" "$2" "$1: an error"
	is "$(left)" "$NOTHING" "$1: and nothing is left"
}

# what may be tried again
whole cut "a connection breaks: the rest is asked for"
like "$(cat "$LOG")" 'GET /v2/cut/x/multi/blobs/.* range=bytes=[0-9]+-' "from where it was"
whole cut-norange "a registry that knows no ranges"
whole busy "503, come back in a second"
whole broken "500 once"
whole limit-once "429, come back in a second"
fails cut-lie 'sent another part of the blob than asked for'
fails shorter 'unexpected EOF'
drop_partial

# lies about blobs
fails wrong 'filesystem layer verification failed for digest sha256:[0-9a-f]*'
fails longer 'the blob is larger than its manifest says'
fails endless 'the blob is larger than its manifest says'
for _i in $(seq $((50 * DKD_SLOW))); do grep -q '^endless' "$LOG" && break; sleep 0.1; done
sent=$(sed -n 's/^endless sent=//p' "$LOG" | tail -n 1)
[ "${sent:-999999999}" -lt 100000000 ]; ok "endless: the connection ends soon behind the size ($sent)"
whole foreign-here "layers that are not to be handed on: the registry has them"
fails foreign 'blob unknown: blob unknown to registry'
is "$(grep -c ELSEWHERE "$LOG")" 0 "no address in a manifest is asked for a layer"
fails gone 'blob unknown: blob unknown to registry'
fails digest-lie 'manifest verification failed for digest|has [0-9]+ bytes, not' index
drop_partial

# where redirects lead
auth=$(printf '{"username":"bob","password":"canary","registrytoken":"canary-token"}' | base64 -w0 | tr '+/' '-_')
like "$(pull redirect/x/multi latest -H "X-Registry-Auth: $auth")" 'Downloaded newer image' "a redirect elsewhere"
docker rmi "$F/redirect/x/multi" >/dev/null 2>&1
like "$(cat "$LOG")" 'GET /v2/redirect/x/multi/manifests/latest auth=Bearer canary-token' "the registry gets the credentials"
is "$(grep -c ELSEWHERE "$LOG") $(grep ELSEWHERE "$LOG" | grep -vc 'auth=None')" "5 0" "where it leads none come"
fails redirect-loop 'stopped after 10 redirects'
fails redirect-file 'a redirect to no address of HTTP'
fails realm-file 'names a token server that has no address of HTTP'
fails realm-user 'names a token server that has no address of HTTP'
fails challenge-junk 'names a token server that has no address of HTTP'
: > "$LOG"
whole token-nameless "a token server without a name, at an address with a query"
is "$(grep -o '/v2/token-given/[^ ]*' "$LOG" | sort -u)" "/v2/token-given/x/y/z?tenant=1&scope=repository%3Atoken-nameless%2Fx%2Fmulti%3Apull" "is asked without"
fails token-junk "the authorization server's token is none"

# refusals
fails denied "pull access denied for $F/denied/x/multi, repository does not exist or may require 'docker login': denied: requested access.* 404\$"
fails noname "repository $F/noname/x/multi not found: name unknown: .* 404\$"
fails unauthorized 'unauthorized: authentication required.* 500$'
fails limit 'toomanyrequests: You have reached your pull rate limit'
fails limit-long 'toomanyrequests: come back tomorrow'

# manifests
before=$(awk '/VmHWM/ { print $2 }' "/proc/$DPID/status")
fails huge 'the answer is larger than it may be'
[ $(($(awk '/VmHWM/ { print $2 }' "/proc/$DPID/status") - before)) -lt 8192 ]; small "120 MiB of a manifest take no memory"
fails artifact 'Encountered remote .*application/vnd.example.config.*\(unknown\) when fetching'
is "$(api GET "/distribution/$F/artifact/x/multi/json" | jq -c '[.Descriptor.mediaType, .Platforms]')" '["application/vnd.oci.image.manifest.v1+json",null]' "which can be looked at"
fails nested 'the indexes of the image are nested too deep'
for doc in schema1 schema1-hidden both confused travdigest shortdigest negsize hugesize floatsize bigconfig nolayers toomany helm strange version3 unknown junk nothing list deep \
	twice html others nobody; do
	case $doc in
	schema1*) want="manifest version 2, schema 1 support has been removed. Suggest the author of $F/doc-$doc/x/multi:latest to upgrade the image to the OCI Format" ;;
	both) want='both that of an image and an index' ;;
	confused) want='the registry says that the manifest is .*, and the manifest that it is ' ;;
	*digest) want='invalid digest in the manifest: sha256:' ;;
	negsize) want='invalid size in the manifest: -1' ;;
	hugesize) want='the blob is larger than its manifest says' ;; # of what is asked for first, the configuration
	bigconfig) want='image configuration is larger than 8388608 bytes' ;;
	toomany) want='max depth exceeded' ;;
	helm) want='Encountered remote .*application/vnd.cncf.helm.config.v1.json.*\(unknown\) when fetching' ;;
	strange) want='layers of media type application/x-strange are not supported' ;;
	version3) want='schema version 3 is not supported' ;;
	unknown) want='unsupported media type application/x-strange' ;;
	others | nobody) want='no matching manifest for linux/.* in the manifest list entries' ;;
	nolayers) want='404|verification failed|unexpected|no such|error' ;;
	*) want='invalid manifest: ' ;;
	esac
	like "$(pull "doc-$doc/x/multi")" "$want" "a manifest: $doc"
done
like "$(pull config-junk/x/multi)" 'invalid JSON' "a configuration that is no JSON"
like "$(pull config-norootfs/x/multi)" 'invalid image JSON, no RootFS key' "one without layers' digests"
like "$(pull config-more/x/multi)" "layers from manifest don't match image configuration" "one with more layers than the manifest"
like "$(pull config-big/x/multi)" 'no space left on device: the layers have 1125899906842625 bytes, and [0-9]+ are free' "layers that cannot fit"
like "$(pull config-windows/x/multi)" 'operating system .*windows.* cannot be used on this platform' "one for another system"
like "$(pull config-other/x/multi)" 'verification failed|larger than' "other bytes than its digest says"
is "$(left) $(partial)" "$NOTHING 0" "nothing is left of any of them"
like "$(pull tags-loop/x/multi '')" 'goes on without end or elsewhere' "lists of tags around and around"
like "$(pull tags-pages/x/multi '')" 'manifest for .*:two not found' "pages of tags; names that are none are left out"
docker image prune -af >/dev/null

# a client that leaves, and one that comes back
for n in 1 2; do # nothing is left running
	timeout 1 curl -s -o /dev/null -X POST --unix-socket "$SOCK" "http://d/images/create?fromImage=$F/slow/x/multi&tag=latest"
	for _i in $(seq $((50 * DKD_SLOW))); do [ "$(left)" = "$NOTHING" ] && break; sleep 0.1; done
	is "$(left)" "$NOTHING" "a client leaves ($n)"
done
drop_partial
like "$(pull cut-always/x/multi)" 'unexpected EOF' "a connection that always breaks"
kept=$(partial)
[ "$kept" -gt 0 ]; ok "what came is kept"
stop_daemon KILL
start_daemon --max-download-attempts=3; ok "the daemon was killed, and starts"
: > "$LOG"
whole straight "the next pull"
is "$(grep -c 'GET .*/blobs/.*range=bytes=[0-9]' "$LOG")" "$kept" "goes on where that ended"
head -c 5000 /dev/urandom > "$WORK/root/image/overlay2/distribution/partial/$(printf %064d 1)"
touch -d '2 days ago' "$WORK"/root/image/*/distribution/partial/*
blob=$(skopeo inspect --tls-verify=false docker://$P/x/multi | jq -r '.Layers[0]' | cut -c8-)
stop_daemon
start_daemon
is "$(partial)" 0 "what is old goes at the start"
head -c 5000 /dev/urandom > "$WORK/root/image/overlay2/distribution/partial/$blob"
whole straight "a damaged rest is no obstacle"

# a power cut of the client: killed in the middle, with everything under way
api POST "/images/create?fromImage=$F/slow/x/multi&tag=latest" > /dev/null 2>&1 &
sleep 1
stop_daemon KILL
for _i in $(seq $((50 * DKD_SLOW))); do [ -z "$(pgrep -x dockerd-fetch -U 65534)" ] && break; sleep 0.1; done
start_daemon; ok "killed in the middle of a pull, the daemon starts"
is "$(left)" "$NOTHING" "nothing of it shows"
whole slow "and it comes the next time"
if [ -n "${STALL:-}" ]; then
	began=$(date +%s)
	like "$(pull stall/x/multi)" 'no data came for 30 seconds|unexpected EOF' "a connection on which nothing comes"
	echo "# $(($(date +%s) - began)) s"
fi
is "$(grep -c -e canary "$WORK/log")" 0 "no secret is in the log"
is "$(api GET /_ping)" OK "the daemon is well"
done_testing
