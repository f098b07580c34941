/* SPDX-License-Identifier: BSD-2-Clause */
/* A few threads that execute requests which would block. */
#ifndef BANTAM_DEVICES_BLOCK_POOL_H
#define BANTAM_DEVICES_BLOCK_POOL_H

#include <pthread.h>

#include "list.h"
#include "transfer.h"

enum {
	POOL_THREADS = 8,
	POOL_IDLE_S = 10, /* after which a thread without work ends */
};

struct blk_pool;

struct blk_worker {
	struct blk_pool *pool;
	pthread_t thread;
	bool made;  /* to be joined; the owner's */
	bool ended; /* or about to, without touching anything; pool's lock */
};

struct blk_pool {
	/* On a thread of the pool; the result goes to req->error. Constant, as is the rest here. */
	void (*run)(void *opaque, struct blk_request *req, uint8_t *bounce);
	void *opaque;
	int event_fd; /* is written when done stops being empty; not the pool's */
	/* private to pool.c: */
	uint8_t *bounce;      /* BOUNCE_SIZE for each thread, and for run_here */
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;  /* todo or stopping changed */
	struct blk_list todo, done;
	unsigned int num_todo, idle;
	bool stopping;
	_Atomic bool any_done; /* changes under the lock, read without */
	struct blk_worker worker[POOL_THREADS];
};

/* Makes no thread. 0 or -ENOMEM. */
int blk_pool_init(struct blk_pool *pool);
/* Nothing is in the pool; ends the threads. */
void blk_pool_fini(struct blk_pool *pool);

/* Takes all of the list. Where no thread can be had at all, runs it here and now. */
void blk_pool_add(struct blk_pool *pool, struct blk_list *list);
/* True when take would find something. */
bool blk_pool_ready(struct blk_pool *pool);
/* Appends what is done to the list. */
void blk_pool_take(struct blk_pool *pool, struct blk_list *list);
/* Appends what no thread has started to the list. */
void blk_pool_cancel(struct blk_pool *pool, struct blk_list *list);

#endif
