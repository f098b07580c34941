/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* /dev/tty opened anew may be another terminal; the master of a pty opened anew is a new pty. */
static bool same_terminal(int a, int b)
{
	unsigned int dev_a, dev_b, number;

	return ioctl(a, TIOCGDEV, &dev_a) == 0 && ioctl(b, TIOCGDEV, &dev_b) == 0 &&
	       dev_a == dev_b && ioctl(b, TIOCGPTN, &number) < 0;
}

/* The same terminal or pipe with a description of its own, or -1. */
static int open_anew(int fd, bool is_terminal, int flags)
{
	char path[32];
	int anew;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	anew = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (anew >= 0 && is_terminal && !same_terminal(fd, anew)) {
		close(anew);
		return -1;
	}
	return anew;
}

static bool allows(int status, int flags)
{
	int mode = status & O_ACCMODE;

	return !(status & O_PATH) && (mode == O_RDWR || mode == flags);
}

int stream_fd_share(struct stream_fd *ret, int shared_fd, int flags)
{
	struct stream_fd stream = {.fd = -1};
	int status = fcntl(shared_fd, F_GETFL);
	struct stat st;

	if (status < 0 || fstat(shared_fd, &st) < 0)
		return -errno;
	if (!allows(status, flags))
		return -EBADF;
	stream.is_terminal = S_ISCHR(st.st_mode) && isatty(shared_fd);
	stream.is_socket = S_ISSOCK(st.st_mode);
	if (stream.is_terminal || S_ISFIFO(st.st_mode))
		stream.fd = open_anew(shared_fd, stream.is_terminal, flags);
	stream.nonblock = stream.fd >= 0;
	if (stream.fd < 0)
		stream.fd = fcntl(shared_fd, F_DUPFD_CLOEXEC, 3);
	if (stream.fd < 0)
		return -errno;
	/* A terminal may say that it is writable with room for one byte, a pipe has PIPE_BUF. */
	if (stream.is_terminal)
		stream.max_write = 1;
	else if (!S_ISREG(st.st_mode))
		stream.max_write = PIPE_BUF;
	*ret = stream;
	return 0;
}

void stream_fd_own(struct stream_fd *ret, int fd)
{
	*ret = (struct stream_fd){.fd = fd, .nonblock = true};
}

void stream_fd_close(struct stream_fd *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

/* An error is for the call that follows to report. */
static bool would_block(const struct stream_fd *stream, short events)
{
	struct pollfd pfd = {.fd = stream->fd, .events = events};

	return !stream->nonblock && !stream->is_socket && poll(&pfd, 1, 0) == 0;
}

ssize_t stream_fd_read(const struct stream_fd *stream, uint8_t *buf, size_t len)
{
	ssize_t n;

	if (would_block(stream, POLLIN))
		return -EAGAIN;
	do
		n = stream->is_socket ? recv(stream->fd, buf, len, MSG_DONTWAIT)
				      : read(stream->fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t stream_fd_write(const struct stream_fd *stream, const uint8_t *buf, size_t len)
{
	ssize_t n;

	if (would_block(stream, POLLOUT))
		return -EAGAIN;
	if (!stream->nonblock && stream->max_write)
		len = MIN(len, stream->max_write);
	do
		n = stream->is_socket ? send(stream->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
				      : write(stream->fd, buf, len);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -EAGAIN;
	return n < 0 ? -errno : n;
}
