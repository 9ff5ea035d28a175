#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Managed plugins from a registry: pushed, privileges told and compared, installed under another name, upgraded; what is no plugin; what a kill leaves.
. "$(dirname "$0")/lib.sh" || exit 1
need_apart
. "$(dirname "$0")/registrylib.sh" || exit 1
. "$(dirname "$0")/managedlib.sh" || exit 1
R=127.0.0.1:5001 F=127.0.0.1:5005
registry blobs $R
faults 5005 $R "$WORK/faults"
answer_all $R $F
T=application/vnd.docker.distribution.manifest.v2+json
manifest() { curl -s -H "Accept: $T" "http://$R/v2/$1/manifests/$2"; }
put_blob() { # repository file: its digest
	_d=sha256:$(sha256sum "$2" | cut -d' ' -f1)
	_l=$(curl -si -X POST "http://$R/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //Ip')
	curl -s -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" "$_l&digest=$_d"
	echo "$_d"
}
answer() { # method path [body]: the answer's first line of JSON and its status
	curl -s -w ' %{http_code}' --unix-socket "$SOCK" -X "$1" "http://d/v1.41$2" -H 'Content-Type: application/json' ${3+-d "$3"} | tail -n 2 | tr -d '\r\n'
}
heard() { api GET "/events?since=1&until=$(date +%s.%N)&filters=%7B%22type%22:%5B%22plugin%22%5D%7D" | jq -r '[.Action,.Actor.ID,.Actor.Attributes.name] | join(" ")' | tr '\n' ,; }
start_daemon; ok "the daemon" || done_testing
N=$R/me/folders
plugin_folder "$WORK/p" volumedriver
docker plugin create $N:1 "$WORK/p" > /dev/null; ok "a plugin"
out=$(docker plugin push $N:1); like "$out" "^The push refers to repository \[$N\]" "pushed"
is "$(echo "$out" | grep -c ': Upload complete$')" 3 "manifest, layer, configuration"
D=sha256:$(manifest me/folders 1 | sha256sum | cut -d' ' -f1)
is "$(manifest me/folders 1 | jq -rc '[.schemaVersion,.mediaType,.config.mediaType,.layers[].mediaType]')" \
	"[2,\"$T\",\"application/vnd.docker.plugin.v1+json\",\"application/vnd.docker.image.rootfs.diff.tar.gzip\"]" "as Docker has it"
like "$(api POST "/plugins/$N:1/push" | tail -n 1)" "\"aux\":\{\"Tag\":\"1\",\"Digest\":\"$D\",\"Size\":" "again: nothing to send, and its digest"
docker plugin inspect $N:1 | jq -S '.[0].Config' > "$WORK/config"
docker plugin rm $N:1 > /dev/null; is "$(plugins_left)" "" "removed with its parts"

# the second version: another root in two layers, the second of which takes something away; keys in lower case as people write them
mkdir -p "$WORK/v2/b"
jq 'with_entries(.key |= ascii_downcase) | .description = "second" | .linux.Capabilities += ["CAP_NET_ADMIN"] |
	.env[1].Value = "2" | .env += [{name: "NEW", value: "n", settable: ["value"]}]' "$WORK/p/config.json" > "$WORK/v2/config.json"
head -c 3000000 /dev/urandom > "$WORK/p/rootfs/large"; echo gone > "$WORK/p/rootfs/away"; touch "$WORK/v2/b/.wh.away"; echo two > "$WORK/v2/b/two"
tar -C "$WORK/p/rootfs" -czf "$WORK/v2/1.tgz" . && tar -C "$WORK/v2/b" -czf "$WORK/v2/2.tgz" .
layer() { jq -nc --arg d "$(put_blob me/folders "$1")" --argjson s "$(stat -c %s "$1")" --arg t "$2" '{mediaType: $t, digest: $d, size: $s}'; }
L=application/vnd.docker.image.rootfs.diff.tar.gzip
jq -n --arg t $T --argjson c "$(layer "$WORK/v2/config.json" application/vnd.docker.plugin.v1+json)" --argjson a "$(layer "$WORK/v2/1.tgz" $L)" \
	--argjson b "$(layer "$WORK/v2/2.tgz" $L)" '{schemaVersion: 2, mediaType: $t, config: $c, layers: [$a, $b]}' > "$WORK/v2/manifest"
curl -s -o /dev/null -X PUT -H "Content-Type: $T" --data-binary "@$WORK/v2/manifest" "http://$R/v2/me/folders/manifests/2"
"$top_srcdir/t/tools/mkimage" busybox:latest > "$WORK/busybox.tar"
copy "docker-archive:$WORK/busybox.tar" docker://$R/lib/busybox:1; ok "an image beside it"

# privileges
ASKED='[{"Name":"network","Description":"permissions to access a network","Value":["none"]},{"Name":"mount","Description":"host path to mount","Value":["/usr"]},{"Name":"capabilities","Description":"list of additional capabilities required","Value":["CAP_SYS_ADMIN"]}]'
is "$(api GET "/plugins/privileges?remote=$N:1" | jq -c .)" "$ASKED" "what it wants"
like "$(docker plugin install $N:1 < /dev/null 2>&1 | tr '\n' ' ')" 'requesting the following privileges:.* - network: \[none\].* - mount: \[/usr\].* - capabilities: \[CAP_SYS_ADMIN\]' "somebody is asked"
pull() { answer POST "/plugins/pull?remote=$1&name=${3-x}" "$2"; }
like "$(pull $N:1 "$(echo "$ASKED" | jq -c '.[1:]')")" '"error":"incorrect privileges"\} 200' "one less, the first"
like "$(pull $N:1 "$(echo "$ASKED" | jq -c '.[:2]')")" '"error":"incorrect privileges"\} 200' "one less, the last"
like "$(pull $N:1 "$(echo "$ASKED" | jq -c '.[0].Value = ["host"]')")" '"error":"incorrect privileges"' "another"
like "$(pull $N:1 "$(echo "$ASKED" | jq -c '. + [.[1]]')")" '"error":"incorrect privileges"' "one more"
like "$(pull $N:1 '')" '"failed to parse privileges: EOF".* 400' "none"
is "$(plugins_left)" "" "nothing came"
like "$(answer GET "/plugins/privileges?remote=$R/lib/busybox:1")" "did not find plugin config for specified reference $R/lib/busybox:1" "an image wants none"
like "$(pull $R/lib/busybox:1 '[]')" '"error":"fetched plugin image but plugin config is missing"\} 200' "an image is no plugin"
like "$(docker pull $N:1 2>&1)" 'Encountered remote "application/vnd.docker.plugin.v1\+json"\(plugin\) when fetching' "a plugin is no image"
like "$(answer GET "/distribution/$N:1/json")" "\"digest\":\"$D\",\"size\":[0-9]*\},\"Platforms\":null" "but it can be looked at"
like "$(answer GET "/plugins/privileges?remote=$F/layers/me/folders:1")" 'layers of media type application/vnd.example.layer are not supported' "one of layers that nobody can unpack"
like "$(pull $R/no/thing '[]')" 'error resolving plugin reference: manifest for .* 404' "what is not there"
like "$(pull $N:1 "$ASKED" "x@$D")" '"cannot use digest in plugin tag".* 400' "a name with a digest"
is "$(docker images -q)$(plugins_left)" "" "nothing came of all that"

# installed
like "$(docker plugin install --alias al --disable --grant-all-permissions $N:1 COLOR=green | tr '\n' ' ')" "1: Pulling from $N.Digest: $D.*: Waiting.*: Download complete.*: Complete.Installed plugin $N:1" "install"
is "$(docker plugin inspect -f '{{.Name}} {{.PluginReference}} {{.Enabled}} {{.Settings.Env}}' al)" "al:latest $N:1 false [COLOR=green FIXED=1]" "under another name, with a setting"
is "$(docker plugin inspect al | jq -S '.[0].Config')" "$(cat "$WORK/config")" "its configuration is what was pushed"
is "$(jq -r .Manifest "$WORK"/root/plugins/*/config.json)" "$D" "and its manifest"
is "$(find "$WORK/root/plugins/storage/blobs/sha256" -type f | sort)" "$(for d in "$D" $(manifest me/folders 1 | jq -r '.config.digest, .layers[].digest'); do echo "$WORK/root/plugins/storage/blobs/sha256/${d#*:}"; done | sort)" "its parts are kept"
like "$(pull $N:1 "$ASKED" al)" '\{"message":"plugin al:latest already exists"\} 400' "the name is taken"
like "$(curl -si --unix-socket "$SOCK" -X POST "http://d/v1.41/plugins/pull?remote=$N@$D" -d "$ASKED" | tr -d '\r')" "Docker-Plugin-Name: $N:latest" "by digest"
docker plugin rm $N > /dev/null; ok "which is a plugin like others"
docker plugin enable al > /dev/null; docker volume create -d al vol > /dev/null; ok "it works" || tail -3 "$WORK/log" | sed 's/^/# /'
docker plugin set al COLOR=blue 2> /dev/null; is "$(docker plugin inspect -f '{{.Settings.Env}}' al)" "[COLOR=green FIXED=1]" "nothing is set while it runs"

# upgraded
like "$(answer POST "/plugins/al/upgrade?remote=$N:2" '[]')" '"plugin must be disabled before upgrading: plugin al:latest is enabled"\} 409' "not while it is enabled"
docker plugin disable -f al > /dev/null
before=$(cat "$WORK"/root/plugins/*/config.json)
like "$(answer POST "/plugins/al/upgrade?remote=$N:2" "$ASKED")" '"error":"incorrect privileges"' "not when it wants more than was given"
like "$(answer POST "/plugins/al/upgrade?remote=$R/lib/busybox:1" "[]")" '"error":"fetched plugin image but plugin config is missing"' "not by an image"
is "$(cat "$WORK"/root/plugins/*/config.json)" "$before" "it is as before"
ID=$(docker plugin inspect -f '{{.Id}}' al) H=$WORK/root/plugins
# killed while the large layer is awaited, which the proxy holds back
hold() { answer POST "$1" "$(api GET "/plugins/privileges?remote=$N:2")" > /dev/null & for _i in $(seq $((100 * DKD_SLOW))); do grep -q "GET /v2/hold/me/folders/blobs/$(jq -r '.layers[0].digest' "$WORK/v2/manifest")" "$WORK/faults" 2>/dev/null && break; sleep 0.1; done
	kill -9 "$DPID"; wait "$DPID" 2>/dev/null; DPID=; wait $! 2>/dev/null; : > "$WORK/faults"; start_daemon; }
hold "/plugins/al/upgrade?remote=$F/hold/me/folders:2"; ok "killed within an upgrade"
is "$(cat "$H/$ID/config.json")" "$before" "it is as before"
is "$(find "$H" -mindepth 1 -maxdepth 1 -name '.*')$(ls "$H/storage/ingest")" "" "nothing is left of the new one"
hold "/plugins/pull?remote=$F/hold/me/folders:2&name=half"; ok "killed within a pull"
is "$(docker plugin ls -q | wc -l)$(find "$H" -mindepth 1 -maxdepth 1 -name '.*')" "$(docker plugin ls | grep -c .| awk '{print $1-1}')" "nothing is left of that"
unlike "$(docker plugin ls)" half "nor listed"
# killed between the two steps of the end: what the plugin shares is in the new folder
mkdir "$H/.up-$ID" && cp -a "$H/$ID/rootfs" "$H/.up-$ID/" && mv "$H/$ID/propagated-mount" "$H/.up-$ID/"
stop_daemon; start_daemon
is "$(ls "$H/$ID/propagated-mount/volumes")$(find "$H" -mindepth 1 -maxdepth 1 -name '.*')" vol "what it shares comes back"
like "$(docker plugin upgrade --skip-remote-check --grant-all-permissions al $N:2)" "Upgraded plugin al:latest to $N:2" "upgraded"
is "$(docker plugin inspect -f '{{.Id}} {{.PluginReference}} {{.Config.Description}} {{.Settings.Env}} {{.Config.Linux.Capabilities}}' al)" \
	"$ID $N:2 second [COLOR=green FIXED=2 NEW=n] [CAP_SYS_ADMIN CAP_NET_ADMIN]" "the same plugin, what was set stays"
is "$(cat "$H/$ID/rootfs/two")$(ls "$H/$ID/rootfs" | grep -cE 'away|wh')" two0 "its root: one layer over the other"
is "$(ls "$H/$ID/propagated-mount/volumes")" vol "with what it shares"
is "$(find "$H/storage/blobs" -type f | wc -l)" 4 "the old parts are gone"
is "$(heard)" "pull $N:2 al:latest," "an event"
# as Docker leaves it behind an upgrade: no layers, the old configuration's digest
stop_daemon
jq -c '.Blobsums = null | .Config = "sha256:'"$(printf %064d 1)"'"' "$H/$ID/config.json" > "$WORK/theirs" && cp "$WORK/theirs" "$H/$ID/config.json"
start_daemon; is "$(find "$H/storage/blobs" -type f | wc -l)" 4 "one of Docker's has its parts by its manifest"
docker plugin enable al > /dev/null; docker volume rm vol > /dev/null; ok "and works" || tail -3 "$WORK/log" | sed 's/^/# /'
is "$(heard)" "enable $ID al:latest," "another"
docker plugin rm -f al > /dev/null; is "$(plugins_left)" "" "removed by force"
stop_daemon

# a disk on which each part of it finds no place in turn: not there, or as it was
rm -rf "$WORK/root" && mkdir "$WORK/root" && mount -t tmpfs -o size=24m tmpfs "$WORK/root"
start_daemon; ok "a daemon on a small disk"
docker plugin install --alias old --disable --grant-all-permissions $N:1 > /dev/null; ok "a plugin there"
before=$(cat "$H"/*/config.json; find "$H" | sort)
WANTED=$(api GET "/plugins/privileges?remote=$N:2")
odd=
for free in 0 20 1500 2900 3100 4500 5800; do
	for way in "/plugins/pull?name=new&remote=$N:2" "/plugins/old/upgrade?remote=$N:2"; do
		rm -f "$WORK/root/fill"; at=$(df --output=avail -k "$WORK/root" | tail -n 1)
		head -c $(((at - free) * 1024)) /dev/zero > "$WORK/root/fill"
		said=$(answer POST "$way" "$WANTED")
		case $said in *'No space left on device'*) ;; *) odd="$odd $free: $said"; break 2 ;; esac
		[ "$(cat "$H"/*/config.json; find "$H" | sort)" = "$before" ] || odd="$odd $free: something is left"
	done
done
is "$odd" "" "there is no place for it: said, and nothing left"
rm "$WORK/root/fill"
like "$(docker plugin upgrade --skip-remote-check --grant-all-permissions old $N:2)" "Upgraded plugin old:latest" "then there is"
stop_daemon; umount "$WORK/root"
done_testing
