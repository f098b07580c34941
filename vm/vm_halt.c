/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that halt for good. In a machine with its interrupt controllers in the kernel a HLT is no
 * exit, so somebody has to look, from time to time, whether the first vCPU sleeps with interrupts
 * off. Only it is asked, which costs it an exit.
 *
 * A flat program is one vCPU's, and may end soon. A kernel halts rarely, when it has no way to
 * power off, and may have others: so it is looked at rarely, and what the first vCPU says is a
 * suspicion until all of them, out of the guest, are seen to sleep (vm.c). Whether the process is
 * idle tells nothing: a PIT that was left running ticks on.
 */
#include "vm/machine/machine.h"
#include "vm_private.h"

/* Soon at first, then rarely. */
#define FLAT_FIRST_NS NSEC_PER_MSEC
#define FLAT_LAST_NS  (32 * NSEC_PER_MSEC)

#define KERNEL_NS     (2 * NSEC_PER_SEC)

static void arm(struct vm *vm)
{
	const struct clock *clock = timer_queue_clock(vm->timers);

	clock_arm(clock, &vm->halt_timer, clock_monotonic_ns(clock) + vm->halt_period_ns);
}

static void on_timer(void *opaque)
{
	struct vm *vm = opaque;

	if (!vm->machine || atomic_load(&vm->ending))
		return;
	machine_check_halted(vm->machine);
	if (vm->config->flat)
		vm->halt_period_ns = MIN(vm->halt_period_ns * 2, FLAT_LAST_NS);
	arm(vm);
}

void vm_halt_init(struct vm *vm)
{
	vm->halt_timer = (struct timer){.fn = on_timer, .opaque = vm};
}

void vm_halt_watch(struct vm *vm)
{
	vm->halt_period_ns = vm->config->flat ? FLAT_FIRST_NS : KERNEL_NS;
	arm(vm);
}

void vm_halt_unwatch(struct vm *vm)
{
	clock_disarm_sync(timer_queue_clock(vm->timers), &vm->halt_timer);
}
