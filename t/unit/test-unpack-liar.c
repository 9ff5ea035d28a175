/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon does for a process that unpacks and lies. The liar is this very program under the name of the other. */
#include "unpack-box.h"

#include "base/rights.h"

/* The liar: what it does is the number behind "files". */
enum lie { NONSENSE = 100, REDIRECT, NO_FD, NO_NAME, EXIT_3, STAYS, CLASS, QUIET, OPAQUE_FILE, FOREIGN_FIFO, WARNS, TWO_FDS };

static void liar_say(uint32_t kind, const void *text, size_t size, int fd)
{
	struct unpack_msg m = { .kind = kind, .class = kind == UNPACK_FAILED ? ERR_INVALID : 0 };
	struct iovec iov[2] = { { &m, sizeof(m) }, { (void *)text, size } };

	if (kind == 9999)
		m.kind = UNPACK_FAILED, m.class = 9999;
	(void)!rights_send(UNPACK_FD_CONTROL, iov, 2, &fd, fd >= 0, 0);
}

static void liar_xattr(const void *text, size_t size, int fd)
{
	char words[64];
	int32_t answer = -1;

	liar_say(UNPACK_XATTR, text, size, fd);
	(void)!recv(UNPACK_FD_CONTROL, &answer, sizeof(answer), 0);
	snprintf(words, sizeof(words), "answer %d", answer);
	liar_say(UNPACK_FAILED, words, strlen(words), -1);
}

/* A packet with more descriptors than the rules know. */
static void liar_say_two(int fd)
{
	struct unpack_msg m = { .kind = UNPACK_WARN };
	struct iovec iov = { &m, sizeof(m) };

	(void)!rights_send(UNPACK_FD_CONTROL, &iov, 1, (int[]){ fd, fd }, 2, 0);
}

static int liar(int lie)
{
	char data[4096];
	int fd = openat(UNPACK_FD_OUT, "victim", O_RDONLY | O_CLOEXEC);

	while (lie != QUIET && read(UNPACK_FD_IN, data, sizeof(data)) > 0)
		;
	switch (lie) {
	case NONSENSE:
		(void)!send(UNPACK_FD_CONTROL, "hello", 5, 0);
		break;
	case REDIRECT:
		liar_xattr("trusted.overlay.redirect\0/x", 27, fd);
		break;
	case NO_FD:
		liar_xattr("security.capability\0x", 21, -1);
		break;
	case NO_NAME:
		liar_xattr("security.capability", 19, fd);
		break;
	case OPAQUE_FILE:
		liar_xattr("trusted.overlay.opaque\0y", 24, fd);
		break;
	case FOREIGN_FIFO:
		liar_xattr("security.x\0y", 12, UNPACK_FD_IN);
		break;
	case CLASS:
		liar_say(9999, "", 0, -1);
		break;
	case STAYS:
		liar_say(UNPACK_DONE, NULL, 0, -1);
		sleep(100);
		break;
	case QUIET:
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	case TWO_FDS:
		for (int i = 0; i < 20; i++)
			liar_say_two(fd);
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	case WARNS:
		for (int i = 0; i < 200; i++)
			liar_say(UNPACK_WARN, "beware", 6, -1);
		liar_say(UNPACK_DONE, NULL, 0, -1);
		break;
	}
	return 3;
}

static int lie(int number, struct err *err)
{
	CLEANUP(place_done) struct place p = place_new(GRAPH_WHITEOUT_DELETE);
	struct source s = source_of(&archive, NULL);

	shell("echo x > %s/root/victim", dir);
	return unpack_files(&s.reader, p.tree.fd, "/", (unsigned)number, NULL, NULL, err);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	BUG_ON(!d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_liar(void)
{
	static const struct { int number; const char *text; } cases[] = {
		{ NONSENSE, "the process that unpacks sent nonsense" }, { CLASS, "the process that unpacks sent nonsense" },
		{ EXIT_3, "the process that unpacks ended with status 3" }, { REDIRECT, "answer 1" }, { NO_FD, "answer 1" },
		{ NO_NAME, "answer 1" }, { OPAQUE_FILE, "answer 1" }, { FOREIGN_FIFO, "answer 1" },
	};
	OWN_FREE char *log = xasprintf("%s/log", dir);
	OWN_FD int fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	OWN_BUF struct buf text = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int lines = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err e = ERR_INIT;

		ok(lie(cases[i].number, &e) < 0, "lie %d", cases[i].number);
		is_str(err_text(&e), cases[i].text, "is seen through");
	}
	is_int(lie(STAYS, &err), 0, "one that has answered and stays does not hold anybody up");
	is_int(lie(QUIET, &err), 0, "one that reads nothing, neither");
	log_set_fd(fd);
	is_int(lie(WARNS, &err), 0, "one that warns and warns");
	log_set_fd(-1);
	fs_read(AT_FDCWD, log, 1 << 20, &text, &err);
	for (size_t i = 0; i < text.size; i++)
		lines += text.data[i] == '\n';
	is_int(lines, 8, "fills no log");
	lines = open_fds();
	ok(lie(TWO_FDS, &err) < 0, "one that sends more descriptors than it may");
	is_str(err_text(&err), "the process that unpacks sent nonsense", "is seen through");
	is_int(open_fds(), lines, "leaves none here");
	ok(all_gone(), "nobody is left");
}

int main(int argc, char **argv)
{
	if (argc > 2 && streq(argv[0], "dockerd-untar"))
		return liar(atoi(argv[2]));
	if (!box_open("/proc/self/exe"))
		return 0;
	test_liar();
	return box_close();
}
