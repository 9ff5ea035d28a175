/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/filecap.h"

#include <endian.h>
#include <string.h>

#define SIZE_2     20u
#define SIZE_3     24u
#define REVISION   UINT32_C(0xff000000)
#define REVISION_2 UINT32_C(0x02000000)
#define REVISION_3 UINT32_C(0x03000000)

bool filecap_own(const void *value, size_t size, uint32_t root, struct filecap *ret)
{
	uint32_t magic;

	if (!root || size != SIZE_2)
		return false;
	memcpy(ret, value, SIZE_2);
	magic = le32toh(ret->magic);
	if ((magic & REVISION) != REVISION_2)
		return false;
	ret->magic = htole32((magic & ~REVISION) | REVISION_3);
	ret->root = htole32(root);
	return true;
}

size_t filecap_plain(void *value, size_t size)
{
	uint32_t magic;

	if (size != SIZE_3)
		return size;
	memcpy(&magic, value, sizeof(magic));
	magic = le32toh(magic);
	if ((magic & REVISION) != REVISION_3)
		return size;
	magic = htole32((magic & ~REVISION) | REVISION_2);
	memcpy(value, &magic, sizeof(magic));
	return SIZE_2;
}
