/* SPDX-License-Identifier: BSD-2-Clause */
/* When libslirp runs, and what it calls; see slirp.c. */
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "slirp_private.h"

enum { IDLE_MS = 1000 }; /* libslirp's word for "nothing to wait for" */

void net_slirp_wake(struct net_slirp *s)
{
	const uint64_t one = 1;

	if (!s->woken && s->loop)
		s->woken = write(s->wake.fd, &one, sizeof(one)) == sizeof(one);
}

void net_slirp_clear_wake(struct net_slirp *s)
{
	uint64_t count;

	if (s->woken)
		s->woken = read(s->wake.fd, &count, sizeof(count)) < 0;
}

/* ---- turns ---- */

static int on_want(int fd, int events, void *opaque)
{
	struct net_slirp *s = opaque;

	if (s->paused)
		events &= ~SLIRP_POLL_IN;
	if (!(events & (SLIRP_POLL_IN | SLIRP_POLL_OUT)))
		return -1;
	return slirp_poll_want(&s->poll, fd, events) < 0 ? -1 : fd;
}

int net_slirp_on_ready(int index, void *opaque)
{
	struct net_slirp *s = opaque;

	return slirp_poll_ready(&s->poll, index, s->sink->used(s) <= SLIRP_MANY);
}

static void set_tick(struct net_slirp *s, uint32_t timeout_ms)
{
	const uint64_t at = clock_monotonic_ns(s->clock) + timeout_ms * NSEC_PER_MSEC;

	if (timeout_ms >= IDLE_MS) {
		if (s->ticking)
			clock_disarm(s->clock, &s->tick);
		s->ticking = false;
	} else if (!s->ticking || at < s->tick_at_ns) {
		clock_arm(s->clock, &s->tick, at);
		s->ticking = true;
		s->tick_at_ns = at;
	}
}

void net_slirp_ask(struct net_slirp *s)
{
	uint32_t timeout_ms = UINT32_MAX;

	s->paused = s->sink->used(s) > SLIRP_MANY;
	slirp_poll_begin(&s->poll);
	s->lib.pollfds_fill(s->slirp, &timeout_ms, on_want, s);
	slirp_poll_commit(&s->poll);
	set_tick(s, timeout_ms);
}

void net_slirp_tell_time(struct net_slirp *s)
{
	s->lib.pollfds_poll(s->slirp, 1, net_slirp_on_ready, s);
}

bool net_slirp_input(struct net_slirp *s, size_t len)
{
	uint8_t neighbour[SLIRP_NAT46_NEIGHBOUR];
	const enum slirp_verdict verdict =
		slirp_filter_out(&s->filter, s->frame, &len, s->poll.live >= s->max_sockets);

	if (verdict == SLIRP_DROP)
		return false;
	if (!s->ticking)
		net_slirp_tell_time(s);
	if (verdict == SLIRP_PASS_AS_IP6) {
		slirp_nat46_neighbour(s->frame, neighbour);
		s->lib.input(s->slirp, neighbour, sizeof(neighbour));
	}
	s->lib.input(s->slirp, s->frame, (int)len);
	return true;
}

/* The front end may do anything from here, detach included. */
static void call_listener(struct net_slirp *s)
{
	if (s->blocked && s->ring.used <= SLIRP_FEW) {
		s->blocked = false;
		s->listener->writable(s->opaque, 0);
	}
	if (s->loop && s->rx_on && s->ring.used)
		s->listener->ready(s->opaque, 0);
	if (s->loop && s->rx_on && s->ring.used)
		net_slirp_wake(s);
}

static void turn(struct net_slirp *s)
{
	net_slirp_ask(s);
	call_listener(s);
}

static void on_sockets(void *opaque, uint32_t events)
{
	struct net_slirp *s = opaque;

	(void)events;
	slirp_poll_collect(&s->poll);
	s->lib.pollfds_poll(s->slirp, 0, net_slirp_on_ready, s);
	slirp_poll_done(&s->poll);
	turn(s);
}

static void on_wake(void *opaque, uint32_t events)
{
	struct net_slirp *s = opaque;

	(void)events;
	net_slirp_clear_wake(s);
	net_slirp_tell_time(s);
	turn(s);
}

static void on_tick(void *opaque)
{
	struct net_slirp *s = opaque;

	if (!s->ticking || !s->loop)
		return;
	s->ticking = false;
	net_slirp_tell_time(s);
	turn(s);
}

/* ---- libslirp's callbacks ---- */

static void put_answer(struct net_slirp *s, const void *buf, size_t len)
{
	if (len > sizeof(s->answer))
		return;
	memcpy(s->answer, buf, len);
	if (slirp_filter_answer(&s->filter, s->answer, &len))
		s->sink->put(s, s->answer, 0, s->answer, len);
}

static ssize_t on_packet(const void *buf, size_t len, void *opaque)
{
	struct net_slirp *s = opaque;
	const size_t head = MIN(len, sizeof(s->head));

	if (slirp_filter_is_answer(buf, len)) {
		put_answer(s, buf, len);
		return (ssize_t)len;
	}
	memcpy(s->head, buf, head);
	slirp_filter_in(&s->filter, s->head, len);
	s->sink->put(s, s->head, head, buf, len);
	return (ssize_t)len;
}

static void on_guest_error(const char *msg, void *opaque)
{
	struct net_slirp *s = opaque;

	log_limited(s->log, &s->limit, LOG_DEBUG, "user network: %s", msg);
}

static int64_t on_get_time(void *opaque)
{
	struct net_slirp *s = opaque;

	return (int64_t)clock_monotonic_ns(s->clock);
}

static void on_ra(void *opaque)
{
	struct net_slirp *s = opaque;

	s->ra_fn(s->ra_opaque);
	net_slirp_wake(s);
}

static void *on_timer_new(SlirpTimerCb fn, void *fn_opaque, void *opaque)
{
	struct net_slirp *s = opaque;

	s->ra_fn = fn;
	s->ra_opaque = fn_opaque;
	s->ra = (struct timer){.fn = on_ra, .opaque = s};
	return &s->ra;
}

static void on_timer_free(void *timer, void *opaque)
{
	struct net_slirp *s = opaque;

	clock_disarm_sync(s->clock, timer);
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct net_slirp *s = opaque;

	clock_arm(s->clock, timer, (uint64_t)expire_ms * NSEC_PER_MSEC);
}

static void on_open(int fd, void *opaque)
{
	slirp_poll_open(&((struct net_slirp *)opaque)->poll, fd);
}

static void on_close(int fd, void *opaque)
{
	slirp_poll_close(&((struct net_slirp *)opaque)->poll, fd);
}

static void on_notify(void *opaque)
{
	net_slirp_wake(opaque);
}

const SlirpCb net_slirp_callbacks = {
	.send_packet = on_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_get_time,
	.timer_new = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_open,
	.unregister_poll_fd = on_close,
	.notify = on_notify,
};

void net_slirp_init_turns(struct net_slirp *s)
{
	s->sockets =
		(struct event_source){.fd = -1, .events = EPOLLIN, .fn = on_sockets, .opaque = s};
	s->wake = (struct event_source){.fd = -1, .events = EPOLLIN, .fn = on_wake, .opaque = s};
	s->tick = (struct timer){.fn = on_tick, .opaque = s};
}
