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
#include "vm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "devices/char.h"
#include "loader/image.h"
#include "vm/clock.h"
#include "vm/cmdline.h"
#include "vm/error.h"
#include "vm/event_loop.h"
#include "vm/exit_code.h"
#include "vm/kernel_find.h"
#include "vm/kvm.h"
#include "vm/log.h"
#include "vm/machine.h"

/* How often a flat guest is asked whether it sleeps for ever: soon at first, then rarely. */
#define HALT_CHECK_FIRST_NS NSEC_PER_MSEC
#define HALT_CHECK_LAST_NS  (32 * NSEC_PER_MSEC)

enum { CMDLINE_SIZE = 65536 };

struct vm {
	const struct config *config;
	struct log *log;
	struct event_loop *loop;
	struct timer_queue *timers;
	struct kvm_host *kvm;
	struct kernel_found *found; /* the kernel's path, when none was named */
	struct image kernel, initrds[LOADER_MAX_INITRDS];
	bool kernel_open;
	unsigned int num_initrds; /* open */
	char *cmdline;
	struct chardev *serial[CONFIG_MAX_SERIAL];
	struct chardev *terminal; /* the one on stdio, or NULL */
	struct event_source signals;
	struct machine *machine;
	struct timer halt_timer;
	uint64_t halt_period_ns;

	/* The loop's thread only: what the person or the system asked for, whoever was first. */
	enum vm_end order;

	_Atomic int end;     /* enum vm_end, the first request */
	_Atomic bool ending; /* the vCPUs shall leave */
	_Atomic unsigned int ended_vcpu;
	_Atomic int signal;
};

/* ---- requests ---- */

static void request_end(struct vm *vm, enum vm_end end, unsigned int vcpu)
{
	int none = VM_END_NONE;

	if (!atomic_compare_exchange_strong(&vm->end, &none, end))
		return;
	atomic_store(&vm->ended_vcpu, vcpu);
	atomic_store(&vm->ending, true);
	event_loop_stop(vm->loop);
}

void vm_request_end(struct vm *vm, enum vm_end end)
{
	request_end(vm, end, 0);
}

/* A guest that reboots at the same moment must not make us forget that we were told to go. */
static void order_end(struct vm *vm, enum vm_end end)
{
	vm->order = end;
	vm_request_end(vm, end);
}

int vm_end_signal(const struct vm *vm)
{
	return atomic_load(&vm->signal);
}

static void on_power(void *opaque, enum power_event event)
{
	static const enum vm_end ends[] = {[POWER_OFF] = VM_END_POWEROFF,
		[POWER_RESET] = VM_END_REBOOT,
		[POWER_PANIC] = VM_END_PANIC};

	vm_request_end(opaque, ends[event]);
}

static void on_vcpu_end(void *opaque, unsigned int vcpu, enum vcpu_end end)
{
	static const enum vm_end ends[] = {[VCPU_HALTED] = VM_END_HALT,
		[VCPU_TRIPLE_FAULT] = VM_END_TRIPLE_FAULT,
		[VCPU_GUEST_OFF] = VM_END_POWEROFF,
		[VCPU_GUEST_RESET] = VM_END_REBOOT,
		[VCPU_GUEST_CRASHED] = VM_END_PANIC,
		[VCPU_INTERNAL_ERROR] = VM_END_INTERNAL_ERROR};

	request_end(opaque, ends[end], vcpu);
}

static void suspend(struct vm *vm)
{
	char_stdio_suspend(vm->terminal);
	raise(SIGSTOP);
	char_stdio_resume(vm->terminal);
}

static void on_console_command(void *opaque, enum console_command command)
{
	struct vm *vm = opaque;

	switch (command) {
	case CONSOLE_QUIT:
		order_end(vm, VM_END_QUIT);
		break;
	case CONSOLE_RESET:
		vm_request_end(vm, VM_END_REBOOT);
		break;
	case CONSOLE_POWER_BUTTON:
		if (vm->machine)
			machine_power_button(vm->machine);
		break;
	case CONSOLE_SUSPEND:
		suspend(vm);
		break;
	}
}

