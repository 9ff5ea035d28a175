/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header block of a tar member; shared by the reader and the writer. */
#ifndef BASE_TAR_HEADER_H
#define BASE_TAR_HEADER_H

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8];
	char typeflag;
	char linkname[100], magic[8], uname[32], gname[32], devmajor[8], devminor[8];
	char prefix[155], trailer[12];
};
_Static_assert(sizeof(struct tar_header) == 512, "a tar header is one block");

#endif
