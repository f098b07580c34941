/* SPDX-License-Identifier: BSD-2-Clause */
/* This is the one place that prints an error's text, and the one that turns ends into exit codes.
 */
#include "vm/cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/cli/detach.h"
#include "vm/cli/notify.h"
#include "vm/client/verbs.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/help/help.h"
#include "vm/options/options.h"
#include "vm/vm.h"

static int complain(const struct error *err, int code)
{
	fprintf(stderr, "bantam: %s\n", err->text);
	return code;
}

static int exit_code_of(const struct vm *vm, enum vm_end end)
{
	switch (end) {
	case VM_END_NONE:
	case VM_END_POWEROFF:
	case VM_END_HALT:
		return EXIT_POWEROFF;
	case VM_END_REBOOT:
		return EXIT_REBOOT;
	case VM_END_PANIC:
	case VM_END_EARLY_HALT:
	case VM_END_TRIPLE_FAULT:
		return EXIT_PANIC;
	case VM_END_EXIT_PORT:
		return (int)vm_end_status(vm);
	case VM_END_NO_MEMORY:
		return EXIT_HOST;
	case VM_END_INTERNAL_ERROR:
		return EXIT_KVM_INTERNAL;
	case VM_END_QUIT:
		return EXIT_QUIT;
	case VM_END_SIGNAL:
		return EXIT_BY_SIGNAL + vm_end_signal(vm);
	}
	return EXIT_HOST;
}

/* A start that came so far and fails nevertheless has said why. */
struct start {
	struct detach detach;
	struct log log;
	int manager; /* notify_open's */
	bool failed;
};

static int on_opened(void *opaque, const char *name, struct error *err)
{
	struct start *start = opaque;

	start->manager = notify_open();
	if (start->detach.wire < 0)
		return 0;
	if (!name)
		return error_set(err, -ENOENT, "--detach: nobody could reach this VM");
	return detach_prepare(&start->detach, name, err);
}

static void on_running(void *opaque, struct vm *vm, const char *name)
{
	struct start *start = opaque;
	struct error err;
	int rc = 0;

	if (start->detach.wire >= 0 && !name)
		rc = error_set(&err, -ENOENT, "--detach: nobody could reach this VM");
	else if (start->detach.wire >= 0)
		rc = detach_running(&start->detach, name, &start->log, &err);
	if (rc < 0) {
		start->failed = true;
		complain(&err, EXIT_HOST);
		vm_request_end(vm, VM_END_QUIT);
		return;
	}
	notify_send(start->manager, "READY=1");
}

static int run_vm(const struct config *config, struct start *start)
{
	static const struct vm_callbacks callbacks = {.opened = on_opened, .running = on_running};
	struct error err = {""};
	enum vm_end end = VM_END_NONE;
	struct log *log = &start->log;
	struct vm *vm;
	int code, rc;

	log_init(log, STDERR_FILENO, config->verbose ? LOG_DEBUG : LOG_INFO, config->name);
	rc = vm_create(config, log, &vm, &code, &err);
	if (rc < 0)
		return complain(&err, code);
	vm_set_callbacks(vm, &callbacks, start);
	rc = vm_run(vm, &end, &code, &err);
	if (!rc)
		code = start->failed ? EXIT_HOST : exit_code_of(vm, end);
	notify_send(start->manager, "STOPPING=1");
	vm_farewell(vm, rc < 0 ? VM_END_NONE : end, code);
	vm_destroy(vm);
	/* Only now: the terminal is in its normal mode again. */
	return rc < 0 ? complain(&err, code) : code;
}

static int run(const struct config *config)
{
	struct start start = {.detach = {.wire = -1, .log_fd = -1}, .manager = -1};
	struct error err;
	int code, rc = config->detach ? detach_fork(&start.detach, config, &code, &err) : 0;

	if (rc < 0)
		code = complain(&err, EXIT_HOST);
	else if (!rc)
		code = run_vm(config, &start);
	detach_destroy(&start.detach);
	return code;
}

int command_run(int argc, char **argv)
{
	struct error err = {""};
	struct config config;
	int code, rc;

	config_init(&config);
	rc = config_parse(&config, argc, argv, &err);
	if (!rc)
		rc = config_validate(&config, &err);
	if (rc == 1)
		code = help_print(stdout, argv[0]) < 0 ? EXIT_HOST : EXIT_POWEROFF;
	else
		code = rc < 0 ? complain(&err, EXIT_USAGE) : run(&config);
	config_destroy(&config);
	return code;
}

static int command_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("bantam %s\n", BANTAM_VERSION);
	return EXIT_POWEROFF;
}

static int print_by_name(int argc, char **argv, int (*print)(FILE *out, const char *name),
	const char *what, const char *none)
{
	const char *name = argc > 1 ? argv[1] : none;
	struct error err;

	if (argc > 2) {
		error_set(&err, -EINVAL, "%s takes one %s", argv[0], what);
		return complain(&err, EXIT_USAGE);
	}
	if (print(stdout, name) == 0)
		return EXIT_POWEROFF;
	error_set(&err, -ENOENT, "no such %s: '%s'; see `bantam help`", what, name ? name : "");
	return complain(&err, EXIT_USAGE);
}

static int command_help(int argc, char **argv)
{
	return print_by_name(argc, argv, help_print, "verb", NULL);
}

static int command_completion(int argc, char **argv)
{
	return print_by_name(argc, argv, completion_print, "shell", "");
}

/* What could not be printed was not done. */
static int check_output(int code)
{
	const bool failed = fflush(stdout) != 0 || ferror(stdout);
	struct error err;

	if (!failed)
		return code;
	error_set(&err, -EIO, "standard output cannot be written");
	return complain(&err, code == EXIT_POWEROFF ? EXIT_HOST : code);
}

int command_main(int argc, char **argv)
{
	static int (*const commands[NUM_VERBS])(int argc, char **argv) = {
		[VERB_RUN] = command_run,
		[VERB_PACK] = command_pack,
		[VERB_DOCTOR] = command_doctor,
		[VERB_PS] = client_ps,
		[VERB_STOP] = client_stop,
		[VERB_RESET] = client_reset,
		[VERB_PAUSE] = client_pause,
		[VERB_RESUME] = client_resume,
		[VERB_WAIT] = client_wait,
		[VERB_EVENTS] = client_events,
		[VERB_CONSOLE] = client_console,
		[VERB_STAT] = client_stat,
		[VERB_TOP] = client_top,
		[VERB_LIMIT] = client_limit,
		[VERB_BALLOON] = client_balloon,
		[VERB_NMI] = client_nmi,
		[VERB_SYSRQ] = client_sysrq,
		[VERB_DUMP] = client_dump,
		[VERB_GDB] = client_gdb,
		[VERB_LOGS] = client_logs,
		[VERB_DISK] = client_disk,
		[VERB_NET] = client_net,
		[VERB_VERSION] = command_version,
		[VERB_HELP] = command_help,
		[VERB_COMPLETION] = command_completion,
	};
	struct error err = {""};
	enum verb verb;

	if (argc < 2) {
		help_print(stderr, NULL);
		return EXIT_USAGE;
	}
	if (verb_find(argv[1], &verb, &err) < 0)
		return complain(&err, EXIT_USAGE);
	return check_output(commands[verb](argc - 1, argv + 1));
}
