/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void create_memory(struct rig *rig)
{
	must(guest_mem_create(&rig->mem) == 0);
	rig->ram = aligned_alloc(4096, RIG_RAM_SIZE);
	must(rig->ram);
	memset(rig->ram, 0, RIG_RAM_SIZE);
	must(guest_mem_add(rig->mem, RIG_RAM_BASE, RIG_RAM_SIZE, rig->ram) == 0);
	for (unsigned int i = 0; i < RIG_BYTES; i++) {
		rig->bytes[i] = calloc(1, 1);
		must(rig->bytes[i]);
		must(guest_mem_add(rig->mem, RIG_BYTES_BASE + i, 1, rig->bytes[i]) == 0);
	}
}

void rig_create(struct rig *rig, enum rig_kind kind)
{
	struct pci_bus_config config = {.log = NULL};

	memset(rig, 0, sizeof(*rig));
	rig->kind = kind;
	fake_machine_create(&rig->machine);
	config.pio = rig->machine.pio;
	config.mmio = rig->machine.mmio;
	for (unsigned int i = 0; i < LAYOUT_IRQ_PCI_N; i++)
		config.intx[i] = fake_machine_irq(&rig->machine, LAYOUT_IRQ_PCI + i);
	must(pci_bus_create(&config, &rig->pci) == 0);
	create_memory(rig);
}

static void send(void *opaque, uint64_t addr, uint32_t data)
{
	struct rig *rig = opaque;

	must(addr == RIG_MSI_ADDR && data < ARRAY_SIZE(rig->msis));
	rig->msis[data]++;
}

static int bell_add(void *opaque, const struct doorbell *bell)
{
	struct rig *rig = opaque;

	if (rig->refuse_bells)
		return -1;
	must(rig->num_bells < RIG_MAX_BELLS);
	rig->bells[rig->num_bells++] = *bell;
	rig->bells_added++;
	return 0;
}

static void bell_remove(void *opaque, const struct doorbell *bell)
{
	struct rig *rig = opaque;

	for (unsigned int i = 0; i < rig->num_bells; i++) {
		struct doorbell *b = &rig->bells[i];

		if (b->pio != bell->pio || b->addr != bell->addr || b->value != bell->value)
			continue;
		must(b->fd == bell->fd && b->len == bell->len && b->match == bell->match);
		*b = rig->bells[--rig->num_bells];
		rig->bells_removed++;
		return;
	}
	must(!"a doorbell that was added");
}

static int route_open(void *opaque, int fd, unsigned int *route)
{
	struct rig *rig = opaque;

	must(rig->num_routes < RIG_MAX_ROUTES);
	rig->routes[rig->num_routes] = (struct rig_route){.open = true, .fd = fd};
	*route = rig->num_routes++;
	return 0;
}

static void route_close(void *opaque, unsigned int route)
{
	struct rig *rig = opaque;

	must(rig->routes[route].open && !rig->routes[route].on);
	rig->routes[route].open = false;
}

static void route_set(void *opaque, unsigned int route, uint64_t addr, uint32_t data)
{
	struct rig_route *r = &((struct rig *)opaque)->routes[route];

	must(r->open);
	r->staged = r->staged_on = true;
	r->staged_addr = addr;
	r->staged_data = data;
}

static void route_clear(void *opaque, unsigned int route)
{
	struct rig_route *r = &((struct rig *)opaque)->routes[route];

	must(r->open && r->on);
	r->staged = true;
	r->staged_on = false;
}

static int route_commit(void *opaque)
{
	struct rig *rig = opaque;

	rig->commits++;
	for (unsigned int i = 0; i < rig->num_routes; i++) {
		struct rig_route *r = &rig->routes[i];

		if (!r->staged)
			continue;
		r->staged = false;
		r->on = r->staged_on && !rig->refuse_commit;
		r->addr = r->staged_addr;
		r->data = r->staged_data;
	}
	return rig->refuse_commit ? -1 : 0;
}

void rig_run_routes(struct rig *rig)
{
	uint64_t count;

	for (unsigned int i = 0; i < rig->num_routes; i++) {
		const struct rig_route *r = &rig->routes[i];

		if (r->on && read(r->fd, &count, sizeof(count)) > 0)
			send(rig, r->addr, r->data);
	}
}

static void plug_pci(struct rig *rig, const struct doorbell_listener *doorbells)
{
	struct virtio_pci_config config = {.vdev = rig->vdev,
		.bus = rig->pci,
		.slot = RIG_SLOT,
		.msi = {.send = send, .opaque = rig},
		.doorbells = *doorbells};

	if (rig->with_router)
		config.router = (struct msi_router){.open = route_open,
			.close = route_close,
			.set = route_set,
			.clear = route_clear,
			.commit = route_commit,
			.opaque = rig};
	must(virtio_pci_create(&config, &rig->vpci) == 0);
	must(virtio_pci_slot(rig->vpci) == RIG_SLOT);
}

void rig_plug(struct rig *rig, struct virtio_device *vdev)
{
	const struct doorbell_listener doorbells = {
		.add = bell_add, .remove = bell_remove, .opaque = rig};

	rig->vdev = vdev;
	if (rig->kind == RIG_MMIO) {
		const struct virtio_mmio_config config = {.vdev = vdev,
			.bus = rig->machine.mmio,
			.base = RIG_MMIO_BASE,
			.irq = fake_machine_irq(&rig->machine, RIG_MMIO_IRQ),
			.doorbells = doorbells};

		must(virtio_mmio_create(&config, &rig->vmmio) == 0);
	} else {
		plug_pci(rig, &doorbells);
	}
}

