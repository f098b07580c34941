/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities that tell where the structures are (virtio 1.2, 4.1.4), and the one that is a
 * window to them through configuration space (4.1.4.9), for firmware that has not mapped the BARs.
 *
 * The driver writes bar, offset and length into the window's capability and then reads or writes
 * its data bytes. All three are whatever the guest likes: an access that does not lie inside a BAR
 * of ours, aligned, with a length of 1, 2 or 4, is none. A read runs under the PCI bus's mutex,
 * which nothing that it can reach takes or waits for. A write does not: a reset waits for what is
 * in flight, and the other functions must be reachable meanwhile.
 */
#include <errno.h>

#include "pci_private.h"

/* struct virtio_pci_cap, 4.1.4 */
enum {
	CAP_ID_VENDOR = 0x09,
	CAP_LEN = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_SIZE = 16,
	CAP_MULTIPLIER = 16, /* of the notification capability */
	CAP_DATA = 16,	     /* of the window */
	CAP_SIZE_MORE = 20,

	TYPE_COMMON = 1,
	TYPE_NOTIFY = 2,
	TYPE_ISR = 3,
	TYPE_DEVICE = 4,
	TYPE_WINDOW = 5,
};

static uint8_t *add_cap(struct virtio_pci *vpci, uint8_t type, uint8_t bar, uint32_t off,
	uint32_t length, uint8_t size)
{
	const uint8_t at = pci_function_cap(&vpci->fn, CAP_ID_VENDOR, size);
	uint8_t *cap = &vpci->fn.cfg[at];

	if (!at)
		return NULL;
	cap[CAP_LEN] = size;
	cap[CAP_TYPE] = type;
	cap[CAP_BAR] = bar;
	pci_set32(cap + CAP_OFFSET, off);
	pci_set32(cap + CAP_LENGTH, length);
	return cap;
}

static int add_notify(struct virtio_pci *vpci, uint8_t bar, uint32_t off)
{
	uint8_t *cap = add_cap(
		vpci, TYPE_NOTIFY, bar, off, vpci->num_queues * VPCI_NOTIFY_STEP, CAP_SIZE_MORE);

	if (!cap)
		return -ENOSPC;
	pci_set32(cap + CAP_MULTIPLIER, VPCI_NOTIFY_STEP);
	return 0;
}

static int add_window(struct virtio_pci *vpci)
{
	uint8_t *cap = add_cap(vpci, TYPE_WINDOW, 0, 0, 0, CAP_SIZE_MORE), *mask;

	if (!cap)
		return -ENOSPC;
	vpci->window = (uint8_t)(cap - vpci->fn.cfg);
	mask = &vpci->fn.wmask[vpci->window];
	mask[CAP_BAR] = 0xff;
	pci_set32(mask + CAP_OFFSET, UINT32_MAX);
	pci_set32(mask + CAP_LENGTH, UINT32_MAX);
	pci_set32(mask + CAP_DATA, UINT32_MAX);
	return 0;
}

/* Where there are two of a kind, drivers take the first that they can use. */
int vpci_add_caps(struct virtio_pci *vpci, bool pio)
{
	const uint32_t cfg_size = virtio_device_cfg_size(vpci->vdev);

	if (!add_cap(vpci, TYPE_COMMON, VPCI_BAR, VPCI_COMMON, VPCI_COMMON_SIZE, CAP_SIZE) ||
		(pio && add_notify(vpci, VPCI_BAR_PIO, 0) < 0) ||
		add_notify(vpci, VPCI_BAR, VPCI_NOTIFY) < 0 ||
		!add_cap(vpci, TYPE_ISR, VPCI_BAR, VPCI_ISR, VPCI_ISR_SIZE, CAP_SIZE) ||
		(cfg_size &&
			!add_cap(vpci, TYPE_DEVICE, VPCI_BAR, VPCI_DEVICE, cfg_size, CAP_SIZE)))
		return -ENOSPC;
	return add_window(vpci);
}

struct access {
	uint8_t bar;
	uint32_t off, len;
};

/* What an access of size bytes at off of configuration space asks for; false for nothing. */
static bool window_access(
	const struct virtio_pci *vpci, uint16_t off, unsigned int size, struct access *a)
{
	const uint8_t *cap = &vpci->fn.cfg[vpci->window];

	if (!ranges_overlap(vpci->window + CAP_DATA, 4, off, size))
		return false;
	a->bar = cap[CAP_BAR];
	a->off = pci_get32(cap + CAP_OFFSET);
	a->len = pci_get32(cap + CAP_LENGTH);
	if (a->bar >= PCI_MAX_BARS || (a->len != 1 && a->len != 2 && a->len != 4) ||
		a->off % a->len)
		return false;
	return vpci->fn.bars[a->bar].kind != PCI_BAR_NONE &&
	       range_ok(a->off, a->len, vpci->fn.bars[a->bar].region.size);
}

void vpci_window_read(struct virtio_pci *vpci, uint16_t off, unsigned int size)
{
	uint8_t *data = &vpci->fn.cfg[vpci->window + CAP_DATA];
	struct access a;
	uint64_t value;

	if (!window_access(vpci, off, size, &a))
		return;
	value = vpci->fn.bars[a.bar].region.ops->read(vpci, a.off, a.len) & size_mask(a.len);
	pci_set32(data, (uint32_t)value);
}

bool vpci_window_write(
	struct virtio_pci *vpci, uint16_t off, unsigned int size, struct pci_through *ret)
{
	const uint8_t *data = &vpci->fn.cfg[vpci->window + CAP_DATA];
	struct access a;

	if (!window_access(vpci, off, size, &a))
		return false;
	*ret = (struct pci_through){.bar = a.bar,
		.off = a.off,
		.size = a.len,
		.value = pci_get32(data) & size_mask(a.len)};
	return true;
}
