#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Layers that are unpacked before those below them are there: a registry holds the lowest one back (t/clients/registry.py).
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/registrylib.sh" || exit 1
P=127.0.0.1:5001 F=127.0.0.1:5020 LOG=$WORK/faults.log
registry blobs $P
faults 5020 $P "$LOG"
answer_all $P $F
$PY make "$WORK/oci"
copy "oci:$WORK/oci/multi" docker://$P/x/multi:latest && copy "oci:$WORK/oci/many" docker://$P/x/many:latest; ok "images in a registry" || done_testing
start_daemon --max-download-attempts=2; ok "the daemon" || done_testing

layers() { find "$WORK"/root/image/*/layerdb/sha256 -mindepth 1 -maxdepth 1 | wc -l; }
trees() { find "$WORK/root/overlay2" -mindepth 1 -maxdepth 1 ! -name l | wc -l; }
left() { echo "$(docker images -aq | wc -l) images $(layers) layers $(trees) trees $(find "$WORK"/root/image/*/layerdb/tmp -mindepth 1 -maxdepth 1 | wc -l) stages"; }
NOTHING="0 images 0 layers 0 trees 0 stages"
until_is() { for _i in $(seq $((100 * DKD_SLOW))); do [ "$(eval "$1")" = "$2" ] && break; sleep 0.1; done; is "$(eval "$1")" "$2" "$3"; }
files() { find "$WORK/root/overlay2" -path '*/diff/*' -type f -size +"${1}"c -printf '%f\n' | sort | paste -sd,; }
until_traced() { for _i in $(seq 50); do grep -q '^TracerPid:[[:space:]]*0$' "/proc/$DPID/status" || return 0; kill -0 "$tracer" 2>/dev/null || return 1; sleep 0.1; done; return 1; }
held() { # FAULT: a pull whose lowest layer does not come; the others are unpacked
	rm -f "$LOG.go"
	curl -sN --unix-socket "$SOCK" -X POST "http://d/images/create?fromImage=$F/$1/x/multi&tag=latest" > "$WORK/out" 2>&1 &
	PULL=$!
}
whole() { echo "$(docker image inspect -f '{{len .RootFS.Layers}}' "$F/$1/x/multi" 2>&1) $(layers) $(trees)"; }
content() { # what a container sees, by its digests
	docker create --name cc --network none "$F/$1/x/multi" >/dev/null
	for _f in one two three four; do docker cp "cc:/$_f" - | tar -xOf - | sha256sum; done | sha256sum
	docker rm cc >/dev/null
}

held hold
until_is 'files 1000' four,three,two "the upper layers are unpacked before the lowest one is there"
is "$(layers) $(docker images -aq | wc -l)" "0 0" "none of them is in the store"
is "$(grep -c 'Pull complete' "$WORK/out")" 0 "nor told to be"
touch "$LOG.go"
wait $PULL
is "$(whole hold)" "4 4 4" "then the image is whole"
is "$(tr '\r' '\n' < "$WORK/out" | jq -r 'select(.status=="Pull complete").id' | paste -sd,)" \
	"$(tr '\r' '\n' < "$WORK/out" | jq -r 'select(.status=="Pulling fs layer").id' | paste -sd,)" "told from the bottom up"
want=$(content hold)
docker rmi "$F/hold/x/multi" >/dev/null
is "$(left)" "$NOTHING" "and goes without a rest"

# somebody else brings the lowest layer meanwhile: what stands on this pull's own is done once more
held hold
until_is 'files 1000' four,three,two "held again"
tar -C "$WORK/oci/bottom" -c . | docker load -q >/dev/null; ok "docker load of the lowest layer"
touch "$LOG.go"
wait $PULL
is "$(whole hold) $(docker images -aq | wc -l)" "4 4 4 2" "the layer is shared, and nothing is there twice"
is "$(content hold)" "$want" "the image has the same content"
stop_daemon && start_daemon --max-download-attempts=2
is "$(content hold)" "$want" "also after a restart"
docker rmi -f $(docker images -aq | sort -u) >/dev/null
is "$(left)" "$NOTHING" "and goes without a rest"

# two pulls of it
held hold
until_is 'files 1000' four,three,two "held again"
api POST "/images/create?fromImage=$F/hold/x/multi&tag=latest" > "$WORK/out2" 2>&1 &
second=$!
kill $PULL
touch "$LOG.go"
wait $second
is "$(whole hold)" "4 4 4" "the client of one leaves: the other comes through"
docker rmi "$F/hold/x/multi" >/dev/null

