#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Flags, daemon.json, the INI file: everything that is answered before a daemon runs.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
scratch
err() { "$DOCKERD" "$@" 2>&1 >/dev/null; }
status() { "$DOCKERD" "$@" >/dev/null 2>&1; echo $?; }
conf() { printf '%s' "$1" > "$WORK/c.json"; "$DOCKERD" --validate --config-file "$WORK/c.json" 2>&1; }

like "$("$DOCKERD" --version)" '^Docker version [0-9.]+, build ' "--version"
is "$(status --version)" 0 "--version ends with 0"
help=$("$DOCKERD" --help)
for flag in add-runtime authorization-plugin bip bridge containerd data-root debug exec-root group host icc iptables \
	live-restore log-driver log-level mtu pidfile registry-mirror seccomp-profile storage-driver storage-opt tlsverify \
	userland-proxy userns-pool userns-remap validate; do
	like "$help" "--$flag( |\$)" "--help names --$flag"
done
like "$(err --nope)" "^unknown flag: --nope" "unknown flag"
is "$(status --nope)" 125 "unknown flag ends with 125"
[ "$(status foo)" != 0 ]; ok "an extra argument is refused"
like "$(err --raws-log)" "unknown flag" "misspelt flags are unknown"
like "$(conf '{}')" "configuration OK" "an empty object is valid"
like "$(conf '')" "configuration OK" "an empty file is valid"
like "$("$DOCKERD" --validate --config-file /dev/null 2>&1)" "configuration OK" "/dev/null is an empty file"
like "$(conf '{"debug":true,"labels":["a=1"],"log-opts":{"max-size":"1m"},"features":{"buildkit":false}}')" "configuration OK" "a plain file is valid"
like "$(conf '{"foo":1}')" "the following directives don't match any configuration option: foo" "unknown key"
like "$(conf '{"debug":true,"debug":false}')" "debug" "duplicate key is fatal and named"
like "$(conf '{"debug":"x"}')" "debug" "a wrong type is named"
like "$(conf '{')" "unable to configure the Docker daemon" "broken JSON"
like "$(conf "$(printf '\357\273\277{}')")" "configuration OK" "a byte order mark is skipped"
printf '{"debug":true}' > "$WORK/d.json"
like "$(err -D --validate --config-file "$WORK/d.json")" "specified both as a flag and in the configuration file: debug: \(from flag: true, from file: true\)" "flag and file conflict"
like "$(err --config-file "$WORK/nope.json")" "nope.json" "an explicit file must exist"
like "$(err --validate --config-file /dev/null -b br0 --bip 10.0.0.1/24)" "[bB]oth|mutually exclusive|bip" "bridge and bip exclude each other"
like "$(err --validate --config-file /dev/null --label a=1 --label a=2)" "conflict labels for a=2 and a=1" "conflicting labels"
like "$(err --validate --config-file /dev/null --icc=false --iptables=false)" "icc" "icc=false needs iptables"
printf '[daemon]\ndebug = true\nlabels = a=1\nlabels = b=2\n[graph.overlay]\nskip_mount_home = false\n' > "$WORK/d.conf"
like "$(err --validate --config-file "$WORK/d.conf")" "configuration OK|skip_mount_home" "an INI file is read"
printf '[daemon]\nlabels = %0250d=1\n' 0 > "$WORK/long.conf"
like "$(err --validate --config-file "$WORK/long.conf")" "line 2" "a line too long for the parser is named"
printf '[daemon]\nnope = 1\n' > "$WORK/bad.conf"
like "$(err --validate --config-file "$WORK/bad.conf")" "nope" "an unknown INI key is named"
printf '#!/bin/sh\n' > /dev/null
like "$("$DOCKERD" --list-drivers --plugin-dir "$PLUGDIR" --config-file /dev/null 2>&1)" "overlay2? .*graph" "--list-drivers shows the graph drivers"
done_testing
