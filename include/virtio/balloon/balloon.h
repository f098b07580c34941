/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The traditional memory balloon (virtio 1.2, 5.5): memory that the guest can do without goes back
 * to the host, because the host asked for it (a target) or because the guest has it free (free page
 * reporting). It also tells what the guest does with its memory (statistics).
 *
 * A page that was given back reads as zeros when the guest touches it again, which it may do
 * without asking: the host cannot count on it until the guest is gone.
 */
#ifndef BANTAM_VIRTIO_BALLOON_BALLOON_H
#define BANTAM_VIRTIO_BALLOON_BALLOON_H

#include "vm/core/base.h"

struct clock;
struct event_loop;
struct guest_mem;
struct log;
struct virtio_balloon;
struct virtio_device;

/* 5.5.3; see VIRTIO_BIT */
#define VIRTIO_BALLOON_F_STATS_VQ	VIRTIO_BIT(1)
#define VIRTIO_BALLOON_F_DEFLATE_ON_OOM VIRTIO_BIT(2)
#define VIRTIO_BALLOON_F_PAGE_POISON	VIRTIO_BIT(4)
#define VIRTIO_BALLOON_F_PAGE_REPORTING VIRTIO_BIT(5)

enum {
	VIRTIO_BALLOON_PAGE = 4096, /* of the balloon, whatever the guest's or the host's is */
	/* Linux wants 32 at least for reporting (PAGE_REPORTING_CAPACITY). */
	VIRTIO_BALLOON_QUEUE_SIZE = 32,
	/* Bytes given back in one go of the loop, so that others get their turn. */
	VIRTIO_BALLOON_PASS_BYTES = 32 << 20,
};

/* Tags of statistics: up to HTLB_PGFAIL as in 5.5.6.4, the others as Linux has had them since 6.12.
 */
enum virtio_balloon_tag {
	VIRTIO_BALLOON_S_SWAP_IN,  /* bytes since boot */
	VIRTIO_BALLOON_S_SWAP_OUT, /* likewise */
	VIRTIO_BALLOON_S_MAJFLT,   /* faults since boot */
	VIRTIO_BALLOON_S_MINFLT,
	VIRTIO_BALLOON_S_MEMFREE, /* bytes used for nothing */
	VIRTIO_BALLOON_S_MEMTOT,  /* bytes */
	VIRTIO_BALLOON_S_AVAIL,	  /* bytes that new programs can have without swapping */
	VIRTIO_BALLOON_S_CACHES,  /* bytes that can be had at once, of files mostly */
	VIRTIO_BALLOON_S_HTLB_PGALLOC,
	VIRTIO_BALLOON_S_HTLB_PGFAIL,
	VIRTIO_BALLOON_S_OOM_KILL,
	VIRTIO_BALLOON_S_ALLOC_STALL,
	VIRTIO_BALLOON_S_ASYNC_SCAN, /* bytes since boot, as what follows */
	VIRTIO_BALLOON_S_DIRECT_SCAN,
	VIRTIO_BALLOON_S_ASYNC_RECLAIM,
	VIRTIO_BALLOON_S_DIRECT_RECLAIM,
	VIRTIO_BALLOON_NUM_STATS
};

/* What the guest said last; nobody has checked it. */
struct virtio_balloon_stats {
	uint64_t generation; /* of these: one more with each set that the guest gives */
	uint32_t valid;	     /* bit n: there is a value[n] */
	uint64_t value[VIRTIO_BALLOON_NUM_STATS]; /* by tag */
};

struct virtio_balloon_config {
	const char *name; /* for the log; outlives the device */
	const struct guest_mem *mem;
	struct event_loop *loop; /* see virtio_device_config */
	struct log *log;
	const struct clock *clock;
	uint64_t target;	  /* see virtio_balloon_set_target */
	bool deflate_on_oom;	  /* the guest may take pages back rather than kill processes */
	bool free_page_reporting; /* the guest may give back what it has free, unasked */
	/*
	 * Of the host, behind the guest's memory: a power of two, 4 KiB at least. Less than a whole
	 * one is never given back, so with 2 MiB (hugetlb) reporting works, as Linux reports pieces
	 * of that size, and the balloon, whose pages come one by one, hardly saves anything. What
	 * hugetlb gives back is anyone's; the guest needs the pool to have a page when it wants it
	 * again.
	 */
	size_t page_size;
	/*
	 * Gives [hva, hva + len), whole pages of page_size in guest RAM, back to the host: 0, with
	 * zeros there from now on, or a negative errno, with nothing changed. At most
	 * VIRTIO_BALLOON_PASS_BYTES. Called with the device's lock held. NULL: MADV_DONTNEED, which
	 * is right for private anonymous memory.
	 */
	int (*discard)(void *opaque, void *hva, size_t len);
	/*
	 * New statistics have come. With the device's lock held, so that none of the functions
	 * below may be called: wake somebody. May be NULL.
	 */
	void (*stats_changed)(void *opaque);
	void *opaque;
};

/*
 * -EINVAL for a wrong page size or target, or what virtio_device_create says. Ends with
 * virtio_device_destroy of virtio_balloon_device, in place of a function here.
 */
int virtio_balloon_create(const struct virtio_balloon_config *config, struct virtio_balloon **ret);
struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon);

/* The functions below are for any thread that holds no lock of the device. */

/*
 * How much memory, in bytes, the guest shall put into the balloon: rounded down to pages, and
 * remembered for drivers to come. -EINVAL: more than there is. The guest complies as far and as
 * soon as it likes; when it has done so for the first time, NOTICE_BALLOON tells (vm/core/log.h).
 */
int virtio_balloon_set_target(struct virtio_balloon *balloon, uint64_t bytes);
uint64_t virtio_balloon_target(struct virtio_balloon *balloon);
/* How much there is in it, by the guest's account; 0 without a driver. At most the RAM there is. */
uint64_t virtio_balloon_actual(struct virtio_balloon *balloon);

/*
 * Asks the guest for statistics. Does not wait: stats_changed is called, and the generation moves
 * on, when they are there, which a guest may put off for ever. Asking again before that is in
 * order, and does nothing. -EAGAIN: no driver is there that gives statistics.
 */
int virtio_balloon_request_stats(struct virtio_balloon *balloon);
/* The same every so often, whenever there is a driver; 0 ends it. */
void virtio_balloon_poll_stats(struct virtio_balloon *balloon, uint64_t interval_ns);
/* The latest ones. No bit is valid before the first ones of a driver. */
void virtio_balloon_stats(struct virtio_balloon *balloon, struct virtio_balloon_stats *ret);

#endif
