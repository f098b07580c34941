/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables (ACPI 6.4): RSDP, XSDT, FADT, FACS, MADT, MCFG, and the DSDT and SSDTs, which iasl
 * compiles at build time from the .asl files in loader/acpi. CPU and interrupt tables are generated
 * here.
 */
#ifndef BANTAM_LOADER_ACPI_ACPI_H
#define BANTAM_LOADER_ACPI_ACPI_H

#include "vm/core/base.h"

struct error;
struct guest_mem;

struct acpi_config {
	unsigned int num_cpus;	  /* APIC ids are 0..num_cpus - 1 */
	bool level_isa;		  /* LAYOUT_IRQ_FREE are levels, active high, as the SCI */
	unsigned int virtio_mmio; /* devices at LAYOUT_VIRTIO_MMIO_BASE; 0: no table for them */
	uint32_t hotplug_slots;	  /* of PCI, a bit each, see devices/pci/pci_hotplug.h; 0: none */
};

/*
 * Writes the tables into [LAYOUT_ACPI_BASE, + LAYOUT_ACPI_SIZE), the RSDP at its start, and returns
 * its address through *rsdp_gpa. Fails with -ENOSPC where they do not fit, -EFAULT without RAM
 * there.
 */
int acpi_build(const struct guest_mem *mem, const struct acpi_config *config, uint64_t *rsdp_gpa,
	struct error *err);

#endif
