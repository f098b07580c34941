/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network back end in the test's hands: keeps what is sent to it, takes only as much as it is
 * told to, holds frames for the front end, and plays the event loop when fake_net_run is called.
 * Whatever a back end may count on is checked, and ends the test. Single-threaded.
 */
#ifndef TESTS_VIRTIO_NET_FAKE_H
#define TESTS_VIRTIO_NET_FAKE_H

#include "devices/net/net.h"

enum { FAKE_NET_QUEUES = 4 };

struct fake_frame {
	struct fake_frame *next;
	unsigned int queue;
	size_t len; /* header included */
	uint8_t bytes[];
};

struct fake_frames {
	struct fake_frame *first, *last;
	unsigned int num;
};

struct fake_net {
	struct net net; /* hand &fake.net to the device; info may be changed before that */
	const struct net_listener *listener;
	void *opaque;
	bool closed;

	struct fake_frames sent; /* by the guest */
	unsigned int room;	 /* frames it will still take; UINT_MAX: no end */
	int refuse;		 /* what send says instead of taking a frame; 0: it takes it */
	bool waiting[FAKE_NET_QUEUES]; /* -EAGAIN was said: writable is owed */

	struct fake_frames queued[FAKE_NET_QUEUES]; /* for the guest */
	bool rx_on[FAKE_NET_QUEUES];
	int broken; /* what recv says instead of anything else, if not 0 */

	bool link_up;
	uint32_t offloads;
	unsigned int pairs;
	void (*on_send)(void); /* called first of all, if set */
	int fail_attach, fail_offloads, fail_queues;
	/* Calls */
	unsigned int sends, recvs, enables, offloads_set, queues_set;
	int max_iovs;  /* of a send */
	int recv_iovs; /* of the last recv that found a frame */
};

/* All offloads both ways, FAKE_NET_QUEUES queues, no address or MTU of its own, link up. */
void fake_net_init(struct fake_net *fake);
void fake_net_fini(struct fake_net *fake);

/* A frame for the guest: the header, then payload. */
void fake_net_put(struct fake_net *fake, unsigned int queue, const struct net_header *header,
	const void *payload, size_t len);
/* The oldest frame sent, which the caller frees; NULL: none. */
struct fake_frame *fake_net_take(struct fake_net *fake);

/* Sets how much it takes; writable follows where it is owed. */
void fake_net_allow(struct fake_net *fake, unsigned int frames);
void fake_net_set_link(struct fake_net *fake, bool up);

/* One round of the event loop: at most one callback for each queue and kind. How many there were.
 */
unsigned int fake_net_round(struct fake_net *fake);
/* Until nothing is to be done. */
void fake_net_run(struct fake_net *fake);

#endif
