/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks and networks as commands see them: vm_hotplug.c (how they go), vm_disks.c and vm_nets.c
 * (the commands of each).
 */
#ifndef BANTAM_VM_VM_HOTPLUG_H
#define BANTAM_VM_VM_HOTPLUG_H

#include "vm/machine/machine.h"
#include "vm_private.h"

/* What an event of CONTROL_DEVICE says. */
#define VM_ADDED   "added"
#define VM_REMOVED "removed"
#define VM_SWAPPED "swapped"
#define VM_RESIZED "resized"

/* The first argument of all commands that name a device. */
enum { VM_DEVICE_ID };
/* And those of the removal of either kind; the timeout is in ms, and 0 is none. */
enum { VM_REMOVE_TIMEOUT = VM_DEVICE_ID + 1, VM_REMOVE_FORCE, VM_REMOVE_FIELDS };

/* True, and the job has failed, while the VM stands still. */
bool vm_hotplug_refuses(struct vm *vm, struct control_job *job);
/* By the first argument. False: the job has failed. */
bool vm_hotplug_find(
	struct vm *vm, struct control_job *job, enum machine_device_kind kind, unsigned int *index);
const char *vm_device_id(const struct vm *vm, enum machine_device_kind kind, unsigned int index);
/* Its guest was asked for it, and has not let go. */
bool vm_hotplug_leaving(struct vm *vm, enum machine_device_kind kind, unsigned int index);
/* Tells those who watch. */
void vm_hotplug_tell(
	struct vm *vm, enum machine_device_kind kind, unsigned int index, const char *what);

void vm_hotplug_remove_disk(struct control_job *job, void *vm);
void vm_hotplug_remove_net(struct control_job *job, void *vm);
void vm_hotplug_remove_event(struct control_job *job, void *vm, const struct control_event *event);
void vm_hotplug_remove_cancel(struct control_job *job, void *vm);

#endif
