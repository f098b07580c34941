/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input half of a back end: from a stream_fd through a bounded buffer to the front end, as fast
 * as that takes it. The descriptor may come and go; what is in the buffer stays.
 */
#ifndef BANTAM_DEVICES_CHAR_INPUT_H
#define BANTAM_DEVICES_CHAR_INPUT_H

#include "devices/char/chardev.h"
#include "escape.h"
#include "stream_fd.h"
#include "vm/core/clock.h"
#include "vm/core/event_loop.h"

#define CHAR_INPUT_ROOM		 4096u
#define CHAR_INPUT_TERMINAL_ROOM (128 * 1024u)

enum { CHAR_INPUT_BREAKS = 8 };

/* What happens when the buffer is full and the front end takes nothing. */
enum char_input_full {
	CHAR_INPUT_WAIT, /* nothing: the sender waits as well */
	/*
	 * After CHARDEV_STALL_NS, reads on for the sake of the escapes and drops the data until the
	 * front end takes some: a person must get out of a dead guest.
	 */
	CHAR_INPUT_SCAN,
	/* The sender waits; one that has hung up is forgotten after CHARDEV_STALL_NS. */
	CHAR_INPUT_GIVE_UP,
};

struct char_input {
	/* Set by the owner before init. The functions are called on the loop's thread. */
	struct chardev *dev;
	struct event_loop *loop;
	const struct clock *clock;
	size_t room; /* the buffer's, at least CHAR_INPUT_ROOM; falls when memory is short */
	enum char_input_full when_full;
	bool half_close; /* after the end of the input, wait for the hang-up */
	void (*key)(void *opaque, enum escape_key key); /* NULL: no escapes */
	/* 0 or a negative errno. Nothing more will come; closing here is allowed. */
	void (*ended)(void *opaque, int error);
	void (*dropping)(void *opaque); /* SCAN began; may be NULL */
	void *opaque;

	/* The loop's thread only, but for kick. */
	struct stream_fd stream;
	struct event_source source, kick;
	bool polled;	 /* source is in the loop */
	bool unpollable; /* a regular file, say: always ready */
	bool paused;
	bool eof, hung_up, scanning;
	struct escape escape;
	uint8_t *buf; /* a ring of size bytes: first, or allocated */
	size_t size, head, count;
	uint8_t first[CHAR_INPUT_ROOM];
	uint64_t in, out;		    /* bytes since the beginning */
	uint64_t breaks[CHAR_INPUT_BREAKS]; /* before which byte, ascending */
	unsigned int num_breaks;
	uint64_t taken_ns; /* the front end took a byte last, or the buffer became full */
	struct timer stall;
};

/* No descriptor yet. */
void char_input_init(struct char_input *in);
void char_input_fini(struct char_input *in);

/* Takes the stream over. On the loop's thread, or before the loop runs. */
void char_input_open(struct char_input *in, const struct stream_fd *stream);
void char_input_close(struct char_input *in);

/* Leaves the descriptor alone (a terminal that is somebody else's now) and comes back to it. */
void char_input_pause(struct char_input *in, bool pause);

/* A break that follows the bytes which came so far. From key. */
void char_input_break(struct char_input *in);

/* As chardev_ops.rx_kick. Any thread. */
void char_input_kick(struct char_input *in);

#endif
