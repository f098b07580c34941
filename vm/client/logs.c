/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam logs`: a detached VM's file, which is there after its end, too; of another VM that runs,
 * the lines that it keeps. A VM that starts removes an older one's file, so the file is its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/control/registry.h"

/* ---- the file ---- */

/* From where it is up to the end. */
static int copy_rest(int fd)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return -EIO;
	return n < 0 || fflush(stdout) ? -EIO : 0;
}

/* The older file, from there on; it need not be there. */
static int copy_older(const char *name, off_t from)
{
	char path[REGISTRY_MAX_PATH];
	int fd, rc = registry_log_path(name, true, path, sizeof(path), NULL);

	if (rc < 0)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	lseek(fd, from, SEEK_SET);
	rc = copy_rest(fd);
	close(fd);
	return rc;
}

/* As it is rotated, the older file gets all that was in this one, at the same place. */
static int copy(const char *name, int fd)
{
	const off_t at = lseek(fd, 0, SEEK_CUR);
	struct stat st;
	int rc = 0;

	if (fstat(fd, &st) == 0 && st.st_size < at) {
		rc = copy_older(name, at);
		lseek(fd, 0, SEEK_SET);
	}
	return rc < 0 ? rc : copy_rest(fd);
}

/* Something was written, or (false) the VM has hung up. */
static bool wait_for_more(int watch, const struct client *client)
{
	struct pollfd fds[] = {
		{.fd = watch, .events = POLLIN}, {.fd = client_fd(client), .events = POLLIN}};
	char events[4096];

	poll(fds, ARRAY_SIZE(fds), -1);
	if (fds[0].revents && read(watch, events, sizeof(events)) < 0)
		return false;
	return !fds[1].revents;
}

static int follow(const char *name, const char *path, int fd)
{
	int watch = inotify_init1(IN_CLOEXEC), rc;
	struct client *client;
	bool more = true;

	/* Watched before it is read, so that nothing is written unseen between the two. */
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		more = false;
	rc = copy(name, fd);
	if (more && client_connect(name, &client, NULL) == 0) {
		while (!rc && more) {
			more = wait_for_more(watch, client);
			rc = copy(name, fd);
		}
		client_close(client);
	}
	if (watch >= 0)
		close(watch);
	return rc;
}

static int print_file(const struct client_args *args, const char *path, int fd)
{
	const char *name = args->operands[0];
	struct error err;
	int rc = copy_older(name, 0);

	if (!rc)
		rc = args->given[OPT_FOLLOW] ? follow(name, path, fd) : copy(name, fd);
	close(fd);
	if (!rc)
		return EXIT_POWEROFF;
	error_set(&err, rc, "%s: cannot be read, or printed", path);
	return client_complain(&err, EXIT_HOST);
}

/* ---- the VM ---- */

static int ask(const struct client_args *args, const char *name, struct client *client)
{
	json_t *values = json_object(), *part;
	struct error err = {""};
	int rc;

	(void)name;
	if (args->given[OPT_FOLLOW])
		json_object_set_new(values, "follow", json_true());
	rc = client_send(client, "log", values, NULL, 0, &err);
	while (rc >= 0 && (rc = client_read(client, &part, &err)) > 0) {
		printf("%s\n", json_string_value(json_object_get(part, "line")));
		fflush(stdout);
		json_decref(part);
	}
	if (!rc)
		json_decref(part);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}

int client_logs(int argc, char **argv)
{
	struct client_args args;
	char path[REGISTRY_MAX_PATH];
	struct error err = {""};
	int fd, rc, code = client_parse(&args, VERB_LOGS, argc, argv, 1, 1);

	if (code >= 0)
		return code;
	rc = registry_check(&err);
	if (!rc)
		rc = registry_log_path(args.operands[0], false, path, sizeof(path), &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? client_for_each(&args, ask) : print_file(&args, path, fd);
}
