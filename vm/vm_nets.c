/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about networks. A tap comes as descriptors, one for each pair of queues. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net/apart.h"
#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"
#include "vm/sandbox/sandbox.h"
#include "vm_hotplug.h"

static void put_net(struct control_job *job, struct vm *vm, unsigned int i)
{
	const unsigned int slot = machine_slot(vm->machine, MACHINE_NET, i);
	const uint8_t *mac = nets_mac(vm->nets, i);
	struct net *net = nets_net(vm->nets, i);
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	control_open(job, NULL);
	control_put_text(job, "id", nets_id(vm->nets, i));
	control_put_text(job, "network", nets_name(vm->nets, i));
	control_put_text(job, "mac", text);
	control_put_text(
		job, "link", !nets_down(vm->nets, i) && net->ops->link(net) ? "up" : "down");
	control_put_flag(job, "leaving", vm_hotplug_leaving(vm, MACHINE_NET, i));
	if (slot)
		control_put_number(job, "slot", slot);
	control_close(job);
}

static void start_list(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	control_open_list(job, "nets");
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++)
		if (nets_has(vm->nets, i))
			put_net(job, vm, i);
	control_close(job);
	control_done(job);
}

/* ---- add ---- */

enum {
	ADD_SPEC,
	ADD_HOST,
	ADD_TAP,
	ADD_MAX_TAPS = 8,
	ADD_VHOST = ADD_TAP + ADD_MAX_TAPS,
	ADD_MAX_VHOST = SERVER_MAX_FDS / 2,
	ADD_PROCESS = ADD_VHOST + ADD_MAX_VHOST,
	ADD_GENERATION = ADD_PROCESS + HELPER_FDS,
	ADD_FIELDS,
};

static const struct control_field add_fields[ADD_FIELDS] = {
	[ADD_SPEC] = {"net", CONTROL_TEXT, true},   /* as --net takes it */
	[ADD_HOST] = {"host", CONTROL_TEXT, false}, /* machine-id(5) */
	[ADD_TAP] = {"tap0", CONTROL_FD, false},
	{"tap1", CONTROL_FD, false},
	{"tap2", CONTROL_FD, false},
	{"tap3", CONTROL_FD, false},
	{"tap4", CONTROL_FD, false},
	{"tap5", CONTROL_FD, false},
	{"tap6", CONTROL_FD, false},
	{"tap7", CONTROL_FD, false},
	[ADD_VHOST] = {"vhost0", CONTROL_FD, false},
	{"vhost1", CONTROL_FD, false},
	{"vhost2", CONTROL_FD, false},
	{"vhost3", CONTROL_FD, false},
	[ADD_PROCESS] = {"process0", CONTROL_FD, false},
	{"process1", CONTROL_FD, false},
	{"process2", CONTROL_FD, false},
	{"process3", CONTROL_FD, false},
	{"process4", CONTROL_FD, false},
	[ADD_GENERATION] = {"generation", CONTROL_NUMBER, false},
};

static_assert(ARRAY_SIZE(add_fields) <= CONTROL_MAX_FIELDS, "no more than there is room for");

/* Numbers of descriptors are the client's; what has come with them counts. */
static int parse(const struct control_value *args, const struct disks *disks,
	struct net_config *net, struct error *err)
{
	int rc = config_parse_net(args[ADD_SPEC].text, net, err);

	if (rc < 0)
		return rc;
	if (net->kind == NET_NONE)
		return error_set(err, -EINVAL, "--net: none is no network to add");
	if (net->id && disks_find(disks, net->id) >= 0)
		return error_set(err, -EEXIST, "disk %s: there is one of that id", net->id);
	if (net->script)
		return error_set(
			err, -EINVAL, "--net: a script cannot be run for one that is added");
	net->num_fds = 0;
	while (net->kind == NET_TAP && net->num_fds < CONFIG_MAX_NET_QUEUES &&
		net->num_fds < ADD_MAX_TAPS && args[ADD_TAP + net->num_fds].fd >= 0) {
		net->fds[net->num_fds] = args[ADD_TAP + net->num_fds].fd;
		net->num_fds++;
	}
	if (net->kind == NET_TAP && !net->num_fds)
		return error_set(err, -EINVAL, "--net: a tap to add comes as descriptors");
	net->queues = 0;
	return 0;
}

/* The process of a user network, which the client has started and waited for. */
static int adopt(struct control_value *args, const struct net_config *net, struct helper **ret,
	struct error *err)
{
	int fds[HELPER_FDS], rc;

