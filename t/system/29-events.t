#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Events: which actions come with which attributes in which order; filters; since and until; forms of the stream.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
N="--network none"

now() { date +%s.%N; }
events() { # since [filters [version]]: the raw stream up to now
	curl -sS --max-time $((60 * DKD_SLOW)) --unix-socket "$SOCK" -G "http://d/v${3:-1.50}/events" --data-urlencode "since=$1" \
		--data-urlencode "until=$(now)" ${2:+--data-urlencode "filters=$2"}
}
# Type and action of each, in order; told twice in a row is told once.
actions() { events "$@" | python3 -c 'import json, sys
for l in sys.stdin:
    e = json.loads(l); print(e["Type"], e["Action"])' | paste -sd, ; }
# The attributes of the first event of this action, without those that change from run to run
attrs() { # since type action
	events "$1" '{"type":["'"$2"'"]}' | python3 -c 'import json, sys
for l in sys.stdin:
    e = json.loads(l)
    if e["Action"] == sys.argv[1]:
        a = {k: ("ID" if len(v) in (64, 71) else v) for k, v in e["Actor"]["Attributes"].items()}
        a.pop("execDuration", None)
        print(" ".join("%s=%s" % p for p in sorted(a.items())))
        break' "$3"
}
wait_for() { # since filters text: until the stream holds it
	for _i in $(seq $((100 * DKD_SLOW))); do events "$1" "$2" | grep -q "$3" && return 0; sleep 0.1; done
	return 1
}

t0=$(now)
docker run --name one -l k=v $N busybox true
docker rm one > /dev/null
is "$(actions "$t0")" "container create,container attach,network connect,container start,container die,network disconnect,container destroy" \
	"docker run and rm, in Docker's order"
is "$(attrs "$t0" container create)" "image=busybox k=v name=one" "a container's labels, image and name"
is "$(attrs "$t0" container die)" "exitCode=0 image=busybox k=v name=one" "die: the exit code"
like "$(events "$t0" '{"event":["die"]}')" '"execDuration":"[0-9]+"' "and how long it ran"
is "$(attrs "$t0" network connect)" "container=ID name=none type=null" "network connect"
first=$(events "$t0" '{"event":["create"]}' 1.41)
like "$first" '^\{"status":"create","id":"[0-9a-f]{64}","from":"busybox","Type":"container","Action":"create","Actor":\{"ID":' "the legacy members"
like "$first" '"scope":"local","time":[0-9]{10},"timeNano":[0-9]{19}\}$' "scope and both times"

t0=$(now)
docker run -d --name two $N -v vol:/d --health-cmd true --health-interval 100ms busybox sleep 1000 > /dev/null
wait_for "$t0" '{"event":["health_status"]}' 'health_status: healthy'
ok "health_status comes, by the beginning of its name"
is "$(attrs "$t0" volume mount)" "container=ID destination=/d driver=local propagation= read/write=true" "volume mount"
t1=$(now)
docker exec two true
like "$(events "$t1" '{"event":["exec_create"]}')" '"Action":"exec_create: true "' "exec_create, by the beginning of its name"
like "$(events "$t1" '{"event":["exec_start: true "]}')" '"execID":"[0-9a-f]{64}"' "exec_start in full, with its id"
is "$(events "$t1" '{"event":["exec_start: fals"]}')" "" "but no beginning of that"
wait_for "$t1" '{"event":["exec_die"]}' '"exitCode":"0"'
ok "exec_die: the exit code"
t1=$(now)
docker top two > /dev/null
docker pause two > /dev/null
docker unpause two > /dev/null
docker rename two three
docker update -m 64m --memory-swap 128m three > /dev/null
api POST "/containers/three/resize?h=10&w=20"
docker cp three:/etc/hosts "$WORK/hosts"
docker cp "$WORK/hosts" three:/h
docker export three > /dev/null
docker commit three im:a > /dev/null
docker kill -s HUP three > /dev/null
docker restart -t 0 three > /dev/null
docker stop -t 0 three > /dev/null
docker rm three > /dev/null
got=$(events "$t1" '{"type":["container","image"]}' | python3 -c 'import json, sys
print(",".join(a for a in (json.loads(l)["Action"] for l in sys.stdin) if not a.startswith(("exec_", "health_"))))')
is "$got" "top,pause,unpause,rename,update,resize,archive-path,extract-to-dir,export,pause,unpause,tag,commit,kill,kill,kill,die,stop,start,restart,kill,kill,die,stop,destroy" \
	"what else can be done to a container"
is "$(attrs "$t1" container rename)" "image=busybox name=three oldName=/two" "rename: the old name"
is "$(attrs "$t1" container resize)" "height=10 image=busybox name=three width=20" "resize: of a container without a terminal, too"
is "$(attrs "$t1" container kill)" "image=busybox name=three signal=1" "kill: the signal"
is "$(attrs "$t1" container commit)" "comment= image=busybox imageID=ID imageRef=im:a name=three" "commit: the image"
is "$(attrs "$t1" volume unmount)" "container=ID driver=local" "volume unmount"
t1=$(now)
docker run --name order -v order:/v $N busybox true
is "$(events "$t1" '{"type":["container","network","volume"]}' | python3 -c 'import json, sys
print(",".join(l["Type"] + " " + l["Action"] for l in map(json.loads, sys.stdin)))' | grep -o 'container start,.*')" \
	"container start,container die,network disconnect,volume unmount" "the order of an end"
docker rm -v order > /dev/null; docker volume rm order > /dev/null

# The detach keys, in an attachment and in an exec's stream: SOCKET METHOD-PATH BODY
keys() {
	timeout $((20 * DKD_SLOW)) python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
body = sys.argv[3].encode()
s.sendall(b"POST %s HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" %
          (sys.argv[2].encode(), len(body)) + body)
head = s.recv(4096)
assert b" 101 " in head, head
s.sendall(b"\x18")
while s.recv(4096): pass' "$SOCK" "$1" "$2"
}
t0=$(now)
docker run -dit --name tty $N busybox cat > /dev/null
keys '/v1.50/containers/tty/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x' ''
wait_for "$t0" '{"event":["detach"]}' '"Action":"detach"'
ok "detach, by its keys"
exec=$(api POST /containers/tty/exec -H 'Content-Type: application/json' \
	-d '{"Tty":true,"AttachStdin":true,"AttachStdout":true,"DetachKeys":"ctrl-x","Cmd":["cat"]}' | grep -o '[0-9a-f]\{64\}')
keys "/v1.50/exec/$exec/start" '{"Tty":true,"Detach":false}'
wait_for "$t0" '{"event":["exec_detach"]}' "\"execID\":\"$exec\""
ok "exec_detach, with the exec's id"
docker rm -f tty > /dev/null

t0=$(now)
docker run -d --name oom $N -m 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done' > /dev/null
docker wait oom > /dev/null
like "$(events "$t0" '{"container":["oom"]}' | grep -o '"Action":"[a-z]*"' | paste -sd,)" '"start","Action":"oom","Action":"die"|"oom"' "oom"
docker rm oom > /dev/null

t0=$(now)
docker tag im:a im:b
docker rmi im:b > /dev/null
docker save im:a -o "$WORK/im.tar"
docker rmi im:a > /dev/null
docker load -qi "$WORK/im.tar" > /dev/null
docker rmi im:a > /dev/null
tar cf "$WORK/e.tar" -C "$WORK" hosts
docker import "$WORK/e.tar" imp:a > /dev/null
docker rmi imp:a > /dev/null
is "$(actions "$t0" '{"type":["image"]}' | sed 's/image //g')" "tag,untag,save,untag,delete,load,untag,delete,tag,import,untag,delete" "images"
is "$(attrs "$t0" image tag)" "name=im:b" "tag: the name"
is "$(events "$t0" '{"image":["im"]}' | grep -c '"Action":"tag"')" 1 "an image by its name without the tag"

t0=$(now)
docker volume create vc > /dev/null
docker volume rm vc vol > /dev/null
docker create --name gone $N -l prune=me busybox > /dev/null
docker container prune -f --filter label=prune=me > /dev/null
docker image prune -f --filter label=nosuch > /dev/null
docker volume prune -f --filter label=nosuch > /dev/null
docker network prune -f --filter label=nosuch > /dev/null
is "$(actions "$t0")" "volume create,volume destroy,volume destroy,container create,container destroy,container prune,image prune,volume prune,network prune" \
	"volumes, and every prune"
is "$(attrs "$t0" container prune)" "reclaimed=0" "prune: the space"
t0=$(now)
kill -HUP "$DPID"
wait_for "$t0" '{"type":["daemon"]}' '"Action":"reload"'
ok "the daemon's reload"
like "$(attrs "$t0" daemon reload)" '(^| )debug=false .*max-concurrent-downloads=3 ' "with what can be reloaded"

# filters: values of a key are alternatives, keys add up
t0=$(now)
docker create --name fa $N -l a=1 busybox > /dev/null
docker create --name fb $N -l a=2 busybox > /dev/null
id=$(docker inspect -f '{{.Id}}' fa)
count() { events "$t0" "$1" | grep -c . ; }
is "$(count '{"container":["fa"]}') $(count '{"container":["fa","fb"]}') $(count '{"container":["'"${id:0:12}"'"]}') $(count '{"container":{"f":true}}')" \
	"1 2 1 2" "a container by name, by id, by the beginning of either"
is "$(count '{"label":["a"]}') $(count '{"label":["a=2"]}') $(count '{"label":["a","b"]}') $(count '{"label":["a=1","a=2"]}')" "2 1 0 0" "labels: all of them"
is "$(count '{"type":["container"]}') $(count '{"type":["image","volume"]}') $(count '{"type":["contain"]}')" "2 0 0" "types"
is "$(count '{"event":["create"]}') $(count '{"event":["crea"]}') $(count '{"event":["create","die"]}')" "2 0 2" "actions"
is "$(count '{"image":["busybox"]}') $(count '{"image":["busybox:latest"]}') $(count '{"image":["busy"]}')" "2 0 0" "the image, as it was named"
is "$(count '{"scope":["local"]}') $(count '{"scope":["swarm"]}')" "2 0" "the scope"
is "$(count '{"event":["create"],"container":["fa"],"label":["a"]}') $(count '{"event":["destroy"],"container":["fa"]}')" "1 0" "keys add up"
for key in config daemon network node plugin secret service volume; do
	[ "$(count '{"'$key'":["nosuch"]}')" = 0 ]
	ok "the filter $key"
done
is "$(api GET '/events?until=1&filters=%7B%22foo%22%3A%5B%22x%22%5D%7D')" '{"message":"invalid filter '"'foo'"'"}' "an unknown one"
is "$(api_status GET '/events?until=1&filters=x')" 400 "what is no filter"

# times
is "$(api GET '/events?since=2&until=1')" '{"message":"`since` time (2) cannot be after `until` time (1)"}' "until before since"
is "$(api_status GET '/events?since=x') $(api_status GET '/events?until=1e5')" "400 400" "what is no time"
is "$(api GET '/events?until=1' | wc -c)" 0 "nothing was kept of 1970"
sleep 1.1 # the client's "0s" is the beginning of this second
n=$(docker events --since 1h --until 0s --filter container=fa | grep -c create)
is "$n" 1 "durations count back from now"
iso=$(date -u -d "@${t0%.*}" +%Y-%m-%dT%H:%M:%SZ)
is "$(docker events --since "$iso" --until 0s --filter container=fb | grep -c create)" 1 "dates"
timeout $((20 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" events --until "$(($(date +%s) + 2))" --filter container=fa > "$WORK/follow" &
follow=$!
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(api GET /info | grep -o '"NEventsListener":[0-9]*')" = '"NEventsListener":1' ] && break; sleep 0.1; done
docker rm fa > /dev/null
wait "$follow"
is "$? $(grep -c 'container destroy' "$WORK/follow")" "0 1" "a stream ends by itself at a time to come"
api POST "/networks/prune?n=[1-300]" > /dev/null
is "$(events 1 | grep -c .)" 256 "the last 256 are kept"

# forms
form() { curl -sSi --max-time 20 --unix-socket "$SOCK" -H "Accept: $1" "http://d/v$2/events?since=1&until=1" | tr -d '\r' | sed -n 's/^Content-Type: //ip'; }
is "$(form 'application/x-ndjson' 1.50)" "application/json" "the type before 1.52"
docker rm fb > /dev/null
done_testing
