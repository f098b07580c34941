/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that come and go while the guest runs, unless --hotplug is 0: then there are no
 * registers, no event device and no slots for the guest to see. A slot has an ACPI object or it has
 * not: those of the start's disks and networks do, and some that are free. A slot that the guest
 * was asked for and has not let go of is not filled again: it would take the new device for the old
 * one.
 */
#include "machine_private.h"

#include <errno.h>

#include "devices/pci/pci_hotplug.h"
#include "virtio/blk/blk.h"
#include "virtio/device.h"
#include "virtio/net/net.h"
#include "virtio/transport/pci.h"
#include "vm/core/error.h"

static uint32_t slot_bit(const struct machine_virtio *dev)
{
	return dev->pci ? UINT32_C(1) << virtio_pci_slot(dev->pci) : 0;
}

static uint32_t slots_in_use(const struct machine *m)
{
	uint32_t slots = 0;

	for (unsigned int i = 0; i < m->num_virtio; i++)
		slots |= slot_bit(&m->virtio[i]);
	return slots;
}

/* On a vCPU's thread, which does not take devices apart. */
static void on_eject(void *opaque, unsigned int slot)
{
	struct machine *m = opaque;

	atomic_fetch_or(&m->ejected, UINT32_C(1) << slot);
	event_loop_post(m->env.loop, &m->ejects);
}

static struct machine_virtio *find_slot(struct machine *m, unsigned int slot)
{
	for (unsigned int i = 0; i < m->num_virtio; i++)
		if (slot_bit(&m->virtio[i]) == UINT32_C(1) << slot)
			return &m->virtio[i];
	return NULL;
}

static void take_ejects(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	const uint32_t slots = atomic_exchange(&m->ejected, 0);

	(void)events;
	for (unsigned int slot = 0; slot < 32; slot++) {
		const struct machine_virtio *dev = slots >> slot & 1 ? find_slot(m, slot) : NULL;

		if (dev)
			m->env.ejected(m->env.opaque, dev->kind, dev->index);
	}
}

int machine_build_hotplug(struct machine *m, struct error *err)
{
	struct pci_hotplug_config config = {.pio = m->pio,
		.irq = machine_wire(m, LAYOUT_IRQ_HOTPLUG),
		.ejected = on_eject,
		.opaque = m};
	const uint32_t used = slots_in_use(m);
	unsigned int spare = m->env.config->hotplug;
	int rc;

	m->ejects = (struct event_source){.fd = -1, .fn = take_ejects, .opaque = m};
	if (m->env.config->transport != TRANSPORT_PCI || m->env.config->flat || !spare)
		return 0;
	for (unsigned int i = 0; i < m->num_virtio; i++)
		if (m->virtio[i].kind != MACHINE_FIXED)
			config.slots |= slot_bit(&m->virtio[i]);
	for (unsigned int slot = 1; slot < 32 && spare; slot++)
		if (!(used >> slot & 1)) {
			config.slots |= UINT32_C(1) << slot;
			spare--;
		}
	rc = pci_hotplug_create(&config, &m->hotplug);
	return rc < 0 ? error_set_errno(err, rc, "hot-plug") : 0;
}

void machine_destroy_hotplug(struct machine *m)
{
	if (m->ejects.fn)
		event_loop_remove(m->env.loop, &m->ejects);
	pci_hotplug_destroy(m->hotplug);
}

static int no_hotplug(const struct machine *m, struct error *err)
{
	return error_set(err, -EOPNOTSUPP, "nothing can be added to this VM or removed: %s",
		m->env.config->flat ? "its guest is a flat program"
		: m->env.config->transport == TRANSPORT_PCI
			? "it was started with --hotplug 0"
			: "its devices are not on PCI (--transport)");
}

int machine_can_add(const struct machine *m, struct error *err)
{
	return m->hotplug ? 0 : no_hotplug(m, err);
}

int machine_add(
	struct machine *m, enum machine_device_kind kind, unsigned int index, struct error *err)
{
	uint32_t empty, free_slots;
	unsigned int slot;
	int rc;

	if (!m->hotplug)
		return no_hotplug(m, err);
	empty = pci_hotplug_slots(m->hotplug) & ~slots_in_use(m);
	free_slots = empty & ~pci_hotplug_asked(m->hotplug);
	if (!free_slots && empty)
		return error_set(err, -ENOSPC,
			"no slot is free: the guest has not let go of a device that was removed "
			"by force; a reboot frees its slot");
	if (!free_slots)
		return error_set(err, -ENOSPC,
			"no slot is free; --hotplug gives a VM more of them, and so does a reboot");
	slot = (unsigned int)__builtin_ctz(free_slots);
	rc = machine_make_device(m, kind, index, slot);
	if (rc < 0) {
		struct machine_virtio *half = machine_find_device(m, kind, index);

		if (half)
			machine_drop_device(m, half);
		return error_set_errno(err, rc, "the device");
	}
	pci_hotplug_added(m->hotplug, slot);
	return 0;
}

int machine_can_ask(
	struct machine *m, enum machine_device_kind kind, unsigned int index, struct error *err)
{
	const struct machine_virtio *dev = machine_find_device(m, kind, index);

	if (!m->hotplug)
		return no_hotplug(m, err);
	if (!dev || !(slot_bit(dev) & pci_hotplug_slots(m->hotplug)))
		return error_set(err, -EOPNOTSUPP, "the device cannot be removed");
	return 0;
}

void machine_ask(struct machine *m, enum machine_device_kind kind, unsigned int index)
{
	const struct machine_virtio *dev = machine_find_device(m, kind, index);

	if (dev && m->hotplug)
		pci_hotplug_ask(m->hotplug, virtio_pci_slot(dev->pci));
}

void machine_take_out(struct machine *m, enum machine_device_kind kind, unsigned int index)
{
	struct machine_virtio *dev = machine_find_device(m, kind, index);

	if (dev)
		machine_drop_device(m, dev);
}

int machine_swap_disk(struct machine *m, unsigned int index, struct blk *blk, const char *name)
{
	return m->disks[index] ? virtio_blk_swap(m->disks[index], blk, name) : -ENODEV;
}

void machine_set_link(struct machine *m, unsigned int index, bool up)
{
	if (m->nets[index])
		virtio_net_set_link(m->nets[index], up);
}

unsigned int machine_slot(struct machine *m, enum machine_device_kind kind, unsigned int index)
{
	const struct machine_virtio *dev = machine_find_device(m, kind, index);

	return dev && dev->pci ? virtio_pci_slot(dev->pci) : 0;
}
