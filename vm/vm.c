/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two halves with different lives. What belongs to the host (KVM's device, open images, back ends,
 * the event loop) is opened once by vm_create. What the guest sees is a struct machine, built for
 * each boot and thrown away at its end: a reboot cannot inherit a register, a pending interrupt or
 * a paravirtual clock that still points into the old kernel's memory.
 *
 * The end of a boot: anybody calls vm_request_end; the first wins, *ending stops the vCPUs, the
 * event loop returns to vm_run, which decides by the configuration what follows.
 */
#include "vm_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/config/cmdline.h"
#include "vm/config/exit_code.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/machine/machine.h"
#include "vm/sandbox/sandbox.h"
#include "vm/trim.h"

enum { LAST_TURNS = 64 };

/* ---- requests ---- */

/* That a kernel halted is a suspicion (wait_for_end): another end may come before it is proved. */
static void request_end(struct vm *vm, enum vm_end end, unsigned int detail)
{
	int was = VM_END_NONE, halted = VM_END_HALT;

	if (!atomic_compare_exchange_strong(&vm->end, &was, end) &&
		(end == VM_END_HALT || !atomic_compare_exchange_strong(&vm->end, &halted, end)))
		return;
	/* That of a suspicion is none, and might come behind the one of what took its place. */
	if (end != VM_END_HALT)
		atomic_store(&vm->end_detail, detail);
	atomic_store(&vm->ending, true);
	event_loop_stop(vm->loop);
}

void vm_request_end(struct vm *vm, enum vm_end end)
{
	request_end(vm, end, 0);
}

/* A guest that reboots at the same moment must not make us forget that we were told to go. */
void vm_order_end(struct vm *vm, enum vm_end end)
{
	vm->order = end;
	vm_request_end(vm, end);
}

unsigned int vm_end_status(const struct vm *vm)
{
	return atomic_load(&vm->end_detail);
}

int vm_end_signal(const struct vm *vm)
{
	return atomic_load(&vm->signal);
}

/* The end_detail of VM_END_PANIC: who says so. */
enum { PANIC_BY_PVPANIC, PANIC_BY_KVM, PANIC_BY_REBOOT };

static void on_power(void *opaque, enum power_event event)
{
	static const enum vm_end ends[] = {[POWER_OFF] = VM_END_POWEROFF,
		[POWER_RESET] = VM_END_REBOOT,
		[POWER_PANIC] = VM_END_PANIC};

	request_end(opaque, ends[event], PANIC_BY_PVPANIC);
}

static void on_vcpu_end(void *opaque, unsigned int vcpu, enum vcpu_end end)
{
	static const enum vm_end ends[] = {[VCPU_HALTED] = VM_END_HALT,
		[VCPU_TRIPLE_FAULT] = VM_END_TRIPLE_FAULT,
		[VCPU_GUEST_OFF] = VM_END_POWEROFF,
		[VCPU_GUEST_RESET] = VM_END_REBOOT,
		[VCPU_GUEST_CRASHED] = VM_END_PANIC,
		[VCPU_NO_MEMORY] = VM_END_NO_MEMORY,
		[VCPU_INTERNAL_ERROR] = VM_END_INTERNAL_ERROR};

	if (end == VCPU_DEBUG) {
		vm_gdb_hit(opaque);
		return;
	}
	request_end(opaque, ends[end], end == VCPU_GUEST_CRASHED ? PANIC_BY_KVM : vcpu);
}

static void on_exit_port(void *opaque, uint8_t status)
{
	request_end(opaque, VM_END_EXIT_PORT, status);
}

/* ---- life cycle ---- */

/* In this process, that is; one that comes later brings a process of its own. */
static bool has_user_net(const struct config *config)
{
	for (unsigned int i = 0; i < config->num_nets; i++)
		if (config->nets[i].kind == NET_USER && config->nets[i].in_process)
			return true;
	return false;
}

