#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Paths that come from images, containers or clients are opened by the path module alone. Every other call that takes a path
# is in paths.tbl, with what makes it safe; steps in pinned folders never follow links; and what would load code or ask name
# services by the way is not called at all.
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
TMP=$(mktemp -d) || exit 99
trap 'rm -rf "$TMP"' EXIT
# FILE:LINE:text of all code of core and api, without comments
find core api -name '*.c' ! -path 'core/base/fs.c' ! -path 'core/base/fs-remove.c' | sort | xargs awk '
	FNR == 1 { inside = 0 }
	{
		text = $0; out = ""
		while (text != "") {
			if (inside) { i = index(text, "*/"); if (!i) { text = ""; break } text = substr(text, i + 2); inside = 0 }
			i = index(text, "/*")
			if (!i) { out = out text; break }
			out = out substr(text, 1, i - 1); text = substr(text, i + 2); inside = 1
		}
		if (out ~ /[^ \t]/) print FILENAME ":" FNR ":" out
	}' > "$TMP/code"
CALLS='open|openat|open64|creat|fopen|freopen|opendir|scandir|stat|lstat|fstatat|statx|mkdir|mkdirat|realpath|canonicalize_file_name|rename|renameat|renameat2|unlink|unlinkat|remove|rmdir|readlink|readlinkat|chmod|fchmodat|chown|lchown|fchownat|access|faccessat|euidaccess|symlink|symlinkat|link|linkat|mknod|mknodat|mkfifo|mkfifoat|truncate|mount|umount|umount2|move_mount|open_tree|utime|utimes|lutimes|utimensat|statfs|statvfs|nftw|ftw|fts_open|glob|mkdtemp|mkostemp|mkstemp|chroot|pivot_root|chdir|fchdir|getxattr|lgetxattr|setxattr|lsetxattr|listxattr|llistxattr|removexattr|lremovexattr|execve|execv|execvp|execl|execlp|dlopen|lt_dlopen|name_to_handle_at|open_by_handle_at|connect|bind|inotify_add_watch'
awk -v calls="$CALLS" '
	{
		i = index($0, ":"); file = substr($0, 1, i - 1); text = substr($0, i + 1)
		while (match(text, "[A-Za-z_0-9]+\\(")) {
			name = substr(text, RSTART, RLENGTH - 1)
			if (name ~ "^(" calls ")$") print file, name
			text = substr(text, RSTART + RLENGTH)
		}
	}' "$TMP/code" > "$TMP/all"
sort -u "$TMP/all" > "$TMP/found"
sed 's/#.*//' t/lint/paths.tbl | awk 'NF { for (i = 3; i <= NF; i++) print $1, $i }' | sort -u > "$TMP/listed"
report "every call that takes a path is in t/lint/paths.tbl" "$(comm -23 "$TMP/found" "$TMP/listed")"
report "the table lists nothing that is not there" "$(comm -13 "$TMP/found" "$TMP/listed")"
report "the table knows its classes" "$(sed 's/#.*//' t/lint/paths.tbl | awk 'NF && $2 !~ /^(own|host|step|fd|asked|self)$/')"
step_files=$(sed 's/#.*//' t/lint/paths.tbl | awk '$2 == "step" { print $1 }' | sort -u)
lines_of() { for _f in $1; do grep "^$_f:" "$TMP/code"; done; }
# a folder again by ".", a constant that says so, or the flag itself
report "steps open nothing through a link" "$(lines_of "$step_files" | grep -E '[^_a-z]openat\(' | grep -vE 'O_NOFOLLOW|DIR_FLAGS|NEW_FLAGS|, "\.", |tar-split\.json\.gz')"
report "those constants say so" "$(lines_of "$step_files" | grep -E '#define (DIR|NEW)_FLAGS' | grep -v O_NOFOLLOW | grep -v untar-parent.c)"
report "steps look at no link's target" "$(lines_of "$step_files" | grep -E '[^_a-z](fstatat|faccessat|fchownat|utimensat)\(' | grep -v 'AT_SYMLINK_NOFOLLOW')"
report "no link of an archive or a log is followed by open()" "$(lines_of 'core/container/log/file.c core/shim/logger.c' | grep -E '[^_a-z]open\(' | grep -v 'O_NOFOLLOW')"
report "the path module refuses magic links and stays inside" "$(grep -q 'resolve = resolve | RESOLVE_NO_MAGICLINKS' core/base/fs.c &&
	[ "$(grep -cE 'open_confined\(.*, RESOLVE_(IN_ROOT|BENEATH)\);' core/base/fs.c)" = "$(grep -c 'return open_confined(' core/base/fs.c)" ] || echo core/base/fs.c)"
report "every descriptor is closed on exec" "$(grep -E '[^_a-z](open|openat)\(' "$TMP/code" | grep -vE 'O_CLOEXEC|(DIR|NEW)_FLAGS|ops->open|o->open\(|core/main.c' | grep -vE ':[0-9]+:(static |int |.*\bopen\(struct)')"
report "no name service, locale or conversion is asked" "$(grep -nE '\b(getpw(nam|uid|ent)|getgr(nam|gid|ent|ouplist)|initgroups|getaddrinfo_a|gethostby(name|addr)|setlocale|newlocale|iconv_open|getservby(name|port)|wordexp)(_r)?\(' "$TMP/code" | grep -vE 'getaddrinfo')"
report "no shell is run" "$(grep -nE '\b(system|popen)\(' "$TMP/code")"
# core/netd has one thread. core/init runs in containers, as a program of its own; core/check.c is "dockerd --check": a command of its own, which takes its mount namespace before there is a second thread.
report "only the spawner, the monitor, who unpacks, the process of networks, the check and the init fork or change namespaces" "$(grep -nE '[^_a-z>.](fork|vfork|clone|clone3|posix_spawnp?|setns|unshare|pivot_root|chroot)\(' "$TMP/code" | grep -vE ':core/(base/spawner(-main|-ns)?|shim/[a-z-]+|netd/enter|untar/confine|init/main|check)\.c:')"
report "no unbounded copy, no guessable name" "$(grep -nE '\b(strcat|sprintf|vsprintf|gets|mktemp|tempnam|tmpnam|tmpfile)\(' "$TMP/code")"
report "archives come in through one door" "$(grep -nE '\b(untar|inflate_new)\(' "$TMP/code" | grep -vE ':core/image/(untar|untar-work|inflate|unpack|layer|layer-[a-z]+)\.c:|:core/container/log/file\.c:')"
echo "1..$n"
