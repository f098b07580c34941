/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front end in the test's hands, and an event loop with a fake clock to run a back end on.
 */
#ifndef TESTS_CHAR_FIXTURE_H
#define TESTS_CHAR_FIXTURE_H

#include <termios.h>

#include "devices/char/char.h"
#include "fakes/fake_clock.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"

struct char_fixture {
	struct event_loop *loop;
	struct fake_clock clock;
	struct log log;
	int log_fd; /* a temporary file, unlinked */
	struct char_config config;
	struct error err;
	struct chardev *dev;

	/* The front end; attached by char_fixture_attach. */
	size_t room; /* for each callback; SIZE_MAX: takes all */
	uint8_t *rx;
	size_t rx_len, rx_size;
	size_t max_rx; /* the longest piece */
	unsigned int rx_calls, tx_ready, breaks, connects, disconnects, resizes;
	size_t break_at; /* rx_len at the last break */
	bool one_shot;	 /* room falls to 0 with each delivery */

	int settle_ms; /* of silence; 0 where all happens in this process */

	unsigned int commands[5]; /* by enum console_command */
	void (*on_command)(struct char_fixture *fix, enum console_command command);
};

void char_fixture_init(struct char_fixture *fix);
void char_fixture_fini(struct char_fixture *fix); /* closes dev */
void char_fixture_attach(struct char_fixture *fix);

/* Runs the loop until nothing has happened for some milliseconds. */
void char_fixture_settle(struct char_fixture *fix);

/* Pseudo-random bytes, the same for each run, never Ctrl-A. */
void char_fixture_pattern(uint8_t *buf, size_t len);

/* Writes all of it from a thread, with pauses now and then; blocks while nobody reads. */
/* For loops that wait for a count to grow: false when it has not for 60 s of real time. */
struct char_patience {
	size_t count;
	uint64_t since_ns; /* 0: it has not begun */
};
bool char_patient(struct char_patience *patience, size_t count);

struct char_feeder;
struct char_feeder *char_feed(int fd, const uint8_t *buf, size_t len);
void char_feed_join(struct char_feeder *feeder);

/* Reads from fd what comes until len bytes are there, running the loop meanwhile. */
void char_fixture_drain(struct char_fixture *fix, int fd, uint8_t *buf, size_t len, size_t piece);

/* Writes the whole buffer through dev as a front end does, while reading fd; compares. */
void char_fixture_check_output(struct char_fixture *fix, int fd, size_t len, size_t piece);

/* What has been logged so far contains text. */
bool char_fixture_logged(struct char_fixture *fix, const char *text);

/* A pty pair in the modes of a shell; aborts on failure. */
void char_fixture_openpty(int *master, int *slave);

bool char_fixture_is_raw(int tty_fd);

#endif
