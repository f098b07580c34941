/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM's side of a network that another process serves: two rings of frames and an eventfd.
 *
 * That process speaks with strangers, and may be theirs. Here it can do what a network can do: send
 * any frame, or none. A length is read once and checked (vm/helper/ring.c); a frame goes from the
 * ring straight to the guest, as nobody here looks into it. A ring that cannot be is the process's
 * end: the keeper starts another one.
 *
 * Without a process that serves, frames are lost in both directions, as on a cable that is out for
 * a moment; the guest's interface stays up. When there will be none any more, the link is down.
 *
 * The rings belong to whoever was told to go last. A new process waits for that, so both rings are
 * made empty first.
 */
#include "apart.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/apart.h"
#include "iov.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"

struct net_apart {
	struct net net;
	struct helper *helper;
	struct log *log;
	struct log_limit limit;
	struct ring_producer out; /* from the guest */
	struct ring_consumer in;  /* for it */
	unsigned int generation;  /* that serves */
	bool serving;
	_Atomic bool gone; /* for good */

	struct event_loop *loop; /* NULL: nobody is attached */
	const struct net_listener *listener;
	void *opaque;
	struct event_source wake;    /* it has frames, or room */
	struct event_source again;   /* posted: the front end has left frames */
	struct event_source after;   /* posted: it has done what it was called for */
	struct event_source control; /* news of the keeper's */
	struct event_source lines;   /* and of the process's */
	bool rx_on;
	bool vouch;   /* for the checksums of what recv gives */
	bool blocked; /* send has given -EAGAIN */
	bool owes;    /* the process a signal */
};

static struct net_apart *to_apart(struct net *net)
{
	return container_of(net, struct net_apart, net);
}

/* ---- the process ---- */

static void serve(struct net_apart *a, unsigned int generation)
{
	void *memory = helper_memory(a->helper);
	void *out = apart_ring(memory, APART_OUT), *in = apart_ring(memory, APART_IN);

	ring_reset(out);
	ring_reset(in);
	ring_producer_init(&a->out, out, APART_OUT_SIZE);
	ring_consumer_init(&a->in, in, APART_IN_SIZE, APART_MAX_FRAME);
	/* It finds us waiting. */
	if (a->rx_on)
		ring_wait_record(&a->in);
	a->generation = generation;
	a->serving = true;
	helper_go(a->helper, generation);
}

/* What a guest has kept for later finds out by trying. */
static void unblock(struct net_apart *a)
{
	if (!a->blocked)
		return;
	a->blocked = false;
	if (a->loop)
		a->listener->writable(a->opaque, 0);
}

static void stop_serving(struct net_apart *a)
{
	a->serving = false;
	unblock(a);
}

static void give_up(struct net_apart *a, const char *why)
{
	if (a->gone)
		return;
	log_msg(a->log, LOG_ERROR, "user network: its process is gone (%s); the cable is unplugged",
		why);
	a->gone = true;
	stop_serving(a);
	if (a->loop)
		a->listener->link_changed(a->opaque);
}

static void if_broken(struct net_apart *a)
{
	if (!a->serving || !(a->in.broken || a->out.broken))
		return;
	log_limited(a->log, &a->limit, LOG_WARN,
		"user network: its process has written what cannot be, and is ended");
	helper_restart(a->helper);
	stop_serving(a);
}

static void on_control(void *opaque, uint32_t events)
{
	struct net_apart *a = opaque;
	struct helper_message message;

	(void)events;
	helper_read_control(a->helper, &message);
	switch (message.news) {
	case HELPER_DIED:
		log_limited(a->log, &a->limit, LOG_WARN,
			"user network: its process has ended %s, and is started anew",
			message.text);
		if (message.generation == a->generation && a->serving)
			stop_serving(a);
		break;
	case HELPER_GAVE_UP:
		give_up(a, message.text);
		break;
	case HELPER_GONE:
		event_loop_remove(a->loop, &a->control);
		if (a->lines.fd >= 0)
			event_loop_remove(a->loop, &a->lines);
		a->control.fd = a->lines.fd = -1;
		give_up(a, "killed");
		break;
	case HELPER_NONE:
	case HELPER_READY:
	case HELPER_FAILED:
	case HELPER_LINE:
		break;
	}
}

