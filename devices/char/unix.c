/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening socket, for one client at a time: it is in the loop only while there is none, so a
 * later client waits in the kernel's queue. What is a client's is in peer.c.
 *
 * A client that has shut down its sending side still receives (`echo ls | nc -U`); it is gone when
 * it hangs up. What it had sent before stays in the buffer for the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/char/char.h"
#include "peer.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define ACCEPT_RETRY_NS NSEC_PER_SEC

enum { BACKLOG = 16 };

struct unix_socket {
	struct char_peer peer;
	struct sockaddr_un address;
	struct stat identity; /* of the socket's file, to unlink no other */
	struct event_source listener;
	bool listening; /* the listener is in the loop */
	struct timer retry;
};

static struct unix_socket *unix_of(struct chardev *dev)
{
	return container_of(dev, struct unix_socket, peer.dev);
}

static void set_listening(struct unix_socket *sock, bool listening)
{
	if (sock->listening && !listening)
		event_loop_remove(sock->peer.config.loop, &sock->listener);
	if (!sock->listening && listening &&
		event_loop_add(sock->peer.config.loop, &sock->listener) < 0)
		listening = false;
	sock->listening = listening;
}

static void on_left(struct char_peer *peer)
{
	set_listening(container_of(peer, struct unix_socket, peer), true);
}

static void on_retry_timer(void *opaque)
{
	set_listening(opaque, true);
}

/* The client has gone again; or we are out of descriptors, and it would be reported for ever. */
static void accept_failed(struct unix_socket *sock)
{
	const struct clock *clock = sock->peer.config.clock;

	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	set_listening(sock, false);
	clock_arm(clock, &sock->retry, clock_monotonic_ns(clock) + ACCEPT_RETRY_NS);
}

static void on_client(void *opaque, uint32_t events)
{
	struct unix_socket *sock = opaque;
	int fd;

	(void)events;
	fd = accept4(sock->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		accept_failed(sock);
		return;
	}
	set_listening(sock, false);
	if (char_peer_connect(&sock->peer, fd, true) < 0)
		set_listening(sock, true);
}

/* ---- ops ---- */

static bool unix_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	(void)dev;
	(void)cols;
	(void)rows;
	return false;
}

static void unlink_ours(const struct unix_socket *sock)
{
	struct stat now;

	if (lstat(sock->address.sun_path, &now) == 0 && now.st_dev == sock->identity.st_dev &&
		now.st_ino == sock->identity.st_ino)
		unlink(sock->address.sun_path);
}

static void unix_close(struct chardev *dev)
{
	struct unix_socket *sock = unix_of(dev);

	char_peer_flush(dev);
	clock_disarm_sync(sock->peer.config.clock, &sock->retry);
	set_listening(sock, false);
	char_peer_fini(&sock->peer);
	unlink_ours(sock);
	close(sock->listener.fd);
	free(sock);
}

static const struct chardev_ops unix_ops = {
	.write = char_peer_write,
	.rx_kick = char_peer_rx_kick,
	.connected = char_peer_connected,
	.size = unix_size,
	.flush = char_peer_flush,
	.close = unix_close,
};

/* ---- construction ---- */

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

static int listen_at(struct unix_socket *sock, struct error *err)
{
	const struct sockaddr *address = (const struct sockaddr *)&sock->address;
	int fd, rc = clear_path(&sock->address, err);

	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, -errno, "%s", sock->address.sun_path);
	/* The mode before bind: the file never has a wider one. */
	if (fchmod(fd, 0600) < 0 || bind(fd, address, sizeof(sock->address)) < 0) {
		rc = error_set_errno(err, -errno, "%s", sock->address.sun_path);
		close(fd);
		return rc;
	}
	if (lstat(sock->address.sun_path, &sock->identity) < 0 || listen(fd, BACKLOG) < 0) {
		rc = error_set_errno(err, -errno, "%s", sock->address.sun_path);
		unlink_ours(sock);
		close(fd);
		return rc;
	}
	sock->listener.fd = fd;
	return 0;
}

static struct unix_socket *allocate(
	const struct char_config *config, const char *path, struct error *err)
{
	struct unix_socket *sock = calloc(1, sizeof(*sock));

	if (!sock) {
		error_set_errno(err, -ENOMEM, "%s", path);
		return NULL;
	}
	sock->peer.config = *config;
	sock->peer.name = sock->address.sun_path;
	sock->peer.left = on_left;
	sock->peer.in.half_close = true;
	sock->retry = (struct timer){.fn = on_retry_timer, .opaque = sock};
	sock->address.sun_family = AF_UNIX;
	/* The caller has checked that it fits. */
	memcpy(sock->address.sun_path, path, strlen(path) + 1);
	sock->listener =
		(struct event_source){.fd = -1, .events = EPOLLIN, .fn = on_client, .opaque = sock};
	return sock;
}

int char_unix_create(
	const struct char_config *config, const char *path, struct chardev **ret, struct error *err)
{
	struct unix_socket *sock;
	int rc;

	if (!path[0] || strlen(path) >= sizeof(sock->address.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: a socket's path has 1 to %zu bytes", path,
			sizeof(sock->address.sun_path) - 1);
	sock = allocate(config, path, err);
	if (!sock)
		return -ENOMEM;
	rc = listen_at(sock, err);
	if (rc < 0)
		goto free_sock;
	char_peer_init(&sock->peer, &unix_ops);
	set_listening(sock, true);
	*ret = &sock->peer.dev;
	return 0;

free_sock:
	free(sock);
	return rc;
}
