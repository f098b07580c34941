/* SPDX-License-Identifier: BSD-2-Clause */
/* What of user networking runs in which process: see vm/helper/helper.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../apart.h"
#include "devices/net/apart.h"
#include "slirp_serve.h"
#include "vm/core/error.h"

#define HEAP (256 * MiB)

enum { MAX_FILES = 2 * 2048 + 64 };

/* libslirp and glib are loaded once; each helper inherits them. */
static int prepare(void *opaque, struct error *err)
{
	struct slirp_lib lib;

	(void)opaque;
	return slirp_lib_open(&lib, err);
}

static int body(void *opaque, struct helper_self *self, struct error *err)
{
	struct slirp_server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return error_set_errno(err, -ENOMEM, "user network");
	rc = slirp_server_start(server, opaque, self, err);
	if (rc < 0)
		return rc;
	rc = helper_ready(self, err);
	if (!rc)
		slirp_server_run(server);
	return rc;
}

/* The host's name servers may change at any time. */
static size_t answer(void *opaque, void *buf, size_t size)
{
	const int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const ssize_t n = fd < 0 ? 0 : read(fd, buf, size);

	(void)opaque;
	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

int net_slirp_fork(const struct net_slirp_config *config, const struct helper_confine *confine,
	struct helper **ret, struct error *err)
{
	struct net_slirp_config copy = *config;
	const struct helper_config helper = {.name = "bantam-net",
		.memory = APART_MEMORY,
		.heap = HEAP,
		.max_files = MAX_FILES,
		.prepare = prepare,
		.body = body,
		.answer = answer,
		.confine = confine,
		.opaque = &copy};
	int rc = net_slirp_check(config, err);

	return rc < 0 ? rc : helper_start(&helper, ret, err);
}
