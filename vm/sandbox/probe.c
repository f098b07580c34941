/* SPDX-License-Identifier: BSD-2-Clause */
/* A child tries, and tells over a pipe: what this process would give up it needs. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/core/error.h"
#include "vm/sandbox/sandbox.h"

static void try(int wire)
{
	const struct sandbox_config config = {.mode = SANDBOX_ON};
	struct sandbox *sandbox;
	struct error err;
	size_t size = sizeof(struct sandbox_result) * NUM_SANDBOX_LAYERS;

	if (sandbox_create(&config, &sandbox, &err) == 0 && sandbox_enter(sandbox, &err) == 0 &&
		write(wire, sandbox_results(sandbox), size) == (ssize_t)size)
		_exit(0);
	_exit(1);
}

int sandbox_probe(struct sandbox_result results[NUM_SANDBOX_LAYERS])
{
	const size_t size = sizeof(*results) * NUM_SANDBOX_LAYERS;
	int wire[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(wire) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		try(wire[1]);
	close(wire[1]);
	n = pid < 0 ? -1 : read(wire[0], results, size);
	close(wire[0]);
	if (pid < 0)
		return -EAGAIN;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return n == (ssize_t)size ? 0 : -EIO;
}
