/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs are in a list in the order of their start. One that ends while the list is gone over, or
 * inside its own start, is only marked; it is taken out and freed by whoever goes over the list, or
 * by control_submit. What its command still says is told to nobody: its client may be gone, too.
 */
#include "vm/control/control.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct control {
	struct control_config config;
	struct control_job *first;
	unsigned int walking; /* somebody goes over the list */
	void (*listener)(void *opaque, const struct control_event *event);
	void *listener_opaque;
};

static const char *const event_names[] = {
	[CONTROL_STARTED] = "started",
	[CONTROL_PAUSED] = "paused",
	[CONTROL_RESUMED] = "resumed",
	[CONTROL_REBOOT] = "reboot",
	[CONTROL_POWEROFF] = "poweroff",
	[CONTROL_PANIC] = "panic",
	[CONTROL_CRASH] = "crash",
	[CONTROL_CRASH_KERNEL] = "crash-kernel",
	[CONTROL_IO_ERROR] = "io-error",
	[CONTROL_DEVICE] = "device",
	[CONTROL_BALLOON] = "balloon",
	[CONTROL_ENDED] = "ended",
};

static_assert(ARRAY_SIZE(event_names) == NUM_CONTROL_EVENTS, "a name for each");

const char *control_event_name(enum control_event_kind kind)
{
	return event_names[kind];
}

int control_create(const struct control_config *config, struct control **ret)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return -ENOMEM;
	control->config = *config;
	*ret = control;
	return 0;
}

const struct control_command *control_command(const struct control *control, unsigned int i)
{
	const struct control_family *const *family = control->config.families;

	if (i < control->config.num_commands)
		return &control->config.commands[i];
	i -= control->config.num_commands;
	for (; family && *family; family++) {
		if (i < (*family)->num_commands)
			return &(*family)->commands[i];
		i -= (*family)->num_commands;
	}
	return NULL;
}

const struct control_command *control_find(const struct control *control, const char *name)
{
	const struct control_command *command;

	for (unsigned int i = 0; (command = control_command(control, i)) != NULL; i++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

/* ---- nobody ---- */

static void no_flag(void *opaque, const char *key, bool value)
{
	(void)opaque, (void)key, (void)value;
}

static void no_number(void *opaque, const char *key, uint64_t value)
{
	(void)opaque, (void)key, (void)value;
}

static void no_real(void *opaque, const char *key, double value)
{
	(void)opaque, (void)key, (void)value;
}

static void no_text(void *opaque, const char *key, const char *value)
{
	(void)opaque, (void)key, (void)value;
}

static void no_call(void *opaque)
{
	(void)opaque;
}

static void no_end(void *opaque, int code, const char *text)
{
	(void)opaque, (void)code, (void)text;
}

static const struct control_sink nobody = {
	.put_flag = no_flag,
	.put_number = no_number,
	.put_real = no_real,
	.put_text = no_text,
	.open = no_flag,
	.close = no_call,
	.emit = no_call,
	.done = no_end,
};

/* ---- jobs ---- */

static void close_fds(struct control_value *args, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (args[i].fd >= 0)
			close(args[i].fd);
}

static void free_job(struct control_job *job)
{
	close_fds(job->args, job->command->num_fields);
	free(job);
}

/* Frees what is over, unless somebody else will. */
static void sweep(struct control *control)
{
	if (control->walking)
		return;
	for (struct control_job **p = &control->first; *p;) {
		struct control_job *job = *p;

		if (job->over && !job->starting) {
			*p = job->next;
			free_job(job);
		} else {
			p = &job->next;
		}
	}
}

static void end(struct control_job *job)
{
	struct control *control = job->control;

	if (job->timer.fn)
		clock_disarm_sync(control->config.clock, &job->timer);
	job->over = true;
	job->sink = &nobody;
	sweep(control);
}

static size_t text_bytes(const struct control_command *command, const struct control_value *args)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < command->num_fields; i++)
		if (args[i].given && args[i].text)
			bytes += strlen(args[i].text) + 1;
	return bytes;
}

