/* SPDX-License-Identifier: BSD-2-Clause */
/* The notes of a core, in memory; for vm/dump/core.c. */
#ifndef BANTAM_VM_DUMP_NOTES_H
#define BANTAM_VM_DUMP_NOTES_H

#include "vm/dump/dump.h"

/* How many bytes dump_notes writes, a multiple of 4. */
size_t dump_notes_size(unsigned int num_cpus, const struct vmcoreinfo *info);
void dump_notes(uint8_t *to, const struct vcpu_registers *cpus, unsigned int num_cpus,
	const struct vmcoreinfo *info);

#endif
