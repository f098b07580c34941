/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User networking as a process: libslirp between two rings of frames, and one place to sleep, for
 * sockets, timers and the VM's signal together. A turn follows each sleep:
 *
 *	sockets, timers ──► libslirp ──► filter ──► ring `in` ──► the VM
 *	ring `out` ──► a copy ──► filter ──► libslirp ──► sockets
 *
 * The VM is not trusted: a guest may have taken it over, and here is a network that it cannot reach
 * otherwise. So what it gives is copied, the copy judged, and a ring that is not as it can be is
 * the end. It is signalled once in a turn, at its end, or in a few.
 *
 * What bounds the ring is as in slirp.c. A guest that is paused fetches nothing: after STUCK_NS
 * everything here stands still as well, so that libslirp does not give up its connections; each
 * sign of life of the VM's ends that.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../apart.h"
#include "slirp_serve.h"
#include "vm/core/error.h"

enum {
	FRAMES = 256, /* in a turn */
	MERGED = 3,   /* turns with one signal */
};

#define STUCK_NS (2 * NSEC_PER_SEC)

static struct slirp_server *to_server(struct net_slirp *s)
{
	return container_of(s, struct slirp_server, s);
}

static void sink_put(
	struct net_slirp *s, const uint8_t *head, size_t head_len, const uint8_t *frame, size_t len)
{
	struct slirp_server *server = to_server(s);
	uint8_t *to;

	if (len > SLIRP_MAX_FRAME)
		return;
	to = ring_reserve(&server->in, (uint32_t)len);
	if (!to)
		return;
	memcpy(to, head, head_len);
	memcpy(to + head_len, frame + head_len, len - head_len);
	if (ring_commit(&server->in))
		server->signal = true;
}

static size_t sink_used(struct net_slirp *s)
{
	return (size_t)ring_used(&to_server(s)->in) * (FRAME_RING_SIZE / APART_IN_SIZE);
}

static const struct slirp_sink sink = {.put = sink_put, .used = sink_used};

static size_t read_names(void *opaque, char *text, size_t size)
{
	return helper_ask(opaque, text, size);
}

/* ---- turns ---- */

/* True: there are more. What is behind a full ring waits until the VM has emptied it. */
static bool take_frames(struct slirp_server *server)
{
	struct net_slirp *s = &server->s;

	for (unsigned int n = 0; n < FRAMES; n++) {
		const uint8_t *frame;
		uint32_t len;

		if (sink_used(s) > SLIRP_TOO_MANY) {
			server->full = ring_wait_room(&server->in);
			if (server->full)
				return false;
		}
		frame = ring_peek(&server->out, &len);
		if (!frame)
			return false;
		memcpy(s->frame, frame, len);
		server->signal |= ring_pop(&server->out);
		if (len >= NET_MIN_FRAME - NET_HEADER)
			net_slirp_input(s, len);
	}
	return true;
}

static void signal_vm(struct slirp_server *server)
{
	const uint64_t one = 1;

	server->signal = false;
	/* A full counter wakes as well. */
	if (write(server->self->vm_wake, &one, sizeof(one)) < 0)
		return;
}

/* True: another one is due at once. */
static bool turn(struct slirp_server *server, bool sockets)
{
	struct net_slirp *s = &server->s;
	bool more;

	slirp_clock_run(&server->clock);
	s->lib.pollfds_poll(s->slirp, !sockets, net_slirp_on_ready, s);
	slirp_poll_done(&s->poll);
	server->full = false;
	more = take_frames(server);
	net_slirp_ask(s);
	if (s->paused && !server->full)
		more |= !ring_wait_room(&server->in);
	/* Frames behind a full ring are none. */
	return more || (!server->full && !ring_wait_record(&server->out));
}

/* ---- a guest that fetches nothing ---- */

