/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_PRIVATE_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_PRIVATE_H

#include <slirp/libslirp.h>

#include "../frame_ring.h"
#include "devices/net/net.h"
#include "slirp_filter.h"
#include "slirp_lib.h"
#include "slirp_nat46.h"
#include "slirp_poll.h"
#include "vm/core/clock.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"

enum {
	/* Bytes in the ring, see slirp.c */
	SLIRP_FEW = FRAME_RING_SIZE / 4,
	SLIRP_MANY = FRAME_RING_SIZE / 2,
	SLIRP_TOO_MANY = FRAME_RING_SIZE / 4 * 3,
	SLIRP_MAX_FRAME = 14 + NET_SLIRP_MTU,
};

struct net_slirp;

/* Where frames for the guest go. */
struct slirp_sink {
	/* A copy of frame; its first head_len bytes are those at head instead. No room: it is lost.
	 */
	void (*put)(struct net_slirp *s, const uint8_t *head, size_t head_len, const uint8_t *frame,
		size_t len);
	size_t (*used)(struct net_slirp *s); /* as if of FRAME_RING_SIZE bytes */
};

/* No lock: all of it belongs to one thread. What turns of a loop need is slirp.c's alone. */
struct net_slirp {
	struct net net;
	const struct slirp_sink *sink;
	const struct clock *clock;
	struct log *log;
	struct log_limit limit;
	struct slirp_lib lib;
	Slirp *slirp;
	struct slirp_poll poll;
	struct slirp_filter filter;
	struct frame_ring ring;
	unsigned int max_sockets;

	struct event_loop *loop; /* NULL: nobody is attached */
	const struct net_listener *listener;
	void *opaque;
	struct event_source sockets; /* poll's epoll set */
	struct event_source wake;    /* an eventfd: a turn is wanted */
	bool woken;		     /* it is signalled */
	bool rx_on;
	bool vouch;   /* for the checksums of what recv gives */
	bool paused;  /* sockets are not read */
	bool blocked; /* send has given -EAGAIN */

	struct timer tick; /* the next turn, because of libslirp's own timeouts */
	bool ticking;
	uint64_t tick_at_ns;

	struct timer ra; /* libslirp's only timer: router advertisements */
	SlirpTimerCb ra_fn;
	void *ra_opaque;

	uint8_t frame[SLIRP_MAX_FRAME + SLIRP_NAT46_MORE]; /* from the guest */
	uint8_t answer[SLIRP_MAX_FRAME];		   /* for it, while it becomes IPv4 */
	uint8_t head[SLIRP_FILTER_HEAD];		   /* for it, while it is looked at */
};

/* ---- slirp_make.c ---- */

struct slirp_setup {
	const struct net_slirp_config *config;
	const struct slirp_sink *sink;
	/* In a helper, which can open no files; else NULL. See slirp_dns.h. */
	size_t (*read_names)(void *opaque, char *text, size_t size);
	void *names_opaque;
	/*
	 * In a helper: the ports that were chosen for forwards whose port was left open, where they
	 * are for the next one; again: it is the next one, for which no forward is a reason to
	 * fail.
	 */
	_Atomic uint16_t *ports;
	bool again;
};

int net_slirp_check(const struct net_slirp_config *config, struct error *err);
/* s is zero. All but what is for turns on a loop. The library is open in s->lib. */
int net_slirp_make(struct net_slirp *s, const struct slirp_setup *setup, struct error *err);
void net_slirp_unmake(struct net_slirp *s);

/* ---- slirp_turn.c ---- */

/* Takes the frame of len bytes in s->frame, of 14 at least. False: the filter is against it. */
bool net_slirp_input(struct net_slirp *s, size_t len);
/* What is ready, for slirp_pollfds_poll. */
int net_slirp_on_ready(int index, void *opaque);

/* For slirp_new, with a net_slirp as opaque. */
extern const SlirpCb net_slirp_callbacks;

/* Sources and timer, but for the descriptors. */
void net_slirp_init_turns(struct net_slirp *s);
void net_slirp_wake(struct net_slirp *s);
/* Takes a wake back that has not been answered. */
void net_slirp_clear_wake(struct net_slirp *s);
void net_slirp_tell_time(struct net_slirp *s);
void net_slirp_ask(struct net_slirp *s);

#endif
