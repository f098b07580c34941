/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opened once, and closed in reverse: processes that serve networks, while this one has little
 * memory and one thread; images and command line, KVM's device, event loop and
 * signals, disks, character back ends. The terminal comes last, so that what fails before it is
 * printed on a terminal in its normal mode.
 */
#include "vm_private.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "devices/char/char.h"
#include "devices/char/hub.h"
#include "vm/config/exit_code.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/core/signals.h"
#include "vm/kvm/kvm.h"
#include "vm/machine/disks.h"
#include "vm/machine/machine.h"
#include "vm/machine/nets.h"
#include "vm/machine/shares.h"
#include "vm/sandbox/sandbox.h"
#include "vm/sigbus.h"

/* ---- requests from outside ---- */

/* After a SIGCONT. vCPUs that were in the guest have told it already, see vcpu.c. */
static void resume(struct vm *vm)
{
	char_stdio_resume(vm->terminal);
	if (vm->machine)
		machine_tell_paused(vm->machine);
}

static void suspend(struct vm *vm)
{
	char_stdio_suspend(vm->terminal);
	raise(SIGSTOP);
	resume(vm);
}

static void on_console_command(void *opaque, enum console_command command)
{
	struct vm *vm = opaque;

	switch (command) {
	case CONSOLE_QUIT:
		vm_order_end(vm, VM_END_QUIT);
		break;
	case CONSOLE_RESET:
		vm->reset_by = "console";
		vm_request_end(vm, VM_END_REBOOT);
		break;
	case CONSOLE_POWER_BUTTON:
		if (vm->machine)
			machine_power_button(vm->machine);
		break;
	case CONSOLE_SUSPEND:
		suspend(vm);
		break;
	case CONSOLE_DETACH:
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
		if (!signal_is_ignored(SIGTSTP))
			suspend(vm);
		break;
	case SIGCONT:
		resume(vm);
		break;
	case SIGWINCH:
		char_stdio_resized(vm->terminal);
		break;
	case SIGPWR:
		if (vm->machine)
			machine_power_button(vm->machine);
		break;
	case SIGUSR1:
		disks_refresh(vm->disks);
		break;
	default:
		if (signal_is_ignored((int)info.ssi_signo))
			break;
		atomic_store(&vm->signal, (int)info.ssi_signo);
		vm_order_end(vm, VM_END_SIGNAL);
		break;
	}
}

/* ---- resources ---- */

/*
 * Blocked before any thread is made, so that the signals reach the descriptor alone. SIGPIPE
 * reaches nobody: a thread that writes to nobody has EPIPE to tell it. No other signal is blocked,
 * whatever whoever started us has left: the one that kicks vCPUs least of all.
 */
static int open_signals(struct vm *vm, struct error *err)
{
	static const int ours[] = {SIGTSTP, SIGCONT, SIGWINCH, SIGPWR, SIGUSR1};
	sigset_t set, blocked;
	int rc;

	signals_ending(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigaddset(&set, ours[i]);
	blocked = set;
	sigaddset(&blocked, SIGPIPE);
	pthread_sigmask(SIG_SETMASK, &blocked, NULL);
	vm->signals = (struct event_source){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = EPOLLIN,
		.fn = on_signal,
		.opaque = vm,
	};
	if (vm->signals.fd < 0)
		return error_set_errno(err, -errno, "signalfd");
	rc = event_loop_add(vm->loop, &vm->signals);
	if (rc < 0)
		return error_set_errno(err, rc, "signalfd");
	rc = sigbus_setup(err);
	return rc < 0 ? rc : vcpu_signal_setup(err);
}

static int open_loop(struct vm *vm, struct error *err)
{
	int rc = event_loop_create(&vm->loop);

	if (!rc)
		rc = timer_queue_create(vm->loop, &vm->timers);
	if (!rc)
		rc = timer_queue_create(vm->loop, &vm->guest_timers);
	return rc < 0 ? error_set_errno(err, rc, "event loop") : open_signals(vm, err);
}

static struct char_config char_config(struct vm *vm)
{
	return (struct char_config){
		.loop = vm->loop,
		.clock = timer_queue_clock(vm->timers),
		.log = vm->log,
		.command = on_console_command,
		.confine = sandbox_confine(vm->sandbox),
		.opaque = vm,
	};
}

static int open_char(
	struct vm *vm, const struct serial_config *where, struct chardev **dev, struct error *err)
{
	const struct char_config config = char_config(vm);
	int rc = 0;

	switch (where->kind) {
	case SERIAL_NONE:
	case SERIAL_NULL:
		break;
	case SERIAL_STDIO:
		/* The hub is all that is there then. */
		if (vm->config->detach)
			break;
		rc = char_stdio_create(&config, STDIN_FILENO, STDOUT_FILENO, dev, err);
		vm->terminal = *dev;
		break;
	case SERIAL_FILE:
		rc = char_file_create(&config, where->path, dev, err);
		break;
	case SERIAL_PTY:
		rc = char_pty_create(&config, dev, err);
		break;
	case SERIAL_UNIX:
		rc = char_unix_create(&config, where->path, dev, err);
		break;
	}
	return rc;
}

/* What this terminal is in the guest; where it is nothing, the first serial port. */
static struct chardev **console_of(struct vm *vm, bool *is_stdio)
{
	const struct serial_config *serial = vm->config->serial;

	*is_stdio = true;
	if (vm->config->console == CONSOLE_VIRTIO)
		return &vm->console;
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		if (serial[i].kind == SERIAL_STDIO)
			return &vm->serial[i];
	*is_stdio = false;
	return serial[0].kind != SERIAL_NONE ? &vm->serial[0] : NULL;
}

/* Puts a hub before it. Detached, the guest sees a terminal all the same. */
static int open_hub(struct vm *vm, struct error *err)
{
	const struct char_config config = char_config(vm);
	bool is_stdio;
	struct chardev **console = console_of(vm, &is_stdio);
	int rc;

	if (!console)
		return 0;
	rc = char_hub_create(&config, *console, is_stdio && vm->config->detach, console, err);
	if (!rc)
		vm->hub = *console;
	return rc;
}

static int open_chars(struct vm *vm, struct error *err)
{
	const struct serial_config console = {
		.kind = vm->config->console == CONSOLE_VIRTIO ? SERIAL_STDIO : SERIAL_NONE};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < vm->config->num_ports; i++)
		rc = open_char(vm, &vm->config->ports[i].where, &vm->ports[i], err);
	for (unsigned int i = 0; !rc && i < CONFIG_MAX_SERIAL; i++)
		rc = open_char(vm, &vm->config->serial[i], &vm->serial[i], err);
	if (!rc)
		rc = open_char(vm, &console, &vm->console, err);
	return rc < 0 ? rc : open_hub(vm, err);
}

