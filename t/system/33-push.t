#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pushes to a real registry, and to one that breaks. skopeo judges what arrived.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/registrylib.sh" || exit 1
P=127.0.0.1:5001 A=127.0.0.1:5002 F=127.0.0.1:5020 LOG=$WORK/faults.log
python3 -W ignore -c 'import crypt; print("bob:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' > "$WORK/htpasswd"
registry plain $P
registry basic $A "auth: {htpasswd: {realm: x, path: $WORK/htpasswd}}"
faults 5020 $P "$LOG"
answer_all $P $A $F
$PY make "$WORK/oci"
start_daemon --max-download-attempts=3; ok "the daemon" || done_testing
id=$(tar -C "$WORK/oci/multi" -c . | docker load -q | sed 's/.*ID: //')
docker tag "$id" multi:1; ok "an image is loaded" || done_testing
push() { api POST "/images/$1/push?tag=$2" -H "X-Registry-Auth: ${3:-e30=}" -w '\n%{http_code}' 2>&1 | tail -n 3 | tr '\r\n' '  '; }
raw() { skopeo inspect --raw --tls-verify=false "docker://$1"; }
processes() { for _p in $(pgrep -x dockerd-fetch); do grep -qs "^PPid:[[:space:]]*$(pgrep -P "$DPID" | head -n 1)\$" "/proc/$_p/status" && echo "$_p"; done | wc -l; }

docker tag multi:1 $P/x/multi:1
docker push $P/x/multi:1 > "$WORK/out" 2>&1; ok "docker push"
is "$(grep -c ': Pushed$' "$WORK/out") $(head -n 1 "$WORK/out")" "4 The push refers to repository [$P/x/multi]" "four layers"
D=sha256:$(raw $P/x/multi:1 | sha256sum | cut -d' ' -f1)
is "$(tail -n 1 "$WORK/out")" "1: digest: $D size: $(raw $P/x/multi:1 | wc -c)" "the digest, in Docker's words"
is "$(raw $P/x/multi:1 | jq -c '[.schemaVersion,.mediaType,.config.digest,(.layers|length)]')" "[2,\"application/vnd.docker.distribution.manifest.v2+json\",\"$id\",4]" "a manifest of schema 2"
is "$(docker inspect -f '{{json .RepoDigests}}' multi:1)" "[\"$P/x/multi@$D\"]" "the image knows its digest"
like "$(api GET "/events?since=1&until=$(date +%s.%N)" | jq -c 'select(.Action=="push")|[.Type,.Actor.ID]' | head -n 1)" "\"image\",\"$P/x/multi:1\"" "an event"
skopeo copy -q --insecure-policy --src-tls-verify=false docker://$P/x/multi:1 "oci:$WORK/back" >/dev/null; ok "skopeo takes it, with every digest"
for i in 0 1 2 3; do
	b=$(raw $P/x/multi:1 | jq -r ".layers[$i].digest" | cut -c8-)
	[ "sha256:$(zcat "$WORK/plain/docker/registry/v2/blobs/sha256/$(echo "$b" | cut -c1-2)/$b/data" | sha256sum | cut -d' ' -f1)" = "$(docker inspect -f "{{index .RootFS.Layers $i}}" multi:1)" ]
	ok "layer $i is rebuilt to the byte"
done
is "$(docker push $P/x/multi:1 2>&1 | grep -c 'Layer already exists')" 4 "again: it has them"
docker tag multi:1 $P/y/other:1
is "$(docker push $P/y/other:1 2>&1 | grep -c 'Mounted from x/multi')" 4 "by another name: the registry has them"
docker tag multi:1 $P/x/multi:2
is "$(docker push -a $P/x/multi 2>&1 | grep -c ': digest: ')" 2 "all tags"
rm -rf "$WORK"/root/image/*/distribution/v2metadata-by-diffid/sha256/*
is "$(docker push $P/x/multi:1 2>&1 | grep -c 'Layer already exists')" 4 "what is not known any more is packed, and found there"
is "$(raw $P/x/multi:1 | sha256sum | cut -d' ' -f1)" "${D#*:}" "the same manifest"
find "$WORK"/root/image/*/distribution/v2metadata-by-diffid/sha256 -type f -exec sh -c 'echo junk > "$1"' - {} \;
like "$(push $P/x/multi 1)" '"Tag":"1".* 200 $|"Tag":"1".* 200$' "damaged notes are no obstacle"
docker rmi $(docker images -q | sort -u) -f >/dev/null
docker pull -q $P/y/other:1 >/dev/null; is "$(docker inspect -f '{{.Id}}' $P/y/other:1)" "$id" "it comes back as it was"
docker tag $P/y/other:1 $P/z/pulled:1
is "$(docker push $P/z/pulled:1 2>&1 | grep -c 'Mounted from y/other')" 4 "what was pulled is known to be there"
printf 'hello' > "$WORK/f"; tar -cf - -C "$WORK" f | docker import - $P/x/imported:1 >/dev/null
like "$(push $P/x/imported 1)" '"aux":\{"Tag":"1"' "an imported image"
docker create --name cc --network none $P/x/imported:1 true >/dev/null
docker commit cc $P/x/committed:1 >/dev/null; like "$(push $P/x/committed 1)" '"aux":\{"Tag":"1"' "a committed one"
is "$(docker inspect -f '{{len .RootFS.Layers}}' $P/x/committed:1) $(raw $P/x/committed:1 | jq '.layers|length')" "2 2" "with all its layers"

