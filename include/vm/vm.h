/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM from its configuration to its end: opens what the host provides, builds the machine, runs
 * it, and rebuilds it when the guest reboots. No state outside struct vm, except what a process has
 * only one of: the kick signal's handler and the terminal.
 */
#ifndef BANTAM_VM_VM_H
#define BANTAM_VM_VM_H

#include "vm/config/config.h"
#include "vm/core/base.h"

struct error;
struct log;
struct vm;

enum vm_end {
	VM_END_NONE,
	VM_END_POWEROFF,
	VM_END_HALT,	   /* for good: a flat guest's first vCPU, or all of a kernel's */
	VM_END_EARLY_HALT, /* the latter, before there was a program */
	VM_END_REBOOT,
	VM_END_PANIC,
	VM_END_TRIPLE_FAULT,
	VM_END_EXIT_PORT, /* vm_end_status tells with which */
	VM_END_NO_MEMORY, /* of the host's, for the guest's */
	VM_END_INTERNAL_ERROR,
	VM_END_QUIT,
	VM_END_SIGNAL, /* vm_end_signal tells which */
};

/*
 * Opens files, terminals and KVM. config and log must outlive the VM. On failure *code (an enum
 * exit_code) tells whether the host or what the person gave is at fault.
 */
int vm_create(const struct config *config, struct log *log, struct vm **ret, int *code,
	struct error *err);
void vm_destroy(struct vm *vm);

/* Runs until the end that config does not answer by a restart. Returns 0 and *end, or -errno. */
int vm_run(struct vm *vm, enum vm_end *end, int *code, struct error *err);

/* On the thread that runs the VM, each once. name is how it can be reached; NULL: it cannot. */
struct vm_callbacks {
	/*
	 * All that the VM needs is open, and soon nothing can be opened any more. -errno with a
	 * line: it does not run.
	 */
	int (*opened)(void *opaque, const char *name, struct error *err);
	/* The guest runs for the first time. */
	void (*running)(void *opaque, struct vm *vm, const char *name);
};

/* Before vm_run. The callbacks outlive it. */
void vm_set_callbacks(struct vm *vm, const struct vm_callbacks *callbacks, void *opaque);

/*
 * Tells those who watch the VM from outside how it ended, and the status that the process is about
 * to end with. Before vm_destroy; without it they hear of a failure.
 */
void vm_farewell(struct vm *vm, enum vm_end end, int status);

/* Asks for the end; the first to ask wins. Any thread; never blocks. */
void vm_request_end(struct vm *vm, enum vm_end end);

unsigned int vm_end_status(const struct vm *vm);
int vm_end_signal(const struct vm *vm);

#endif
