/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a loader hands to the vCPU code: the mode and the registers of the first vCPU. Everything
 * that is not named here starts as after reset (SDM vol. 3, table 10-1).
 */
#ifndef BANTAM_LOADER_ENTRY_H
#define BANTAM_LOADER_ENTRY_H

#include "vm/core/base.h"

enum entry_mode {
	ENTRY_REAL,	 /* real mode, cs:rip with cs.base = cs.selector << 4 */
	ENTRY_PROTECTED, /* 32-bit protected mode, flat segments, paging off */
	ENTRY_LONG,	 /* 64-bit mode, flat segments, paging on at cr3 */
};

struct entry_state {
	enum entry_mode mode;
	uint16_t real_segment; /* ENTRY_REAL: selector of every segment */
	uint64_t rip;
	uint64_t rsp;
	uint64_t rsi; /* boot_params, by the Linux boot protocol */
	uint64_t rbx; /* start_info, by PVH; the information structure, by Multiboot */
	uint64_t rax; /* its magic, by Multiboot */
	uint64_t cr3; /* ENTRY_LONG */
	/* The GDT in guest memory, 0 if none: code at selector 0x10, data at 0x18. */
	uint64_t gdt_gpa;
	uint16_t gdt_limit;
};

#endif
