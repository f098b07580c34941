/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/write_all.h"

#include <errno.h>
#include <unistd.h>

#include "vm/core/base.h"

int write_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}
