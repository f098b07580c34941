/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A counter is two things, as in the chip: the count register that the guest writes and the
 * counting element that it is loaded into, at the next tick, at the end of a period or on a gate's
 * rise, whatever the mode says. At most one load is due at a time; settle() performs it when its
 * tick has come. Between loads the counting element is a formula over (tick - base): nothing
 * accumulates, so nothing drifts.
 *
 * Rising edges of OUT are counted from the same formulas, up to each load with the old parameters
 * and with the new ones from there.
 */
#include "pit_channel.h"

#include <string.h>

static bool periodic(const struct pit_channel *ch)
{
	return ch->mode == PIT_RATE || ch->mode == PIT_SQUARE;
}

static bool waits_for_gate(const struct pit_channel *ch)
{
	return ch->mode == PIT_ONE_SHOT || ch->mode == PIT_HW_STROBE;
}

/* Length of the half period that starts at base: an odd count makes the high half longer. */
static uint64_t first_half(const struct pit_channel *ch)
{
	return ch->low_first ? ch->n / 2 : (ch->n + 1) / 2;
}

/* Ticks until 0 in the modes that do not repeat; negative after it. */
static int64_t left_at(const struct pit_channel *ch, uint64_t now)
{
	return ch->running ? ch->left - (int64_t)(now - ch->base) : ch->left;
}

/* ---- edges ---- */

/* The first rising edge after tick t, not looking at loads that are due. */
static bool edge_after(const struct pit_channel *ch, uint64_t t, uint64_t *edge)
{
	uint64_t since = t - ch->base, first = ch->n;
	int64_t at = ch->left;

	if (!ch->loaded || !ch->running)
		return false;
	if (periodic(ch)) {
		if (ch->mode == PIT_SQUARE && ch->low_first)
			first = first_half(ch);
		*edge = ch->base + first;
		if (since >= first)
			*edge += ((since - first) / ch->n + 1) * ch->n;
		return true;
	}
	/* The strobes are low for the tick at 0 and rise with the next. */
	if (ch->mode == PIT_SW_STROBE || ch->mode == PIT_HW_STROBE)
		at++;
	*edge = ch->base + (uint64_t)at;
	return at > (int64_t)since;
}

/* Counts edges in (ch->mark, now] with the present parameters. */
static void count_edges(struct pit_channel *ch, uint64_t now)
{
	uint64_t first;

	if (edge_after(ch, ch->mark, &first) && first <= now)
		ch->edges += periodic(ch) ? (now - first) / ch->n + 1 : 1;
	ch->mark = now;
}

/* ---- the counting element ---- */

static void load(struct pit_channel *ch, uint64_t at)
{
	bool second_half =
		ch->mode == PIT_SQUARE && ch->loaded && ch->running && (at - ch->base) % ch->n != 0;

	/* A half period ends here: the next one is the other. */
	ch->low_first = second_half ? !ch->low_first : ch->low_first && ch->loaded && ch->running;
	ch->n = ch->count;
	ch->base = at;
	ch->left = ch->n;
	ch->held = (uint16_t)(ch->mode == PIT_SQUARE ? ch->n & ~1u : ch->n);
	ch->running = waits_for_gate(ch) || ch->gate;
	ch->frozen = false;
	ch->loaded = true;
	ch->null = false;
	ch->load_due = false;
}

void pit_channel_settle(struct pit_channel *ch, uint64_t now)
{
	if (ch->load_due && ch->load_at <= now) {
		count_edges(ch, ch->load_at);
		load(ch, ch->load_at);
	}
	count_edges(ch, now);
}

static void load_at(struct pit_channel *ch, uint64_t tick)
{
	ch->load_due = true;
	ch->load_at = tick;
}

/* The end of the period (mode 2) or half period (mode 3) that now is in. */
static uint64_t period_end(const struct pit_channel *ch, uint64_t now)
{
	uint64_t pos = (now - ch->base) % ch->n, start = now - pos;

	if (ch->mode == PIT_SQUARE && pos < first_half(ch))
		return start + first_half(ch);
	return start + ch->n;
}

