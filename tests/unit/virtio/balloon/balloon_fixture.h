/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For cmocka: a balloon on the transport that the test's initial state names, which writes down
 * what it gives back, and the driver half on it. BALLOON(f) lists test f once for each transport.
 */
#ifndef TESTS_BALLOON_FIXTURE_H
#define TESTS_BALLOON_FIXTURE_H

#include "fakes/fake_clock.h"
#include "fakes/virtio_fixture.h"
#include "virtio/balloon/balloon.h"

#define FEATURES_BALLOON                                                                           \
	(VIRTIO_BALLOON_F_STATS_VQ | VIRTIO_BALLOON_F_DEFLATE_ON_OOM |                             \
		VIRTIO_BALLOON_F_PAGE_POISON | VIRTIO_BALLOON_F_PAGE_REPORTING)

enum {
	PAGE = VIRTIO_BALLOON_PAGE,
	INFLATE = 0,
	DEFLATE = 1,
	STATS = 2,
	REPORTING_LINUX = 3, /* see virtio/balloon/balloon.c */
	REPORTING = 4,
	/* Pages of the rig's RAM are counted from its start. The first half is for rings and
	 * arrays. */
	RAM_PAGES = RIG_RAM_SIZE / PAGE,
	RAM_PFN = RIG_RAM_BASE / PAGE,
	FREE_PAGES = RAM_PAGES / 2,
	MAX_RUNS = 1024,
};

#define BIG_BASE (4 * GiB)

/* Neighbouring pages, counted from the start of the rig's RAM or of the big region. */
struct balloon_run {
	size_t page, count;
};

struct balloon_fixture {
	struct virtio_balloon_config config; /* for the next balloon_restart */
	bool loop, real_clock;		     /* the second needs the first */
	uint64_t big; /* bytes of a further region at BIG_BASE, readable; 0: none */

	struct virtio_balloon *b;
	struct fake_clock clock;
	struct timer_queue *timers;
	uint8_t *big_hva;
	uint64_t big_mapped;
	struct balloon_run runs[MAX_RUNS]; /* given back */
	size_t num_runs, bytes;
	int fail; /* what the host says, instead of giving back */
	/* The arrays or reports that were used already when a page was given back: must be 0. */
	unsigned int used_too_early;
	unsigned int stats_changed;
};

extern struct balloon_fixture bal;
/* The driver of queues 3 and 4, which it knows as 0 and 1. drv has the others. */
extern struct vdrv upper;

int balloon_set_up(void **state);
int balloon_tear_down(void **state);
/* A fresh machine with what bal.config, bal.loop and bal.big say now. */
void balloon_restart(void);

/* Up to DRIVER_OK, with the queues that the features stand for. */
void balloon_start(uint64_t features);
/* The same up to the queues. */
void balloon_negotiate(uint64_t features);
/* Sets up queue REPORTING_LINUX or REPORTING. */
void balloon_upper_setup(unsigned int q);

/* A chain of out readable and in writable buffers, which must come back used with length 0. */
void balloon_request(struct vdrv *d, unsigned int q, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in);
/* The same for an array of page numbers. */
void balloon_send(unsigned int q, const uint32_t *pfns, size_t n);

/* What was given back since the last call, in this order. */
void balloon_expect(const struct balloon_run *runs, size_t n);
#define EXPECT_RUNS(...)                                                                           \
	balloon_expect((const struct balloon_run[]){__VA_ARGS__},                                  \
		sizeof((const struct balloon_run[]){__VA_ARGS__}) / sizeof(struct balloon_run))
#define EXPECT_NOTHING() balloon_expect(NULL, 0)

#define BALLOON_ON(f, name, kind)                                                                  \
	{                                                                                          \
#f "/" name, f, balloon_set_up, balloon_tear_down, (void *)(uintptr_t)(kind)       \
	}
#define BALLOON_MMIO(f) BALLOON_ON(f, "mmio", RIG_MMIO)
#define BALLOON(f)                                                                                 \
	BALLOON_MMIO(f), BALLOON_ON(f, "pci-intx", RIG_PCI_INTX),                                  \
		BALLOON_ON(f, "pci-msix", RIG_PCI_MSIX)

#endif
