/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver-file.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <ltdl.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/rootless.h"
#include "base/str.h"

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define THIS_MACHINE EM_AARCH64
#elif defined(__i386__)
#define THIS_MACHINE EM_386
#elif defined(__arm__)
#define THIS_MACHINE EM_ARM
#elif defined(__riscv)
#define THIS_MACHINE EM_RISCV
#elif defined(__s390x__)
#define THIS_MACHINE EM_S390
#elif defined(__powerpc64__)
#define THIS_MACHINE EM_PPC64
#else
#define THIS_MACHINE EM_NONE /* any */
#endif

static int check_trust(const char *path, struct err *err);
static int check_whole(const char *path, struct err *err);

int driver_file_check(const char *path, struct err *err)
{
	OWN_FREE char *real = NULL;

	if (*path != '/')
		return err_set(err, ERR_INVALID, "driver %s is refused: its path is not absolute", path);
	real = realpath(path, NULL);
	if (!real)
		return err_set(err, ERR_INVALID, "driver %s is refused: %s", path, strerror(errno));
	return check_trust(real, err) < 0 || check_whole(real, err) < 0 ? -1 : 0;
}

static int check_owner(const char *path, const char *part, const struct stat *st, bool nearest, struct err *err)
{
	/* In a sticky folder nobody takes away what root put there, so one may stand higher up (/tmp), but hold no driver. */
	bool sticky = !nearest && S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) && (st->st_uid == 0 || rootless_foreign(st->st_uid));

	/* inside a user namespace the host's root has no number of its own */
	if (st->st_uid != 0 && st->st_uid != geteuid() && !rootless_foreign(st->st_uid))
		return err_set(err, ERR_INVALID, "driver %s is refused: %s belongs to user %u, not to root", path, part, st->st_uid);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) && !sticky)
		return err_set(err, ERR_INVALID, "driver %s is refused: %s is writable by others (mode %04o)",
			path, part, st->st_mode & 07777);
	return 0;
}

/* path is a real path: no component is a link. */
static int check_trust(const char *path, struct err *err)
{
	OWN_FREE char *part = xstrdup(path);
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set(err, ERR_INVALID, "driver %s is refused: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "driver %s is refused: it is not a regular file", path);
	if (check_owner(path, "it", &st, true, err) < 0)
		return -1;
	for (bool nearest = true; !streq(part, "/"); nearest = false) {
		char *slash = strrchr(part, '/');

		slash[slash == part] = '\0';
		if (lstat(part, &st) < 0)
			return err_set(err, ERR_INVALID, "driver %s is refused: stat %s: %s", path, part, strerror(errno));
		if (check_owner(path, part, &st, nearest, err) < 0)
			return -1;
	}
	return 0;
}

static int cut_short(const char *path, struct err *err)
{
	return err_set(err, ERR_INVALID, "driver %s is refused: the file is cut short", path);
}

/* The dynamic linker maps segments without looking at the file's size: what lies beyond its end would be a SIGBUS. */
static int check_whole(const char *path, struct err *err)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	ElfW(Ehdr) eh;
	struct stat st;
	uint64_t size;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, ERR_INVALID, "driver %s is refused: %s", path, strerror(errno));
	size = (uint64_t)st.st_size;
	if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh))
		return cut_short(path, err);
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_type != ET_DYN ||
	    eh.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    (THIS_MACHINE != EM_NONE && eh.e_machine != THIS_MACHINE) || eh.e_phentsize != sizeof(ElfW(Phdr)))
		return err_set(err, ERR_INVALID, "driver %s is refused: it is not a shared object for this machine", path);
	if (eh.e_shoff > size || (uint64_t)eh.e_shnum * eh.e_shentsize > size - eh.e_shoff)
		return cut_short(path, err);
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		ElfW(Phdr) ph;
		off_t at = (off_t)(eh.e_phoff + (uint64_t)i * sizeof(ph));

		if (eh.e_phoff > size || pread(fd, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
			return cut_short(path, err);
		if (ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
			return cut_short(path, err);
	}
	return 0;
}

/*
 * libltdl's own loader binds lazily (a missing symbol would end the process at the first call) and hides dlerror().
 * This one stands in its place; the error of the last open is kept here.
 */
static char *bind_error;

static lt_module bind_open(lt_user_data data, const char *path, lt_dladvise advise)
{
	void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!h)
		str_set(&bind_error, dlerror());
	return h;
}

static int bind_close(lt_user_data data, lt_module module)
{
	return 0; /* drivers are never unloaded */
}

static void *bind_symbol(lt_user_data data, lt_module module, const char *name)
{
	return dlsym(module, name);
}

static int loader_init(struct err *err)
{
	static const lt_dlvtable bind_now = {
		.name = "bind-now", .module_open = bind_open, .module_close = bind_close, .find_sym = bind_symbol,
		.priority = LT_DLLOADER_PREPEND,
	};
	static bool done;

	if (done)
		return 0;
	if (lt_dlinit() != 0)
		return err_set(err, ERR_INTERNAL, "lt_dlinit: %s", lt_dlerror());
	/* Else a file that this loader refuses would be tried again, lazily. */
	free(lt_dlloader_remove("lt_dlopen"));
	if (lt_dlloader_add(&bind_now) != 0)
		return err_set(err, ERR_INTERNAL, "lt_dlloader_add: %s", lt_dlerror());
	done = true;
	return 0;
}

void *driver_file_symbol(const char *path, const char *symbol, struct err *err)
{
	lt_dlhandle h;
	void *p;

	if (loader_init(err) < 0)
		return NULL;
	str_set(&bind_error, NULL);
	h = lt_dlopen(path);
	if (!h) {
		const char *why = bind_error ? bind_error : lt_dlerror();
		size_t n = strlen(path);

		/* dlerror() mostly begins with the path. */
		if (strncmp(why, path, n) == 0 && str_has_prefix(why + n, ": "))
			why += n + 2;
		err_set(err, ERR_INVALID, "driver %s is refused: %s", path, why);
		return NULL;
	}
	p = lt_dlsym(h, symbol);
	if (!p)
		err_set(err, ERR_INVALID, "driver %s is refused: it does not export %s", path, symbol);
	return p;
}
