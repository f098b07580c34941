/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs about a VM's life: stop, reset, pause, resume, wait, events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/control/server.h"

/* One command, whose answer says nothing that was not known. */
static int simple(struct client *client, const char *command, json_t *args)
{
	struct error err = {""};
	json_t *result;
	int rc;

	client_set_timeout(client, CLIENT_ANSWER_MS + SERVER_PAUSE_MS);
	rc = client_call(client, command, args, &result, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	json_decref(result);
	return EXIT_POWEROFF;
}

/* ---- stop ---- */

static int report_stop(const struct client_args *args, const char *name, json_t *result)
{
	bool forced = json_is_true(json_object_get(result, "forced"));
	const char *cause = json_string_value(json_object_get(result, "cause"));

	if (args->given[OPT_JSON]) {
		json_object_set_new(result, "name", json_string(name));
		client_print_json(json_incref(result));
	} else if (forced && !args->given[OPT_FORCE]) {
		fprintf(stderr, "bantam: %s: the guest did not power off; ended by force\n", name);
	} else if (!forced && cause && strcmp(cause, "quit") && strcmp(cause, "poweroff")) {
		fprintf(stderr, "bantam: %s: ended by %s\n", name, cause);
	}
	json_decref(result);
	return forced && !args->given[OPT_FORCE] ? EXIT_FORCED : EXIT_POWEROFF;
}

static int stop_one(const struct client_args *args, const char *name, struct client *client)
{
	json_t *result, *values = json_object();
	struct error err = {""};
	uint64_t ms = SERVER_STOP_MS;
	int rc = 0;

	if (args->given[OPT_TIMEOUT]) {
		rc = client_parse_seconds(OPT_TIMEOUT, args->values[OPT_TIMEOUT], &ms, &err);
		json_object_set_new(values, "timeout", json_integer((json_int_t)ms));
	}
	if (args->given[OPT_FORCE])
		json_object_set_new(values, "force", json_true());
	if (rc < 0) {
		json_decref(values);
		return client_complain(&err, EXIT_USAGE);
	}
	/* The VM minds the time itself, unless it cannot. */
	client_set_timeout(client, ms ? ms + SERVER_END_MS + CLIENT_ANSWER_MS : 0);
	rc = client_call(client, "stop", values, &result, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	client_set_timeout(client, 0);
	client_wait_gone(client);
	return report_stop(args, name, result);
}

int client_stop(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_STOP, argc, argv, 1, CLIENT_MAX_OPERANDS);

	return code >= 0 ? code : client_for_each(&args, stop_one);
}

/* ---- reset, pause, resume ---- */

static int reset_one(const struct client_args *args, const char *name, struct client *client)
{
	(void)args, (void)name;
	return simple(client, "reset", NULL);
}

int client_reset(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_RESET, argc, argv, 1, CLIENT_MAX_OPERANDS);

	return code >= 0 ? code : client_for_each(&args, reset_one);
}

static int pause_one(const struct client_args *args, const char *name, struct client *client)
{
	(void)args, (void)name;
	return simple(client, "pause", NULL);
}

int client_pause(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_PAUSE, argc, argv, 1, CLIENT_MAX_OPERANDS);

	return code >= 0 ? code : client_for_each(&args, pause_one);
}

static int resume_one(const struct client_args *args, const char *name, struct client *client)
{
	json_t *values = json_object();

	(void)name;
	if (args->given[OPT_CATCH_UP])
		json_object_set_new(values, "catch_up", json_true());
	return simple(client, "resume", values);
}

int client_resume(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_RESUME, argc, argv, 1, CLIENT_MAX_OPERANDS);

	return code >= 0 ? code : client_for_each(&args, resume_one);
}

/* ---- wait ---- */

static int print_wait(const struct client_args *args, json_t *event)
{
	bool ended = !args->given[OPT_EVENT] || !strcmp(args->values[OPT_EVENT], "ended");
	int status = (int)json_integer_value(json_object_get(event, "status"));

	if (args->given[OPT_JSON])
		client_print_json(json_incref(event));
	json_decref(event);
	return ended ? status : EXIT_POWEROFF;
}

