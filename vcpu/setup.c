/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state a vCPU starts in. KVM makes it as after reset (real mode at F000:FFF0); here the first
 * one is put where the loader says. The others wait for INIT and SIPI in the kernel's LAPIC.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "loader/entry.h"
#include "vcpu/cpuid/cpuid.h"
#include "vcpu_internal.h"
#include "vm/core/error.h"
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
#define MTRR_TYPE_WB	  6

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
 * and write-back memory as the MTRRs' default (Linux warns of CPUs that differ). A host that knows
 * no such MSR takes fewer of them, which is fine.
 */
static int set_msrs(struct vcpu *vcpu, struct error *err)
{
	static const struct kvm_msr_entry entries[] = {
		{.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_TYPE_WB},
		{.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
	};
	_Alignas(struct kvm_msrs) uint8_t room[sizeof(struct kvm_msrs) + sizeof(entries)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)room;

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
