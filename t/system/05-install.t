#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What "make install" puts where, with DESTDIR; what the tarball holds; what the installed program finds by itself.
. "$(dirname "$0")/lib.sh" || exit 1
need make
scratch
dest=$WORK/dest
var() { sed -n "s/^$1 = //p" "$top_builddir/Makefile" | head -1; }
prefix=$(var prefix)
[ -n "$prefix" ] || skip_all "no Makefile in $top_builddir"
MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" install DESTDIR="$dest" > "$WORK/install.log" 2>&1
ok "make install DESTDIR=" || { tail -5 "$WORK/install.log" | sed 's/^/# /'; done_testing; }
p=$dest$prefix
have() { for _f in "$@"; do [ -f "$p/$_f" ]; ok "$_f"; done; }
have sbin/dockerd libexec/dockerd/dockerd-shim libexec/dockerd/dockerd-netd libexec/dockerd/dockerd-untar libexec/dockerd/dockerd-seccomp libexec/dockerd/dockerd-check-driver libexec/dockerd/dockerd-kv libexec/dockerd/dockerd-fetch libexec/dockerd/dockerd-init
have lib/dockerd/plugins/graph/overlay.so lib/dockerd/plugins/graph/overlay2.so lib/dockerd/plugins/graph/vfs.so lib/dockerd/plugins/net/none.so lib/dockerd/plugins/net/host.so lib/dockerd/plugins/net/bridge.so lib/dockerd/plugins/net/macvlan.so \
	lib/dockerd/plugins/net/ipvlan.so lib/dockerd/plugins/net/overlay.so lib/dockerd/plugins/net/remote.so lib/dockerd/plugins/ipam/remote.so \
	lib/dockerd/plugins/volume/local.so lib/dockerd/plugins/authz/policy.so lib/dockerd/plugins/log/syslog.so lib/dockerd/plugins/log/journald.so \
	lib/dockerd/plugins/log/gelf.so lib/dockerd/plugins/log/fluentd.so lib/dockerd/plugins/log/tee.so
