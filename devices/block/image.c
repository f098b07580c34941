/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening. The path is looked at before it is opened (opening a tape drive rewinds it), opened
 * without waiting (a FIFO would block), and the descriptor is what is believed in the end. Only
 * regular files and block devices are disks. The content decides nothing: what a guest writes into
 * its sectors cannot change what the image is next time. One that looks like another format's is
 * only warned of.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "sys.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

static int check_type(mode_t mode, const char *path, struct error *err)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	return error_set(err, S_ISDIR(mode) ? -EISDIR : -EINVAL,
		"%s is neither a file nor a block device", path);
}

static int open_error(int rc, const char *path, bool read_only, struct error *err)
{
	if (rc == -EBUSY)
		return error_set(err, rc,
			"%s: the device is mounted or otherwise in use; unmount it, or add ro",
			path);
	if ((rc == -EACCES || rc == -EROFS || rc == -EPERM) && !read_only)
		return error_set_errno(
			err, rc, "%s: cannot be opened for writing (ro would only read)", path);
	return error_set_errno(err, rc, "%s", path);
}

/* A copy of a descriptor that somebody else has opened. */
static int take_fd(const struct blk_image *image, int fd, const char *path, struct error *err)
{
	const int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE;

	if (flags < 0)
		return error_set_errno(err, -errno, "%s", path);
	if ((flags & O_PATH) || (mode != O_RDWR && !(mode == O_RDONLY && image->read_only)))
		return error_set(err, -EACCES, "%s was not opened for %s", path,
			image->read_only ? "reading" : "writing");
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? error_set_errno(err, -errno, "%s", path) : fd;
}

static int open_named(struct blk_image *image, const char *path, struct stat *st, struct error *err)
{
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (image->read_only ? O_RDONLY : O_RDWR);
	int rc;

	if (stat(path, st) < 0)
		return error_set_errno(err, -errno, "%s", path);
	rc = check_type(st->st_mode, path, err);
	if (rc)
		return rc;
	/* Exclusive against mounts and the like, which know no locks. */
	if (S_ISBLK(st->st_mode) && !image->read_only)
		flags |= O_EXCL;
	rc = open(path, flags);
	return rc < 0 ? open_error(-errno, path, image->read_only, err) : rc;
}

/* Sets fd and is_device; fd is closed again when it is no disk. */
static int open_path(struct blk_image *image, const struct blk_config *config, struct stat *st,
	struct error *err)
{
	const char *path = config->path;
	int rc = config->fds ? take_fd(image, config->fds[0], path, err)
			     : open_named(image, path, st, err);

	if (rc < 0)
		return rc;
	image->fd = rc;
	rc = fstat(image->fd, st) < 0 ? error_set_errno(err, -errno, "%s", path)
				      : check_type(st->st_mode, path, err);
	if (!rc && fcntl(image->fd, F_SETFL, 0) < 0)
		rc = error_set_errno(err, -errno, "%s", path);
	if (rc)
		close(image->fd);
	image->plain_fd = image->fd;
	image->is_device = S_ISBLK(st->st_mode);
	return rc;
}

/*
 * A second open file of the same image, for two things. The last sectors may be less than a block,
 * which O_DIRECT cannot write without making the file longer. And the kernel tells each open file
 * of lost data once: a write with RWF_DSYNC that fails may have been told what a flush should hear.
 */
static int open_plain(struct blk_image *image, const struct blk_config *config,
	const struct stat *st, struct error *err)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	const char *path = config->path;
	struct stat now;
	int fd;

	if (image->read_only && image->block <= image->unit)
		return 0;
	fd = config->fds ? take_fd(image, config->fds[1], path, err)
			 : open(path, flags | (image->read_only ? O_RDONLY : O_RDWR));
	if (fd < 0)
		return config->fds
			       ? fd
			       : error_set_errno(err, -errno, "%s: cannot be opened twice", path);
	if (fstat(fd, &now) < 0 || now.st_dev != st->st_dev || now.st_ino != st->st_ino) {
		close(fd);
		return error_set(err, -ESTALE, "%s was replaced while it was being opened", path);
	}
	image->plain_fd = fd;
	return 0;
}

static void warn_of_format(const struct blk_image *image, const struct blk_config *config)
{
	uint8_t start[BLK_FORMAT_BYTES];
	const char *name;

	if (config->container ||
		pread(image->fd, start, sizeof(start), 0) != (ssize_t)sizeof(start))
		return;
	name = blk_format_look(start);
	if (name && !strcmp(name, "qcow2"))
		log_msg(config->log, LOG_WARN,
			"%s looks like a qcow2 image, but is used as raw; if it is one, add "
			"format=qcow2",
			config->path);
	else if (name)
		log_msg(config->log, LOG_WARN,
			"%s looks like a %s image, but is used as raw; to convert it: qemu-img "
			"convert -O raw %s disk.img",
			config->path, name, config->path);
}

