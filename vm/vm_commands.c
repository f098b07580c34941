/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of a running VM that concern it as a whole. Each is a function that answers at once,
 * or keeps its job until an event or its timer ends it (see vm/control/control.h).
 */
#include "vm_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/machine/machine.h"

/* ---- status ---- */

static const char *state_of(const struct vm *vm)
{
	if (!vm->paused)
		return vm->held ? "stopped" : "running";
	return vm->draining ? "pausing" : "paused";
}

void vm_put_status(struct control_job *job, const struct vm *vm)
{
	const uint64_t now = clock_monotonic_ns(timer_queue_clock(vm->timers));

	control_put_text(job, "name", vm->registry.name);
	control_put_number(job, "pid", (uint64_t)getpid());
	control_put_text(job, "state", state_of(vm));
	control_put_real(job, "uptime", (double)(now - vm->started_ns) / (double)NSEC_PER_SEC);
	control_put_number(job, "boots", vm->boots);
	control_put_number(job, "cpus", vm->config->cpus);
}

static void start_status(struct control_job *job, void *opaque)
{
	const struct vm *vm = opaque;

	vm_put_status(job, vm);
	control_put_number(job, "memory", vm->config->memory);
	control_done(job);
}

/* ---- stop ---- */

enum { STOP_TIMEOUT, STOP_FORCE };

static const struct control_field stop_fields[] = {
	[STOP_TIMEOUT] = {"timeout", CONTROL_NUMBER, false}, /* ms; 0: for as long as it takes */
	[STOP_FORCE] = {"force", CONTROL_FLAG, false},
};

static void stop_by_force(void *opaque)
{
	struct control_job *job = opaque;
	struct vm *vm = job->state;

	vm->forced = true;
	vm_order_end(vm, VM_END_QUIT);
}

static void start_stop(struct control_job *job, void *opaque)
{
	const struct control_value *timeout = &job->args[STOP_TIMEOUT];
	const uint64_t ms = timeout->given ? timeout->number : (uint64_t)SERVER_STOP_MS;
	struct vm *vm = opaque;
	struct error err;
	int rc;

	/* A guest that stands still hears no button. */
	rc = job->args[STOP_FORCE].number || vm->paused_by_end
		     ? 0
		     : vm_resume(vm, false, "command", &err);
	if (rc < 0 && rc != -EBUSY) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	job->state = vm;
	vm->stops++;
	if (job->args[STOP_FORCE].number) {
		stop_by_force(job);
	} else if (vm->paused_by_end) {
		/* It has come to its end by itself. */
		vm_order_end(vm, VM_END_QUIT);
	} else {
		machine_power_button(vm->machine);
		if (ms)
			control_after(job, MIN(ms, UINT64_MAX / NSEC_PER_MSEC / 2) * NSEC_PER_MSEC,
				stop_by_force);
	}
}

static void stop_event(struct control_job *job, void *opaque, const struct control_event *event)
{
	const struct vm *vm = opaque;

	if (event->kind != CONTROL_ENDED)
		return;
	/* The guest may have powered off at the last moment. */
	control_put_flag(job, "forced", vm->forced && !strcmp(event->cause, "quit"));
	control_put_event(job, event);
	control_done(job);
}

/* Nobody waits for it any more; the button is pressed all the same. */
static void cancel_stop(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	(void)job;
	vm->stops--;
}

/* ---- reset, pause, resume ---- */

static void start_reset(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	vm->reset_by = "command";
	vm_request_end(opaque, VM_END_REBOOT);
	control_done(job);
}

static void pause_done(struct control_job *job)
{
	control_put_text(job, "state", state_of(job->state));
	control_done(job);
}