have include/dockerd/driver.h include/dockerd/graph.h include/dockerd/net.h include/dockerd/volume.h include/dockerd/authz.h include/dockerd/log.h include/dockerd/ipam.h
have lib/pkgconfig/dockerd-driver.pc lib/systemd/system/dockerd.service lib/systemd/system/dockerd.socket
have bin/dockerd-rootless share/man/man1/dockerd-rootless.1 share/doc/dockerd/rootless.md lib/systemd/user/dockerd-rootless.service
have share/doc/dockerd/driver-abi.md share/doc/dockerd/userns.md $(cd "$top_srcdir/docs" && printf 'share/doc/dockerd/%s ' samples/*.c)
have share/man/man8/dockerd.8 share/man/man5/dockerd.conf.5 share/man/man7/dockerd-driver.7
is "$(find "$dest" -name '*.la' -o -name '*.a' -o -name '*.so.*' | wc -l)" 0 "no libtool archive, no version suffix"
is "$(find "$dest" -type f | grep -vcE '/(sbin/dockerd|bin/dockerd-rootless|libexec/dockerd/dockerd-(shim|netd|untar|seccomp|init|kv|fetch|check-driver)|lib/dockerd/plugins/(graph|net|volume|authz|log|ipam)/[a-z0-9_-]+\.so|include/dockerd/[a-z]+\.h|lib/pkgconfig/dockerd-driver\.pc|lib/systemd/(system/dockerd\.(service|socket)|user/dockerd-rootless\.service)|share/man/man[1578]/dockerd[.a-z-]*\.[1578]|share/doc/dockerd/((driver-abi|userns|rootless)\.md|samples/[a-z]+\.c))$')" 0 "nothing else"
is "$(find "$dest" -type f -perm /022 | wc -l)" 0 "nothing is writable by others"
like "$(cat "$p/lib/systemd/system/dockerd.service")" "^ExecStart=$prefix/sbin/dockerd -H fd://" "the unit names the installed program"
like "$(cat "$p/lib/systemd/system/dockerd.service")" "^Type=notify" "and is told when it is ready"
is "$(grep -rlE '@[a-zA-Z_]+@' "$dest" --include='*.pc' --include='*.service' --include='*.socket' | wc -l)" 0 "no placeholder stays"
if command -v pkg-config >/dev/null; then
	like "$(PKG_CONFIG_PATH=$p/lib/pkgconfig pkg-config --define-variable=prefix="$p" --cflags dockerd-driver)" "^-I$p/include" "pkg-config --cflags"
	is "$(PKG_CONFIG_PATH=$p/lib/pkgconfig pkg-config --variable=plugindir dockerd-driver)" "$prefix/lib/dockerd/plugins" "pkg-config names the folder of drivers"
	is "$(PKG_CONFIG_PATH=$p/lib/pkgconfig pkg-config --variable=samplesdir dockerd-driver)" "$prefix/share/doc/dockerd/samples" "and that of whole drivers to copy"
else
	skip "pkg-config" "pkg-config is not installed"
fi
for so in "$p"/lib/dockerd/plugins/*/*.so; do
	is "$(nm -D --defined-only "$so" | awk '{ print $3 }' | grep -v '^__' | tr '\n' ' ')" "dkd_driver_entry " "${so##*/plugins/} exports one symbol"
done
is "$(nm -D --undefined-only "$p/sbin/dockerd" | grep -cE 'MHD_(create_post_processor|digest_auth|queue_auth|basic_auth)')" 0 "nothing of the HTTP library that parses bodies or passwords"
# hardening: what the files say of themselves
elf() { LC_ALL=C readelf "$@" 2>/dev/null; }
hardened() { # file
	_n=${1#"$p/"} _symbols=$(elf -sW "$1") _dynamic=$(elf -dW "$1") _segments=$(elf -lW "$1")
	like "$(elf -hW "$1")" "Type: +DYN" "$_n is position-independent"
	like "$_segments" "GNU_RELRO" "$_n: relocations are read-only"
	like "$_dynamic" "BIND_NOW|FLAGS_1.*NOW" "$_n: bound at its start"
	unlike "$_dynamic" "TEXTREL|RPATH|RUNPATH" "$_n: no text relocations, no path of its own for libraries"
	unlike "$_segments" "(LOAD|GNU_STACK).* RWE" "$_n: nothing is writable and executable"
	like "$_symbols" "__stack_chk_fail" "$_n: stack protector"
	[ -n "$fortified" ] || return 0
	like "$_symbols" "__[a-z_]+_chk(@|$)" "$_n: calls are fortified"
}
if command -v readelf >/dev/null && [ -z "$SANITIZED" ]; then
	fortified=$(var DKD_CFLAGS | grep -o 'D_FORTIFY_SOURCE=[23]')
	case " $(var CFLAGS) $(var DKD_CFLAGS) " in *" -O0 "*) fortified= ;; esac
	for f in sbin/dockerd libexec/dockerd/dockerd-shim libexec/dockerd/dockerd-netd libexec/dockerd/dockerd-untar libexec/dockerd/dockerd-seccomp libexec/dockerd/dockerd-check-driver libexec/dockerd/dockerd-kv libexec/dockerd/dockerd-fetch libexec/dockerd/dockerd-init; do hardened "$p/$f"; done
	fortified=
	for f in "$p"/lib/dockerd/plugins/*/*.so; do hardened "$f"; done
	unlike "$(elf -lW "$p/libexec/dockerd/dockerd-shim"; elf -dW "$p/libexec/dockerd/dockerd-shim")" "INTERP|NEEDED" "the shim is static"
	case $(uname -m):$(var DKD_CFLAGS) in
	x86_64:*-fcf-protection*) like "$(objdump -d --no-show-raw-insn "$p/libexec/dockerd/dockerd-untar" | grep -m1 endbr64)" endbr64 "targets of indirect branches are marked" ;;
	esac
else
	skip "hardening" "a sanitizer's build, or no readelf"
fi
like "$("$p/sbin/dockerd" --version)" "^Docker version " "the installed program runs"
if command -v man >/dev/null; then
	for m in man8/dockerd.8 man5/dockerd.conf.5 man7/dockerd-driver.7; do
		is "$(MANWIDTH=100 man --warnings -E UTF-8 -l "$p/share/man/$m" 2>&1 >/dev/null | head -3)" "" "$m renders without a warning"
	done
else
	skip "man pages" "man is not installed"
fi
for flag in $("$p/sbin/dockerd" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+'); do
	sed 's/\\-/-/g' "$p/share/man/man8/dockerd.8" | grep -q -- "$flag" || echo "$flag"
done > "$WORK/undocumented"
is "$(cat "$WORK/undocumented")" "" "dockerd(8) has every flag of --help"
MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" uninstall DESTDIR="$dest" > "$WORK/install.log" 2>&1; ok "make uninstall"
is "$(find "$dest" -type f | head -3)" "" "takes all away"
# every file of the checkout is in the tarball
if [ -e "$top_srcdir/.git" ] && command -v git >/dev/null; then
	MAKEFLAGS= MAKELEVEL= make -s -C "$top_builddir" distdir distdir="$WORK/dist" > "$WORK/dist.log" 2>&1; ok "make distdir"
	git -c safe.directory='*' -C "$top_srcdir" ls-files | grep -vxE '\.gitignore|\.gitattributes' | while read -r f; do [ -e "$WORK/dist/$f" ] || echo "$f"; done > "$WORK/missing"
	is "$(cat "$WORK/missing")" "" "nothing of the checkout is missing in the tarball"
else
	skip "the tarball" "not a git checkout"
fi
done_testing
