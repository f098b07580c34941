/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first byte chooses between the device at its ports and one channel by itself.
 *
 * Device: accesses of any size while time passes. The line is never left high, at most one timer is
 * armed and at most one pulse goes out per 100 us.
 *
 * Channel: what a guest sees may not depend on how often somebody looks. Two channels get the same
 * operations, one of them is looked at in between as well; outputs, edges and counts must agree,
 * and the next edge must come at the tick that was foretold.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/time/pit_channel.h"
#include "devices/time/pit.h"
#include "vm/core/bus.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_clock.c"
#include "../unit/fakes/fake_machine.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { OPS_MAX = 3000 };

/* 0 to about 2^24, each magnitude as likely as the next. */
static uint64_t span(uint8_t byte)
{
	return (uint64_t)(byte & 15) << (byte >> 4) << (byte >> 7 ? 5 : 0);
}

/* ---- the device ---- */

static void check_device(const struct fake_machine *m, uint64_t start)
{
	const struct fake_line *line = &m->lines[0];

	CHECK(!line->level && line->raised == line->lowered);
	CHECK(line->raised <= (m->clock.monotonic_ns - start) / 100000 + 1);
	CHECK(fake_clock_armed(&m->clock) <= 1);
}

static void run_device(const uint8_t *data, size_t len)
{
	struct fake_machine m;
	struct pit *pit;
	uint64_t start;

	fake_machine_create(&m);
	struct pit_config config = {
		.pio = m.pio, .irq = fake_machine_irq(&m, 0), .clock = &m.clock.clock};

	start = m.clock.monotonic_ns;
	CHECK(pit_create(&config, &pit) == 0);
	for (size_t i = 0; i + 1 < len && i < OPS_MAX; i += 2) {
		uint16_t port = data[i] & 4 ? 0x61 : 0x40 + (data[i] & 3);
		unsigned int size = 1u << (data[i] >> 3 & 3);

		switch (data[i] >> 5) {
		case 0:
			fake_clock_advance(&m.clock, span(data[i + 1]));
			break;
		case 1:
			fake_clock_jump(&m.clock, span(data[i + 1]) * 64);
			break;
		case 2:
		case 3:
			CHECK(bus_read(m.pio, port, size) <= size_mask(size));
			break;
		default:
			bus_write(m.pio, port, size, data[i + 1] * UINT64_C(0x0101010101010101));
			break;
		}
		check_device(&m, start);
	}
	/* At rest nothing is armed any more once all that is owed has been delivered. */
	bus_write(m.pio, 0x43, 1, 0x30);
	CHECK(fake_clock_armed(&m.clock) == 0);
	pit_destroy(pit);
	fake_machine_destroy(&m);
}

/* ---- a channel and its twin ---- */

static void look_often(struct pit_channel *ch, uint64_t from, uint64_t to)
{
	uint64_t step = (to - from) / 23 + 1, edge, edges;

	for (uint64_t now = from; now < to; now += step) {
		pit_channel_settle(ch, now);
		edges = ch->edges;
		if (!pit_channel_next_edge(ch, &edge) || edge > to)
			continue;
		CHECK(edge > now);
		pit_channel_settle(ch, edge - 1);
		CHECK(ch->edges == edges);
		pit_channel_settle(ch, edge);
		CHECK(ch->edges == edges + 1);
		now = MAX(now, edge);
	}
}

static void compare(struct pit_channel *a, struct pit_channel *b, uint64_t now)
{
	struct pit_channel x, y;

	CHECK(pit_channel_out(a, now) == pit_channel_out(b, now));
	CHECK(a->edges == b->edges);
	x = *a;
	y = *b;
	for (unsigned int i = 0; i < 4; i++)
		CHECK(pit_channel_read(&x, now) == pit_channel_read(&y, now));
	pit_channel_latch_status(&x, now);
	pit_channel_latch_status(&y, now);
	CHECK(pit_channel_read(&x, now) == pit_channel_read(&y, now));
}

static void operate(struct pit_channel *ch, uint8_t op, uint8_t arg, uint64_t now)
{
	switch (op & 7) {
	case 0:
		pit_channel_control(ch, arg & PIT_RW ? arg : arg | PIT_RW, now);
		break;
	case 1:
	case 2:
		pit_channel_write(ch, arg, now);
		break;
	case 3:
		pit_channel_read(ch, now);
		break;
	case 4:
		pit_channel_latch_count(ch, now);
		break;
	case 5:
		pit_channel_latch_status(ch, now);
		break;
	default:
		pit_channel_set_gate(ch, arg & 1, now);
		break;
	}
}

static void run_channel(const uint8_t *data, size_t len)
{
	struct pit_channel seldom, often;
	uint64_t now = 0, next;

	pit_channel_reset(&seldom, true);
	pit_channel_reset(&often, true);
	for (size_t i = 0; i + 2 < len && i < OPS_MAX; i += 3) {
		next = now + span(data[i + 2]);
		look_often(&often, now, next);
		now = next;
		operate(&seldom, data[i], data[i + 1], now);
		operate(&often, data[i], data[i + 1], now);
		compare(&seldom, &often, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	if (data[0] & 1)
		run_device(data + 1, len - 1);
	else
		run_channel(data + 1, len - 1);
	return 0;
}
