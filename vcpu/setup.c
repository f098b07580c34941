/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state a vCPU starts in. KVM makes it as after reset (real mode at F000:FFF0); here the first
 * one is put where the loader says. The others wait for INIT and SIPI in the kernel's LAPIC.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "loader/entry.h"
#include "vcpu/cpuid/cpuid.h"
#include "vcpu_internal.h"
#include "vm/core/error.h"
#include "vm/core/layout.h"
#include "vm/kvm/kvm.h"

/* Intel SDM vol. 3, 2.5 (CR0, CR4), and vol. 4 (MSRs) */
#define CR0_PE		  (1u << 0)
#define CR0_ET		  (1u << 4)
#define CR0_NE		  (1u << 5)
#define CR0_PG		  (1u << 31)
#define CR4_PAE		  (1u << 5)
#define EFER_LME	  (1u << 8)
#define EFER_LMA	  (1u << 10)
#define RFLAGS_RESERVED	  0x2
#define MSR_MISC_ENABLE	  0x1a0
#define MISC_FAST_STRINGS (1u << 0)
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE	  (1u << 11)
#define MTRR_ENABLE_FIXED (1u << 10)
#define MTRR_TYPE_UC	  0
#define MTRR_TYPE_WB	  6
#define MTRR_ALL_UC	  0
#define MTRR_ALL_WB	  0x0606060606060606
#define MSR_MTRR_BASE(n)  (0x200 + 2 * (n))
#define MSR_MTRR_MASK(n)  (0x201 + 2 * (n))
#define MSR_MTRR_64K	  0x250
#define MSR_MTRR_16K(n)	  (0x258 + (n))
#define MSR_MTRR_4K(n)	  (0x268 + (n))
#define MTRR_VALID	  (1u << 11)

/* Segment types: SDM vol. 3, table 3-1 */
enum { TYPE_DATA_RW = 3, TYPE_CODE_RX = 11, TYPE_TSS_BUSY = 11 };

enum { SELECTOR_CODE = 0x10, SELECTOR_DATA = 0x18 };

static struct kvm_segment flat_code(enum entry_mode mode)
{
	return (struct kvm_segment){
		.selector = SELECTOR_CODE,
		.base = 0,
		.limit = 0xffffffff,
		.type = TYPE_CODE_RX,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = mode == ENTRY_LONG,
		.db = mode == ENTRY_PROTECTED,
	};
}

