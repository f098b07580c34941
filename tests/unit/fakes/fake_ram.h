/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory laid out as a machine's: below 3 GiB, from 4 GiB, and from 320 GiB. What lies below
 * 4 GiB can be used and costs only what is touched, with an inaccessible page before and behind it;
 * what lies above is address space without access.
 */
#ifndef TESTS_FAKE_RAM_H
#define TESTS_FAKE_RAM_H

#include "vm/core/base.h"

struct guest_mem;

struct fake_ram {
	struct guest_mem *mem;
	struct {
		void *addr;
		size_t size;
	} maps[3];
};

void fake_ram_create(struct fake_ram *ram, uint64_t size);
void fake_ram_destroy(struct fake_ram *ram);

/* The bytes at gpa, which must be in RAM. */
uint8_t *fake_ram_at(const struct fake_ram *ram, uint64_t gpa, uint64_t len);

#endif
