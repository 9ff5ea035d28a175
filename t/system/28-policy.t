#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Policies of sockets: read-only, confined, restricted to labels; rules by user and body; a dry run; reload.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 openssl busybox runc jq setpriv nft
find_docker
scratch
own_net
NETARGS=
denied="Error response from daemon: authorization denied by plugin policy:"
on() { # SOCKET docker args
	_s=$1
	shift
	command "$DOCKER" -H "unix://$WORK/$_s.sock" "$@"
}
says_no() { # SOCKET reason docker args: the CLI shows it
	_s=$1 _r=$2
	shift 2
	is "$(on "$_s" "$@" 2>&1 | sed 's/^docker: //; s/\.$//' | head -1)" "$denied $_r" "$_s: docker $*"
}
C=$WORK/certs
mkdir "$C"
leaf() { # NAME EXTENSIONS
	printf '%b\n' "$2" > "$C/ext"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=x/CN=$1" -keyout "$C/$1.key" -out "$C/$1.csr" >/dev/null 2>&1 &&
		openssl x509 -req -in "$C/$1.csr" -CA "$C/ca.pem" -CAkey "$C/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 2 -extfile "$C/ext" -out "$C/$1.pem" >/dev/null 2>&1
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 -keyout "$C/ca.key" -out "$C/ca.pem" >/dev/null 2>&1 &&
	leaf server 'subjectAltName=IP:127.0.0.1' && leaf alice extendedKeyUsage=clientAuth && leaf mallory extendedKeyUsage=clientAuth
ok "certificates"
cat > "$WORK/d.ini" <<'I'
[daemon]
[authz.policy]
ro2.use = read-only
ro2.rule = allow POST /containers/*/restart
team.use = confined
team.scope = team=ci
byuser.rule = allow * * uid=0
byuser.rule = deny * * user!=alice you are not alice
byuser.rule = deny DELETE * alice does not remove
lazy.dry-run = true
lazy.rule = deny POST /containers/create body.Image=busybox* no busybox
fields.rule = deny POST /containers/create body.HostConfig.Memory=|0 a container has a limit of memory here
fields.rule = deny POST /containers/create body.Labels.com.example.owner= say who owns it (--label com.example.owner=...)
fields.rule = deny DELETE /containers/* query.force=1|true not by force
fields.rule = allow POST /containers/create body.Env=GO=1 body.Cmd=true
fields.rule = deny POST /containers/create body.Env=*SECRET* no secrets in the environment
I
sockets="-H unix://$WORK/ro.sock?policy=read-only -H unix://$WORK/ro2.sock?policy=ro2 -H unix://$WORK/c.sock?policy=confined -H unix://$WORK/t.sock?policy=team
	-H unix://$WORK/u.sock?policy=byuser -H unix://$WORK/lazy.sock?policy=lazy -H unix://$WORK/f.sock?policy=fields -H tcp://127.0.0.1:2376?policy=byuser"
TLS="--tlsverify --tlscacert $C/ca.pem --tlscert $C/server.pem --tlskey $C/server.key"
# shellcheck disable=SC2086
start_daemon --config-file "$WORK/d.ini" $sockets $TLS; ok "starts" || done_testing
load_busybox >/dev/null
docker create --name base --network none busybox true >/dev/null; ok "the socket without a policy is free"
is "$(stat -c %a "$WORK/ro.sock")" 660 "the others have the same mode"
# read-only
is "$(on ro ps -a --format '{{.Names}}')" base "read-only: docker ps"
is "$(on ro inspect -f '{{.Name}}' base) $(on ro images -q | wc -l)" "/base 1" "inspect, images"
says_no ro "this socket is read-only" run --rm busybox true
says_no ro "this socket is read-only" rm base
says_no ro "this socket is read-only" load -i "$WORK/busybox.tar"
says_no ro "this socket is read-only" network create n
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/ro.sock" -H 'Upgrade: websocket' -H 'Connection: Upgrade' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: eA==' "http://d/containers/base/attach/ws?stream=1")" 403 "a GET that writes"
is "$(on ro2 restart -t 0 base)" base "one that uses it and allows more"
says_no ro2 "this socket is read-only" stop base
# confined
is "$(on c run --rm --network none busybox echo fine)" fine "confined: docker run"
is "$(on c run --rm --network none -v vol:/v --tmpfs /t -m 64m --security-opt no-new-privileges -u 1:1 --read-only --init -e A=b busybox echo fine)" fine "and what is of no harm"
while IFS='|' read -r reason args; do
	# shellcheck disable=SC2086
	says_no c "$reason" create $args busybox true
done <<'A'
no privileged containers here|--privileged
no folders of the host here|-v /etc:/x
no folders of the host here|--mount type=bind,src=/etc,dst=/x
no options of volumes here|--mount type=volume,dst=/x,volume-opt=device=/,volume-opt=o=bind,volume-opt=type=none
the host's network is not for containers here|--network host
the host's processes are not for containers here|--pid host
the host's IPC is not for containers here|--ipc host
the host's name is not for containers here|--uts host
the host's control groups are not for containers here|--cgroupns host
no more capabilities here|--cap-add SYS_ADMIN
no devices here|--device /dev/null
no options of security here|--security-opt seccomp=unconfined
no options of security here|--security-opt systempaths=unconfined
no options of security here|--security-opt no-new-privileges:false
no protection from the OOM killer here|--oom-score-adj -500
no protection from the OOM killer here|--oom-kill-disable
no other runtimes here|--runtime other
no other drivers of logs here|--log-driver syslog
no control groups of their own here|--cgroup-parent /x
no annotations here|--annotation a=b
A
H=$(docker network inspect host -f '{{.Id}}')
for h in "$H" "$(echo "$H" | cut -c1-12)"; do like "$(on c create --network "$h" busybox true 2>&1)" "the host's network is asked for by its name" "nor by an id of it"; done
says_no c "no options of volumes here" volume create -o type=none -o o=bind -o device=/ v
says_no c "no networks but bridges here" network create -d macvlan v
says_no c "no privileged execs here" exec --privileged base true
posted() { curl -s -X POST --unix-socket "$WORK/$1.sock" -H 'Content-Type: application/json' -d "$3" "http://d$2"; }
is "$(posted c /containers/base/update '{"LogConfig":{"Type":"syslog"}}')" '{"message":"authorization denied by plugin policy: no other drivers of logs here"}' "nor by an update"
deep=$(python3 -c 'print("[" * 3000 + "]" * 3000)')
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/c.sock" -H 'Content-Type: application/json' -d "$deep" http://d/containers/create)" 403 "a body that is too deep to be looked at"
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/c.sock" -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"Privileged":false,"Privileged":true}}' http://d/containers/create)" 403 "one with a key twice"
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/c.sock" -H 'Content-Type: application/json' -d '{"Image":"busybox","HostConfig":{"privileged":true}}' http://d/containers/create)" 400 "another spelling is refused by the handler"
# conditions on fields
says_no f "a container has a limit of memory here" create busybox true
says_no f "say who owns it (--label com.example.owner=...)" create -m 64m busybox true
says_no f "no secrets in the environment" create -m 64m --label com.example.owner=me -e MYSECRET=1 busybox true
fid=$(on f create -m 64m --label com.example.owner=me -e A=1 busybox true); ok "what the rules ask for"
on f create -m 64m --label com.example.owner=me -e GO=1 -e MYSECRET=1 busybox true >/dev/null; ok "an allow with two conditions"
says_no f "no secrets in the environment" create -m 64m --label com.example.owner=me -e GO=1 -e MYSECRET=1 busybox false
says_no f "not by force" rm -f "$fid"
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/f.sock" -X DELETE "http://d/containers/$fid?f%6frce=1")" 403 "a parameter in escapes"
is "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$WORK/f.sock" -X DELETE "http://d/containers/$fid?force=0&force=1")" 403 "a parameter twice"
on f rm "$fid" >/dev/null; ok "gently"
# users: by the socket's peer, by certificate
chmod 666 "$WORK/u.sock"
is "$(on u ps -aq --filter name=base | wc -l)" 1 "uid 0"
is "$(setpriv --reuid 12345 --regid 12345 --clear-groups curl -s --unix-socket "$WORK/u.sock" http://d/containers/json)" '{"message":"authorization denied by plugin policy: you are not alice"}' "another uid"
net() { nsenter "--net=$NETNS" curl -sS --cacert "$C/ca.pem" --cert "$C/$1.pem" --key "$C/$1.key" -X "$2" "https://127.0.0.1:2376$3"; }
is "$(net alice GET /_ping)" OK "by the common name of a certificate"
is "$(net alice DELETE /containers/base)" '{"message":"authorization denied by plugin policy: alice does not remove"}' "and the rules behind"
is "$(net mallory GET /containers/json)" '{"message":"authorization denied by plugin policy: you are not alice"}' "another name"
like "$(docker run --rm -p 2376:80 busybox true 2>&1)" "already in use|already allocated" "the daemon's own port is not published"
# a dry run
on lazy create --name dry busybox true >/dev/null; ok "a dry run lets through"
tells "$WORK/log" "policy lazy would deny POST /containers/create of uid 0: no busybox"; ok "and says what it would not"
# restricted to a label
docker network create other >/dev/null && docker volume create other >/dev/null && docker run -d --name foreign --network none busybox sleep 600 >/dev/null; ok "things of others"
fexec=$(curl -s --unix-socket "$SOCK" -H 'Content-Type: application/json' -d '{"Cmd":["true"]}' http://d/containers/foreign/exec | jq -r .Id)
on t events --format '{{.Type}} {{.Action}} {{if eq .Type "volume"}}{{slice .Actor.ID 0 5}}{{else}}{{index .Actor.Attributes "name"}}{{end}}' > "$WORK/ev" & ev=$!
comes 1 listeners
is "$(on t ps -aq; on t network ls -q; on t volume ls -q)" "" "team: sees nothing of them"
is "$(on t run --rm --name mine busybox echo hi)" hi "docker run"
on t run -d --name own --label team=other --label x=y busybox sleep 600 >/dev/null; ok "run -d"
is "$(docker inspect -f '{{json .Config.Labels}}' own)" '{"team":"ci","x":"y"}' "what it makes has the label, whatever it says"
docker run -d --name theirs --label team=ci2 --network none busybox sleep 600 >/dev/null
is "$(on t ps -a --format '{{.Names}}')" own "and is all that it sees"
is "$(on t ps -a --filter label=team=ci2 --format '{{.Names}}')$(on t ps -a --filter label=x=y --format '{{.Names}}')" own "its own filters are beside that"
id=$(docker inspect -f '{{.Id}}' foreign)
like "$(on t rm -f "$id" 2>&1)$(on t rm -f "$(echo "$id" | cut -c1-12)" 2>&1)" "No such container: $id(.|$)" "a container of others is none, by its id"
for name in foreign; do
	for args in inspect "stop" "rm -f" "logs" "top" "stats --no-stream" "start" "rename" "update -m 1g" "wait" "exec" "cp" "export" "kill" "pause" "diff" "port" "attach"; do
		case $args in
		rename) set -- rename "$name" y ;; exec) set -- exec "$name" true ;; cp) set -- cp "$name:/etc/passwd" - ;; *) set -- $args "$name" ;;
		esac
		on t "$@" 2>&1 < /dev/null | grep -qi "no such \(container\|object\)" || echo "# $*: $(on t "$@" 2>&1 < /dev/null | head -1)"
	done
done > "$WORK/seen"
is "$(cat "$WORK/seen")" "" "nor by its name, for anything"
is "$(docker inspect -f '{{.State.Status}}' foreign)" running "it runs on"
for p in json start resize; do
	m=POST; [ $p != json ] || m=GET
	is "$(curl -s --unix-socket "$WORK/t.sock" -X $m -H 'Content-Type: application/json' $([ $p = start ] && echo '-d {}') "http://d/exec/$fexec/$p?h=1&w=1")" "{\"message\":\"No such exec instance: $fexec\"}" "nor its exec ($p)"
done
is "$(on t exec own echo in)" in "exec in its own"
for labels in '{"team":"ci2"}' '{"team":null}'; do
	is "$(posted t /containers/own/update "{\"Labels\":$labels}")" '{"message":"the label team stays as it is for clients that are restricted to it"}' "its label is not taken off: $labels"
done
posted t /containers/own/update '{"Labels":{"team":"ci","x":"z"}}' >/dev/null; is "$(docker inspect -f '{{json .Config.Labels}}' own)" '{"team":"ci","x":"z"}' "others are its own to change"
like "$(on t inspect other 2>&1)$(on t network inspect other 2>&1)" "network other not found" "networks of others"
like "$(on t volume inspect other 2>&1)$(on t volume rm other 2>&1)" "no such volume" "volumes of others"
like "$(on t volume create other 2>&1)" "the volume name other is taken" "are not made again"
for args in "--network other" "--network container:foreign" "--pid container:foreign" "--ipc container:foreign" "--volumes-from foreign" "--link foreign" "-v other:/x" "--mount type=volume,src=other,dst=/x" "-v fresh:/x"; do
	# shellcheck disable=SC2086
	like "$(on t create $args busybox true 2>&1)" "No such container: foreign|network other not found|no such volume: (other|fresh)" "nor leant on: $args"
done
on t network create mynet >/dev/null && on t volume create myvol >/dev/null && on t network connect mynet own; ok "networks and volumes of its own"
is "$(on t run --rm --network mynet -v myvol:/v --volumes-from own busybox echo hi)" hi "in use"
is "$(on t network ls --format '{{.Name}}') $(on t volume ls -q)" "mynet myvol" "listed"
curl -s --unix-socket "$WORK/t.sock" http://d/volumes/myvol/export | tar -t >/dev/null; ok "a volume of its own is taken out"
is "$(posted t '/volumes/myvol/snapshot?name=mycopy' '' | jq -c '[.Name, .Labels]')" '["mycopy",{"team":"ci"}]' "and copied, with the label"
is "$(posted t '/volumes/other/snapshot?name=theircopy' '')$(posted t '/volumes/other/rename?name=theircopy' '')$(curl -s --unix-socket "$WORK/t.sock" http://d/volumes/other/export)" \
	'{"message":"get other: no such volume"}{"message":"get other: no such volume"}{"message":"get other: no such volume"}' "others' are not"
on t volume rm mycopy >/dev/null
docker run --rm --network other -v other:/x busybox true && docker volume create gone >/dev/null && docker volume rm gone >/dev/null; ok "others use theirs"
is "$(docker network inspect -f '{{json .Labels}}' mynet)" '{"team":"ci"}' "with the label"
like "$(on t network connect mynet foreign 2>&1)" "No such container: foreign" "others are not connected"
like "$(on t network rm other 2>&1)" "not found" "nor removed"
docker stop -t 0 foreign >/dev/null
on t container prune -f >/dev/null && on t volume prune -af >/dev/null && on t network prune -f >/dev/null; ok "prune"
is "$(docker ps -aq --filter name=foreign | wc -l) $(docker volume ls -q --filter name=other) $(docker network ls -q --filter name=other | wc -l)" "1 other 1" "leaves what others have"
for args in "system df" "commit own x" "tag busybox x" "rmi busybox" "save busybox" "image prune -f" "load -i $WORK/busybox.tar"; do
	# shellcheck disable=SC2086
	like "$(on t $args 2>&1 >/dev/null)" "is not for clients that are restricted to team=ci" "not for it: $args"
done
is "$(on t images -q | wc -l)" 1 "images are for all"
says_no t "no privileged containers here" create --privileged busybox true
on t rm -f own >/dev/null; ok "removed"
on t network rm mynet >/dev/null
tells "$WORK/ev" "container destroy own" && tells "$WORK/ev" "network destroy mynet"; ok "events of its own"
unlike "$(cat "$WORK/ev")" "foreign|theirs|other|gone" "and of nobody else"
is "$(grep 'mynet$\|volume.* my' "$WORK/ev" | sort | uniq -c | awk '{ print $2, $3, $4 }' | paste -sd,)" \
	"network connect mynet,network create mynet,network destroy mynet,network disconnect mynet,volume create mycop,volume create myvol,volume destroy mycop,volume destroy myvol,volume mount myvol,volume unmount myvol" \
	"events of its networks and volumes, too"
like "$(cat "$WORK/ev")" "network connect bridge" "and what its containers do with Docker's own"
kill $ev; wait $ev 2>/dev/null
# reload: other rules of the same names
hup() { _n=$(grep -c 'reload configuration' "$WORK/log"); kill -HUP "$DPID"; comes $((_n + 1)) grep -c 'reload configuration' "$WORK/log"; }
sed -i 's/^lazy.dry-run = true/lazy.dry-run = false/; s/^team.scope = team=ci/team.scope = team=ci2/' "$WORK/d.ini"
hup; comes "$denied no busybox" sh -c "'$DOCKER' -H unix://$WORK/lazy.sock create busybox true 2>&1"; ok "SIGHUP: the dry run is over"
comes theirs on t ps --format '{{.Names}}'; ok "and another label is in force"
python3 - "$WORK/lazy.sock" "$DPID" "$WORK" > "$WORK/open" <<'P'
import http.client, os, signal, socket, sys, time
c = http.client.HTTPConnection("d")
c.sock = first = socket.socket(socket.AF_UNIX)
first.connect(sys.argv[1])
def ask():
    c.request("POST", "/containers/create", '{"Image":"busybox:latest"}', {"Content-Type": "application/json"})
    r = c.getresponse()
    r.read()
    return r.status
print(ask())
ini = sys.argv[3] + "/d.ini"
text = open(ini).read()
open(ini, "w").write(text.replace("lazy.dry-run = false", "lazy.dry-run = true"))
os.kill(int(sys.argv[2]), signal.SIGHUP)
for _ in range(600):
    if ask() == 201:
        print(201, c.sock is first)
        break
    time.sleep(0.1)
open(ini, "w").write(text)
P
is "$(cat "$WORK/open")" "403
201 True" "the next request of an open connection is asked about by the new rules"
hup; comes "$denied no busybox" sh -c "'$DOCKER' -H unix://$WORK/lazy.sock create busybox true 2>&1"; ok "and back"
sed -i 's/^lazy.rule = deny/lazy.rule = refuse/' "$WORK/d.ini"
hup; tells "$WORK/log" 'Error reconfiguring the daemon: .*it begins with neither allow nor deny'; ok "bad rules are said"
says_no lazy "no busybox" create busybox true
docker rm -f theirs foreign >/dev/null
stop_daemon; is "$DSTATUS" 0 "stops"
refused() { # pattern what INI args: does not start
	_p=$1 _w=$2
	printf '%s\n' "$3" > "$WORK/bad.ini"
	shift 3
	DSTATUS=
	start_daemon --config-file "$WORK/bad.ini" "$@"; [ -z "$DPID" ] && [ "${DSTATUS:-0}" != 0 ]; ok "$_w: does not start" || stop_daemon
	like "$(tail -2 "$WORK/log")" "$_p" "$_w: in words"
}
refused 'a listener names the policy nosuch' "a policy that is not there" '[daemon]' -H "unix://$WORK/x.sock?policy=nosuch"
refused 'after .* stands policy=NAME' "another parameter" '[daemon]' -H "unix://$WORK/x.sock?mode=666"
refused 'a condition is about user, uid, gid, host' "an unknown condition" '[authz.policy]
x.rule = deny * * colour=red' -H "unix://$WORK/x.sock?policy=x"
refused 'a uid or gid is a number' "a uid in letters" '[authz.policy]
x.rule = deny * * uid=root' -H "unix://$WORK/x.sock?policy=x"
refused 'it uses itself' "a circle" '[authz.policy]
x.use = y
y.use = x' -H "unix://$WORK/x.sock?policy=x"
refused 'it begins with a label' "a scope without a label" '[authz.policy]
x.scope = team' -H "unix://$WORK/x.sock?policy=x"
# daemon.json has sections as well
printf '{"hosts":["unix://%s","unix://%s?policy=mine"],"authz.policy":{"mine.rule":["deny GET /info not here","allow GET *"],"mine.default":"deny"}}' "$SOCK" "$WORK/j.sock" > "$WORK/j.json"
"$DOCKERD" -b none --config-file "$WORK/j.json" --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" --plugin-dir "$PLUGDIR" >> "$WORK/log" 2>&1 < /dev/null & DPID=$!
comes OK curl -s --unix-socket "$SOCK" http://d/_ping; ok "daemon.json"
is "$(curl -s --unix-socket "$WORK/j.sock" http://d/info)" '{"message":"authorization denied by plugin policy: not here"}' "its rules"
is "$(curl -s -o /dev/null -w '%{http_code}' -X POST --unix-socket "$WORK/j.sock" http://d/containers/prune)" 403 "its default"
stop_daemon; is "$DSTATUS" 0 "stops"
done_testing
