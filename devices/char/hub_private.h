/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by hub.c, which is the back end and keeps output, and hub_client.c. */
#ifndef BANTAM_DEVICES_CHAR_HUB_PRIVATE_H
#define BANTAM_DEVICES_CHAR_HUB_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/char/hub.h"
#include "input.h"
#include "vm/core/event_loop.h"

struct hub_client {
	struct hub *hub;
	struct hub_client *next;
	struct hub_client_config config;
	unsigned int number;
	uint64_t size_stamp; /* when its size was told; 0: it has none */
	uint64_t pos;	     /* how far it has seen the output */
	struct event_source out;
	bool blocked; /* the socket is full */
	bool polled;  /* out is in the loop */
	bool silent;  /* it gets no more output */
	bool leaving; /* it is gone, but for input that the guest has not taken */
	bool dead;    /* to be freed */
	struct char_input in;
	uint64_t taken; /* of its input, when the timer was set */
	struct timer patience;
};

struct hub {
	struct chardev dev;
	struct char_config config;
	struct chardev *below;
	bool kept;
	struct event_source posted; /* there is output, or a client to free */

	pthread_mutex_t lock; /* guards what follows, up to the next comment */
	uint8_t *ring;	      /* HUB_HISTORY bytes, mapped with the first output; or NULL */
	uint64_t total;	      /* bytes of output that the ring has seen */
	bool watched;	      /* there are clients that may get output */
	uint16_t cols, rows;  /* of a client's terminal; 0: the size is below's */

	/* The loop's thread only */
	struct hub_client *clients; /* the list is changed under the lock */
	unsigned int last_number;
	uint64_t last_stamp, below_stamp;
	_Atomic bool connected;
};

static inline struct hub *hub_of(struct chardev *dev)
{
	return container_of(dev, struct hub, dev);
}

/*
 * Copies from *pos on; returns how many bytes. What is not there any more is skipped, and *pos
 * moved, with the count in *lost.
 */
size_t hub_read(struct hub *hub, uint64_t *pos, uint8_t *buf, size_t size, uint64_t *lost);

/* After clients came or went: what the front end sees of them. */
void hub_update(struct hub *hub);

/* Sends what there is to all clients, offers their input, and frees those that are dead. */
void hub_serve(struct hub *hub);
/* Sends what is left, for at most 1 s in all, and frees all of them. */
void hub_close_clients(struct hub *hub);

#endif
