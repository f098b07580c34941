/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network back ends: where the frames of a network card come from and go to. A front end
 * (virtio/net/net.c) sends from its queues and fetches when the back end says that there is
 *something:
 *
 *	kick of a transmit queue	ready(queue), on the loop's thread
 *	    send() for each frame	    recv() into posted buffers, until -EAGAIN
 *	    -EAGAIN: keep it, and	    no buffers: rx_enable(queue, false)
 *	    writable() comes
 *
 * A frame is preceded by struct net_header in both directions, in any framing of iovecs; it says
 * what is left to do (checksums, segmentation), within the offloads that both sides agreed on.
 * Frames are at most NET_MAX_FRAME bytes, header included.
 *
 * Threads: everything but link is called on the loop's thread, or while the loop does
 * not run, with a lock of the front end's own held or not; the back end may have locks of its own,
 * below that. Callbacks come on the loop's thread with no lock of the back end held, never from
 * inside a function that the front end has called. No function blocks. Memory: iovecs describe
 * guest memory, lent for the call alone.
 */
#ifndef BANTAM_DEVICES_NET_NET_H
#define BANTAM_DEVICES_NET_NET_H

#include <netinet/in.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vm/core/base.h"

struct clock;
struct error;
struct event_loop;
struct log;
struct net;
struct tap_sys;

enum {
	NET_HEADER = 12, /* bytes of struct net_header on the wire */
	NET_MAX_FRAME = NET_HEADER + 14 + 4 + 65535,
	NET_MIN_FRAME = NET_HEADER + 14,
};

/* Offloads: a front end may leave this work to a back end in send, and the other way in recv. */
enum {
	NET_CSUM = 1 << 0, /* partial checksums */
	NET_TSO4 = 1 << 1,
	NET_TSO6 = 1 << 2,
	NET_ECN = 1 << 3, /* with TSO */
	NET_UFO = 1 << 4,
	NET_USO = 1 << 5,
};

/* Of its flags */
enum { NET_HEADER_NEEDS_CSUM = 1, NET_HEADER_DATA_VALID = 2 };

/* Little-endian, as virtio 1.2 5.1.6 has it; Linux' tap understands the same. */
struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers; /* recv: left as 0 for the front end to fill in */
};

struct net_info {
	uint32_t send_offloads;	 /* what send can be given */
	uint32_t recv_offloads;	 /* what recv can be told to deliver (set_offloads) */
	unsigned int max_queues; /* pairs; 1 without multiqueue */
	uint16_t mtu;		 /* for the guest; 0: not said */
	bool has_mac;		 /* the back end wants the guest to have this address */
	uint8_t mac[6];
};

struct net_listener {
	/* There is a frame to fetch; comes again and again while rx is enabled for the queue. */
	void (*ready)(void *opaque, unsigned int queue);
	/* After send gave -EAGAIN: try again. Not for a queue that goes out of use meanwhile. */
	void (*writable)(void *opaque, unsigned int queue);
	/* The cable was plugged in or out (net_link says which). */
	void (*link_changed)(void *opaque);
};

struct net_ops {
	/* NULL detaches, and returns when no callback runs (elsewhere than in the caller). */
	int (*attach)(struct net *net, struct event_loop *loop, const struct net_listener *listener,
		void *opaque);
	/*
	 * One frame of len bytes with its header. 0: taken. -EAGAIN: not now. Any other negative
	 * errno: dropped, for a reason of the host's or since the frame or its header is bad.
	 */
	int (*send)(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov,
		size_t len);
	/*
	 * The next frame with its header into the iovecs: its length, or -EAGAIN when there is
	 * none. A frame that is longer than the iovecs is dropped: -EMSGSIZE.
	 */
	ssize_t (*recv)(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov);
	/*
	 * Whether ready is wanted, which may have been said before. True at first, and again for a
	 * queue that comes into use.
	 */
	void (*rx_enable)(struct net *net, unsigned int queue, bool on);
	/* What recv may deliver from now on, of info.recv_offloads. 0 or -errno. */
	int (*set_offloads)(struct net *net, uint32_t offloads);
	/* Pairs in use, 1..info.max_queues; 1 at first. 0, or -errno and nothing has changed. */
	int (*set_queues)(struct net *net, unsigned int pairs);
	/*
	 * The descriptor by which the kernel can serve the queue in our place
	 * (VHOST_NET_SET_BACKEND), with the same headers; recv and send are not called then. NULL:
	 * there is none.
	 */
	int (*vhost_fd)(struct net *net, unsigned int queue);
	bool (*link)(struct net *net);	/* any thread */
	void (*close)(struct net *net); /* the listener is detached already */
};

