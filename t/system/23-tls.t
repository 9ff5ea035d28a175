#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# TLS of the API: versions and ciphers, who is let in, streams, reload, what is wrong with files.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 openssl busybox runc jq
find_docker
scratch
C=$WORK/certs
mkdir "$C"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -days 2 -keyout "$C/$1.key" -out "$C/$1.pem" >/dev/null 2>&1; }
leaf() { # NAME CA EXTENSIONS [x509 arguments...]
	_n=$1 _ca=$2
	printf '%b\n' "$3" > "$C/ext"
	shift 3
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$_n" -keyout "$C/$_n.key" -out "$C/$_n.csr" >/dev/null 2>&1 &&
		openssl x509 -req -in "$C/$_n.csr" -CA "$C/$_ca.pem" -CAkey "$C/$_ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 2 -extfile "$C/ext" "$@" -out "$C/$_n.pem" >/dev/null 2>&1
}
SAN='subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
ca ca && ca strangers && leaf server ca "$SAN" && leaf client ca extendedKeyUsage=clientAuth && leaf foreign strangers extendedKeyUsage=clientAuth &&
	leaf old ca extendedKeyUsage=clientAuth -days -1 && leaf plain ca keyUsage=digitalSignature &&
	leaf middle ca 'basicConstraints=CA:TRUE\nkeyUsage=keyCertSign' && leaf below middle extendedKeyUsage=clientAuth && cp "$C/below.pem" "$C/alone.pem" && cp "$C/below.key" "$C/alone.key" &&
	cat "$C/middle.pem" >> "$C/below.pem"
