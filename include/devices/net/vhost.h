/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux' vhost-net: a thread of the kernel's that serves a pair of virtqueues, between guest memory
 * and a tap. A descriptor of /dev/vhost-net is one pair; ring 0 receives, ring 1 transmits.
 *
 * All functions return 0 or a negative errno. No locks: one thread at a time for a descriptor.
 */
#ifndef BANTAM_DEVICES_NET_VHOST_H
#define BANTAM_DEVICES_NET_VHOST_H

#include "vm/core/base.h"

struct error;
struct guest_mem;

/* Which a test can replace. */
struct vhost_sys {
	int (*ioctl)(const struct vhost_sys *sys, int fd, unsigned long request, void *arg);
};

extern const struct vhost_sys vhost_sys_host;

/* -errno, with a line that says what is missing and what to try. */
int vhost_open(int *fd, struct error *err);

/*
 * This process' memory is what the rings are in, and mem what they name. features: what the kernel
 * knows, bits as in virtio. Until vhost_disown, which also stops the rings.
 */
int vhost_own(const struct vhost_sys *sys, int fd, const struct guest_mem *mem, uint64_t *features);
void vhost_disown(const struct vhost_sys *sys, int fd);

/* Those that the driver has chosen, of what the kernel knows. */
int vhost_set_features(const struct vhost_sys *sys, int fd, uint64_t features);

struct vhost_ring_config {
	unsigned int index; /* 0 or 1 */
	uint16_t size;	    /* entries */
	uint16_t base;	    /* the available index to begin at */
	const void *desc, *avail;
	void *used;
	/* Eventfds: the driver has something; is to be interrupted; has broken a rule. */
	int kick_fd, call_fd, error_fd;
	int tap_fd;
};

/* The ring does not run. Afterwards a kick is needed. */
int vhost_start_ring(const struct vhost_sys *sys, int fd, const struct vhost_ring_config *ring);
/*
 * Returns when the kernel does not touch it any more, also where it does not say how far it has
 * come: base is then left alone. What comes before that has been used.
 */
int vhost_stop_ring(const struct vhost_sys *sys, int fd, unsigned int index, uint16_t *base);
/* Another call_fd for a ring that runs. */
int vhost_set_call(const struct vhost_sys *sys, int fd, unsigned int index, int call_fd);

#endif