static struct kvm_segment flat_data(void)
{
	return (struct kvm_segment){
		.selector = SELECTOR_DATA,
		.base = 0,
		.limit = 0xffffffff,
		.type = TYPE_DATA_RW,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
}

static void set_data_segments(struct kvm_sregs *sregs, const struct kvm_segment *data)
{
	sregs->ds = *data;
	sregs->es = *data;
	sregs->fs = *data;
	sregs->gs = *data;
	sregs->ss = *data;
}

static void set_real(struct kvm_sregs *sregs, const struct entry_state *entry)
{
	struct kvm_segment data = sregs->ds;

	data.selector = entry->real_segment;
	data.base = (uint64_t)entry->real_segment << 4;
	set_data_segments(sregs, &data);
	sregs->cs.selector = entry->real_segment;
	sregs->cs.base = (uint64_t)entry->real_segment << 4;
}

static void set_flat(struct kvm_sregs *sregs, const struct entry_state *entry)
{
	const struct kvm_segment data = flat_data();

	sregs->cs = flat_code(entry->mode);
	set_data_segments(sregs, &data);
	sregs->tr = (struct kvm_segment){.type = TYPE_TSS_BUSY, .present = 1, .limit = 0xffff};
	sregs->gdt.base = entry->gdt_gpa;
	sregs->gdt.limit = entry->gdt_limit;
	/* No table: an exception before the guest loads its own ends in a clean triple fault. */
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (entry->mode != ENTRY_LONG)
		return;
	sregs->cr3 = entry->cr3;
	sregs->cr4 = CR4_PAE;
	sregs->cr0 |= CR0_PG;
	sregs->efer = EFER_LME | EFER_LMA;
}

static int set_registers(struct vcpu *vcpu, const struct entry_state *entry, struct error *err)
{
	struct kvm_sregs sregs;
	const struct kvm_regs regs = {
		.rip = entry->rip,
		.rsp = entry->rsp,
		.rsi = entry->rsi,
		.rbx = entry->rbx,
		.rax = entry->rax,
		.rflags = RFLAGS_RESERVED,
	};

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_set_errno(err, -errno, "KVM_GET_SREGS");
	if (entry->mode == ENTRY_REAL)
		set_real(&sregs, entry);
	else
		set_flat(&sregs, entry);
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return error_set_errno(err, -errno, "KVM_SET_SREGS");
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return error_set_errno(err, -errno, "KVM_SET_REGS");
	return 0;
}

/*
 * What firmware would have set: fast string operations (Intel guests give up "rep movsb" without)
 * and the MTRRs, alike on all CPUs (Linux warns otherwise): write-back is the default, also for RAM
 * below 640 KiB; the legacy hole has the card's memory of a PC at its start and tables in RAM
 * behind that; from the end of low RAM to 4 GiB and in the window for 64-bit BARs nothing is
 * cached. A host that knows no such MSR takes fewer of them, which is fine, so those that matter
 * most come first.
 */
static int set_msrs(struct vcpu *vcpu, struct error *err)
{
	const unsigned int bits = cpuid_phys_bits(vcpu->config.cpuid);
	const uint64_t last = (UINT64_C(1) << bits) - 1;
	const bool wide = !(LAYOUT_MMIO64_LAST >> bits);
	const struct kvm_msr_entry entries[] = {
		{.index = MSR_MTRR_DEF_TYPE,
			.data = MTRR_ENABLE | MTRR_ENABLE_FIXED | MTRR_TYPE_WB},
		{.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
		{.index = MSR_MTRR_64K, .data = MTRR_ALL_WB},	 /* 0 to 512 KiB */
		{.index = MSR_MTRR_16K(0), .data = MTRR_ALL_WB}, /* to 640 KiB */
		{.index = MSR_MTRR_16K(1), .data = MTRR_ALL_UC}, /* to 768 KiB */
		{.index = MSR_MTRR_4K(0), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(1), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(2), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(3), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(4), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(5), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(6), .data = MTRR_ALL_WB},
		{.index = MSR_MTRR_4K(7), .data = MTRR_ALL_WB}, /* to 1 MiB */
		{.index = MSR_MTRR_BASE(0), .data = LAYOUT_LOW_RAM_END | MTRR_TYPE_UC},
		{.index = MSR_MTRR_MASK(0),
			.data = (last & ~(LAYOUT_HIGH_RAM_START - LAYOUT_LOW_RAM_END -
						UINT64_C(1))) |
				MTRR_VALID},
		{.index = MSR_MTRR_BASE(1), .data = wide ? LAYOUT_MMIO64_BASE | MTRR_TYPE_UC : 0},
		{.index = MSR_MTRR_MASK(1),
			.data = wide ? (last & ~(LAYOUT_MMIO64_SIZE - UINT64_C(1))) | MTRR_VALID
				     : 0},
	};
	_Alignas(struct kvm_msrs) uint8_t room[sizeof(struct kvm_msrs) + sizeof(entries)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)room;

	static_assert(LAYOUT_LOW_RAM_END % (LAYOUT_HIGH_RAM_START - LAYOUT_LOW_RAM_END) == 0 &&
			      LAYOUT_MMIO64_BASE % LAYOUT_MMIO64_SIZE == 0,
		"an MTRR each");
	msrs->nmsrs = ARRAY_SIZE(entries);
	memcpy(msrs->entries, entries, sizeof(entries));
	if (ioctl(vcpu->fd, KVM_SET_MSRS, msrs) < 0)
		return error_set_errno(err, -errno, "KVM_SET_MSRS");
	return 0;
}

int vcpu_setup(struct vcpu *vcpu, struct error *err)
{
	const struct vcpu_config *config = &vcpu->config;
	const struct kvm_cpuid2 *cpuid = cpuid_for_vcpu(config->cpuid, config->id);
	int rc;

	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		return error_set_errno(err, -errno, "KVM_SET_CPUID2");
	rc = set_msrs(vcpu, err);
	if (rc < 0 || !config->entry)
		return rc;
	return set_registers(vcpu, config->entry, err);
}