static int create_sandbox(struct vm *vm, int *code, struct error *err)
{
	const struct sandbox_config config = {.mode = vm->config->sandbox,
		.user = vm->config->user,
		.user_net = has_user_net(vm->config),
		.shares = vm->config->num_shares > 0,
		.memory = vm->config->memory,
		.log = vm->log};
	int rc = sandbox_create(&config, &vm->sandbox, err);

	if (rc < 0 && rc != -ENOMEM)
		*code = EXIT_USAGE;
	return rc;
}

int vm_create(
	const struct config *config, struct log *log, struct vm **ret, int *code, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc;

	*code = EXIT_HOST;
	if (!vm)
		return error_set_errno(err, -ENOMEM, "the VM");
	vm->config = config;
	vm->log = log;
	vm->balloon_target = config->balloon_size;
	vm_halt_init(vm);
	vm->socket = vm->tasks_fd = -1;
	vm->registry.lock_fd = vm->signals.fd = -1;
	rc = create_sandbox(vm, code, err);
	if (!rc)
		rc = vm_host_open(vm, code, err);
	if (rc < 0) {
		vm_destroy(vm);
		return rc;
	}
	*ret = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	atomic_store(&vm->ending, true);
	if (vm->left_behind) {
		vm_host_leave(vm);
		return;
	}
	vm_dump_stop(vm);
	machine_destroy(vm->machine);
	vm_host_close(vm);
	sandbox_destroy(vm->sandbox);
	free(vm);
}

/* ---- running ---- */

static int build(struct vm *vm, int *code, struct error *err)
{
	bool refused = false;
	int rc;
	struct machine_env env = {
		.config = vm->config,
		.cmdline = vm->cmdline,
		.own_cmdline = vm->own_cmdline,
		.kernel = &vm->kernel,
		.initrds = vm->initrds,
		.num_initrds = vm->num_initrds,
		.keep = &vm->keep,
		.kvm = vm->kvm,
		.clock = timer_queue_clock(vm->guest_timers),
		.log = vm->log,
		.power = {.notify = on_power, .opaque = vm},
		.loop = vm->loop,
		.disks = vm->disks,
		.balloon_target = vm->balloon_target,
		.kaslr_random = vm->kaslr_random,
		.same_kaslr = vm_gdb_keeps_kaslr(vm),
		.nets = vm->nets,
		.shares = vm->shares,
		.console = vm->console,
		.ejected = vm_hotplug_ejected,
		.vcpu_ended = on_vcpu_end,
		.exit_port = on_exit_port,
		.opaque = vm,
		.ending = &vm->ending,
		.confine = sandbox_confine(vm->sandbox),
		.tasks_fd = &vm->tasks_fd,
	};

	memcpy(env.serial, vm->serial, sizeof(env.serial));
	memcpy(env.ports, vm->ports, sizeof(env.ports));
	*code = EXIT_HOST;
	rc = vm_images_load(vm, err);
	if (rc < 0)
		return rc;
	rc = machine_build(&env, &vm->machine, &refused, err);
	*code = refused ? EXIT_USAGE : EXIT_HOST;
	vm_images_drop(vm);
	return rc;
}

static uint64_t now_ns(const struct vm *vm)
{
	return clock_monotonic_ns(timer_queue_clock(vm->timers));
}

int vm_start_vcpus(struct vm *vm, struct error *err)
{
	const bool soon = vm->config->flat;
	int rc;

	/* A kernel does not halt at once: its start need not wait for the timer. */
	if (soon)
		vm_halt_watch(vm);
	rc = machine_start(vm->machine, err);
	if (!rc && !soon)
		vm_halt_watch(vm);
	return rc;
}

/* A flat program's memory is its own, and says nothing. */
static bool is_panic_reboot(const struct vm *vm)
{
	return !vm->config->flat && cmdline_marks_panic(vm->cmdline) &&
	       machine_has_panic_mark(vm->machine);
}

/*
 * What the guest has handed to a device before its end, the loop may not have come to: the last
 * words on a port, say. Bounded, as the outside may have always more to say.
 */
static void finish_output(struct vm *vm)
{
	for (int turn = 0; turn < LAST_TURNS && event_loop_step(vm->loop, 0) > 0; turn++)
		continue;
}

