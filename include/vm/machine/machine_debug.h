/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for a debugger. Main thread. */
#ifndef BANTAM_VM_MACHINE_MACHINE_DEBUG_H
#define BANTAM_VM_MACHINE_MACHINE_DEBUG_H

#include "vm/core/base.h"

struct bus_region;
struct error;
struct machine;
struct vcpu;

unsigned int machine_num_vcpus(const struct machine *machine);
struct vcpu *machine_vcpu(const struct machine *machine, unsigned int i);

/* machine_start leaves it out. No vCPU runs. */
void machine_hold_vcpu(struct machine *machine, unsigned int i, bool held);

/*
 * Stops all vCPUs as machine_stop does; their registers are of now, also where one was in the
 * middle of an access of a device.
 */
void machine_stop_settled(struct machine *machine);

struct machine_kernel {
	uint64_t gpa, size;	 /* of its image */
	uint64_t virtual, slide; /* see struct loader_result; virtual is 0 if it is not known */
	const char *format;
};

/* False: a flat program runs. At any time; asks no vCPU, which would be waited for. */
bool machine_kernel(const struct machine *machine, struct machine_kernel *ret);

/* The first vCPU, which is out, still has the loader's page tables, or none. */
bool machine_is_booting(const struct machine *machine);

/* Each region of both buses; port tells of which. */
void machine_for_each_region(struct machine *machine,
	void (*fn)(void *opaque, bool port, const struct bus_region *region), void *opaque);

#endif