/* A line as struct log makes it: "bantam: [warning: |debug: ]text". */
static void log_line(struct net_apart *a, const char *line, bool first)
{
	static const char us[] = "bantam: ", warning[] = "warning: ", debug[] = "debug: ";
	enum log_level level = LOG_INFO;

	if (!strncmp(line, us, sizeof(us) - 1))
		line += sizeof(us) - 1;
	if (!strncmp(line, warning, sizeof(warning) - 1)) {
		level = LOG_WARN;
		line += sizeof(warning) - 1;
	} else if (!strncmp(line, debug, sizeof(debug) - 1)) {
		level = LOG_DEBUG;
		line += sizeof(debug) - 1;
	}
	if (first)
		log_msg(a->log, level, "%s", line);
	else
		log_limited(a->log, &a->limit, level, "%s", line);
}

static void on_lines(void *opaque, uint32_t events)
{
	struct net_apart *a = opaque;
	struct helper_message message;

	helper_read_lines(a->helper, &message);
	/* The keeper has its end open, too: only a process that is not ours any more shuts it. */
	if (message.news == HELPER_GONE && events & (EPOLLRDHUP | EPOLLHUP)) {
		event_loop_remove(a->loop, &a->lines);
		a->lines.fd = -1;
		helper_restart(a->helper);
		give_up(a, "it has hung up");
		return;
	}
	if (message.news == HELPER_LINE)
		log_line(a, message.text, false);
	else if (message.news == HELPER_FAILED)
		log_limited(a->log, &a->limit, LOG_WARN, "%s", message.text);
	if (message.news != HELPER_READY || a->gone)
		return;
	log_limited(a->log, &a->limit, LOG_INFO, "user network: a new process serves it");
	stop_serving(a);
	serve(a, message.generation);
}

/* ---- frames ---- */

/*
 * What the front end leaves is fetched on the loop's next turn. Asking for signals comes last: what
 * arrives until then is seen.
 */
static void rest(struct net_apart *a)
{
	if (a->loop && a->serving && a->rx_on && !ring_wait_record(&a->in))
		event_loop_post(a->loop, &a->again);
}

/* The front end may do anything from here, detach included. */
static void call_listener(struct net_apart *a)
{
	if (a->blocked && !ring_wait_room(&a->out))
		unblock(a);
	if (a->loop && a->serving && a->rx_on && !ring_empty(&a->in))
		a->listener->ready(a->opaque, 0);
	if_broken(a);
	rest(a);
}

static void on_wake(void *opaque, uint32_t events)
{
	struct net_apart *a = opaque;
	uint64_t count;

	(void)events;
	if (read(a->wake.fd, &count, sizeof(count)) < 0)
		return;
	if (a->serving)
		call_listener(a);
}

static void on_again(void *opaque, uint32_t events)
{
	struct net_apart *a = opaque;

	(void)events;
	if (a->serving)
		call_listener(a);
}

/* At the end of this turn of the loop, for all that it brings: each signal is two switches. */
static void wake_helper(struct net_apart *a)
{
	if (!a->owes && a->loop)
		event_loop_post(a->loop, &a->after);
	else if (!a->loop)
		helper_wake(a->helper);
	a->owes = a->loop;
}

static void on_after(void *opaque, uint32_t events)
{
	struct net_apart *a = opaque;

	(void)events;
	if (a->owes)
		helper_wake(a->helper);
	a->owes = false;
}

/* The front end is inside: what is wrong with a ring is told to nobody before the loop's next turn.
 */
static int not_now(struct net_apart *a)
{
	if (a->loop && (a->in.broken || a->out.broken))
		event_loop_post(a->loop, &a->again);
	return -EAGAIN;
}

static int apart_send(
	struct net *net, unsigned int queue, const struct iovec *iov, int num_iov, size_t len)
{
	struct net_apart *a = to_apart(net);
	struct iov_cursor cursor = {.iov = iov, .num_iov = num_iov};
	struct net_header header;
	uint8_t *frame;

	(void)queue;
	if (len < NET_MIN_FRAME || len - NET_HEADER > APART_MAX_FRAME)
		return -EMSGSIZE;
	if (!a->serving)
		return -ENETDOWN;
	len -= NET_HEADER;
	if (!iov_read(&cursor, &header, NET_HEADER))
		return -EINVAL;
	if (header.flags & NET_HEADER_NEEDS_CSUM || header.gso_type)
		return -EINVAL;
	frame = ring_reserve(&a->out, (uint32_t)len);
	if (!frame && ring_wait_room(&a->out)) {
		a->blocked = true;
		return not_now(a);
	}
	if (!frame)
		frame = ring_reserve(&a->out, (uint32_t)len);
	if (!frame || !iov_read(&cursor, frame, len))
		return -EINVAL;
	if (ring_commit(&a->out))
		wake_helper(a);
	return 0;
}