static int wait_for_request(struct vm *vm, struct error *err)
{
	do {
		int rc = event_loop_run(vm->loop);

		if (rc < 0)
			return error_set_errno(err, rc, "event loop");
	} while (atomic_load(&vm->end) == VM_END_NONE);
	vm_halt_unwatch(vm);
	atomic_store(&vm->ending, true);
	return vm_stop_vcpus(vm, err);
}

/* The first vCPU of a kernel halted, and others did not: they go on, and may wake it. */
static bool is_false_alarm(struct vm *vm)
{
	return atomic_load(&vm->end) == VM_END_HALT && !vm->config->flat &&
	       !machine_is_halted(vm->machine);
}

/* Waits for a request and takes it; the vCPUs are out when this returns. */
static int wait_for_end(struct vm *vm, enum vm_end *end, struct error *err)
{
	int rc = wait_for_request(vm, err);

	while (!rc && is_false_alarm(vm)) {
		atomic_store(&vm->end, VM_END_NONE);
		rc = vm_stands_still(vm) ? 0 : vm_go_on(vm, false, err);
		vm_gdb_look(vm);
		if (!rc)
			rc = wait_for_request(vm, err);
	}
	if (rc < 0)
		return rc;
	*end = (enum vm_end)atomic_load(&vm->end);
	finish_output(vm);
	atomic_store(&vm->end, VM_END_NONE);
	return 0;
}

static void report_internal_error(struct vm *vm)
{
	char text[4096];

	log_msg(vm->log, LOG_ERROR,
		"KVM could not continue with the guest; `bantam doctor` shows whether this host "
		"can boot Linux at all");
	machine_describe_vcpu(vm->machine, atomic_load(&vm->end_detail), text, sizeof(text));
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		log_msg(vm->log, LOG_ERROR, "%s", line);
	}
}

/* The last end is always told, those before it only so often: some guests do nothing else. */
static enum end_action tell_end(
	struct vm *vm, enum end_action action, enum log_level level, const char *what)
{
	if (action == END_RESTART)
		log_limited(vm->log, &vm->limit, level, "%s", what);
	else
		log_msg(vm->log, level, "%s", what);
	return action;
}

static enum end_action report_end(struct vm *vm, enum vm_end end)
{
	const struct config *config = vm->config;

	switch (end) {
	case VM_END_POWEROFF:
		return tell_end(vm, config->on_poweroff, LOG_INFO, "the guest powered off");
	case VM_END_REBOOT:
		return tell_end(vm, config->on_reboot, LOG_INFO, "the guest reboots");
	case VM_END_PANIC:
		return tell_end(vm, config->on_panic, LOG_ERROR, "the guest's kernel panicked");
	case VM_END_TRIPLE_FAULT:
		return tell_end(
			vm, config->on_panic, LOG_ERROR, "the guest crashed by a triple fault");
	case VM_END_HALT:
		return tell_end(vm, config->on_poweroff, config->flat ? LOG_DEBUG : LOG_INFO,
			"the guest halted");
	case VM_END_EARLY_HALT:
		return tell_end(vm, config->on_panic, LOG_ERROR,
			"the guest's kernel halted before it got to user space");
	case VM_END_EXIT_PORT:
		log_msg(vm->log, LOG_INFO, "the guest ended with status %u", vm_end_status(vm));
		return END_EXIT;
	case VM_END_NO_MEMORY:
		log_msg(vm->log, LOG_ERROR, "the host has no more memory for the guest%s",
			config->hugepages ? "; a cgroup may limit huge pages (hugetlb.2MB.max)"
					  : "");
		return END_EXIT;
	case VM_END_INTERNAL_ERROR:
		report_internal_error(vm);
		return END_EXIT;
	case VM_END_SIGNAL:
		log_msg(vm->log, LOG_INFO, "ended by signal %d (%s)", vm_end_signal(vm),
			strsignal(vm_end_signal(vm)));
		return END_EXIT;
	case VM_END_NONE:
	case VM_END_QUIT:
		break;
	}
	return END_EXIT;
}

