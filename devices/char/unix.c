/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening socket, for one client at a time: it is in the loop only while there is none, so a
 * later client waits in the kernel's queue. What is a client's is in peer.c.
 *
 * A client that has shut down its sending side still receives (`echo ls | nc -U`); it is gone when
 * it hangs up. What it had sent before stays in the buffer for the guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "devices/char/char.h"
#include "devices/char/listen.h"
#include "peer.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define ACCEPT_RETRY_NS NSEC_PER_SEC

enum { BACKLOG = 16 };

struct unix_socket {
	struct char_peer peer;
	struct char_listener bound;
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

static void unix_close(struct chardev *dev)
{
	struct unix_socket *sock = unix_of(dev);

	char_peer_flush(dev);
	clock_disarm_sync(sock->peer.config.clock, &sock->retry);
	set_listening(sock, false);
	char_peer_fini(&sock->peer);
	char_unlisten(&sock->bound);
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

static struct unix_socket *allocate(
	const struct char_config *config, const char *path, struct error *err)
{
	struct unix_socket *sock = calloc(1, sizeof(*sock));

	if (!sock) {
		error_set_errno(err, -ENOMEM, "%s", path);
		return NULL;
	}
	sock->peer.config = *config;
	sock->peer.name = sock->bound.address.sun_path;
	sock->peer.left = on_left;
	sock->peer.in.half_close = true;
	sock->retry = (struct timer){.fn = on_retry_timer, .opaque = sock};
	sock->listener =
		(struct event_source){.fd = -1, .events = EPOLLIN, .fn = on_client, .opaque = sock};
	return sock;
}

int char_unix_create(
	const struct char_config *config, const char *path, struct chardev **ret, struct error *err)
{
	struct unix_socket *sock;
	int rc;

	sock = allocate(config, path, err);
	if (!sock)
		return -ENOMEM;
	rc = char_listen(path, BACKLOG, &sock->bound, err);
	if (rc < 0)
		goto free_sock;
	sock->listener.fd = sock->bound.fd;
	char_peer_init(&sock->peer, &unix_ops);
	set_listening(sock, true);
	*ret = &sock->peer.dev;
	return 0;

free_sock:
	free(sock);
	return rc;
}
