/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the tap back end, and the system calls below it as a table that a test can replace.
 */
#ifndef BANTAM_DEVICES_NET_TAP_H
#define BANTAM_DEVICES_NET_TAP_H

#include <limits.h>
#include <net/if.h>

#include "devices/net/net.h"
#include "vm/core/event_loop.h"

/* All return 0 or more, or a negative errno. */
struct tap_sys {
	int (*open_tun)(const struct tap_sys *sys); /* a descriptor of /dev/net/tun */
	int (*ioctl)(const struct tap_sys *sys, int fd, unsigned long request, void *arg);
	/* SIOCGIFMTU and the like, in the network namespace of the process */
	int (*interface_ioctl)(
		const struct tap_sys *sys, unsigned long request, struct ifreq *request_arg);
};

extern const struct tap_sys tap_sys_host;

struct net_tap;

struct tap_queue {
	struct net_tap *tap;
	unsigned int index;
	struct event_source source; /* fd -1: not open */
	bool polled;		    /* source is in the loop */
	bool rx_on;
	bool blocked; /* send has given -EAGAIN */
	struct iovec iov[IOV_MAX];
};

/* No lock: all of it but gone belongs to the loop's thread. */
struct net_tap {
	struct net net;
	const struct tap_sys *sys;
	struct log *log;
	char name[IFNAMSIZ];
	struct event_loop *loop; /* NULL: nobody is attached */
	const struct net_listener *listener;
	void *opaque;
	_Atomic bool gone;   /* the interface was deleted */
	unsigned int active; /* queues in use, the first ones */
	unsigned int num_queues;
	struct tap_queue queues[];
};

/* ---- tap_open.c ---- */

/*
 * Opens tap->num_queues queues, or takes the ones of config, and sets them up: header, offloads,
 * one queue attached. On failure nothing is left open but what was inherited. -errno with a line.
 */
int tap_open(struct net_tap *tap, const struct net_tap_config *config, struct error *err);
/* Closes what is open. */
void tap_close_queues(struct net_tap *tap);
/* TUNSETQUEUE: whether the kernel uses the queue. */
int tap_attach_queue(struct net_tap *tap, unsigned int queue, bool on);
/* NET_* for what is delivered to us. */
int tap_set_offloads(struct net_tap *tap, uint32_t offloads);

/* ---- tap_script.c ---- */

/* Runs path with the interface's name as its argument; -ECHILD when it failed, -EINTR
 * when it was ended because a signal shall end us; with a line. */
int tap_run_script(const char *path, const char *ifname, struct error *err);

#endif