/* Embedded in its back end; constant after the constructor. */
struct net {
	const struct net_ops *ops;
	struct net_info info;
};

/* ---- nowhere: no cable. -ENOMEM with a line. ---- */

int net_null_create(unsigned int queues, struct net **ret, struct error *err);

/* ---- tap: a network interface of the host's ---- */

enum { NET_TAP_MAX_QUEUES = 8 };

struct net_tap_config {
	/* Made if there is none of that name. With "%d" in it, or NULL for tap%d: a new one. */
	const char *ifname;
	unsigned int queues; /* pairs, 1..NET_TAP_MAX_QUEUES; not with fds */
	/*
	 * Or descriptors that somebody has opened already, one per pair, of a tap (or macvtap) with
	 * IFF_VNET_HDR. They become the back end's when it is created, and not when that fails.
	 */
	const int *fds;
	unsigned int num_fds;
	const char *script; /* run with the interface's name, and waited for; NULL: none */
	struct log *log;
	const struct tap_sys *sys; /* NULL: the host's system calls; others are for tests */
};

/* Whether each interface of that name is another one: the kernel puts a number there. */
static inline bool net_tap_is_pattern(const char *ifname)
{
	return !ifname || strchr(ifname, '%');
}

/*
 * -errno, with a line that names what is missing and what to try. config is not needed afterwards.
 * When the interface is deleted, link becomes false, for good.
 */
int net_tap_create(const struct net_tap_config *config, struct net **ret, struct error *err);

/*
 * Opens an interface as net_tap_create would, for somebody else to use: num queues of it. -errno
 * with a line, and nothing is open.
 */
int net_tap_open_queues(const char *ifname, unsigned int num, int *fds, struct error *err);
/* Whether these are what net_tap_create takes as fds. -errno with a line that has their numbers. */
int net_tap_check_queues(unsigned int num, const int *fds, struct error *err);

/* ---- user networking: the host's sockets, by libslirp; needs no rights ---- */

union net_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* A port of the host's that leads to one of the guest's. Both of one family. */
struct net_forward {
	bool udp;
	union net_address host;	 /* any: all interfaces of the host; port 0: one that is free */
	union net_address guest; /* any: 10.0.2.15, or the address that the guest made itself */
};

/*
 * The guest sees 10.0.2.0/24 and fec0::/64: itself at 10.0.2.15 (DHCP), the host at .2 and ::2, a
 * name server at .3 and ::3. It reaches whatever the host reaches, but not the host's loopback.
 */
struct net_slirp_config {
	const struct clock *clock; /* its timers run on the thread of the loop of attach */
	struct log *log;
	const struct net_forward *forwards;
	unsigned int num_forwards; /* up to NET_SLIRP_MAX_FORWARDS */
	/*
	 * Who answers at 10.0.2.3 (by IPv4, whichever the server has) and, if it has IPv6, at
	 * fec0::3. sa_family 0: the host's own, from /etc/resolv.conf. Not a link-local address.
	 */
	union net_address dns;
	/* Only DHCP, the host's ping, and TCP connections that come in by forwards. */
	bool restricted;
	bool host_loopback; /* the guest may connect to the host's 127.0.0.1 and ::1, as .2 and ::2
			     */
	uint16_t mtu; /* of the guest's network, NET_SLIRP_MIN_MTU..NET_SLIRP_MTU; 0: NET_SLIRP_MTU
		       */
};

/*
 * TCP moves by few, long frames, three to a window: libslirp has windows of 65535 bytes, and
 * announces that one is open again only if two segments fit in besides the one that was waiting.
 */
enum {
	NET_SLIRP_MTU = 21880,
	NET_SLIRP_MIN_MTU = 1280, /* IPv6's */
	NET_SLIRP_MAX_FORWARDS = 32,
};

/*
 * -errno, with a line; that of a forward names its port. SIGPIPE must be ignored. All such back
 * ends of a process must be on one thread, as libslirp has state of its own. config is not needed
 * afterwards, clock and log are.
 */
int net_slirp_create(const struct net_slirp_config *config, struct net **ret, struct error *err);
/* Opens what net_slirp_create will need, if it is there. */
void net_slirp_load(void);

#endif
