# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced behind lib.sh by tests with registries: a real one, and a client that breaks one (t/clients/registry.py).
need_root
need curl busybox runc python3 jq skopeo zstd
find_docker
REGISTRY=/usr/bin/docker-registry
[ -x "$REGISTRY" ] || REGISTRY=$top_builddir/registry/usr/bin/docker-registry
[ -x "$REGISTRY" ] || skip_all "no docker-registry (sudo ./quickstart test unpacks it)"
scratch
PY="python3 -B $top_srcdir/t/clients/registry.py"
PIDS=
ends() { for _p in $PIDS; do kill "$_p" 2>/dev/null; done; }
trap 'ends; cleanup' EXIT
registry() { # name address [more of its configuration]: data in $WORK/NAME
	printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\n%s\n' "$WORK/$1" "$2" "${3:-}" > "$WORK/$1.yml"
	OTEL_TRACES_EXPORTER=none "$REGISTRY" serve "$WORK/$1.yml" > "$WORK/$1.log" 2>&1 &
	PIDS="$PIDS $!"
}
# A proxy before a registry, which breaks it; requests go to the log.
faults() { # port registry log
	$PY faults "$1" "$2" "$3" > "$WORK/faults.$1" 2>&1 &
	PIDS="$PIDS $!"
}
# Waits until all of them answer.
answer_all() { # address...
	for _at in "$@"; do for _i in $(seq $((100 * DKD_SLOW))); do curl -s -o /dev/null --max-time 2 "http://$_at/v2/" && break; sleep 0.1; done; done
}
copy() { skopeo copy -q --insecure-policy --dest-tls-verify=false "$@" >/dev/null; }
