/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM as the stub's target. It is held (vm_hold) while the client looks at it, and no time passes
 * for the guest meanwhile. While some vCPUs run and others do not, the machine leaves those out.
 *
 * Several vCPUs may stop at once. One is reported; of the others those that have hit a watchpoint
 * are reported later, as what they did is done, and the rest come to the same place again.
 */
#include "vm_gdb.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vcpu/debug.h"
#include "vcpu/page_walk.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/machine/machine_debug.h"

static struct vcpu *vcpu_of(const struct vm_gdb *gdb, unsigned int cpu)
{
	return machine_vcpu(gdb->vm->machine, cpu);
}

static const struct guest_mem *memory(const struct vm_gdb *gdb)
{
	return machine_memory(gdb->vm->machine);
}

/* ---- registers ---- */

static void put_float(struct gdb_registers *to, const struct vcpu_debug_state *s)
{
	memcpy(to->st, s->st, sizeof(to->st));
	memcpy(to->xmm, s->xmm, sizeof(to->xmm));
	to->fctrl = s->fcw;
	to->fstat = s->fsw;
	to->fop = s->fop;
	to->fioff = (uint32_t)s->fip;
	to->fiseg = (uint32_t)(s->fip >> 32);
	to->fooff = (uint32_t)s->fdp;
	to->foseg = (uint32_t)(s->fdp >> 32);
	to->mxcsr = s->mxcsr;
	/* Two bits each: 3 is empty. The kinds of the others nobody needs. */
	for (unsigned int i = 0; i < 8; i++)
		to->ftag |= s->ftag >> i & 1 ? 0 : 3U << (2 * i);
}

static bool get_registers(void *opaque, unsigned int cpu, struct gdb_registers *to)
{
	struct vcpu_debug_state s;
	struct error err;

	memset(to, 0, sizeof(*to));
	if (vcpu_get_state(vcpu_of(opaque, cpu), &s, &err) < 0)
		return false;
	memcpy(&to->rax, s.gpr, sizeof(s.gpr));
	to->rip = s.rip;
	to->eflags = (uint32_t)s.rflags;
	to->cs = s.cs;
	to->ss = s.ss;
	to->ds = s.ds;
	to->es = s.es;
	to->fs = s.fs;
	to->gs = s.gs;
	put_float(to, &s);
	to->fs_base = s.fs_base;
	to->gs_base = s.gs_base;
	to->k_gs_base = s.k_gs_base;
	to->cr0 = s.cr0;
	to->cr2 = s.cr2;
	to->cr3 = s.cr3;
	to->cr4 = s.cr4;
	to->cr8 = s.cr8;
	to->efer = s.efer;
	return true;
}

static_assert(offsetof(struct gdb_registers, rip) - offsetof(struct gdb_registers, rax) ==
		      sizeof(((struct vcpu_debug_state *)0)->gpr),
	"the same registers, in gdb's order");

static bool set_registers(void *opaque, unsigned int cpu, const struct gdb_registers *from)
{
	struct vcpu_debug_state s;
	struct error err;

	if (vcpu_get_state(vcpu_of(opaque, cpu), &s, &err) < 0)
		return false;
	memcpy(s.gpr, &from->rax, sizeof(s.gpr));
	s.rip = from->rip;
	s.rflags = from->eflags;
	memcpy(s.st, from->st, sizeof(s.st));
	memcpy(s.xmm, from->xmm, sizeof(s.xmm));
	s.fcw = (uint16_t)from->fctrl;
	s.fsw = (uint16_t)from->fstat;
	s.mxcsr = from->mxcsr;
	s.fs_base = from->fs_base;
	s.gs_base = from->gs_base;
	s.k_gs_base = from->k_gs_base;
	s.cr0 = from->cr0;
	s.cr2 = from->cr2;
	s.cr3 = from->cr3;
	s.cr4 = from->cr4;
	s.cr8 = from->cr8;
	s.efer = from->efer;
	return vcpu_set_state(vcpu_of(opaque, cpu), &s, &err) == 0;
}