/* cache=none wants O_DIRECT; the host's page cache is better than no disk. */
static int set_direct(struct blk_image *image, const struct blk_config *config,
	const struct stat *st, struct error *err)
{
	struct blk_direct direct;
	int rc;

	image->block = image->align = 1;
	if (config->cache != BLK_CACHE_NONE)
		return 0;
	rc = image->sys->set_direct(image->sys, image->fd, &direct);
	if (rc && config->aio == BLK_AIO_NATIVE)
		return error_set_errno(err, rc,
			"%s: aio=native needs O_DIRECT, which is not possible here; use "
			"aio=threads",
			config->path);
	if (rc) {
		log_msg(config->log, LOG_WARN,
			"%s: O_DIRECT is not possible here (error %d), so cache=none is treated as "
			"cache=writeback",
			config->path, -rc);
		return 0;
	}
	image->direct = true;
	image->block = direct.block;
	image->align = direct.align;
	image->sync_writes = direct.write_through;
	return open_plain(image, config, st, err);
}

/* A device moves its own blocks alone, with O_DIRECT or without. */
static void set_unit(struct blk_image *image)
{
	int logical = 0;

	image->unit = BLK_SECTOR;
	image->range_block = 1;
	if (!image->is_device)
		return;
	if (ioctl(image->fd, BLKSSZGET, &logical) == 0 && logical > BLK_SECTOR)
		image->unit = (uint32_t)logical;
	image->range_block = image->unit;
}

static void set_info(struct blk_image *image, const struct stat *st, struct blk_info *info)
{
	unsigned int physical = 0;

	info->logical_block = image->unit;
	info->physical_block = MIN((uint32_t)st->st_blksize, (uint32_t)IMAGE_MAX_BLOCK);
	if (image->is_device && ioctl(image->fd, BLKPBSZGET, &physical) == 0)
		info->physical_block = physical;
	info->physical_block = MAX(info->physical_block, MAX(info->logical_block, image->block));
	info->discard_granularity = info->physical_block;
	info->read_only = image->read_only;
	info->write_cache = !image->sync_writes;
}

int blk_image_grow(struct blk_image *image, uint64_t size)
{
	struct stat st;

	if (image->read_only)
		return -EROFS;
	if (image->is_device)
		return -ENOTSUP;
	if (fstat(image->fd, &st) < 0)
		return -errno;
	if (size < (uint64_t)st.st_size || size > INT64_MAX)
		return -EINVAL;
	return ftruncate(image->fd, (off_t)size) < 0 ? -errno : 0;
}

int blk_image_size(struct blk_image *image, uint64_t *size, uint64_t *usable)
{
	struct stat st;

	if (image->is_device) {
		if (ioctl(image->fd, BLKGETSIZE64, size) < 0)
			return -errno;
	} else {
		if (fstat(image->fd, &st) < 0)
			return -errno;
		*size = (uint64_t)st.st_size;
	}
	*usable = ALIGN_DOWN(*size, image->unit);
	atomic_store_explicit(
		&image->tail, ALIGN_DOWN(*usable, image->block), memory_order_relaxed);
	return 0;
}

static int check_size(struct blk_image *image, const struct blk_config *config, struct error *err)
{
	uint64_t size = 0, usable = 0;
	int rc = blk_image_size(image, &size, &usable);

	if (rc)
		return error_set_errno(err, rc, "%s: its size cannot be determined", config->path);
	if (!usable)
		return error_set(err, -EINVAL,
			"%s is empty or smaller than a sector; truncate -s 1G would give it a size",
			config->path);
	if (usable != size && !config->container)
		log_msg(config->log, LOG_WARN,
			"%s: the last %llu bytes are not a whole sector, and not part of the disk",
			config->path, (unsigned long long)(size - usable));
	return 0;
}

int blk_image_open(struct blk_image *image, const struct blk_config *config, struct blk_info *info,
	struct error *err)
{
	struct stat st;
	int rc;

	*image = (struct blk_image){
		.sys = config->sys ? config->sys : &blk_sys_host,
		.read_only = config->read_only,
		.sync_writes = config->cache == BLK_CACHE_WRITETHROUGH,
		.never_sync = config->cache == BLK_CACHE_UNSAFE,
	};
	rc = open_path(image, config, &st, err);
	if (rc)
		return rc;
	set_unit(image);
	rc = blk_image_lock(image->fd, config->read_only, config->path, config->log, err);
	if (!rc) {
		warn_of_format(image, config);
		rc = set_direct(image, config, &st, err);
	}
	if (!rc)
		rc = check_size(image, config, err);
	if (rc) {
		blk_image_close(image);
		return rc;
	}
	set_info(image, &st, info);
	return 0;
}

void blk_image_close(struct blk_image *image)
{
	if (image->plain_fd != image->fd)
		close(image->plain_fd);
	close(image->fd);
}

int blk_image_aligned(const struct blk_image *image, const struct blk_request *req)
{
	uint64_t bits = (req->offset | req->len) & (image->block - 1), total = 0;

	for (int i = 0; i < req->num_iov; i++) {
		const struct iovec *iov = &req->iov[i];

		bits |= (uintptr_t)iov->iov_base & (image->align - 1);
		bits |= iov->iov_len & (image->block - 1);
		total += iov->iov_len;
	}
	if (total != req->len)
		return -EINVAL;
	return !bits;
}
