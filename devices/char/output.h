/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The output half of a back end: from any thread into a stream_fd, through a tx_buffer when the
 * reader is slow. The descriptor may come and go (clients of a socket); without one, everything is
 * dropped.
 */
#ifndef BANTAM_DEVICES_CHAR_OUTPUT_H
#define BANTAM_DEVICES_CHAR_OUTPUT_H

#include <pthread.h>

#include "devices/char/char.h"
#include "stream_fd.h"
#include "tx_buffer.h"
#include "vm/core/clock.h"
#include "vm/core/event_loop.h"

struct char_output {
	struct chardev *dev; /* whose front end hears of tx_ready */
	struct event_loop *loop;
	const struct clock *clock;
	/*
	 * A write has failed. Final: the descriptor takes nothing any more. Else each later write
	 * tries again, and recovered follows when one works, or at the close, with the bytes that
	 * were lost. Any thread, no lock held.
	 */
	void (*broken)(void *opaque, int error, bool final);
	void (*recovered)(void *opaque, uint64_t lost); /* NULL: every error is final */
	bool keeps_trying; /* no error is final; else only those of a full disk are not */
	/* The reader reads again after a stall, or was left; on the loop's thread, no lock held. */
	void (*resumed)(void *opaque, uint64_t dropped);
	void *opaque;

	pthread_mutex_t lock; /* guards all below */
	struct stream_fd stream;
	bool is_broken; /* the last write failed, or with is_over all will */
	bool is_over;
	uint64_t lost;	 /* bytes, while broken */
	bool polled;	 /* source is in the loop */
	bool unpollable; /* a regular file, say: never makes us wait */
	struct event_source source;
	struct timer stall;
	struct tx_buffer tx;
};

/* The fields above lock are the caller's to set before. No descriptor yet. */
void char_output_init(struct char_output *out);
void char_output_fini(struct char_output *out); /* closes; not from a callback */

/* Takes the stream over; what waited for an earlier one is forgotten. On the loop's thread. */
void char_output_open(struct char_output *out, const struct stream_fd *stream);
void char_output_close(struct char_output *out);

/* As chardev_ops.write and .flush. Any thread. */
size_t char_output_write(struct char_output *out, const uint8_t *buf, size_t len);
void char_output_flush(struct char_output *out);

#endif
