#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Mirrors of any registry, downloads that stall, and how many transfers there are at once. Two registries that break (t/clients/registry.py): 5030 is the one
# that is asked for, 5020 has its mirrors, one a path.
. "$(dirname "$0")/lib.sh" || exit 1
need_apart
. "$(dirname "$0")/registrylib.sh" || exit 1
P=127.0.0.1:5001 M=127.0.0.1:5020 R=127.0.0.1:5030 MLOG=$WORK/mirror.log RLOG=$WORK/registry.log
# what is in /etc/docker here is nobody else's
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
registry blobs $P
faults 5020 $P "$MLOG"
faults 5030 $P "$RLOG"
answer_all $P $M $R
$PY make "$WORK/oci"
# a mirror at M/FAULT has by "straight/x/multi" what R has by that name: R takes the first part away as well
copy "oci:$WORK/oci/multi" docker://$P/x/multi:latest && copy "oci:$WORK/oci/multi" docker://$P/straight/x/multi:latest && copy "oci:$WORK/oci/other" docker://$P/x/other:latest &&
	copy "oci:$WORK/oci/multi" docker://$P/straight/x/multi:two
ok "images in a registry" || done_testing

mirrors() { # FAULT...: the daemon, which asks these mirrors before R
	_list=
	for _m in "$@"; do case $_m in http*) _list="$_list\"$_m\"," ;; *) _list="$_list\"http://$M/$_m/\"," ;; esac; done
	printf '{"registry-mirrors-of":{"%s":[%s]},"max-download-stall":2,"max-download-attempts":2,"max-concurrent-downloads":2,"max-concurrent-uploads":2}\n' $R "${_list%,}" > "$WORK/daemon.json"
	[ -z "${DPID:-}" ] || stop_daemon
	: > "$MLOG"
	: > "$RLOG"
	start_daemon
}
pull() { _q="fromImage=$R/$1&tag=${2-latest}"; shift; [ $# -eq 0 ] || shift; api POST "/images/create?$_q" -w '\n%{http_code}' "$@" 2>&1 | tail -n 3 | tr '\r\n' '  '; }
gone() { docker images -q | sort -u | xargs -r "$DOCKER" -H "unix://$SOCK" rmi -f >/dev/null; }
asked() { grep -c "$2" "$1"; }
auth=$(printf '{"username":"bob","password":"canary","registrytoken":"canary-token"}' | base64 -w0 | tr '+/' '-_')

mirrors good; ok "the daemon" || done_testing
like "$(pull straight/x/multi latest -H "X-Registry-Auth: $auth")" 'Downloaded newer image .* 200$' "a mirror with a path"
is "$(asked "$MLOG" 'GET /v2/good/straight/x/multi/manifests/latest') $(asked "$MLOG" 'GET /v2/good/straight/x/multi/blobs/') $(asked "$RLOG" blobs) $(asked "$RLOG" manifests)" "1 5 0 0" \
	"has all of it, and the registry is not asked"
is "$(grep -vc 'auth=None' "$MLOG")" 0 "the registry's credentials are not for the mirror"
is "$(docker images --format '{{.Repository}}:{{.Tag}}')" "$R/straight/x/multi:latest" "the image has the registry's name"
is "$(api GET /info | jq -c ".RegistryConfig.IndexConfigs[\"$R\"].Mirrors")" "[\"http://$M/good/\"]" "docker info tells"
gone
pull straight/x/multi '' > /dev/null; is "$(docker images --format '{{.Tag}}' | sort | paste -sd,)" latest,two "all tags, by the mirror"
is "$(asked "$RLOG" tags)" 0 "and its list"
gone
like "$(pull crowd/x/multi)" 'Downloaded newer image .* 200$' "what the mirror has not, the registry has"
is "$([ "$(asked "$MLOG" crowd/x/multi/manifests)" -gt 0 ] && asked "$RLOG" crowd/x/multi/manifests/latest)" 1 "which is asked after it"
gone
like "$(pull nosuch/x/y)" 'not found|manifest unknown' "what nobody has"

# credentials of the mirror's own
mkdir -p "/etc/docker/certs.d/$M"
echo '{"registrytoken":"mirror-canary"}' > "/etc/docker/certs.d/$M/auth.json"
chmod 644 "/etc/docker/certs.d/$M/auth.json"
like "$(pull straight/x/multi)" 'auth.json must be a file that nobody else can read' "a file of credentials that all can read"
chmod 600 "/etc/docker/certs.d/$M/auth.json"
: > "$MLOG"; : > "$RLOG"
like "$(pull straight/x/multi latest -H "X-Registry-Auth: $auth")" 'Downloaded newer image' "one that nobody else can"
is "$(asked "$MLOG" 'auth=Bearer mirror-canary') $(asked "$MLOG" canary-token)" "6 0" "is for the mirror"
gone
: > "$MLOG"
like "$(pull crowd/x/multi latest -H "X-Registry-Auth: $auth")" 'Downloaded newer image' "where the mirror does not have it"
is "$(asked "$RLOG" mirror-canary) $([ "$(asked "$RLOG" 'auth=Bearer canary-token')" -gt 0 ] && echo yes) $(asked "$MLOG" canary-token)" "0 yes 0" "each gets its own"
like "$(pull redirect/x/multi latest -H "X-Registry-Auth: $auth")" 'Downloaded newer image|up to date' "and where the registry redirects to"
is "$(grep ELSEWHERE "$RLOG" | grep -vc auth=None)" 0 "none"
gone
docker pull -q $R/straight/x/multi >/dev/null && docker tag $R/straight/x/multi $R/straight/x/pushed
: > "$MLOG"
docker push $R/straight/x/pushed >/dev/null; is "$? $(wc -l < "$MLOG")" "0 0" "a push does not go to a mirror"
gone
rm -r "/etc/docker/certs.d/$M"

# mirrors that fail, in every way: each is left for the next one
mirrors http://127.0.0.1:9 noname denied limit limit-long challenge-junk doc-junk doc-html wrong longer gone cut-always redirect-file stall
like "$(pull straight/x/multi)" 'Downloaded newer image .* 200$' "14 mirrors that fail"
is "$(for f in noname denied limit limit-long doc-junk gone stall; do grep -q "/v2/$f/straight/x/multi/" "$MLOG" && echo $f; done | paste -sd' ')" \
	"noname denied limit limit-long doc-junk gone stall" "all of them are asked"
is "$(docker image inspect -f '{{len .RootFS.Layers}}' $R/straight/x/multi)" 4 "the registry had it"
gone

# stalls
mirrors straight
began=$(date +%s)
like "$(pull stall/x/multi)" 'no data came for 1 second|unexpected EOF' "a connection on which nothing comes"
like "$(pull drip/x/multi)" 'no data came for 1 second|unexpected EOF|larger than' "one that drips"
[ $(($(date +%s) - began)) -lt $((40 * DKD_SLOW)) ]; ok "both are given up ($(($(date +%s) - began)) s)"
is "$(docker images -aq | wc -l)" 0 "nothing is left"
$PY silent 5040 "$WORK/silent.log" & PIDS="$PIDS $!"
for _i in $(seq $((100 * DKD_SLOW))); do grep -qs . "$WORK/silent.log" && break; curl -s --max-time 0.1 http://127.0.0.1:5040/; sleep 0.1; done
: > "$WORK/silent.log"
like "$(api POST "/images/create?fromImage=127.0.0.1:5040/x&tag=1")" 'net/http: request canceled.*Client.Timeout exceeded' "one that never answers"
is "$(wc -l < "$WORK/silent.log")" 2 "is asked once with TLS, and once without"

# how many at once
api POST "/images/create?fromImage=$R/crowd/x/multi&tag=latest" > "$WORK/one" &
one=$!
api POST "/images/create?fromImage=$R/crowd/x/other&tag=latest" > "$WORK/two"
wait $one
is "$(grep -c 'Status: Downloaded newer' "$WORK/one") $(grep -c 'Status: Downloaded newer' "$WORK/two") $(cat "$RLOG.most")" "1 1 2" "two pulls fetch two layers at once, together"
[ "$(cat "$WORK/one" "$WORK/two" | grep -c '"Waiting"')" -ge 3 ]; ok "the others wait"
for i in multi other; do docker tag $R/crowd/x/$i $R/up-crowd/y/$i; done
rm -rf "$WORK"/root/image/*/distribution/v2metadata-by-diffid/sha256/*
echo 0 > "$RLOG.most"
docker push -q $R/up-crowd/y/multi > "$WORK/one" 2>&1 &
one=$!
docker push -q $R/up-crowd/y/other > "$WORK/two" 2>&1; is "$?" 0 "two pushes"
wait $one; is "$?" 0 "at once"
[ "$(cat "$RLOG.most")" -le 2 ]; ok "send two layers at once, together ($(cat "$RLOG.most"))"
is "$(grep -c -e canary "$WORK/log")" 0 "no secret is in the log"
stop_daemon; is "$?" 0 "the daemon ends well"
umount /etc
done_testing
