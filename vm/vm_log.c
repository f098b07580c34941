/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command "log": each line that the VM has logged, as far back as the log keeps them, is a part
 * of the answer; with "follow" it goes on with those to come. Lines are logged on any thread, which
 * wakes the loop; whoever follows has a place of his own in what is kept.
 */
#include "vm_private.h"

#include <errno.h>
#include <stdlib.h>

#include "vm/core/log.h"

enum { LOG_FOLLOW };

static const struct control_field log_fields[] = {
	[LOG_FOLLOW] = {"follow", CONTROL_FLAG, false},
};

struct follower {
	struct follower *next;
	struct control_job *job;
	uint64_t pos;
};

/* Puts the next line, if there is one. */
static bool put_line(struct vm *vm, struct follower *follower)
{
	char line[LOG_MAX_LINE];

	if (!log_read(vm->log, &follower->pos, line, sizeof(line)))
		return false;
	control_put_text(follower->job, "line", line);
	return true;
}

/* A client that does not read is dropped while it is written to, and its follower freed: the list
 * is looked at anew after each line. */
static void on_logged(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	struct follower *follower = vm->followers;

	(void)events;
	log_tidy(vm->log);
	while (follower) {
		if (put_line(vm, follower)) {
			control_emit(follower->job);
			follower = vm->followers;
		} else {
			follower = follower->next;
		}
	}
}

static void on_written(void *opaque)
{
	struct vm *vm = opaque;

	event_loop_post(vm->loop, &vm->logged);
}

static void start_log(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct follower *follower = calloc(1, sizeof(*follower));

	if (!follower) {
		control_fail(job, -ENOMEM, "out of memory");
		return;
	}
	follower->job = job;
	while (put_line(vm, follower))
		control_emit(job);
	if (job->args[LOG_FOLLOW].number) {
		job->state = follower;
		follower->next = vm->followers;
		vm->followers = follower;
		return;
	}
	free(follower);
	control_done(job);
}

static void cancel_log(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct follower **p = &vm->followers;

	while (*p && *p != job->state)
		p = &(*p)->next;
	if (*p)
		*p = (*p)->next;
	free(job->state);
	job->state = NULL;
}

/* The last line of a VM is mostly that of its end. */
static void log_event(struct control_job *job, void *opaque, const struct control_event *event)
{
	if (event->kind != CONTROL_ENDED)
		return;
	while (put_line(opaque, job->state))
		control_emit(job);
	cancel_log(job, opaque);
	control_done(job);
}

void vm_log_open(struct vm *vm)
{
	vm->logged = (struct event_source){.fd = -1, .fn = on_logged, .opaque = vm};
	log_listen(vm->log, on_written, vm);
}

void vm_log_close(struct vm *vm)
{
	log_listen(vm->log, NULL, NULL);
	if (vm->logged.fn)
		event_loop_remove(vm->loop, &vm->logged);
}

static const struct control_command commands[] = {
	{.name = "log",
		.fields = log_fields,
		.num_fields = ARRAY_SIZE(log_fields),
		.start = start_log,
		.event = log_event,
		.cancel = cancel_log,
		.endless = true},
};

const struct control_family vm_log_family = {
	.commands = commands, .num_commands = ARRAY_SIZE(commands)};