# refusals
like "$(push $P/x/nosuch 1)" "An image does not exist locally with the tag: $P/x/nosuch" "an image that is not there"
like "$(push $P/y/other nosuch)" "tag does not exist: $P/y/other:nosuch" "a tag that is not there"
like "$(push $P/x/multi :1)" 'invalid tag format' "a tag that is none"
docker tag $P/y/other:1 127.0.0.1:1/x:1
like "$(push 127.0.0.1:1/x 1)" '127.0.0.1:1: connect: connection refused' "nobody there"
docker tag $P/y/other:1 $A/x:1
like "$(push $A/x 1)" 'no basic auth credentials' "a password is needed"
like "$(push $A/x 1 "$(printf '{"username":"bob","password":"wrong"}' | base64 -w0)")" 'unauthorized: authentication required' "a wrong one"
like "$(push $A/x 1 "$(printf '{"username":"bob","password":"secret"}' | base64 -w0)")" '"aux":\{"Tag":"1"' "the right one"

is "$(api POST "/images/$A/x/push?tag=1" -H 'Content-Type: application/json' -d '{"username":"bob","password":"secret"}' | grep -c '"aux":{"Tag":"1"')" 1 "in the body, as old clients have it"
is "$(api_status POST "/images/$A/x/push?tag=1" -H 'Content-Type: application/json' -d '{"username"')" 400 "which is none: 400"

# registries that break
faulty() { docker tag $P/y/other:1 "$F/$1/$2:1"; push "$F/$1/$2" 1; }
like "$(faulty up-cut new/a)" '"aux":\{"Tag":"1"' "a connection that breaks in an upload"
like "$(cat "$LOG")" 'GET /v2/up-cut/new/a/blobs/uploads/' "the registry is asked how much it has"
like "$(grep 'PATCH /v2/up-cut' "$LOG" | grep -v 'part=None')" 'part=1048576-[0-9]+$' "and gets the rest"
skopeo copy -q --insecure-policy --src-tls-verify=false docker://$P/new/a:1 "oci:$WORK/a" >/dev/null; ok "it is whole"
like "$(faulty up-busy new/b)" '"aux":\{"Tag":"1"' "503, come back in a second"
like "$(faulty up-nomount new/c)" '"aux":\{"Tag":"1"' "a registry that mounts nothing"
like "$(faulty up-laconic new/h)" '"aux":\{"Tag":"1"' "a registry that tells places from where one is, and once"
skopeo copy -q --insecure-policy --src-tls-verify=false docker://$P/new/h:1 "oci:$WORK/h" >/dev/null; ok "has it"
like "$(faulty up-elsewhere new/d)" 'the registry names no place of its own for an upload' "an upload is not sent elsewhere"
is "$(grep -c ELSEWHERE "$LOG")" 0 "nothing went there"
like "$(faulty up-denied new/e)" 'denied: requested access to the resource is denied' "denied"
like "$(faulty up-lost new/f)" 'blob upload unknown' "an upload that is lost"
like "$(faulty up-late new/g)" 'manifest invalid: manifest invalid' "a manifest that is refused"
is "$(curl -s "http://$P/v2/new/g/tags/list" | grep -c '"1"')" 0 "is no tag"
# search
found() { api GET "/images/search?$1" | jq -c "${2:-map(.name)}"; }
is "$(found "term=$P/mul")" '["x/multi"]' "search: names of the catalog, where there is no version 1"
is "$(docker search --format '{{.Name}} {{.StarCount}} {{.IsOfficial}}' $F/any | paste -sd,)" "one/ 0 ,one/x 1 ,one/xx 2 [OK],one/xxx 3 " "search: what a registry of version 1 says"
is "$(found "term=$F/any&filters=%7B%22stars%22%3A%5B%222%22%5D%7D")" '["one/xx","one/xxx"]' "by stars"
is "$(found "term=$F/any&filters=%7B%22is-official%22%3A%5B%22true%22%5D%7D")" '["one/xx"]' "by is-official"
is "$(found "term=$F/any&limit=1")" '["one/"]' "as many as asked for"
like "$(grep '/v1/search' "$LOG" | head -n 1)" '/v1/search\?q=any&n=25' "the registry gets the term"
is "$(api_status GET "/images/search?term=$F/x&limit=101") $(api_status GET "/images/search?term=$F/x&filters=%7B%22a%22%3A%5B%22b%22%5D%7D") $(api_status GET '/images/search?term=127.0.0.1:1/x') $(api_status GET '/images/search')" \
	"400 400 500 400" "nonsense"
is "$(processes) $(find "$WORK"/root/image/*/distribution/partial -type f | wc -l)" "0 0" "nothing is left of any of them"
is "$(grep -c secret "$WORK/log")" 0 "no secret is in the log"
stop_daemon; is "$?" 0 "the daemon ends well"
done_testing
