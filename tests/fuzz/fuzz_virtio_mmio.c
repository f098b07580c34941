/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device over MMIO: any access to its registers, over memory that the input also writes.
 * Eight input bytes a step.
 *
 * Oracles: the wire is high when InterruptStatus says so and only then; nothing is consumed before
 * DRIVER_OK; each head comes out of the used ring as often as it was popped; doorbells are there
 * for ready queues of a running device only; a reset brings all registers back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/device.h"
#include "virtio/transport.h"
#include "virtio/transport/mmio.h"
#include "vm/core/bus.h"
#include "vm/core/event_loop.h"
#include "vm/core/guest_mem.h"

#include "../unit/fakes/check.h"

enum {
	MEM = 4096,
	BASE = 0xd0000000,
	QUEUES = 2,
	HOLD = 3,
	STEP = 8,
	MAX_STEPS = 400,
	CFG_SIZE = 9,
	REGS = 0x100 / 4,
};

struct state {
	struct bus *bus;
	struct guest_mem *mem;
	uint8_t *ram;
	struct event_loop *loop;
	struct virtio_device *vdev;
	struct virtio_mmio *vmmio;
	uint32_t image[REGS];
	uint8_t cfg[CFG_SIZE];
	struct virtq_chain *held[QUEUES][HOLD];
	bool level, bells[QUEUES];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool ready(const struct state *s)
{
	return virtio_device_status(s->vdev) & VIRTIO_STATUS_DRIVER_OK;
}

static void set_line(void *opaque, bool level)
{
	((struct state *)opaque)->level = level;
}

static int bell_add(void *opaque, const struct doorbell *b)
{
	struct state *s = opaque;

	CHECK(b->match && b->value < QUEUES && b->addr == BASE + 0x50 && b->len == 4 && !b->pio);
	CHECK(!s->bells[b->value] && ready(s));
	s->bells[b->value] = true;
	return 0;
}

static void bell_remove(void *opaque, const struct doorbell *b)
{
	struct state *s = opaque;

	CHECK(s->bells[b->value]);
	s->bells[b->value] = false;
}

static int set_features(void *opaque, uint64_t features)
{
	CHECK(!(features & ~(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC |
				   VIRTIO_F_RING_RESET)));
	CHECK(!ready(opaque));
	return 0;
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	CHECK(range_ok(off, len, CFG_SIZE));
	memcpy(buf, ((struct state *)opaque)->cfg + off, len);
}

static void cfg_write(void *opaque, uint32_t off, const void *buf, uint32_t len)
{
	CHECK(range_ok(off, len, CFG_SIZE));
	memcpy(((struct state *)opaque)->cfg + off, buf, len);
}

static void give_back(void *opaque, unsigned int q)
{
	struct state *s = opaque;

	for (unsigned int i = 0; i < HOLD; i++) {
		if (s->held[q][i])
			virtio_device_release(s->vdev, q, s->held[q][i]);
		s->held[q][i] = NULL;
	}
}

static void stop(void *opaque)
{
	for (unsigned int q = 0; q < QUEUES; q++)
		give_back(opaque, q);
}

/* Reads all there is to read, writes some of what there is to write. */
static void finish(struct state *s, unsigned int q, struct virtq_chain *chain)
{
	struct virtq_cursor in = virtq_reader(chain), out = virtq_writer(chain);
	uint8_t buf[97];
	uint32_t written = 0;

	while (virtq_read(&in, buf, sizeof(buf)))
		written += (uint32_t)virtq_write(&out, buf, 5);
	virtio_device_push(s->vdev, q, chain, written);
}

static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct state *s = opaque;

	CHECK(ready(s) && virtio_device_queue_usable(s->vdev, q));
	for (unsigned int i = 0; q && i < HOLD; i++) {
		if (s->held[q][i])
			continue;
		s->held[q][i] = chain;
		return true;
	}
	if (q) { /* full: wait for a completion */
		virtio_device_unpop(s->vdev, q, chain);
		return false;
	}
	finish(s, q, chain);
	return true;
}

static void kick(void *opaque, unsigned int q)
{
	struct state *s = opaque;

	CHECK(ready(s));
	virtio_device_process(s->vdev, q, handle);
}

static const struct virtio_device_ops ops = {.set_features = set_features,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.stop = stop,
	.queue_stop = give_back,
	.kick = kick};

static void complete(struct state *s, unsigned int q, unsigned int i)
{
	struct virtq_chain *chain;

	virtio_device_lock(s->vdev);
	chain = s->held[q][i];
	s->held[q][i] = NULL;
	if (chain) {
		CHECK(virtio_device_in_flight(s->vdev, q) > 0);
		finish(s, q, chain);
		virtio_device_flush(s->vdev, q);
		virtio_device_kick_again(s->vdev, q);
	}
	virtio_device_unlock(s->vdev);
}

