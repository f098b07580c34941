/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three counters (pit_channel.c), the clock that drives them and port 0x61. The clock's nanoseconds
 * since the device was made are turned into ticks by one 128-bit division, so that every reading
 * and every deadline is off by less than a tick, however long the machine runs.
 *
 * Channel 0's rising edges are interrupts, each a pulse of the line. The timer is set to the next
 * edge; whoever settles the channel first, timer or a register access, finds the edges that have
 * passed in ch->edges. What is not delivered yet is owed: one pulse per timer call, at twice the
 * rate until the guest has caught up (two pulses at once would be one to an interrupt controller).
 * At most a second's worth is owed, the rest is dropped; and pulses are at least PULSE_GAP_NS
 * apart, whatever count the guest writes, which bounds what a guest can make the host do. A control
 * word for channel 0 cancels what is owed.
 *
 * After power on the counters are at rest until their first control word.
 *
 * Locking: one mutex, held while the line is set.
 */
#include "devices/time/pit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "pit_channel.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#define PULSE_GAP_NS (100 * NSEC_PER_USEC)

enum {
	CHANNELS = 3,
	PIT_PORTS = 4,
	PIT_CONTROL = 3,

	/* Port 0x61 as in the PC/AT */
	P61_GATE2 = 0x01,
	P61_SPEAKER = 0x02,
	P61_WRITABLE = 0x0f, /* with the two masks of parity and I/O channel checks */
	P61_REFRESH = 0x10,  /* toggles with each DRAM refresh */
	P61_OUT2 = 0x20,

	REFRESH_TICKS = 18, /* 15 us, what a PC programs into channel 1 */
};

struct pit {
	struct pit_config config;
	struct bus_region region, region61;
	struct timer timer;
	uint64_t origin_ns;   /* tick 0 */
	pthread_mutex_t lock; /* guards all below */
	struct pit_channel channel[CHANNELS];
	uint64_t delivered;	 /* of channel[0].edges */
	uint64_t pulse_after_ns; /* no pulse before this time */
	uint64_t armed_ns;	 /* the timer's deadline, 0: not armed */
	uint8_t port61;		 /* P61_WRITABLE */
};

/* ---- time ---- */

static uint64_t ns_to_tick(const struct pit *pit, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)(ns - pit->origin_ns) * PIT_HZ / NSEC_PER_SEC);
}

/* The first nanosecond that belongs to the tick. */
static uint64_t tick_to_ns(const struct pit *pit, uint64_t tick)
{
	unsigned __int128 ns = (unsigned __int128)tick * NSEC_PER_SEC + (PIT_HZ - 1);

	return pit->origin_ns + (uint64_t)(ns / PIT_HZ);
}

static uint64_t now_tick(const struct pit *pit)
{
	return ns_to_tick(pit, clock_monotonic_ns(pit->config.clock));
}

/* ---- interrupts, with the lock held ---- */

static uint64_t owed(const struct pit *pit)
{
	return pit->channel[0].edges - pit->delivered;
}

static uint64_t period_ns(const struct pit *pit)
{
	return (uint64_t)pit->channel[0].n * NSEC_PER_SEC / PIT_HZ;
}

static void limit_owed(struct pit *pit)
{
	uint64_t limit = PIT_HZ / MAX(pit->channel[0].n, 1u);

	if (owed(pit) > limit)
		pit->delivered = pit->channel[0].edges - limit;
}

/* When to look at channel 0 again, 0: not before it is programmed. */
static uint64_t next_deadline(const struct pit *pit)
{
	uint64_t tick;

	if (owed(pit))
		return pit->pulse_after_ns;
	if (!pit_channel_next_edge(&pit->channel[0], &tick))
		return 0;
	return MAX(tick_to_ns(pit, tick), pit->pulse_after_ns);
}

/* The channel is settled to now. Re-arming costs a system call: not for a deadline that stands. */
static void set_timer(struct pit *pit)
{
	uint64_t deadline = next_deadline(pit);

	if (deadline == pit->armed_ns)
		return;
	pit->armed_ns = deadline;
	if (deadline)
		clock_arm(pit->config.clock, &pit->timer, deadline);
	else
		clock_disarm(pit->config.clock, &pit->timer);
}

static void pulse(struct pit *pit)
{
	irq_line_set(&pit->config.irq, true);
	irq_line_set(&pit->config.irq, false);
}

static void pit_expired(void *opaque)
{
	struct pit *pit = opaque;
	uint64_t now, gap;

	pthread_mutex_lock(&pit->lock);
	pit->armed_ns = 0;
	now = clock_monotonic_ns(pit->config.clock);
	pit_channel_settle(&pit->channel[0], ns_to_tick(pit, now));
	limit_owed(pit);
	if (owed(pit) && now >= pit->pulse_after_ns) {
		pit->delivered++;
		gap = owed(pit) ? MAX(period_ns(pit) / 2, PULSE_GAP_NS) : PULSE_GAP_NS;
		pit->pulse_after_ns = now + gap;
		pulse(pit);
	}
	set_timer(pit);
	pthread_mutex_unlock(&pit->lock);
}

