/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMBIOS 3.4 (DMTF DSP0134): who made the machine, its UUID and serial number, processors and
 * memory, and strings for whoever looks for them (type 11: systemd's credentials). In RAM alone;
 * nobody has to ask Bantam for it.
 */
#ifndef BANTAM_LOADER_SMBIOS_SMBIOS_H
#define BANTAM_LOADER_SMBIOS_SMBIOS_H

#include "vm/core/base.h"

struct error;
struct guest_mem;

enum { SMBIOS_UUID = 16, SMBIOS_MAX_OEM = 255 };

struct smbios_config {
	const char *version;	   /* of Bantam */
	uint8_t uuid[SMBIOS_UUID]; /* in the order in which it is written */
	const char *serial;
	const char *const *oem; /* not empty each */
	unsigned int num_oem;
	unsigned int num_cpus;
	uint32_t cpuid_eax, cpuid_edx; /* leaf 1, for the processor's id; 0: not known */
};

/*
 * Writes the entry point and the structures into [LAYOUT_SMBIOS_BASE, + LAYOUT_SMBIOS_SIZE), the
 * entry point at its start; memory is described as mem is. -ENOSPC where they do not fit, -EFAULT
 * without RAM there.
 */
int smbios_build(
	const struct guest_mem *mem, const struct smbios_config *config, struct error *err);

#endif
