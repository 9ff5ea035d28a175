#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pulls from a real registry: plain, with TLS and certificates, with passwords, with a token server, through a mirror. skopeo pushes.
. "$(dirname "$0")/lib.sh" || exit 1
need_apart
need openssl
. "$(dirname "$0")/registrylib.sh" || exit 1

# an address that is not the loopback's, where registries are to have certificates
ip addr add 10.99.0.1/32 dev lo || skip_all "no network namespace"
# what is in /etc/docker here is nobody else's
cp -a /etc "$WORK/etc" && mount --bind "$WORK/etc" /etc || skip_all "cannot mount over /etc"
mkdir -p /etc/docker/certs.d

registry() { # name address [yaml...]: a registry on the same blobs
	printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp:\n  addr: %s\n' "$WORK/blobs" "$2" > "$WORK/$1.yml"
	_name=$1 _at=$2
	shift 2
	for _l in "$@"; do printf '%s\n' "$_l" >> "$WORK/$_name.yml"; done
	OTEL_TRACES_EXPORTER=none "$REGISTRY" serve "$WORK/$_name.yml" >> "$WORK/$_name.log" 2>&1 &
	PIDS="$PIDS $!"
	for _i in $(seq $((100 * DKD_SLOW))); do curl -sk ${CERT:+--cert "$CERT.pem" --key "$CERT.key"} -o /dev/null --max-time 2 "${SCHEME:-http}://$_at/v2/" && return 0; sleep 0.1; done
	return 1
}
pull() { docker pull "$@" 2>&1; }
gone() { docker images -q | sort -u | xargs -r "$DOCKER" -H "unix://$SOCK" rmi -f >/dev/null; }
pem() { openssl req "$@" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes >/dev/null 2>&1; }
signed() { # name subject extension [days]
	pem -keyout "$WORK/$1.key" -subj "/CN=$2" -out "$WORK/$1.csr"
	printf '%s\n' "$3" > "$WORK/ext"
	openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" -CAcreateserial -days "${4:-2}" -extfile "$WORK/ext" -out "$WORK/$1.pem" >/dev/null 2>&1
}
pem -x509 -days 2 -keyout "$WORK/ca.key" -subj /CN=ca -out "$WORK/ca.pem"
signed server server "subjectAltName=IP:10.99.0.1"
signed late server "subjectAltName=IP:10.99.0.1" -1
signed client client "extendedKeyUsage=clientAuth"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$WORK/token.key" -subj /CN=token -out "$WORK/token.pem" >/dev/null 2>&1

P=127.0.0.1:5001 A=127.0.0.1:5002 T=127.0.0.1:5003 S=10.99.0.1:5004 C=10.99.0.1:5005
registry plain $P; ok "a registry" || done_testing
python3 -W ignore -c 'import crypt; print("bob:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' > "$WORK/htpasswd"
registry basic $A "auth: {htpasswd: {realm: x, path: $WORK/htpasswd}}"; ok "one with passwords"
registry token $T "auth: {token: {realm: http://127.0.0.1:5010/token, service: reg, issuer: issuer, rootcertbundle: $WORK/token.pem}}"; ok "one with a token server"
SCHEME=https registry tls $S "  tls: {certificate: $WORK/server.pem, key: $WORK/server.key}"; ok "one with TLS"
$PY token 5010 "$WORK/token.key" "$WORK/token.pem" >> "$WORK/token.log" 2>&1 &
PIDS="$PIDS $!"
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
$PY make "$WORK/oci"
copy "docker-archive:$WORK/busybox.tar" docker://$P/lib/busybox:latest && copy docker://$P/lib/busybox:latest docker://$P/open/busybox:latest --src-tls-verify=false &&
	copy "oci:$WORK/oci/multi" docker://$P/lib/multi:1 && copy "oci:$WORK/oci/multi" docker://$P/lib/multi:2 && copy --all "oci:$WORK/oci/index" docker://$P/lib/index:latest
ok "skopeo pushed images" || done_testing
start_daemon --storage-driver "${DRIVER:-overlay2}" ; ok "the daemon" || done_testing
layers() { find "$WORK"/root/image/*/layerdb/sha256 -mindepth 1 -maxdepth 1 | wc -l; }
partial() { find "$WORK"/root/image/*/distribution/partial -type f | wc -l; }