/* In a word, for those who watch from outside. */
static const char *end_cause(enum vm_end end)
{
	static const char *const causes[] = {
		[VM_END_NONE] = "failure",
		[VM_END_POWEROFF] = "poweroff",
		[VM_END_HALT] = "halt",
		[VM_END_EARLY_HALT] = "early-halt",
		[VM_END_REBOOT] = "reboot",
		[VM_END_PANIC] = "panic",
		[VM_END_TRIPLE_FAULT] = "triple-fault",
		[VM_END_EXIT_PORT] = "exit-port",
		[VM_END_NO_MEMORY] = "no-memory",
		[VM_END_INTERNAL_ERROR] = "kvm-error",
		[VM_END_QUIT] = "quit",
		[VM_END_SIGNAL] = "signal",
	};

	return causes[end];
}

static const char *panic_cause(const struct vm *vm)
{
	static const char *const causes[] = {
		[PANIC_BY_PVPANIC] = "pvpanic",
		[PANIC_BY_KVM] = "kvm",
		[PANIC_BY_REBOOT] = "reboot",
	};

	return causes[vm_end_status(vm)];
}

static void announce_end(struct vm *vm, enum vm_end end)
{
	switch (end) {
	case VM_END_POWEROFF:
	case VM_END_HALT:
		vm_happened(vm, CONTROL_POWEROFF, end_cause(end));
		break;
	case VM_END_REBOOT:
		vm_happened(vm, CONTROL_REBOOT, vm->reset_by ? vm->reset_by : end_cause(end));
		break;
	case VM_END_PANIC:
		vm_happened(vm, CONTROL_PANIC, panic_cause(vm));
		break;
	case VM_END_EARLY_HALT:
	case VM_END_TRIPLE_FAULT:
	case VM_END_INTERNAL_ERROR:
		vm_happened(vm, CONTROL_CRASH, end_cause(end));
		break;
	default:
		break;
	}
}

/* To user space. A flat program has none, and what it does is meant. */
static bool came_up(const struct vm *vm)
{
	return vm->config->flat || machine_reached_user_space(vm->machine);
}

/*
 * Whether a guest that ended is started once more. A person who resets it sees what comes of it;
 * else a guest that never gets to user space has its end.
 */
static bool starts_again(struct vm *vm, enum vm_end *end)
{
	const bool by_person = vm->reset_by;

	vm->reset_by = NULL;
	if (boot_guard_again(&vm->guard, now_ns(vm), by_person || came_up(vm)))
		return true;
	log_msg(vm->log, LOG_ERROR,
		"the guest ended %u times in a row before it got to user space: not started again",
		BOOT_GUARD_MAX);
	*end = VM_END_PANIC;
	return false;
}

/* What the guest did, or the person at the console: reports it, and says what follows. */
static enum end_action answer_end(struct vm *vm, enum vm_end *end)
{
	enum end_action action;

	if (*end == VM_END_REBOOT && is_panic_reboot(vm)) {
		*end = VM_END_PANIC;
		atomic_store(&vm->end_detail, PANIC_BY_REBOOT);
	}
	if (*end == VM_END_HALT && !came_up(vm))
		*end = VM_END_EARLY_HALT;
	announce_end(vm, *end);
	action = report_end(vm, *end);
	if (action == END_EXIT)
		return action;
	if (vm->order != VM_END_NONE) {
		*end = vm->order;
		return report_end(vm, *end);
	}
	/* `bantam stop` waits for this. */
	return vm->stops ? END_EXIT : action;
}

/* The end of a guest that stays as it is: it can be looked at, go on, be reset or ended. */
static void pause_at_end(struct vm *vm, enum vm_end end)
{
	if (vm->terminal)
		log_msg(vm->log, LOG_INFO, "paused; Ctrl-A x quits, Ctrl-A r resets");
	else
		log_msg(vm->log, LOG_INFO,
			"paused; `bantam stop %s` ends it, `bantam reset` resets it",
			vm->registry.name);
	vm_pause(vm, end_cause(end));
	vm->paused_by_end = true;
	vm_gdb_crashed(vm);
}

