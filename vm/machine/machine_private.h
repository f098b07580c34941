/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the machine: machine.c (life cycle, memory, legacy devices, vCPUs),
 * machine_virtio.c (virtio devices and their transport), machine_guest.c (what it boots),
 * machine_hotplug.c (devices that come and go), machine_dtb.c (device tree), machine_print.c
 * (--dry-run), machine_pause.c, machine_look.c (what a person does to it from outside).
 */
#ifndef BANTAM_VM_MACHINE_MACHINE_PRIVATE_H
#define BANTAM_VM_MACHINE_MACHINE_PRIVATE_H

#include "loader/loader.h"
#include "loader/smbios/smbios.h"
#include "vm/core/event_loop.h"
#include "vm/core/irq_or.h"
#include "vm/core/layout.h"
#include "vm/core/log.h"
#include "vm/machine/machine.h"

struct coalesced_ports;
struct virtio_balloon;
struct virtio_device;
struct virtio_mmio;
struct virtio_net;
struct virtio_pci;

/* A device and the one of the two transports that it has. */
struct machine_virtio {
	enum machine_device_kind kind;
	unsigned int index; /* of a disk or network */
	struct virtio_device *vdev;
	char *name; /* owned: of a disk, whose image may get another one */
	struct virtio_pci *pci;
	struct virtio_mmio *mmio;
};

enum {
	/* disks, networks, shares, console, ports, entropy, balloon */
	MACHINE_MAX_VIRTIO = CONFIG_MAX_DISKS + CONFIG_MAX_NETS + CONFIG_MAX_SHARES + 4,
};

struct machine {
	struct machine_env env;
	struct guest_mem *mem;
	struct ram *ram;
	struct bus *pio, *mmio;
	struct kvm_vm *kvm; /* NULL for --dry-run */

	struct irq_or com13_irq, com24_irq; /* two ports each, as on every PC */
	struct uart *uarts[CONFIG_MAX_SERIAL];
	struct pit *pit;
	struct rtc *rtc;
	struct i8042 *i8042;
	struct port92 *port92;
	struct pvpanic *pvpanic;
	struct exit_port *exit_port; /* or NULL */
	struct acpi_pm *acpi_pm;
	struct pci_bus *pci;
	struct pci_hotplug *hotplug; /* or NULL: nothing comes or goes */
	struct event_source ejects;
	_Atomic uint32_t ejected; /* slots that the guest has let go of */

	struct machine_virtio virtio[MACHINE_MAX_VIRTIO];
	unsigned int num_virtio;
	struct irq_or virtio_irq[LAYOUT_IRQ_PCI_N]; /* for MMIO */
	bool virtio_irq_ready;
	struct virtio_device
		*disks[CONFIG_MAX_DISKS]; /* among them, by their index; NULL where there is none */
	struct virtio_net *nets[CONFIG_MAX_NETS]; /* likewise */
	struct virtio_balloon *balloon;		  /* among them, or NULL */
	char *cmdline; /* owned: env.cmdline and words that name MMIO devices; or NULL */

	void *dtb; /* owned: its device tree, if there shall be one */
	size_t dtb_size;
	struct loader_result loaded; /* flat guests: entry only */
	struct log_limit limit;
	uint64_t ticks_scale; /* see vm/core/counter.h; set with the first vCPU */
	struct cpuid_template *cpuid;
	struct coalesced_ports *coalesced; /* NULL: there are none */
	struct vcpu **vcpus;
	unsigned int num_vcpus;	    /* made so far */
	bool held[CONFIG_MAX_CPUS]; /* by a debugger, while others run */

	struct machine_stopped *stopped; /* owned: its clocks, while it is paused; or NULL */
};

/* What the kernel is told, with the words that name MMIO devices. */
static inline const char *machine_cmdline(const struct machine *m)
{
	return m->cmdline ? m->cmdline : m->env.cmdline;
}

/* The MMIO devices that tables describe (ACPI, device tree), the command line not naming them. */
static inline unsigned int machine_described_mmio(const struct machine *m)
{
	return m->env.config->transport == TRANSPORT_MMIO ? m->num_virtio : 0;
}

/* The wire of an interrupt; not connected where there is no KVM. */
struct irq_line machine_wire(struct machine *m, unsigned int gsi);

/*
 * Makes the device of a disk or network, on the bus at slot (0: any); the networks' thread is held
 * for one of those. -errno.
 */
int machine_make_device(
	struct machine *m, enum machine_device_kind kind, unsigned int index, unsigned int slot);
/* NULL: there is none. */
struct machine_virtio *machine_find_device(
	struct machine *m, enum machine_device_kind kind, unsigned int index);
/* Takes the device away; no vCPU runs, and for a network, its thread neither. */
void machine_drop_device(struct machine *m, struct machine_virtio *dev);

/* Makes the devices that the configuration asks for. -errno with a line. */
int machine_build_virtio(struct machine *m, struct error *err);
/* Writes SMBIOS into memory. -errno with a line. */
int machine_build_smbios(struct machine *m, struct error *err);
/* A UUID of its own for each combination of the three texts; name and disk may be NULL. */
void machine_make_uuid(
	const char *host, const char *name, const char *disk, uint8_t uuid[SMBIOS_UUID]);
/* Makes the device tree, if one was asked for; the devices are there. -errno with a line. */
int machine_build_dtb(struct machine *m, struct error *err);
/* The registers of hot-plug, once the devices of the start have their slots. -errno with a line. */
int machine_build_hotplug(struct machine *m, struct error *err);
/* Puts kernel or flat program into memory and says where it begins. -errno with a line. */
int machine_load_guest(struct machine *m, struct error *err);
void machine_destroy_hotplug(struct machine *m);
/* The vCPUs are gone. Takes what was built by half. */
void machine_destroy_virtio(struct machine *m);

#endif
