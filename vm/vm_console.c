/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands about the VM's console: who attaches to its hub, what he does there beside reading and
 * writing, and the power button, which a console has a key for.
 *
 * "console" goes on until its client hangs up, or the VM ends; its parts say the number by which
 * the other commands name the client, and how much output it has lost.
 */
#include "vm_private.h"

#include <errno.h>

#include "devices/char/hub.h"
#include "vm/core/error.h"
#include "vm/machine/machine.h"

/* ---- console ---- */

enum { CONSOLE_FD, CONSOLE_READ_ONLY, CONSOLE_NO_HISTORY, CONSOLE_COLS, CONSOLE_ROWS };

static const struct control_field console_fields[] = {
	[CONSOLE_FD] = {"fd", CONTROL_FD, true}, /* a stream socket */
	[CONSOLE_READ_ONLY] = {"read_only", CONTROL_FLAG, false},
	[CONSOLE_NO_HISTORY] = {"no_history", CONTROL_FLAG, false},
	[CONSOLE_COLS] = {"cols", CONTROL_NUMBER, false}, /* of its terminal */
	[CONSOLE_ROWS] = {"rows", CONTROL_NUMBER, false},
};

static void on_lost(void *opaque, uint64_t bytes)
{
	control_put_number(opaque, "lost", bytes);
	control_emit(opaque);
}

static void on_left(void *opaque)
{
	struct control_job *job = opaque;

	job->state = NULL;
	control_put_flag(job, "left", true);
	control_done(job);
}

static bool is_size(const struct control_value *value)
{
	return !value->given || value->number <= UINT16_MAX;
}

static void start_console(struct control_job *job, void *opaque)
{
	const struct vm *vm = opaque;
	struct control_value *args = job->args;
	const struct hub_client_config config = {
		.fd = args[CONSOLE_FD].fd,
		.read_only = args[CONSOLE_READ_ONLY].number,
		.history = !args[CONSOLE_NO_HISTORY].number,
		.cols = (uint16_t)args[CONSOLE_COLS].number,
		.rows = (uint16_t)args[CONSOLE_ROWS].number,
		.lost = on_lost,
		.left = on_left,
		.opaque = job,
	};
	struct hub_client *client;
	struct error err;
	int rc;

	if (!vm->hub || !is_size(&args[CONSOLE_COLS]) || !is_size(&args[CONSOLE_ROWS])) {
		control_fail(job, -EINVAL, "%s",
			vm->hub ? "no terminal has that size" : "this VM has no console");
		return;
	}
	rc = hub_attach(vm->hub, &config, &client, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	args[CONSOLE_FD].fd = -1;
	job->state = client;
	control_put_number(job, "console", hub_client_number(client));
	control_emit(job);
}

/* What the guest has said last is still to be sent; the hub does that when it is closed. */
static void console_event(struct control_job *job, void *vm, const struct control_event *event)
{
	(void)vm;
	if (event->kind != CONTROL_ENDED || !job->state)
		return;
	hub_forget(job->state);
	job->state = NULL;
	control_put_event(job, event);
	control_done(job);
}

static void cancel_console(struct control_job *job, void *vm)
{
	(void)vm;
	if (job->state)
		hub_detach(job->state);
	job->state = NULL;
}

/* ---- beside a console ---- */

enum { BESIDE_CONSOLE, BESIDE_COLS, BESIDE_ROWS };

static const struct control_field beside_fields[] = {
	[BESIDE_CONSOLE] = {"console", CONTROL_NUMBER, true},
	[BESIDE_COLS] = {"cols", CONTROL_NUMBER, true},
	[BESIDE_ROWS] = {"rows", CONTROL_NUMBER, true},
};

/* NULL: the job has failed. */
static struct hub_client *find(struct control_job *job, const struct vm *vm)
{
	const uint64_t number = job->args[BESIDE_CONSOLE].number;
	struct hub_client *client = NULL;

	if (vm->hub && number <= UINT32_MAX)
		client = hub_find(vm->hub, (unsigned int)number);
	if (!client)
		control_fail(job, -EINVAL, "there is no console %llu", (unsigned long long)number);
	return client;
}

static void start_break(struct control_job *job, void *vm)
{
	struct hub_client *client = find(job, vm);

	if (!client)
		return;
	hub_break(client);
	control_done(job);
}

static void start_resize(struct control_job *job, void *vm)
{
	const struct control_value *args = job->args;
	struct hub_client *client = find(job, vm);

	if (!client)
		return;
	if (!is_size(&args[BESIDE_COLS]) || !is_size(&args[BESIDE_ROWS])) {
		control_fail(job, -EINVAL, "no terminal has that size");
		return;
	}
	hub_resize(client, (uint16_t)args[BESIDE_COLS].number, (uint16_t)args[BESIDE_ROWS].number);
	control_done(job);
}

static void start_button(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	machine_power_button(vm->machine);
	control_done(job);
}

static const struct control_command commands[] = {
	{.name = "console",
		.fields = console_fields,
		.num_fields = ARRAY_SIZE(console_fields),
		.start = start_console,
		.event = console_event,
		.cancel = cancel_console,
		.endless = true},
	{.name = "console-break",
		.fields = beside_fields,
		.num_fields = BESIDE_CONSOLE + 1,
		.start = start_break},
	{.name = "console-resize",
		.fields = beside_fields,
		.num_fields = ARRAY_SIZE(beside_fields),
		.start = start_resize},
	{.name = "power-button", .start = start_button},
};

const struct control_family vm_console_family = {
	.commands = commands, .num_commands = ARRAY_SIZE(commands)};
