#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every key that SIGHUP reloads takes effect on what comes after it; a removed key keeps its value; a bad file changes nothing.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl python3 runc
find_docker
scratch
conf() { printf '%s' "$1" > "$WORK/daemon.json"; }
ready() { grep -c READY=1 "$WORK/notes"; }
up() { # dockerd args: until it has said so
	_before=$(ready)
	start_daemon "$@" && is_ready "$_before"
}
is_ready() {
	for _i in $(seq $((50 * DKD_SLOW))); do [ "$(ready)" -gt "$1" ] && return 0; sleep 0.05; done
	return 1
}
hup() { # content: until the daemon is done with it
	_before=$(ready)
	conf "$1"
	kill -HUP "$DPID"
	is_ready "$_before"
}
inspect() { docker inspect -f "$1" "$2"; }
export NOTIFY_SOCKET="$WORK/notify"
python3 -u -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
print("listening")
while True: print(s.recv(4096).decode())' "$NOTIFY_SOCKET" > "$WORK/notes" &
for _i in $(seq $((100 * DKD_SLOW))); do grep -q listening "$WORK/notes" && break; sleep 0.05; done
conf '{}'
up; ok "starts" || done_testing
load_busybox >/dev/null; ok "an image"
printf '#!/bin/sh\nexec runc "$@"\n' > "$WORK/other-runtime"
chmod 755 "$WORK/other-runtime"
printf '#!/bin/sh\necho "$@" >> %s/args\n_a=\nfor a; do [ "$a" = --made-up ] || _a="$_a $a"; done\nexec runc $_a\n' "$WORK" > "$WORK/arg-runtime"
chmod 755 "$WORK/arg-runtime"
before=$(docker create busybox true)

hup '{"debug":true}'
api GET /_ping >/dev/null
like "$(tail -n 5 "$WORK/log")" "level=debug" "debug: on"
is "$(docker info -f '{{.Debug}}')" true "debug: in info"
hup '{"debug":false}'
lines=$(grep -c level=debug "$WORK/log")
api GET /_ping >/dev/null
is "$(grep -c level=debug "$WORK/log")" "$lines" "debug: off again"

hup '{"default-shm-size":"12m"}'
is "$(inspect '{{.HostConfig.ShmSize}}' "$(docker create busybox true)")" 12582912 "default-shm-size"
like "$(docker run --rm --network none busybox df -k /dev/shm)" "12288" "default-shm-size: in the container"
is "$(inspect '{{.HostConfig.ShmSize}}' "$before")" 67108864 "a container made before keeps its own"
hup '{}'
is "$(inspect '{{.HostConfig.ShmSize}}' "$(docker create busybox true)")" 12582912 "a key taken out of the file keeps its value"

hup '{"default-ipc-mode":"shareable"}'
is "$(inspect '{{.HostConfig.IpcMode}}' "$(docker create busybox true)")" shareable "default-ipc-mode"
hup '{"default-ipc-mode":"nope"}'
is "$(inspect '{{.HostConfig.IpcMode}}' "$(docker create busybox true)")" shareable "a bad value is not taken"
like "$(tail -n 3 "$WORK/log")" "Error reconfiguring the daemon.*nope" "and logged"

old=$(docker info -f '{{.CgroupVersion}}')
hup '{"default-cgroupns-mode":"private"}'
is "$(inspect '{{.HostConfig.CgroupnsMode}}' "$(docker create busybox true)")" private "default-cgroupns-mode: private ($old)"
hup '{"default-cgroupns-mode":"host"}'
is "$(inspect '{{.HostConfig.CgroupnsMode}}' "$(docker create busybox true)")" host "default-cgroupns-mode: host"

hup '{"cluster-store":"etcd://127.0.0.1:1/x"}'
like "$(tail -n 3 "$WORK/log")" "Error reconfiguring the daemon.*needs --cluster-advertise" "cluster-store: not without an address"
like "$(docker network create -d overlay x 2>&1)" "not a swarm manager" "cluster-store: there is none"
STORE='"cluster-store":"etcd://127.0.0.1:1/x","cluster-advertise":"127.0.0.1:2376"'
hup "{$STORE}"
like "$(docker network create -d overlay x 2>&1)" "cluster store is out of reach" "cluster-store: where there was none, one is taken"
like "$(api GET /v1.41/info)" '"ClusterStore":"etcd://127.0.0.1:1/x","ClusterAdvertise":"127.0.0.1:2376"' "cluster-store: in info"
unlike "$(api GET /v1.42/info)" '"Cluster(Store|Advertise)"' "cluster-store: not for later clients"
hup "{${STORE%:2376\"}:2377\",\"debug\":true}"
like "$(tail -n 3 "$WORK/log")" "Error reconfiguring the daemon.*there is a cluster store already" "cluster-advertise: another one is refused"
is "$(docker info -f '{{.Debug}}')" false "with the rest of that file"
hup "{$STORE}"
unlike "$(tail -n 1 "$WORK/log")" "Error reconfiguring" "cluster-store: the same again is fine"

