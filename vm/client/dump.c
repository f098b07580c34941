/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam dump`: makes the file with this process's rights, and hands it to the VM, which writes
 * it. Whatever ends that early (^C here, a full disk, the guest's end) takes the file away again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/core/signals.h"

/* Guest memory has secrets: nobody else may read it. */
static int create(const char *path, struct error *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return error_set(err, -EEXIST,
			"%s: is there already: remove it first, or choose another name", path);
	return fd < 0 ? error_set_errno(err, -errno, "%s", path) : fd;
}

static void show_progress(const json_t *part)
{
	const double done = json_number_value(json_object_get(part, "done"));
	const double size = json_number_value(json_object_get(part, "size"));

	if (isatty(STDERR_FILENO) && size > 0)
		fprintf(stderr, "\r%3.0f %% of %.0f MiB ", 100 * done / size, size / (double)MiB);
}

static void end_progress(void)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

static int transfer(struct client *client, const struct client_args *args, int fd, json_t **result,
	struct error *err)
{
	json_t *values = json_pack("{s:i}", "file", 0);
	int rc;

	if (args->given[OPT_NO_PAUSE])
		json_object_set_new(values, "no_pause", json_true());
	rc = client_send(client, "dump", values, &fd, 1, err);
	while (rc >= 0 && (rc = client_read(client, result, err)) > 0) {
		show_progress(*result);
		json_decref(*result);
	}
	end_progress();
	return rc;
}

static int finish(const struct client_args *args, const char *path, json_t *result)
{
	if (args->given[OPT_JSON])
		client_print_json(json_pack(
			"{s:s, s:O}", "file", path, "memory", json_object_get(result, "size")));
	json_decref(result);
	return EXIT_POWEROFF;
}

/* The signals that end this process are looked for, so that the file is gone before it. */
static int watch_signals(struct client *client, struct error *err)
{
	sigset_t set;
	int fd;

	signals_ending_heeded(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, -errno, "signals");
	client_interrupt_by(client, fd);
	return fd;
}

/* What ends by a signal ends by it in the end, see process_end. */
static int code_of(int rc)
{
	const int signal = rc == -EINTR ? signals_ending_pending() : 0;

	return signal ? EXIT_BY_SIGNAL + signal : client_exit_code(rc);
}

static int dump_to(struct client *client, const struct client_args *args, int fd)
{
	const char *path = args->operands[1];
	struct error err = {""};
	json_t *result;
	int rc = transfer(client, args, fd, &result, &err);

	/* Some file systems say only here that they were full. */
	if (close(fd) < 0 && !rc) {
		json_decref(result);
		rc = error_set_errno(&err, -errno, "%s", path);
	}
	if (!rc)
		return finish(args, path, result);
	unlink(path);
	return rc == -EINTR ? code_of(rc) : client_complain(&err, code_of(rc));
}

static int dump(const struct client_args *args, struct client *client)
{
	struct error err = {""};
	const int signals = watch_signals(client, &err);
	int code, fd;

	if (signals < 0)
		return client_complain(&err, EXIT_HOST);
	fd = create(args->operands[1], &err);
	if (fd < 0)
		code = client_complain(&err, client_exit_code(client_blame(fd)));
	else
		code = dump_to(client, args, fd);
	close(signals);
	return code;
}

int client_dump(int argc, char **argv)
{
	struct client_args args;
	struct client *client;
	struct error err = {""};
	int code = client_parse(&args, VERB_DUMP, argc, argv, 2, 2), rc;

	if (code >= 0)
		return code;
	rc = client_connect(args.operands[0], &client, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	code = dump(&args, client);
	client_close(client);
	return code;
}
