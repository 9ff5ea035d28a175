#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Logs that the shim writes: json-file and local, their options, rotation, compression, age, buffers.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl busybox runc
find_docker
scratch
start_daemon; ok "starts" || done_testing
load_busybox >/dev/null
folder() { echo "$WORK/root/containers/$(docker inspect -f '{{.Id}}' "$1")"; }
settled() { for _i in $(seq $((100 * DKD_SLOW))); do ls "$1"*.[0-9] >/dev/null 2>&1 || break; sleep 0.05; done; ls "$1"*.[0-9] 2>/dev/null | wc -l; }
bad() { # description, text, log options: what create answers
	_what=$1 _text=$2; shift 2
	_body=$(printf '{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"%s","Config":{%s}}}}' "$1" "$2")
	is "$(api POST /containers/create -H 'Content-Type: application/json' -d "$_body")" "{\"message\":\"$_text\"}" "$_what"
	is "$(api_status POST /containers/create -H 'Content-Type: application/json' -d "$_body")" 400 "with 400"
}
SCRIPT='echo first; echo bad >&2; i=0; while [ $i -lt 900 ]; do echo "line $i of a log that is turned over"; i=$((i+1)); done; sleep ${1:-0}; printf end'

for d in json-file local; do
	docker run -d --name lg --network none --log-driver $d --log-opt max-size=20k --log-opt max-file=9 --log-opt compress=true \
		busybox sh -c "$SCRIPT" - 1 >/dev/null
	docker logs -f lg > "$WORK/follow" 2>/dev/null
	dir=$(folder lg)
	case $d in local) dir=$dir/local-logs/container.log ;; *) dir=$dir/$(basename "$dir")-json.log ;; esac
	ls "$dir.1.gz" >/dev/null; ok "$d: rotated files are compressed"
	is "$(settled "$dir")" 0 "and those only"
	is "$(docker logs lg 2>/dev/null | wc -l)" 901 "a log over compressed files is read"
	is "$(docker logs lg 2>/dev/null | tail -c 3)" end "to its open end"
	is "$(wc -l < "$WORK/follow")" 901 "a follower saw the same"
	is "$(docker logs lg 2>&1 >/dev/null)" bad "stderr"
	is "$(docker logs -n 800 lg 2>&1 | grep -c .)" 800 "a tail through them"
	is "$(docker logs -n 1 lg)" end "the last one"
	like "$(docker logs -t -n 1 lg)" '^20[0-9-]*T[0-9:.]*Z end$' "time stamps"
	is "$(docker logs --since 1h lg 2>/dev/null | wc -l)" 901 "--since"
	is "$(docker logs --until 1h lg 2>/dev/null | wc -l)" 0 "--until"
	is "$(docker logs -f lg 2>/dev/null | wc -l)" 901 "following what has ended"
	docker start lg >/dev/null; docker wait lg >/dev/null
	is "$(docker logs lg 2>/dev/null | grep -c ' 899 of')" 2 "a second run goes on in the same log"
	docker rm -f lg >/dev/null
done

# local is local
docker run -d --name lo --network none --log-driver local busybox sh -c 'head -c 40000 /dev/zero | tr "\0" x; echo; echo done' >/dev/null
docker wait lo >/dev/null
is "$(docker inspect -f '{{.LogPath}}|{{.HostConfig.LogConfig.Type}}' lo)" "|local" "LogPath is empty, as Docker's"
is "$(stat -c %a "$(folder lo)/local-logs")" 700 "its folder"
is "$(ls "$(folder lo)" | grep -c json.log)" 0 "and no other log"
is "$(docker logs lo | head -1 | wc -c)" 40001 "a long line comes back in one"
docker rm lo >/dev/null; ok "is removed with its container"
out=$(docker run --rm --network none --log-driver local busybox echo hi); is "$out" hi "attach works beside it"

# a container never waits for its log
for d in json-file local; do
	docker run -d --name nb --network none --log-driver $d --log-opt mode=non-blocking --log-opt max-buffer-size=4m busybox \
		sh -c 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done' >/dev/null
	docker wait nb >/dev/null
	is "$(docker logs nb | wc -l)" 2000 "$d, non-blocking: all is there when the end is told"
	docker rm nb >/dev/null
done

# what a record says of its container
docker run -d --name at --network none --label ab=1 --label xb=2 --label zz=3 -e X1=q -e YY=k --log-opt labels=zz --log-opt labels-regex='^a.*b$|^ab$' \
	--log-opt env=YY --log-opt env-regex='^X' --log-opt tag='{{.Name}}/{{upper .Name}}/{{.ID}}' busybox echo hi >/dev/null
docker wait at >/dev/null
is "$(docker logs --details at)" "X1=q,YY=k,ab=1,tag=at%2FAT%2F$(docker inspect -f '{{.Id}}' at | cut -c1-12),zz=3 hi" "labels, env, their expressions, tag"
docker rm at >/dev/null
like "$(docker run --rm --network none --log-opt tag='{{.Nope}}' busybox true 2>&1)" \
	'failed to initialize logging driver: template: log-tag:1:2: executing "log-tag" at <.Nope>: can.t evaluate field Nope in type \*logger.Info' "a tag with an unknown field"
like "$(docker run --rm --network none --log-opt tag='{{.ID' busybox true 2>&1)" 'template: log-tag:1: unclosed action' "a tag without its end"
like "$(docker run --rm --network none --log-opt tag='{{foo}}' busybox true 2>&1)" 'template: log-tag:1: function "foo" not defined' "a tag with an unknown function"