ok "certificates"
cp "$C/server.pem" "$C/live.pem" && cp -p "$C/server.key" "$C/live.key" && cp "$C/ca.pem" "$C/live-ca.pem"
FILES="--tlscacert $C/live-ca.pem --tlscert $C/live.pem --tlskey $C/live.key"
U=https://localhost:$port
secure() { curl -sS --max-time $((60 * DKD_SLOW)) --cacert "$C/ca.pem" --cert "$C/${ID:-client}.pem" --key "$C/${ID:-client}.key" "$@" 2>&1; }
# In the background: who is killed is the client, and not a shell before it.
reader() { exec "$DOCKER" -H "tcp://localhost:$port" --tlsverify --tlscacert "$C/ca.pem" --tlscert "$C/client.pem" --tlskey "$C/client.key" events "$@"; }
cli() { command "$DOCKER" -H "tcp://localhost:$port" --tlsverify --tlscacert "$C/ca.pem" --tlscert "$C/${ID:-client}.pem" --tlskey "$C/${ID:-client}.key" "$@"; }
# what is wrong with the files is said, and nothing is served
refused() { # what pattern args...
	_what=$1 _p=$2
	shift 2
	DSTATUS=
	start_daemon -H "tcp://127.0.0.1:$port" "$@"; [ -z "$DPID" ] && [ "${DSTATUS:-0}" -ne 0 ]; ok "$_what: does not start" || stop_daemon
	like "$(tail -1 "$WORK/log")" "failed to load listeners: .*$_p" "$_what: in words"
}
refused "no certificate" "could not read TLS certificate \"$C/none.pem\": .*[Nn]o such file" --tls --tlscert "$C/none.pem" --tlskey "$C/server.key"
refused "no key" "could not read TLS key \"$C/none.key\": .*[Nn]o such file" --tls --tlscert "$C/server.pem" --tlskey "$C/none.key"
refused "another's key" 'could not load X509 key pair .*the key is not that of the certificate' --tls --tlscert "$C/server.pem" --tlskey "$C/client.key"
echo nonsense > "$C/junk"; chmod 600 "$C/junk"
refused "a key that is none" 'could not load X509 key pair' --tls --tlscert "$C/server.pem" --tlskey "$C/junk"
refused "a certificate that is none" 'could not load X509 key pair' --tls --tlscert "$C/junk" --tlskey "$C/server.key"
openssl ec -aes256 -passout pass:secret -in "$C/server.key" -out "$C/locked.key" >/dev/null 2>&1; chmod 600 "$C/locked.key"
refused "an encrypted key" 'the key is encrypted' --tls --tlscert "$C/server.pem" --tlskey "$C/locked.key"
warned() { # what pattern key
	start_daemon -H "tcp://127.0.0.1:$port" --tls --tlscert "$C/server.pem" --tlskey "$3"; ok "$1: starts, as Docker does"
	like "$(grep level=warning "$WORK/log")" "$2" "$1: warned about"
	stop_daemon
}
cp "$C/server.key" "$C/open.key"; chmod 664 "$C/open.key"
refused "a key that others may write" 'has mode 0664: others may change it' --tls --tlscert "$C/server.pem" --tlskey "$C/open.key"
chmod 644 "$C/open.key"
warned "a key that all may read" 'has mode 0644: others may read it' "$C/open.key"
cp "$C/server.key" "$C/their.key"; chmod 600 "$C/their.key"; chown 12345 "$C/their.key"
warned "somebody else's key" 'belongs to user 12345, who may read and change it' "$C/their.key"
refused "no authority" "could not read TLS CA certificate \"$C/none.pem\"" --tlsverify --tlscacert "$C/none.pem" --tlscert "$C/server.pem" --tlskey "$C/server.key"
refused "an authority that is none" "no certificate is in the TLS CA file" --tlsverify --tlscacert "$C/junk" --tlscert "$C/server.pem" --tlskey "$C/server.key"
checked() { "$DOCKERD" --validate --config-file /dev/null "$@" 2>&1; }
like "$(checked --tlsverify --tlscacert "$C/ca.pem" --tlscert "$C/server.pem" --tlskey "$C/server.key"; echo "status $?")" "^status 0$" "--validate reads the files"
is "$(checked --tls --tlscert "$C/server.pem" --tlskey "$C/client.key" > "$WORK/checked"; echo "$?")" 1 "and fails where the daemon would"
like "$(cat "$WORK/checked")" 'could not load X509 key pair .*the key is not that of the certificate' "in its words"
like "$(checked --tls=false --tlscert "$C/none.pem" --tlskey "$C/none.key")" "^configuration OK$" "but not without TLS"
# --tls alone: encrypted, no questions; the default host
mkdir -p "$WORK/home/.docker" && cp -p "$C/server.key" "$WORK/home/.docker/key.pem" && cp "$C/server.pem" "$WORK/home/.docker/cert.pem"
HOME=$WORK/home start_daemon --tls -H "tcp://127.0.0.1:$port"; ok "--tls with the files of ~/.docker" || done_testing
is "$(curl -sS --cacert "$C/ca.pem" "$U/_ping")" OK "no certificate is asked for"
like "$(tail -40 "$WORK/log")" "insecure: whoever reaches" "which is said"
like "$(docker info 2>&1)" "WARNING: .*without asking clients for a certificate" "in docker info, too"
stop_daemon
"$DOCKERD" --config-file /dev/null -b none --data-root "$WORK/root" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" --plugin-dir "$PLUGDIR" --tls --tlscert "$C/server.pem" --tlskey "$C/server.key" 2> "$WORK/default.log" < /dev/null & DPID=$!
tells "$WORK/default.log" "API listen on"
is "$(curl -sS --cacert "$C/ca.pem" https://localhost:2376/_ping)" OK "the default host with --tls is tcp://localhost:2376"
kill "$DPID"; wait "$DPID" 2>/dev/null; DPID=
# in the file; tlsverify, even false, turns TLS on
printf '{"tlsverify":false,"tlscert":"%s","tlskey":"%s"}' "$C/live.pem" "$C/live.key" > "$WORK/off.json"
start_daemon --config-file "$WORK/off.json" -H "tcp://127.0.0.1:$port"; is "$(curl -sS --cacert "$C/ca.pem" "$U/_ping")" OK "tlsverify of false asks for TLS, as Docker's"
stop_daemon
# shellcheck disable=SC2086
start_daemon --tlsverify $FILES -H "tcp://127.0.0.1:$port"; ok "--tlsverify" || done_testing
load_busybox >/dev/null
unlike "$(docker info 2>&1)" "WARNING: .*$port" "nothing to warn of"
is "$(secure "$U/_ping")" OK "curl"
like "$(secure -o /dev/null -w '%{http_version} %{ssl_verify_result}' "$U/info")" '^1\.1 0$' "HTTP/1.1 by ALPN"
is "$(cli version -f '{{.Server.Os}}')" linux "the CLI"
ID=foreign; like "$(secure "$U/_ping")" "alert|reset|SSL" "somebody else's certificate"; like "$(cli ps 2>&1)" "tls|certificate" "in the CLI, too"
ID=old; like "$(secure "$U/_ping")" "alert.*expired|expired" "one that is over"
ID=server; like "$(secure "$U/_ping")" "alert|SSL" "a server's certificate is no client's"
ID=plain; is "$(secure "$U/_ping")" OK "one that names no use is good for all, as in Docker"
ID=below; is "$(secure "$U/_ping")" OK "one through another authority, which comes with it"
ID=alone; like "$(secure "$U/_ping")" "alert|unknown ca|SSL" "and not without"
ID=client
like "$(curl -sS --cacert "$C/ca.pem" "$U/_ping" 2>&1)" "certificate required|alert" "no certificate"
like "$(curl -sS "http://localhost:$port/_ping" 2>&1)" "Client sent an HTTP request to an HTTPS server" "plain HTTP is told so"
is "$(docker ps -q 2>&1)" "" "the Unix socket beside it is served as ever"
tells "$WORK/log" "TLS handshake with 127.0.0.1 port [0-9]* failed"; ok "what failed is in the log"
# what openssl speaks
shake() { printf 'GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n' | timeout 20 openssl s_client -connect "localhost:$port" -CAfile "$C/ca.pem" -cert "$C/client.pem" -key "$C/client.key" -ign_eof "$@" 2>&1; }
like "$(shake -tls1_3)" "^OK" "TLS 1.3"
like "$(shake -tls1_2)" "^OK" "TLS 1.2"
for v in tls1 tls1_1; do like "$(shake -$v -cipher DEFAULT@SECLEVEL=0)" "alert protocol version|unsupported protocol|no protocols" "$v is refused"; done
for c in AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA384 NULL-SHA256 DHE-RSA-AES256-GCM-SHA384; do
	like "$(shake -tls1_2 -cipher "$c@SECLEVEL=0")" "handshake failure|no cipher match|alert|insufficient" "$c is refused"
