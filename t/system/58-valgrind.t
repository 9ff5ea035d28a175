#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# One life of a container in a daemon under valgrind: no error, no block lost.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl cc valgrind runc pgrep python3
find_docker
scratch
[ -z "$SANITIZED" ] || skip_all "a sanitizer's build watches by itself"
[ "$(uname -m)" = x86_64 ] || skip_all "the stand-in for openat2 is written for x86-64"
# valgrind up to 3.20 does not know openat2 and pidfd_send_signal: t/tools/new-calls.c makes them elsewhere
{ ${CC:-cc} -O1 -shared -fPIC -o "$WORK/openat2.so" "$top_srcdir/t/tools/new-calls.c" && ${CC:-cc} -O1 -DSERVER -o "$WORK/openat2d" "$top_srcdir/t/tools/new-calls.c"; } 2> "$WORK/out" ||
	skip_all "no compiler: $(head -1 "$WORK/out")"
export OPENAT2_SOCKET="$WORK/openat2.sock"
"$WORK/openat2d" & # cleanup() finds it by its path when this test ends early
helper=$!
# The daemon alone: shims are static programs of their own, which valgrind cannot follow.
cat > "$WORK/under-valgrind" <<END
#!/bin/sh
LD_PRELOAD=$WORK/openat2.so exec valgrind -q --child-silent-after-fork=yes --trace-children=no --leak-check=full --show-leak-kinds=definite \\
	--errors-for-leak-kinds=definite --error-exitcode=9 --num-callers=25 --suppressions=$top_srcdir/t/valgrind.supp --log-file=$WORK/memcheck.%p "$DOCKERD" "\$@"
END
chmod 755 "$WORK/under-valgrind"
DOCKERD=$WORK/under-valgrind
start_daemon; ok "starts" || { tail -5 "$WORK/log" | sed 's/^/# /'; done_testing; }
load_busybox > "$WORK/out" 2>&1; ok "load" || sed 's/^/# /' "$WORK/out"
docker create --name vg --network none --health-cmd 'echo well' --health-interval 500ms -e A=1 -v vol:/data --restart on-failure:1 busybox sh -c 'echo one; echo two >&2; cat > /data/in; sleep 100' > "$WORK/out" 2>&1; ok "create" || sed 's/^/# /' "$WORK/out"
docker start vg > "$WORK/out" 2>&1; ok "start" || sed 's/^/# /' "$WORK/out"
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(docker logs vg 2>&1 | wc -l)" = 2 ] && break; sleep 0.2; done
is "$(docker logs vg 2>&1 | sort | tr '\n' ' ')" "one two " "logs"
is "$(docker exec -e B=2 vg sh -c 'echo $A $B; exit 3'; echo $?)" "1 2
3" "exec"
like "$(docker inspect vg)" '"Running": true' "inspect"
like "$(docker ps -a --filter name=vg --format '{{.Names}}')" vg "list"
for _i in $(seq $((50 * DKD_SLOW))); do [ "$(docker inspect -f '{{.State.Health.Status}}' vg)" = healthy ] && break; sleep 0.2; done
is "$(docker inspect -f '{{.State.Health.Status}}' vg)" healthy "a check of its health"
docker update --cpu-shares 512 --restart no vg > /dev/null && docker rename vg other && docker rename other vg; ok "update, rename"
docker top vg > /dev/null && docker diff vg > /dev/null && docker stats --no-stream vg > /dev/null && docker pause vg > /dev/null && docker unpause vg > /dev/null; ok "top, diff, stats, pause"
like "$(python3 "$top_srcdir/t/clients/attach-ws.py" "$SOCK" "/containers/vg/attach/ws?stream=1&stdout=1" close recv 2>&1 | tail -1)" "close 1000" "attach by WebSocket"
docker run --rm --network none busybox true && docker restart -t 0 vg > /dev/null; ok "run --rm, restart"
echo hello > "$WORK/file"
docker cp "$WORK/file" vg:/tmp/ && docker cp vg:/tmp/file "$WORK/back" && cmp -s "$WORK/file" "$WORK/back"; ok "copies in and out"
docker commit vg made:1 > /dev/null && docker save made:1 > "$WORK/made.tar" && docker rmi made:1 > /dev/null && docker load -q -i "$WORK/made.tar" > /dev/null; ok "commit, save, rmi, load"
is "$(api_status GET /containers/vg/nonsense)$(api_status POST /containers/create -H 'Content-Type: application/json' -d '{"Image":3}')" 404400 "refusals"
docker stop -t 1 vg > /dev/null; ok "stop"
docker rm -v vg > /dev/null; ok "rm"
like "$(docker events --since 0 --until "$(date +%s)" --format '{{.Action}}' | tr '\n' ' ')" "create .*start .*die .*destroy" "events"
docker system df > /dev/null && docker system prune -f > /dev/null && docker info > /dev/null; ok "df, prune, info"
stop_daemon; is "$?" 0 "the daemon ends with status 0 (valgrind: 9 after an error or a lost block)"
kill "$helper"
wait "$helper" 2>/dev/null
# It knows no NS_GET_USERNS (0xb701), and says so in three lines.
is "$(find "$WORK" -name 'memcheck.*' -size +0 -exec grep -hvE 'unhandled ioctl 0xb701 |could cause spurious value errors|See README_MISSING_SYSCALL' {} + | head -c 4000)" "" "0 errors, 0 definitely lost"
done_testing
