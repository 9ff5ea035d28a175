#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Attaching by WebSocket: the handshake, both directions, control frames, what breaks the protocol.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3
find_docker
scratch
start_daemon
ok "the daemon is up" || done_testing
load_busybox > /dev/null
ws() { _p=$1; shift; timeout $((15 * DKD_SLOW)) python3 -u "$top_srcdir/t/clients/attach-ws.py" "$SOCK" "$_p" "$@" 2>&1; }
attached() { # container, actions: of one that starts when the client is there
	_c=$1; shift
	ws "/containers/$_c/attach/ws?$all" "$@" > "$WORK/ws" &
	for _i in $(seq $((200 * DKD_SLOW))); do grep -q accept "$WORK/ws" && break; sleep 0.05; done
	docker start "$_c" > /dev/null
	wait $!
	cat "$WORK/ws"
}
all='stream=1&stdin=1&stdout=1&stderr=1'

docker run -d -i --name cat --network none busybox cat > /dev/null
out=$(ws "/containers/cat/attach/ws?$all" 'send:hello\n' data:6 'split:again\n' data:6 'ping:are you there' recv)
is "$(sed -n 1,2p <<< "$out")" "$(printf '101 UPGRADED\naccept True websocket Upgrade')" "the handshake"
is "$(sed -n 3p <<< "$out")" "binary hello" "what is sent comes back, without frames of Docker's"
is "$(sed -n 4,5p <<< "$out")" "$(printf 'pong between\nbinary again')" "a message in pieces, and a ping between them"
is "$(sed -n 6p <<< "$out")" "pong are you there" "a ping is answered"
is "$(ws "/v1.27/containers/cat/attach/ws?stream=1" 'send:old\n' data:4 | tail -n 1)" "text old" "old clients get text, and every stream"
is "$(ws "/containers/cat/attach/ws?$all" close recv | tail -n 1)" "close 1000" "a close is answered"
is "$(docker inspect -f '{{.State.Running}}' cat)" true "and ends nothing else"
is "$(ws "/containers/cat/attach/ws?$all" close recv eof | tail -n 1)" eof "the connection ends then, though nothing is written any more"
is "$(ws "/containers/cat/attach/ws?$all" unmasked recv | tail -n 1)" "close 1002" "frames without a mask end the connection"
is "$(ws "/containers/cat/attach/ws?$all" reserved recv | tail -n 1)" "close 1002" "reserved bits, too"
is "$(ws "/containers/cat/attach/ws?$all" bad-key)" "400 Bad Request" "a key that is none"
is "$(ws "/containers/cat/attach/ws?$all" bad-version)" "400 Bad Request" "another version"
is "$(ws "/containers/nosuch/attach/ws?$all")" "404 Not Found" "no such container"
is "$(api_status GET "/containers/cat/attach/ws?$all")" 400 "a request without a handshake"
ws "/containers/cat/attach/ws?$all" 'send:x' cut > /dev/null
is "$(docker inspect -f '{{.State.Running}}' cat)" true "a client that goes ends nothing"
docker rm -f cat > /dev/null

docker create -i --name count --network none busybox sh -c 'head -c 300000 | wc -c; echo err >&2' > /dev/null
like "$(attached count wait:1 big:300000 until-close)" '^binary 300000' "attached before the start; a frame of 300,000 bytes"
docker rm -f count > /dev/null
docker create --name much --network none busybox sh -c 'head -c 3000000 /dev/zero; exit 0' > /dev/null
is "$(attached much until-close | tail -n 1)" "3000000 bytes" "three million bytes come whole"
is "$(ws "/containers/much/attach/ws?logs=1&stdout=1" until-close | tail -n 1)" "3000000 bytes" "the logs alone, of one that has ended"
docker rm -f much > /dev/null
docker run -d -i -t --name tty --network none busybox sh > /dev/null
like "$(ws "/containers/tty/attach/ws?$all" 'send:echo $((40+2))\n' wait:0.5 close until-close)" '42' "a terminal"
like "$(ws "/containers/tty/attach/ws?$all&detachKeys=ctrl-a" 'send:\x01' until-close)" 'close 1000' "the keys detach"
is "$(docker inspect -f '{{.State.Running}}' tty)" true "and it goes on"
docker rm -f tty > /dev/null
done_testing
