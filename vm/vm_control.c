/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a VM is reached: its name, taken before anything of the guest is opened if it was asked for,
 * so that a second VM of that name does no harm; its command engine; and the socket, opened when
 * the guest runs. So is a name that nobody asked for taken: one is always free.
 */
#include "vm_private.h"

#include <unistd.h>

#include "vm/control/journal.h"
#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

static const struct control_family *const families[] = {&vm_console_family, &vm_log_family,
	&vm_balloon_family, &vm_inject_family, &vm_dump_family, &vm_gdb_family, &vm_disk_family,
	&vm_net_family, NULL};

int vm_control_open(struct vm *vm, struct error *err)
{
	const struct control_config config = {.commands = vm_commands,
		.num_commands = vm_num_commands,
		.families = families,
		.vm = vm,
		.clock = timer_queue_clock(vm->timers)};
	int rc = vm->config->name ? registry_claim(&vm->registry, vm->config->name, err) : 0;

	if (rc < 0)
		return rc;
	vm_log_open(vm);
	rc = control_create(&config, &vm->control);
	if (rc < 0)
		return error_set_errno(err, rc, "commands");
	rc = vm_notices_open(vm, err);
	return rc < 0 ? rc : vm_journal_open(vm, err);
}

/* As much of it as the sandbox would not let through; nobody is answered yet. */
void vm_control_bind(struct vm *vm)
{
	struct error err;

	if (vm->registry.lock_fd < 0 && registry_claim(&vm->registry, NULL, &err) < 0) {
		log_msg(vm->log, LOG_DEBUG, "this VM cannot be reached: %s", err.text);
		return;
	}
	vm->socket = server_bind(&vm->registry.address, &err);
	if (vm->socket < 0)
		log_msg(vm->log, LOG_WARN, "this VM cannot be reached: %s", err.text);
}

void vm_control_serve(struct vm *vm)
{
	const struct server_config config = {.control = vm->control,
		.loop = vm->loop,
		.clock = timer_queue_clock(vm->timers),
		.log = vm->log,
		.name = vm->registry.name};
	struct error err;

	if (!vm->started_ns)
		vm->started_ns = clock_monotonic_ns(timer_queue_clock(vm->timers));
	if (vm->server || vm->socket < 0)
		return;
	/* What a detached VM of that name had to say would be taken for what this one has. */
	if (!vm->config->detach)
		registry_drop_log(&vm->registry);
	if (server_create(&config, vm->socket, &vm->server, &err) < 0) {
		log_msg(vm->log, LOG_WARN, "this VM cannot be reached: %s", err.text);
		return;
	}
	vm->socket = -1;
}

void vm_control_end(struct vm *vm, const char *cause, int status)
{
	const struct control_event ended = {
		.kind = CONTROL_ENDED, .cause = cause, .status = status};

	control_happened(vm->control, ended);
	control_destroy(vm->control);
	vm->control = NULL;
	journal_destroy(vm->journal);
	vm->journal = NULL;
}

/* The name first: who sees us hang up may take it. */
void vm_control_close(struct vm *vm)
{
	registry_release(&vm->registry);
	server_destroy(vm->server);
	vm->server = NULL;
	if (vm->socket >= 0)
		close(vm->socket);
	vm->socket = -1;
}

void vm_tell(struct vm *vm, struct control_event event)
{
	control_happened(vm->control, event);
}

void vm_happened(struct vm *vm, enum control_event_kind kind, const char *cause)
{
	vm_tell(vm, (struct control_event){.kind = kind, .cause = cause});
}
