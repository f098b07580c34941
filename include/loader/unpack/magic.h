/* SPDX-License-Identifier: BSD-2-Clause */
/* What a file that is no kernel looks like, to say more than "bad magic". */
#ifndef BANTAM_LOADER_UNPACK_MAGIC_H
#define BANTAM_LOADER_UNPACK_MAGIC_H

#include "loader/image/image.h"
#include "vm/core/base.h"

/* "a gzip file: unpack it..." and the like; never NULL. */
const char *magic_describe(const struct image *image);

#endif
