/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A character back end in the test's hands: keeps what is written to it, takes only as much as it
 * is told to, and plays the event loop when fake_chardev_run is called. Single-threaded.
 */
#ifndef TESTS_FAKE_CHARDEV_H
#define TESTS_FAKE_CHARDEV_H

#include "devices/char/chardev.h"

struct fake_chardev {
	struct chardev dev; /* hand &fake.dev to the device */
	uint8_t *out;	    /* everything written so far */
	size_t out_len, out_room;
	size_t budget;	 /* bytes it will still take; SIZE_MAX: no end */
	bool tx_blocked; /* a write was short: tx_ready is owed */
	uint8_t *in;	 /* waiting for the front end */
	size_t in_len, in_room;
	unsigned int kicks; /* rx_kick calls */
	bool kicked;	    /* one of them not answered yet */
	unsigned int flushes, writes;
	bool is_connected;
	bool is_terminal;
	uint16_t cols, rows;
};

/* Connected, not a terminal, takes everything. */
void fake_chardev_init(struct fake_chardev *fake);
void fake_chardev_fini(struct fake_chardev *fake);

/* Sets the budget; tx_ready follows if it is owed and there is room. */
void fake_chardev_allow(struct fake_chardev *fake, size_t budget);

/* Somebody types: queued, delivered as far as the front end has room. */
void fake_chardev_type(struct fake_chardev *fake, const void *buf, size_t len);

/* One turn of the event loop: answers kicks by delivering what fits. */
void fake_chardev_run(struct fake_chardev *fake);

/* Tells the front end; CONNECTED and DISCONNECTED change is_connected first. */
void fake_chardev_event(struct fake_chardev *fake, enum chardev_event event);

/* Forgets the output seen so far. */
void fake_chardev_clear(struct fake_chardev *fake);

#endif
