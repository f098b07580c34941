/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each share has a thread of its own: a host's file system that does not answer holds up nobody
 * else. The descriptors that the process may have are dealt out among them.
 */
#include "vm/machine/shares.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "devices/fs/fs.h"
#include "vm/core/error.h"
#include "vm/core/io_thread.h"

enum {
	RESERVED_FDS = 512, /* for all else */
	MOST_FDS = 1 << 16, /* of one share; a table of descriptors takes memory */
};

struct shares {
	unsigned int num;
	struct {
		struct fs *fs;
		struct io_thread *thread;
	} share[CONFIG_MAX_SHARES];
};

/* As many as the host lets us have. */
static unsigned int fds_for_each(unsigned int num)
{
	struct rlimit limit;
	rlim_t left;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return FS_MIN_FDS;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		/* Should it fail, the limit stays as it was. */
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	left = limit.rlim_cur - MIN(limit.rlim_cur, (rlim_t)RESERVED_FDS);
	return (unsigned int)MAX(MIN(left / num, (rlim_t)MOST_FDS), (rlim_t)FS_MIN_FDS);
}

static int open_thread(struct shares *shares, unsigned int i, const struct shares_config *config,
	struct error *err)
{
	const struct share_config *share = &config->config->shares[i];
	char name[16];
	struct io_thread_config thread = {.name = name, .what = CONFINE_FS};

	snprintf(name, sizeof(name), "share%u", i);
	if (config->confine)
		thread.confine = config->confine(
			config->opaque, fs_root_fd(shares->share[i].fs), share->read_only);
	return io_thread_create(&thread, &shares->share[i].thread, err);
}

static int open_share(struct shares *shares, unsigned int i, const struct shares_config *config,
	unsigned int fds, struct error *err)
{
	const struct share_config *share = &config->config->shares[i];
	const struct fs_config fs = {
		.path = share->path,
		.read_only = share->read_only,
		.cache = share->cache,
		.owner = share->owner,
		.mounts = share->mounts,
		.hide = share->hide,
		.num_hide = share->num_hide,
		.confined = config->confined,
		.max_fds = fds,
	};
	const int rc = fs_create(&fs, &shares->share[i].fs, err);

	return rc < 0 ? error_prefix(err, rc, "--share") : open_thread(shares, i, config, err);
}

int shares_open(const struct shares_config *config, struct shares **ret, struct error *err)
{
	const unsigned int num = config->config->num_shares;
	struct shares *shares;
	unsigned int fds;
	int rc = 0;

	*ret = NULL;
	if (!num)
		return 0;
	shares = calloc(1, sizeof(*shares));
	if (!shares)
		return error_set_errno(err, -ENOMEM, "shares");
	shares->num = num;
	fds = fds_for_each(num);
	for (unsigned int i = 0; !rc && i < num; i++)
		rc = open_share(shares, i, config, fds, err);
	if (rc < 0) {
		shares_close(shares);
		return rc;
	}
	*ret = shares;
	return 0;
}

void shares_close(struct shares *shares)
{
	if (!shares)
		return;
	for (unsigned int i = 0; i < shares->num; i++) {
		io_thread_destroy(shares->share[i].thread);
		fs_destroy(shares->share[i].fs);
	}
	free(shares);
}

int shares_start(struct shares *shares, struct error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && shares && i < shares->num; i++)
		rc = io_thread_resume(shares->share[i].thread, err);
	return rc;
}

struct fs *shares_fs(struct shares *shares, unsigned int i)
{
	return shares->share[i].fs;
}

struct event_loop *shares_loop(struct shares *shares, unsigned int i)
{
	return io_thread_loop(shares->share[i].thread);
}
