/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-untar: decompresses and unpacks one archive for the daemon, without its rights (confine.h), and ends. Started by the
 * spawner for image/unpack.c; task and descriptors: image/unpack-wire.h. One thread; loads nothing, asks no name service.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/rootless.h"
#include "base/sanitized.h"
#include "base/rights.h"
#include "base/str.h"
#include "image/unpack-wire.h"
#include "image/untar-work.h"
#include "untar/codecs.h"
#include "untar/confine.h"

/* One packet, with a descriptor or -1. */
static int say(const struct unpack_msg *m, const void *text, size_t size, int fd)
{
	struct iovec iov[2] = { { (void *)m, sizeof(*m) }, { (void *)text, size } };

	return rights_send(UNPACK_FD_CONTROL, iov, 2, &fd, fd >= 0, 0) < 0 ? -1 : 0;
}

static void host_warn(struct untar_host *h, const char *text)
{
	const struct unpack_msg m = { .kind = UNPACK_WARN };

	say(&m, text, strlen(text), -1);
}

static int host_set_xattr(struct untar_host *h, int fd, const char *name, const void *value, size_t size)
{
	const struct unpack_msg m = { .kind = UNPACK_XATTR };
	OWN_BUF struct buf b = { 0 };
	int32_t answer = EIO;
	ssize_t n;

	buf_add(&b, name, strlen(name) + 1);
	buf_add(&b, value, size);
	if (b.size > UNPACK_TEXT_MAX) {
		errno = E2BIG;
		return -1;
	}
	if (say(&m, b.data, b.size, fd) < 0)
		return -1;
	do
		n = recv(UNPACK_FD_CONTROL, &answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	errno = n == sizeof(answer) ? answer : EIO;
	return errno ? -1 : 0;
}

/* The word of idmaps_format(), or none. *ret lives as long as the process. */
static int read_maps(const char *word, struct untar_work *w, struct err *err)
{
	static struct idmaps maps;

	if (!word || !*word)
		return 0;
	w->ids = &maps;
	return idmaps_parse(word, &maps, err);
}

static bool number(const char *word, uint64_t *ret)
{
	return word && str_to_u64(word, ret);
}

static int work(struct untar_work *w, char **argv, struct err *err)
{
	struct fd_reader in;
	struct fd_writer out;
	struct untar_owner owner;
	uint64_t a, b;

	fd_reader_init(&in, UNPACK_FD_IN);
	fd_writer_init(&out, UNPACK_FD_OUT);
	if (streq(argv[1], "layer") && number(argv[2], &a) && number(argv[3], &b)) {
		w->hash = b;
		if (read_maps(argv[4], w, err) < 0)
			return -1;
		return confine(UNPACK_FD_OUT, err) < 0 ? -1 :
			untar_work_layer(w, &in.reader, UNPACK_FD_OUT, (enum graph_whiteout)a, UNPACK_FD_SPLIT, err);
	}
	if (streq(argv[1], "files") && number(argv[2], &a) && argv[3] && argv[4]) {
		bool owned = number(argv[4], &b);

		if (owned)
			owner = (struct untar_owner){ (uint32_t)(b >> 32), (uint32_t)b };
		if (read_maps(argv[5], w, err) < 0)
			return -1;
		return confine(UNPACK_FD_OUT, err) < 0 ? -1 :
			untar_work_files(w, &in.reader, UNPACK_FD_OUT, argv[3], (unsigned)a, owned ? &owner : NULL, err);
	}
	if (streq(argv[1], "plain"))
		return confine(-1, err) < 0 ? -1 : untar_work_plain(&in.reader, &out.writer, err);
	return err_set(err, ERR_INTERNAL, "dockerd-untar: bad arguments");
}

int main(int argc, char **argv)
{
	struct untar_host host = { host_set_xattr, host_warn };
	struct untar_work w = { .host = &host };
	struct err err = ERR_INIT;
	struct unpack_msg m = { .kind = UNPACK_DONE };
	socklen_t len = sizeof(int);
	int type;

	if (argc < 2 || getsockopt(UNPACK_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, "dockerd-untar is started by dockerd, not by hand\n");
		return 1;
	}
	sanitized_open_report();
	prctl(PR_SET_NAME, "dockerd-untar");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	codecs_init();
	rootless_userns(); /* asked while it can be */
	if (work(&w, argv, &err) < 0)
		m = (struct unpack_msg){ .kind = UNPACK_FAILED, .class = (int32_t)err.class, .sys = err.sys };
	m.size = w.size;
	memcpy(m.digest, w.digest, sizeof(m.digest));
	say(&m, err_text(&err), strlen(err_text(&err)), -1);
	/* what a compromised parser may have left for exit handlers is not run */
	_exit(0);
}
