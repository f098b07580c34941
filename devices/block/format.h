/* SPDX-License-Identifier: BSD-2-Clause */
/* What an image looks like. For a warning only: that a disk is raw is said, never guessed. */
#ifndef BANTAM_DEVICES_BLOCK_FORMAT_H
#define BANTAM_DEVICES_BLOCK_FORMAT_H

#include <stdint.h>

enum { BLK_FORMAT_BYTES = 512 };

/* The name of the format that begins like this, or NULL. */
const char *blk_format_look(const uint8_t start[BLK_FORMAT_BYTES]);

#endif
