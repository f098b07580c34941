/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

static struct char_peer *peer_of(struct chardev *dev)
{
	return container_of(dev, struct char_peer, dev);
}

static void on_broken(void *opaque, int error, bool final)
{
	(void)opaque;
	(void)error; /* The input half hears of the hang-up. */
	(void) final;
}

static void on_resumed(void *opaque, uint64_t dropped)
{
	struct char_peer *peer = opaque;

	log_limited(peer->config.log, &peer->limit, LOG_WARN,
		"%s was not read for too long: %llu bytes were dropped", peer->name,
		(unsigned long long)dropped);
}

static void close_halves(struct char_peer *peer)
{
	atomic_store(&peer->connected, false);
	char_input_close(&peer->in);
	char_output_close(&peer->out);
}

/* A pty's slave was closed: EIO. A client left without reading everything: ECONNRESET. */
static void on_ended(void *opaque, int error)
{
	struct char_peer *peer = opaque;

	(void)error;
	close_halves(peer);
	peer->left(peer);
	chardev_notify_event(&peer->dev, CHARDEV_DISCONNECTED);
}

void char_peer_init(struct char_peer *peer, const struct chardev_ops *ops)
{
	const struct char_config *config = &peer->config;

	chardev_init(&peer->dev, ops);
	peer->out.dev = &peer->dev;
	peer->out.loop = config->loop;
	peer->out.clock = config->clock;
	peer->out.broken = on_broken;
	peer->out.resumed = on_resumed;
	peer->out.opaque = peer;
	char_output_init(&peer->out);
	peer->in.dev = &peer->dev;
	peer->in.loop = config->loop;
	peer->in.clock = config->clock;
	peer->in.room = CHAR_INPUT_ROOM;
	peer->in.when_full = CHAR_INPUT_GIVE_UP;
	peer->in.ended = on_ended;
	peer->in.opaque = peer;
	char_input_init(&peer->in);
}

void char_peer_fini(struct char_peer *peer)
{
	char_input_fini(&peer->in);
	char_output_fini(&peer->out);
	chardev_fini(&peer->dev);
}

int char_peer_connect(struct char_peer *peer, int fd, bool is_socket)
{
	const int out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct stream_fd in, out;
	int rc;

	if (out_fd < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	stream_fd_own(&in, fd);
	stream_fd_own(&out, out_fd);
	in.is_socket = out.is_socket = is_socket;
	char_output_open(&peer->out, &out);
	atomic_store(&peer->connected, true);
	chardev_notify_event(&peer->dev, CHARDEV_CONNECTED);
	char_input_open(&peer->in, &in);
	return 0;
}

size_t char_peer_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	return char_output_write(&peer_of(dev)->out, buf, len);
}

void char_peer_rx_kick(struct chardev *dev)
{
	char_input_kick(&peer_of(dev)->in);
}

bool char_peer_connected(struct chardev *dev)
{
	return atomic_load(&peer_of(dev)->connected);
}

void char_peer_flush(struct chardev *dev)
{
	char_output_flush(&peer_of(dev)->out);
}