# age
docker run -d --name ag --network none --log-opt max-age=2s --log-opt max-file=3 busybox sh -c 'echo old; sleep 6; echo new; sleep 100' >/dev/null
for i in $(seq $((200 * DKD_SLOW))); do docker logs ag | grep -q new && break; sleep 0.1; done
is "$(docker logs ag)" new "records older than max-age are gone"
docker rm -f ag >/dev/null

# the shim goes on without the daemon, and with the next one
for d in json-file local; do
	docker run -d --name "ad-$d" --network none --log-driver $d --log-opt max-size=20k --log-opt max-file=50 --log-opt compress=true \
		busybox sh -c 'i=0; while [ ! -e /end ]; do echo "line $i of a log that outlives the daemon"; i=$((i+1)); usleep 1000; done; echo "$i were written"' >/dev/null
done
stop_daemon KILL
sleep 0.3
start_daemon; ok "the daemon comes back"
for d in json-file local; do
	docker logs -f "ad-$d" > "$WORK/adopted" &
	_reader=$!
	docker exec "ad-$d" touch /end
	wait $_reader
	n=$(sed -n 's/ were written//p' "$WORK/adopted")
	is "$(grep -c outlives "$WORK/adopted")" "$n" "$d: a log over the daemon's end, followed, is whole"
	is "$(docker logs "ad-$d" | cmp - "$WORK/adopted" 2>&1)" "" "and the same of the container that ended"
	docker rm -f "ad-$d" >/dev/null
done
docker run -d --name nn --network none --log-driver none busybox echo hi >/dev/null
docker wait nn >/dev/null
like "$(docker logs nn 2>&1)" 'configured logging driver does not support reading' "none is not read"
docker rm nn >/dev/null

# nonsense, in Docker's words
I="failed to initialize logging driver: "
for d in awslogs etwlogs gcplogs logentries splunk nope; do
	bad "no driver $d" "error looking up logging plugin $d: plugin \\\"$d\\\" not found" "$d" ""
done
bad "unknown option" "unknown log opt 'foo' for json-file log driver" json-file '"foo":"1"'
bad "... of local" "unknown log opt 'labels' for log driver local" local '"labels":"x"'
bad "a size" "${I}invalid size: '10q'" json-file '"max-size":"10q"'
bad "... of local" "${I}invalid value for max-size: abc: invalid size: 'abc'" local '"max-size":"abc"'
bad "no size" "${I}max-size must be a positive number" json-file '"max-size":"0"'
bad "no file" "${I}max-file cannot be less than 1" json-file '"max-file":"0"'
bad "a number" "${I}strconv.Atoi: parsing \\\"x\\\": invalid syntax" json-file '"max-file":"x"'
bad "a bool" "${I}strconv.ParseBool: parsing \\\"x\\\": invalid syntax" json-file '"compress":"x"'
bad "... of local" "${I}error reading compress log option: strconv.ParseBool: parsing \\\"x\\\": invalid syntax" local '"compress":"x"'
bad "nothing to compress" "${I}compress cannot be true when max-file is less than 2 or max-size is not set" json-file '"compress":"true","max-size":"1m"'
bad "... with local" "${I}compression cannot be enabled when max file count is 1" local '"max-file":"1"'
bad "mode" "logger: logging mode not supported: x" json-file '"mode":"x"'
bad "buffer without mode" "logger: max-buffer-size option is only supported with 'mode=non-blocking'" local '"max-buffer-size":"1m"'
bad "buffer size" "error parsing option max-buffer-size: invalid size: '-1'" json-file '"mode":"non-blocking","max-buffer-size":"-1"'
bad "an expression" "${I}error parsing regexp: missing closing ): \`(\`" json-file '"labels-regex":"("'
bad "an age" "${I}invalid value for max-age: 'x': a duration of a second or more, as in 36h or 7d" json-file '"max-age":"x"'

# taken, and without an effect here
W=fluentd-buffer-limit
warned() { docker create --network none "$@" busybox true 2>&1 >/dev/null | grep -c "WARNING: The log option $W has no effect: cache-max-size and cache-max-file bound"; }
is "$(warned --log-driver fluentd --log-opt $W=1m) $(warned --log-driver fluentd) $(warned --log-driver tee --log-opt drivers=json-file,fluentd --log-opt fluentd.$W=1m)" "1 0 1" \
	"an option without an effect is warned about"
docker ps -aq --filter status=created | xargs -r "$DOCKER" -H "unix://$SOCK" rm >/dev/null

# what the daemon is told for all
stop_daemon
start_daemon --log-driver splunk; is $? 1 "a driver that is not here stops the daemon"
like "$(tail -1 "$WORK/log")" "logger: no log driver named 'splunk' is registered" "by its name"
start_daemon --log-driver local --log-opt max-file=3 --log-opt mode=non-blocking; ok "starts with another driver"
conf() { docker create --name cf --network none "$@" busybox true >/dev/null; docker inspect -f '{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}' cf; docker rm cf >/dev/null; }
is "$(conf)" 'local {"max-file":"3","mode":"non-blocking"}' "taken for a container without one"
is "$(conf --log-opt max-size=1m --log-opt max-file=4)" 'local {"max-file":"4","max-size":"1m","mode":"non-blocking"}' "its own options come first"
is "$(conf --log-driver local --log-opt max-size=1m)" 'local {"max-file":"3","max-size":"1m","mode":"non-blocking"}' "also where it names the same driver"
is "$(conf --log-driver json-file)" 'json-file {}' "another driver takes none"
is "$(docker info -f '{{.LoggingDriver}}')" local "info"
done_testing
