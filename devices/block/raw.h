/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the raw back end; raw.c tells how it works. */
#ifndef BANTAM_DEVICES_BLOCK_RAW_H
#define BANTAM_DEVICES_BLOCK_RAW_H

#include <libaio.h>
#include <pthread.h>

#include "image.h"
#include "list.h"
#include "pool.h"
#include "vm/core/event_loop.h"

struct blk_raw {
	struct blk blk;
	struct blk_image image;
	char *path;
	struct log *log;
	_Atomic uint64_t capacity;
	struct blk_pool pool;

	/* Constant while somebody is attached */
	struct event_loop *loop;
	pthread_mutex_t listener_lock; /* guards the two below against refresh */
	const struct blk_listener *listener;
	void *opaque;

	struct event_source source; /* the eventfd that libaio and the pool write */
	_Atomic bool signalled;	    /* the loop saw it; poll has to read it */

	/* All below belongs to whoever submits, commits, polls (one at a time) */
	bool native, closing;
	bool listening;	      /* the loop looks at the eventfd */
	unsigned int at_once; /* the latest commits in a row that left nothing to wait for */
	unsigned int in_aio, in_pool; /* requests there */
	struct blk_aio_queue *aio;
	struct blk_list batch;	  /* to be given to libaio by commit */
	struct blk_list slow;	  /* to be given to the pool */
	struct blk_list held;	  /* writes that must not begin yet */
	struct blk_list finished; /* done is to be called */

	unsigned int writes; /* on their way, without the held ones */
	bool partial_write;  /* one that writes part of a block; then it is the only one */

	bool dirty;		   /* something was written since the latest flush began */
	int flush_error;	   /* of the first one that failed; stays */
	struct blk_list unflushed; /* flushes, and writes with BLK_FUA that need one */
	struct blk_list flushing;  /* the same, which the flush under way is for */
	struct blk_request flush;  /* that flush */
};

/* raw_aio.c */
void raw_aio_prepare(const struct blk_raw *raw, struct blk_request *req);
/* Of one that libaio has done: it is on stable storage. */
bool raw_aio_durable(const struct blk_request *req);
/* Gives the batch to the kernel, and to the slow ones what it does not take. */
void raw_aio_submit(struct blk_raw *raw);
/* How many are finished and not collected. */
unsigned int raw_aio_ready(const struct blk_raw *raw);

/* raw_queue.c */
bool raw_wants_sync(const struct blk_raw *raw, const struct blk_request *req);
void raw_submit(struct blk *blk, struct blk_request *req);
void raw_commit(struct blk *blk);
unsigned int raw_poll(struct blk *blk);
void raw_drain(struct blk *blk);
void raw_cancel(struct blk_raw *raw); /* what was not started */
/* For the pool */
void raw_run(void *opaque, struct blk_request *req, uint8_t *bounce);

#endif
