/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What commands about disks and networks have in common: whether it is possible now, how a device
 * goes, and how its guest is asked.
 *
 * A device that its guest was asked for is leaving: it goes when the guest lets go of it, or when
 * the guest's boot is over; the next one does not see it. One that is forced out goes at the latest
 * when a moment has passed in which the guest could tidy up.
 */
#include "vm_hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/machine/disks.h"
#include "vm/machine/machine.h"
#include "vm/machine/nets.h"

enum { DEFAULT_PATIENCE_MS = 10000, FORCED_PATIENCE_MS = 2000 };

bool vm_hotplug_refuses(struct vm *vm, struct control_job *job)
{
	if (!vm_stands_still(vm))
		return false;
	control_fail(job, -EBUSY,
		vm->paused ? "the VM is paused; resume it first"
			   : "a debugger has stopped the VM; have it go on first");
	return true;
}

const char *vm_device_id(const struct vm *vm, enum machine_device_kind kind, unsigned int index)
{
	return kind == MACHINE_DISK ? disks_id(vm->disks, index) : nets_id(vm->nets, index);
}

bool vm_hotplug_find(
	struct vm *vm, struct control_job *job, enum machine_device_kind kind, unsigned int *index)
{
	const char *id = job->args[VM_DEVICE_ID].text;
	int rc = kind == MACHINE_DISK ? disks_find(vm->disks, id) : nets_find(vm->nets, id);

	if (rc < 0) {
		control_fail(job, -EINVAL, "there is no %s '%.64s'",
			kind == MACHINE_DISK ? "disk" : "network", id);
		return false;
	}
	*index = (unsigned int)rc;
	return true;
}

void vm_hotplug_tell(
	struct vm *vm, enum machine_device_kind kind, unsigned int index, const char *what)
{
	char id[CONFIG_MAX_DEVICE_ID + 1];

	/* Those who hear of it may remove it. */
	snprintf(id, sizeof(id), "%s", vm_device_id(vm, kind, index));
	vm_tell(vm, (struct control_event){.kind = CONTROL_DEVICE, .device = id, .cause = what});
}

/* ---- devices that go ---- */

static uint32_t *leaving(struct vm *vm, enum machine_device_kind kind)
{
	return kind == MACHINE_DISK ? &vm->leaving_disks : &vm->leaving_nets;
}

bool vm_hotplug_leaving(struct vm *vm, enum machine_device_kind kind, unsigned int index)
{
	return *leaving(vm, kind) >> index & 1;
}

static void forget(struct vm *vm, enum machine_device_kind kind, unsigned int index)
{
	char id[CONFIG_MAX_DEVICE_ID + 1];

	snprintf(id, sizeof(id), "%s", vm_device_id(vm, kind, index));
	*leaving(vm, kind) &= ~(UINT32_C(1) << index);
	if (kind == MACHINE_DISK)
		disks_remove(vm->disks, index);
	else
		nets_remove(vm->nets, index);
	vm_tell(vm,
		(struct control_event){.kind = CONTROL_DEVICE, .device = id, .cause = VM_REMOVED});
}

/*
 * A vCPU may be inside the device; so none runs while it is taken apart. It is shorter than a
 * pause: no clock stops. When the boot is over anyway, they are not started again.
 */
static void go_on(struct vm *vm)
{
	struct error err;

	if (atomic_load(&vm->end) != VM_END_NONE)
		return;
	atomic_store(&vm->ending, false);
	if (vm_start_vcpus(vm, &err) == 0)
		return;
	log_msg(vm->log, LOG_ERROR, "%s", err.text);
	vm_order_end(vm, VM_END_QUIT);
}

static void take_out(struct vm *vm, enum machine_device_kind kind, unsigned int index)
{
	struct error err;

	atomic_store(&vm->ending, true);
	machine_stop(vm->machine);
	nets_hold(vm->nets);
	machine_take_out(vm->machine, kind, index);
	forget(vm, kind, index);
	if (vm_stands_still(vm))
		return;
	if (nets_resume(vm->nets, &err) < 0)
		log_msg(vm->log, LOG_ERROR, "networks: %s", err.text);
	go_on(vm);
}

void vm_hotplug_ejected(void *opaque, enum machine_device_kind kind, unsigned int index)
{
	take_out(opaque, kind, index);
}

void vm_hotplug_settle(struct vm *vm)
{
	nets_hold(vm->nets);
	for (unsigned int i = 0; i < 32; i++) {
		if (vm->leaving_disks >> i & 1)
			forget(vm, MACHINE_DISK, i);
		if (vm->leaving_nets >> i & 1)
			forget(vm, MACHINE_NET, i);
	}
}

