/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All work is done on the loop's thread, so there is no lock: rx_kick, the only call from outside,
 * posts a source to the loop.
 *
 * The descriptor is polled while the buffer has room; without, the kernel's own buffers fill and
 * the sender waits. Escapes are found when bytes are read, not when the front end takes them, so
 * that Ctrl-A x works although the guest has died with input unread. For the same reason a
 * terminal's buffer is large: what a person pastes fits, and the keys pressed after it are seen.
 * When it does fill, only a front end that takes nothing at all for CHARDEV_STALL_NS loses input; a
 * slow one never does.
 *
 * A break keeps its place among the bytes: Linux takes the byte behind it for a SysRq command.
 *
 * Rejected: reading only as much as the front end has room for (no escape is seen while it has
 * none), and EPOLLONESHOT (the loop may collect a batch twice).
 */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_full(const struct char_input *in)
{
	return in->count >= in->room;
}

static bool wants_input(const struct char_input *in)
{
	return in->stream.fd >= 0 && !in->paused && !in->eof && (!is_full(in) || in->scanning);
}

/* ---- the buffer ---- */

static void free_buffer(struct char_input *in)
{
	if (in->buf != in->first)
		free(in->buf);
	in->buf = in->first;
	in->size = sizeof(in->first);
	in->head = 0;
}

/* Without memory, the buffer stays as it is for good. */
static void grow(struct char_input *in, size_t need)
{
	size_t piece, size = in->size;
	uint8_t *buf;

	while (size < need)
		size *= 2;
	if (size == in->size)
		return;
	buf = malloc(size);
	if (!buf) {
		in->room = in->size;
		return;
	}
	piece = MIN(in->count, in->size - in->head);
	memcpy(buf, in->buf + in->head, piece);
	memcpy(buf + piece, in->buf, in->count - piece);
	free_buffer(in);
	in->buf = buf;
	in->size = size;
}

/* Takes what there is room for; more comes only while scanning. */
static void append(struct char_input *in, const uint8_t *data, size_t len)
{
	size_t tail, piece;

	len = MIN(len, in->room - in->count);
	if (!len)
		return;
	tail = (in->head + in->count) % in->size;
	piece = MIN(len, in->size - tail);
	memcpy(in->buf + tail, data, piece);
	memcpy(in->buf, data + piece, len - piece);
	in->count += len;
	in->in += len;
	if (is_full(in))
		in->taken_ns = clock_monotonic_ns(in->clock);
}

static void took(struct char_input *in, size_t n)
{
	in->head = (in->head + n) % in->size;
	in->count -= n;
	in->out += n;
	in->taken_ns = clock_monotonic_ns(in->clock);
	in->scanning = false;
	if (!in->count)
		free_buffer(in);
}

static bool deliver_break(struct char_input *in)
{
	if (!chardev_notify_room(in->dev))
		return false;
	in->num_breaks--;
	memmove(in->breaks, in->breaks + 1, in->num_breaks * sizeof(in->breaks[0]));
	chardev_notify_event(in->dev, CHARDEV_BREAK);
	return true;
}

static bool deliver_bytes(struct char_input *in)
{
	size_t n = MIN(in->count, in->size - in->head);

	if (in->num_breaks)
		n = MIN(n, in->breaks[0] - in->out);
	n = chardev_notify_rx(in->dev, in->buf + in->head, n);
	if (n)
		took(in, n);
	return n > 0;
}

/* As much as the front end takes; bounded by what the buffer holds. */
static void deliver(struct char_input *in)
{
	bool more = true;

	while (more && (in->count || in->num_breaks)) {
		if (in->num_breaks && in->breaks[0] == in->out)
			more = deliver_break(in);
		else
			more = deliver_bytes(in);
	}
}

/* ---- the descriptor ---- */

static void stop_polling(struct char_input *in)
{
	if (in->polled)
		event_loop_remove(in->loop, &in->source);
	in->polled = false;
}

static void start_polling(struct char_input *in)
{
	int rc;

	in->source.fd = in->stream.fd;
	in->source.events = EPOLLIN;
	rc = event_loop_add(in->loop, &in->source);
	in->polled = rc == 0;
	in->unpollable = rc == -EPERM;
}

static void arm_stall(struct char_input *in)
{
	if (!is_full(in) || in->scanning || in->stream.fd < 0)
		return;
	if (in->when_full == CHAR_INPUT_SCAN ||
		(in->when_full == CHAR_INPUT_GIVE_UP && in->hung_up))
		clock_arm(in->clock, &in->stall, in->taken_ns + CHARDEV_STALL_NS);
}

