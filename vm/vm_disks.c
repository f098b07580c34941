/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about disks. Files come as descriptors, two of each (see struct blk_config). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"
#include "vm_hotplug.h"

static void start_list(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	control_open_list(job, "disks");
	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++) {
		unsigned int slot;

		if (!disks_has(vm->disks, i))
			continue;
		slot = machine_slot(vm->machine, MACHINE_DISK, i);
		control_open(job, NULL);
		control_put_text(job, "id", disks_id(vm->disks, i));
		control_put_text(job, "file", disks_config(vm->disks, i)->path);
		control_put_number(job, "size", blk_capacity(disks_blk(vm->disks, i)));
		control_put_flag(job, "read_only", disks_config(vm->disks, i)->read_only);
		control_put_flag(job, "leaving", vm_hotplug_leaving(vm, MACHINE_DISK, i));
		if (slot)
			control_put_number(job, "slot", slot);
		control_close(job);
	}
	control_close(job);
	control_done(job);
}

/* ---- add ---- */

enum { ADD_SPEC, ADD_FILE, ADD_FILE_AGAIN };

static const struct control_field add_fields[] = {
	[ADD_SPEC] = {"disk", CONTROL_TEXT, true}, /* as --disk takes it */
	[ADD_FILE] = {"file", CONTROL_FD, true},
	[ADD_FILE_AGAIN] = {"file_again", CONTROL_FD, true},
};

/* -EBUSY says that the VM cannot do it now; this is the file's. */
static int in_use(int rc)
{
	return rc == -EBUSY ? -ETXTBSY : rc;
}

/* The index of the new disk, or -errno with a line. */
static int add(struct vm *vm, const struct control_value *args, struct error *err)
{
	const int fds[2] = {args[ADD_FILE].fd, args[ADD_FILE_AGAIN].fd};
	struct disk_config disk;
	int rc = config_parse_disk(args[ADD_SPEC].text, &disk, err), index;

	if (!rc && disk.id && nets_find(vm->nets, disk.id) >= 0)
		rc = error_set(err, -EEXIST, "network %s: there is one of that id", disk.id);
	index = rc < 0 ? rc : disks_add(vm->disks, &disk, fds, err);
	if (index < 0) {
		free(disk.copy);
		return in_use(index);
	}
	rc = machine_add(vm->machine, MACHINE_DISK, (unsigned int)index, err);
	if (rc < 0)
		disks_remove(vm->disks, (unsigned int)index);
	return rc < 0 ? rc : index;
}

static void start_add(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	int index;

	if (vm_hotplug_refuses(vm, job))
		return;
	index = add(vm, job->args, &err);
	if (index < 0) {
		control_fail(job, index, "%s", err.text);
		return;
	}
	vm_hotplug_tell(vm, MACHINE_DISK, (unsigned int)index, VM_ADDED);
	control_put_text(job, "id", disks_id(vm->disks, (unsigned int)index));
	control_done(job);
}

/* ---- swap ---- */

enum { SWAP_NAME = VM_DEVICE_ID + 1, SWAP_FILE, SWAP_FILE_AGAIN };

static const struct control_field swap_fields[] = {
	[VM_DEVICE_ID] = {"id", CONTROL_TEXT, true},
	[SWAP_NAME] = {"name", CONTROL_TEXT, true}, /* the file's */
	[SWAP_FILE] = {"file", CONTROL_FD, true},
	[SWAP_FILE_AGAIN] = {"file_again", CONTROL_FD, true},
};

static int swap(
	struct vm *vm, unsigned int index, const struct control_value *args, struct error *err)
{
	const int fds[2] = {args[SWAP_FILE].fd, args[SWAP_FILE_AGAIN].fd};
	char *name = strdup(args[SWAP_NAME].text);
	struct blk *blk;
	int rc;

	if (!name)
		return error_set_errno(err, -ENOMEM, "%s", args[SWAP_NAME].text);
	rc = disks_open_other(vm->disks, index, name, fds, &blk, err);
	if (rc < 0) {
		free(name);
		return in_use(rc);
	}
	rc = machine_swap_disk(vm->machine, index, blk, name);
	if (rc == 0) {
		disks_replace(vm->disks, index, blk, name);
		return 0;
	}
	if (rc == -EINVAL)
		error_set(err, rc, "%s: its sectors are larger than those that the guest knows",
			name);
	else if (rc == -ETIMEDOUT)
		error_set(err, rc, "%s: the disk before it does not finish what it is doing", name);
	else
		error_set_errno(err, rc, "%s", name);
	blk_close(blk);
	free(name);
	return rc;
}

static void start_swap(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	unsigned int index;
	int rc;

	if (vm_hotplug_refuses(vm, job) || !vm_hotplug_find(vm, job, MACHINE_DISK, &index))
		return;
	if (vm_hotplug_leaving(vm, MACHINE_DISK, index)) {
		control_fail(job, -EBUSY, "'%.64s' is being removed", job->args[0].text);
		return;
	}
	rc = swap(vm, index, job->args, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	vm_hotplug_tell(vm, MACHINE_DISK, index, VM_SWAPPED);
	control_put_number(job, "size", blk_capacity(disks_blk(vm->disks, index)));
	control_done(job);
}

/* ---- resize ---- */

enum { RESIZE_SIZE = VM_DEVICE_ID + 1 };

static const struct control_field resize_fields[] = {
	[VM_DEVICE_ID] = {"id", CONTROL_TEXT, true},
	[RESIZE_SIZE] = {"size", CONTROL_NUMBER, false}, /* bytes; without it, what it is now */
};

static void start_resize(struct control_job *job, void *opaque)
{
	const struct control_value *size = &job->args[RESIZE_SIZE];
	struct vm *vm = opaque;
	struct error err = {""};
	unsigned int index;
	uint64_t was;
	int rc;

	if (!vm_hotplug_find(vm, job, MACHINE_DISK, &index))
		return;
	was = blk_capacity(disks_blk(vm->disks, index));
	if (size->given && size->number == 0)
		rc = error_set(&err, -EINVAL, "a disk cannot be empty");
	else
		rc = disks_resize(vm->disks, index, size->number, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	if (blk_capacity(disks_blk(vm->disks, index)) != was)
		vm_hotplug_tell(vm, MACHINE_DISK, index, VM_RESIZED);
	control_put_number(job, "size", blk_capacity(disks_blk(vm->disks, index)));
	control_done(job);
}

static const struct control_field remove_fields[VM_REMOVE_FIELDS] = {
	[VM_DEVICE_ID] = {"id", CONTROL_TEXT, true},
	[VM_REMOVE_TIMEOUT] = {"timeout", CONTROL_NUMBER, false},
	[VM_REMOVE_FORCE] = {"force", CONTROL_FLAG, false},
};

#define FIELDS(list) .fields = (list), .num_fields = ARRAY_SIZE(list)

static const struct control_command commands[] = {
	{.name = "disks", .start = start_list},
	{.name = "disk-add", FIELDS(add_fields), .start = start_add},
	{.name = "disk-remove",
		FIELDS(remove_fields),
		.start = vm_hotplug_remove_disk,
		.event = vm_hotplug_remove_event,
		.cancel = vm_hotplug_remove_cancel},
	{.name = "disk-swap", FIELDS(swap_fields), .start = start_swap},
	{.name = "disk-resize", FIELDS(resize_fields), .start = start_resize},
};

const struct control_family vm_disk_family = {
	.commands = commands, .num_commands = ARRAY_SIZE(commands)};