done
like "$(shake -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256)" "^OK" "a modern one is not"
is "$(shake -msg | grep -c 'Handshake.*ClientHello')" 1 "who begins with X25519, as most do, need not begin again"
like "$(shake -groups P-384)" "^OK" "another curve will do"
like "$(shake -alpn h2)" "no application protocol" "a client that speaks HTTP/2 alone is told so"
like "$(shake -alpn h2,http/1.1)" "ALPN protocol: http/1.1" "one that speaks both gets HTTP/1.1"
like "$( (printf 'R\n'; sleep 1) | timeout 20 openssl s_client -connect "localhost:$port" -CAfile "$C/ca.pem" -cert "$C/client.pem" -key "$C/client.key" -tls1_2 -legacy_renegotiation 2>&1)" \
	"unexpected eof|no renegotiation|closed|error|alert" "no second handshake within a connection"
# streams through the CLI
is "$(cli run --rm --network none busybox echo hello)" hello "docker run"
is "$(printf 'one\ntwo\n' | cli run --rm -i --network none busybox wc -l)" 2 "docker run -i, to the end of its input"
cli run -d --name box --network none busybox sleep 600 >/dev/null; ok "docker run -d"
is "$(head -c 3000000 /dev/zero | cli exec -i box wc -c)" 3000000 "docker exec -i, three megabytes"
like "$(timeout $((30 * DKD_SLOW)) script -qec "$DOCKER -H tcp://localhost:$port --tlsverify --tlscacert $C/ca.pem --tlscert $C/client.pem --tlskey $C/client.key exec -it box tty" /dev/null < /dev/null)" "/dev/(pts|console)" "docker exec -it"
head -c 5000000 /dev/urandom > "$WORK/blob"
cli cp "$WORK/blob" box:/blob && cli cp box:/blob "$WORK/blob2" && cmp -s "$WORK/blob" "$WORK/blob2"; ok "docker cp, both ways"
cli save busybox > "$WORK/saved.tar" && cli load -q -i "$WORK/saved.tar" >/dev/null; ok "docker save and load"
reader --filter container=box > "$WORK/ev" & ev=$!
comes 1 listeners; cli pause box >/dev/null; tells "$WORK/ev" "container pause"; ok "docker events"
env -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE python3 - "$port" "$C" <<'P' 2> "$WORK/py.err"; ok "docker-py" || sed 's/^/# /' "$WORK/py.err"
import sys, docker
port, c = sys.argv[1:]
tls = docker.tls.TLSConfig(client_cert=(c + "/client.pem", c + "/client.key"), ca_cert=c + "/ca.pem", verify=True)
d = docker.DockerClient(base_url=f"https://localhost:{port}", tls=tls)
assert d.ping() and [x.name for x in d.containers.list()] == ["box"]
box = d.containers.get("box"); box.unpause()
assert box.exec_run("echo hi").output == b"hi\n"
P
# renewal: another certificate, another authority; what is open goes on
DONE=$(openssl x509 -in "$C/live.pem" -noout -serial)
serial() { openssl s_client -connect "localhost:$port" -cert "$C/client.pem" -key "$C/client.key" < /dev/null 2>/dev/null | openssl x509 -noout -serial; }
is "$(serial)" "$DONE" "the certificate shown"
reloads() { grep -c 'reload configuration' "$WORK/log"; }
hup() { _r=$(reloads); kill -HUP "$DPID"; comes $((_r + 1)) reloads; api GET /_ping >/dev/null; }
leaf server ca "$SAN" && cp "$C/server.pem" "$C/live.pem" && cp -p "$C/server.key" "$C/live.key"
hup; comes "$(openssl x509 -in "$C/live.pem" -noout -serial)" serial; ok "SIGHUP shows the new one"
kill -0 $ev && cli exec box true && cli stop -t 0 box >/dev/null && tells "$WORK/ev" "container stop\|container die"; ok "the reader of events has lost nothing"
cat "$C/strangers.pem" > "$C/live-ca.pem"; hup
ID=foreign; comes OK secure "$U/_ping"; ok "another authority: its clients come in"
ID=client; like "$(secure "$U/_ping")" "alert|unknown ca|SSL" "those of the old one no more"
kill -0 $ev; ok "but those that are in"
cp "$C/ca.pem" "$C/live-ca.pem"; hup; comes OK secure "$U/_ping"; ok "and back"
# one that ends soon: it is known by its bytes, and still not let in after its time
soon=$(($(date +%s) + 20))
: > "$C/index"; echo 01 > "$C/number"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/number\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nextendedKeyUsage=clientAuth\n' \
	"$C" "$C" "$C" > "$C/ca.conf"
