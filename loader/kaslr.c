/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As Linux does it when it unpacks itself (arch/x86/boot/compressed/kaslr.c): both addresses are
 * multiples of kernel_alignment, the physical one not below the linked one, the virtual one from
 * the linked one up to the end of the window of KERNEL_IMAGE_SIZE. They are independent.
 *
 * Differences: the physical memory above 4 GiB is not used, because the page tables that the kernel
 * is entered with do not map it. Where the command line sets memory aside, Linux keeps clear of
 * that; here the kernel stays where it would be without KASLR.
 */
#include "loader/kaslr.h"

#include <string.h>

/* Linux's MIN_KERNEL_ALIGN, and its KERNEL_IMAGE_SIZE with CONFIG_RANDOMIZE_BASE */
#define MIN_ALIGN  (2 * MiB)
#define IMAGE_SIZE GiB

/* As the code in the guest looks: words between anything up to a blank, quotes mean nothing. */
bool kaslr_allowed(const char *cmdline)
{
	static const char word[] = "nokaslr";
	const size_t len = sizeof(word) - 1;

	for (const char *p = cmdline; (p = strstr(p, word)) != NULL; p += len)
		if ((p == cmdline || (unsigned char)p[-1] <= ' ') && (unsigned char)p[len] <= ' ')
			return false;
	return true;
}

static bool sets_memory_aside(const char *cmdline)
{
	return strstr(cmdline, "mem=") || strstr(cmdline, "memmap=") ||
	       strstr(cmdline, "hugepages");
}

/* A multiple of align by which [start, + size) can move up to stay below limit. */
static uint64_t choose(
	uint64_t start, uint64_t size, uint64_t limit, uint64_t align, uint64_t random)
{
	if (!range_ok(start, size, limit))
		return 0;
	return random % ((limit - start - size) / align + 1) * align;
}

void kaslr_choose(const struct kaslr_config *config, struct kaslr *kaslr)
{
	const uint64_t align = MAX(config->align, MIN_ALIGN);

	*kaslr = (struct kaslr){0};
	if (!sets_memory_aside(config->cmdline))
		kaslr->physical = choose(
			config->start, config->size, config->limit, align, config->random[0]);
	/* As linked, a virtual address is the physical one from the window's start on. */
	kaslr->virtual = (uint32_t)choose(
		config->start, config->size, IMAGE_SIZE, align, config->random[1]);
}
