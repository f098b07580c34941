/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's RAM: anonymous memory, aligned for huge pages, spread over the guest-physical map as
 * vm/core/layout.h says. Not reserved up front, so a guest may have more than the host has free.
 */
#ifndef BANTAM_VM_MACHINE_RAM_H
#define BANTAM_VM_MACHINE_RAM_H

#include "vm/core/base.h"

struct error;
struct guest_mem;
struct ram;

enum { RAM_MAX_RANGES = 3 };

struct ram_range {
	uint64_t gpa;
	uint64_t size;
};

/* How size bytes of RAM lie in the guest-physical map. Returns the number of ranges. */
unsigned int ram_layout(uint64_t size, struct ram_range ranges[RAM_MAX_RANGES]);

/*
 * Maps the memory and adds it to mem. With hugepages it comes from hugetlbfs, all or nothing.
 * advice is for madvise(2), and may be ignored; MADV_NORMAL: none.
 */
int ram_create(uint64_t size, bool hugepages, int advice, struct guest_mem *mem, struct ram **ret,
	struct error *err);
void ram_destroy(struct ram *ram);

#endif
