/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk of layers: a qcow2 image on top, and what it is based on, down to one that has no backing
 * file. disk.c tells how requests go.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_DISK_H
#define BANTAM_DEVICES_BLOCK_QCOW2_DISK_H

#include "../list.h"
#include "../pool.h"
#include "image.h"
#include "packed.h"
#include "vm/core/event_loop.h"

enum {
	QCOW2_LAYERS = 16,
	QCOW2_PARTS = 256,
	PART_IOVECS = 64,
	QCOW2_COPY = 65536, /* bytes in one step of a copy */
};

struct qcow2_disk;

struct qcow2_layer {
	char *path;
	struct blk *file;
	struct blk_image *io;
	struct qcow2_image *image; /* NULL: a raw one */
	struct qcow2_codec *codec;
	uint8_t *head; /* of a qcow2 file: its first bytes, while it is opened */
	size_t head_len;

	struct qcow2_disk *disk;
	_Atomic bool ready; /* the raw back end wants to be polled */

	/* The front end's lock */
	bool to_commit;
	unsigned int in_flight;
};

/* A piece of a request on its way: [pos, pos + len) of it now, and on to end afterwards. */
struct qcow2_part {
	struct blk_request req; /* for the raw back end, or the pool */
	struct qcow2_disk *disk;
	struct blk_request *parent;
	uint64_t pos, len, end;
	uint64_t epoch;
	struct qcow2_layer *layer; /* NULL: in the pool */
	unsigned int tries;
	bool cold;  /* a table has to be read first */
	bool again; /* the pool's answer: look at the tables once more */
	struct qcow2_part *next_free;
	struct iovec iov[PART_IOVECS];
};

/* Clusters that somebody is about to give another place */
struct qcow2_claim {
	bool used;
	uint64_t cluster;
};

/* What a thread of the pool works with */
struct qcow2_worker {
	struct qcow2_disk *disk;
	uint8_t *bounce; /* BOUNCE_SIZE */
	uint8_t *copy;	 /* QCOW2_COPY */
};

struct qcow2_disk {
	struct blk blk;
	struct log *log;
	struct qcow2_layer layer[QCOW2_LAYERS + 1]; /* with what is thrown away */
	unsigned int num_layers;
	struct blk_pool pool;
	uint8_t *copies; /* QCOW2_COPY for each thread of the pool */

	/* Constant while somebody is attached */
	struct event_loop *loop;
	pthread_mutex_t listener_lock;
	const struct blk_listener *listener;
	void *opaque;
	struct event_source source;
	_Atomic bool signalled;

	/* Of whoever submits, commits, polls */
	bool closing;
	unsigned int in_pool;
	struct qcow2_part *parts, *free_parts;
	struct blk_list waiting;  /* requests for which there is no part yet */
	struct blk_list slow;	  /* parts for the pool */
	struct blk_list finished; /* requests */

	/* Parts that have begun in an even and an odd epoch, and are not done */
	_Atomic uint64_t epoch; /* the top image's owner moves it */
	_Atomic unsigned int busy[2];

	/* The top image's owner */
	struct qcow2_claim claim[POOL_THREADS + 1];
	pthread_cond_t unclaimed;

	pthread_mutex_t packed_lock; /* guards the latest unpacked cluster */
	uint8_t *packed, *unpacked;
	size_t packed_bytes;
	const struct qcow2_layer *packed_layer;
	uint64_t packed_host;
};

static inline struct qcow2_image *qcow2_top(struct qcow2_disk *disk)
{
	return disk->layer[0].image;
}

/* ---- chain.c: what the layers say ---- */

/*
 * What [offset, offset + len) is, and in which layer from that one on. NONE is not an answer. With
 * load tables are read, and COLD is none either; 0 or -errno.
 */
int qcow2_chain_map(struct qcow2_disk *disk, unsigned int from, uint64_t offset, uint64_t len,
	bool load, struct qcow2_run *run, struct qcow2_layer **layer);
/* Of the disk that it is, bytes. */
uint64_t qcow2_layer_size(const struct qcow2_layer *layer);
/* Waits: all of that, as it is now. */
int qcow2_chain_read(struct qcow2_worker *worker, uint64_t offset, uint8_t *buf, uint64_t len);
/* The same for a part of a request: [pos, pos + len) of it. */
int qcow2_chain_read_part(struct qcow2_worker *worker, struct qcow2_part *part);
/* Zeros into [pos, pos + len) of the request. */
void qcow2_zero_iovecs(const struct blk_request *req, uint64_t pos, uint64_t len);

/* ---- work.c: what threads of the pool do ---- */

void qcow2_work(void *opaque, struct blk_request *req, uint8_t *bounce);
/* Whether a write of the top image has to be on stable storage when it is done. */
bool qcow2_wants_sync(struct qcow2_disk *disk, const struct blk_request *req);

/* ---- write.c ---- */

/* [pos, pos + n) of the request, inside one cluster; zeros for WRITE_ZEROES. Sets part->again. */
int qcow2_write_cluster(
	struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n);
/* Whole units of one cluster. */
int qcow2_clear_cluster(
	struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n);

/* ---- disk.c ---- */

/* The owner of the top image, in a part: what was dropped until then is nobody's any more. */
uint64_t qcow2_quiet_epoch(struct qcow2_disk *disk);
/* The pool's eventfd has something. */
void qcow2_disk_event(void *opaque, uint32_t events);
extern const struct blk_ops qcow2_disk_ops;

/* ---- scratch.c ---- */

/* The top layer, which is empty, becomes a file without a name, for a disk of that size. */
int qcow2_scratch_open(struct qcow2_layer *top, const struct blk_config *config, uint64_t size,
	uint64_t most, struct error *err);

/* ---- open.c ---- */

/* Nothing is in flight, nobody attached. */
void qcow2_disk_free(struct qcow2_disk *disk);

#endif
