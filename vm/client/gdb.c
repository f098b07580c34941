/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam gdb`: gdb connects to a socket of ours, in a directory that nobody else can enter, and
 * the VM gets what we accept. The VM opens nothing, and the socket is gone as soon as gdb is there.
 *
 * gdb has the terminal, its signals and the last word: we wait for it and exit as it does.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"

enum { MAX_ARGS = CLIENT_MAX_OPERANDS + 16, NOT_FOUND = 127, LOOK_MS = 100 };

struct meeting {
	char dir[64];
	struct sockaddr_un address;
	int fd; /* it is listened on */
};

/* ---- where gdb and the VM meet ---- */

static void part(struct meeting *meeting)
{
	close(meeting->fd);
	unlink(meeting->address.sun_path);
	rmdir(meeting->dir);
}

static int meet(struct meeting *meeting, struct error *err)
{
	const char *tmp = getenv("XDG_RUNTIME_DIR");
	int rc;

	snprintf(meeting->dir, sizeof(meeting->dir), "%s/bantam-gdb-XXXXXX",
		tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(meeting->dir))
		return error_set_errno(err, -errno, "%s", meeting->dir);
	meeting->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(meeting->address.sun_path, sizeof(meeting->address.sun_path), "%s/gdb",
		meeting->dir);
	meeting->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (meeting->fd >= 0 &&
		bind(meeting->fd, (const struct sockaddr *)&meeting->address,
			sizeof(meeting->address)) == 0 &&
		listen(meeting->fd, 1) == 0)
		return 0;
	rc = error_set_errno(err, -errno, "a socket for gdb");
	part(meeting);
	return rc;
}

/* ---- gdb ---- */

static void run_gdb(const struct client_args *args, const struct meeting *meeting)
{
	char target[128];
	const char *argv[MAX_ARGS];
	unsigned int n = 0;

	snprintf(target, sizeof(target), "target remote %s", meeting->address.sun_path);
	argv[n++] = "gdb";
	argv[n++] = "-q";
	if (args->given[OPT_VMLINUX]) {
		argv[n++] = "-s";
		argv[n++] = args->values[OPT_VMLINUX];
	}
	argv[n++] = "-ex";
	argv[n++] = target;
	for (unsigned int i = 1; i < args->num_operands; i++)
		argv[n++] = args->operands[i];
	argv[n] = NULL;
	execvp("gdb", (char *const *)argv);
	_exit(NOT_FOUND);
}

/* 0 with the status when gdb has ended without coming here; 1 when it has come. */
static int await_gdb(const struct meeting *meeting, pid_t gdb, int *fd, int *status)
{
	struct pollfd pfd = {.fd = meeting->fd, .events = POLLIN};

	for (;;) {
		if (poll(&pfd, 1, LOOK_MS) > 0) {
			*fd = accept4(meeting->fd, NULL, NULL, SOCK_CLOEXEC);
			if (*fd >= 0)
				return 1;
		}
		if (waitpid(gdb, status, WNOHANG) == gdb)
			return 0;
	}
}

static int code_of(int status)
{
	struct error err;

	if (WIFSIGNALED(status))
		return EXIT_BY_SIGNAL + WTERMSIG(status);
	if (WEXITSTATUS(status) != NOT_FOUND)
		return WEXITSTATUS(status);
	error_set(&err, -ENOENT, "gdb cannot be run: is it installed (the package gdb)?");
	return client_complain(&err, EXIT_HOST);
}

static int hand_over(struct client *client, int fd)
{
	struct error err = {""};
	const int rc = client_send(client, "gdb", json_pack("{s:i}", "fd", 0), &fd, 1, &err);

	close(fd);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}

static int wait_for(pid_t gdb)
{
	int status = 0;

	while (waitpid(gdb, &status, 0) < 0 && errno == EINTR)
		continue;
	return code_of(status);
}

/* What a terminal sends to all is gdb's. */
static void leave_signals(bool ignored)
{
	static const int numbers[] = {SIGINT, SIGQUIT, SIGTSTP};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		signal(numbers[i], ignored ? SIG_IGN : SIG_DFL);
}

static int debug(const struct client_args *args, struct client *client, struct meeting *meeting)
{
	int fd = -1, status = 0, code;
	pid_t gdb;

	fflush(stdout);
	leave_signals(true);
	gdb = fork();
	if (gdb == 0) {
		leave_signals(false);
		run_gdb(args, meeting);
	}
	if (gdb < 0 || !await_gdb(meeting, gdb, &fd, &status)) {
		part(meeting);
		return gdb < 0 ? EXIT_HOST : code_of(status);
	}
	part(meeting);
	code = hand_over(client, fd);
	status = wait_for(gdb);
	return code != EXIT_POWEROFF ? code : status;
}

/* ---- the verb ---- */

static void say_symbols(const struct client_args *args, const json_t *result)
{
	const char *line = json_string_value(json_object_get(result, "symbols"));

	if (!args->given[OPT_VMLINUX] && line)
		printf("The kernel's symbols: %s\n", line);
}

static int check_file(const struct client_args *args, struct error *err)
{
	const char *path = args->values[OPT_VMLINUX];

	if (args->given[OPT_VMLINUX] && access(path, R_OK) < 0)
		return error_set_errno(err, -errno, "--vmlinux: %s", path);
	return 0;
}

static int attach(const struct client_args *args, struct client *client)
{
	struct meeting meeting = {.fd = -1};
	struct error err = {""};
	json_t *result;
	int rc = client_call(client, "gdb-info", NULL, &result, &err);

	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	say_symbols(args, result);
	json_decref(result);
	rc = meet(&meeting, &err);
	return rc < 0 ? client_complain(&err, EXIT_HOST) : debug(args, client, &meeting);
}

int client_gdb(int argc, char **argv)
{
	struct client_args args;
	struct client *client;
	struct error err = {""};
	int rc, code = client_parse(&args, VERB_GDB, argc, argv, 1, CLIENT_MAX_OPERANDS);

	if (code >= 0)
		return code;
	if (check_file(&args, &err) < 0)
		return client_complain(&err, EXIT_USAGE);
	rc = client_connect(args.operands[0], &client, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	code = attach(&args, client);
	client_close(client);
	return code;
}
