/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm/cli/commands.h"
#include "vm/config/exit_code.h"
#include "vm/core/base.h"

/*
 * A descriptor 0, 1 or 2 that the caller closed would be given to the next file that is opened: a
 * disk, say, that then receives our messages.
 */
static int fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static bool one_is_closed(void)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO}, {.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};

	poll(fds, ARRAY_SIZE(fds), 0);
	return (fds[0].revents | fds[1].revents | fds[2].revents) & POLLNVAL;
}

/*
 * What a boot takes and gives back (a kernel, an initial RAM disk) goes back to the host for good.
 * By itself malloc learns from the first large free to keep that much for the next time, and there
 * is none.
 */
static void return_freed_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
	return_freed_memory();
	if (one_is_closed() && fill_standard_descriptors() < 0)
		return EXIT_HOST;
	return command_main(argc, argv);
}
