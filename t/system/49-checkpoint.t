#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checkpoints: only of a daemon with --experimental; create, ls, rm, start --checkpoint; by criu where it works, and by a runtime that
# stands in for it (it notes its arguments, and starts anew what it should restore), for all that is the daemon's own part.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc jq
find_docker
scratch
cat > "$WORK/fake-runtime" <<EOF
#!/bin/bash
# checkpoint and restore of its own, the rest is runc's
args=("\$@") cmd= images= work= leave= rest=()
for a; do
	case \$a in checkpoint | restore) [ -n "\$cmd" ] || cmd=\$a ;; esac
	case \$a in --image-path=*) images=\${a#*=} ;; --work-path=*) work=\${a#*=} ;; --leave-running) leave=1 ;; *) rest+=("\$a") ;; esac
done
[ -n "\$cmd" ] || exec runc "\${args[@]}"
echo "\$*" >> $WORK/calls
mkdir -p "\$work"
for ((i = 0; i < \${#args[@]}; i++)); do case \${args[i]} in --log) log=\${args[i+1]} ;; --root) root=\${args[i+1]} ;; esac; done
id=\${args[-1]}
if [ -e $WORK/fails ]; then
	printf '(00.1) Warn  (x.c:1): no\n(00.2) Error (criu/cr.c:7): this cannot be done\n' > "\$work/\$([ \$cmd = restore ] && echo restore || echo dump).log"
	printf '{"level":"error","msg":"criu failed: type DUMP errno 0\\\\nlog file: x"}\n' > "\$log"
	exit 1
fi
case \$cmd in
checkpoint)
	[ -d "\$images" ] || exit 1
	[ -e $WORK/slow ] && sleep 2
	echo images > "\$images/inventory.img"
	[ -n "\$leave" ] || kill -KILL \$(jq .init_process_pid "\$root/\$id/state.json")
	exit 0 ;;
restore)
	grep -q images "\$images/inventory.img" || exit 1
	exec runc "\${rest[@]/#restore/run}" ;;
esac
EOF
chmod 755 "$WORK/fake-runtime"
printf '{"runtimes":{"fake":{"path":"%s"}}}\n' "$WORK/fake-runtime" > "$WORK/daemon.json"
cpt() { api POST "/containers/$1/checkpoints" -H 'Content-Type: application/json' -d "$2"; }
cpt_status() { api_status POST "/containers/$1/checkpoints" -H 'Content-Type: application/json' -d "$2"; }
msg() { jq -r .message; }
start_daemon
ok "a daemon without --experimental" || done_testing
load_busybox > /dev/null
OFF="This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it."
is "$(api GET /containers/x/checkpoints | msg)" "$OFF" "checkpoints: list"
is "$(cpt x '{"CheckpointID":"c1"}' | msg) $(cpt_status x '{}')" "$OFF 501" "create"
is "$(api DELETE /containers/x/checkpoints/c1 | msg)" "$OFF" "delete"
is "$(api POST '/containers/x/start?checkpoint=c1' | msg)" "checkpoint is only supported in experimental mode" "start"
is "$(api_status GET /v1.24/containers/x/checkpoints)" 400 "an API that does not know them"
stop_daemon
start_daemon --experimental
ok "a daemon with --experimental" || done_testing

is "$(docker version -f '{{.Server.Experimental}}')" true "docker version says so"
is "$(api GET /containers/x/checkpoints | msg)" "No such container: x" "no such container"
id=$(docker create --name aa --runtime fake --network none busybox sleep 1000)
D=$WORK/root/containers/$id
is "$(api GET /containers/aa/checkpoints)" null "none yet: as Docker says it"
is "$(cpt aa '{"CheckpointID":"c1"}' | msg) $(cpt_status aa '{"CheckpointID":"c1"}')" "Container aa not running 409" "not running"
is "$(cpt_status aa '')" 400 "no body"
is "$(cpt_status aa '{"CheckpointID":7}')" 400 "a number for a name"
is "$(api DELETE /containers/aa/checkpoints/c1 | msg)" "checkpoint c1 does not exist for container aa" "delete: no such checkpoint"
is "$(api_status DELETE /containers/aa/checkpoints/c1)" 404 "delete: its status"
is "$(api POST '/containers/aa/start?checkpoint=c1' | msg)" "checkpoint c1 does not exist for container /aa" "start: no such checkpoint"
is "$(docker inspect -f '{{.State.Status}}' aa)" created "which changes nothing"
docker start aa > /dev/null
for bad in '' ../../x a/b .x . .. "$(printf 'a%.0s' $(seq 300))"; do
	out=$(cpt aa "{\"CheckpointID\":\"$bad\"}" | msg)
	is "$out" "Invalid checkpoint ID ($(printf %.256s "$bad")), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" "the name $(printf %.12s "$bad")"
done
is "$(cpt_status aa '{"CheckpointID":"../../x"}')" 400 "is a bad request"
is "$(cpt_status aa '{"CheckpointID":"c1","CheckpointDir":"rel"}')" 400 "a relative folder"
[ ! -e "$WORK/calls" ]
ok "none of them reached the runtime"

since=$(date +%s)
is "$(docker checkpoint create --leave-running aa c1)" c1 "docker checkpoint create --leave-running"
is "$(docker inspect -f '{{.State.Running}}' aa)" true "it goes on"
like "$(cat "$WORK/calls")" "checkpoint --image-path=$D/checkpoints/\.c1\.new --work-path=[^ ]* --leave-running $id" "the runtime's arguments"
is "$(stat -c %a "$D/checkpoints" "$D/checkpoints/c1" | tr '\n' ' ')" "700 700 " "it lies where Docker's daemon puts it"
is "$(ls -A "$D/checkpoints" "$D/checkpoints/c1" | tr '\n' ' ' | sed "s,$D/,,g")" "checkpoints: c1  checkpoints/c1: config.json inventory.img " "with what criu wrote"
is "$(jq -r '.name,.exit' "$D/checkpoints/c1/config.json" | tr '\n' ' ')" "c1 false " "and a note"
is "$(cpt aa '{"CheckpointID":"c1"}' | msg)" "cannot checkpoint container aa: checkpoint with name c1 already exists for container aa" "the same name again"
is "$(cpt_status aa '{"CheckpointID":"c1"}')" 409 "is a conflict"
docker pause aa > /dev/null
is "$(cpt_status aa '{"CheckpointID":"c2"}')" 409 "of a paused container"
docker unpause aa > /dev/null
is "$(api_status POST '/containers/aa/start?checkpoint=c1')" 304 "start of a running container"
docker update --restart always aa > /dev/null
is "$(docker checkpoint create aa c2)" c2 "docker checkpoint create: the container ends"
is "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}' aa)" "exited 137 0" "no restart policy brings it back"
unlike "$(tail -n 1 "$WORK/calls")" "leave-running" "the runtime's arguments"
is "$(docker checkpoint ls aa | awk 'NR > 1' | tr '\n' ' ')" "c1 c2 " "docker checkpoint ls"
is "$(api GET /containers/aa/checkpoints | jq -c .)" '[{"Name":"c1"},{"Name":"c2"}]' "as the API says it"
docker start --checkpoint c2 aa
ok "docker start --checkpoint"
is "$(docker inspect -f '{{.State.Running}}' aa)" true "it runs"
like "$(tail -n 1 "$WORK/calls")" "restore --detach --image-path=$D/checkpoints/c2 --work-path=.*/$id/criu-work --bundle=" "restored by the runtime"
pid=$(docker inspect -f '{{.State.Pid}}' aa)
is "$(cat "/proc/$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")/comm")" dockerd-shim "below its shim"
is "$(docker exec aa echo works)" works "exec works in it"
is "$(docker stop -t 0 aa && docker inspect -f '{{.State.ExitCode}}' aa)" "aa
137" "its end is noted"
docker start aa > /dev/null
unlike "$(docker inspect -f '{{.State.Error}}' aa)" . "the next start begins anew"
is "$(grep -c restore "$WORK/calls")" 1 "without the checkpoint"
is "$(api DELETE /containers/aa/checkpoints/..%2f..%2fc1 | msg | cut -c1-11)" "checkpoint " "no way out of the folder by a name"
is "$(docker checkpoint rm aa c1)" "" "docker checkpoint rm"
is "$(ls "$D/checkpoints")" c2 "it is gone"
is "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter container=aa --filter event=checkpoint --format '{{.Action}}' | wc -l)" 2 "events"

mkdir -p "$WORK/other/plain"
is "$(docker checkpoint create --leave-running --checkpoint-dir "$WORK/other" aa mine)" mine "--checkpoint-dir"
is "$(ls "$WORK/other/mine")" "config.json
inventory.img" "lies there"
is "$(docker checkpoint ls --checkpoint-dir "$WORK/other" aa | awk 'NR > 1' | tr '\n' ' ')" "mine plain " "ls"
is "$(api DELETE "/containers/aa/checkpoints/plain?dir=$WORK/other" | msg)" "$WORK/other/plain is not a checkpoint" "rm takes no other folder"
docker checkpoint rm --checkpoint-dir "$WORK/other" aa mine
is "$(ls "$WORK/other")" plain "rm"
is "$(api GET "/containers/aa/checkpoints?dir=$WORK/none")" null "a folder that is not there"
[ ! -e "$WORK/none" ]
ok "is not made"
docker stop -t 0 aa > /dev/null
is "$(api POST "/containers/aa/start?checkpoint=c2&checkpoint-dir=$WORK/other" | msg)" "custom checkpointdir is not supported" "start --checkpoint-dir: as Docker"
is "$(api_status POST "/containers/aa/start?checkpoint=c2&checkpoint-dir=$WORK/other")" 403 "with its status"
ln -s c2 "$D/checkpoints/link"
is "$(api_status POST "/containers/aa/start?checkpoint=link")" 404 "a link is no checkpoint"
rm "$D/checkpoints/link"

touch "$WORK/fails"
like "$(api POST '/containers/aa/start?checkpoint=c2' | msg)" "^OCI runtime restore failed: criu failed: type DUMP errno 0: this cannot be done: unknown$" "a restore that fails, in the words of Docker, runtime and criu"
is "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' aa)" "exited 128" "its state"
docker start aa > /dev/null
is "$(cpt aa '{"CheckpointID":"c3","Exit":true}' | msg)" "Cannot checkpoint container aa: criu failed: type DUMP errno 0: this cannot be done" "a checkpoint that fails"
is "$(cpt_status aa '{"CheckpointID":"c3","Exit":true}')" 500 "with Docker's status"
is "$(docker inspect -f '{{.State.Running}}' aa) $(ls -A "$D/checkpoints")" "true c2" "leaves the container running, and nothing"
rm "$WORK/fails"

touch "$WORK/slow"
cpt aa '{"CheckpointID":"c4"}' > /dev/null 2>&1 &
for _ in $(seq $((100 * DKD_SLOW))); do [ -e "$D/checkpoints/.c4.new" ] && break; sleep 0.05; done
is "$(api GET /containers/aa/checkpoints | jq -c .)" '[{"Name":"c2"}]' "one that is not whole is not listed"
stop_daemon KILL 2> /dev/null
wait $! 2> /dev/null
start_daemon --experimental
rm "$WORK/slow"
is "$(docker inspect -f '{{.State.Running}}' aa)" true "the daemon died in the middle: the container goes on"
is "$(docker checkpoint ls aa | awk 'NR > 1')" c2 "and the checkpoint is none"
for _ in $(seq $((40 * DKD_SLOW))); do grep -q images "$D/checkpoints/.c4.new/inventory.img" 2> /dev/null && break; sleep 0.1; done
is "$(docker checkpoint create --leave-running aa c4 2>&1)" c4 "it can be made again"
is "$(ls -A "$D/checkpoints" | tr '\n' ' ')" "c2 c4 " "and nothing is left of the first"
docker rm -f aa > /dev/null
[ ! -e "$D" ]
ok "checkpoints go with the container"

real=$(docker run -d --name real --network none busybox sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done')
out=$(docker checkpoint create real c1 2>&1)
if [ "$out" = c1 ]; then
	last=$(docker logs real | tail -n 1)
	docker start --checkpoint c1 real > /dev/null
	sleep 1
	[ "$(docker logs real | awk -v n="$last" '$1 > n' | wc -l)" -gt 0 ] && [ "$(docker logs real | grep -cx 1)" = 1 ]
	ok "criu: it goes on counting where it was"
else
	like "$out" "Cannot checkpoint container real: " "runc without a criu that works: says why"
	is "$(docker inspect -f '{{.State.Running}}' real) $(ls -A "$WORK/root/containers/$real/checkpoints")" "true " "and the container runs on"
	skip "criu: it goes on counting where it was" "$(printf '%s' "$out" | head -n 1 | cut -c1-150)"
fi
docker rm -f real > /dev/null
done_testing
