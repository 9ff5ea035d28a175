#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# info, version, disk usage, login and /debug: the members, the figures and the refusals.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
N="--network none"
json() { python3 -c 'import json, sys
d = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"; }

# version and info
is "$(api GET /version | json '[c["Name"] for c in d["Components"]][:2]')" "['Engine', 'runc']" "version: the parts"
is "$(api GET /version | json 'd["Version"] == d["Components"][0]["Version"] and d["ApiVersion"] == d["Components"][0]["Details"]["ApiVersion"]')" True \
	"told twice, the same"
init=$(api GET /info | json 'd["InitBinary"]')
if [ -x "$init" ]; then
	is "$(api GET /version | json '[c["Version"] for c in d["Components"] if c["Name"] == "docker-init"]')" "['$("$init" --version | sed 's/.* version \([^ ]*\).*/\1/')']" \
		"docker-init's own version"
else
	skip "docker-init's own version" "it is not installed"
fi
is "$(api GET /info | json '"ociVersionMax" in json.loads(d["Runtimes"]["runc"]["status"]["org.opencontainers.runtime-spec.features"])')" True \
	"info: what the runtime can do, in its words"
is "$(api GET /v1.43/info | json 'd["Runtimes"]["runc"].keys()')" "dict_keys(['path'])" "not before 1.44"
is "$(docker info -f '{{json .FirewallBackend}}')" null "no bridge, no rules"
docker run -d --name run $N busybox sleep 1000 > /dev/null
docker run -d --name paused $N busybox sleep 1000 > /dev/null
docker pause paused > /dev/null
docker create --name made $N busybox > /dev/null
is "$(docker info -f '{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}')" "3 1 1 1 1" "counts"

# disk usage
docker run --name wrote $N -v vol:/v busybox sh -c 'head -c 3000 /dev/zero > /a; head -c 5000 /dev/zero > /v/b; ln /v/b /v/c; mkdir /v/d; head -c 70 /dev/zero > /v/d/e'
docker volume create idle > /dev/null
docker tag busybox:latest other:name
df() { api GET "/v1.${2:-50}/system/df$1"; }
is "$(df "" | json '{c["Names"][0]: c.get("SizeRw", 0) for c in d["Containers"]}["/wrote"]')" 3000 "a container's own bytes"
is "$(df "" | json '[c["SizeRootFs"] - c.get("SizeRw", 0) == d["Images"][0]["Size"] for c in d["Containers"]]')" "[True, True, True, True]" "above its image"
is "$(df "" | json 'sorted((v["Name"], v["UsageData"]["Size"], v["UsageData"]["RefCount"]) for v in d["Volumes"])')" "[('idle', 0, 0), ('vol', 5070, 1)]" \
	"volumes: a file of two names counts once"
is "$(df "" | json 'len(d["Images"]), d["Images"][0]["Containers"], d["Images"][0]["SharedSize"], d["LayersSize"] == d["Images"][0]["Size"]')" "(1, 4, 0, True)" "the image"
is "$(df "" | json '"VirtualSize" in d["Images"][0], d["BuildCache"]') $(df "" 43 | json '"VirtualSize" in d["Images"][0]')" "(False, []) True" \
	"members that went with 1.44"
docker volume create -o type=none -o o=bind -o device=/usr elsewhere > /dev/null
docker run -d --name far $N -v elsewhere:/e busybox sleep 1000 > /dev/null
is "$(df "?type=volume" | json 'sorted(v["Name"] for v in d["Volumes"])')" "['idle', 'vol']" "what is mounted from elsewhere is not the daemon's"
docker rm -f far > /dev/null
docker volume rm elsewhere > /dev/null
for type in container:Containers image:Images volume:Volumes build-cache:BuildCache; do
	is "$(df "?type=${type%:*}" | json '[k for k in ("Containers", "Images", "Volumes", "BuildCache") if d[k] is not None]')" "['${type#*:}']" "only ${type%:*}"
done
is "$(df "?type=image&type=volume" | json '[k for k in ("Containers", "Images", "Volumes", "BuildCache") if d[k] is not None]')" "['Images', 'Volumes']" "two kinds"
is "$(df "?type=x")" '{"message":"unknown object type: x"}' "an unknown kind"
is "$(df "?type=x" 41 | json 'len(d["Containers"])')" 4 "before 1.42 there is no choice"
like "$(docker system df | tr -s ' ' | tr '\n' ';')" 'Images 1 1 .*;Containers 4 [12] .*;Local Volumes 2 1 5\.07kB 0B \(0%\);Build Cache 0 0 0B 0B;' "docker system df"
docker system df -v | grep -q '^wrote\|wrote$'
ok "docker system df -v"
curl -sS --unix-socket "$SOCK" --parallel --parallel-max 20 "http://d/v1.50/system/df?n=[1-40]" -o "$WORK/df#1" 2> "$WORK/errors"
is "$(python3 -c 'import json, sys
print({tuple(sorted(c["Id"] for c in json.load(open(f))["Containers"])) == () for f in sys.argv[1:]})' "$WORK"/df[0-9]*) $(ls "$WORK" | grep -c '^df[0-9]')" "{False} 40" "forty at once are all answered"
docker run --rm $N -v vol:/v busybox sh -c 'head -c 130 /dev/zero > /v/more'
is "$(df "?type=volume" | json '{v["Name"]: v["UsageData"]["Size"] for v in d["Volumes"]}["vol"]')" 5200 "what was written since is seen"
docker rm -f wrote made > /dev/null
docker run --name old -l keep=1 $N busybox sh -c 'head -c 2000 /dev/zero > /x'
docker run --name new $N busybox sh -c 'head -c 3000 /dev/zero > /x'
is "$(docker system prune -f --filter label=nosuch | grep '^Total')" "Total reclaimed space: 0B" "system prune by a label that nobody has"
is "$(docker system prune -f --filter until=1h | grep '^Total')" "Total reclaimed space: 0B" "of what is an hour old"
is "$(docker system prune -f --filter label!=keep | grep '^Total') $(docker ps -a --format '{{.Names}}' | sort | paste -sd,)" \
	"Total reclaimed space: 3kB old,paused,run" "of what has no label: the bytes it took"
docker volume create --label keep=1 kept > /dev/null
docker run --rm $N -v kept:/v busybox sh -c 'head -c 7000 /dev/zero > /v/x'
is "$(docker system prune -af --volumes --filter label=keep | grep '^Total') $(docker volume ls -q | paste -sd,)" \
	"Total reclaimed space: 2kB idle,kept,vol" "by a label: named volumes stay"
docker volume rm kept > /dev/null
docker system prune -af --volumes > "$WORK/prune"
ok "docker system prune -a --volumes"
is "$(docker info -f '{{.Containers}} {{.Images}}') $(docker volume ls -q | paste -sd,)" "2 1 idle,vol" "keeps what is used and what has a name"

# login
auth() { api POST /auth -H 'Content-Type: application/json' -d "$1" -w ' %{http_code}' | tr -d '\n'; }
like "$(auth '{"username":"u","password":"secret-word","serveraddress":"127.0.0.1:1"}')" '127.0.0.1:1: connect: connection refused.* 500$' "a login is checked with the registry"
like "$(auth '{')" 'invalid JSON.* 400$' "what is no JSON"
like "$(auth '{"username":1}')" '/username: expected a string.* 400$' "a name that is none"
like "$(auth '')" 'got EOF while reading request body.* 400$' "nothing"
is "$(auth '{"serveraddress":"http://::bad"}')" '{"message":"unable to parse server address: parse \"http://::bad\": invalid port \":bad\" after host"} 400' "an address that is none"
for good in 127.0.0.1:1 https://127.0.0.1:1/v2/ '[::1]:1' 'http://[::1]:1'; do
	like "$(auth '{"serveraddress":"'"$good"'"}')" ':1: connect: .* 500$' "the address $good is one"
done
is "$(grep -c secret-word "$WORK/log")" 0 "passwords are not logged"
is "$(api_status GET /auth)" 404 "it went with 1.1"

# debug
like "$(api GET /debug/vars | json 'd["memstats"]["VmRSS"] > 1000000, d["fds"] > 3, [j["name"] for j in d["jobs"]]')" "True, True, \['debug_vars'" "vars: memory, descriptors, jobs"
is "$(api GET /debug/vars | json 'd["cmdline"][0]')" "$DOCKERD" "and the command line"
is "$(api GET /debug/pprof/cmdline | tr '\0' '\n' | head -1)" "$DOCKERD" "the command line as Go tells it"
is "$(api GET /debug/pprof/cmdline | tail -c 1 | tr '\0' X | grep -c X)" 0 "no byte after the last word"
is "$(api GET /debug/pprof/symbol) $(api POST /debug/pprof/symbol -d 0x1)" "num_symbols: 0 num_symbols: 0" "there are no symbols"
for p in allocs block goroutine heap mutex profile threadcreate trace; do
	is "$(api_status GET "/debug/pprof/$p")" 501 "pprof's $p needs Go"
done
is "$(api GET /debug/pprof/nosuch -w '%{http_code}' | tr '\n' ' ')" "Unknown profile 404" "a profile that nobody has"
for link in $(api GET /debug/pprof/ | grep -o 'href="[^"]*"' | cut -d'"' -f2); do
	is "$(api_status GET "/debug/pprof/$link")" 200 "the index leads to $link"
done
is "$(api_status GET /debug/pprof) $(api_status GET /debug/nosuch)" "404 404" "nothing else"
done_testing
