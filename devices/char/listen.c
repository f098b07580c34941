/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/char/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/core/error.h"

void char_unlisten(struct char_listener *listener)
{
	const char *path = listener->address.sun_path;
	struct stat now;

	if (path[0] && lstat(path, &now) == 0 && now.st_dev == listener->identity.st_dev &&
		now.st_ino == listener->identity.st_ino)
		unlink(path);
	close(listener->fd);
	listener->fd = -1;
}

/* Whether somebody listens at address: 1, 0 or a negative errno. */
static int is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	/* EAGAIN: the queue is full, so there is a listener; EPROTOTYPE: of another type. */
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	     errno != ECONNREFUSED;
	close(fd);
	return rc;
}

/* A socket that nobody listens on is left over from an earlier run. */
static int clear_path(const struct sockaddr_un *address, struct error *err)
{
	const char *path = address->sun_path;
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, -errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(
			err, -EEXIST, "%s: exists and is not a socket; not replaced", path);
	rc = is_alive(address);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", path);
	if (rc)
		return error_set(err, -EADDRINUSE, "%s: another process listens there", path);
	return unlink(path) < 0 ? error_set_errno(err, -errno, "%s", path) : 0;
}

static int listen_at(struct char_listener *listener, int backlog, struct error *err)
{
	const struct sockaddr *address = (const struct sockaddr *)&listener->address;
	const char *path = listener->address.sun_path;
	int rc = clear_path(&listener->address, err);

	if (rc < 0)
		return rc;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return error_set_errno(err, -errno, "%s", path);
	/* The mode before bind: the file never has a wider one. */
	if (fchmod(listener->fd, 0600) < 0 ||
		bind(listener->fd, address, sizeof(listener->address)) < 0) {
		rc = error_set_errno(err, -errno, "%s", path);
		close(listener->fd);
		return rc;
	}
	if (lstat(path, &listener->identity) < 0 || listen(listener->fd, backlog) < 0) {
		rc = error_set_errno(err, -errno, "%s", path);
		char_unlisten(listener);
		return rc;
	}
	return 0;
}

int char_listen(const char *path, int backlog, struct char_listener *listener, struct error *err)
{
	if (!path[0] || strlen(path) >= sizeof(listener->address.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: a socket's path has 1 to %zu bytes", path,
			sizeof(listener->address.sun_path) - 1);
	*listener = (struct char_listener){.fd = -1, .address.sun_family = AF_UNIX};
	memcpy(listener->address.sun_path, path, strlen(path) + 1);
	return listen_at(listener, backlog, err);
}

static int tcp_failed(const struct sockaddr *address, int rc, struct error *err)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	char host[INET6_ADDRSTRLEN] = "";

	if (address->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		return error_set_errno(err, rc, "TCP port [%s]:%u", host, ntohs(in6->sin6_port));
	}
	inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	return error_set_errno(err, rc, "TCP port %s:%u", host, ntohs(in->sin_port));
}

int char_listen_tcp(const struct sockaddr *address, int backlog, struct char_listener *listener,
	struct error *err)
{
	const socklen_t len = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
							     : sizeof(struct sockaddr_in);
	const int on = 1;
	int rc, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set_errno(err, -errno, "a TCP socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, address, len) < 0 || listen(fd, backlog) < 0) {
		rc = tcp_failed(address, -errno, err);
		close(fd);
		return rc;
	}
	*listener = (struct char_listener){.fd = fd};
	return 0;
}
