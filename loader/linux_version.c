/* SPDX-License-Identifier: BSD-2-Clause */
/* A bzImage's setup code has a string that begins as `uname -r` does: 6.1.0-18-amd64 (...). */
#include "loader/linux_version.h"

#include <ctype.h>

#include "loader/bzimage.h"

enum { NUMBER_MAX = 0xffff };

/* The number at *text, which is moved behind it. False for none, or one that is none of Linux's. */
static bool number(const char **text, unsigned int *ret)
{
	const char *p = *text;
	unsigned int n = 0;

	for (; isdigit((unsigned char)*p); p++) {
		n = n * 10 + (unsigned int)(*p - '0');
		if (n > NUMBER_MAX)
			return false;
	}
	if (p == *text)
		return false;
	*text = p;
	*ret = n;
	return true;
}

unsigned int linux_version(const struct image *kernel)
{
	char text[BZIMAGE_VERSION];
	const char *p = text;
	unsigned int major, minor;
	uint8_t head[HDR_MAGIC + 4];
	struct bzimage bz;

	if (kernel->size < sizeof(head) || image_read(kernel, 0, head, sizeof(head), NULL) ||
		!bzimage_detect(head, sizeof(head)) || bzimage_parse(kernel, &bz, NULL) ||
		bzimage_read_version(kernel, &bz, text, NULL))
		return 0;
	if (!number(&p, &major) || *p++ != '.' || !number(&p, &minor))
		return 0;
	return LINUX_VERSION(major, minor);
}