/* ---- memory ---- */

static bool walk(const struct vm_gdb *gdb, unsigned int cpu, uint64_t addr, struct page_walk *ret)
{
	struct paging_registers regs;

	return vcpu_get_paging(vcpu_of(gdb, cpu), &regs) &&
	       page_walk(memory(gdb), &regs, addr, ret);
}

/* What the loader has put there, before the kernel has page tables by which it is there. */
static bool in_image(const struct vm_gdb *gdb, uint64_t addr, uint64_t *gpa)
{
	struct machine_kernel kernel;

	if (!machine_kernel(gdb->vm->machine, &kernel) || !kernel.virtual ||
		addr - kernel.virtual >= kernel.size || !machine_is_booting(gdb->vm->machine))
		return false;
	*gpa = kernel.gpa + (addr - kernel.virtual);
	return true;
}

struct gdb_place vm_gdb_find(struct vm_gdb *gdb, unsigned int cpu, uint64_t addr)
{
	struct gdb_place place = {.known = true};
	struct page_walk found;

	if (walk(gdb, cpu, addr, &found)) {
		place.gpa = found.gpa;
		return place;
	}
	for (unsigned int i = 0; i < machine_num_vcpus(gdb->vm->machine); i++)
		if (walk(gdb, i, addr, &found)) {
			place.gpa = found.gpa;
			return place;
		}
	place.later = place.known = in_image(gdb, addr, &place.gpa);
	return place;
}

/* The bytes from addr on that are one behind the other in memory; 0: there are none. */
static size_t extent(
	const struct vm_gdb *gdb, unsigned int cpu, uint64_t addr, size_t len, uint64_t *gpa)
{
	uint64_t rest = 4096 - addr % 4096;
	struct page_walk found;

	if (gdb->physical)
		*gpa = addr;
	else if (walk(gdb, cpu, addr, &found))
		*gpa = found.gpa;
	else if (!in_image(gdb, addr, gpa))
		return 0;
	return (size_t)MIN(rest, (uint64_t)len);
}

static size_t read_memory(void *opaque, unsigned int cpu, uint64_t addr, void *buf, size_t len)
{
	const struct vm_gdb *gdb = opaque;
	size_t done = 0;

	while (done < len) {
		uint8_t *to = (uint8_t *)buf + done;
		uint64_t gpa;
		const size_t n = extent(gdb, cpu, addr + done, len - done, &gpa);

		if (!n || guest_mem_read(memory(gdb), gpa, to, n) < 0)
			break;
		gdb_points_hide(&gdb->points, gpa, to, n);
		done += n;
	}
	return done;
}

static size_t write_memory(
	void *opaque, unsigned int cpu, uint64_t addr, const void *buf, size_t len)
{
	struct vm_gdb *gdb = opaque;
	uint8_t piece[4096];
	size_t done = 0;

	while (done < len) {
		uint64_t gpa;
		const size_t n = extent(gdb, cpu, addr + done, len - done, &gpa);

		if (!n || !guest_mem_ptr(memory(gdb), gpa, n))
			break;
		memcpy(piece, (const uint8_t *)buf + done, n);
		gdb_points_cover(&gdb->points, gpa, piece, n);
		guest_mem_write(memory(gdb), gpa, piece, n);
		done += n;
	}
	return done;
}

/* ---- breakpoints ---- */

static int insert(void *opaque, unsigned int cpu, const struct gdb_point *point)
{
	struct vm_gdb *gdb = opaque;

	return gdb_points_add(&gdb->points, memory(gdb), point, vm_gdb_find(gdb, cpu, point->addr));
}

static void remove_one(void *opaque, const struct gdb_point *point)
{
	struct vm_gdb *gdb = opaque;

	gdb_points_remove(&gdb->points, memory(gdb), point);
}

