#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Plugins that are processes of their own, in Docker's protocol: volumes, logs, authorization, layers; and what hangs, lies or dies.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3 openssl
need_apart
find_docker
scratch
SOCKETS=$WORK/sockets SPECS=$WORK/specs
mkdir "$SOCKETS" "$SPECS" "$SPECS/second"
for k in volume log authz graph; do
	printf '[%s.remote]\nsockets = %s\nspecs = %s:%s\n' "$k" "$SOCKETS" "$SPECS" "$SPECS/second"
	[ $k != log ] || echo "pipes = $WORK/pipes"
done > "$WORK/d.ini"
plugin() { # NAME [LISTEN [TLS files]]: one more plugin
	_n=$1
	shift
	mkdir -p "$WORK/$_n"
	rm -f "$WORK/$_n/ready"
	[ $# -gt 0 ] || set -- "$SOCKETS/$_n.sock"
	_at=$1
	shift
	python3 "$top_srcdir/t/clients/docker-plugin.py" "$_at" "$WORK/$_n" "$@" 2> "$WORK/$_n/err" &
	PLUGIN=$!
	eval "PID_$_n=$PLUGIN"
	for _i in $(seq $((100 * DKD_SLOW))); do [ -e "$WORK/$_n/ready" ] && return 0; sleep 0.05; done
	return 1
}
asked() { grep -c "\"method\": \"$2\"" "$WORK/$1/requests" 2>/dev/null; }
# The milliseconds that a command takes
took() {
	_t=$(date +%s%N)
	"$@" > "$WORK/out" 2>&1
	echo $((($(date +%s%N) - _t) / 1000000))
}
quick() { [ "$(took "$@")" -lt $((500 * DKD_SLOW)) ]; }
start() { start_daemon --config-file "$WORK/d.ini" "$@"; }
N="--network none"
V=/tmp/never

# Volumes
plugin one; ok "a plugin listens"
start; ok "the daemon starts" || done_testing
load_busybox > /dev/null
is "$(docker volume create -d one -o color=red --label l=1 first)" first "volume create -d"
like "$(grep VolumeDriver.Create "$WORK/one/requests")" '"Name": "first", "Opts": \{"color": "red"\}.*"accept": "application/vnd.docker.plugins.v1.2\+json"' "what the plugin was told"
is "$(docker volume inspect -f '{{.Driver}} {{.Scope}} {{.Options.color}} {{.Labels.l}} {{.Status.kind}} {{.Status.mounts}}' first)" "one global red 1 folder 0" "inspect, with the plugin's status"
like "$(docker volume create -d one -o refuse=1 bad 2>&1)" 'create bad: option refuse is refused$' "its own words when it refuses"
unlike "$(docker volume ls -q)" '^bad$' "one that it refused is not there"
is "$(docker run --rm $N -v first:/d busybox sh -c 'echo hi > /d/f; cat /d/f')" hi "a container uses it"
is "$(cat "$WORK/one/volumes/first/f")" hi "where the plugin says"
is "$(asked one VolumeDriver.Mount) $(asked one VolumeDriver.Unmount)" "1 1" "mounted once, unmounted once"
docker run --rm $N -v first:/a -v first:/b busybox true
is "$(jq -r 'select(.method | test("ount$")) | .method + (.request.ID | length | tostring)' "$WORK/one/requests" | sed 's/VolumeDriver.//' | tail -4 | paste -sd,)" "Mount64,Mount66,Unmount66,Unmount64" \
	"twice in a container: each mount has its id, and is undone"
is "$(docker volume inspect -f '{{.Status.mounts}}' first)" 0 "nothing is left of them"
mkdir "$WORK/one/volumes/foreign"
like "$(docker volume ls)" '^one +foreign$' "a volume that only the plugin knew is listed"
is "$(docker volume inspect -f '{{.Driver}} {{.CreatedAt}}' foreign)" "one 2020-01-02T03:04:05Z" "and inspected"
mkdir "$WORK/one/volumes/alone"
was=$(asked one VolumeDriver.Create)
is "$(docker run --rm $N -v alone:/d busybox touch /d/f; ls "$WORK/one/volumes/alone")" f "by its name alone it is the plugin's, not a new one of the daemon's"
mkdir "$WORK/one/volumes/named" "$WORK/one/volumes/asked"
is "$(docker volume create -d one --label l=2 asked) $(docker volume inspect -f '{{.Driver}} {{.Labels.l}}' asked)" "asked one 2" "created with its driver's name"
is "$(api POST /volumes/create -H 'Content-Type: application/json' -d '{"Name":"named"}' | jq -r .Driver)" one "and without"
is "$(asked one VolumeDriver.Create)" "$was" "which is not told to make what it has"
docker volume rm alone named asked > /dev/null
rmdir "$WORK/one/volumes/foreign"
unlike "$(docker volume ls -q)" '^foreign$' "and gone when it is"
docker run -d --name user $N -v first:/d busybox sleep 1000 > /dev/null
like "$(docker volume rm first 2>&1)" 'volume is in use - \[' "in use"
like "$(docker volume inspect -f '{{.Mountpoint}} {{.Status.mounts}}' first)" "$WORK/one/volumes/first 1" "mounted: its mountpoint is told"
like "$(docker volume create -d nobody xx 2>&1)" 'create xx: error looking up volume plugin nobody: plugin "nobody" not found' "no such plugin"
like "$(docker volume create -d ../one xx 2>&1)" 'plugin "../one" not found' "a name with a path in it"

# It hangs: its own caller waits, nobody else
echo "VolumeDriver.Create hang
VolumeDriver.List hang
VolumeDriver.Get hang" > "$WORK/one/control"
curl -s --max-time 300 --unix-socket "$SOCK" -H 'Content-Type: application/json' -d '{"Name":"stuck","Driver":"one"}' http://d/volumes/create > "$WORK/stuck" &
STUCK=$!
tells "$WORK/one/requests" '"Name": "stuck"'
docker volume ls -q > /dev/null
quick docker volume ls; ok "volume ls beside a hung plugin"
like "$(cat "$WORK/out")" '^one +first$' "what it told before stands"
quick docker ps -a; ok "ps"
quick docker inspect user; ok "inspect of a container that uses it"
quick docker volume inspect first; ok "inspect of its volume"
like "$(cat "$WORK/out")" '"dockerd.error": "its driver does not answer"' "which says that it does not answer"
quick docker volume create plain; ok "a volume of another driver"
quick docker info; ok "info"
kill "$STUCK" 2> /dev/null; wait "$STUCK" 2> /dev/null
kill -KILL "$DPID"; wait "$DPID" 2> /dev/null; DPID=
echo "Plugin.Activate hang" > "$WORK/one/control"
START=$(date +%s%N)
start; ok "the daemon starts beside it"
[ $((($(date +%s%N) - START) / 1000000)) -lt $((2000 * DKD_SLOW)) ]; ok "at once"
like "$(docker volume ls)" '^one +first$' "its volumes are known"
is "$(docker inspect -f '{{.State.Running}}' user)" true "its container lives on"
kill "$PID_one"; wait "$PID_one" 2> /dev/null
rm "$WORK/one/control"

# It is not there for a while, dies, comes back elsewhere
(sleep 1; plugin one; sleep 1000) > /dev/null 2>&1 &
LATER=$!
is "$(docker volume create -d one late)" late "one that does not listen yet is waited for"
like "$(cat "$WORK/log")" 'Unable to connect to plugin: one/Plugin.Activate: .*, retrying in 100ms' "which the log tells"
PID_one=$(pgrep -P "$LATER" -f docker-plugin.py)
is "$(docker volume inspect -f '{{.Labels.l}}' first)" 1 "labels outlive plugin and daemon"
docker rm -f user > /dev/null; ok "its container goes"
for mode in junk list deep fail fail500 huge; do
	echo "VolumeDriver.Create $mode" > "$WORK/one/control"
	docker volume create -d one odd >> "$WORK/odd" 2>&1
	echo "$mode $?" >> "$WORK/odd"
done
is "$(grep -v Error "$WORK/odd" | paste -sd,)" "junk 1,list 1,deep 1,fail 1,fail500 1,huge 1" "what makes no sense is an error"
like "$(cat "$WORK/odd")" 'create odd: VolumeDriver.Create: the plugin is told to fail' "with its words"
like "$(cat "$WORK/odd")" 'longer than 4194304 bytes' "an answer without end is not read"
is "$(grep -c 'its answer is no JSON object' "$WORK/odd")" 3 "nor is one of thousands of levels"
answers() { # what Create answers, what is made of it, description
	echo "VolumeDriver.Create $1" > "$WORK/one/control"
	like "$(docker volume create -d one odd 2>&1)" "$2" "$3"
}
answers 'says=200 {"err": "in other letters"}' 'create odd: in other letters$' "keys in any case, as in Docker"
answers 'says=200 {"Err": 5}' 'create odd: its Err is no text$' "an Err that is none"
answers 'says=500 plain words' 'plugin one: VolumeDriver.Create: it answers 500: plain words$' "500 without JSON"
answers 'says=302 {}' 'it answers 302: ' "nobody is sent elsewhere"
answers 'says=200 {}x' 'its answer is no JSON object$' "something behind the JSON"
answers cut 'plugin one: VolumeDriver.Create: ' "an answer that ends in the middle"
unlike "$(docker volume ls -q)" '^odd$' "none of them is there"
answers chunked '^odd$' "an answer in chunks"
docker volume rm odd > /dev/null
mounted() { # what Mount answers, what is made of it, description
	echo "VolumeDriver.Mount says=200 $1" > "$WORK/one/control"
	like "$(docker run --rm $N -v first:/d busybox ls /d 2>&1)" "$2" "$3"
}
mounted '{"Mountpoint":"/tmp","Err":"both at once"}' "error while mounting volume .*: both at once$" "an Err beside a path is an error"
mounted '{"Mountpoint":"/tmp/\u0000x"}' 'its answer is no JSON object' "a path with a NUL"
mounted '{"Mountpoint":"/tmp/a\nb"}' 'is no path to a volume' "with a line's end"
mounted '{"Mountpoint":""}' 'mounted volume first at no absolute path' "no path"
mounted '{"Mountpoint":"'"$WORK"'/one/none"}' "$WORK/one/none.*no such file" "one that is not there"
mounted '{"mountpoint":"'"$WORK"'/one/volumes/first"}' '^f$' "another spelling of its key"
echo 'VolumeDriver.List says=200 {"Volumes":[{"Name":"../../etc"},{"Name":"a/b"},{"Name":""},{"Name":"nl\nx"},{"Name":7},[],null,{"Name":"fits"},{"Name":"first"},{"Name":"late"}]}' > "$WORK/one/control"
has_fits() { docker volume ls -q | grep -qx fits; }
for _i in $(seq $((100 * DKD_SLOW))); do has_fits && break; sleep 0.1; done
is "$(docker volume ls -q -f driver=one | paste -sd' ')" "first fits late" "of hostile names none is listed"
rm "$WORK/one/control"
echo "unix://$WORK/nowhere.sock" > "$SPECS/one.spec"
is "$(docker volume create -d one odd)" odd "a socket comes before a .spec of the same name"
docker volume rm odd > /dev/null; rm "$SPECS/one.spec"
for path in ../../etc relative '/a/../../etc'; do
	echo "VolumeDriver.Mount path=$path" | sed 's/path=//' > "$WORK/one/control"
	echo "path $path" >> "$WORK/one/control"
	docker run --rm $N -v first:/d busybox true >> "$WORK/paths" 2>&1
done
is "$(grep -c 'is no path to a volume' "$WORK/paths")" 3 "paths that climb or are relative are refused"
echo "VolumeDriver.Remove die" > "$WORK/one/control"
like "$(docker volume rm late 2>&1)" 'remove late: plugin one: VolumeDriver.Remove' "one that dies while it is asked"
kill "$LATER" 2> /dev/null; wait "$LATER" 2> /dev/null
rm -f "$WORK/one/control" "$SOCKETS/one.sock"
plugin one "$WORK/elsewhere.sock"
echo "unix://$WORK/elsewhere.sock" > "$SPECS/one.spec"
is "$(docker volume rm late)" late "it may come back elsewhere, by a .spec"
docker run -d --name slow $N -v first:/d busybox sleep 1000 > /dev/null
echo "VolumeDriver.Unmount hang" > "$WORK/one/control"
docker stop -t 0 slow > "$WORK/stopped" 2>&1 &
STOP=$!
sleep 16
rm "$WORK/one/control"
kill "$PID_one"; wait "$PID_one" 2> /dev/null
plugin one "$WORK/elsewhere.sock"
wait "$STOP"
is "$? $(cat "$WORK/stopped") $(docker inspect -f '{{.State.Status}}' slow)" "0 slow exited" "a container whose volume is not let go for long has ended all the same"
docker rm slow > /dev/null
is "$(docker system df -v | awk '$1 == "first" { print $2, $3 }')" "0 -1B" "system df: a volume of another host's is not measured"

# TLS by a .json
C=$WORK/tls
mkdir "$C"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$C/ca.key" -out "$C/ca.pem" -days 2 -subj /CN=ca > /dev/null 2>&1
for who in server client; do
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$C/$who.key" -out "$C/$who.csr" -subj "/CN=$who" > /dev/null 2>&1
	echo "subjectAltName=IP:127.0.0.1" > "$C/ext"
	openssl x509 -req -in "$C/$who.csr" -CA "$C/ca.pem" -CAkey "$C/ca.key" -CAcreateserial -days 2 -extfile "$C/ext" -out "$C/$who.pem" > /dev/null 2>&1
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$C/other.key" -out "$C/other.pem" -days 2 -subj /CN=other > /dev/null 2>&1
plugin two 45871 "$C/server.pem" "$C/server.key" "$C/ca.pem"; ok "a plugin with TLS"
spec() { printf '{"Name":"two","Addr":"tcp://127.0.0.1:45871","TLSConfig":{"CAFile":"%s"%s}}' "$1" "$2" > "$SPECS/second/two.json"; }
spec "$C/other.pem" ",\"CertFile\":\"$C/client.pem\",\"KeyFile\":\"$C/client.key\""
like "$(docker volume create -d two tt 2>&1)" 'plugin two: .*(certificate|SSL)' "a certificate that another signed is refused"
spec "$C/ca.pem" ""
! docker volume create -d two tu > "$WORK/out" 2>&1; ok "and a client without one is by the plugin"
spec "$C/ca.pem" ",\"CertFile\":\"$C/client.pem\",\"KeyFile\":\"$C/client.key\""
is "$(docker volume create -d two tt)" tt "TLS with both certificates, by a .json in the second folder"

# Logs
docker run --name said $N --label l=7 -e E=8 --log-driver one --log-opt labels=l --log-opt any=thing busybox sh -c 'echo out; echo err >&2; head -c 40000 /dev/zero | tr "\0" x; echo; echo end' > /dev/null 2>&1
comes 6 sh -c "wc -l < '$WORK/one/logged'"
is "$(jq -r 'select(.partial == 0 and .piece == {}) | .source + " " + .line' "$WORK/one/logged" | sort | paste -sd,)" "stderr err,stdout end,stdout out" "lines as they were said"
is "$(jq -r 'select(.piece != {}) | "\(.partial) \(.piece["1"] // 0) \(.piece["3"]) \(.line | length)"' "$WORK/one/logged" | paste -sd,)" "1 0 1 16384,1 0 2 16384,0 1 3 7232" "a long one in pieces, counted"
is "$(jq -r 'select(.piece != {}) | .piece["2"]' "$WORK/one/logged" | sort -u | wc -l)" 1 "which have one id"
is "$(jq -c 'select(.method == "LogDriver.StartLogging") | .request.Info | [.Config, .ContainerName, .ContainerEntrypoint, .ContainerImageName, .ContainerLabels.l, (.ContainerEnv | index("E=8") != null), (.ContainerArgs | length), .DaemonName]' "$WORK/one/requests")" \
	'[{"any":"thing","labels":"l"},"said","sh","busybox","7",true,2,"docker"]' "what the plugin is told of the container"
is "$(docker logs said 2>&1 | head -c 4)" "out" "docker logs reads the daemon's own"
docker rm -f said > /dev/null
comes 1 asked one LogDriver.StopLogging; ok "StopLogging when it is gone"
is "$(ls "$WORK/pipes")" "" "and the pipe, too"
echo "LogDriver.StartLogging hang" > "$WORK/one/control"
docker run -d --name quiet $N --log-driver one busybox sh -c 'echo kept; sleep 1000' > /dev/null
is "$(docker inspect -f '{{.State.Running}}' quiet)" true "a container does not wait for a plugin that hangs"
says quiet kept; ok "its log is there"
rm "$WORK/one/control"
docker rm -f quiet > /dev/null

# Layers
stop_daemon
cp "$WORK/root/volumes/dockerd.json" "$WORK/index"
start -s one --data-root "$WORK/root2"; ok "the daemon starts with a graph plugin"
is "$(docker info -f '{{.Driver}} {{.DriverStatus}}')" "one [[Kind copies]]" "info"
load_busybox > /dev/null; ok "an image is loaded through it"
is "$(docker run --name lay $N busybox sh -c 'echo new > /new; rm /etc/group; ls /bin | wc -l')" "$(docker run --rm $N busybox sh -c 'ls /bin | wc -l')" "a container runs on it"
is "$(docker diff lay | sort | paste -sd,)" "A /new,C /etc,D /etc/group" "diff"
is "$(docker inspect -f '{{.GraphDriver.Name}}' lay)" one "inspect"
docker commit lay again > /dev/null
is "$(docker run --rm $N again cat /new)" new "commit, and a container of that"
docker rm lay > /dev/null; docker rmi -f again busybox > /dev/null
is "$(ls "$WORK/root2/one" | wc -l)" 0 "no layer is left"
stop_daemon
like "$(asked one GraphDriver.Cleanup)" '^[1-9]' "Cleanup at the end"

# Authorization
(tells "$WORK/log" 'Unable to locate plugin: later, retrying in 1s' && plugin later && echo "$PLUGIN" > "$WORK/later.pid") &
start --authorization-plugin later; ok "an authorization plugin that comes while the daemon starts is taken"
docker ps > /dev/null; [ "$(asked later AuthZPlugin.AuthZReq)" -gt 0 ]; ok "and asked"
stop_daemon; wait $!
kill "$(cat "$WORK/later.pid")"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$SOCKETS/tardy.sock"
(tells "$WORK/log" 'Unable to connect to plugin: tardy/Plugin.Activate: .*, retrying in 3.2s' && plugin tardy && echo "$PLUGIN" > "$WORK/later.pid") &
start --authorization-plugin tardy; ok "so is one whose socket is there before it listens"
stop_daemon; wait $!
kill "$(cat "$WORK/later.pid")"; rm -f "$SOCKETS/tardy.sock"
(tells "$WORK/log" 'Unable to locate plugin: never, retrying in 2s' && kill "$(cat "$WORK/docker.pid")") &
start --authorization-plugin never; is "$?" 1 "one that does not come is waited for until somebody ends the daemon"
like "$(tail -n 2 "$WORK/log")" 'stopped by a signal while starting' "which does as it is told"
wait $!
start --authorization-plugin one; ok "the daemon starts with an authorization plugin"
echo "/containers/create" > "$WORK/one/deny"
like "$(docker create busybox 2>&1)" 'authorization denied by plugin one: the plugin says no to /containers/create' "it denies"
echo "secretword" > "$WORK/one/deny"
like "$(docker create -e A=secretword busybox 2>&1)" 'authorization denied by plugin one' "by what the body says"
is "$(docker create --name fine $N busybox > /dev/null 2>&1; docker inspect -f '{{.Name}}' fine)" /fine "and allows"
echo "response:/volumes" > "$WORK/one/deny"
like "$(docker volume ls 2>&1)" 'authorization denied by plugin one' "the answer half"
like "$(jq -c 'select(.method == "AuthZPlugin.AuthZRes") | .request | [.RequestMethod, .ResponseStatusCode, (.ResponseBody | @base64d | contains("Volumes"))] | select(.[2])' "$WORK/one/requests" | tail -1)" '\["GET",200,true\]' "sees what is answered"
is "$(jq -c 'select(.method == "AuthZPlugin.AuthZRes") | .request.ResponseHeaders["Content-Type"]' "$WORK/one/requests" | tail -1)" '"application/json"' "with its type"
rm "$WORK/one/deny"
api GET /containers/json -H 'x-lower: 1' -H 'X-Two: a' -H 'x-two: b' -H "X-Bytes: $(printf 'a\377')" -H 'Authorization: secret' -H 'x-registry-auth: secret' > /dev/null
is "$(jq -c 'select(.method == "AuthZPlugin.AuthZReq") | .request.RequestHeaders | select(.["X-Lower"]) | del(.["User-Agent"])' "$WORK/one/requests" | tail -1)" \
	'{"Accept":"*/*","X-Lower":"1","X-Two":"b","X-Bytes":"a�"}' "headers as Docker shows them: all of them, spelt in one way, without secrets"
docker run -d --name lasts $N busybox sh -c 'echo told; sleep 1000' > /dev/null; says lasts told
echo "response:/logs response:/events response:/attach response:/start response:/get" > "$WORK/one/deny"
for p in '/containers/lasts/logs?stdout=1' '/containers/lasts/logs?stdout=1&follow=1' /events /images/busybox/get; do
	like "$(api GET "$p")" '^\{"message":"authorization denied by plugin one' "a stream is asked about before it begins: $p"
done
eid=$(api POST /containers/lasts/exec -H 'Content-Type: application/json' -d '{"Cmd":["touch","/made"],"AttachStdout":true}' | jq -r .Id)
for p in "/exec/$eid/start" '/containers/lasts/attach?stream=1&stdout=1'; do
	for up in '' 'Upgrade: tcp'; do
		like "$(api POST "$p" -H 'Content-Type: application/json' ${up:+-H "$up" -H 'Connection: Upgrade'} -d '{}')" '^.\"message\":\"authorization denied by plugin one: the plugin says no to /(start|attach)' "nor taken over: ${p##*/}${up:+ with an upgrade}"
	done
done
rm "$WORK/one/deny"
docker exec lasts ls /made 2> /dev/null; [ $? -ne 0 ]; ok "nothing was run"
is "$(docker exec lasts echo yes)" yes "allowed, it goes on"
docker rm -f lasts > /dev/null
echo "AuthZPlugin.AuthZReq junk" > "$WORK/one/control"
like "$(docker ps 2>&1)" 'plugin one failed with error: plugin one: AuthZPlugin.AuthZReq: its answer is no JSON object' "junk forbids"
echo "AuthZPlugin.AuthZReq hang" > "$WORK/one/control"
like "$(api GET /containers/json)" 'plugin one failed with error' "one that hangs forbids, too"
rm "$WORK/one/control"
stop_daemon
kill "$PID_one" "$PID_two" 2> /dev/null
done_testing