/* A disk that hangs: the guest may as well go on. */
static void pause_in_vain(void *opaque)
{
	struct control_job *job = opaque;
	struct vm *vm = job->state;
	const char *busy = vm->draining ? machine_busy_disk(vm->machine) : NULL;
	struct error err = {""};
	char name[64];
	int rc;

	if (!vm->draining || !busy) {
		/* Another pause has come between, or the last request has just ended. */
		pause_done(job);
		return;
	}
	snprintf(name, sizeof(name), "%s", busy);
	/* The event that follows is this job's own doing. */
	job->state = NULL;
	rc = vm_resume(vm, false, "disk", &err);
	control_fail(job, -ETIMEDOUT, "%s does not finish what it is doing; %s%s", name,
		rc < 0 ? "the guest stays paused: " : "the guest goes on", rc < 0 ? err.text : "");
}

static void start_pause(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	job->state = vm;
	vm_pause(vm, "command");
	if (vm->draining)
		control_after(job, SERVER_PAUSE_MS * (uint64_t)NSEC_PER_MSEC, pause_in_vain);
	else
		pause_done(job);
}

static void pause_event(struct control_job *job, void *opaque, const struct control_event *event)
{
	(void)opaque;
	if (!job->state)
		return;
	if (event->kind == CONTROL_PAUSED)
		pause_done(job);
	else if (event->kind == CONTROL_RESUMED || event->kind == CONTROL_STARTED ||
		 event->kind == CONTROL_ENDED)
		control_fail(job, -ECANCELED, "it was resumed, reset or ended meanwhile");
}

enum { RESUME_CATCH_UP };

static const struct control_field resume_fields[] = {
	[RESUME_CATCH_UP] = {"catch_up", CONTROL_FLAG, false},
};

static void start_resume(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	int rc = vm_resume(vm, job->args[RESUME_CATCH_UP].number, "command", &err);

	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	control_put_text(job, "state", state_of(vm));
	control_done(job);
}

/* ---- wait, events ---- */

enum { WAIT_EVENT };

static const struct control_field wait_fields[] = {
	[WAIT_EVENT] = {"event", CONTROL_TEXT, false}, /* "ended" by default */
};

static void start_wait(struct control_job *job, void *vm)
{
	const char *name = job->args[WAIT_EVENT].given ? job->args[WAIT_EVENT].text : "ended";

	(void)vm;
	for (enum control_event_kind kind = 0; kind < NUM_CONTROL_EVENTS; kind++)
		if (!strcmp(control_event_name(kind), name)) {
			job->state = (void *)control_event_name(kind);
			return;
		}
	control_fail(job, -EINVAL, "there is no event called '%.64s'", name);
}

static void wait_event(struct control_job *job, void *vm, const struct control_event *event)
{
	(void)vm;
	if (control_event_name(event->kind) != job->state)
		return;
	control_put_event(job, event);
	control_done(job);
}

static void start_events(struct control_job *job, void *vm)
{
	(void)job, (void)vm;
}

static void each_event(struct control_job *job, void *vm, const struct control_event *event)
{
	(void)vm;
	control_put_event(job, event);
	control_emit(job);
	if (event->kind == CONTROL_ENDED)
		control_done(job);
}

#define FIELDS(list) .fields = (list), .num_fields = ARRAY_SIZE(list)

const struct control_command vm_commands[] = {
	{.name = "status", .start = start_status},
	{.name = "stop",
		FIELDS(stop_fields),
		.start = start_stop,
		.event = stop_event,
		.cancel = cancel_stop},
	{.name = "reset", .start = start_reset},
	{.name = "pause", .start = start_pause, .event = pause_event},
	{.name = "resume", FIELDS(resume_fields), .start = start_resume},
	{.name = "wait",
		FIELDS(wait_fields),
		.start = start_wait,
		.event = wait_event,
		.endless = true},
	{.name = "events", .start = start_events, .event = each_event, .endless = true},
	{.name = "stat", FIELDS(vm_stat_fields), .start = vm_stat_start},
	{.name = "limit", FIELDS(vm_limit_fields), .start = vm_limit_start},
};

const unsigned int vm_num_commands = ARRAY_SIZE(vm_commands);
