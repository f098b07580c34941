/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's end of a VM's socket (see vm/control/server.h for the lines), and what all verbs
 * that use it share. Blocking: a verb does one thing.
 */
#ifndef BANTAM_VM_CLIENT_CLIENT_H
#define BANTAM_VM_CLIENT_CLIENT_H

#include <jansson.h>

#include "vm/core/error.h"
#include "vm/options/options.h"

struct client;

/* ---- arguments ---- */

enum {
	CLIENT_MAX_OPERANDS = 64,
	CLIENT_ANSWER_MS = 10 * 1000, /* for what a VM whose process runs answers at once */
};

struct client_args {
	enum verb verb;
	const char *operands[CLIENT_MAX_OPERANDS];
	unsigned int num_operands;
	bool given[NUM_OPTIONS];
	const char *values[NUM_OPTIONS]; /* the last one; NULL for a flag */
};

/*
 * Reads the arguments of verb: at least min operands and at most max. -1 to go on; otherwise the
 * verb is over, with that exit code: help was asked for and printed, or a line about what is wrong.
 */
int client_parse(struct client_args *args, enum verb verb, int argc, char **argv, unsigned int min,
	unsigned int max);
/* Prints "bantam: " and the line; returns code. */
int client_complain(const struct error *err, int code);
/* A number of seconds, which may have a fraction, in ms. -EINVAL with a line. */
int client_parse_seconds(enum option_id id, const char *text, uint64_t *ms, struct error *err);
/* What --interval says, from a tenth of a second to a day. */
int client_parse_interval(const char *text, uint64_t *ms, struct error *err);

/* ---- connection ---- */

/*
 * Connects to the VM of that name. -ENOENT with a line when there is none, -ENOTCONN when it does
 * not listen, -EPERM when others may have made the directory of the sockets, -EPROTO when what
 * listens is no VM of a version that this one understands, -ETIMEDOUT when it says nothing for
 * CLIENT_ANSWER_MS. What follows has no time-out.
 */
int client_connect(const char *name, struct client **ret, struct error *err);
/* The same, with client_set_timeout for the connection and what follows. */
int client_connect_within(
	const char *name, uint64_t timeout_ms, struct client **ret, struct error *err);
void client_close(struct client *client);

/* Of the clock that time-outs go by. */
uint64_t client_now_ms(void);
/* The descriptor that becomes readable when something comes. */
int client_fd(const struct client *client);
/* An answer has come with an earlier one: client_read does not wait. */
bool client_has_more(const struct client *client);
/*
 * Has every later client_read give up at timeout_ms from now: -ETIMEDOUT. 0: never.
 */
void client_set_timeout(struct client *client, uint64_t timeout_ms);

/*
 * Sends a command; args, which may be NULL, is taken over. fds go along. -errno with a line.
 */
int client_send(struct client *client, const char *command, json_t *args, const int *fds,
	unsigned int num_fds, struct error *err);
/*
 * Reads an answer: 1 with a part (the command goes on), 0 with the result (the caller's to drop),
 * or what the VM refused or the connection failed with, with a line. -ESHUTDOWN when the VM is
 * gone.
 */
int client_read(struct client *client, json_t **ret, struct error *err);
/* Send and read, for commands without parts. */
int client_call(
	struct client *client, const char *command, json_t *args, json_t **ret, struct error *err);
/*
 * Has client_read end with -EINTR, and an empty line, as soon as fd is readable; -1: none. fd stays
 * the caller's.
 */
void client_interrupt_by(struct client *client, int fd);
/* Waits until the VM has hung up, that is its process has let go of the name. */
void client_wait_gone(struct client *client);

/*
 * -EINVAL for errors that lie in what a command names (a file that is not there, or in use; a
 * device that the VM has not); rc for others. What a VM refuses has gone through it.
 */
int client_blame(int rc);
/* The exit code for what connect, call or read failed with. */
int client_exit_code(int rc);

/*
 * One command to the VM of that name, whose answer says nothing that was not known; args is taken
 * over. The exit code.
 */
int client_simple(const char *name, const char *command, json_t *args);

/*
 * "512M", "+1G" or "-256M": the field of the command "balloon" that it stands for, and its value.
 * -EINVAL with a line.
 */
int client_parse_balloon(const char *text, const char **field, uint64_t *size, struct error *err);

/* ---- printing ---- */

/* One line of JSON; the object is dropped. */
void client_print_json(json_t *json);

/*
 * For verbs that do one thing to each of several VMs: calls each for every operand, and returns the
 * worst exit code.
 */
int client_for_each(const struct client_args *args,
	int (*each)(const struct client_args *args, const char *name, struct client *client));

#endif