void rig_unplug(struct rig *rig)
{
	virtio_mmio_destroy(rig->vmmio);
	virtio_pci_destroy(rig->vpci);
	rig->vmmio = NULL;
	rig->vpci = NULL;
	must(!rig->num_bells);
	virtio_device_destroy(rig->vdev);
	rig->vdev = NULL;
}

void rig_destroy(struct rig *rig)
{
	rig_unplug(rig);
	event_loop_destroy(rig->loop);
	pci_bus_destroy(rig->pci);
	fake_machine_destroy(&rig->machine);
	guest_mem_destroy(rig->mem);
	for (unsigned int i = 0; i < RIG_BYTES; i++)
		free(rig->bytes[i]);
	free(rig->ram);
}

void rig_run(struct rig *rig)
{
	/* One that never comes to rest is a thread at 100 %. */
	for (unsigned int n = 0; rig->loop && event_loop_step(rig->loop, 0) > 0; n++)
		must(n < RIG_MAX_STEPS);
}

static uint64_t td_features(void *opaque)
{
	(void)opaque;
	return TD_F_A | TD_F_B;
}

static int td_set_features(void *opaque, uint64_t features)
{
	(void)opaque;
	return (features & TD_F_B) && !(features & TD_F_A) ? -1 : 0;
}

static void td_cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	struct test_device *td = opaque;

	must(range_ok(off, len, TD_CFG_SIZE));
	memcpy(buf, td->cfg + off, len);
}

static void td_cfg_write(void *opaque, uint32_t off, const void *buf, uint32_t len)
{
	struct test_device *td = opaque;

	must(range_ok(off, len, TD_CFG_SIZE));
	if (off >= 8)
		memcpy(td->cfg + off, buf, len);
}

static int td_start(void *opaque)
{
	struct test_device *td = opaque;

	must(!td->running);
	td->starts++;
	if (td->fail_start)
		return -5; /* EIO */
	td->running = true;
	return 0;
}

static void forget(struct test_device *td, unsigned int q, unsigned int n)
{
	td->held[q][td->order[q][n]] = NULL;
	td->num_held[q]--;
	memmove(&td->order[q][n], &td->order[q][n + 1],
		(td->num_held[q] - n) * sizeof(td->order[q][0]));
}

static void give_back(struct test_device *td, unsigned int q)
{
	while (!td->keep_on_stop && td->num_held[q]) {
		struct virtq_chain *chain = td->held[q][td->order[q][0]];

		forget(td, q, 0);
		virtio_device_release(td->vdev, q, chain);
	}
}

static void td_stop(void *opaque)
{
	struct test_device *td = opaque;

	must(td->running);
	td->running = false;
	td->stops++;
	for (unsigned int q = 0; q < TD_QUEUES; q++)
		give_back(td, q);
}

static void td_queue_stop(void *opaque, unsigned int q)
{
	struct test_device *td = opaque;

	must(td->running);
	td->queue_stops++;
	give_back(td, q);
}

static void answer(struct test_device *td, unsigned int q, struct virtq_chain *chain)
{
	struct virtq_cursor in = virtq_reader(chain), out = virtq_writer(chain);
	uint32_t written = 0;
	uint8_t byte;

	while (chain->readable && out.left) {
		if (!virtq_read(&in, &byte, 1)) {
			in = virtq_reader(chain);
			continue;
		}
		written += (uint32_t)virtq_write(&out, &byte, 1);
	}
	virtio_device_push(td->vdev, q, chain, written);
}

static bool td_handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct test_device *td = opaque;

	must(td->running && chain->slot < TD_MAX && !td->held[q][chain->slot]);
	td->pops++;
	if (!td->hold) {
		answer(td, q, chain);
		return true;
	}
	td->held[q][chain->slot] = chain;
	td->order[q][td->num_held[q]++] = chain->slot;
	return true;
}

void td_complete(struct test_device *td, unsigned int q, unsigned int n)
{
	struct virtq_chain *chain;

	virtio_device_lock(td->vdev);
	must(n < td->num_held[q]);
	chain = td->held[q][td->order[q][n]];
	forget(td, q, n);
	answer(td, q, chain);
	virtio_device_flush(td->vdev, q);
	virtio_device_unlock(td->vdev);
}

static void td_kick(void *opaque, unsigned int q)
{
	struct test_device *td = opaque;

	must(td->running);
	td->kicks++;
	virtio_device_process(td->vdev, q, td_handle);
}

static void td_destroy(void *opaque)
{
	struct test_device *td = opaque;

	td->destroys++;
}

static const struct virtio_device_ops td_ops = {.features = td_features,
	.set_features = td_set_features,
	.cfg_read = td_cfg_read,
	.cfg_write = td_cfg_write,
	.start = td_start,
	.stop = td_stop,
	.queue_stop = td_queue_stop,
	.kick = td_kick,
	.destroy = td_destroy};

void td_create(struct test_device *td, struct rig *rig)
{
	static const uint16_t sizes[TD_QUEUES] = {16, 16, 4};
	const struct virtio_device_config config = {.name = "test",
		.id = VIRTIO_ID_RNG,
		.ops = &td_ops,
		.opaque = td,
		.num_queues = TD_QUEUES,
		.queue_sizes = sizes,
		.cfg_size = TD_CFG_SIZE,
		.mem = rig->mem,
		.loop = rig->loop};

	memset(td, 0, sizeof(*td));
	for (unsigned int i = 0; i < TD_CFG_SIZE; i++)
		td->cfg[i] = (uint8_t)(0xa0 + i);
	must(virtio_device_create(&config, &td->vdev) == 0);
	rig_plug(rig, td->vdev);
}
