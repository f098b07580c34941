/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network device (virtio 1.2, 5.1): a card whose cable ends at a network back end
 * (devices/net/net.h).
 *
 * Offloads are those of the back end. Received frames are not filtered by address: the cable has
 * one guest at its end, which does that itself, and what it tells about addresses and modes is
 * acknowledged. There is no filter for VLANs either, so tagged frames come through.
 *
 * A frame is lost only where a real card loses it: when it breaks a rule (longer than its buffer,
 * an offload that was not agreed on), or when the device is reset. Without buffers, frames wait in
 * the back end.
 */
#ifndef BANTAM_VIRTIO_NET_NET_H
#define BANTAM_VIRTIO_NET_NET_H

#include "vm/core/base.h"
#include "vm/core/counter.h"
#include "vm/core/rate_limit.h"

struct clock;
struct event_loop;
struct guest_mem;
struct log;
struct net;
struct vhost_sys;
struct virtio_device;
struct virtio_net;

/* 5.1.3; see VIRTIO_BIT */
#define VIRTIO_NET_F_CSUM		 VIRTIO_BIT(0)
#define VIRTIO_NET_F_GUEST_CSUM		 VIRTIO_BIT(1)
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS VIRTIO_BIT(2)
#define VIRTIO_NET_F_MTU		 VIRTIO_BIT(3)
#define VIRTIO_NET_F_MAC		 VIRTIO_BIT(5)
#define VIRTIO_NET_F_GUEST_TSO4		 VIRTIO_BIT(7)
#define VIRTIO_NET_F_GUEST_TSO6		 VIRTIO_BIT(8)
#define VIRTIO_NET_F_GUEST_ECN		 VIRTIO_BIT(9)
#define VIRTIO_NET_F_GUEST_UFO		 VIRTIO_BIT(10)
#define VIRTIO_NET_F_HOST_TSO4		 VIRTIO_BIT(11)
#define VIRTIO_NET_F_HOST_TSO6		 VIRTIO_BIT(12)
#define VIRTIO_NET_F_HOST_ECN		 VIRTIO_BIT(13)
#define VIRTIO_NET_F_HOST_UFO		 VIRTIO_BIT(14)
#define VIRTIO_NET_F_MRG_RXBUF		 VIRTIO_BIT(15)
#define VIRTIO_NET_F_STATUS		 VIRTIO_BIT(16)
#define VIRTIO_NET_F_CTRL_VQ		 VIRTIO_BIT(17)
#define VIRTIO_NET_F_CTRL_RX		 VIRTIO_BIT(18)
#define VIRTIO_NET_F_GUEST_ANNOUNCE	 VIRTIO_BIT(21)
#define VIRTIO_NET_F_MQ			 VIRTIO_BIT(22)
#define VIRTIO_NET_F_CTRL_MAC_ADDR	 VIRTIO_BIT(23)
#define VIRTIO_NET_F_GUEST_USO4		 VIRTIO_BIT(54)
#define VIRTIO_NET_F_GUEST_USO6		 VIRTIO_BIT(55)
#define VIRTIO_NET_F_HOST_USO		 VIRTIO_BIT(56)

enum {
	VIRTIO_NET_QUEUE_SIZE = 256, /* unless told otherwise */
	VIRTIO_NET_MAX_PAIRS = 31,
	VIRTIO_NET_CFG_SIZE = 12,
	VIRTIO_NET_MIN_MTU = 68, /* 5.1.4.1 */
	/* Frames in one go of a queue, before others on the loop get their turn. */
	VIRTIO_NET_TURN_BYTES = 1 << 20,
};

/* As the guest sees it */
enum virtio_net_direction { VIRTIO_NET_RX, VIRTIO_NET_TX, VIRTIO_NET_NUM_DIRECTIONS };

struct virtio_net_config {
	const char *name; /* for the log; outlives the device */
	const struct guest_mem *mem;
	struct event_loop *loop; /* of the back end too; see virtio_device_config */
	/* Its timers run on that loop's thread. NULL: no interrupt is ever put off, no limits. */
	const struct clock *clock;
	struct log *log;
	struct net *net;	/* not owned, outlives the device; nobody else is attached to it */
	uint8_t mac[6];		/* all 0: the one that the back end wants */
	unsigned int max_pairs; /* of queues, 0: 1; fewer when the back end has fewer */
	uint16_t queue_size;	/* of each; 0: VIRTIO_NET_QUEUE_SIZE */
	uint16_t mtu;		/* for the guest; 0: what the back end says, which may be nothing */
	/*
	 * Descriptors of /dev/vhost-net, one for each pair, that nobody owns (VHOST_SET_OWNER): the
	 * kernel serves the queues. Not owned, outlive the device, and can be used again after it.
	 * NULL: frames go through here.
	 */
	const int *vhost;
	bool down;					     /* see virtio_net_set_link */
	struct rate_config limit[VIRTIO_NET_NUM_DIRECTIONS]; /* see virtio_net_set_limit */
	const struct vhost_sys *vhost_sys;		     /* NULL: the host's */
};

/*
 * Attaches to the back end; not while the loop runs on another thread. -EINVAL: no address, or that
 * of a group; an MTU below VIRTIO_NET_MIN_MTU; more than VIRTIO_NET_MAX_PAIRS; a queue size that
 * virtqueue_create refuses. -ENOMEM, or what virtio_device_create, the back end and the
 * kernel's vhost say (-ENOTSUP: it lacks features). Ends with
 * virtio_device_destroy of virtio_net_device, which detaches, in place of a function here.
 */
int virtio_net_create(const struct virtio_net_config *config, struct virtio_net **ret);
struct virtio_device *virtio_net_device(struct virtio_net *vnet);

/* What a pair of queues has moved since the device was made; nothing, where the kernel serves it.
 */
struct virtio_net_counts {
	struct counter frames, bytes; /* with Ethernet's header */
	struct counter drops;	      /* that broke a rule, or that the host refused */
};

/* Any thread; pair < virtio_net_pairs. */
const struct virtio_net_counts *virtio_net_counts(
	const struct virtio_net *vnet, unsigned int pair, enum virtio_net_direction direction);
unsigned int virtio_net_pairs(const struct virtio_net *vnet);

/*
 * How much may pass from now on in that direction, in all queues: bytes, with Ethernet's header,
 * and frames, which may be long ones with offloads. What is too much waits in the queue, or in the
 * back end. -EINVAL: no valid configuration, or there is no clock; -EOPNOTSUPP: the kernel serves
 * the queues. Any thread that holds no lock of the device.
 */
int virtio_net_set_limit(struct virtio_net *vnet, enum virtio_net_direction direction,
	const struct rate_config *limit);

/*
 * Pulls the cable out, or puts it back: while it is out no frame comes or goes, whatever the driver
 * does, and the link is down. Not while the loop runs on another thread.
 */
void virtio_net_set_link(struct virtio_net *vnet, bool up);

/*
 * Asks the guest to tell its network where it is, as after a move to another host (5.1.6.5.4). Any
 * thread that holds no lock of the device. -EAGAIN: there is no driver, or none that does this.
 */
int virtio_net_announce(struct virtio_net *vnet);

#endif
