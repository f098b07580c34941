/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/net/net.h share. */
#ifndef BANTAM_VIRTIO_NET_NET_PRIVATE_H
#define BANTAM_VIRTIO_NET_NET_PRIVATE_H

#include <limits.h>

#include "devices/net/net.h"
#include "virtio/device.h"
#include "virtio/net/net.h"
#include "vm/core/clock.h"
#include "vm/core/log.h"

/* Header flags and types (5.1.6) */
enum {
	NET_F_NEEDS_CSUM = 1,
	NET_F_DATA_VALID = 2,

	NET_GSO_NONE = 0,
	NET_GSO_TCPV4 = 1,
	NET_GSO_UDP = 3,
	NET_GSO_TCPV6 = 4,
	NET_GSO_UDP_L4 = 5,
	NET_GSO_ECN = 0x80,
};

enum {
	/* Buffers taken ahead of frames: enough for the longest one in buffers of 512 bytes. */
	NET_RX_AHEAD = 128,
	NET_RX_IOVS = 256, /* of those buffers, most often one each */
};

/* What may wait for its interrupt, and how long; see net_tx.c. */
enum { NET_TX_FEW = 8, NET_TX_SETTLE_NS = 500000 };

/* A receive queue. The device's lock guards it, as it does all but what is constant below. */
struct net_rx {
	/* Constant */
	struct virtio_net *vnet;
	unsigned int pair;
	uint8_t *spill; /* NET_MAX_FRAME bytes */

	struct virtq_chain *chains[NET_RX_AHEAD];
	unsigned int num_chains;
	uint64_t room; /* bytes in all of them */
	uint64_t most; /* that there have been since the queue was started */

	/* The first num_mapped chains, as iovecs; one more iovec is for the spill. */
	struct iovec iov[NET_RX_IOVS + 1];
	int num_iov;
	unsigned int num_mapped;
	uint64_t mapped; /* bytes */
	size_t expected; /* how long frames have been of late */

	/* A frame that is not delivered yet: its first `direct` bytes are in the chains, the rest
	 * is in the spill. 0: there is none. */
	size_t frame, direct;
};

/* A direction and its limit; see net_limit.c. */
struct net_flow {
	struct rate_limit rate;
	struct timer timer;	 /* takes up again what it held back */
	bool held_back;		 /* it is armed */
	unsigned int first_pair; /* that is served first then */
	uint64_t now_ns;	 /* of the run that goes on, where there is a limit */
};

static inline void net_count(struct virtio_net_counts *counts, uint64_t len)
{
	counter_add(&counts->frames, 1);
	counter_add(&counts->bytes, len - NET_HEADER);
}

struct net_vhost;

struct net_pair {
	struct net_rx rx;
	struct virtio_net_counts counts[VIRTIO_NET_NUM_DIRECTIONS];
	bool tx_blocked; /* send gave -EAGAIN, writable will come */
};

struct virtio_net {
	/* Constant */
	struct virtio_net_config config; /* completed */
	struct virtio_device *vdev;
	struct net *net;	 /* NULL: it could not be attached to */
	struct net_vhost *vhost; /* NULL: frames go through here */
	uint64_t offered;
	uint8_t *buffers; /* for the spills and the bounce */
	uint8_t *bounce;  /* NET_MAX_FRAME bytes */

	struct log_limit limit;
	bool link_up;

	/* As the driver left it */
	uint8_t mac[6];
	bool announce; /* it has not answered yet */
	uint32_t send_offloads, recv_offloads;
	unsigned int pairs; /* in use */
	bool stale;	    /* the back end has not heard of the last two yet */

	/* Of the kick that runs */
	uint32_t turn; /* bytes left of VIRTIO_NET_TURN_BYTES */
	struct iovec iov[IOV_MAX];

	struct net_flow flow[VIRTIO_NET_NUM_DIRECTIONS];

	struct timer settle; /* the interrupts that transmit queues owe */
	bool settling;	     /* it is armed */

	struct net_pair pair[];
};

static inline bool net_negotiated(const struct virtio_net *vnet, uint64_t features)
{
	return virtio_device_negotiated(vnet->vdev) & features;
}

/* The driver broke a rule with this chain. */
static inline void net_refuse(
	struct virtio_net *vnet, unsigned int q, struct virtq_chain *chain, const char *what)
{
	virtio_device_release(vnet->vdev, q, chain);
	virtio_device_queue_error(vnet->vdev, q, "queue %u: %s", q, what);
}

/* ---- virtio/net/net_offload.c ---- */

/* The features that stand for what a back end can do. */
uint64_t net_offload_features(const struct net_info *info);
/* Whether each of the features has those that it needs (5.1.3.1). */
bool net_features_valid(uint64_t features);
/* Of a driver's features: what it may leave to the back end, and the other way. */
uint32_t net_send_offloads(uint64_t features);
uint32_t net_recv_offloads(uint64_t features);
/* All features that VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET may name. */
uint64_t net_guest_offload_features(void);

/*
 * Judges the header of a frame of len bytes, header included, and takes out of it what means
 * nothing. false: the frame must not go on.
 */
bool net_header_from_driver(struct net_header *h, size_t len, uint32_t offloads);
/* The same for a frame to the driver; an mtu of 0 is none. */
bool net_header_to_driver(struct net_header *h, size_t len, uint32_t offloads, uint16_t mtu);

/* ---- virtio/net/net_tx.c, net_rx.c, net_ctrl.c; all on the loop's thread but net_rx_give_back
 * ---- */

void net_tx_kick(struct virtio_net *vnet, unsigned int pair);
/* The timer's; takes the lock. */
void net_tx_settle(void *opaque);

/* Moves frames from the back end to the driver, as far as there are any, and buffers. */
void net_rx_run(struct net_rx *rx);
/* Gives the chains back, forgets the frame. */
void net_rx_give_back(struct net_rx *rx);

/* ---- virtio/net/net_limit.c ---- */

int net_limit_init(struct virtio_net *vnet);
void net_limit_fini(struct virtio_net *vnet);
/* At the beginning of a run of queues: whether a frame may be looked at. */
bool net_limit_begin(struct virtio_net *vnet, enum virtio_net_direction direction);
/* Whether another frame may pass; false: the queues will be run again. Only if rate.on. */
bool net_limit_admit(struct virtio_net *vnet, enum virtio_net_direction direction);
/* It has passed, with header. */
static inline void net_limit_take(
	struct virtio_net *vnet, enum virtio_net_direction direction, uint64_t len)
{
	if (vnet->flow[direction].rate.on)
		rate_limit_take(&vnet->flow[direction].rate, len - NET_HEADER);
}

/* ---- virtio/net/net.c ---- */

/* Looks at the link, and tells the driver. On the loop's thread, with the lock. */
void net_link_changed(struct virtio_net *vnet);

/* ---- virtio/net/net_vhost.c; see there. But for the first two, only when there is vnet->vhost.
 * ----
 */

/* vnet->vhost, if the configuration asks for it. After a failure, too, it wants to be destroyed. */
int net_vhost_create(struct virtio_net *vnet);
void net_vhost_destroy(struct virtio_net *vnet);
/* The driver has started: tells the kernel what it has agreed on. */
int net_vhost_agree(struct virtio_net *vnet);
void net_vhost_kick(struct virtio_net *vnet, unsigned int q);
/* From any thread. The kernel does not touch the queue any more. */
void net_vhost_stop(struct virtio_net *vnet, unsigned int q);
void net_vhost_irq_moved(struct virtio_net *vnet, unsigned int q);

void net_ctrl_kick(struct virtio_net *vnet, unsigned int q);

#endif