static void copy_args(struct control_job *job, const struct control_value *args)
{
	char *to = job->texts;

	for (unsigned int i = 0; i < job->command->num_fields; i++) {
		job->args[i] = args[i];
		if (!args[i].given || !args[i].text)
			continue;
		job->args[i].text = to;
		to = stpcpy(to, args[i].text) + 1;
	}
}

struct control_job *control_submit(struct control *control, const struct control_command *command,
	const struct control_value *args, const struct control_sink *sink, void *opaque)
{
	struct control_job *job = calloc(1, sizeof(*job) + text_bytes(command, args)), **p;

	if (!job) {
		struct control_value fds[CONTROL_MAX_FIELDS];

		memcpy(fds, args, command->num_fields * sizeof(fds[0]));
		close_fds(fds, command->num_fields);
		sink->done(opaque, -ENOMEM, "out of memory");
		return NULL;
	}
	job->command = command;
	job->control = control;
	job->sink = sink;
	job->opaque = opaque;
	copy_args(job, args);
	for (p = &control->first; *p; p = &(*p)->next)
		continue;
	*p = job;
	job->starting = true;
	command->start(job, control->config.vm);
	job->starting = false;
	if (!job->over)
		return job;
	sweep(control);
	return NULL;
}

void control_cancel(struct control_job *job)
{
	if (job->over)
		return;
	if (job->command->cancel)
		job->command->cancel(job, job->control->config.vm);
	end(job);
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	control->walking++;
	for (struct control_job *job = control->first; job; job = job->next) {
		if (job->over)
			continue;
		if (job->command->cancel)
			job->command->cancel(job, control->config.vm);
		control_fail(job, -ESHUTDOWN, "the VM has ended");
	}
	control->walking--;
	sweep(control);
	free(control);
}

/* ---- results ---- */

void control_put_flag(struct control_job *job, const char *key, bool value)
{
	job->sink->put_flag(job->opaque, key, value);
}

void control_put_number(struct control_job *job, const char *key, uint64_t value)
{
	job->sink->put_number(job->opaque, key, value);
}

void control_put_real(struct control_job *job, const char *key, double value)
{
	job->sink->put_real(job->opaque, key, value);
}

void control_put_text(struct control_job *job, const char *key, const char *value)
{
	job->sink->put_text(job->opaque, key, value);
}

void control_open(struct control_job *job, const char *key)
{
	job->sink->open(job->opaque, key, false);
}

void control_open_list(struct control_job *job, const char *key)
{
	job->sink->open(job->opaque, key, true);
}

void control_close(struct control_job *job)
{
	job->sink->close(job->opaque);
}

void control_emit(struct control_job *job)
{
	job->sink->emit(job->opaque);
}

void control_done(struct control_job *job)
{
	job->sink->done(job->opaque, 0, "");
	end(job);
}

void control_fail(struct control_job *job, int code, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	job->sink->done(job->opaque, code, text);
	end(job);
}

void control_put_event(struct control_job *job, const struct control_event *event)
{
	control_put_text(job, "event", control_event_name(event->kind));
	control_put_real(job, "time", (double)event->realtime_ns / (double)NSEC_PER_SEC);
	if (event->cause)
		control_put_text(job, "cause", event->cause);
	if (event->device)
		control_put_text(job, "device", event->device);
	if (event->kind == CONTROL_ENDED)
		control_put_number(job, "status", (uint64_t)event->status);
}

void control_after(struct control_job *job, uint64_t ns, void (*fn)(void *job))
{
	const struct clock *clock = job->control->config.clock;

	job->timer.fn = fn;
	job->timer.opaque = job;
	clock_arm(clock, &job->timer, clock_monotonic_ns(clock) + ns);
}

/* ---- events ---- */

void control_happened(struct control *control, struct control_event event)
{
	if (!control)
		return;
	event.realtime_ns = clock_realtime_ns(control->config.clock);
	control->walking++;
	for (struct control_job *job = control->first; job; job = job->next)
		if (!job->over && !job->starting && job->command->event)
			job->command->event(job, control->config.vm, &event);
	control->walking--;
	sweep(control);
	if (control->listener)
		control->listener(control->listener_opaque, &event);
}

void control_listen(struct control *control,
	void (*fn)(void *opaque, const struct control_event *event), void *opaque)
{
	control->listener = fn;
	control->listener_opaque = opaque;
}
