/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM that stands still: vCPUs out, then devices and clocks (vm/machine/machine_pause.c), then the
 * timers of the machine. It is looked at every millisecond whether disks have finished. Terminals,
 * signals and commands go on, as they are not the guest's.
 *
 * A person pauses it (vm->paused), and a debugger holds it (vm->held), each without knowing of the
 * other: it runs when neither does.
 */
#include "vm_private.h"

#include <errno.h>

#include "vm/core/error.h"
#include "vm/machine/machine.h"
#include "vm/machine/machine_debug.h"

#define DRAIN_POLL_NS NSEC_PER_MSEC

/* A disk that hangs must not hold up the loop. */
static void look_at_disks(void *opaque)
{
	struct vm *vm = opaque;
	const struct clock *clock = timer_queue_clock(vm->timers);

	if (!vm->draining)
		return;
	if (machine_busy_disk(vm->machine)) {
		clock_arm(clock, &vm->drain, clock_monotonic_ns(clock) + DRAIN_POLL_NS);
		return;
	}
	vm->draining = false;
	if (vm->paused)
		vm_happened(vm, CONTROL_PAUSED, vm->pause_cause);
}

static void start_draining(struct vm *vm)
{
	if (!vm->draining)
		vm->drain = (struct timer){.fn = look_at_disks, .opaque = vm};
	vm->draining = true;
	look_at_disks(vm);
}

static void stop_draining(struct vm *vm)
{
	if (vm->draining)
		clock_disarm(timer_queue_clock(vm->timers), &vm->drain);
	vm->draining = false;
}

static void stand_still(struct vm *vm)
{
	atomic_store(&vm->ending, true);
	if (vm->held)
		machine_stop_settled(vm->machine);
	else
		machine_stop(vm->machine);
	machine_pause(vm->machine);
	timer_queue_pause(vm->guest_timers);
	vm->still = true;
}

int vm_go_on(struct vm *vm, bool catch_up, struct error *err)
{
	int rc = 0;

	if (vm->still) {
		timer_queue_resume(vm->guest_timers, catch_up);
		rc = machine_resume(vm->machine, catch_up, err);
	}
	atomic_store(&vm->ending, rc < 0);
	if (!rc)
		rc = vm_start_vcpus(vm, err);
	if (rc < 0) {
		/* Some of it may go on already. */
		stand_still(vm);
		return rc;
	}
	vm->still = false;
	stop_draining(vm);
	return 0;
}

bool vm_stands_still(const struct vm *vm)
{
	return vm->paused || vm->held;
}

/* ---- by a person ---- */

void vm_pause(struct vm *vm, const char *cause)
{
	/* Whoever asks again wants it to stay so after a dump. */
	vm->paused_by_dump = false;
	if (vm->paused)
		return;
	stand_still(vm);
	vm->paused = true;
	vm->pause_cause = cause;
	start_draining(vm);
}

int vm_resume(struct vm *vm, bool catch_up, const char *cause, struct error *err)
{
	int rc;

	if (!vm->paused)
		return 0;
	if (atomic_load(&vm->end) != VM_END_NONE)
		return error_set(err, -EBUSY, "the guest is about to end or to reboot");
	if (vm->dump && vm->paused_by_dump)
		return error_set(err, -EAGAIN, "it stands still for a dump that is being written");
	rc = vm->held ? 0 : vm_go_on(vm, catch_up, err);
	if (rc < 0)
		return rc;
	vm->paused = vm->paused_by_end = vm->paused_by_dump = false;
	vm_happened(vm, CONTROL_RESUMED, cause);
	return 0;
}

/* ---- by a debugger ---- */

void vm_hold(struct vm *vm)
{
	if (vm->held)
		return;
	vm->held = true;
	vm_hold_new(vm);
}

void vm_hold_new(struct vm *vm)
{
	stand_still(vm);
	if (!vm->paused)
		start_draining(vm);
}

void vm_release(struct vm *vm)
{
	struct error err = {""};

	if (!vm->held)
		return;
	vm->held = false;
	/* What has ended is looked at by who waits for that. */
	if (vm->paused || atomic_load(&vm->end) != VM_END_NONE)
		return;
	if (vm_go_on(vm, false, &err) == 0)
		return;
	log_msg(vm->log, LOG_ERROR, "the VM is paused, as it cannot go on: %s", err.text);
	vm_pause(vm, "debugger");
}

void vm_forget_pause(struct vm *vm)
{
	stop_draining(vm);
	timer_queue_resume(vm->guest_timers, true);
	vm->still = false;
	vm->paused = vm->paused_by_end = vm->paused_by_dump = false;
}