static void remove_all(void *opaque)
{
	struct vm_gdb *gdb = opaque;

	gdb_points_clear(&gdb->points, memory(gdb));
	gdb->physical = gdb->at_register = false;
}

int vm_gdb_apply(struct vm_gdb *gdb, const enum gdb_action *actions, struct error *err)
{
	struct machine *machine = gdb->vm->machine;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < machine_num_vcpus(machine); i++) {
		struct vcpu_debug debug = {.traps = gdb->points.traps,
			.num_traps = gdb->points.num_traps,
			.dr7 = gdb->points.dr7,
			.step = actions[i] == GDB_STEP,
			.mem = memory(gdb)};

		memcpy(debug.dr, gdb->points.dr, sizeof(debug.dr));
		machine_hold_vcpu(machine, i, actions[i] == GDB_STAY);
		rc = vcpu_set_debug(vcpu_of(gdb, i), &debug, err);
	}
	return rc;
}

/* ---- it stops ---- */

static void stop(void *opaque)
{
	struct vm_gdb *gdb = opaque;

	gdb->at_register = false;
	vm_hold(gdb->vm);
}

static bool is_watch(const struct gdb_point *point)
{
	return point && point->kind >= GDB_WRITE;
}

/* What it means for the client. False: nothing. */
static bool explain(
	struct vm_gdb *gdb, unsigned int cpu, struct vcpu_stop from, struct gdb_stop *to)
{
	const struct gdb_point *point = NULL;
	struct gdb_registers regs;

	*to = (struct gdb_stop){.reason = GDB_BY_BREAKPOINT};
	switch (from.kind) {
	case VCPU_NO_STOP:
		return false;
	case VCPU_STOP_STEP:
		to->reason = GDB_BY_STEP;
		return true;
	case VCPU_STOP_REGISTER:
		point = gdb_points_of_register(&gdb->points, from.dr);
		if (!point)
			return false;
		if (is_watch(point))
			to->reason = GDB_BY_WATCHPOINT;
		break;
	case VCPU_STOP_TRAP:
		if (get_registers(gdb, cpu, &regs))
			point = gdb_points_at(&gdb->points, regs.rip);
		break;
	}
	to->has_point = point;
	if (point)
		to->point = *point;
	return true;
}

static bool is_waiting(const struct vm_gdb *gdb, unsigned int cpu)
{
	const struct vcpu_stop stop = vcpu_stop_of(vcpu_of(gdb, cpu));

	return stop.kind == VCPU_STOP_REGISTER &&
	       is_watch(gdb_points_of_register(&gdb->points, stop.dr));
}

/* The rest will come to it again, or did what nobody asks about any more. */
static bool forget_others(struct vm_gdb *gdb)
{
	bool waiting = false;

	for (unsigned int i = 0; i < machine_num_vcpus(gdb->vm->machine); i++) {
		if (is_waiting(gdb, i))
			waiting = true;
		else
			vcpu_take_stop(vcpu_of(gdb, i));
	}
	return waiting;
}

static void remember(struct vm_gdb *gdb, unsigned int cpu, const struct gdb_stop *stop)
{
	struct gdb_registers regs;

	gdb->at_register = stop->reason == GDB_BY_BREAKPOINT && get_registers(gdb, cpu, &regs);
	gdb->at_cpu = cpu;
	if (gdb->at_register)
		gdb->at_rip = regs.rip;
}

bool vm_gdb_report(struct vm_gdb *gdb)
{
	const unsigned int num = machine_num_vcpus(gdb->vm->machine);
	struct gdb_stop stopped;

	for (unsigned int i = 0; i < num; i++) {
		const struct vcpu_stop taken = vcpu_take_stop(vcpu_of(gdb, i));

		if (!explain(gdb, i, taken, &stopped))
			continue;
		forget_others(gdb);
		remember(gdb, i, &stopped);
		gdb_stopped(gdb->stub, i, &stopped);
		return gdb_is_stopped(gdb->stub);
	}
	return false;
}

