/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/machine_id.h"

#include <fcntl.h>
#include <unistd.h>

#include "vm/core/base.h"

void machine_id_read(char id[MACHINE_ID_SIZE])
{
	const int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? 0 : read(fd, id, MACHINE_ID_SIZE - 1);

	id[MAX(n, 0)] = '\0';
	if (fd >= 0)
		close(fd);
}