/* ---- removal, as a command ---- */

struct removal {
	struct vm *vm;
	enum machine_device_kind kind;
	unsigned int index;
	bool force;
};

static void end_removal(struct control_job *job)
{
	free(job->state);
	job->state = NULL;
}

static void out_of_patience(void *opaque)
{
	struct control_job *job = opaque;
	struct removal *removal = job->state;

	/* The job ends with what take_out tells. */
	if (removal->force) {
		take_out(removal->vm, removal->kind, removal->index);
		return;
	}
	end_removal(job);
	control_fail(job, -ETIMEDOUT,
		"the guest has not let go of '%.64s' yet; it may still do so, and --force does not "
		"wait for it",
		job->args[VM_DEVICE_ID].text);
}

/*
 * What a driver waits for would never come. So a disk that is forced out answers with errors, at
 * once, until its guest has let go of it, and its file is free from now on.
 */
static int cut_off(struct vm *vm, enum machine_device_kind kind, unsigned int index)
{
	struct blk *gone;
	int rc;

	if (kind != MACHINE_DISK)
		return 0;
	rc = blk_gone_create(disks_blk(vm->disks, index), &gone);
	if (rc < 0)
		return rc;
	rc = machine_swap_disk(vm->machine, index, gone, disks_config(vm->disks, index)->path);
	if (rc < 0)
		blk_close(gone);
	else
		disks_replace(vm->disks, index, gone, NULL);
	return rc;
}

static int begin_removal(struct control_job *job, struct removal *removal, struct error *err)
{
	struct vm *vm = removal->vm;
	int rc = machine_can_ask(vm->machine, removal->kind, removal->index, err);

	if (rc < 0)
		return rc;
	rc = removal->force ? cut_off(vm, removal->kind, removal->index) : 0;
	if (rc < 0)
		return error_set_errno(err, rc, "'%.64s'", job->args[VM_DEVICE_ID].text);
	*leaving(vm, removal->kind) |= UINT32_C(1) << removal->index;
	machine_ask(vm->machine, removal->kind, removal->index);
	return 0;
}

static void start_removal(struct control_job *job, struct vm *vm, enum machine_device_kind kind)
{
	const struct control_value *timeout = &job->args[VM_REMOVE_TIMEOUT];
	struct removal *removal, made = {.vm = vm, .kind = kind};
	uint64_t ms = timeout->given ? timeout->number : DEFAULT_PATIENCE_MS;
	struct error err;
	int rc;

	made.force = job->args[VM_REMOVE_FORCE].number;
	if (vm_hotplug_refuses(vm, job) || !vm_hotplug_find(vm, job, kind, &made.index))
		return;
	removal = malloc(sizeof(*removal));
	if (!removal) {
		control_fail(job, -ENOMEM, "out of memory");
		return;
	}
	*removal = made;
	job->state = removal;
	rc = begin_removal(job, removal, &err);
	if (rc < 0) {
		end_removal(job);
		control_fail(job, rc, "%s", err.text);
		return;
	}
	if (made.force)
		ms = FORCED_PATIENCE_MS;
	if (ms)
		control_after(job, MIN(ms, UINT64_MAX / NSEC_PER_MSEC / 2) * NSEC_PER_MSEC,
			out_of_patience);
}

void vm_hotplug_remove_disk(struct control_job *job, void *vm)
{
	start_removal(job, vm, MACHINE_DISK);
}

void vm_hotplug_remove_net(struct control_job *job, void *vm)
{
	start_removal(job, vm, MACHINE_NET);
}

void vm_hotplug_remove_event(struct control_job *job, void *vm, const struct control_event *event)
{
	const struct removal *removal = job->state;

	if (event->kind != CONTROL_DEVICE || !event->cause || strcmp(event->cause, VM_REMOVED) ||
		strcmp(event->device, job->args[VM_DEVICE_ID].text) ||
		vm_hotplug_leaving(vm, removal->kind, removal->index))
		return;
	end_removal(job);
	control_done(job);
}

/* Nobody waits any more; what was asked is asked, and what is forced out does not stay. */
void vm_hotplug_remove_cancel(struct control_job *job, void *vm)
{
	struct removal *removal = job->state;

	job->state = NULL;
	if (removal && removal->force && ((struct vm *)vm)->machine)
		take_out(vm, removal->kind, removal->index);
	free(removal);
}
