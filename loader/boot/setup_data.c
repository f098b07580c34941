/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/boot/setup_data.h"

#include <errno.h>

#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

_Static_assert(LAYOUT_CMDLINE + LAYOUT_CMDLINE_MAX <= LAYOUT_SETUP_DATA, "behind the command line");
_Static_assert(LAYOUT_SETUP_DATA + LAYOUT_SETUP_DATA_MAX <= LAYOUT_EBDA, "in what e820 calls RAM");

int setup_data_write(
	const struct guest_mem *mem, uint32_t type, const void *data, size_t len, uint64_t *gpa)
{
	uint8_t header[SETUP_DATA_HEADER];
	int rc;

	if (!range_ok(SETUP_DATA_HEADER, len, LAYOUT_SETUP_DATA_MAX))
		return -ENOSPC;
	put_le64(header + SETUP_DATA_NEXT, 0);
	put_le32(header + SETUP_DATA_TYPE, type);
	put_le32(header + SETUP_DATA_LEN, (uint32_t)len);
	rc = guest_mem_write(mem, LAYOUT_SETUP_DATA, header, sizeof(header));
	if (!rc)
		rc = guest_mem_write(mem, LAYOUT_SETUP_DATA + SETUP_DATA_HEADER, data, len);
	if (!rc)
		*gpa = LAYOUT_SETUP_DATA;
	return rc;
}
