/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lists call @NAME: numbers that stand for a value which is known only when a filter is
 * loaded. No descriptor and no process has such a one.
 */
#ifndef BANTAM_VM_SANDBOX_SLOTS_H
#define BANTAM_VM_SANDBOX_SLOTS_H

enum sandbox_slot {
	SLOT_PID = 0x7fba0001,	/* this process */
	SLOT_RUN = 0x7fba0002,	/* the directory that has the control socket */
	SLOT_TASKS = 0x7fba0003 /* /proc/self/task */
};

#endif
