#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What clients send: nonsense in every field, escapes that hide words, several clients at one image.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3
find_docker
scratch
own_net

start_daemon
ok "the daemon starts" || done_testing
load_busybox > /dev/null
ok "an image is there" || done_testing

post() { api POST "$1" -H 'Content-Type: application/json' -d "$2"; }
post_status() { api_status POST "$1" -H 'Content-Type: application/json' --data-binary "$2"; }

is "$(post /containers/create '{"Image":1}')" '{"message":"invalid JSON: /Image: expected a string, got an integer"}' "a fault in a body is named once, with its place"
is "$(post /containers/create '{"Image":')" "$(post /containers/create '{"Image":' | sed 's/\(invalid JSON: \)*/\1/')" "so is broken JSON"

# Go's decoder does not look at upper and lower case, so bodies that people write do not either
id=$(post '/containers/create?name=lower' '{"image":"busybox","cmd":["true"],"labels":{"Image":"kept"},"hostConfig":{"networkmode":"none","memory":67108864,"restartpolicy":{"name":"on-failure","MAXIMUMRETRYCOUNT":2}}}')
like "$id" '"Id":"[0-9a-f]{64}"' "members in another spelling of upper and lower case"
is "$(docker inspect -f '{{.Config.Image}} {{.Config.Cmd}} {{index .Config.Labels "Image"}} {{.HostConfig.NetworkMode}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy}}' lower)" \
	"busybox [true] kept none 67108864 {on-failure 2}" "mean what they say"
is "$(post_status /containers/lower/update '{"memory":134217728,"memoryswap":-1}') $(docker inspect -f '{{.HostConfig.Memory}}' lower)" "200 134217728" "of an update, too"
is "$(post /volumes/create '{"name":"lower","labels":{"A":"b"}}' >/dev/null; docker volume inspect -f '{{.Labels}}' lower)" "map[A:b]" "of a volume"
is "$(post /networks/create '{"name":"lower","internal":true,"ipam":{"config":[{"subnet":"10.77.1.0/24"}]}}' >/dev/null; docker network inspect -f '{{.Internal}} {{(index .IPAM.Config 0).Subnet}}' lower)" "true 10.77.1.0/24" "of a network"
is "$(post /containers/create '{"Image":"busybox","image":"busybox"}')" '{"message":"invalid JSON: /image: the key is written Image"}' "twice is nothing"
docker rm lower > /dev/null; docker volume rm lower > /dev/null; docker network rm lower > /dev/null

# every body of the kind that breaks parsers, at every door that takes one
bad=0
deep=$(printf '%5000s' '' | tr ' ' '[')
for path in /containers/create /volumes/create /networks/create /networks/none/connect /networks/none/disconnect /auth; do
	for body in '' '{' '[]' 'null' '1' '"x"' '{"Image":{}}' '{"Name":[]}' '{"Name":"../x"}' '{"HostConfig":[]}' '{"HostConfig":{"Memory":1e99}}' \
		'{"HostConfig":{"Memory":99999999999999999999}}' '{"Env":[1]}' '{"Cmd":{"a":1}}' '{"Labels":[1]}' '{"Image":"\ud800"}' \
		"$(printf '{"Image":"\377\376"}')" '{"a":1,"a":2}' "$deep" '{"Container":5}' '{"IPAM":7}' '{"DriverOpts":["x"]}'; do
		st=$(post_status "$path" "$body")
		# what is unknown is ignored, as Docker does; a volume needs nothing, a network is named as one likes
		case $path-$st in *-4?? | /volumes/create-201 | /networks/create-201 | *-501 | *-503 | /auth-500) ;; # a login of nobody: the registry is not there
		*) bad=$((bad + 1)); echo "# $path $body: $st" | cut -c1-200 ;; esac
	done
done
is "$bad" 0 "nonsense is refused, and by no 500"
is "$(api GET /_ping)" OK "the daemon is well"

docker run -d --name ep --network none busybox:latest sleep 1000 > /dev/null
like "$(docker inspect -f '{{.NetworkSettings.Networks.none.EndpointID}}' ep)" '^[0-9a-f]{64}$' "a container that runs has an endpoint"
docker kill ep > /dev/null
docker wait ep > /dev/null
is "$(docker inspect -f '<{{.NetworkSettings.Networks.none.EndpointID}}>' ep)" '<>' "one that stopped has none"
docker rm ep > /dev/null

# An image deeper than the stack of a request's thread is large, whose layer is made, listed and removed.
mkdir "$WORK/deep"
(cd "$WORK/deep" && python3 -c 'import os
for i in range(1500): os.mkdir("d"); os.chdir("d")
open("f", "w").close()')
ok "1500 folders, one in the other"
tar -C "$WORK/deep" -c . | docker import - deep > /dev/null
ok "an image of 1500 levels comes in"
docker rmi deep > /dev/null
ok "and goes"
is "$(find "$WORK/root/overlay2" -mindepth 1 -maxdepth 1 -name '?????*' | wc -l)" 1 "leaving nothing"
rm -rf "$WORK/deep"

# A load beside a prune: whatever the prune takes, the load is whole or fails as a whole.
: > "$WORK/stop"
(while [ -e "$WORK/stop" ]; do api POST '/images/prune' > /dev/null; done) &
pruner=$!
fails=0
for _i in $(seq 25); do
	docker rmi -f busybox:latest > /dev/null 2>&1
	docker load -q -i "$WORK/busybox.tar" > /dev/null 2>&1 || fails=$((fails + 1))
done
rm "$WORK/stop"
wait $pruner
is "$fails" 0 "a load outruns a prune"

stop_daemon
is "$?" 0 "the daemon ends"

# Rules see what handlers see.
cat > "$WORK/dockerd.conf" <<-EOF
	[daemon]
	authorization-plugins = policy
	[authz.policy]
	rule = deny DELETE /images/keep/*
	rule = deny DELETE /volumes/keep
	default = allow
EOF
start_daemon_ini() {
	cp "$WORK/dockerd.conf" "$WORK/daemon.conf"
	"$DOCKERD" -b none --config-file "$WORK/daemon.conf" --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
		-H "unix://$SOCK" --plugin-dir "$PLUGDIR" >> "$WORK/log" 2>&1 < /dev/null &
	DPID=$!
	for _i in $(seq 100); do
		[ "$(curl -s --max-time 5 --unix-socket "$SOCK" http://d/_ping 2>/dev/null)" = OK ] && return 0
		sleep 0.1
	done
	return 1
}
start_daemon_ini
ok "with rules" || done_testing
docker tag busybox:latest keep/me:1
docker volume create keep > /dev/null
for path in /images/keep/me:1 /images/keep%2Fme:1 /images/keep%2fme:1 /images/%6beep/me:1 /v1.41/images/k%65ep%2Fme:1 /volumes/keep /volumes/%6Beep /volumes/%2Fkeep; do
	is "$(api_status DELETE "$path" --path-as-is)" 403 "denied: $path"
done
is "$(docker image inspect -f ok keep/me:1)" ok "the image is there still"
docker rmi keep/me:1 > /dev/null 2>&1
is "$?" 1 "to the CLI, too"
stop_daemon
is "$?" 0 "the daemon ends"
done_testing