hup '{"runtimes":{"other":{"path":"'"$WORK/other-runtime"'"},"arg":{"path":"'"$WORK/arg-runtime"'","runtimeArgs":["--made-up"]}},"default-runtime":"other"}'
like "$(docker info -f '{{json .Runtimes}}')" '"other":' "runtimes: in info"
like "$(docker info -f '{{json .Runtimes}}')" '"runtimeArgs":."--made-up".' "runtimes: their arguments, too"
is "$(docker info -f '{{.DefaultRuntime}}')" other "default-runtime: in info"
is "$(inspect '{{.HostConfig.Runtime}}' "$(docker create busybox true)")" other "default-runtime"
is "$(docker run --rm --network none busybox echo hi)" hi "default-runtime: runs"
is "$(docker run --rm --network none --runtime arg busybox echo hi)" hi "runtimes: with arguments"
like "$(cat "$WORK/args" 2>/dev/null)" "made-up" "runtimes: the arguments are passed"
hup '{"runtimes":{"third":{"path":"/nonexistent"}},"default-runtime":"runc"}'
unlike "$(docker info -f '{{json .Runtimes}}')" '"other"' "runtimes: the new list replaces the old one"
is "$(docker info -f '{{.DefaultRuntime}}')" runc "default-runtime: back"

hup '{"labels":["zone=a"]}'
is "$(docker info -f '{{.Labels}}')" '[zone=a]' "labels"
hup '{"labels":[]}'
is "$(docker info -f '{{.Labels}}')" '[]' "labels: none"

hup '{"features":{"buildkit":false}}'
like "$(curl -sI --unix-socket "$SOCK" http://d/_ping)" "^Builder-Version: 1" "features: buildkit off"

for key in network-diagnostic-port; do
	hup "{\"$key\":4}"
	like "$(tail -n 4 "$WORK/log")" "$key.* has no effect" "$key: said to have no effect yet"
done
for key in max-concurrent-downloads max-concurrent-uploads max-download-attempts; do
	hup "{\"$key\":4}"
	unlike "$(tail -n 4 "$WORK/log")" "$key.* has no effect" "$key is taken"
done
hup '{"insecure-registries":["r.example:5000","10.9.0.0/16"],"registry-mirrors":["https://m.example"]}'
is "$(docker info -f '{{json .RegistryConfig.Mirrors}} {{(index .RegistryConfig.IndexConfigs "r.example:5000").Secure}} {{index .RegistryConfig.InsecureRegistryCIDRs 2}}')" \
	'["https://m.example"] false 10.9.0.0/16' "mirrors and insecure registries"

hup '{"default-stop-timeout":1,"shutdown-timeout":2}'
docker run -d --name deaf --network none busybox sh -c 'trap "" TERM; echo up; while :; do sleep 1; done' >/dev/null
says deaf up
t=$(date +%s)
docker stop deaf >/dev/null
[ $(($(date +%s) - t)) -lt $((5 * DKD_SLOW)) ]; ok "default-stop-timeout"
docker rm deaf >/dev/null

hup '{"live-restore":true}'
is "$(docker info -f '{{.LiveRestoreEnabled}}')" true "live-restore: in info"
docker run -d --name keeps --network none busybox sleep 1000 >/dev/null
pid=$(inspect '{{.State.Pid}}' keeps)
stop_daemon; is "$DSTATUS" 0 "stops"
kill -0 "$pid"; ok "live-restore: the container runs on"
conf '{"live-restore":false,"shutdown-timeout":1}'
up; ok "starts again"
is "$(inspect '{{.State.Pid}}' keeps)" "$pid" "the container is adopted"
hup '{"live-restore":true}'
hup '{"live-restore":false}'
stop_daemon
! kill -0 "$pid" 2>/dev/null; ok "live-restore off: it is stopped"
mkfifo "$WORK/pipe"
echo '{"labels":["a=1"]}' > "$WORK/pipe" &
up --config-file "$WORK/pipe"; ok "a pipe as the file"
is "$(docker info -f '{{.Labels}}')" '[a=1]' "is read at the start"
_before=$(ready)
kill -HUP "$DPID"
is_ready "$_before"
like "$(tail -n 1 "$WORK/log")" "no file that can be read a second time" "and not waited for later"
stop_daemon; is "$DSTATUS" 0 "which ends as ever"
done_testing