	*ret = NULL;
	if (net->kind != NET_USER || net->in_process)
		return 0;
	for (unsigned int i = 0; i < HELPER_FDS; i++)
		fds[i] = args[ADD_PROCESS + i].fd;
	if (fds[HELPER_FDS - 1] < 0 || !args[ADD_GENERATION].number)
		return error_set(err, -EINVAL,
			"--net: `bantam net add` brings the process of a user network; "
			"apart=off needs none");
	rc = helper_adopt(fds, net_apart_memory(), ret, err);
	for (unsigned int i = 0; !rc && i < HELPER_FDS; i++)
		args[ADD_PROCESS + i].fd = -1;
	return rc;
}

/* The index of the new network, or -errno with a line. Its thread is held. */
static int add(struct vm *vm, struct control_value *args, struct error *err)
{
	struct net_config net;
	struct nets_given given = {.host = args[ADD_HOST].text};
	int rc = parse(args, vm->disks, &net, err), index;

	if (!rc)
		rc = machine_can_add(vm->machine, err);
	if (!rc)
		rc = adopt(args, &net, &given.helper, err);
	given.generation = (unsigned int)args[ADD_GENERATION].number;
	if (!rc && net.kind == NET_USER && !given.helper && !sandbox_has_network(vm->sandbox))
		rc = error_set(err, -EOPNOTSUPP,
			"the sandbox has cut this VM off from the host's network; start it with "
			"--net user,apart=off or with --sandbox off");
	while (!rc && given.num_vhost < MIN(net.num_fds, (unsigned int)ADD_MAX_VHOST) &&
		args[ADD_VHOST + given.num_vhost].fd >= 0) {
		given.vhost[given.num_vhost] = args[ADD_VHOST + given.num_vhost].fd;
		given.num_vhost++;
	}
	index = rc < 0 ? rc : nets_add(vm->nets, &net, &given, err);
	if (index < 0) {
		free(net.copy);
		return index;
	}
	for (unsigned int i = 0; i < net.num_fds; i++)
		args[ADD_TAP + i].fd = -1; /* the network's now */
	for (unsigned int i = 0; i < given.num_vhost; i++)
		args[ADD_VHOST + i].fd = -1;
	rc = machine_add(vm->machine, MACHINE_NET, (unsigned int)index, err);
	if (rc < 0)
		nets_remove(vm->nets, (unsigned int)index);
	return rc < 0 ? rc : index;
}

static void start_add(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""}, held = {""};
	int index, rc;

	if (vm_hotplug_refuses(vm, job))
		return;
	nets_hold(vm->nets);
	index = add(vm, job->args, &err);
	rc = nets_resume(vm->nets, &held);
	if (index >= 0)
		vm_hotplug_tell(vm, MACHINE_NET, (unsigned int)index, VM_ADDED);
	if (index < 0 || rc < 0) {
		control_fail(job, MIN(index, rc), "%s", index < 0 ? err.text : held.text);
		return;
	}
	control_put_text(job, "id", nets_id(vm->nets, (unsigned int)index));
	control_done(job);
}

/* ---- link ---- */

enum { LINK_UP = VM_DEVICE_ID + 1 };

static const struct control_field link_fields[] = {
	[VM_DEVICE_ID] = {"id", CONTROL_TEXT, true},
	[LINK_UP] = {"up", CONTROL_FLAG, true},
};

static void start_link(struct control_job *job, void *opaque)
{
	const bool up = job->args[LINK_UP].number;
	struct vm *vm = opaque;
	struct error err = {""};
	unsigned int index;

	if (vm_hotplug_refuses(vm, job) || !vm_hotplug_find(vm, job, MACHINE_NET, &index))
		return;
	nets_hold(vm->nets);
	nets_set_down(vm->nets, index, !up);
	machine_set_link(vm->machine, index, up);
	if (nets_resume(vm->nets, &err) < 0) {
		control_fail(job, -EIO, "%s", err.text);
		return;
	}
	vm_hotplug_tell(vm, MACHINE_NET, index, up ? "link up" : "link down");
	control_done(job);
}

static const struct control_field remove_fields[VM_REMOVE_FIELDS] = {
	[VM_DEVICE_ID] = {"id", CONTROL_TEXT, true},
	[VM_REMOVE_TIMEOUT] = {"timeout", CONTROL_NUMBER, false},
	[VM_REMOVE_FORCE] = {"force", CONTROL_FLAG, false},
};

#define FIELDS(list) .fields = (list), .num_fields = ARRAY_SIZE(list)

static const struct control_command commands[] = {
	{.name = "nets", .start = start_list},
	{.name = "net-add", FIELDS(add_fields), .start = start_add},
	{.name = "net-remove",
		FIELDS(remove_fields),
		.start = vm_hotplug_remove_net,
		.event = vm_hotplug_remove_event,
		.cancel = vm_hotplug_remove_cancel},
	{.name = "net-link", FIELDS(link_fields), .start = start_link},
};

const struct control_family vm_net_family = {
	.commands = commands, .num_commands = ARRAY_SIZE(commands)};