cp "$C/client.key" "$C/brief.key"
openssl req -new -key "$C/brief.key" -subj /CN=brief -out "$C/brief.csr" 2>/dev/null &&
	openssl ca -batch -notext -config "$C/ca.conf" -cert "$C/ca.pem" -keyfile "$C/ca.key" -in "$C/brief.csr" -out "$C/brief.pem" \
		-startdate "$(date -u -d '-1 hour' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "@$soon" +%Y%m%d%H%M%SZ)" >/dev/null 2>&1
ok "a certificate that ends soon"
brief() { ID=brief; secure "$U/_ping" | grep -cx OK; ID=client; }
[ "$(brief)" = 1 ] && [ "$(brief)" = 1 ] || [ "$(date +%s)" -gt $soon ]; ok "is good until then"
broken() { # what pattern: after a file was broken
	hup; tells "$WORK/log" "Error reconfiguring the daemon: .*$2"; ok "$1: said in the log"
	is "$(secure "$U/_ping")" OK "$1: the old one serves"
}
was=$(serial)
echo broken > "$C/live.pem"; broken "a broken certificate" "the certificates in use stay: could not load X509 key pair"
cp "$C/client.pem" "$C/live.pem"; broken "a certificate of another key" "the key is not that of the certificate"
rm "$C/live-ca.pem"; cp "$C/server.pem" "$C/live.pem"; broken "no authority" "could not read TLS CA certificate"
cp "$C/ca.pem" "$C/live-ca.pem"; chmod 666 "$C/live.key"; broken "a key that all may write" "others may change it"
is "$(serial)" "$was" "with the certificate that was shown before"
chmod 600 "$C/live.key"
kill $ev 2>/dev/null; wait $ev 2>/dev/null
cli rm -f box >/dev/null
DKD_SLOW=$DKD_SLOW python3 "$top_srcdir/t/clients/tls.py" "$port" "$C" "$DPID" > "$WORK/tls.tap"; st=$?
grep -E '^(not ok|#)' "$WORK/tls.tap"; (exit $st); ok "odd clients: $(grep -c '^ok' "$WORK/tls.tap") checks"
comes 0 brief; ok "the certificate that ended is good no more, although it was verified before"
is "$(secure "$U/_ping")" OK "others are"
# ends while connections are open
mkfifo "$WORK/never"; exec 7<> "$WORK/never"
openssl s_client -connect "localhost:$port" -cert "$C/client.pem" -key "$C/client.key" -quiet < "$WORK/never" >/dev/null 2>&1 & idle=$!
reader > /dev/null & ev=$!
comes 1 listeners; ok "and one reader of events"
t0=$(date +%s); stop_daemon; is "$DSTATUS" 0 "stops beside open connections"
[ $(($(date +%s) - t0)) -lt $((12 * DKD_SLOW)) ]; ok "soon"
kill $idle 2>/dev/null; wait $ev $idle 2>/dev/null
done_testing
