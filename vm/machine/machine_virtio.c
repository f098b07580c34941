/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices and how the guest finds them. Over PCI each is a function with MSI-X, and its
 * interrupts and doorbells pass between guest and kernel without us. Over MMIO each is a block of
 * registers and a wire, shared by eight devices at most, told by ACPI or on the command line.
 *
 * Disks, networks and shared directories are served by threads of their own (vm/machine/disks.h,
 * vm/machine/nets.h, vm/machine/shares.h), the others by the main thread.
 */
#include "machine_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/balloon/balloon.h"
#include "virtio/blk/blk.h"
#include "virtio/console/console.h"
#include "virtio/device.h"
#include "virtio/fs/fs.h"
#include "virtio/net/net.h"
#include "virtio/rng.h"
#include "virtio/transport/mmio.h"
#include "virtio/transport/pci.h"
#include "vm/core/error.h"
#include "vm/kvm/kvm.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"
#include "vm/machine/shares.h"

static_assert(LAYOUT_VIRTIO_MMIO_STEP >= VIRTIO_MMIO_SIZE, "and room there");
static_assert(LAYOUT_VIRTIO_MMIO_MAX <= LAYOUT_IRQ_PCI_N * IRQ_OR_MAX_INPUTS, "and a wire");
static_assert((int)CONFIG_MAX_DISK_QUEUES <= (int)VIRTIO_BLK_MAX_QUEUES, "as many as asked for");
static_assert((int)CONFIG_MAX_NET_QUEUES <= (int)VIRTIO_NET_MAX_PAIRS, "and of these");
static_assert((int)CONFIG_MIN_MTU >= (int)VIRTIO_NET_MIN_MTU, "what passed there passes here");
static_assert((int)CONFIG_MAX_PORTS <= (int)VIRTIO_CONSOLE_MAX_PORTS, "and of ports");
static_assert(CONFIG_MAX_PORT_NAME <= (int)VIRTIO_CONSOLE_NAME_MAX, "names are not cut");
static_assert((int)CONFIG_MAX_TAG <= (int)VIRTIO_FS_TAG_MAX, "nor tags");
static_assert(CONFIG_MAX_DISK_SERIAL <= (int)VIRTIO_BLK_SERIAL_BYTES, "nor serial numbers");

/* ---- transports ---- */

static int add_pci(struct machine *m, struct machine_virtio *dev, unsigned int slot)
{
	struct virtio_pci_config pci = {.vdev = dev->vdev, .bus = m->pci, .slot = slot};

	if (m->kvm) {
		pci.msi = kvm_vm_msi_sink(m->kvm);
		pci.router = kvm_vm_msi_router(m->kvm);
		pci.doorbells = kvm_vm_doorbells(m->kvm);
	}
	return virtio_pci_create(&pci, &dev->pci);
}

/*
 * Eight wires, shared by all. A guest that knows of the devices by its command line alone has no
 * interrupts but those of ISA.
 */
static unsigned int mmio_gsi(const struct machine *m, unsigned int wire)
{
	static const uint8_t isa[] = {LAYOUT_IRQ_FREE};

	static_assert(ARRAY_SIZE(isa) == LAYOUT_IRQ_PCI_N, "as many of one kind as of the other");
	return m->env.config->transport == TRANSPORT_MMIO_CMDLINE ? isa[wire]
								  : LAYOUT_IRQ_PCI + wire;
}

/* The wires are made with the first device. */
static struct irq_line mmio_wire(struct machine *m, unsigned int n)
{
	for (unsigned int i = 0; !m->virtio_irq_ready && i < ARRAY_SIZE(m->virtio_irq); i++)
		irq_or_init(&m->virtio_irq[i], machine_wire(m, mmio_gsi(m, i)));
	m->virtio_irq_ready = true;
	return irq_or_input(&m->virtio_irq[n % LAYOUT_IRQ_PCI_N]);
}

static uint64_t mmio_base(unsigned int n)
{
	return LAYOUT_VIRTIO_MMIO_BASE + (uint64_t)n * LAYOUT_VIRTIO_MMIO_STEP;
}

static int add_mmio(struct machine *m, struct machine_virtio *dev, unsigned int n)
{
	struct virtio_mmio_config mmio = {
		.vdev = dev->vdev,
		.bus = m->mmio,
		.base = mmio_base(n),
		.irq = mmio_wire(m, n),
	};

	if (m->kvm)
		mmio.doorbells = kvm_vm_doorbells(m->kvm);
	return virtio_mmio_create(&mmio, &dev->mmio);
}

/* Takes the device over, also when it fails. */
static int add_at(struct machine *m, struct virtio_device *vdev, unsigned int slot)
{
	const unsigned int n = m->num_virtio++;
	struct machine_virtio *dev = &m->virtio[n];

	dev->vdev = vdev;
	return m->env.config->transport == TRANSPORT_PCI ? add_pci(m, dev, slot)
							 : add_mmio(m, dev, n);
}