/* ---- it goes on ---- */

/* One in a debug register is met before its instruction: again and again. */
static void pass(struct vm_gdb *gdb, const enum gdb_action *actions)
{
	struct gdb_registers regs;

	if (gdb->at_register && actions[gdb->at_cpu] != GDB_STAY && gdb->points.num_dr &&
		get_registers(gdb, gdb->at_cpu, &regs) && regs.rip == gdb->at_rip)
		vcpu_pass_breakpoint(vcpu_of(gdb, gdb->at_cpu));
	gdb->at_register = false;
}

static int resume(void *opaque, const enum gdb_action *actions)
{
	struct vm_gdb *gdb = opaque;
	struct error err = {""};
	int rc;

	gdb->kept_from = false;
	if (forget_others(gdb)) {
		event_loop_post(gdb->vm->loop, &gdb->hit);
		return 0;
	}
	rc = vm_gdb_apply(gdb, actions, &err);
	if (rc < 0) {
		log_msg(gdb->vm->log, LOG_ERROR, "gdb: %s", err.text);
		return rc;
	}
	pass(gdb, actions);
	machine_tell_paused(gdb->vm->machine);
	vm_release(gdb->vm);
	return 0;
}

static void kill_vm(void *opaque)
{
	struct vm_gdb *gdb = opaque;

	gdb->killed = true;
	vm_order_end(gdb->vm, VM_END_QUIT);
}

/* ---- what it is ---- */

static void describe(void *opaque, unsigned int cpu, char *buf, size_t size)
{
	const struct vm_gdb *gdb = opaque;
	struct vcpu_debug_state s;
	struct error err;
	const char *what, *where = "";

	if (!gdb_is_stopped(gdb->stub)) {
		snprintf(buf, size, "vCPU %u", cpu);
		return;
	}
	what = vcpu_activity(vcpu_of(gdb, cpu));
	if (!strcmp(what, "running") && vcpu_get_state(vcpu_of(gdb, cpu), &s, &err) == 0)
		where = s.cs & 3 ? " in user mode" : " in kernel mode";
	snprintf(buf, size, "%s%s", what, where);
}

static bool text_base(void *opaque, uint64_t *addr)
{
	const struct vm_gdb *gdb = opaque;
	struct machine_kernel kernel;

	if (!machine_kernel(gdb->vm->machine, &kernel) || !kernel.virtual)
		return false;
	*addr = kernel.virtual;
	return true;
}

static void send_later(struct vm_gdb *gdb, const uint8_t *buf, size_t len)
{
	if (len > sizeof(gdb->unsent) - gdb->num_unsent) {
		/* It asks and asks, and does not read. */
		event_loop_post(gdb->vm->loop, &gdb->broken);
		return;
	}
	memcpy(gdb->unsent + gdb->num_unsent, buf, len);
	gdb->num_unsent += len;
	event_loop_modify(gdb->vm->loop, &gdb->client, EPOLLOUT);
}

static void send_bytes(void *opaque, const void *buf, size_t len)
{
	struct vm_gdb *gdb = opaque;
	const uint8_t *bytes = buf;
	ssize_t n = 0;

	if (gdb->client.fd < 0)
		return;
	if (!gdb->num_unsent) {
		n = send(gdb->client.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		/* A client that is gone is met when it is read from. */
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return;
		n = MAX(n, 0);
	}
	if ((size_t)n < len)
		send_later(gdb, bytes + n, len - (size_t)n);
}

const struct gdb_ops vm_gdb_ops = {
	.stop = stop,
	.resume = resume,
	.kill = kill_vm,
	.get_registers = get_registers,
	.set_registers = set_registers,
	.read = read_memory,
	.write = write_memory,
	.insert = insert,
	.remove = remove_one,
	.remove_all = remove_all,
	.describe = describe,
	.text_base = text_base,
	.monitor = vm_gdb_monitor,
	.send = send_bytes,
};
