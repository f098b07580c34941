/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A write goes straight to the descriptor as long as nothing waits, which costs a vCPU one system
 * call; the remainder goes to the ring, and from then on the loop's thread alone writes, so the
 * order is kept. The source is in the loop only while something waits: a pipe without a reader
 * would wake it for ever with EPOLLERR otherwise. The stall timer runs only while a front end waits
 * for tx_ready.
 *
 * Locking: write, flush and the loop's functions take the lock; broken, resumed and tx_ready are
 * called after it was released. The source is removed by the loop's thread with the lock held (its
 * function cannot run elsewhere), or in close with the lock released. A timer that was about to
 * fire finds nothing to do.
 */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define FLUSH_NS NSEC_PER_SEC

/* One turn writes this much at most, so that a fast reader does not keep the loop for itself. */
enum { TURN_BYTES = 4 * CHARDEV_TX_BUFFER };

/* What to call after the lock was released. */
struct aftermath {
	int error;	  /* of the descriptor, now broken */
	bool final;	  /* for good */
	uint64_t lost;	  /* it works again */
	uint64_t dropped; /* a stall ended */
	bool ready;	  /* tx_ready is due */
};

static void call(struct char_output *out, const struct aftermath *after)
{
	if (after->error)
		out->broken(out->opaque, after->error, after->final);
	if (after->lost)
		out->recovered(out->opaque, after->lost);
	if (after->dropped)
		out->resumed(out->opaque, after->dropped);
	if (after->ready)
		chardev_notify_tx_ready(out->dev);
}

/* With the lock held. */
static void arm_stall(struct char_output *out)
{
	uint64_t deadline_ns;

	if (tx_buffer_deadline(&out->tx, &deadline_ns))
		clock_arm(out->clock, &out->stall, deadline_ns);
}

/* With the lock held, after something came to wait. */
static void start_polling(struct char_output *out)
{
	int rc;

	if (out->polled || out->unpollable || (!out->tx.count && !out->tx.owed))
		return;
	rc = event_loop_add(out->loop, &out->source);
	out->polled = rc == 0;
	out->unpollable = rc == -EPERM;
}

/* With the lock held, on the loop's thread. */
static void stop_polling(struct char_output *out)
{
	if (out->polled)
		event_loop_remove(out->loop, &out->source);
	out->polled = false;
}

/* A file that may not grow, on a disk that is full: others make room, or cut it. */
static bool may_pass(const struct char_output *out, int error)
{
	if (!out->recovered)
		return false;
	return out->keeps_trying || error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

/* With the lock held. What waits is lost, and so are count bytes more. */
static void set_broken(struct char_output *out, int error, size_t count, struct aftermath *after)
{
	out->is_over = !may_pass(out, error);
	if (!out->is_broken || out->is_over) {
		after->error = error;
		after->final = out->is_over;
	}
	out->is_broken = true;
	out->lost += count + out->tx.count + out->tx.dropped;
	tx_buffer_clear(&out->tx);
}

/* With the lock held, after a write that worked. */
static void set_working(struct char_output *out, struct aftermath *after)
{
	if (!out->is_broken)
		return;
	after->lost = out->lost;
	out->is_broken = false;
	out->lost = 0;
}

/* With the lock held and nothing waiting. Returns how much of buf has left. */
static size_t write_direct(
	struct char_output *out, const uint8_t *buf, size_t len, struct aftermath *after)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = stream_fd_write(&out->stream, buf + done, len - done);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			set_broken(out, (int)n, len - done, after);
			return len;
		}
		set_working(out, after);
		done += (size_t)n;
	}
	return done;
}

size_t char_output_write(struct char_output *out, const uint8_t *buf, size_t len)
{
	struct aftermath after = {0};
	size_t done = 0;

	pthread_mutex_lock(&out->lock);
	if (out->stream.fd < 0 || out->is_over) {
		pthread_mutex_unlock(&out->lock);
		return len;
	}
	if (!out->tx.count && !out->tx.owed && !out->tx.stalled)
		done = write_direct(out, buf, len, &after);
	if (done < len) {
		done += tx_buffer_put(
			&out->tx, buf + done, len - done, clock_monotonic_ns(out->clock));
		start_polling(out);
		arm_stall(out);
	}
	pthread_mutex_unlock(&out->lock);
	call(out, &after);
	return done;
}

