/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a machine whose disk hangs: the host has requests that it does not finish, a server
 * that is gone, say. Nothing of what they use can be freed, and nothing makes them end. A reboot
 * waits for them; a VM that is over, or is told to go, waits for a while, and then leaves them
 * behind: it tells its end, gives its name and the terminal back, and ends as a process. What the
 * kernel still has to do for it, it does after that.
 *
 * A guest may also be in the middle of the reset of such a disk: then a vCPU waits, and does not
 * come out.
 */
#include "vm_private.h"

#include <errno.h>
#include <time.h>

#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/core/signals.h"
#include "vm/machine/machine.h"

enum { LOOK_MS = 1 };

/* The loop does not run meanwhile: signals are only pending. */
static bool told_to_go(const struct vm *vm)
{
	return vm->order != VM_END_NONE || signals_ending_pending();
}

enum vm_end vm_told_end(struct vm *vm)
{
	const int signal = signals_ending_pending();

	if (vm->order != VM_END_NONE || !signal)
		return VM_END_QUIT;
	atomic_store(&vm->signal, signal);
	return VM_END_SIGNAL;
}

int vm_stop_vcpus(struct vm *vm, struct error *err)
{
	while (!machine_stop_within(vm->machine, SERVER_END_MS)) {
		if (!told_to_go(vm))
			continue;
		vm->left_behind = vm->left_vcpus = true;
		return error_set(err, -EIO,
			"the guest waits for a disk that does not finish what it is doing; both "
			"are left behind");
	}
	return 0;
}

bool vm_wait_disks(struct vm *vm, bool last)
{
	const struct timespec moment = {.tv_nsec = LOOK_MS * NSEC_PER_MSEC};
	const char *disk;

	for (uint64_t ms = 0; (disk = machine_busy_disk(vm->machine)) != NULL; ms += LOOK_MS) {
		if (ms < SERVER_END_MS || (!last && !told_to_go(vm))) {
			nanosleep(&moment, NULL);
			continue;
		}
		vm->left_behind = true;
		log_msg(vm->log, LOG_ERROR,
			"%s: does not finish what it is doing: it is left behind, and its file "
			"stays in use until the host is done with it",
			disk);
		return false;
	}
	return true;
}