/* After any change: makes the loop watch for what matters now. */
static void update(struct char_input *in)
{
	const uint32_t events = wants_input(in) ? EPOLLIN : 0;

	arm_stall(in);
	if (in->stream.fd < 0 || in->paused) {
		stop_polling(in);
		return;
	}
	/* Without events a hang-up is still reported. */
	if (in->polled && in->source.events != events)
		event_loop_modify(in->loop, &in->source, events);
	if (!in->polled && !in->unpollable && events)
		start_polling(in);
	if (in->unpollable && events)
		char_input_kick(in);
}

static void end(struct char_input *in, int error)
{
	if (!error && in->half_close && !in->hung_up)
		in->eof = true;
	else
		in->ended(in->opaque, error);
}

/* buf is overwritten. */
static void filter(struct char_input *in, uint8_t *buf, size_t len)
{
	enum escape_key key = ESCAPE_NONE;
	size_t used, out_len;

	for (; len; buf += used, len -= used) {
		key = escape_feed(&in->escape, buf, len, &used, &out_len);
		append(in, buf, out_len);
		if (key != ESCAPE_NONE)
			in->key(in->opaque, key);
	}
}

/* One read. */
static void pull(struct char_input *in)
{
	uint8_t chunk[CHAR_INPUT_ROOM];
	size_t want = sizeof(chunk);
	ssize_t n;

	if (!in->scanning) {
		grow(in, MIN(in->count + want, in->room));
		want = MIN(want, in->room - in->count);
	}
	n = want ? stream_fd_read(&in->stream, chunk, want) : -EAGAIN;
	if (n == -EAGAIN)
		return;
	if (n <= 0)
		end(in, (int)n);
	else if (in->key)
		filter(in, chunk, (size_t)n);
	else
		append(in, chunk, (size_t)n);
}

/* A hang-up with a full buffer would be reported for ever: not polled until there is room. */
static void hold(struct char_input *in)
{
	stop_polling(in);
	in->taken_ns = clock_monotonic_ns(in->clock);
}

static void on_readable(void *opaque, uint32_t events)
{
	struct char_input *in = opaque;

	in->hung_up = events & (EPOLLHUP | EPOLLERR);
	if (wants_input(in))
		pull(in);
	else if (in->hung_up && in->eof)
		in->ended(in->opaque, 0);
	else if (in->hung_up)
		hold(in);
	deliver(in);
	update(in);
}

static void on_kick(void *opaque, uint32_t events)
{
	struct char_input *in = opaque;

	(void)events;
	deliver(in);
	if (in->unpollable && wants_input(in)) {
		pull(in);
		deliver(in);
	}
	update(in);
}

static void on_stall_timer(void *opaque)
{
	struct char_input *in = opaque;

	deliver(in);
	if (is_full(in) && !in->scanning &&
		clock_monotonic_ns(in->clock) >= in->taken_ns + CHARDEV_STALL_NS) {
		if (in->when_full == CHAR_INPUT_SCAN) {
			in->scanning = true;
			if (in->dropping)
				in->dropping(in->opaque);
		} else if (in->hung_up) {
			in->ended(in->opaque, 0);
		}
	}
	update(in);
}

void char_input_kick(struct char_input *in)
{
	event_loop_post(in->loop, &in->kick);
}

void char_input_break(struct char_input *in)
{
	if (in->num_breaks < CHAR_INPUT_BREAKS)
		in->breaks[in->num_breaks++] = in->in;
}

void char_input_pause(struct char_input *in, bool pause)
{
	in->paused = pause;
	update(in);
}

/* ---- life ---- */

void char_input_init(struct char_input *in)
{
	in->stream = (struct stream_fd){.fd = -1};
	in->source = (struct event_source){.fd = -1, .fn = on_readable, .opaque = in};
	in->stall = (struct timer){.fn = on_stall_timer, .opaque = in};
	in->buf = in->first;
	in->size = sizeof(in->first);
	in->kick = (struct event_source){.fd = -1, .fn = on_kick, .opaque = in};
}

void char_input_open(struct char_input *in, const struct stream_fd *stream)
{
	char_input_close(in);
	in->stream = *stream;
	update(in);
}

void char_input_close(struct char_input *in)
{
	clock_disarm_sync(in->clock, &in->stall);
	stop_polling(in);
	stream_fd_close(&in->stream);
	in->unpollable = in->eof = in->hung_up = in->scanning = false;
	in->escape = (struct escape){0};
}

void char_input_fini(struct char_input *in)
{
	event_loop_remove(in->loop, &in->kick);
	char_input_close(in);
	free_buffer(in);
}
