/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unpacking in a process of its own: that it does what unpacking in place does, what it has given up while it works, how it may end. */
#include "unpack-box.h"

/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD */
#define FIVE ((1ull << 0) | (1ull << 1) | (1ull << 3) | (1ull << 4) | (1ull << 27))

static void check_tree(int root)
{
	char value[64];
	struct stat st;
	OWN_FD int ping = openat(root, "ping", O_RDONLY | O_CLOEXEC), d = openat(root, "d", O_RDONLY | O_CLOEXEC),
		   plain = openat(root, "plain", O_RDONLY | O_CLOEXEC);

	ok(fstatat(root, "d/big", &st, 0) == 0 && st.st_size == 3 << 20 && st.st_uid == 1001 && st.st_gid == 1002 && (st.st_mode & 07777) == 0751 &&
		st.st_mtime == 1600000000, "a file, its owner, mode and time");
	ok(fstatat(root, "d/gone", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0, "a whiteout");
	ok(fgetxattr(d, "trusted.overlay.opaque", value, sizeof(value)) == 1 && *value == 'y', "an opaque folder, marked by the daemon");
	ok(fgetxattr(ping, "security.capability", value, sizeof(value)) == 20 && memcmp(value, file_cap, 20) == 0, "a file's capabilities");
	ok(fgetxattr(plain, "trusted.overlay.redirect", value, sizeof(value)) < 0, "no overlay mark of the archive's own");
	ok(readlinkat(root, "l", value, sizeof(value)) == 11, "a link");
	ok(fstatat(root, "fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0751 && st.st_uid == 1001, "a FIFO");
	ok(fstat(ping, &st) == 0 && st.st_nlink == 2, "a hard link");
}

static void test_kinds(void)
{
	static const char *const names[] = { "plain", "gzip", "zstd", "bzip2", "xz" };
	char want[DIGEST_TEXT];

	digest_of(archive.data, archive.size, want);
	for (int kind = INFLATE_PLAIN; kind <= INFLATE_XZ; kind++) {
		CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_OVERLAY);
		OWN_BUF struct buf packed = { 0 }, again = { 0 };
		OWN_ERR struct err err = ERR_INIT;
		OWN_READER struct reader *json = NULL;
		char digest[DIGEST_TEXT] = "";
		struct buf_writer out;
		struct fd_reader split;
		struct source s;
		int64_t size = 0;

		compress((enum inflate_kind)kind, &packed);
		s = source_of(&packed, NULL);
		is_int(unpack_layer(&s.reader, &p.tree, p.split, NULL, digest, &size, &err), 0, "%s: unpacked: %s", names[kind], err_text(&err));
		is_str(digest, want, "%s: the digest of the plain bytes", names[kind]);
		is_int(size, (3 << 20) + 5 + 1 + 11, "%s: the size of what was written", names[kind]);
		check_tree(p.tree.fd);
		lseek(p.split, 0, SEEK_SET);
		fd_reader_init(&split, p.split);
		json = inflate_new(&split.reader, NULL, &err);
		buf_writer_init(&out, &again);
		ok(tarsplit_assemble(json, p.tree.fd, &out.writer, NULL, &err) == 0 && again.size == archive.size &&
			memcmp(again.data, archive.data, again.size) == 0, "%s: the archive comes together again: %s", names[kind], err_text(&err));
	}
	ok(all_gone(), "no process is left");
}

static void look_at_worker(struct source *s)
{
	pid_t pid = wait_worker();
	OWN_FREE char *root = xasprintf("/proc/%d/root", pid), *net = xasprintf("/proc/%d/ns/net", pid), *fds = xasprintf("/proc/%d/fd", pid),
		      *limits = xasprintf("/proc/%d/limits", pid), *devs = xasprintf("/proc/%d/net/dev", pid), *want = xasprintf("%s/root", dir);
	OWN_FREE char *oom = xasprintf("/proc/%d/oom_score_adj", pid);
	OWN_DIR DIR *d = opendir(fds);
	OWN_BUF struct buf text = { 0 };
	OWN_BUF struct buf b = { 0 };
	char to[256] = "", mine[256] = "";
	int n = 0;

	ok(pid > 0, "there is a process at work");
	is_int(status_of(pid, "\nSeccomp:", 10), 2, "its system calls are filtered");
	is_int(status_of(pid, "\nNoNewPrivs:", 10), 1, "it gains no privileges");
	is_int(status_of(pid, "\nCapEff:", 16), FIVE, "five capabilities are effective");
	is_int(status_of(pid, "\nCapPrm:", 16), FIVE, "and permitted");
	is_int(status_of(pid, "\nCapBnd:", 16) | status_of(pid, "\nCapInh:", 16) | status_of(pid, "\nCapAmb:", 16), 0, "nothing else is in reach");
	ok(readlink(root, to, sizeof(to) - 1) > 0, "it has a root");
	is_str(to, want, "which is the tree");
	memset(to, 0, sizeof(to));
	ok(readlink(net, to, sizeof(to) - 1) > 0 && readlink("/proc/self/ns/net", mine, sizeof(mine) - 1) > 0 && !streq(to, mine), "its network is not the host's");
	ok(fs_read(AT_FDCWD, devs, 65536, &text, NULL) == 0 && strstr(text.data, "lo:") && !strstr(strstr(text.data, "lo:") + 3, ":"), "and has nothing but lo, down");
	for (struct dirent *e; d && (e = readdir(d));) {
		memset(to, 0, sizeof(to));
		if (SANITIZED && streq(e->d_name, "2"))
			continue; /* a sanitizer's report */
		if (readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1) > 0 && *to == '/' && !str_has_prefix(to, dir) && !streq(to, "/dev/null"))
			n++;
	}
	ok(d && n == 0, "no descriptor leads out of the tree and the file of its tar-split");
	buf_reset(&text);
	ok(fs_read(AT_FDCWD, limits, 65536, &text, NULL) == 0 && strstr(text.data, "Max core file size        0 "), "no core file");
	buf_reset(&b);
	ok(fs_read(AT_FDCWD, oom, 100, &b, NULL) == 0 && streq(b.data, "500\n"), "it goes first when memory is short");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	ok(strstr(text.data, "Max address space         536870912 ") != NULL, "bounded memory");
#endif
}

static void test_confined(void)
{
	OWN_ERR struct err err = ERR_INIT;
	char digest[DIGEST_TEXT];
	int64_t size;

	is_int(unpack(&archive, look_at_worker, NULL, digest, &size, &err), 0, "and it does its work: %s", err_text(&err));
}

static void bad_call(struct source *s)
{
	kill(wait_worker(), SIGSYS);
}

static int stop_pipe[2];

static void stop(struct source *s)
{
	wait_worker();
	(void)!write(stop_pipe[1], "x", 1);
}

static void test_ends(void)
{
	OWN_ERR struct err killed = ERR_INIT, sys = ERR_INIT, cancelled = ERR_INIT, broke = ERR_INIT, cut = ERR_INIT, no = ERR_INIT;
	CLEANUP(place_done) struct place p = { .split = -1, .tree = { .fd = -1 } };
	const struct cancel c = { -1, (ok(pipe2(stop_pipe, O_CLOEXEC) == 0, "a token"), stop_pipe[0]) };
	OWN_FREE char *text = xasprintf("%s/text", dir);
	struct source s = source_of(&archive, NULL);
	char digest[DIGEST_TEXT];
	struct buf half = archive;
	int64_t size;

	ok(unpack(&archive, kill_worker, NULL, digest, &size, &killed) < 0, "one that is killed");
	is_str(err_text(&killed), "the process that unpacks was killed by signal 9 (Killed)", "is an error that says so");
	ok(all_gone(), "nothing is left of it");
	ok(unpack(&archive, bad_call, NULL, digest, &size, &sys) < 0 && strstr(err_text(&sys), "signal 31"), "so is a forbidden call: %s", err_text(&sys));
	ok(unpack(&archive, stop, &c, digest, &size, &cancelled) < 0 && cancelled.class == ERR_CANCELLED, "the token ends it");
	ok(!find_worker(), "before the caller goes on");
	s.fail = true;
	p = place_new(GRAPH_WHITEOUT_OVERLAY);
	ok(unpack_layer(&s.reader, &p.tree, p.split, NULL, digest, &size, &broke) < 0, "a stream that breaks");
	is_str(err_text(&broke), "the stream broke", "is what the caller hears");
	ok(!find_worker(), "and nobody works on");
	half.size = half.size / 2 + 100;
	ok(unpack(&half, NULL, NULL, digest, &size, &cut) < 0 && cut.class == ERR_INVALID, "an archive that is cut is the client's fault");
	is_str(err_text(&cut), "unexpected EOF", "in the words of the one who unpacks");
	shell("echo no program > %s && chmod 755 %s", text, text);
	unpack_done();
	ok(unpack_setup(sp, text, &no) == 0 && unpack(&archive, NULL, NULL, digest, &size, &no) < 0 && strstr(err_text(&no), "Exec format error"),
		"what cannot be started: %s", err_text(&no));
	unpack_done();
	err_done(&no);
	ok(unpack_setup(sp, "/nonexistent", &no) < 0 && strstr(err_text(&no), "the program /nonexistent is needed"), "what is not there: %s", err_text(&no));
	unpack_done();
	ok(unpack_setup(sp, program, &no) == 0, "the right one again");
	close(stop_pipe[0]);
	close(stop_pipe[1]);
}

int main(void)
{
	if (!box_open(NULL))
		return 0;
	test_kinds();
	test_confined();
	test_ends();
	return box_close();
}
