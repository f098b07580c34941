/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes go to a new file in the same directory, which takes the name in the end. Not O_TMPFILE:
 * such a file cannot be linked over another one.
 */
#include "loader/fit/fdt_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/fit/fit.h"
#include "vm/core/error.h"
#include "vm/core/write_all.h"

/* Whether what is there may be replaced. 0 also where there is nothing. */
static int check_old(const char *path, struct error *err)
{
	struct image old;
	struct stat st;
	bool ours;
	int rc;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, -errno, "%s", path);
	if (S_ISREG(st.st_mode) && !st.st_size)
		return 0;
	rc = image_open(path, &old, err);
	if (rc < 0)
		return rc;
	ours = fit_detect(&old);
	image_close(&old);
	if (ours)
		return 0;
	return error_set(err, -EEXIST,
		"%s: exists, and is neither a FIT image nor a device tree: remove it first, or "
		"choose another name",
		path);
}

static int write_new(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, bytes, size);
	if (!rc && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && !rc)
		rc = -errno;
	if (rc < 0)
		unlink(path);
	return rc;
}

static int replace(const char *path, const void *bytes, size_t size)
{
	char temporary[PATH_MAX];
	int n = snprintf(temporary, sizeof(temporary), "%s.new-%d", path, (int)getpid());
	int rc;

	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	rc = write_new(temporary, bytes, size);
	if (rc < 0)
		return rc;
	if (rename(temporary, path) < 0) {
		rc = -errno;
		unlink(temporary);
	}
	return rc;
}

int fdt_file_write(const char *path, const void *bytes, size_t size, struct error *err)
{
	char target[PATH_MAX];
	int rc = check_old(path, err);

	if (rc < 0)
		return rc;
	/* NULL: there is nothing yet. A link that leads nowhere is replaced itself. */
	rc = replace(realpath(path, target) ? target : path, bytes, size);
	return rc < 0 ? error_set_errno(err, rc, "%s", path) : 0;
}
