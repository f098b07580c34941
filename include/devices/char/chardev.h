/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character back ends: where the bytes of a serial port or a console go. One handler (the front
 * end) is attached at a time; a back end outlives guest reboots, so a front end attaches when its
 * machine is built and detaches when it is torn down.
 */
#ifndef BANTAM_DEVICES_CHAR_CHARDEV_H
#define BANTAM_DEVICES_CHAR_CHARDEV_H

#include <pthread.h>

#include "vm/core/base.h"

struct error;
struct event_loop;
struct log;
struct chardev;

enum chardev_event {
	CHARDEV_BREAK,	      /* the person asked for a serial break */
	CHARDEV_CONNECTED,    /* somebody is there now (modem lines go up) */
	CHARDEV_DISCONNECTED, /* nobody is there any more */
	CHARDEV_RESIZED,      /* the terminal's size changed */
};

/* All called on the event loop's thread, with no lock of the back end held. */
struct chardev_handler {
	size_t (*rx_room)(void *opaque); /* bytes the front end can take now */
	void (*rx)(void *opaque, const uint8_t *buf, size_t len); /* len <= the last rx_room */
	void (*tx_ready)(void *opaque); /* after a short write: there is room again */
	void (*event)(void *opaque, enum chardev_event event);
};

struct chardev_ops {
	/*
	 * Takes up to len bytes without blocking, into the descriptor or a bounded buffer, and
	 * returns how many. Fewer than len means: keep the rest, tx_ready will follow. A reader
	 * that makes no progress for CHARDEV_STALL_NS turns the back end to dropping output until
	 * it reads again, so tx_ready always comes.
	 */
	size_t (*write)(struct chardev *dev, const uint8_t *buf, size_t len);
	/* The front end has room again (its rx_room was 0 or too small). Any thread. */
	void (*rx_kick)(struct chardev *dev);
	bool (*connected)(struct chardev *dev);
	bool (*size)(
		struct chardev *dev, uint16_t *cols, uint16_t *rows); /* false: not a terminal */
	void (*flush)(struct chardev *dev); /* writes out what is buffered, for at most 1 s */
	void (*close)(struct chardev *dev); /* flush, release; the handler is detached already */
};

#define CHARDEV_STALL_NS  (5 * NSEC_PER_SEC)
#define CHARDEV_TX_BUFFER 65536u /* bytes buffered towards a slow reader, per back end */

/* Embedded in its back end. */
struct chardev {
	const struct chardev_ops *ops;
	/* private to chardev.c: */
	pthread_mutex_t lock; /* guards all below; never held during a callback */
	pthread_cond_t idle;  /* callbacks became 0 */
	const struct chardev_handler *handler;
	void *opaque;
	unsigned int callbacks; /* running now, nested in one thread */
	pthread_t runner;	/* valid while callbacks is not 0 */
};

/*
 * NULL handler detaches; returns when no callback is running (elsewhere than in the caller, which
 * may be a callback). Hold no lock that a callback takes.
 */
void chardev_attach(struct chardev *dev, const struct chardev_handler *handler, void *opaque);

/* ---- for back ends ---- */

void chardev_init(struct chardev *dev, const struct chardev_ops *ops);
void chardev_fini(struct chardev *dev);

/*
 * Each calls the attached handler, if there is one. On the event loop's thread, with no lock held.
 * A handler that is being detached at the same time is called either wholly or not at all.
 */
size_t chardev_notify_room(struct chardev *dev);
/* Asks for the room and delivers that much of buf at most. Returns how many bytes were taken. */
size_t chardev_notify_rx(struct chardev *dev, const uint8_t *buf, size_t len);
void chardev_notify_tx_ready(struct chardev *dev);
void chardev_notify_event(struct chardev *dev, enum chardev_event event);

/* ---- for front ends; NULL is a back end to which nothing is connected ---- */

static inline size_t chardev_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	return dev ? dev->ops->write(dev, buf, len) : len;
}

static inline void chardev_rx_kick(struct chardev *dev)
{
	if (dev)
		dev->ops->rx_kick(dev);
}

static inline bool chardev_connected(struct chardev *dev)
{
	return dev && dev->ops->connected(dev);
}

static inline bool chardev_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	return dev && dev->ops->size(dev, cols, rows);
}

static inline void chardev_flush(struct chardev *dev)
{
	if (dev)
		dev->ops->flush(dev);
}

/* NULL is allowed. */
static inline void chardev_close(struct chardev *dev)
{
	if (dev)
		dev->ops->close(dev);
}

#endif
