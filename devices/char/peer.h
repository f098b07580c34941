/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end whose other side is one peer that comes and goes: who opens a pty's slave, a client
 * of a socket. The two halves have duplicates of one descriptor while it is there, and nothing
 * otherwise.
 */
#ifndef BANTAM_DEVICES_CHAR_PEER_H
#define BANTAM_DEVICES_CHAR_PEER_H

#include "devices/char/char.h"
#include "input.h"
#include "output.h"
#include "vm/core/log.h"

struct char_peer {
	struct chardev dev;
	struct char_config config;
	const char *name; /* for messages; not owned */
	/*
	 * It has gone, and the halves are closed: wait for the next one. On the loop's thread,
	 * before the front end hears of it.
	 */
	void (*left)(struct char_peer *peer);
	_Atomic bool connected;
	struct log_limit limit;
	struct char_input in;
	struct char_output out;
};

/* Nobody is there. config, name, left and in.half_close are the caller's to set before. */
void char_peer_init(struct char_peer *peer, const struct chardev_ops *ops);
/* Closes; left is not called. */
void char_peer_fini(struct char_peer *peer);

/*
 * Somebody is there: takes fd over, which is non-blocking, and tells the front end. On the loop's
 * thread. Returns 0 or a negative errno, with fd closed.
 */
int char_peer_connect(struct char_peer *peer, int fd, bool is_socket);

/* As in chardev_ops. */
size_t char_peer_write(struct chardev *dev, const uint8_t *buf, size_t len);
void char_peer_rx_kick(struct chardev *dev);
bool char_peer_connected(struct chardev *dev);
void char_peer_flush(struct chardev *dev);

#endif