/*
 * Somebody ends what the guest's end had paused. Nothing of the guest runs, so a reset is the
 * person's, whose wish counts; what the guest's end left in its memory means nothing any more.
 */
static enum end_action answer_paused(struct vm *vm, enum vm_end *end)
{
	/* Who wants it gone counts more than who wants it reset at the same moment. */
	if (vm->order != VM_END_NONE)
		*end = vm->order;
	if (*end == VM_END_REBOOT)
		announce_end(vm, *end);
	report_end(vm, *end);
	return *end == VM_END_REBOOT ? END_RESTART : END_EXIT;
}

/* --dry-run and --dump-dtb */
static int show(struct vm *vm, int *code, struct error *err)
{
	int rc;

	if (!vm->config->dump_dtb) {
		machine_print(vm->machine, stdout);
		return 0;
	}
	rc = machine_dump_dtb(vm->machine, vm->config->dump_dtb, err);
	*code = rc == -EEXIST ? EXIT_USAGE : EXIT_HOST;
	return rc;
}

/* Runs and reports one boot of the guest; *action says what follows, which is not a pause. */
static int run_once(struct vm *vm, enum vm_end *end, enum end_action *action, struct error *err)
{
	int rc;

	boot_guard_start(&vm->guard, now_ns(vm));
	rc = vm_gdb_start(vm, err);
	if (!rc && !vm->stays_paused && !vm->held)
		rc = vm_start_vcpus(vm, err);
	if (rc < 0)
		return rc;
	vm->boots++;
	vm_control_serve(vm);
	if (vm->boots == 1 && vm->callbacks)
		vm->callbacks->running(
			vm->callbacks_opaque, vm, vm->server ? vm->registry.name : NULL);
	vm_happened(vm, CONTROL_STARTED, NULL);
	if (vm->stays_paused)
		vm_pause(vm, "command");
	if (vm->held)
		vm_hold_new(vm);
	trim_start();
	for (;;) {
		rc = wait_for_end(vm, end, err);
		if (rc < 0)
			return rc;
		*action = vm->paused_by_end ? answer_paused(vm, end) : answer_end(vm, end);
		if (*action != END_PAUSE)
			return 0;
		pause_at_end(vm, *end);
	}
}

/* A guest that reboots while somebody pauses it: the next boot waits to be resumed. */
static bool was_pausing(const struct vm *vm)
{
	return vm->paused && !vm->paused_by_end && !vm->paused_by_dump && !vm->reset_by;
}

int vm_run(struct vm *vm, enum vm_end *end, int *code, struct error *err)
{
	enum end_action action = END_EXIT;
	int rc;

	do {
		atomic_store(&vm->ending, false);
		rc = build(vm, code, err);
		if (rc < 0)
			return rc;
		if (vm->config->dry_run)
			return show(vm, code, err);
		rc = vm_confine(vm, err);
		if (!rc)
			rc = run_once(vm, end, &action, err);
		atomic_store(&vm->ending, true);
		vm->stays_paused = was_pausing(vm);
		if (!rc && action == END_RESTART && !starts_again(vm, end))
			action = END_EXIT;
		vm_dump_stop(vm);
		if (vm->left_behind || !vm_wait_disks(vm, rc < 0 || action != END_RESTART)) {
			if (!rc && action == END_RESTART)
				*end = vm_told_end(vm);
			return rc;
		}
		machine_destroy(vm->machine);
		vm->machine = NULL;
		vm_forget_pause(vm);
		vm_hotplug_settle(vm);
	} while (!rc && action == END_RESTART);
	return rc;
}

void vm_set_callbacks(struct vm *vm, const struct vm_callbacks *callbacks, void *opaque)
{
	vm->callbacks = callbacks;
	vm->callbacks_opaque = opaque;
}

void vm_farewell(struct vm *vm, enum vm_end end, int status)
{
	/* As a shell sees it */
	if (status > EXIT_BY_SIGNAL)
		status += EXIT_SIGNAL_BASE - EXIT_BY_SIGNAL;
	vm_gdb_ended(vm, status);
	vm_control_end(vm, end_cause(end), status);
}