# by tag, as the CLI shows it
D=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://$P/lib/busybox:latest)
L=$(skopeo inspect --tls-verify=false docker://$P/lib/busybox:latest | jq -r '.Layers[0]' | cut -c8-19)
is "$(pull $P/lib/busybox)" "Using default tag: latest
latest: Pulling from lib/busybox
$L: Pulling fs layer
$L: Verifying Checksum
$L: Download complete
$L: Pull complete
Digest: $D
Status: Downloaded newer image for $P/lib/busybox:latest
$P/lib/busybox:latest" "a pull, in Docker's words"
is "$(docker run --rm --network none $P/lib/busybox echo hi)" hi "it runs"
is "$(pull $P/lib/busybox | tail -n 2 | head -n 1)" "Status: Image is up to date for $P/lib/busybox:latest" "again: it is here"
is "$(docker inspect -f '{{json .RepoTags}}{{json .RepoDigests}}' $P/lib/busybox)" "[\"$P/lib/busybox:latest\"][\"$P/lib/busybox@$D\"]" "tag and digest"
is "$(docker images --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}')" "$P/lib/busybox latest $D" "in the list"
like "$(api GET "/events?since=1&until=$(date +%s.%N)" | jq -c 'select(.Action=="pull")|[.Type,.Actor.ID,.Actor.Attributes.name]' | head -n 1)" "\"image\",\"$P/lib/busybox:latest\",\"$P/lib/busybox\"" "an event"
is "$(partial)" 0 "no blob is left"
is "$(pgrep -x dockerd-fetch | while read -r p; do [ "$(ps -o ppid= -p "$p" | tr -d ' ')" = "$(pgrep -P "$DPID" | head -n 1)" ] && echo "$p"; done | wc -l)" 0 "no process is left"
pull $P/open/busybox | grep -q 'Already exists'; is "$?" 1 "the same image by another name has nothing to fetch"
gone
is "$(layers)" 0 "and goes without a rest"
is "$(pull "$P/lib/busybox@$D" | tail -n 1)" "$P/lib/busybox@$D" "by digest"
is "$(docker images --format '{{.Repository}} {{.Tag}}')" "$P/lib/busybox <none>" "which is no tag"
gone

# many layers of every form, all tags, indexes
pull -a $P/lib/multi > "$WORK/out"; ok "all tags"
is "$(grep -c 'Pull complete' "$WORK/out") $(grep -c '^Digest' "$WORK/out")" "4 2" "each layer once, whatever it is packed with"
is "$(tail -n 2 "$WORK/out" | head -n 1)" "Status: Downloaded newer image for $P/lib/multi" "in one status"
is "$(docker images --format '{{.Tag}}' $P/lib/multi | sort | paste -sd,)" "1,2" "both are here"
is "$(docker save $P/lib/multi:1 | tar -xOf - manifest.json | jq -r '.[0].Layers|length')" 4 "and whole"
gone
docker pull $P/lib/index > "$WORK/out" 2>&1; ok "an index: the image of this machine"
is "$(docker inspect -f '{{.Architecture}} {{json .RepoDigests}}' $P/lib/index)" \
	"$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/') [\"$P/lib/index@$(skopeo inspect --raw --tls-verify=false docker://$P/lib/index:latest | sha256sum | sed 's/ .*//; s/^/sha256:/')\"]" "by the index's digest"
is "$(pull --platform linux/s390x $P/lib/index | tail -n 1)" "$P/lib/index:latest" "another platform"
is "$(docker inspect -f '{{.Architecture}}' $P/lib/index)" s390x "is that"
like "$(pull --platform linux/arm/v5 $P/lib/index)" 'no matching manifest for linux/arm/v5 in the manifest list entries' "one that is not there"
like "$(pull --platform linux/arm/v5 $P/lib/busybox)" 'WARNING: image with reference .* was found but does not match the specified platform: wanted linux/arm/v5' "no index, another platform: a warning"
gone

# what is not there
st() { api_status POST "/images/create?$1"; }
is "$(st "fromImage=$P/lib/busybox&tag=nosuch")" 404 "no such tag: 404"
like "$(pull $P/lib/busybox:nosuch)" "manifest for $P/lib/busybox:nosuch not found: manifest unknown" "in Docker's words"
like "$(pull 127.0.0.1:99999/x)" 'Get "http://127.0.0.1:99999/v2/": dial tcp: address 99999: invalid port' "no such port"
like "$(pull 127.0.0.1:1/x)" 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused' "nobody there"
is "$(st 'fromImage=scratch') $(st "fromImage=$P/Lib/x&tag=1") $(st "fromImage=$P/lib/busybox&tag=:x")" "403 400 400" "names that are none"
is "$(docker images -aq | wc -l) $(layers) $(partial)" "0 0 0" "nothing is left of it"
is "$(api GET "/distribution/$P/lib/index/json" | jq -c '[.Descriptor.mediaType, (.Platforms|length)]')" '["application/vnd.oci.image.index.v1+json",3]' "inspection of an index"
is "$(api GET "/distribution/$P/lib/busybox/json" | jq -r '.Descriptor.digest')" "$D" "and of an image"
is "$(api_status GET "/distribution/$P/lib/nosuch/json")" 404 "and of none"

# passwords
export DOCKER_CONFIG=$WORK/config
like "$(pull $A/lib/busybox)" 'no basic auth credentials' "a password is needed"
like "$(printf wrong | docker login -u bob --password-stdin $A 2>&1)" 'login attempt to http://.*/v2/ failed with status: 401 Unauthorized' "a wrong one"
is "$(api_status POST /auth -H 'Content-Type: application/json' -d '{"username":"bob","password":"no","serveraddress":"'$A'"}')" 401 "is a 401"
like "$(api POST /auth -H 'Content-Type: application/json' -d '{"username":"bob","password":"no","serveraddress":"docker.io.example"}')" 'https://docker.io.example/v2/' "a name that begins as Docker's is another one"
wrong=$(printf '{"username":"bob","password":"no"}' | base64 -w0)
is "$(api_status GET "/distribution/$A/lib/busybox/json") $(api_status GET "/distribution/$A/lib/busybox/json" -H "X-Registry-Auth: $wrong") $(api_status POST "/images/create?fromImage=$A/lib/busybox&tag=1" -H "X-Registry-Auth: $wrong")" \
	"500 401 500" "statuses of inspection and pull"
like "$(printf secret | docker login -u bob --password-stdin $A 2>&1)" 'Login Succeeded' "docker login"
like "$(pull $A/lib/busybox)" 'Downloaded newer image' "and pull"
is "$(api_status POST "/images/create?fromImage=$A/lib/busybox&tag=latest" -H 'X-Registry-Auth: !!')" 500 "a header that is none"
like "$(pull $T/open/busybox)" 'Downloaded newer image' "a token for nobody"
like "$(pull $T/lib/busybox)" 'access denied|unauthorized' "which opens not everything"
like "$(printf secret | docker login -u bob --password-stdin $T 2>&1)" 'Login Succeeded' "docker login, with a token"
is "$(jq -r ".auths[\"$T\"].identitytoken" "$DOCKER_CONFIG/config.json")" again-bob "it is an identity token"
like "$(pull $T/lib/multi:1)" 'Downloaded newer image' "which opens what is his"
auth=$(printf '{"username":"bob","password":"secret"}' | base64 -w0 | tr '+/' '-_')
is "$(st "fromImage=$T/lib/multi&tag=2") $(api_status POST "/images/create?fromImage=$T/lib/multi&tag=2" -H "X-Registry-Auth: $auth")" "500 200" "name and password"
like "$(printf wrong | docker login -u bob --password-stdin $T 2>&1)" 'unauthorized: incorrect username or password' "a wrong password, says the token server"
docker tag $T/lib/multi:1 $T/lib/again:1; docker tag $T/lib/multi:1 $T/lib/third:1
is "$(api POST "/images/$T/lib/again/push?tag=1" -H "X-Registry-Auth: $auth" | grep -c 'Mounted from lib/multi')" 4 "a token for two repositories: layers are mounted"
is "$(docker push $T/lib/third:1 | grep -c 'Mounted from lib/')" 4 "by an identity token, too"
is "$(grep -c -e secret -e again-bob "$WORK/log")" 0 "no secret is in the log"
gone

# certificates
like "$(pull $S/lib/busybox)" 'x509: certificate signed by unknown authority' "an authority nobody knows"
is "$(grep -c 'HTTP request to an HTTPS server' "$WORK/tls.log")" 0 "there is no way to plain HTTP"
mkdir -p "/etc/docker/certs.d/$S" "/etc/docker/certs.d/$C"
cp "$WORK/ca.pem" "/etc/docker/certs.d/$S/ca.crt"
like "$(pull $S/lib/busybox)" 'Downloaded newer image' "certs.d: the authority"
SCHEME=https registry late 10.99.0.1:5006 "  tls: {certificate: $WORK/late.pem, key: $WORK/late.key}"
mkdir -p /etc/docker/certs.d/10.99.0.1:5006 && cp "$WORK/ca.pem" /etc/docker/certs.d/10.99.0.1:5006/ca.crt
like "$(pull 10.99.0.1:5006/lib/busybox)" 'x509: certificate has expired or is not yet valid: current time 20' "one that was good for a time"
CERT=$WORK/client SCHEME=https registry mutual $C "  tls: {certificate: $WORK/server.pem, key: $WORK/server.key, clientcas: [$WORK/ca.pem]}"
cp "$WORK/ca.pem" "/etc/docker/certs.d/$C/ca.crt"
like "$(pull $C/lib/busybox)" 'Error' "a client's certificate is asked for"
cp "$WORK/client.pem" "/etc/docker/certs.d/$C/me.cert"
like "$(pull $C/lib/busybox)" 'missing key me.key for client certificate me.cert' "without its key"
cp "$WORK/client.key" "/etc/docker/certs.d/$C/me.key"
chmod 600 "/etc/docker/certs.d/$C/me.key"
like "$(pull $C/lib/busybox)" 'Downloaded newer image|up to date' "certs.d: a client's certificate"
rm -r /etc/docker/certs.d/*
stop_daemon
export SSL_CERT_FILE=$WORK/ca.pem
start_daemon --storage-driver "${DRIVER:-overlay2}"
unset SSL_CERT_FILE
docker rmi -f "$S/lib/busybox" > /dev/null 2>&1
like "$(pull $S/lib/busybox)" 'Downloaded newer image|up to date' "SSL_CERT_FILE: the authorities of the daemon's environment"
echo '{"insecure-registries":["'$S'"],"registry-mirrors":["http://127.0.0.1:9/","http://'$P'"],"max-concurrent-downloads":1}' > "$WORK/daemon.json"
kill -HUP "$DPID"
for _i in $(seq $((50 * DKD_SLOW))); do docker info 2>/dev/null | grep -q "http://$P" && break; sleep 0.1; done
like "$(pull $S/lib/multi:1)" 'Downloaded newer image' "an insecure registry"
gone

# a mirror: what Docker Hub has, here
copy docker://$P/lib/multi:1 docker://$P/library/mirrored:1 --src-tls-verify=false
is "$(pull mirrored:1 | tail -n 1)" docker.io/library/mirrored:1 "the second mirror has it"
is "$(docker images --format '{{.Repository}}:{{.Tag}}')" mirrored:1 "by its own name"
like "$(pull mirrored:nosuch)" 'registry-1.docker.io' "what no mirror has is asked of the hub"
gone

# two at once: the layers are fetched once each
api POST "/images/create?fromImage=$P/lib/multi&tag=1" > "$WORK/one" &
one=$!
api POST "/images/create?fromImage=$P/lib/multi&tag=2" > "$WORK/two"
wait $one
is "$(grep -c 'Status: Downloaded newer\|Status: Image is up' "$WORK/one") $(grep -c 'Status: Downloaded newer\|Status: Image is up' "$WORK/two")" "1 1" "two pulls of one image"
is "$(layers) $(partial)" "4 0" "share its layers"
gone
is "$(layers)" 0 "and leave none"
stop_daemon; is "$?" 0 "the daemon ends well"
umount /etc
done_testing