/* With the lock held: writes from the ring until it is empty or the reader takes no more. */
static void push(struct char_output *out, struct aftermath *after)
{
	const uint8_t *piece;
	size_t len, sent = 0;

	while (sent < TURN_BYTES && (len = tx_buffer_peek(&out->tx, &piece)) > 0) {
		ssize_t n = stream_fd_write(&out->stream, piece, len);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			set_broken(out, (int)n, 0, after);
			return;
		}
		set_working(out, after);
		after->dropped +=
			tx_buffer_consume(&out->tx, (size_t)n, clock_monotonic_ns(out->clock));
		sent += (size_t)n;
	}
}

static void on_writable(void *opaque, uint32_t events)
{
	struct char_output *out = opaque;
	struct aftermath after = {0};

	(void)events;
	pthread_mutex_lock(&out->lock);
	if (out->stream.fd >= 0 && !out->is_over) {
		push(out, &after);
		if (!out->tx.count)
			after.dropped +=
				tx_buffer_consume(&out->tx, 0, clock_monotonic_ns(out->clock));
	}
	after.ready = tx_buffer_take_ready(&out->tx);
	if (!out->tx.count)
		stop_polling(out);
	pthread_mutex_unlock(&out->lock);
	call(out, &after);
}

static void on_stall_timer(void *opaque)
{
	struct char_output *out = opaque;
	struct aftermath after = {0};

	pthread_mutex_lock(&out->lock);
	tx_buffer_check(&out->tx, clock_monotonic_ns(out->clock));
	arm_stall(out);
	after.ready = tx_buffer_take_ready(&out->tx);
	pthread_mutex_unlock(&out->lock);
	call(out, &after);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* True when there is more, and the reader may still take it. */
static bool flush_step(struct char_output *out, struct pollfd *pfd)
{
	struct aftermath after = {0};
	bool more;

	pthread_mutex_lock(&out->lock);
	if (out->stream.fd >= 0 && !out->is_over)
		push(out, &after);
	more = out->tx.count > 0 && !out->tx.stalled;
	pfd->fd = out->stream.fd;
	pthread_mutex_unlock(&out->lock);
	call(out, &after);
	return more;
}

/* Real time, as it really waits. Whoever is owed tx_ready hears it from the loop, later. */
void char_output_flush(struct char_output *out)
{
	const uint64_t end = now_ns() + FLUSH_NS;
	struct pollfd pfd = {.events = POLLOUT};

	while (flush_step(out, &pfd)) {
		uint64_t now = now_ns();

		if (now >= end || poll(&pfd, 1, (int)((end - now) / NSEC_PER_MSEC) + 1) == 0)
			return;
	}
}

void char_output_init(struct char_output *out)
{
	pthread_mutex_init(&out->lock, NULL);
	out->stream = (struct stream_fd){.fd = -1};
	out->is_broken = out->is_over = out->polled = out->unpollable = false;
	out->lost = 0;
	out->source = (struct event_source){.fd = -1, .fn = on_writable, .opaque = out};
	out->stall = (struct timer){.fn = on_stall_timer, .opaque = out};
	out->tx = (struct tx_buffer){0};
}

void char_output_open(struct char_output *out, const struct stream_fd *stream)
{
	char_output_close(out);
	pthread_mutex_lock(&out->lock);
	out->source.fd = stream->fd;
	out->source.events = EPOLLOUT;
	out->stream = *stream;
	out->is_broken = out->is_over = out->unpollable = false;
	out->lost = 0;
	pthread_mutex_unlock(&out->lock);
}

void char_output_close(struct char_output *out)
{
	struct aftermath after = {0};
	struct stream_fd stream;
	bool polled;

	pthread_mutex_lock(&out->lock);
	stream = out->stream;
	out->stream.fd = -1;
	polled = out->polled;
	out->polled = false;
	if (!out->is_over)
		set_working(out, &after);
	after.dropped = out->tx.dropped;
	tx_buffer_clear(&out->tx);
	after.ready = tx_buffer_take_ready(&out->tx);
	pthread_mutex_unlock(&out->lock);
	clock_disarm_sync(out->clock, &out->stall);
	if (polled)
		event_loop_remove(out->loop, &out->source);
	stream_fd_close(&stream);
	call(out, &after);
}

void char_output_fini(struct char_output *out)
{
	char_output_close(out);
	tx_buffer_fini(&out->tx);
	pthread_mutex_destroy(&out->lock);
}
