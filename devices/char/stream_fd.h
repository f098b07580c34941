/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A descriptor that neither blocks nor hurts the processes it is shared with.
 *
 * O_NONBLOCK belongs to the open file description, which a shell, a pager or `tee` may share with
 * us. So it is never set on what we were handed: terminals and pipes are opened anew through
 * /proc/self/fd, sockets have a flag for each call, and where neither works each call is preceded
 * by poll and kept so small that it finds room.
 */
#ifndef BANTAM_DEVICES_CHAR_STREAM_FD_H
#define BANTAM_DEVICES_CHAR_STREAM_FD_H

#include <sys/types.h>

#include "vm/core/base.h"

struct stream_fd {
	int fd;		  /* ours; -1: none */
	bool is_terminal; /* or the master of one */
	bool is_socket;
	bool nonblock;	  /* its description is ours alone */
	size_t max_write; /* for each write that poll allowed; 0: any */
};

/*
 * Makes ret from shared_fd, which stays the caller's. flags is O_RDONLY or O_WRONLY. Returns 0 or a
 * negative errno (-EBADF: not open, or not for that direction).
 */
int stream_fd_share(struct stream_fd *ret, int shared_fd, int flags);

/* Takes fd over, which is non-blocking or a regular file. */
void stream_fd_own(struct stream_fd *ret, int fd);

void stream_fd_close(struct stream_fd *stream);

/*
 * Return the count of bytes, at least 1, or a negative errno; -EAGAIN: not now. Read returns 0 at
 * the end of the input.
 */
ssize_t stream_fd_read(const struct stream_fd *stream, uint8_t *buf, size_t len);
ssize_t stream_fd_write(const struct stream_fd *stream, const uint8_t *buf, size_t len);

#endif
