/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening. The path is looked at before it is opened (opening a tape drive rewinds it), opened
 * without waiting (a FIFO would block), and the descriptor is what is believed in the end. Only
 * regular files and block devices are disks. The content is never looked at: what a guest writes
 * into its sectors cannot change what the image is next time.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Sets fd and is_device; fd is closed again when it is no disk. */
static int open_path(struct blk_image *image, const char *path, struct stat *st, struct error *err)
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
	image->fd = open(path, flags);
	if (image->fd < 0)
		return open_error(-errno, path, image->read_only, err);
	rc = fstat(image->fd, st) < 0 ? error_set_errno(err, -errno, "%s", path)
				      : check_type(st->st_mode, path, err);
	if (!rc && fcntl(image->fd, F_SETFL, 0) < 0)
		rc = error_set_errno(err, -errno, "%s", path);
	if (rc)
		close(image->fd);
	image->is_device = S_ISBLK(st->st_mode);
	return rc;
}

/* cache=none wants O_DIRECT; the host's page cache is better than no disk. */
static int set_direct(struct blk_image *image, const struct blk_config *config, struct error *err)
{
	struct blk_direct direct;
	int rc;

	image->block = image->align = 1;
	if (config->cache != BLK_CACHE_NONE)
		return 0;
	rc = image->sys->set_direct(image->sys, image->fd, &direct);
	if (rc && config->aio == BLK_AIO_NATIVE)
		return error_set_errno(err, rc,
			"%s: aio=native wants O_DIRECT, which is not possible here; use "
			"aio=threads",
			config->path);
	if (rc) {
		log_msg(config->log, LOG_WARN,
			"%s: O_DIRECT is not possible here (error %d), so cache=none is taken as "
			"cache=writeback",
			config->path, -rc);
		return 0;
	}
	image->direct = true;
	image->block = direct.block;
	image->align = direct.align;
	image->sync_writes = direct.write_through;
	return 0;
}

static void set_info(struct blk_image *image, const struct stat *st, struct blk_info *info)
{
	unsigned int physical = 0;
	int logical = 0;

	image->range_block = 1;
	info->logical_block = BLK_SECTOR;
	info->physical_block = MIN((uint32_t)st->st_blksize, (uint32_t)IMAGE_MAX_BLOCK);
	if (image->is_device) {
		if (ioctl(image->fd, BLKSSZGET, &logical) == 0 && logical > 0)
			info->logical_block = (uint32_t)logical;
		if (ioctl(image->fd, BLKPBSZGET, &physical) == 0)
			info->physical_block = physical;
		image->range_block = info->logical_block;
	}
	info->physical_block = MAX(info->physical_block, MAX(info->logical_block, image->block));
	info->discard_granularity = info->physical_block;
	info->read_only = image->read_only;
	info->write_cache = !image->sync_writes;
}

int blk_image_size(const struct blk_image *image, uint64_t *size, uint64_t *usable)
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
	*usable = ALIGN_DOWN(*size, MAX(image->block, (uint32_t)BLK_SECTOR));
	return 0;
}

static int check_size(
	const struct blk_image *image, const struct blk_config *config, struct error *err)
{
	uint64_t size = 0, usable = 0;
	int rc = blk_image_size(image, &size, &usable);

	if (rc)
		return error_set_errno(err, rc, "%s: its size cannot be found out", config->path);
	if (!usable)
		return error_set(err, -EINVAL,
			"%s is empty or smaller than a sector; truncate -s 1G would give it a size",
			config->path);
	if (usable != size)
		log_msg(config->log, LOG_WARN,
			"%s: the last %llu bytes are no whole block and not part of the disk",
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
	rc = open_path(image, config->path, &st, err);
	if (rc)
		return rc;
	rc = blk_image_lock(image->fd, config->read_only, config->path, config->log, err);
	if (!rc)
		rc = set_direct(image, config, err);
	if (!rc)
		rc = check_size(image, config, err);
	if (rc) {
		close(image->fd);
		return rc;
	}
	set_info(image, &st, info);
	return 0;
}

void blk_image_close(struct blk_image *image)
{
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
