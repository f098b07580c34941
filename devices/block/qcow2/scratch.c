/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where throwaway writes go: a qcow2 image in a file without a name. Its tables stay in memory as
 * far as there is room, and reach the file only when there is none: nobody will read it again.
 * Clusters are small, so that a first write seldom has to copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/qcow2.h"
#include "disk.h"
#include "vm/core/error.h"

enum { SMALL_CLUSTER_BITS = 12, LARGE_CLUSTER_BITS = 16, FD_NAME = 32 };
#define SMALL_DISK (256 * GiB)

/* On file systems that know no O_TMPFILE it has a name for a moment. */
static int open_nameless(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	if (asprintf(&path, "%s/bantam-XXXXXX", dir) < 0)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(path);
	free(path);
	return fd;
}

static int open_file(struct qcow2_layer *top, const struct blk_config *config, int fd,
	const struct qcow2_options *options, struct error *err)
{
	const int fds[2] = {fd, fd};
	const struct blk_config file = {
		.path = top->path,
		.fds = fds,
		.container = true,
		.cache = BLK_CACHE_UNSAFE,
		.aio = BLK_AIO_THREADS,
		.log = config->log,
	};
	int rc = qcow2_format(fd, top->path, options, err);

	if (!rc)
		rc = blk_raw_create(&file, &top->file, err);
	if (!rc)
		top->io = blk_raw_image(top->file);
	return rc;
}

static int open_image(struct qcow2_layer *top, struct log *log, uint64_t most, struct error *err)
{
	uint8_t head[QCOW2_HEAD_MIN + 16];
	struct qcow2_header header;
	int rc = 0;

	if (pread(top->io->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		rc = error_set(err, -EIO, "%s", top->path);
	if (!rc)
		rc = qcow2_header_parse(head, sizeof(head), top->path, &header, err);
	if (!rc)
		rc = qcow2_image_open(
			top->file, top->io, &header, top->path, true, true, log, &top->image, err);
	if (!rc && most)
		top->image->most_clusters = most >> header.geometry.cluster_bits;
	return rc;
}

int qcow2_scratch_open(struct qcow2_layer *top, const struct blk_config *config, uint64_t size,
	uint64_t most, struct error *err)
{
	const char *tmpdir = getenv("TMPDIR"), *dir = tmpdir && *tmpdir ? tmpdir : "/var/tmp";
	struct qcow2_options options = qcow2_usual;
	int fd, rc;

	options.size = size;
	options.cluster_bits = size <= SMALL_DISK ? SMALL_CLUSTER_BITS : LARGE_CLUSTER_BITS;
	if (asprintf(&top->path, "what is written to %s", config->path) < 0)
		return error_set_errno(err, -ENOMEM, "%s", config->path);
	fd = open_nameless(dir);
	if (fd < 0)
		return error_set_errno(err, fd,
			"%s: no file for what is written can be made in %s (TMPDIR names another "
			"place)",
			config->path, dir);
	rc = open_file(top, config, fd, &options, err);
	if (!rc)
		rc = open_image(top, config->log, most, err);
	close(fd);
	return rc;
}
