/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux and others read the segment of the extended BIOS data area at 0x40E and the size of
 * conventional memory (KiB) at 0x413 to learn what a BIOS has taken; the first byte of the EBDA is
 * its size in KiB. They agree here with the memory map. Guests that look for an RSDP or MP table in
 * the EBDA must find zeros, also after a restart in used memory.
 */
#include "loader/boot/bda.h"

#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { BDA_MEMORY_KIB = 0x413 };

int bda_write(const struct guest_mem *mem)
{
	uint8_t segment[2], kib[2], ebda_kib[1] = {(0xA0000 - LAYOUT_EBDA) / 1024};
	int rc;

	put_le16(segment, LAYOUT_EBDA >> 4);
	put_le16(kib, LAYOUT_EBDA / 1024);
	rc = guest_mem_write(mem, LAYOUT_EBDA_PTR, segment, sizeof(segment));
	if (!rc)
		rc = guest_mem_write(mem, BDA_MEMORY_KIB, kib, sizeof(kib));
	if (!rc)
		rc = guest_mem_zero(mem, LAYOUT_EBDA, 0xA0000 - LAYOUT_EBDA);
	if (!rc)
		rc = guest_mem_write(mem, LAYOUT_EBDA, ebda_kib, sizeof(ebda_kib));
	return rc;
}