static bool is_stuck(struct slirp_server *server)
{
	const uint32_t used = ring_used(&server->in), head = server->in.tail - used;
	uint64_t now;

	if (!used) {
		server->stuck = false;
		return false;
	}
	now = clock_monotonic_ns(&server->clock.clock);
	if (!server->stuck || head != server->stuck_head) {
		server->stuck = true;
		server->stuck_head = head;
		server->stuck_since = now;
	}
	return now - server->stuck_since >= STUCK_NS;
}

/* What was signalled until now is looked for once more, as the signal is gone. */
static void stand_still(struct slirp_server *server)
{
	struct pollfd pfd = {.fd = server->self->wake, .events = POLLIN};
	const uint32_t used = ring_used(&server->in);
	uint64_t count;
	ssize_t n;

	do
		n = read(server->self->wake, &count, sizeof(count));
	while (n > 0);
	if ((server->full || ring_wait_record(&server->out)) && ring_wait_taken(&server->in, used))
		poll(&pfd, 1, -1);
	server->stuck = false;
}

/*
 * What is to be read since this turn may be there already: more of a stream, now that there is
 * room. Then the signal waits for that, as each one wakes three threads.
 */
static bool goes_on(struct slirp_server *server, bool *sockets)
{
	return server->signal && server->s.poll.reads && server->unsignalled++ < MERGED &&
	       slirp_poll_wait(&server->s.poll, 0, sockets);
}

static void go_to_sleep(struct slirp_server *server, bool *again, bool *sockets)
{
	if (server->signal)
		signal_vm(server);
	server->unsignalled = 0;
	if (!*again && is_stuck(server)) {
		stand_still(server);
		*again = true;
	}
	if (!*again)
		slirp_clock_set_alarm(&server->clock);
	slirp_poll_wait(&server->s.poll, *again ? 0 : -1, sockets);
}

static void sleep_and_turn(struct slirp_server *server, bool *again)
{
	bool sockets = false;

	if (*again || !goes_on(server, &sockets))
		go_to_sleep(server, again, &sockets);
	*again = turn(server, sockets);
}

/* libslirp hears of the time in each turn. */
static void on_tick(void *opaque)
{
	((struct net_slirp *)opaque)->ticking = false;
}

int slirp_server_start(struct slirp_server *server, const struct net_slirp_config *config,
	struct helper_self *self, struct error *err)
{
	struct net_slirp_config own = *config;
	struct apart_page *page = self->memory;
	const struct slirp_setup setup = {.config = &own,
		.sink = &sink,
		.read_names = read_names,
		.names_opaque = self,
		.ports = page->ports,
		.again = self->generation > 1};
	int rc = slirp_lib_open(&server->s.lib, err);

	if (rc < 0)
		return rc;
	server->self = self;
	rc = slirp_clock_init(&server->clock);
	if (rc < 0)
		return error_set_errno(err, rc, "user network");
	log_init(&server->log, self->lines, config->log ? config->log->level : LOG_INFO, NULL);
	own.clock = &server->clock.clock;
	own.log = &server->log;
	server->s.tick = (struct timer){.fn = on_tick, .opaque = &server->s};
	rc = net_slirp_make(&server->s, &setup, err);
	if (rc < 0)
		return rc;
	rc = slirp_poll_add_wake(&server->s.poll, self->wake);
	if (!rc)
		rc = slirp_poll_add_wake(&server->s.poll, server->clock.fd);
	if (rc < 0) {
		net_slirp_unmake(&server->s);
		return error_set_errno(err, rc, "user network");
	}
	return 0;
}

static void begin(struct slirp_server *server)
{
	void *memory = server->self->memory;

	ring_producer_init(&server->in, apart_ring(memory, APART_IN), APART_IN_SIZE);
	ring_consumer_init(
		&server->out, apart_ring(memory, APART_OUT), APART_OUT_SIZE, APART_MAX_FRAME);
}

void slirp_server_run(struct slirp_server *server)
{
	bool again = true;

	begin(server);
	while (!server->in.broken && !server->out.broken)
		sleep_and_turn(server, &again);
}
