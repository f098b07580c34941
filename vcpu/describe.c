/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person needs to see when KVM gives up on a guest: the exit and KVM's own words for it, the
 * registers, and the instruction it was at.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vcpu_internal.h"
#include "vm/core/guest_mem.h"

enum { CODE_BYTES = 16 };

struct text {
	char *buf;
	size_t size, used;
};

static void say(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->used, t->size - t->used, fmt, args);
	va_end(args);
	if (n > 0)
		t->used = MIN(t->used + (size_t)n, t->size - 1);
}

static const char *suberror_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction could not be emulated";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "exceptions at the same time";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an event could not be delivered";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit KVM did not expect";
	default:
		return "an unknown kind of error";
	}
}

static void say_internal(struct text *t, const struct kvm_run *run)
{
	say(t, "  suberror %u: %s; data", run->internal.suberror,
		suberror_name(run->internal.suberror));
	for (uint32_t i = 0; i < MIN(run->internal.ndata, ARRAY_SIZE(run->internal.data)); i++)
		say(t, " %llx", run->internal.data[i]);
	say(t, "\n");
}

static void say_exit(struct text *t, const struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	say(t, "vCPU %u: ", vcpu->config.id);
	if (vcpu->run_errno) {
		char reason[128];

		say(t, "KVM_RUN: %s\n", strerror_r(vcpu->run_errno, reason, sizeof(reason)));
		return;
	}
	say(t, "%s (%u)\n", vcpu_exit_name(run->exit_reason), run->exit_reason);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		say_internal(t, run);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		say(t, "  the hardware refused the guest's state, reason 0x%llx\n",
			run->fail_entry.hardware_entry_failure_reason);
	if (run->exit_reason == KVM_EXIT_UNKNOWN)
		say(t, "  hardware exit reason 0x%llx\n", run->hw.hardware_exit_reason);
}

static void say_segment(struct text *t, const char *name, const struct kvm_segment *s)
{
	say(t, "  %s  %04x base %016llx limit %08x type %x%s%s%s\n", name, s->selector, s->base,
		s->limit, s->type,
		s->l	? " 64-bit"
		: s->db ? " 32-bit"
			: "",
		s->dpl ? " user" : "", s->present ? "" : " absent");
}

static void say_registers(struct text *t, const struct kvm_regs *r, const struct kvm_sregs *s)
{
	say(t, "  rip %016llx rsp %016llx rflags %08llx\n", r->rip, r->rsp, r->rflags);
	say(t, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r->rax, r->rbx, r->rcx,
		r->rdx);
	say(t, "  rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", r->rsi, r->rdi, r->rbp,
		r->r8);
	say(t, "  r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", r->r9, r->r10, r->r11,
		r->r12);
	say(t, "  r13 %016llx r14 %016llx r15 %016llx\n", r->r13, r->r14, r->r15);
	say(t, "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %llx\n", s->cr0, s->cr2,
		s->cr3, s->cr4, s->efer);
	say_segment(t, "cs", &s->cs);
	say_segment(t, "ss", &s->ss);
	say_segment(t, "ds", &s->ds);
	say_segment(t, "tr", &s->tr);
	say(t, "  gdt %016llx limit %04x  idt %016llx limit %04x\n", s->gdt.base, s->gdt.limit,
		s->idt.base, s->idt.limit);
}

/* Byte by byte, as the instruction may cross into a page that is not mapped. */
static void say_code(
	struct text *t, const struct vcpu *vcpu, const struct guest_mem *mem, uint64_t linear)
{
	say(t, "  code at rip:");
	for (unsigned int i = 0; i < CODE_BYTES; i++) {
		struct kvm_translation where = {.linear_address = linear + i};
		const uint8_t *p = NULL;

		if (ioctl(vcpu->fd, KVM_TRANSLATE, &where) == 0 && where.valid)
			p = guest_mem_ptr(mem, where.physical_address, 1);
		if (!p) {
			say(t, " (not mapped)");
			break;
		}
		say(t, " %02x", *p);
	}
	say(t, "\n");
}

size_t vcpu_describe(struct vcpu *vcpu, const struct guest_mem *mem, char *buf, size_t size)
{
	struct text t = {.buf = buf, .size = size};
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t linear;

	buf[0] = '\0';
	say_exit(&t, vcpu);
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
		say(&t, "  registers cannot be read\n");
		return t.used;
	}
	say_registers(&t, &regs, &sregs);
	linear = sregs.cs.l ? regs.rip : (uint32_t)(sregs.cs.base + regs.rip);
	say_code(&t, vcpu, mem, linear);
	return t.used;
}
