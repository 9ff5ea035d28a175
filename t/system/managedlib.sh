# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced behind lib.sh by tests of managed plugins: folders that plugins are made of. Their programs are those of the host, below /usr.

# plugin_folder DIR TYPE... : one that runs t/clients/docker-plugin.py with its state in /state
plugin_folder() {
	_dir=$1
	shift
	mkdir -p "$_dir/rootfs/usr" "$_dir/rootfs/state" "$_dir/rootfs/tmp" "$_dir/rootfs/proc" "$_dir/rootfs/sys" "$_dir/rootfs/dev" "$_dir/rootfs/run"
	for _l in bin sbin lib lib64; do ln -s "usr/$_l" "$_dir/rootfs/$_l"; done
	cp "$top_srcdir/t/clients/docker-plugin.py" "$_dir/rootfs/plugin.py"
	jq -n --arg types "$*" '{Description: "folders", Documentation: "", Entrypoint: ["/usr/bin/python3", "/plugin.py", "/run/docker/plugins/p.sock", "/state"],
		WorkDir: "/", Interface: {Types: ($types | split(" ") | map("docker.\(.)/1.0")), Socket: "p.sock"}, Network: {Type: "none"}, PropagatedMount: "/state",
		Mounts: [{Name: "usr", Source: "/usr", Destination: "/usr", Type: "bind", Options: ["rbind", "ro"], Settable: null}],
		Env: [{Name: "COLOR", Value: "red", Settable: ["value"]}, {Name: "FIXED", Value: "1", Settable: null}],
		Linux: {Capabilities: ["CAP_SYS_ADMIN"], AllowAllDevices: false, Devices: null}, Args: {Name: "", Description: "", Settable: null, Value: []}}' \
		> "$_dir/config.json"
}
# plugin_change DIR FILTER: its configuration, by jq
plugin_change() { jq "$2" "$1/config.json" > "$1/config.new" && mv "$1/config.new" "$1/config.json"; }
plugin_state() { echo "$WORK/root/plugins/$(docker plugin inspect -f '{{.Id}}' "$1")/propagated-mount"; }
# What is kept of plugins, but for empty folders.
plugins_left() { find "$WORK/root/plugins" -mindepth 1 ! -type d -o -mindepth 1 -maxdepth 1 ! -name storage; }
