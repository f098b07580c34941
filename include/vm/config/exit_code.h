/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How `bantam` ends. Part of the interface: scripts tell a guest's end by it, so a number is never
 * given another meaning. Help prints the same list; tests hold the manual page to it.
 */
#ifndef BANTAM_VM_CONFIG_EXIT_CODE_H
#define BANTAM_VM_CONFIG_EXIT_CODE_H

enum exit_code {
	EXIT_POWEROFF,	   /* the guest powered off, or its flat program halted; a verb succeeded */
	EXIT_HOST,	   /* KVM, memory or a file of the host failed */
	EXIT_USAGE,	   /* bad usage, or an image that cannot be booted */
	EXIT_REBOOT,	   /* the guest rebooted under --on-reboot exit */
	EXIT_PANIC,	   /* pvpanic, triple fault, or a reboot that a kernel panic asked for */
	EXIT_KVM_INTERNAL, /* KVM could not continue with the guest */
	EXIT_QUIT,	   /* Ctrl-A x on the console */
	EXIT_NO_VM,	   /* no VM of that name runs, or it may not be reached */
	EXIT_FORCED,	   /* done, but not as asked: by force, or too late */
	EXIT_DENIED,	   /* the sandbox denied a system call */
	NUM_EXIT_CODES,

	EXIT_SIGNAL_BASE = 128, /* + N: ended by signal N, as shells see it */
	/* + N: the same for process_end; a guest's own status may be any that fits into 8 bits. */
	EXIT_BY_SIGNAL = 256,
};

/* One line for each code below NUM_EXIT_CODES; static. */
const char *exit_code_text(enum exit_code code);

#endif
