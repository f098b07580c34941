/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/boot/lowram.h"

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

uint64_t lowram_end(const struct guest_mem *mem)
{
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);

	for (size_t i = 0; i < count; i++) {
		uint64_t off = LAYOUT_KERNEL_MIN - regions[i].gpa;

		if (regions[i].gpa <= LAYOUT_KERNEL_MIN && off < regions[i].size)
			return MIN(regions[i].gpa + regions[i].size, 4 * GiB);
	}
	return LAYOUT_KERNEL_MIN;
}

uint64_t ram_mib(const struct guest_mem *mem)
{
	uint64_t sum = 0;
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);

	for (size_t i = 0; i < count; i++)
		sum += regions[i].size;
	return sum >> 20;
}
