#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Managed plugins: made from a folder, set, enabled in a root of their own, used by their name, disabled, removed.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need runc python3 jq
need_apart
find_docker
scratch
P=$WORK/p
mkdir -p "$P/rootfs/usr" "$P/rootfs/state" "$P/rootfs/tmp" "$P/rootfs/proc" "$P/rootfs/sys" "$P/rootfs/dev" "$P/rootfs/run"
for l in bin lib lib64; do ln -s usr/$l "$P/rootfs/$l"; done
cp "$top_srcdir/t/clients/docker-plugin.py" "$P/rootfs/plugin.py"
cat > "$P/config.json" << 'C'
{"Description":"folders","Documentation":"","Entrypoint":["/usr/bin/python3","/plugin.py","/run/docker/plugins/p.sock","/state"],"WorkDir":"/",
"Interface":{"Types":["docker.volumedriver/1.0"],"Socket":"p.sock"},"Network":{"Type":"none"},"PropagatedMount":"/state",
"Mounts":[{"Name":"","Source":"/usr","Destination":"/usr","Type":"bind","Options":["rbind","ro"],"Settable":null},
{"Name":"","Source":"/proc/version","Destination":"/version","Type":"bind","Options":["bind","ro"],"Settable":null},
{"Name":"key","Source":"","Destination":"/key","Type":"bind","Options":["bind"],"Settable":["source"]}],
"Env":[{"Name":"COLOR","Value":"red","Settable":["value"]},{"Name":"FIXED","Value":"1","Settable":null}],
"Linux":{"Capabilities":["CAP_SYS_ADMIN"],"AllowAllDevices":false,"Devices":null},"Args":{"Name":"","Description":"","Settable":null,"Value":[]}}
C
start_daemon; ok "the daemon is up" || done_testing
load_busybox > /dev/null
docker plugin create me/folders "$P" > /dev/null; ok "plugin create"
like "$(docker plugin ls)" 'me/folders:latest +folders +false' "ls"
is "$(docker plugin inspect -f '{{.Enabled}} {{.Settings.Env}} {{.Config.Interface.Socket}}' me/folders)" "false [COLOR=red FIXED=1] p.sock" "inspect"
like "$(docker plugin create me/folders "$P" 2>&1)" 'plugin me/folders:latest already exists' "a name that is taken"
like "$(docker plugin create ../x "$P" 2>&1)" 'invalid reference format|error' "a name with a path in it"
docker plugin create docker.io/library/plain "$P" > /dev/null; is "$(docker plugin inspect -f '{{.Name}}' index.docker.io/library/plain)" plain:latest "names are the hub's, in short"
docker plugin rm plain > /dev/null; ok "which goes by any of them"
docker plugin set me/folders COLOR=blue; ok "set"
like "$(docker plugin set me/folders FIXED=2 2>&1)" '"FIXED" is not settable' "what may not be set"
like "$(docker plugin set me/folders OTHER=2 2>&1)" 'setting "OTHER" not found in the plugin configuration' "what is not there"
docker plugin enable me/folders > /dev/null; ok "enable" || { done_testing; }
is "$(docker plugin ls -f enabled=true -f capability=volumedriver --format '{{.Name}} {{.Enabled}}' | grep '^me/')" "me/folders:latest true" "ls, by filters"
like "$(docker plugin set me/folders COLOR=x 2>&1)" 'cannot set on an active plugin' "set while it runs"
ID=$(docker plugin inspect -f '{{.Id}}' me/folders)
its_pid() { runc --root "$WORK/exec/plugin-runtime" state "$ID" 2> /dev/null | jq 'select(.status == "running").pid'; }
PID=$(its_pid)
like "$(tr '\0' '\n' < "/proc/$PID/environ")" '^COLOR=blue$' "with its settings"
inside() { nsenter -m -t "$PID" "$@" 2> /dev/null; }
inside test -w /proc/sys/kernel/core_pattern; is "$?" 1 "the host's settings are not its to write"
inside test -w /proc/sysrq-trigger; is "$?" 1 "nor its keys to press"
is "$(inside cat /proc/interrupts)" "" "what is the host's alone it does not see"
is "$(inside cat /etc/hosts /etc/resolv.conf)" "$(cat /etc/hosts /etc/resolv.conf 2> /dev/null)" "names are looked up as on the host"
is "$(inside stat -fc %T /dev/shm)" tmpfs "memory to share"
is "$(inside cat /version)" "$(cat /proc/version)" "mounts without a name have their own sources"
inside test -e /key; is "$?" 1 "one without a source is left out"
is "$(docker volume create -d me/folders one)" one "a volume of it"
is "$(docker run --rm --network none -v one:/d busybox sh -c 'echo in > /d/f; cat /d/f')" in "a container uses it"
is "$(cat "$WORK/root/plugins/$ID/propagated-mount/volumes/one/f")" in "where its propagated mount is"
docker volume create -d me/folders evil > /dev/null
rmdir "$WORK/root/plugins/$ID/propagated-mount/volumes/evil" && ln -s / "$WORK/root/plugins/$ID/propagated-mount/volumes/evil"
is "$(docker run --rm --network none -v evil:/d busybox ls -d /d/volumes /d/usr 2> /dev/null)" /d/volumes "a link of the plugin's leads to what it shares, not to the host"
rm "$WORK/root/plugins/$ID/propagated-mount/volumes/evil" && mkdir "$WORK/root/plugins/$ID/propagated-mount/volumes/evil"; docker volume rm evil > /dev/null
docker create --name user --network none -v one:/d busybox true > /dev/null
like "$(docker plugin disable me/folders 2>&1)" 'plugin me/folders:latest is in use' "not disabled while a container has a volume of it"
like "$(docker plugin rm me/folders 2>&1)" 'is in use' "nor removed"
docker rm user > /dev/null
kill -9 "$PID"
again() { _p=$(its_pid); [ -n "$_p" ] && [ "$_p" != "$PID" ] && [ -S "$WORK"/exec/plugins/*/p.sock ]; }
for _i in $(seq $((100 * DKD_SLOW))); do again && break; sleep 0.1; done
again; ok "one that ends by itself is started again"
is "$(docker run --rm --network none -v one:/d busybox cat /d/f)" in "and works"
kill -9 "$DPID"; wait "$DPID" 2> /dev/null; start_daemon
is "$(grep -c "$ID/propagated-mount " /proc/self/mountinfo)" 1 "it starts again behind a daemon that was killed, with one mount"
PID=$(its_pid)
stop_daemon
[ ! -d "/proc/$PID" ]; ok "it ends with the daemon"
start_daemon
is "$(docker run --rm --network none -v one:/d busybox cat /d/f)" in "and starts with it"
docker volume rm one > /dev/null
like "$(docker plugin rm me/folders 2>&1)" 'plugin me/folders:latest is enabled$' "rm of one that is enabled"
like "$(docker plugin enable me/folders 2>&1)" 'plugin already enabled: plugin me/folders:latest is enabled' "enable of one that is"
docker plugin disable me/folders > /dev/null; ok "disable"
like "$(docker plugin disable me/folders 2>&1)" 'plugin is already disabled: plugin me/folders:latest found but disabled' "disable of one that is"
is "$(ls -A "$WORK/exec/plugin-names")" "" "drivers find it no more"
docker plugin rm me/folders > /dev/null; ok "rm"
left() { find "$WORK/root/plugins" -mindepth 1 ! -type d -o -mindepth 1 -maxdepth 1 ! -name storage; }
is "$(left)" "" "nothing is left"
# one that is slow between the name of its socket and the first who is let in
mkdir "$WORK/slow" && cp -a "$P/rootfs" "$WORK/slow/" && jq '.Entrypoint = ["/usr/bin/python3", "-c", "import os, signal, socket, time
signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
s = socket.socket(socket.AF_UNIX); s.bind(\"/run/docker/plugins/p.sock\"); time.sleep(1); s.listen(); time.sleep(1000)"]' "$P/config.json" > "$WORK/slow/config.json"
docker plugin create slow "$WORK/slow" > /dev/null; docker plugin enable slow > /dev/null
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$WORK"/exec/plugins/*/p.sock; ok "a plugin that is enabled lets in"
docker plugin rm -f slow > /dev/null
# hostile ones
bad() { jq "$1" "$P/config.json" > "$P/c2"; mkdir -p "$WORK/q/rootfs"; cp "$P/c2" "$WORK/q/config.json"; (cd "$WORK/q" && tar c config.json rootfs) > "$WORK/q.tar"
	api POST "/plugins/create?name=bad" --data-binary "@$WORK/q.tar" | jq -r .message; }
like "$(bad '.Interface.Socket="../x.sock"')" 'the socket is no file name' "a socket elsewhere"
like "$(bad '.PropagatedMount="/../etc"')" 'PropagatedMount is no absolute path' "a propagated mount elsewhere"
like "$(bad '.Entrypoint=[]')" 'there is no entrypoint' "no entrypoint"
tar -C "$P" -cf "$WORK/q.tar" rootfs
like "$(api POST "/plugins/create?name=bad" -w '%{http_code}' --data-binary "@$WORK/q.tar" | tr -d '\n')" 'config.json.*400$' "no configuration"
tar -C "$P" -cf "$WORK/q.tar" config.json rootfs
like "$(api POST "/plugins/create?name=Upper" --data-binary "@$WORK/q.tar")" 'repository name .*must be lowercase' "a name that is none"
is "$(left)" "" "nothing is left of them"
jq '.Mounts[2].Source = null' "$P/config.json" > "$WORK/q/config.json"; docker plugin create bad "$WORK/q" > /dev/null
like "$(docker plugin enable bad 2>&1)" 'mount source is not specified' "a mount whose source is to be set"
docker plugin rm bad > /dev/null; is "$(left)" "" "nothing is left"
done_testing