/* One whose process is stopped has its own line. */
static void say_waited(const struct client_args *args, uint64_t ms, struct error *err)
{
	const char *event = args->given[OPT_EVENT] ? args->values[OPT_EVENT] : "ended";

	if (strstr(err->text, "stopped"))
		return;
	if (!strcmp(event, "ended"))
		error_set(err, -ETIMEDOUT, "%s: it has not ended within %g s", args->operands[0],
			(double)ms / 1000);
	else
		error_set(err, -ETIMEDOUT, "%s: no event '%.64s' within %g s", args->operands[0],
			event, (double)ms / 1000);
}

/* For ms from since_ms on, or without end if that is 0. */
static int wait_for(
	const struct client_args *args, struct client *client, uint64_t ms, uint64_t since_ms)
{
	const uint64_t passed = client_now_ms() - since_ms;
	json_t *event, *values = json_object();
	struct error err = {""};
	int rc;

	if (args->given[OPT_EVENT] &&
		json_object_set_new(values, "event", json_string(args->values[OPT_EVENT])) < 0) {
		json_decref(values);
		error_set(&err, -EINVAL, "--event: there is no event called that");
		return client_complain(&err, EXIT_USAGE);
	}
	client_set_timeout(client, ms ? MAX(ms, passed + 1) - passed : 0);
	rc = client_call(client, "wait", values, &event, &err);
	if (rc == -ETIMEDOUT)
		say_waited(args, ms, &err);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : print_wait(args, event);
}

int client_wait(int argc, char **argv)
{
	struct client_args args;
	struct client *client;
	struct error err = {""};
	const uint64_t since_ms = client_now_ms();
	uint64_t ms = 0;
	int rc = 0, code = client_parse(&args, VERB_WAIT, argc, argv, 1, 1);

	if (code >= 0)
		return code;
	if (args.given[OPT_TIMEOUT])
		rc = client_parse_seconds(OPT_TIMEOUT, args.values[OPT_TIMEOUT], &ms, &err);
	if (rc < 0)
		return client_complain(&err, EXIT_USAGE);
	/* The event may take as long as it does, but not the greeting. */
	rc = client_connect_within(args.operands[0],
		ms ? MIN(ms, (uint64_t)CLIENT_ANSWER_MS) : CLIENT_ANSWER_MS, &client, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	code = wait_for(&args, client, ms, since_ms);
	client_close(client);
	return code;
}

/* ---- events ---- */

/* "2026-11-29 22:40:01.234 panic: cause" */
static void print_event(const json_t *event)
{
	double time = json_real_value(json_object_get(event, "time"));
	const time_t seconds = (time_t)time;
	const json_t *cause = json_object_get(event, "cause");
	const json_t *device = json_object_get(event, "device");
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%F %T", localtime_r(&seconds, &tm));
	printf("%s.%03d %s", when, (int)((time - (double)seconds) * 1000),
		json_string_value(json_object_get(event, "event")));
	if (device)
		printf(" %s", json_string_value(device));
	if (cause)
		printf(": %s", json_string_value(cause));
	if (json_object_get(event, "status"))
		printf(" (exit status %lld)", json_integer_value(json_object_get(event, "status")));
	putchar('\n');
	fflush(stdout);
}

static int events_of(const struct client_args *args, const char *name, struct client *client)
{
	struct error err = {""};
	json_t *event = NULL;
	int rc = client_send(client, "events", NULL, NULL, 0, &err);

	(void)name;
	while (rc >= 0 && !ferror(stdout) && (rc = client_read(client, &event, &err)) > 0) {
		if (args->given[OPT_JSON]) {
			client_print_json(event);
		} else {
			print_event(event);
			json_decref(event);
		}
	}
	if (!rc)
		json_decref(event);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}

int client_events(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_EVENTS, argc, argv, 1, 1);

	return code >= 0 ? code : client_for_each(&args, events_of);
}
