/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lock on the whole image, exclusive for a writer and shared among readers, that belongs to the
 * open file description (fcntl(2), F_OFD_SETLK): it also holds between two disks of one process,
 * and goes when the last copy of the descriptor does, however the process ends. It is advisory, but
 * QEMU takes such locks too. POSIX locks were rejected: any close of the file by the process drops
 * them; flock: NFS turns it into a POSIX lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "image.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

int blk_image_lock(int fd, bool read_only, const char *path, struct log *log, struct error *err)
{
	struct flock lock = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET, /* from 0, and length 0 is to the end, wherever that moves */
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case EACCES:
		if (read_only)
			return error_set(err, -EBUSY,
				"%s: another process has the disk open for writing; stop that "
				"process, or use a copy",
				path);
		return error_set(err, -EBUSY,
			"%s: the disk is in use; stop what is using it, use a copy, or share it "
			"with ro on all sides",
			path);
	case ENOLCK:
	case ENOSYS:
	case EINVAL:
	case EOPNOTSUPP:
		log_msg(log, LOG_WARN,
			"%s: cannot be locked here; make sure that nobody else writes to it", path);
		return 0;
	default:
		return error_set_errno(err, -errno, "%s: cannot be locked", path);
	}
}
