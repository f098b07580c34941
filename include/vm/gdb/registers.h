/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers that gdb sees: their values, their order, and the description (target.xml) by which
 * it knows them. One table has all three. Pure.
 */
#ifndef BANTAM_VM_GDB_REGISTERS_H
#define BANTAM_VM_GDB_REGISTERS_H

#include "vm/core/base.h"

struct gdb_out;

struct gdb_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip;
	uint32_t eflags;
	uint32_t cs, ss, ds, es, fs, gs; /* selectors */
	uint8_t st[8][10];
	uint32_t fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop;
	uint8_t xmm[16][16];
	uint32_t mxcsr;
	uint64_t fs_base, gs_base;
	uint64_t k_gs_base; /* what SWAPGS changes gs_base with */
	uint64_t cr0, cr2, cr3, cr4, cr8, efer;
};

/* Numbers as in the description; those that a stop tells. */
enum { GDB_REG_RBP = 6, GDB_REG_RSP = 7, GDB_REG_RIP = 16 };

unsigned int gdb_num_registers(void);

/* Text of the description, at most size bytes; returns its length. */
size_t gdb_registers_xml(char *buf, size_t size);

/* All of them, as "g" answers; one of them. False: there is none of that number. */
void gdb_put_registers(struct gdb_out *out, const struct gdb_registers *regs);
bool gdb_put_register(struct gdb_out *out, const struct gdb_registers *regs, uint64_t number);

/* From hexadecimal digits; nothing but them. False: not so many, or no such register. */
bool gdb_take_registers(const char *hex, struct gdb_registers *regs);
bool gdb_take_register(const char *hex, struct gdb_registers *regs, uint64_t number);

#endif
