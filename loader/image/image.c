/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files are read with pread straight to where their bytes shall be, mostly guest memory. They are
 * not mapped: a mapped file that another process cuts short turns a later access into SIGBUS, while
 * a short read is an error like any other.
 *
 * Headers are read in small pieces that lie close together: the first one brings all of them.
 */
#include "loader/image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/core/error.h"

/* So much of a long path is shown. */
enum { NAME_SHOWN = 160 };

/* A piece that is not longer than this comes with what is behind it. */
enum { SHORT = 1024, WINDOW = 4096 };

struct image_recent {
	bool identified;
	struct image_identity identity;
	uint64_t off, len; /* of bytes; len 0: none */
	uint8_t bytes[WINDOW];
};

int image_error(const struct image *image, struct error *err, int code, const char *fmt, ...)
{
	size_t len = strlen(image->name);
	struct error reason;
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason.text, sizeof(reason.text), fmt, args);
	va_end(args);
	if (len <= NAME_SHOWN)
		return error_set(err, code, "%s: %s", image->name, reason.text);
	return error_set(err, code, "...%s: %s", image->name + len - NAME_SHOWN, reason.text);
}

static int open_failed(const struct image *image, int code, struct error *err)
{
	char reason[128];

	switch (-code) {
	case ENOENT:
		return image_error(image, err, code, "no such file");
	case EACCES:
		return image_error(image, err, code,
			"permission denied: copy it to where you may read it, or change its mode "
			"(distributions often keep /boot for root)");
	case ENXIO:
		return image_error(
			image, err, code, "a socket or a device without a driver, not a file");
	default:
		return image_error(
			image, err, code, "%s", strerror_r(-code, reason, sizeof(reason)));
	}
}

static int check_kind(const struct image *image, const struct stat *st, struct error *err)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		if (st->st_size > 0)
			return 0;
		return image_error(image, err, -EINVAL, "the file is empty");
	case S_IFDIR:
		return image_error(image, err, -EISDIR, "a directory, not a file");
	case S_IFIFO:
		return image_error(image, err, -EINVAL,
			"a FIFO, not a regular file: write its content to a file first");
	case S_IFBLK:
	case S_IFCHR:
		return image_error(image, err, -EINVAL, "a device, not a regular file");
	default:
		return image_error(image, err, -EINVAL, "not a regular file");
	}
}

static struct image_identity identity_of(const struct stat *st)
{
	return (struct image_identity){.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim};
}

static void set_identity(const struct image *image, const struct stat *st)
{
	if (!image->recent)
		return;
	image->recent->identity = identity_of(st);
	image->recent->identified = true;
}

int image_open(const char *path, struct image *image, struct error *err)
{
	struct image opened = {.name = path, .fd = -1};
	struct stat st;
	int rc;

	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer. */
	opened.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (opened.fd < 0)
		return open_failed(&opened, -errno, err);
	if (fstat(opened.fd, &st) < 0) {
		rc = open_failed(&opened, -errno, err);
		goto close_file;
	}
	rc = check_kind(&opened, &st, err);
	if (rc)
		goto close_file;
	image_from_file(path, opened.fd, (uint64_t)st.st_size, image);
	set_identity(image, &st);
	return 0;

close_file:
	close(opened.fd);
	return rc;
}

/* Without memory for it, a file is read piece by piece. */
void image_from_file(const char *name, int fd, uint64_t size, struct image *image)
{
	*image = (struct image){.name = name, .size = size, .fd = fd};
	image->recent = malloc(sizeof(*image->recent));
	image_forget(image);
}

void image_from_memory(const char *name, const void *bytes, uint64_t size, struct image *image)
{
	*image = (struct image){.name = name, .size = size, .fd = -1, .bytes = bytes};
}

void image_close(struct image *image)
{
	if (!image)
		return;
	if (image->fd >= 0)
		close(image->fd);
	free(image->recent);
	image->fd = -1;
	image->recent = NULL;
	image->bytes = NULL;
	image->size = 0;
}

static int read_file(
	const struct image *image, uint64_t off, uint8_t *dst, uint64_t len, struct error *err)
{
	char reason[128];

	while (len) {
		ssize_t n = pread(image->fd, dst, MIN(len, GiB), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int code = -errno;

			return image_error(image, err, code, "reading failed at byte %llu: %s",
				(unsigned long long)off, strerror_r(-code, reason, sizeof(reason)));
		}
		if (n == 0)
			return image_error(image, err, -EIO,
				"the file was cut short while it was read: it had %llu bytes, now "
				"%llu",
				(unsigned long long)image->size, (unsigned long long)off);
		dst += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int read_short(
	const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err)
{
	struct image_recent *recent = image->recent;

	if (off < recent->off || !range_ok(off - recent->off, len, recent->len)) {
		const uint64_t more = MIN(image->size - off, (uint64_t)WINDOW);
		int rc;

		recent->len = 0;
		rc = read_file(image, off, recent->bytes, more, err);
		if (rc)
			return rc;
		recent->off = off;
		recent->len = more;
	}
	memcpy(dst, recent->bytes + (off - recent->off), len);
	return 0;
}

int image_read(const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err)
{
	if (!range_ok(off, len, image->size))
		return image_error(image, err, -EINVAL,
			"%llu bytes at %llu are wanted, but the file has only %llu",
			(unsigned long long)len, (unsigned long long)off,
			(unsigned long long)image->size);
	if (!len)
		return 0;
	if (image->fd >= 0 && image->recent && len <= SHORT)
		return read_short(image, off, dst, len, err);
	if (image->fd >= 0)
		return read_file(image, off, dst, len, err);
	memcpy(dst, image->bytes + off, len);
	return 0;
}

void image_forget(const struct image *image)
{
	if (!image->recent)
		return;
	image->recent->len = 0;
	image->recent->identified = false;
}

int image_identify(const struct image *image, struct image_identity *identity)
{
	struct stat st;

	if (image->fd < 0)
		return -ENOENT;
	if (image->recent && image->recent->identified) {
		*identity = image->recent->identity;
		return 0;
	}
	if (fstat(image->fd, &st) < 0)
		return -errno;
	set_identity(image, &st);
	*identity = identity_of(&st);
	return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool image_is_still(const struct image *image, const struct image_identity *identity)
{
	struct image_identity now;
	struct stat st;

	if (image->fd < 0 || fstat(image->fd, &st) < 0)
		return false;
	now = identity_of(&st);
	return now.dev == identity->dev && now.ino == identity->ino && now.size == identity->size &&
	       same_time(&now.mtime, &identity->mtime) && same_time(&now.ctime, &identity->ctime);
}

int image_read_to_zeros(
	const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err)
{
	const uint64_t end = off + len;
	uint8_t *bytes = dst;
	int rc = 0;

	if (!range_ok(off, len, image->size))
		return image_read(image, off, dst, len, err);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(image->holes); i++) {
		const struct image_hole *hole = &image->holes[i];
		const uint64_t from = MAX(off, hole->off), to = MIN(end, hole->off + hole->len);

		if (from >= to)
			continue;
		rc = image_read(image, off, bytes, from - off, err);
		bytes += to - off;
		off = to;
	}
	return rc ? rc : image_read(image, off, bytes, end - off, err);
}