static uint16_t periodic_count(const struct pit_channel *ch, uint64_t now)
{
	uint64_t pos;

	if (!ch->running)
		return ch->held;
	pos = (now - ch->base) % ch->n;
	if (ch->mode == PIT_RATE)
		return (uint16_t)(ch->n - pos);
	if (pos >= first_half(ch))
		pos -= first_half(ch);
	return (uint16_t)((ch->n & ~1u) - 2 * pos);
}

static uint16_t to_bcd(uint16_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			  value / 1000 % 10 << 12);
}

/* What the guest reads. */
static uint16_t current_count(const struct pit_channel *ch, uint64_t now)
{
	const int64_t wrap = ch->bcd ? 10000 : 0x10000;
	int64_t value;

	if (!ch->loaded)
		return 0;
	if (periodic(ch))
		value = periodic_count(ch, now);
	else
		value = left_at(ch, now);
	value = (value % wrap + wrap) % wrap;
	return ch->bcd ? to_bcd((uint16_t)value) : (uint16_t)value;
}

/* The output at a tick that is settled to. */
static bool output(const struct pit_channel *ch, uint64_t now)
{
	uint64_t pos;

	if (ch->mode == PIT_TERMINAL_COUNT)
		return ch->loaded && !ch->frozen && left_at(ch, now) <= 0;
	if (!ch->programmed || !ch->loaded)
		return true;
	if (ch->mode == PIT_ONE_SHOT)
		return left_at(ch, now) <= 0;
	if (!periodic(ch))
		return left_at(ch, now) != 0;
	if (!ch->running)
		return true;
	pos = (now - ch->base) % ch->n;
	if (ch->mode == PIT_RATE)
		return pos != ch->n - 1;
	return (pos < first_half(ch)) != ch->low_first;
}

/* ---- what the guest does ---- */

void pit_channel_control(struct pit_channel *ch, uint8_t word, uint64_t now)
{
	unsigned int mode = (word >> PIT_MODE_SHIFT) & 7;
	bool gate = ch->gate;
	uint64_t edges;

	pit_channel_settle(ch, now);
	edges = ch->edges;
	memset(ch, 0, sizeof(*ch));
	ch->programmed = true;
	ch->gate = gate;
	ch->mode = (enum pit_mode)(mode > PIT_HW_STROBE ? mode & 3 : mode);
	ch->rw = (enum pit_rw)((word & PIT_RW) >> PIT_RW_SHIFT);
	ch->bcd = word & PIT_BCD;
	ch->null = true;
	ch->edges = edges;
	ch->mark = now;
}

/* A new count stops mode 0, output low, from its first byte on; the other modes count on. */
static void freeze(struct pit_channel *ch, uint64_t now)
{
	if (ch->mode != PIT_TERMINAL_COUNT)
		return;
	ch->left = left_at(ch, now);
	ch->base = now;
	ch->running = false;
	ch->load_due = false;
	ch->frozen = true;
}

static uint32_t count_value(const struct pit_channel *ch, uint16_t written)
{
	if (!ch->bcd)
		return written ? written : 0x10000;
	if (!written)
		return 10000;
	return (written & 15u) + (written >> 4 & 15u) * 10 + (written >> 8 & 15u) * 100 +
	       (written >> 12) * 1000u;
}

/* A whole count is there: when does it reach the counting element? */
static void set_count(struct pit_channel *ch, uint16_t value, uint64_t now)
{
	ch->count = count_value(ch, value);
	ch->count_set = true;
	ch->null = true;
	if (waits_for_gate(ch))
		return;
	freeze(ch, now);
	if (!periodic(ch) || !ch->loaded)
		load_at(ch, now + 1);
	else if (ch->running && !ch->load_due)
		load_at(ch, period_end(ch, now));
}

