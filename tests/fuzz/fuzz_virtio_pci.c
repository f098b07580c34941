/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio function on a PCI bus: registers in both BARs and in configuration space, the window,
 * MSI-X, queues in memory that the input also writes. Eight input bytes a step.
 *
 * Oracles: nothing is consumed and no queue interrupt sent unless DRIVER_OK is set; no interrupt at
 * all, doorbell or route outlives a reset; doorbells lie inside a mapped BAR; the level of the wire
 * is what ISR and MSI-X say; vectors that read back exist; a reset brings the common configuration
 * back to what it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "virtio/device.h"
#include "virtio/transport.h"
#include "virtio/transport/pci.h"
#include "vm/core/bus.h"
#include "vm/core/event_loop.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

#include "../unit/fakes/check.h"

enum {
	MEM = 4096,
	QUEUES = 3,
	HOLD = 4,
	SLOT = 1,
	STEP = 8,
	MAX_STEPS = 400,
	BAR_SIZE = 0x8000,
	CFG_SIZE = 12,
	COMMON = 0x3c,
	MAX_BELLS = 8,
	MAX_ROUTES = 8,
};

struct state {
	struct bus *pio, *mmio;
	struct pci_bus *pci;
	struct guest_mem *mem;
	uint8_t *ram;
	struct event_loop *loop;
	struct virtio_device *vdev;
	struct virtio_pci *vpci;
	uint8_t image[COMMON], cfg[CFG_SIZE];
	struct virtq_chain *held[QUEUES][HOLD];
	bool started, level;
	unsigned int line;
	struct doorbell bells[MAX_BELLS];
	unsigned int num_bells, num_routes;
	bool route_on[MAX_ROUTES], route_staged[MAX_ROUTES];
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

static void send(void *opaque, uint64_t addr, uint32_t data)
{
	struct state *s = opaque;

	(void)data;
	CHECK(!(addr & 3));
	/* Pending ones may come late, but nothing comes for a device that was never started. */
	CHECK(s->started);
}

static int bell_add(void *opaque, const struct doorbell *bell)
{
	struct state *s = opaque;

	CHECK(s->num_bells < QUEUES && !bell->match);
	CHECK(ready(s));
	s->bells[s->num_bells++] = *bell;
	return 0;
}

static void bell_remove(void *opaque, const struct doorbell *bell)
{
	struct state *s = opaque;

	for (unsigned int i = 0; i < s->num_bells; i++)
		if (s->bells[i].addr == bell->addr && s->bells[i].pio == bell->pio &&
			s->bells[i].fd == bell->fd) {
			s->bells[i] = s->bells[--s->num_bells];
			return;
		}
	CHECK(!"removed what was not there");
}

static int route_open(void *opaque, int fd, unsigned int *route)
{
	struct state *s = opaque;

	CHECK(fd >= 0 && s->num_routes < QUEUES + 1);
	*route = s->num_routes++;
	return 0;
}

static void route_close(void *opaque, unsigned int route)
{
	CHECK(!((struct state *)opaque)->route_on[route]);
}

static void route_set(void *opaque, unsigned int route, uint64_t addr, uint32_t data)
{
	(void)data;
	CHECK(!(addr & 3));
	((struct state *)opaque)->route_staged[route] = true;
}

static void route_clear(void *opaque, unsigned int route)
{
	CHECK(((struct state *)opaque)->route_on[route]);
	((struct state *)opaque)->route_staged[route] = false;
}

static int route_commit(void *opaque)
{
	struct state *s = opaque;

	memcpy(s->route_on, s->route_staged, sizeof(s->route_on));
	return 0;
}

static uint64_t features(void *opaque)
{
	(void)opaque;
	return 1;
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

static int start(void *opaque)
{
	struct state *s = opaque;

	CHECK(ready(s));
	s->started = true;
	return 0;
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

static void finish(struct state *s, unsigned int q, struct virtq_chain *chain)
{
	struct virtq_cursor c = virtq_writer(chain);

	virtio_device_push(s->vdev, q, chain, (uint32_t)virtq_zero(&c, 64));
}

/* Keeps up to HOLD chains of odd queues, so that resets find something in flight. */
static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct state *s = opaque;

	CHECK(ready(s));
	for (unsigned int i = 0; (q & 1) && i < HOLD; i++) {
		if (s->held[q][i])
			continue;
		s->held[q][i] = chain;
		return true;
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

static const struct virtio_device_ops ops = {.features = features,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.start = start,
	.stop = stop,
	.queue_stop = give_back,
	.kick = kick};

static void complete(struct state *s, unsigned int q, unsigned int i)
{
	struct virtq_chain *chain;

	virtio_device_lock(s->vdev);
	chain = s->held[q][i];
	s->held[q][i] = NULL;
	if (chain)
		finish(s, q, chain);
	virtio_device_flush(s->vdev, q);
	virtio_device_unlock(s->vdev);
}

static uint64_t ecam(unsigned int off)
{
	return LAYOUT_ECAM_BASE + (SLOT << 15) + off;
}

static uint64_t cfg32(struct state *s, unsigned int off)
{
	return bus_read(s->mmio, ecam(off), 4);
}

static uint64_t bar(struct state *s, unsigned int i)
{
	return i ? cfg32(s, 0x18) & ~UINT64_C(3)
		 : (cfg32(s, 0x10) & ~UINT64_C(15)) | cfg32(s, 0x14) << 32;
}

static void check(struct state *s)
{
	const uint32_t command = (uint32_t)cfg32(s, 4);

	CHECK(s->num_bells <= QUEUES);
	for (unsigned int i = 0; i < s->num_bells; i++) {
		const struct doorbell *b = &s->bells[i];
		const uint64_t base = b->pio ? bar(s, 1) : bar(s, 0) + 0x3000;

		CHECK(command & (b->pio ? 1 : 2));
		CHECK(b->addr >= base && b->addr < base + 4 * QUEUES);
	}
	if (virtio_device_status(s->vdev))
		return;
	CHECK(!s->num_bells && !s->level);
	for (unsigned int i = 0; i < MAX_ROUTES; i++)
		CHECK(!s->route_on[i]);
}

static void reset_and_compare(struct state *s)
{
	const uint64_t at = LAYOUT_MMIO64_BASE;

	bus_write(s->mmio, ecam(0x10), 4, (uint32_t)at);
	bus_write(s->mmio, ecam(0x14), 4, at >> 32);
	bus_write(s->mmio, ecam(4), 2, 7);
	bus_write(s->mmio, at + 0x14, 1, 0);
	for (unsigned int i = 0; i < COMMON; i++)
		if (i != 0x15) /* the generation goes on */
			CHECK(bus_read(s->mmio, at + i, 1) == s->image[i]);
	check(s);
}

static void step(struct state *s, const uint8_t *in)
{
	const unsigned int size = 1u << (in[0] >> 4 & 3), off = in[1] | in[2] << 8;
	uint32_t value;

	memcpy(&value, in + 4, 4);
	switch (in[0] & 15) {
	case 0: /* common configuration, with its own widths most of the time */
	case 1:
	case 2:
		bus_write(s->mmio, bar(s, 0) + off % 0x40, size, value);
		break;
	case 3:
		bus_read(s->mmio, bar(s, 0) + off % BAR_SIZE, size);
		break;
	case 4:
		bus_write(s->mmio, bar(s, 0) + off % BAR_SIZE, size, value);
		break;
	case 5: /* configuration space, identity aside */
		bus_write(s->mmio, ecam(off % 256), size, value);
		break;
	case 6:
		bus_read(s->mmio, ecam(off % 256), size);
		break;
	case 7:
	case 8:
		memcpy(s->ram + off % (MEM - 4), &value, 4);
		break;
	case 9:
		bus_write(s->pio, bar(s, 1) + off % 16, 2, value);
		break;
	case 10:
		bus_write(s->mmio, bar(s, 0) + 0x3000 + off % 16, 2, value);
		break;
	case 11:
		complete(s, in[1] % QUEUES, in[2] % HOLD);
		break;
	case 12:
		virtio_device_lock(s->vdev);
		virtio_device_config_changed(s->vdev);
		virtio_device_unlock(s->vdev);
		break;
	case 13:
		if (s->loop)
			event_loop_step(s->loop, 0);
		break;
	case 14: /* a queue that is nearly right */
		bus_write(s->mmio, bar(s, 0) + 0x16, 2, in[1] % QUEUES);
		bus_write(s->mmio, bar(s, 0) + 0x18, 2, 1u << in[2] % 5);
		bus_write(s->mmio, bar(s, 0) + 0x20, 4, in[3] * 16u);
		bus_write(s->mmio, bar(s, 0) + 0x28, 4, in[4] * 2u);
		bus_write(s->mmio, bar(s, 0) + 0x30, 4, in[5] * 4u);
		bus_write(s->mmio, bar(s, 0) + 0x1a, 2, in[6]);
		bus_write(s->mmio, bar(s, 0) + 0x1c, 2, 1);
		break;
	case 15: /* the usual start, one status at a time */
		bus_write(s->mmio, bar(s, 0) + 8, 4, 1);
		bus_write(s->mmio, bar(s, 0) + 12, 4, 0x101);
		bus_write(s->mmio, bar(s, 0) + 8, 4, 0);
		bus_write(s->mmio, bar(s, 0) + 12, 4, value & 0x30000001);
		bus_write(s->mmio, bar(s, 0) + 0x14, 1, in[1] & 0xf);
		break;
	}
	check(s);
}

static void create_device(struct state *s, bool loop)
{
	static const uint16_t sizes[QUEUES] = {16, 8, 4};
	struct virtio_device_config config = {.name = "fuzz",
		.id = VIRTIO_ID_BLOCK,
		.ops = &ops,
		.opaque = s,
		.num_queues = QUEUES,
		.queue_sizes = sizes,
		.cfg_size = CFG_SIZE,
		.mem = s->mem};
	struct virtio_pci_config pci = {.bus = s->pci,
		.slot = SLOT,
		.msi = {.send = send, .opaque = s},
		.router = {route_open, route_close, route_set, route_clear, route_commit, s},
		.doorbells = {bell_add, bell_remove, s}};

	if (loop && event_loop_create(&s->loop) < 0)
		abort();
	config.loop = s->loop;
	CHECK(virtio_device_create(&config, &s->vdev) == 0);
	pci.vdev = s->vdev;
	CHECK(virtio_pci_create(&pci, &s->vpci) == 0);
	bus_write(s->mmio, ecam(4), 2, 7);
	for (unsigned int i = 0; i < COMMON; i++)
		s->image[i] = (uint8_t)bus_read(s->mmio, bar(s, 0) + i, 1);
}

static void set_up(struct state *s, bool loop)
{
	struct pci_bus_config config = {.log = NULL};

	if (bus_create(0x10000, &s->pio) || bus_create(0, &s->mmio) || guest_mem_create(&s->mem))
		abort();
	s->ram = aligned_alloc(4096, MEM);
	memset(s->ram, 0, MEM);
	guest_mem_add(s->mem, 0, MEM, s->ram);
	config.pio = s->pio;
	config.mmio = s->mmio;
	for (unsigned int i = 0; i < LAYOUT_IRQ_PCI_N; i++)
		config.intx[i] = (struct irq_line){.set = set_line, .opaque = s};
	CHECK(pci_bus_create(&config, &s->pci) == 0);
	create_device(s, loop);
}

static void tear_down(struct state *s)
{
	virtio_pci_destroy(s->vpci);
	CHECK(!s->num_bells && !s->level);
	virtio_device_destroy(s->vdev);
	event_loop_destroy(s->loop);
	pci_bus_destroy(s->pci);
	bus_destroy(s->mmio);
	bus_destroy(s->pio);
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
	reset_and_compare(&s);
	tear_down(&s);
	return 0;
}