static void on_signal(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(vm->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		suspend(vm);
		break;
	case SIGCONT:
		char_stdio_resume(vm->terminal);
		break;
	case SIGWINCH:
		char_stdio_resized(vm->terminal);
		break;
	case SIGPWR:
		if (vm->machine)
			machine_power_button(vm->machine);
		break;
	default:
		atomic_store(&vm->signal, (int)info.ssi_signo);
		order_end(vm, VM_END_SIGNAL);
		break;
	}
}

static void on_halt_timer(void *opaque)
{
	struct vm *vm = opaque;
	const struct clock *clock = timer_queue_clock(vm->timers);

	if (!vm->machine || atomic_load(&vm->ending))
		return;
	machine_check_halted(vm->machine);
	vm->halt_period_ns = MIN(vm->halt_period_ns * 2, HALT_CHECK_LAST_NS);
	clock_arm(clock, &vm->halt_timer, clock_monotonic_ns(clock) + vm->halt_period_ns);
}

/* ---- what the host provides ---- */

/* Whoever started us may have: nohup, or a shell without job control behind "&". */
static bool is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/*
 * Blocked before any thread is made, so that the signals reach the descriptor alone. What is
 * ignored stays so: blocking it would bring it back.
 */
static int open_signals(struct vm *vm, struct error *err)
{
	static const int caught[] = {
		SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH, SIGPWR};
	sigset_t set;
	int rc;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(caught); i++)
		if (!is_ignored(caught[i]))
			sigaddset(&set, caught[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	vm->signals = (struct event_source){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = EPOLLIN,
		.fn = on_signal,
		.opaque = vm,
	};
	if (vm->signals.fd < 0)
		return error_set_errno(err, -errno, "signalfd");
	rc = event_loop_add(vm->loop, &vm->signals);
	return rc < 0 ? error_set_errno(err, rc, "signalfd") : vcpu_signal_setup(err);
}

static int open_loop(struct vm *vm, struct error *err)
{
	int rc = event_loop_create(&vm->loop);

	if (!rc)
		rc = timer_queue_create(vm->loop, &vm->timers);
	return rc < 0 ? error_set_errno(err, rc, "event loop") : open_signals(vm, err);
}

static int open_serial(struct vm *vm, unsigned int port, struct error *err)
{
	const struct serial_config *serial = &vm->config->serial[port];
	const struct char_config config = {
		.loop = vm->loop,
		.clock = timer_queue_clock(vm->timers),
		.log = vm->log,
		.command = on_console_command,
		.opaque = vm,
	};
	struct chardev **dev = &vm->serial[port];
	int rc = 0;

	switch (serial->kind) {
	case SERIAL_NONE:
	case SERIAL_NULL:
		break;
	case SERIAL_STDIO:
		rc = char_stdio_create(&config, STDIN_FILENO, STDOUT_FILENO, dev, err);
		vm->terminal = *dev;
		break;
	case SERIAL_FILE:
		rc = char_file_create(&config, serial->path, dev, err);
		break;
	case SERIAL_PTY:
		rc = char_pty_create(&config, dev, err);
		break;
	case SERIAL_UNIX:
		rc = char_unix_create(&config, serial->path, dev, err);
		break;
	}
	return rc;
}

static int open_serials(struct vm *vm, struct error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < CONFIG_MAX_SERIAL; i++)
		rc = open_serial(vm, i, err);
	return rc;
}

/* NULL: *rc is the negative errno. */
static const char *kernel_path(struct vm *vm, int *rc, struct error *err)
{
	const struct config *config = vm->config;

	if (config->flat)
		return config->flat;
	if (config->kernel)
		return config->kernel;
	vm->found = malloc(sizeof(*vm->found));
	if (!vm->found) {
		*rc = error_set_errno(err, -ENOMEM, "looking for a kernel");
		return NULL;
	}
	*rc = kernel_find("/boot", vm->found, err);
	if (*rc < 0)
		return NULL;
	log_msg(vm->log, LOG_INFO, "no kernel given, booting %s", vm->found->path);
	if (vm->found->newer[0])
		log_msg(vm->log, LOG_WARN, "%s is newer, but cannot be read", vm->found->newer);
	return vm->found->path;
}