static uint32_t get(struct state *s, uint32_t reg)
{
	return (uint32_t)bus_read(s->bus, BASE + reg, 4);
}

static void put(struct state *s, uint32_t reg, uint32_t value)
{
	bus_write(s->bus, BASE + reg, 4, value);
}

static void check(struct state *s)
{
	CHECK(s->level == (get(s, 0x60) != 0));
	CHECK(!(get(s, 0x60) & ~3u));
	for (unsigned int q = 0; q < QUEUES; q++)
		CHECK(s->bells[q] ==
			(s->loop && ready(s) && virtio_device_queue_enabled(s->vdev, q)));
	CHECK(get(s, 0x70) || !s->level);
}

static void step(struct state *s, const uint8_t *in)
{
	const unsigned int off = (in[1] | in[2] << 8) % VIRTIO_MMIO_SIZE;
	unsigned int size = 1u << (in[0] >> 4 & 3);
	uint32_t value;

	memcpy(&value, in + 4, 4);
	size = off + size > VIRTIO_MMIO_SIZE ? 1 : size;
	switch (in[0] & 15) {
	case 0:
	case 1:
	case 2:
		put(s, off & 0xfcu, value);
		break;
	case 3:
		bus_write(s->bus, BASE + off, size, value);
		break;
	case 4:
		bus_read(s->bus, BASE + off, size);
		break;
	case 5:
	case 6:
	case 7:
		memcpy(s->ram + (in[1] | in[2] << 8) % (MEM - 4), &value, 4);
		break;
	case 8:
	case 9:
		put(s, 0x50, in[1] % (QUEUES + 1));
		break;
	case 10:
		complete(s, in[1] % QUEUES, in[2] % HOLD);
		break;
	case 11:
		if (s->loop)
			event_loop_step(s->loop, 0);
		break;
	case 12:
		put(s, 0x64, in[1]);
		break;
	case 13: /* a queue that is nearly right */
		put(s, 0x30, in[1] % QUEUES);
		put(s, 0x38, 1u << in[2] % 5);
		put(s, 0x80, in[3] * 16u);
		put(s, 0x90, in[4] * 2u);
		put(s, 0xa0, in[5] * 4u);
		put(s, 0x44, in[6] & 1);
		break;
	case 14: /* the usual start, or a part of it */
		put(s, 0x24, 1);
		put(s, 0x20, in[2] & 1 ? 0x101 : 1);
		put(s, 0x24, 0);
		put(s, 0x20, value & 0x30000000);
		put(s, 0x70, in[1] & 0xf);
		break;
	case 15:
		virtio_device_lock(s->vdev);
		if (in[1] & 1)
			virtio_device_config_changed(s->vdev);
		else if (in[1] & 2)
			virtio_device_queue_error(s->vdev, in[2] % QUEUES, "no good");
		virtio_device_unlock(s->vdev);
		break;
	}
	check(s);
}

static void set_up(struct state *s, bool loop)
{
	static const uint16_t sizes[QUEUES] = {16, 8};
	struct virtio_device_config config = {.name = "fuzz",
		.id = VIRTIO_ID_CONSOLE,
		.ops = &ops,
		.opaque = s,
		.num_queues = QUEUES,
		.queue_sizes = sizes,
		.cfg_size = CFG_SIZE};
	struct virtio_mmio_config mmio = {.base = BASE,
		.irq = {.set = set_line, .opaque = s},
		.doorbells = {bell_add, bell_remove, s}};

	if (bus_create(0, &s->bus) || guest_mem_create(&s->mem))
		abort();
	s->ram = aligned_alloc(4096, MEM);
	memset(s->ram, 0, MEM);
	guest_mem_add(s->mem, 0, MEM, s->ram);
	if (loop && event_loop_create(&s->loop) < 0)
		abort();
	config.mem = s->mem;
	config.loop = s->loop;
	CHECK(virtio_device_create(&config, &s->vdev) == 0);
	mmio.vdev = s->vdev;
	mmio.bus = s->bus;
	CHECK(virtio_mmio_create(&mmio, &s->vmmio) == 0);
	for (unsigned int i = 0; i < REGS; i++)
		s->image[i] = get(s, 4 * i);
}

static void tear_down(struct state *s)
{
	put(s, 0x70, 0);
	check(s);
	for (unsigned int i = 0; i < REGS - 1; i++) /* the last one is the generation */
		CHECK(get(s, 4 * i) == s->image[i]);
	virtio_mmio_destroy(s->vmmio);
	virtio_device_destroy(s->vdev);
	event_loop_destroy(s->loop);
	bus_destroy(s->bus);
	free(s->ram);
	guest_mem_destroy(s->mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = {0};

	if (!size)
		return 0;
	set_up(&s, data[0] & 1);
	for (size_t i = 1, n = 0; i + STEP <= size && n < MAX_STEPS; i += STEP, n++)
		step(&s, data + i);
	tear_down(&s);
	return 0;
}