void pit_channel_write(struct pit_channel *ch, uint8_t byte, uint64_t now)
{
	pit_channel_settle(ch, now);
	if (!ch->programmed)
		return;
	switch (ch->rw) {
	case PIT_RW_LSB:
		set_count(ch, byte, now);
		break;
	case PIT_RW_MSB:
		set_count(ch, (uint16_t)(byte << 8), now);
		break;
	default:
		ch->write_msb = !ch->write_msb;
		if (ch->write_msb) {
			ch->write_lsb = byte;
			freeze(ch, now);
		} else {
			set_count(ch, (uint16_t)(byte << 8 | ch->write_lsb), now);
		}
		break;
	}
}

/* The byte of a 16-bit value that this read is about. */
static uint8_t pick_byte(struct pit_channel *ch, uint16_t value)
{
	bool high = ch->rw == PIT_RW_MSB;

	if (ch->rw == PIT_RW_BOTH) {
		high = ch->read_msb;
		ch->read_msb = !ch->read_msb;
	}
	return (uint8_t)(high ? value >> 8 : value);
}

uint8_t pit_channel_read(struct pit_channel *ch, uint64_t now)
{
	pit_channel_settle(ch, now);
	if (ch->status_latched) {
		ch->status_latched = false;
		return ch->status_latch;
	}
	if (ch->count_bytes) {
		ch->count_bytes--;
		return pick_byte(ch, ch->count_latch);
	}
	return pick_byte(ch, current_count(ch, now));
}

/* A second latch command before the first one's count is read does nothing. */
void pit_channel_latch_count(struct pit_channel *ch, uint64_t now)
{
	pit_channel_settle(ch, now);
	if (ch->count_bytes)
		return;
	ch->count_latch = current_count(ch, now);
	ch->count_bytes = ch->rw == PIT_RW_BOTH ? 2 : 1;
}

void pit_channel_latch_status(struct pit_channel *ch, uint64_t now)
{
	pit_channel_settle(ch, now);
	if (ch->status_latched)
		return;
	ch->status_latched = true;
	ch->status_latch = (uint8_t)((unsigned int)ch->rw << PIT_RW_SHIFT |
				     (unsigned int)ch->mode << PIT_MODE_SHIFT |
				     (ch->bcd ? PIT_BCD : 0) | (ch->null ? PIT_STATUS_NULL : 0) |
				     (output(ch, now) ? PIT_STATUS_OUT : 0));
}

static void gate_rises(struct pit_channel *ch, uint64_t now)
{
	if (waits_for_gate(ch) || periodic(ch)) {
		if (ch->count_set)
			load_at(ch, now + 1);
		return;
	}
	if (ch->frozen)
		return;
	ch->base = now;
	ch->running = ch->loaded;
}

static void gate_falls(struct pit_channel *ch, uint64_t now)
{
	if (waits_for_gate(ch) || !ch->loaded)
		return;
	if (periodic(ch)) {
		ch->held = periodic_count(ch, now);
		ch->load_due = false;
		ch->low_first = false;
	} else {
		ch->left = left_at(ch, now);
	}
	ch->base = now;
	ch->running = false;
}

void pit_channel_set_gate(struct pit_channel *ch, bool gate, uint64_t now)
{
	pit_channel_settle(ch, now);
	if (gate == ch->gate)
		return;
	ch->gate = gate;
	if (gate)
		gate_rises(ch, now);
	else
		gate_falls(ch, now);
}

bool pit_channel_out(struct pit_channel *ch, uint64_t now)
{
	pit_channel_settle(ch, now);
	return output(ch, now);
}

bool pit_channel_next_edge(const struct pit_channel *ch, uint64_t *tick)
{
	struct pit_channel later;
	bool rises = edge_after(ch, ch->mark, tick);

	if (!ch->load_due || (rises && *tick <= ch->load_at))
		return rises;
	later = *ch;
	pit_channel_settle(&later, ch->load_at);
	return edge_after(&later, later.mark, tick);
}

void pit_channel_reset(struct pit_channel *ch, bool gate)
{
	memset(ch, 0, sizeof(*ch));
	ch->gate = gate;
	ch->rw = PIT_RW_BOTH;
	ch->mode = PIT_SQUARE;
}