static int open_images(struct vm *vm, struct error *err)
{
	int rc = 0;
	const char *path = kernel_path(vm, &rc, err);

	if (!path)
		return rc;
	rc = image_open(path, &vm->kernel, err);
	if (rc < 0)
		return rc;
	vm->kernel_open = true;
	for (; !rc && vm->num_initrds < vm->config->num_initrds; vm->num_initrds += !rc)
		rc = image_open(
			vm->config->initrds[vm->num_initrds], &vm->initrds[vm->num_initrds], err);
	return rc;
}

static int compose_cmdline(struct vm *vm, struct error *err)
{
	const struct cmdline_defaults defaults = {
		.enabled = vm->config->default_cmdline,
		.serial1 = vm->config->serial[0].kind != SERIAL_NONE,
	};

	vm->cmdline = malloc(CMDLINE_SIZE);
	if (!vm->cmdline)
		return error_set_errno(err, -ENOMEM, "command line");
	return cmdline_compose(vm->config->cmdline, &defaults, vm->cmdline, CMDLINE_SIZE, err);
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
	vm->signals.fd = -1;
	vm->halt_timer = (struct timer){.fn = on_halt_timer, .opaque = vm};
	rc = compose_cmdline(vm, err);
	if (!rc)
		rc = open_images(vm, err);
	if (rc < 0) {
		*code = rc == -EIO || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ? EXIT_HOST
										      : EXIT_USAGE;
		goto destroy;
	}
	if (!config->dry_run) {
		rc = kvm_host_open(config->kvm_device, &vm->kvm, err);
		if (rc < 0)
			goto destroy;
	}
	rc = open_loop(vm, err);
	if (rc < 0)
		goto destroy;
	/* The terminal last: what fails before it prints on a terminal in its normal mode. */
	rc = config->dry_run ? 0 : open_serials(vm, err);
	if (rc < 0)
		goto destroy;
	*ret = vm;
	return 0;

destroy:
	vm_destroy(vm);
	return rc;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	atomic_store(&vm->ending, true);
	machine_destroy(vm->machine);
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		chardev_close(vm->serial[i]);
	if (vm->signals.fd >= 0) {
		event_loop_remove(vm->loop, &vm->signals);
		close(vm->signals.fd);
	}
	timer_queue_destroy(vm->timers);
	event_loop_destroy(vm->loop);
	kvm_host_close(vm->kvm);
	for (unsigned int i = 0; i < vm->num_initrds; i++)
		image_close(&vm->initrds[i]);
	if (vm->kernel_open)
		image_close(&vm->kernel);
	free(vm->cmdline);
	free(vm->found);
	free(vm);
}

/* ---- running ---- */

static int build(struct vm *vm, int *code, struct error *err)
{
	bool image_refused = false;
	int rc;
	struct machine_env env = {
		.config = vm->config,
		.cmdline = vm->cmdline,
		.kernel = &vm->kernel,
		.initrds = vm->initrds,
		.kvm = vm->kvm,
		.clock = timer_queue_clock(vm->timers),
		.log = vm->log,
		.power = {.notify = on_power, .opaque = vm},
		.vcpu_ended = on_vcpu_end,
		.opaque = vm,
		.ending = &vm->ending,
	};

	memcpy(env.serial, vm->serial, sizeof(env.serial));
	rc = machine_build(&env, &vm->machine, &image_refused, err);
	*code = image_refused ? EXIT_USAGE : EXIT_HOST;
	return rc;
}

static int start(struct vm *vm, struct error *err)
{
	const struct clock *clock = timer_queue_clock(vm->timers);

	if (vm->config->flat) {
		vm->halt_period_ns = HALT_CHECK_FIRST_NS;
		clock_arm(clock, &vm->halt_timer, clock_monotonic_ns(clock) + vm->halt_period_ns);
	}
	return machine_start(vm->machine, err);
}

/*
 * With "reboot=panic_warm" on the command line a warm reset is a panic's. A flat program's memory
 * is its own, and says nothing.
 */
