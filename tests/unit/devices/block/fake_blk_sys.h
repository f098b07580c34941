/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel below the raw back end, over a volatile_disk: what it demands, refuses, cuts short and
 * when it completes are the test's. Give &sys.table to blk_config.sys with the path of a real file
 * of the same size, which is opened and locked but holds nothing.
 *
 * Thread-safe, as the pool's threads call it; a test sets fields while nothing is in flight.
 */
#ifndef BANTAM_TESTS_FAKE_BLK_SYS_H
#define BANTAM_TESTS_FAKE_BLK_SYS_H

#include <pthread.h>

#include "../../../../devices/block/sys.h"
#include "volatile_disk.h"

enum fake_call {
	FAKE_PREADV,
	FAKE_PWRITEV,
	FAKE_FDATASYNC,
	FAKE_FALLOCATE,
	FAKE_DISCARD,
	FAKE_AIO_SUBMIT,
	FAKE_AIO_RESULT, /* an event's result */
	FAKE_NUM_CALLS,
};

enum { FAKE_AIO_MAX = 64, FAKE_FDS = 64 };

struct fake_blk_sys {
	struct blk_sys table;
	struct volatile_disk *disk;
	struct blk_direct direct; /* what it demands of O_DIRECT, -EINVAL otherwise; 1: nothing */
	int direct_fd;		  /* the one that is under O_DIRECT, or -1 */
	int direct_error;	  /* O_DIRECT is not possible */
	int aio_error;		  /* libaio is not possible */
	struct {
		unsigned int after; /* this many calls succeed */
		unsigned int times; /* then as many fail */
		int error;
	} fault[FAKE_NUM_CALLS];
	uint64_t most;	       /* bytes moved by one call at most; 0: no limit */
	int fallocate_modes;   /* FALLOC_FL_* bits that it knows */
	bool no_fdsync;	       /* libaio cannot flush */
	bool manual;	       /* aio completes when the test says so */
	unsigned int aio_room; /* at most FAKE_AIO_MAX in flight, else -EAGAIN */
	bool hold;	       /* calls that block do, until fake_sys_let_go */
	unsigned int blocked;  /* how many do now */

	pthread_mutex_t lock; /* guards all that changes below and above */
	pthread_cond_t changed;
	unsigned int calls[FAKE_NUM_CALLS];
	bool grown;		     /* somebody wrote behind the end */
	unsigned int losses;	     /* of data that was written back in vain */
	unsigned int told[FAKE_FDS]; /* how many of them each descriptor has been told of */
	struct iocb *flight[FAKE_AIO_MAX];
	unsigned int ticket[FAKE_AIO_MAX];
	unsigned int num_flight;
	struct io_event event[FAKE_AIO_MAX];
	unsigned int num_events;
};

/* size bytes, no demands, no faults. */
void fake_sys_init(struct fake_blk_sys *sys, uint64_t size);
void fake_sys_fini(struct fake_blk_sys *sys);

/* The next times calls after the first after ones fail. */
void fake_sys_fail(struct fake_blk_sys *sys, enum fake_call call, unsigned int after,
	unsigned int times, int error);
unsigned int fake_sys_calls(struct fake_blk_sys *sys, enum fake_call call);
/* The kernel loses data that it was to write back: -EIO, once for each open file, to who syncs. */
void fake_sys_lose(struct fake_blk_sys *sys);
/* Completes number i of those in flight; false when there is none. */
bool fake_sys_complete(struct fake_blk_sys *sys, unsigned int i);
unsigned int fake_sys_in_flight(struct fake_blk_sys *sys);
/* Waits until count calls are held. */
void fake_sys_wait_blocked(struct fake_blk_sys *sys, unsigned int count);
void fake_sys_let_go(struct fake_blk_sys *sys);

#endif