/*
 * Whether what could not be opened is what the person gave, rather than the host that failed; or a
 * signal came meanwhile.
 */
static int code_of(int rc)
{
	switch (rc) {
	case -EIO:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN: /* threads, or asynchronous I/O, as much as the host allows */
		return EXIT_HOST;
	case -EINTR:
		return EXIT_BY_SIGNAL + signals_ending_pending();
	default:
		return EXIT_USAGE;
	}
}

static const struct confine *confine_share(void *opaque, int fd, bool read_only)
{
	return sandbox_add_share(opaque, fd, read_only);
}

static int open_shares(struct vm *vm, struct error *err)
{
	const struct shares_config shares = {.config = vm->config,
		.confined = vm->config->sandbox < SANDBOX_LOG && !vm->config->dry_run,
		.confine = confine_share,
		.opaque = vm->sandbox};

	static_assert((int)CONFIG_MAX_SHARES <= (int)SANDBOX_MAX_SHARES, "room for each");
	return shares_open(&shares, &vm->shares, err);
}

int vm_host_open(struct vm *vm, int *code, struct error *err)
{
	const struct config *config = vm->config;
	const struct helper_confine confine = sandbox_net_helper(vm->sandbox);
	int rc;

	rc = nets_create(config, vm->log, &confine, &vm->nets, err);
	if (!rc)
		rc = vm_images_open(vm, err);
	if (rc < 0) {
		*code = code_of(rc);
		return rc;
	}
	if (!config->dry_run)
		rc = kvm_host_open(config->kvm_device, &vm->kvm, err);
	if (!rc)
		rc = open_loop(vm, err);
	if (rc < 0)
		return rc;
	rc = config->dry_run ? 0 : vm_control_open(vm, err);
	if (rc < 0) {
		*code = code_of(rc);
		return rc;
	}
	rc = config->dry_run ? 0 : vm_gdb_open(vm, err);
	if (rc < 0) {
		*code = code_of(rc);
		return rc;
	}
	rc = disks_open(config, vm->log, sandbox_confine(vm->sandbox), &vm->disks, err);
	if (!rc)
		rc = nets_open(vm->nets, sandbox_confine(vm->sandbox), err);
	if (!rc)
		rc = open_shares(vm, err);
	if (rc < 0) {
		*code = code_of(rc);
		return rc;
	}
	return config->dry_run ? 0 : open_chars(vm, err);
}

static void close_chars(struct vm *vm)
{
	chardev_close(vm->console);
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		chardev_close(vm->serial[i]);
	for (unsigned int i = 0; i < CONFIG_MAX_PORTS; i++)
		chardev_close(vm->ports[i]);
}

/* Where vCPUs may still use it, the terminal is left to its guard. */
void vm_host_leave(struct vm *vm)
{
	if (!vm->left_vcpus)
		close_chars(vm);
	vm_confine_end(vm);
	vm_control_close(vm);
}

void vm_host_close(struct vm *vm)
{
	vm_gdb_close(vm);
	vm_control_end(vm, "failure", EXIT_HOST);
	close_chars(vm);
	shares_close(vm->shares);
	nets_close(vm->nets);
	disks_close(vm->disks);
	if (vm->signals.fd >= 0) {
		event_loop_remove(vm->loop, &vm->signals);
		close(vm->signals.fd);
	}
	vm_confine_end(vm);
	vm_control_close(vm);
	vm_notices_close(vm);
	vm_log_close(vm);
	timer_queue_destroy(vm->guest_timers);
	timer_queue_destroy(vm->timers);
	event_loop_destroy(vm->loop);
	kvm_host_close(vm->kvm);
	vm_images_close(vm);
}
