/* SPDX-License-Identifier: BSD-2-Clause */
/* Where things lie in guest memory, for whichever structure tells the kernel. */
#ifndef BANTAM_LOADER_BOOT_INFO_H
#define BANTAM_LOADER_BOOT_INFO_H

#include "vm/core/base.h"

struct boot_info {
	uint64_t kernel_gpa;
	uint64_t cmdline_gpa; /* zero-terminated */
	uint64_t initrd_gpa;  /* both 0 for none */
	uint64_t initrd_size;
	uint64_t rsdp_gpa;	 /* 0 for none */
	uint64_t setup_data_gpa; /* of a list of these, 0 for none */
	bool kaslr;		 /* kernel_gpa is random */
};

#endif