/* ---- registers, with the lock held ---- */

static void read_back(struct pit *pit, uint8_t command, uint64_t now)
{
	for (unsigned int i = 0; i < CHANNELS; i++) {
		if (!(command & 2u << i))
			continue;
		if (!(command & PIT_READ_BACK_NO_COUNT))
			pit_channel_latch_count(&pit->channel[i], now);
		if (!(command & PIT_READ_BACK_NO_STATUS))
			pit_channel_latch_status(&pit->channel[i], now);
	}
}

static void control(struct pit *pit, uint8_t word, uint64_t now)
{
	unsigned int i = word >> PIT_SELECT_SHIFT;

	if (i == PIT_READ_BACK) {
		read_back(pit, word, now);
		return;
	}
	if (!(word & PIT_RW)) {
		pit_channel_latch_count(&pit->channel[i], now);
		return;
	}
	pit_channel_control(&pit->channel[i], word, now);
	if (i == 0)
		pit->delivered = pit->channel[0].edges;
}

/* Channel 0's edges are brought up to now first, so that the timer can be set afterwards. */
static uint64_t settled_now(struct pit *pit)
{
	uint64_t now = now_tick(pit);

	pit_channel_settle(&pit->channel[0], now);
	return now;
}

static void pit_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct pit *pit = opaque;
	uint64_t now;

	(void)size;
	pthread_mutex_lock(&pit->lock);
	now = settled_now(pit);
	if (off == PIT_CONTROL)
		control(pit, (uint8_t)value, now);
	else
		pit_channel_write(&pit->channel[off], (uint8_t)value, now);
	set_timer(pit);
	pthread_mutex_unlock(&pit->lock);
}

static uint64_t pit_read(void *opaque, uint64_t off, unsigned int size)
{
	struct pit *pit = opaque;
	uint8_t value;

	(void)size;
	if (off == PIT_CONTROL)
		return 0xff; /* write-only */
	pthread_mutex_lock(&pit->lock);
	value = pit_channel_read(&pit->channel[off], now_tick(pit));
	pthread_mutex_unlock(&pit->lock);
	return value;
}

static uint64_t port61_read(void *opaque, uint64_t off, unsigned int size)
{
	struct pit *pit = opaque;
	uint64_t now;
	uint8_t value;

	(void)off;
	(void)size;
	pthread_mutex_lock(&pit->lock);
	now = now_tick(pit);
	value = pit->port61;
	if (now / REFRESH_TICKS & 1)
		value |= P61_REFRESH;
	if (pit_channel_out(&pit->channel[2], now))
		value |= P61_OUT2;
	pthread_mutex_unlock(&pit->lock);
	return value;
}

static void port61_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct pit *pit = opaque;

	(void)off;
	(void)size;
	pthread_mutex_lock(&pit->lock);
	pit->port61 = value & P61_WRITABLE;
	pit_channel_set_gate(&pit->channel[2], pit->port61 & P61_GATE2, now_tick(pit));
	pthread_mutex_unlock(&pit->lock);
}

static const struct bus_ops pit_ops = {.read = pit_read, .write = pit_write, .max_size = 1};
static const struct bus_ops port61_ops = {
	.read = port61_read, .write = port61_write, .max_size = 1};

int pit_create(const struct pit_config *config, struct pit **ret)
{
	struct pit *pit = calloc(1, sizeof(*pit));
	int rc;

	if (!pit)
		return -ENOMEM;
	pit->config = *config;
	pthread_mutex_init(&pit->lock, NULL);
	pit->timer = (struct timer){.fn = pit_expired, .opaque = pit};
	pit->origin_ns = clock_monotonic_ns(config->clock);
	for (unsigned int i = 0; i < CHANNELS; i++)
		pit_channel_reset(&pit->channel[i], i != 2);
	pit->region = (struct bus_region){.name = "pit",
		.base = LAYOUT_PIT_PORT,
		.size = PIT_PORTS,
		.ops = &pit_ops,
		.opaque = pit};
	pit->region61 = (struct bus_region){.name = "port61",
		.base = LAYOUT_PORT61,
		.size = 1,
		.ops = &port61_ops,
		.opaque = pit};
	rc = bus_add(config->pio, &pit->region);
	if (rc)
		goto free_pit;
	rc = bus_add(config->pio, &pit->region61);
	if (rc)
		goto remove_region;
	*ret = pit;
	return 0;
remove_region:
	bus_remove(config->pio, &pit->region);
free_pit:
	pthread_mutex_destroy(&pit->lock);
	free(pit);
	return rc;
}

void pit_destroy(struct pit *pit)
{
	if (!pit)
		return;
	bus_remove(pit->config.pio, &pit->region61);
	bus_remove(pit->config.pio, &pit->region);
	clock_disarm_sync(pit->config.clock, &pit->timer);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
}