static int add(struct machine *m, struct virtio_device *vdev)
{
	return add_at(m, vdev, 0);
}

/* Linux' virtio_mmio.device=SIZE@ADDRESS:GSI, before the user's words: those may end in init's. */
static int name_on_cmdline(struct machine *m)
{
	size_t size = 1;
	FILE *out;

	if (m->env.config->transport != TRANSPORT_MMIO_CMDLINE || !m->num_virtio)
		return 0;
	out = open_memstream(&m->cmdline, &size);
	if (!out)
		return -errno;
	for (unsigned int n = 0; n < m->num_virtio; n++)
		fprintf(out, "virtio_mmio.device=%#x@%#llx:%u ", LAYOUT_VIRTIO_MMIO_STEP,
			(unsigned long long)mmio_base(n), mmio_gsi(m, n % LAYOUT_IRQ_PCI_N));
	fputs(m->env.cmdline, out);
	return fclose(out) ? -errno : 0;
}

/* ---- devices ---- */

/* What the next device is, before it is added. */
static struct machine_virtio *next(
	struct machine *m, enum machine_device_kind kind, unsigned int index)
{
	struct machine_virtio *dev = &m->virtio[m->num_virtio];

	*dev = (struct machine_virtio){.kind = kind, .index = index};
	return dev;
}

static int build_disk(struct machine *m, unsigned int i, unsigned int slot)
{
	const struct disk_config *disk = disks_config(m->env.disks, i);
	struct machine_virtio *dev = next(m, MACHINE_DISK, i);
	struct virtio_blk_config blk = {
		.mem = m->mem,
		.loop = disks_loop(m->env.disks, i),
		.log = m->env.log,
		.blk = disks_blk(m->env.disks, i),
		.serial = disk->serial,
		.num_queues = disk->queues,
		.clock = disks_clock(m->env.disks, i),
		.ticks_scale = &m->ticks_scale,
	};
	int rc;

	limit_rates(disks_limit(m->env.disks, i), &blk.limit);
	blk.name = dev->name = strdup(disk->path);
	if (!dev->name)
		return -ENOMEM;
	rc = virtio_blk_create(&blk, &m->disks[i]);
	if (rc < 0) {
		free(dev->name);
		return rc;
	}
	return add_at(m, m->disks[i], slot);
}

static int build_net(struct machine *m, unsigned int i, unsigned int slot)
{
	struct nets *nets = m->env.nets;
	const struct net_config *config = nets_config(nets, i);
	struct virtio_net_config net = {
		.name = nets_name(nets, i),
		.mem = m->mem,
		.loop = nets_loop(nets),
		.clock = nets_clock(nets),
		.log = m->env.log,
		.net = nets_net(nets, i),
		.max_pairs = nets_net(nets, i)->info.max_queues,
		.mtu = config->mtu,
		.vhost = nets_vhost(nets, i),
		.down = nets_down(nets, i),
	};
	int rc;

	next(m, MACHINE_NET, i);
	memcpy(net.mac, nets_mac(nets, i), sizeof(net.mac));
	limit_rates(nets_limit(nets, i, LIMIT_RX), &net.limit[VIRTIO_NET_RX]);
	limit_rates(nets_limit(nets, i, LIMIT_TX), &net.limit[VIRTIO_NET_TX]);
	rc = virtio_net_create(&net, &m->nets[i]);
	return rc < 0 ? rc : add_at(m, virtio_net_device(m->nets[i]), slot);
}

int machine_make_device(
	struct machine *m, enum machine_device_kind kind, unsigned int index, unsigned int slot)
{
	if (m->num_virtio == MACHINE_MAX_VIRTIO)
		return -ENOSPC;
	return kind == MACHINE_DISK ? build_disk(m, index, slot) : build_net(m, index, slot);
}

struct machine_virtio *machine_find_device(
	struct machine *m, enum machine_device_kind kind, unsigned int index)
{
	for (unsigned int i = 0; i < m->num_virtio; i++)
		if (m->virtio[i].kind == kind && m->virtio[i].index == index)
			return &m->virtio[i];
	return NULL;
}

static int add_console(struct machine *m, const char *name, const struct virtio_console_port *ports,
	unsigned int num_ports)
{
	const struct virtio_console_config console = {
		.name = name,
		.mem = m->mem,
		.loop = m->env.loop,
		.log = m->env.log,
		.ports = ports,
		.num_ports = num_ports,
	};
	struct virtio_device *vdev;
	int rc = virtio_console_create(&console, &vdev);

	return rc < 0 ? rc : add(m, vdev);
}

/*
 * Two devices, as a console alone has two queues and no handshake, and boots the faster for it.
 */