# a client that does not read: more is said than fits into its socket
$PY stuck "$SOCK" $P/x/many & PIDS="$PIDS $!" stuck=$!
until_is '[ "$(layers)" -gt 10 ] && echo some' some "a client that does not read"
like "$(timeout $((60 * DKD_SLOW)) "$DOCKER" -H "unix://$SOCK" pull $P/x/many 2>&1 | tail -n 1)" "$P/x/many:latest" "holds up nobody who wants the same"
kill -0 $stuck; ok "it is still there"
kill $stuck
docker rmi $P/x/many >/dev/null

# ends of every kind
held hold
until_is 'files 1000' four,three,two "held again"
kill $PULL
until_is left "$NOTHING" "a client that leaves: nothing is left"
again() { # what is there of a pull that was broken off is not fetched again
	: > "$LOG"
	touch "$LOG.go"
	like "$(api POST "/images/create?fromImage=$F/hold/x/multi&tag=latest")" 'Downloaded newer image' "the next pull"
	is "$(grep -c 'GET /v2/hold/x/multi/blobs/' "$LOG") $(find "$WORK"/root/image/*/distribution/partial -type f | wc -l)" "2 0" "fetches the lowest layer and the configuration, and keeps nothing"
	docker rmi "$F/hold/x/multi" >/dev/null
}
again
held hold-wrong
wait $PULL
is "$(grep -c 'filesystem layer verification failed' "$WORK/out")" 1 "an error, whatever is still on its way"
is "$(left)" "$NOTHING" "nothing is left"
held hold
until_is 'files 1000' four,three,two "held again"
stop_daemon KILL
start_daemon --max-download-attempts=2; ok "the daemon was killed, and starts"
is "$(left)" "$NOTHING" "nothing is left"
again
# killed in the sync behind the last layer: the image is not there, and nothing is fetched twice
: > "$LOG"
strace -f -qq -e trace=syncfs -e inject=syncfs:delay_enter=60000000 -o "$WORK/sync" -p "$DPID" 2> "$WORK/strace" & tracer=$!
if until_traced; then
	held straight
	tells "$WORK/sync" syncfs; ok "the last sync begins"
	is "$(grep -c 'Pull complete' "$WORK/out") $(docker images -aq | wc -l)" "4 0" "all layers are there, and no image"
	kill -KILL "$DPID" && kill -KILL $tracer # which holds what it traces until its delay is over
	stop_daemon KILL
	start_daemon --max-download-attempts=2
	is "$(left)" "$NOTHING" "killed in it: nothing is left"
	: > "$LOG"
	like "$(api POST "/images/create?fromImage=$F/straight/x/multi&tag=latest")" 'Downloaded newer image' "the next pull"
	is "$(grep -c 'GET /v2/straight/x/multi/blobs/' "$LOG")" 1 "fetches the configuration alone"
	docker rmi "$F/straight/x/multi" >/dev/null
else
	kill $tracer; skip "killed in the last sync" "strace is not installed, or may not trace"
fi

# a driver that writes layers on what is below
stop_daemon
start_daemon --storage-driver vfs
held hold
until_is 'grep -c "Download complete" "$WORK/out"' 3 "vfs: three layers are there"
is "$(find "$WORK/root/vfs/dir" -mindepth 1 -maxdepth 1 | wc -l)" 0 "none is unpacked before the lowest one"
touch "$LOG.go"
wait $PULL
is "$(docker image inspect -f '{{len .RootFS.Layers}}' "$F/hold/x/multi") $(content hold)" "4 $want" "then all are"

# a disk that holds what is packed, and not what is in it
stop_daemon
# 4 MB, of which the largest layer has 3: packed and unpacked it is there twice, 6 MB even where the others come later
mount -t tmpfs -o size=5m tmpfs "$WORK/root" && start_daemon; ok "a small disk"
like "$(api POST "/images/create?fromImage=$P/x/multi&tag=latest")" '[Nn]o space left on device' "a pull that does not fit, packed or unpacked"
is "$(left) $(find "$WORK"/root/image/*/distribution/partial -type f | wc -l) blobs" "$NOTHING 0 blobs" "nothing is left"
stop_daemon; is "$?" 0 "the daemon ends well"
umount "$WORK/root"
done_testing
