/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's side of a tap: a queue is a pair of sockets that keep frames apart, and what is
 * asked for by ioctl is noted or refused. Give &fake.table to net_tap_config.sys.
 */
#ifndef TESTS_FAKE_TAP_SYS_H
#define TESTS_FAKE_TAP_SYS_H

#include "../../../../devices/net/tap.h"

enum { FAKE_TAP_QUEUES = NET_TAP_MAX_QUEUES + 1 };

struct fake_tap_sys {
	struct tap_sys table;
	/* How it behaves */
	int open_error, setiff_error; /* a negative errno, 0: none */
	int fail_at;		      /* the nth ioctl fails, from 1; 0: none */
	bool multi_queue;	      /* somebody has made the interface for several queues */
	unsigned long offloads_known; /* TUN_F_* */
	int mtu;
	short interface_flags;
	short getif_flags; /* what TUNGETIFF says */

	/* What has been asked for */
	struct {
		int fd, peer; /* ours, the kernel's */
		short flags;  /* of TUNSETIFF */
		bool attached;
		int header, little;
	} queues[FAKE_TAP_QUEUES];
	unsigned int num_queues;
	char name[IFNAMSIZ];
	unsigned long offloads;
	int ioctls;
};

void fake_tap_init(struct fake_tap_sys *fake);
/* Closes the kernel's ends; returns how many of ours are open still, and closes them as well. */
unsigned int fake_tap_fini(struct fake_tap_sys *fake);

/* A descriptor as somebody else would have opened it. */
int fake_tap_open(struct fake_tap_sys *fake);

#endif
