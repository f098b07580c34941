/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One counter of the 8254 (Intel 231164-005), as a function of time in clock ticks: the caller says
 * which tick it is, nothing runs by itself. No lock, no interrupt line. Ticks never go back.
 */
#ifndef BANTAM_DEVICES_TIME_PIT_CHANNEL_H
#define BANTAM_DEVICES_TIME_PIT_CHANNEL_H

#include "vm/core/base.h"

/* Control word, figure 7, and read-back command, figure 11 */
enum {
	PIT_BCD = 0x01,
	PIT_MODE_SHIFT = 1,
	PIT_RW_SHIFT = 4,
	PIT_RW = 0x30,
	PIT_SELECT_SHIFT = 6,
	PIT_READ_BACK = 3, /* select field */

	PIT_READ_BACK_NO_STATUS = 0x10,
	PIT_READ_BACK_NO_COUNT = 0x20,

	PIT_STATUS_NULL = 0x40,
	PIT_STATUS_OUT = 0x80,
};

enum pit_rw { PIT_RW_LATCH, PIT_RW_LSB, PIT_RW_MSB, PIT_RW_BOTH };

enum pit_mode {
	PIT_TERMINAL_COUNT,
	PIT_ONE_SHOT,
	PIT_RATE,
	PIT_SQUARE,
	PIT_SW_STROBE,
	PIT_HW_STROBE,
};

struct pit_channel {
	bool programmed; /* a control word was written */
	bool gate;
	enum pit_mode mode;
	enum pit_rw rw;
	bool bcd;

	/* Byte order of two-byte accesses */
	bool write_msb, read_msb;
	uint8_t write_lsb;

	/* Latches; count_bytes is what the guest has yet to read of the count */
	unsigned int count_bytes;
	uint16_t count_latch;
	bool status_latched;
	uint8_t status_latch;

	/* The count register: what the guest wrote, and when it goes to the counting element */
	uint32_t count; /* 1..65536; BCD with digits past 9 up to 16665 */
	bool count_set; /* since the control word */
	bool null;	/* not in the counting element yet */
	bool load_due;
	uint64_t load_at;

	/* The counting element, as it was at tick base */
	bool loaded;  /* since the control word */
	bool running; /* counts with each tick */
	bool frozen;  /* mode 0 between the bytes of a new count: OUT is low */
	uint32_t n;   /* what it was loaded with */
	uint64_t base;
	int64_t left;	/* modes 0, 1, 4, 5: ticks until 0; goes below as the counter wraps */
	uint16_t held;	/* modes 2, 3 with the gate low: the count that stands still */
	bool low_first; /* mode 3: the half period that starts at base is the low one */

	/* Rising edges of OUT by counting (not by control words), up to tick mark */
	uint64_t edges, mark;
};

void pit_channel_reset(struct pit_channel *ch, bool gate);

/* word is a control word for this channel with a rw field other than PIT_RW_LATCH. */
void pit_channel_control(struct pit_channel *ch, uint8_t word, uint64_t now);
void pit_channel_write(struct pit_channel *ch, uint8_t byte, uint64_t now);
uint8_t pit_channel_read(struct pit_channel *ch, uint64_t now);
void pit_channel_latch_count(struct pit_channel *ch, uint64_t now);
void pit_channel_latch_status(struct pit_channel *ch, uint64_t now);
void pit_channel_set_gate(struct pit_channel *ch, bool gate, uint64_t now);
bool pit_channel_out(struct pit_channel *ch, uint64_t now);

/* Brings the state, ch->edges in particular, up to now. All of the above do it themselves. */
void pit_channel_settle(struct pit_channel *ch, uint64_t now);

/* The next rising edge after the tick settled to; false: none as things stand. */
bool pit_channel_next_edge(const struct pit_channel *ch, uint64_t *tick);

#endif
