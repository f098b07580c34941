/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block back end for tests of the device in front of it: a disk in memory that finishes requests
 * at once or when it is told to, fails as it is told to, keeps a record, and holds its user to the
 * contract of devices/block/blk.h: a breach ends the test.
 *
 * Two contents: what reads find, and what would be left if the power went, which is as little as a
 * disk may keep. Only the first VBF_BYTES are there: beyond them reads find zeros, and writes are
 * lost. Thread-safe. Free of the test framework.
 */
#ifndef TESTS_VIRTIO_BLK_FAKE_H
#define TESTS_VIRTIO_BLK_FAKE_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/block/blk.h"
#include "vm/core/event_loop.h"

enum {
	VBF_SECTORS = 192,
	VBF_BYTES = VBF_SECTORS * BLK_SECTOR,
	VBF_LOG = 2048,
	VBF_GARBAGE = 0xdd, /* what a discard leaves */
};

struct vbf_list {
	struct blk_request *head, **end;
};

struct vbf_entry {
	enum blk_op op;
	uint32_t flags;
	uint64_t offset, len;
	int num_iov;
};

struct vbf {
	struct blk blk;
	uint8_t data[VBF_BYTES], stable[VBF_BYTES];
	_Atomic uint64_t capacity;
	pthread_mutex_t listener_lock; /* as real ones have it: held while resized is called */
	const struct blk_listener *listener;
	void *opaque;
	struct event_loop *loop;
	struct event_source source;

	pthread_mutex_t lock; /* guards what follows */
	bool hold;	      /* commit leaves requests in flight, for vbf_finish */
	int error;	      /* what requests of failing_op end with, having moved */
	enum blk_op failing_op;
	uint64_t moved; /* so many bytes */
	struct vbf_list submitted, flight, finished;
	unsigned int num_flight;
	unsigned int commits; /* that started something */
	struct vbf_entry log[VBF_LOG];
	unsigned int num_log; /* all requests that were started */
	unsigned int beyond;  /* of them, those that do not lie inside the disk */
	unsigned int now;     /* counts completions */
	unsigned int written[VBF_SECTORS];
};

/* The byte that a new disk has at offset; never 0. */
uint8_t vbf_pattern(uint64_t offset);

/* Aborts without memory. Closed by blk_close. */
struct vbf *vbf_create(uint64_t capacity, bool read_only, bool write_cache);

/*
 * Finishes the i-th oldest request in flight: with an error only moved bytes of it are done. False:
 * there is none. The listener hears of it, on its loop or, without one, here and now.
 */
bool vbf_finish(struct vbf *disk, unsigned int i, int error, uint64_t moved);
void vbf_finish_all(struct vbf *disk);
unsigned int vbf_in_flight(struct vbf *disk);
/* The disk has another size from now on; resized is called. */
void vbf_resize(struct vbf *disk, uint64_t capacity);

#endif
