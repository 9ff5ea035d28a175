#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may include what (docs/architecture.md). Reads the sources; each broken rule is one failed check.
set -u
cd "${top_srcdir:-.}" || exit 99
n=0
report() { # name, offending lines
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}
quoted() { # files matching $1 (find path pattern): lines "file: header" of #include "..."
	find $1 -name '*.[ch]' 2>/dev/null | sort | xargs -r grep -Hn '^#[ ]*include "' | sed 's/:[0-9]*:#[ ]*include "/: /; s/".*//'
}
only() { # folder, egrep of allowed headers
	quoted "$1" | grep -Ev ": ($2)" || true
}
report "core/base includes base only" "$(only core/base 'base/|config.h')"
report "drivers include the public ABI and their own folder's headers only" "$(quoted 'plugins/graph plugins/net plugins/volume plugins/authz plugins/log plugins/ipam' |
	grep -Ev ': (dockerd/|[a-z-]+\.h$)' || true)"
report "the public ABI includes itself only" "$(quoted plugins/include | grep -Ev ': dockerd/' || true)"
report "image includes base, image, the ABI in its facade" "$(only core/image 'base/|image/|config.h' | grep -Ev '^core/image/graph[a-z-]*\.[ch]: (dockerd/|driver(-once)?.h)' || true)"
report "network includes base, network, the ABI in its facade" "$(only core/network 'base/|network/|config.h' | grep -Ev '^core/network/net[a-z-]*\.[ch]: (dockerd/|driver(-once)?.h)' || true)"
report "volume includes base, volume, the ABI in its facade" "$(only core/volume 'base/|volume/|config.h' | grep -Ev '^core/volume/volume[a-z-]*\.[ch]: (dockerd/|driver(-once)?.h)' || true)"
report "container includes base, image, network, volume, engine, events, the facade of log drivers" "$(only core/container 'base/|image/|network/|volume/|container/|engine.h|events.h|logdriver.h|shim/|config.h')"
report "managed plugins include base, references, what unpacks, the names of capabilities, what is hidden of the host" "$(only core/plugin 'base/|plugin/|image/(inflate|packtar|reference|unpack|untar)\.h|container/bundle/(caps|masks)\.h|config.h')"
report "the shim includes base and its protocol" "$(only core/shim 'base/|shim/|config.h')"
report "the process of networks includes base and its protocol" "$(only core/netd 'base/|netd/|network/netd-wire\.h|config.h')"
report "the compiler of seccomp profiles includes base" "$(only core/seccomp 'base/|config.h')"
report "the way to a key-value store includes base" "$(only core/kv 'base/|kv/|config.h')"
report "the process that unpacks includes base and what unpacks" "$(only core/untar 'base/|untar/|image/(inflate|unpack-wire|untar-work)\.h|config.h')"
report "registry includes base, image" "$(only core/registry 'base/|image/|registry/|config.h')"
report "the process that speaks to registries includes base and its protocol" "$(only core/fetch 'base/|fetch/|registry/wire\.h|config.h')"
report "only web.c and proxy.c of core/fetch, and core/kv, include libcurl" "$(grep -rln '<curl/' core api --include='*.[ch]' | grep -Ev '^core/(fetch/(web|proxy)\.c|kv/)' || true)"
report "api includes no facade and no driver" "$(quoted api | grep -E ': (image/graph.h|driver.h|dockerd/|http/|daemon.h)' || true)"
report "only http/http.c includes the HTTP library" "$(grep -rln '<microhttpd.h>' core api plugins --include='*.[ch]' | grep -v '^core/http/http.c$' || true)"
report "only facades and the loader include the driver ABI" "$(grep -rln '"dockerd/' core api --include='*.[ch]' | grep -Ev '^core/(driver[a-z-]*\.[ch]|authz[a-z-]*\.[ch]|logdriver\.c|image/graph[a-z-]*\.[ch]|network/net[a-z-]*\.[ch]|volume/volume[a-z-]*\.[ch])$' || true)"
report "every source names its licence" "$(git ls-files 2>/dev/null | grep -E '\.(c|h|tbl|am|sh|t|py)$' | xargs -r grep -L SPDX-License-Identifier || true)"
report "public headers are MIT" "$(grep -L 'SPDX-License-Identifier: MIT' plugins/include/dockerd/*.h || true)"
report "nothing is left open in the code" "$(grep -rnE 'TODO|FIXME|XXX' core api plugins --include='*.[ch]' | grep -v 'XXXXXX' || true)"
report "every test may be run" "$(find t -name '*.t' ! -perm -0100 ; for f in t/system/*.t; do grep -qx "SYSTEM += $f" t/t.am || echo "$f is not in t/t.am"; done
	grep -E '^TESTS|^SYSTEM \+=' t/t.am | sort | uniq -d; [ "$(grep -c '^TESTS' t/t.am)" -le 1 ] || echo "t/t.am adds to TESTS twice")"
# Without these a test that is run from elsewhere would go on with nothing for $WORK, and mean the host by "$WORK/...".
report "system tests end at once without lib.sh" "$(for f in t/system/*.t; do grep -qxE '[.] "(\$\(dirname "\$0"\)|\$\{top_srcdir:[?]\}/t/system)/lib[.]sh" [|][|] exit 1' "$f" || echo "$f"; done
	grep -nE '^[.] |lib\.sh"?$' t/system/*.t | grep -vE '/(disk|dm|idmap|managed|net|registry|their)?lib[.]sh" [|][|] exit 1')"
report "system tests have no \$WORK before scratch" "$(grep -nE '^[[:space:]]*WORK=([^$]|$)|\$\{WORK:?-' t/system/*.t t/system/disklib.sh t/system/dmlib.sh t/system/idmaplib.sh t/system/managedlib.sh t/system/netlib.sh t/system/registrylib.sh t/system/theirlib.sh
	grep -qx 'unset WORK' t/system/lib.sh && grep -qxE '[[:space:]]*WORK=\$\(mktemp -d .*\) \|\| exit 1' t/system/lib.sh || echo t/system/lib.sh)"
report "scripts for sh use nothing of another shell" "$(grep -lx '#!/bin/sh' t/system/*.t | xargs grep -nE '\$\{?(SECONDS|RANDOM|EPOCH|BASH)|\(\((SECONDS|RANDOM)\>|<<<|(^|[;&|({]) *(\[\[|declare|function) ' || true)"
echo "1..$n"
