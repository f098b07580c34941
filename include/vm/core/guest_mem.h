/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's physical memory: sorted, non-overlapping regions {gpa, size, hva}.
 *
 * Regions are added while the machine is built and never change while vCPUs run, so nothing here
 * takes a lock. The memory behind a region belongs to whoever added it (vm/machine/ram.c, or a
 * test). Guest code may write it at any moment: copy a value once, check the copy, use the copy.
 */
#ifndef BANTAM_VM_CORE_GUEST_MEM_H
#define BANTAM_VM_CORE_GUEST_MEM_H

#include <sys/uio.h>

#include "vm/core/base.h"

struct guest_mem;

struct guest_mem_region {
	uint64_t gpa;
	uint64_t size;
	void *hva;
};

int guest_mem_create(struct guest_mem **ret);
void guest_mem_destroy(struct guest_mem *mem);

/* Returns 0, -EINVAL for an empty or wrapping range, -EEXIST where it overlaps another, -ENOMEM. */
int guest_mem_add(struct guest_mem *mem, uint64_t gpa, uint64_t size, void *hva);

/* The regions in ascending order of gpa; *count tells how many. Valid until the next add. */
const struct guest_mem_region *guest_mem_regions(const struct guest_mem *mem, size_t *count);

/* The host address of [gpa, gpa + len) when all of it lies inside one region, else NULL. */
void *guest_mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/*
 * Copies that may span adjacent regions. Return 0, or -EFAULT with nothing copied when any byte
 * lies outside. A length of 0 succeeds at any address.
 */
int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *dst, uint64_t len);
int guest_mem_write(const struct guest_mem *mem, uint64_t gpa, const void *src, uint64_t len);
int guest_mem_zero(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/*
 * Describes [gpa, gpa + len) by at most max iovecs. Returns how many were used, -EFAULT when any
 * byte lies outside, -E2BIG when max is too small.
 */
int guest_mem_iov(
	const struct guest_mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov, int max);

#endif