static int build_console(struct machine *m)
{
	const struct config *config = m->env.config;
	const struct virtio_console_port hvc0 = {.chardev = m->env.console, .console = true};
	struct virtio_console_port ports[CONFIG_MAX_PORTS];
	int rc = 0;

	for (unsigned int i = 0; i < config->num_ports; i++)
		ports[i] = (struct virtio_console_port){
			.name = config->ports[i].name, .chardev = m->env.ports[i]};
	if (config->console == CONSOLE_VIRTIO)
		rc = add_console(m, "virtio-console", &hvc0, 1);
	if (!rc && config->num_ports)
		rc = add_console(m, "virtio-ports", ports, config->num_ports);
	return rc;
}

static int build_rng(struct machine *m)
{
	const struct virtio_rng_config rng = {
		.mem = m->mem, .loop = m->env.loop, .log = m->env.log};
	struct virtio_device *vdev;
	int rc;

	if (!m->env.config->rng)
		return 0;
	rc = virtio_rng_create(&rng, &vdev);
	return rc < 0 ? rc : add(m, vdev);
}

static int build_balloon(struct machine *m)
{
	const struct virtio_balloon_config balloon = {
		.name = "virtio-balloon",
		.mem = m->mem,
		.loop = m->env.loop,
		.log = m->env.log,
		.clock = m->env.clock,
		.target = m->env.balloon_target,
		.deflate_on_oom = true,
		.free_page_reporting = true,
		.page_size = 4 * KiB,
	};
	int rc;

	if (!m->env.config->balloon)
		return 0;
	rc = virtio_balloon_create(&balloon, &m->balloon);
	return rc < 0 ? rc : add(m, virtio_balloon_device(m->balloon));
}

static int build_disks(struct machine *m, struct error *err)
{
	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++) {
		const int rc = disks_has(m->env.disks, i) ? build_disk(m, i, 0) : 0;

		if (rc < 0)
			return error_set_errno(
				err, rc, "disk %s", disks_config(m->env.disks, i)->path);
	}
	return 0;
}

static int build_nets(struct machine *m, struct error *err)
{
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++) {
		const int rc = nets_has(m->env.nets, i) ? build_net(m, i, 0) : 0;

		if (rc < 0)
			return error_set_errno(err, rc, "%s", nets_name(m->env.nets, i));
	}
	return 0;
}

static int build_share(struct machine *m, unsigned int i)
{
	const struct virtio_fs_config fs = {
		.name = m->env.config->shares[i].tag,
		.tag = m->env.config->shares[i].tag,
		.mem = m->mem,
		.loop = shares_loop(m->env.shares, i),
		.log = m->env.log,
		.fs = shares_fs(m->env.shares, i),
	};
	struct virtio_device *vdev;
	const int rc = virtio_fs_create(&fs, &vdev);

	return rc < 0 ? rc : add(m, vdev);
}

static int build_shares(struct machine *m, struct error *err)
{
	for (unsigned int i = 0; m->env.shares && i < m->env.config->num_shares; i++) {
		const int rc = build_share(m, i);

		if (rc < 0)
			return error_set_errno(err, rc, "share %s", m->env.config->shares[i].path);
	}
	return 0;
}

int machine_build_virtio(struct machine *m, struct error *err)
{
	int rc = build_disks(m, err);

	if (rc < 0)
		return rc;
	nets_hold(m->env.nets);
	rc = build_nets(m, err);
	if (rc < 0)
		return rc;
	rc = build_console(m);
	if (!rc)
		rc = build_rng(m);
	if (!rc)
		rc = build_balloon(m);
	if (rc < 0)
		return error_set_errno(err, rc, "virtio devices");
	/* The last ones, so that they change no other's place. */
	rc = build_shares(m, err);
	if (rc < 0)
		return rc;
	rc = name_on_cmdline(m);
	if (rc < 0)
		return error_set_errno(err, rc, "virtio devices");
	return nets_resume(m->env.nets, err);
}

void machine_drop_device(struct machine *m, struct machine_virtio *dev)
{
	struct machine_virtio *last = &m->virtio[--m->num_virtio];

	virtio_pci_destroy(dev->pci);
	virtio_mmio_destroy(dev->mmio);
	virtio_device_destroy(dev->vdev);
	if (dev->kind == MACHINE_DISK)
		m->disks[dev->index] = NULL;
	else if (dev->kind == MACHINE_NET)
		m->nets[dev->index] = NULL;
	free(dev->name);
	memmove(dev, dev + 1, (size_t)(last - dev) * sizeof(*dev));
	*last = (struct machine_virtio){0};
}

void machine_destroy_virtio(struct machine *m)
{
	nets_hold(m->env.nets);
	while (m->num_virtio)
		machine_drop_device(m, &m->virtio[m->num_virtio - 1]);
	for (unsigned int i = 0; m->virtio_irq_ready && i < ARRAY_SIZE(m->virtio_irq); i++)
		irq_or_fini(&m->virtio_irq[i]);
}
