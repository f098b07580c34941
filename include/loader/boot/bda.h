/* SPDX-License-Identifier: BSD-2-Clause */
/* The few words of the BIOS data area that kernels read without a BIOS having been there. */
#ifndef BANTAM_LOADER_BOOT_BDA_H
#define BANTAM_LOADER_BOOT_BDA_H

#include "vm/core/base.h"

struct guest_mem;

/* Says where the extended BIOS data area lies (LAYOUT_EBDA) and clears it. -EFAULT without RAM
 * there. */
int bda_write(const struct guest_mem *mem);

#endif
