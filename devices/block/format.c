/* SPDX-License-Identifier: BSD-2-Clause */
#include "format.h"

#include <string.h>

#include "vm/core/base.h"

/* The signature of each is in its specification; QEMU's qemu-img reads them all. */
static const struct {
	const char *name;
	uint8_t offset, len;
	const char *magic;
} formats[] = {
	{"qcow2", 0, 4, "QFI\xfb"},
	{"qed", 0, 4, "QED\0"},
	{"vmdk", 0, 4, "KDMV"},
	{"vmdk", 0, 4, "COWD"},
	{"vmdk", 0, 21, "# Disk DescriptorFile"},
	{"vhdx", 0, 8, "vhdxfile"},
	{"vhd", 0, 8, "conectix"},
	{"vdi", 64, 4, "\x7f\x10\xda\xbe"},
};

const char *blk_format_look(const uint8_t start[BLK_FORMAT_BYTES])
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (memcmp(start + formats[i].offset, formats[i].magic, formats[i].len) == 0)
			return formats[i].name;
	return NULL;
}