static ssize_t apart_recv(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov)
{
	struct net_apart *a = to_apart(net);
	const uint8_t *frame;
	uint32_t len;
	bool fits;

	(void)queue;
	frame = a->serving ? ring_peek(&a->in, &len) : NULL;
	if (!frame)
		return not_now(a);
	fits = iov_put_frame(iov, num_iov, a->vouch, frame, len);
	if (ring_pop(&a->in))
		wake_helper(a);
	return fits ? (ssize_t)(NET_HEADER + len) : -EMSGSIZE;
}

static void apart_rx_enable(struct net *net, unsigned int queue, bool on)
{
	struct net_apart *a = to_apart(net);
	const bool before = a->rx_on;

	(void)queue;
	a->rx_on = on;
	if (on && !before)
		rest(a);
}

static int apart_set_offloads(struct net *net, uint32_t offloads)
{
	if (offloads & ~net->info.recv_offloads)
		return -EINVAL;
	to_apart(net)->vouch = offloads & NET_CSUM;
	return 0;
}

static int apart_set_queues(struct net *net, unsigned int pairs)
{
	(void)net;
	return pairs == 1 ? 0 : -EINVAL;
}

static bool apart_link(struct net *net)
{
	return !to_apart(net)->gone;
}

/* ---- life ---- */

static struct event_source *const *sources(struct net_apart *a, struct event_source *ret[3])
{
	ret[0] = &a->control;
	ret[1] = &a->lines;
	ret[2] = &a->wake;
	return ret;
}

static void detach(struct net_apart *a)
{
	struct event_source *all[3];

	if (!a->loop)
		return;
	sources(a, all);
	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->fd >= 0)
			event_loop_remove(a->loop, all[i]);
	event_loop_remove(a->loop, &a->again);
	event_loop_remove(a->loop, &a->after);
	on_after(a, 0);
	a->blocked = false;
	a->loop = NULL;
	a->listener = NULL;
}

/* What has come for the guest before this one is not for it. */
static void forget_frames(struct net_apart *a)
{
	if (a->serving && ring_skip(&a->in))
		helper_wake(a->helper);
}

static int apart_attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	struct net_apart *a = to_apart(net);
	struct event_source *all[3];
	int rc = 0;

	detach(a);
	if (!listener)
		return 0;
	sources(a, all);
	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i]->fd >= 0)
			rc = event_loop_add(loop, all[i]);
		if (!rc)
			continue;
		while (i--)
			if (all[i]->fd >= 0)
				event_loop_remove(loop, all[i]);
		return rc;
	}
	a->loop = loop;
	a->listener = listener;
	a->opaque = opaque;
	a->rx_on = true;
	forget_frames(a);
	rest(a);
	return 0;
}

static void apart_close(struct net *net)
{
	struct net_apart *a = to_apart(net);

	helper_close(a->helper);
	free(a);
}

static const struct net_ops apart_ops = {
	.attach = apart_attach,
	.send = apart_send,
	.recv = apart_recv,
	.rx_enable = apart_rx_enable,
	.set_offloads = apart_set_offloads,
	.set_queues = apart_set_queues,
	.link = apart_link,
	.close = apart_close,
};

static void first_line(void *opaque, const char *line)
{
	log_line(opaque, line, true);
}

size_t net_apart_memory(void)
{
	return APART_MEMORY;
}

static void init(struct net_apart *a, const struct net_apart_config *config)
{
	struct event_source source = {.events = EPOLLIN, .opaque = a, .fd = -1};

	a->net.ops = &apart_ops;
	a->net.info = (struct net_info){.recv_offloads = NET_CSUM,
		.max_queues = 1,
		.mtu = config->mtu ? config->mtu : NET_SLIRP_MTU};
	a->helper = config->helper;
	a->log = config->log;
	source.fn = on_again;
	a->again = source;
	source.fn = on_after;
	a->after = source;
	source.fn = on_wake;
	source.fd = helper_vm_wake(a->helper);
	a->wake = source;
	source.fn = on_control;
	source.fd = helper_control(a->helper);
	a->control = source;
	source.fn = on_lines;
	source.events = EPOLLIN | EPOLLRDHUP;
	source.fd = helper_lines(a->helper);
	a->lines = source;
}

int net_apart_create(const struct net_apart_config *config, struct net **ret, struct error *err)
{
	struct net_apart *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return error_set_errno(err, -ENOMEM, "user network");
	init(a, config);
	rc = (int)MIN(config->generation, (unsigned int)INT_MAX);
	if (!rc)
		rc = helper_wait(a->helper, first_line, a, err);
	if (rc < 0) {
		free(a);
		return rc;
	}
	serve(a, (unsigned int)rc);
	*ret = &a->net;
	return 0;
}