static bool is_panic_reboot(const struct vm *vm)
{
	return !vm->config->flat && cmdline_has_key(vm->cmdline, "reboot") &&
	       strstr(vm->cmdline, "reboot=panic_warm") && machine_has_panic_mark(vm->machine);
}

/* Waits for a request and takes it; the vCPUs are out when this returns. */
static int wait_for_end(struct vm *vm, enum vm_end *end, struct error *err)
{
	do {
		int rc = event_loop_run(vm->loop);

		if (rc < 0)
			return error_set_errno(err, rc, "event loop");
		*end = (enum vm_end)atomic_load(&vm->end);
	} while (*end == VM_END_NONE);
	clock_disarm_sync(timer_queue_clock(vm->timers), &vm->halt_timer);
	atomic_store(&vm->ending, true);
	machine_stop(vm->machine);
	atomic_store(&vm->end, VM_END_NONE);
	return 0;
}

static void report_internal_error(struct vm *vm)
{
	char text[4096];

	log_msg(vm->log, LOG_ERROR,
		"KVM could not go on with the guest; `bantam doctor` tells whether this host can "
		"boot "
		"Linux at all");
	machine_describe_vcpu(vm->machine, atomic_load(&vm->ended_vcpu), text, sizeof(text));
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		log_msg(vm->log, LOG_ERROR, "%s", line);
	}
}

static enum end_action report_end(struct vm *vm, enum vm_end end)
{
	const struct config *config = vm->config;

	switch (end) {
	case VM_END_POWEROFF:
		log_msg(vm->log, LOG_INFO, "the guest powered off");
		return config->on_poweroff;
	case VM_END_REBOOT:
		log_msg(vm->log, LOG_INFO, "the guest reboots");
		return config->on_reboot;
	case VM_END_PANIC:
		log_msg(vm->log, LOG_ERROR, "the guest's kernel panicked");
		return config->on_panic;
	case VM_END_TRIPLE_FAULT:
		log_msg(vm->log, LOG_ERROR, "the guest crashed by a triple fault");
		return config->on_panic;
	case VM_END_HALT:
		log_msg(vm->log, LOG_DEBUG, "the guest halted");
		return config->on_poweroff;
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

/* What the guest did, or the person at the console: reports it, and says what follows. */
static enum end_action answer_end(struct vm *vm, enum vm_end *end)
{
	enum end_action action;

	if (*end == VM_END_REBOOT && is_panic_reboot(vm))
		*end = VM_END_PANIC;
	action = report_end(vm, *end);
	if (action == END_EXIT || vm->order == VM_END_NONE)
		return action;
	*end = vm->order;
	return report_end(vm, *end);
}

/*
 * Nothing of the guest runs, so a reset is the person's, whose wish counts; what the guest's end
 * left in its memory means nothing any more.
 */
static int wait_paused(struct vm *vm, enum vm_end *end, enum end_action *action, struct error *err)
{
	int rc;

	log_msg(vm->log, LOG_INFO, "paused; Ctrl-A x quits, Ctrl-A r resets");
	rc = wait_for_end(vm, end, err);
	if (rc < 0)
		return rc;
	report_end(vm, *end);
	*action = *end == VM_END_REBOOT ? END_RESTART : END_EXIT;
	return 0;
}

/* Runs and reports one boot of the guest; *action says what follows. */
static int run_once(struct vm *vm, enum vm_end *end, enum end_action *action, struct error *err)
{
	int rc = start(vm, err);

	if (!rc)
		rc = wait_for_end(vm, end, err);
	if (rc < 0)
		return rc;
	*action = answer_end(vm, end);
	return *action == END_PAUSE ? wait_paused(vm, end, action, err) : 0;
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
		if (vm->config->dry_run) {
			machine_print(vm->machine, stdout);
			return 0;
		}
		rc = run_once(vm, end, &action, err);
		atomic_store(&vm->ending, true);
		machine_destroy(vm->machine);
		vm->machine = NULL;
	} while (!rc && action == END_RESTART);
	return rc;
}
