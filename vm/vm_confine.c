/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The step between a VM that is all open and built, and one that runs: the socket by which it is
 * reached, the sandbox, then the threads of disks and networks. It comes once; later boots are
 * built inside.
 *
 * The janitor is for sockets in directories in which nothing else is this process's business: it is
 * forked only where there is one.
 */
#include "vm_private.h"

#include <string.h>

#include "devices/char/char.h"
#include "vm/core/error.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"
#include "vm/machine/shares.h"
#include "vm/sandbox/janitor.h"
#include "vm/sandbox/sandbox.h"

static void add_socket(const struct serial_config *where, const char **paths, unsigned int *num)
{
	if (where->kind == SERIAL_UNIX && *num < JANITOR_MAX)
		paths[(*num)++] = where->path;
}

/* The registry's own directory is left to this process, unless that is somebody else by then. */
static int start_janitor(struct vm *vm, struct error *err)
{
	const struct config *config = vm->config;
	const char *paths[JANITOR_MAX];
	unsigned int num = 0;

	if (config->sandbox >= SANDBOX_LOG)
		return 0;
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		add_socket(&config->serial[i], paths, &num);
	for (unsigned int i = 0; i < config->num_ports; i++)
		add_socket(&config->ports[i].where, paths, &num);
	if (config->gdb.kind == GDB_ON_UNIX && num < JANITOR_MAX)
		paths[num++] = config->gdb.path;
	if (config->user && vm->socket >= 0 && num < JANITOR_MAX)
		paths[num++] = vm->registry.address.sun_path;
	return num ? janitor_start(paths, num, &vm->janitor, err) : 0;
}

static void name_ptys(struct vm *vm)
{
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		if (vm->config->serial[i].kind == SERIAL_PTY)
			sandbox_add_readable(vm->sandbox, char_pty_path(vm->serial[i]));
	for (unsigned int i = 0; i < vm->config->num_ports; i++)
		if (vm->config->ports[i].where.kind == SERIAL_PTY)
			sandbox_add_readable(vm->sandbox, char_pty_path(vm->ports[i]));
}

static int enter(struct vm *vm, struct error *err)
{
	char dir[sizeof(vm->registry.address.sun_path)];
	int rc = start_janitor(vm, err);

	if (rc < 0)
		return rc;
	if (vm->socket >= 0 && registry_path(dir, sizeof(dir), NULL) == 0)
		sandbox_set_run_dir(vm->sandbox, dir);
	name_ptys(vm);
	rc = sandbox_enter(vm->sandbox, err);
	vm->tasks_fd = sandbox_tasks_fd(vm->sandbox);
	vm->registry.dir_fd = MAX(sandbox_run_fd(vm->sandbox), 0);
	return rc;
}

int vm_confine(struct vm *vm, struct error *err)
{
	int rc = 0;

	if (vm->confined)
		return 0;
	vm->confined = true;
	vm_control_bind(vm);
	if (vm->callbacks)
		rc = vm->callbacks->opened(
			vm->callbacks_opaque, vm->socket >= 0 ? vm->registry.name : NULL, err);
	if (!rc)
		rc = enter(vm, err);
	if (!rc)
		rc = disks_start(vm->disks, err);
	if (!rc)
		rc = shares_start(vm->shares, err);
	return rc < 0 ? rc : nets_start(vm->nets, err);
}

void vm_confine_end(struct vm *vm)
{
	janitor_end(vm->janitor);
	vm->janitor = NULL;
}
