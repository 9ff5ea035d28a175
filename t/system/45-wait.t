#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# wait: each condition, in each state, what it answers and when.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
N="--network none"
w() { api POST "/${2:-v1.41}/containers/$1" -w ' %{http_code}' | tr -d '\n'; }
told() { for _i in $(seq $((100 * DKD_SLOW))); do [ -s "$1" ] && break; sleep 0.1; done; cat "$1"; }
begun() { # file of headers: the wait is known to the daemon once they have come
	for _i in $(seq $((100 * DKD_SLOW))); do grep -q '^HTTP' "$1" 2> /dev/null && return; sleep 0.1; done
}
later() { # container condition: in the background, its answer goes to $WORK/CONDITION
	rm -f "$WORK/$2" "$WORK/$2.head"
	curl -sS -N --max-time $((60 * DKD_SLOW)) -D "$WORK/$2.head" -X POST --unix-socket "$SOCK" "http://d/v1.41/containers/$1/wait?condition=$2" -o "$WORK/$2" &
	LATER=$!
	begun "$WORK/$2.head"
}

docker create --name five $N busybox sh -c 'sleep 1; exit 5' > /dev/null
is "$(w five/wait)" '{"Error":null,"StatusCode":0} 200' "one that never ran is not running"
is "$(w five/wait?condition=not-running)" '{"Error":null,"StatusCode":0} 200' "in so many words"
is "$(w five/wait?condition=)" '{"Error":null,"StatusCode":0} 200' "an empty condition is none"
is "$(w five/wait?condition=foo)" '{"message":"invalid condition: \"foo\""} 400' "another is refused"
is "$(w five/wait?condition=foo v1.29)" '{"Error":null,"StatusCode":0} 200' "before 1.30 there are none"
is "$(w nosuch/wait) $(w nosuch/wait?condition=removed)" '{"message":"No such container: nosuch"} 404 {"message":"No such container: nosuch"} 404' \
	"no such container"
later five next-exit
later five removed
[ ! -s "$WORK/next-exit" ] && [ ! -s "$WORK/removed" ]
ok "the headers come at once, the answer does not"
docker start five > /dev/null
later five not-running
is "$(told "$WORK/next-exit")" '{"Error":null,"StatusCode":5}' "next-exit"
is "$(told "$WORK/not-running")" '{"Error":null,"StatusCode":5}' "not-running, of one that runs"
is "$(cat "$WORK/removed" 2> /dev/null)" '' "removed goes on waiting"
is "$(w five/wait)" '{"Error":null,"StatusCode":5} 200' "one that ran: its code, at once"
docker rm five > /dev/null
is "$(told "$WORK/removed")" '{"Error":null,"StatusCode":5}' "removed"
wait_jobs() { for _j in $(jobs -p); do [ "$_j" = "$DPID" ] || wait "$_j"; done; }
wait_jobs

id=$(docker run -d --rm $N busybox sh -c 'sleep 0.5; exit 6')
is "$(docker wait "$id")" 6 "one that removes itself"
docker run -d --name long $N busybox sleep 1000 > /dev/null
later long not-running
docker rm -f long > /dev/null
is "$(told "$WORK/not-running")" '{"Error":null,"StatusCode":137}' "one that is killed and removed"
docker run -d --name twice --restart on-failure:1 $N busybox sh -c 'exit 7' > /dev/null
is "$(docker wait twice)" 7 "one with a restart policy"
docker create --name broken $N busybox nosuchbinary > /dev/null
docker start broken 2> /dev/null
like "$(w broken/wait)" '^\{"Error":\{"Message":".*executable file not found in \$PATH: unknown"\},"StatusCode":127\} 200$' "one that could not start: why, and 127"
docker create --name never $N busybox > /dev/null
later never next-exit
docker rm never > /dev/null
is "$(told "$WORK/next-exit")" '{"Error":null,"StatusCode":0}' "removed before it ever ran"
wait_jobs
docker run -d --name a1 $N busybox sh -c 'exit 1' > /dev/null
docker run -d --name a2 $N busybox sh -c 'exit 2' > /dev/null
is "$(docker wait a1 a2 | paste -sd,)" "1,2" "docker wait of two"

# many who wait are all told; who leaves is forgotten
docker run -d --name crowd $N busybox sleep 1000 > /dev/null
for i in $(seq 30); do
	later crowd "next-exit&n=$i"
	[ "$i" -gt 10 ] || leavers="${leavers:-} $LATER"
done
# shellcheck disable=SC2086
kill $leavers
docker kill -s KILL crowd > /dev/null
wait_jobs 2> /dev/null
is "$(cat "$WORK"/next-exit\&n=*[0-9] 2> /dev/null | grep -c '{"Error":null,"StatusCode":137}')" 20 "twenty of thirty stay and are told"
for _i in $(seq $((50 * DKD_SLOW))); do api GET /debug/vars | grep -q '"name":"container_wait"' || break; sleep 0.1; done
is "$(api GET /debug/vars | grep -o '"name":"container_wait"' | wc -l)" 0 "nobody waits any more"
done_testing
