/* SPDX-License-Identifier: BSD-2-Clause */
/* Which Linux a bzImage says it is. */
#ifndef BANTAM_LOADER_LINUX_VERSION_H
#define BANTAM_LOADER_LINUX_VERSION_H

#include "loader/image/image.h"
#include "vm/core/base.h"

#define LINUX_VERSION(major, minor) ((unsigned int)(major) << 16 | (minor))

/* By its version string: LINUX_VERSION(5, 2), say. 0 where that is not told, as by an ELF file. */
unsigned int linux_version(const struct image *kernel);

#endif
