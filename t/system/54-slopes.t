#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Pulls, plugins, volumes of plugins, reloads of policies, handshakes of TLS, again and again: no process, thread, descriptor or memory more.
# ROUNDS: how often (HANDSHAKES: rounds of twelve handshakes, of which ten are broken). PARTS: some of them.
. "$(dirname "$0")/lib.sh" || exit 1
need openssl
need_apart
. "$(dirname "$0")/registrylib.sh" || exit 1
PARTS=${PARTS:-pulls managed volumes reloads handshakes}
export ROUNDS=${ROUNDS:-4}
C=$WORK/certs
mkdir -p "$C" "$WORK/sockets" "$WORK/one" "$WORK/p/rootfs"/{usr,state,tmp,proc,sys,dev,run}
leaf() { # NAME EXTENSIONS
	printf '%b\n' "$2" > "$C/ext"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$C/$1.key" -out "$C/$1.csr" > /dev/null 2>&1 &&
		openssl x509 -req -in "$C/$1.csr" -CA "$C/ca.pem" -CAkey "$C/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 2 -extfile "$C/ext" -out "$C/$1.pem" > /dev/null 2>&1
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 2 -keyout "$C/ca.key" -out "$C/ca.pem" > /dev/null 2>&1 &&
	leaf server 'subjectAltName=DNS:localhost,IP:127.0.0.1' && leaf client extendedKeyUsage=clientAuth
ok "certificates"
cat > "$WORK/d.ini" << I
[daemon]
authorization-plugins = policy
[authz.policy]
default = allow
[volume.remote]
sockets = $WORK/sockets
I
for l in bin lib lib64; do ln -s usr/$l "$WORK/p/rootfs/$l"; done
cp "$top_srcdir/t/clients/docker-plugin.py" "$WORK/p/rootfs/plugin.py"
cat > "$WORK/p/config.json" << 'J'
{"Entrypoint":["/usr/bin/python3","/plugin.py","/run/docker/plugins/p.sock","/state"],"WorkDir":"/","Interface":{"Types":["docker.volumedriver/1.0"],"Socket":"p.sock"},
"Network":{"Type":"none"},"Mounts":[{"Name":"usr","Source":"/usr","Destination":"/usr","Type":"bind","Options":["rbind","ro"]}]}
J
python3 "$top_srcdir/t/clients/docker-plugin.py" "$WORK/sockets/one.sock" "$WORK/one" &
PIDS="$PIDS $!"
registry r 127.0.0.1:5001
start_daemon --config-file "$WORK/d.ini" -H tcp://127.0.0.1:2376 --tlsverify --tlscacert "$C/ca.pem" --tlscert "$C/server.pem" --tlskey "$C/server.key"
ok "starts" || done_testing
load_busybox > /dev/null
comes 200 curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5001/v2/
skopeo copy -q --dest-tls-verify=false "docker-archive:$WORK/busybox.tar" docker://127.0.0.1:5001/busybox:1 > /dev/null; ok "an image in a registry"
docker plugin create me/p "$WORK/p" > /dev/null; ok "a managed plugin"
slope() { # PART ARGS...: its checks are one of this test's, with its figures
	case " $PARTS " in *" $1 "*) ;; *) return ;; esac
	_p=$1
	shift
	python3 "$top_srcdir/t/clients/slopes.py" "$_p" "$SOCK" "$DPID" "$@" > "$WORK/out" 2>&1
	ok "$_p: nothing grows" || grep -v '^ok' "$WORK/out" | sed 's/^/# /'
	grep '^# [0-9]* times' "$WORK/out"
}
slope pulls 127.0.0.1:5001/busybox:1
slope managed me/p
slope volumes one busybox
slope reloads "$WORK/d.ini" "default = allow"
ROUNDS=${HANDSHAKES:-$ROUNDS} slope handshakes 2376 "$C"
done_testing
