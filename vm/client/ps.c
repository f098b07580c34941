/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam ps`: asks each VM whose name is taken. One that does not answer yet is starting. */
#include <stdio.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/control/registry.h"

/* One that hangs must not hold up the list. */
enum { PATIENCE_MS = 2000 };

struct listing {
	bool json, quiet;
	bool headed; /* the heading is printed */
};

static void print_uptime(char *buf, size_t size, double uptime)
{
	const unsigned long s = (unsigned long)uptime;

	if (s >= 86400)
		snprintf(buf, size, "%lud %luh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(buf, size, "%luh %lum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(buf, size, "%lum %lus", s / 60, s % 60);
	else
		snprintf(buf, size, "%lus", s);
}

/* Of one that does not answer only the name is known. */
static void print_busy(const json_t *status)
{
	printf("%-20s %8s %-9s %10s %5s %10s\n", json_string_value(json_object_get(status, "name")),
		"-", json_string_value(json_object_get(status, "state")), "-", "-", "-");
}

static void print_row(struct listing *listing, const json_t *status)
{
	char uptime[32];

	if (!listing->headed)
		printf("%-20s %8s %-9s %10s %5s %10s\n", "NAME", "PID", "STATE", "UPTIME", "CPUS",
			"MEMORY");
	listing->headed = true;
	if (!json_object_get(status, "pid")) {
		print_busy(status);
		return;
	}
	print_uptime(uptime, sizeof(uptime), json_number_value(json_object_get(status, "uptime")));
	printf("%-20s %8lld %-9s %10s %5lld %8lldM\n",
		json_string_value(json_object_get(status, "name")),
		json_integer_value(json_object_get(status, "pid")),
		json_string_value(json_object_get(status, "state")), uptime,
		json_integer_value(json_object_get(status, "cpus")),
		json_integer_value(json_object_get(status, "memory")) / (long long)MiB);
}

static json_t *ask(const char *name)
{
	struct client *client;
	struct error err;
	json_t *status = NULL;

	if (client_connect_within(name, PATIENCE_MS, &client, &err) == 0) {
		if (client_call(client, "status", NULL, &status, &err) < 0)
			status = NULL;
		client_close(client);
	}
	return status;
}

static void list(void *opaque, const char *name)
{
	struct listing *listing = opaque;
	json_t *status;

	if (listing->quiet) {
		printf("%s\n", name);
		return;
	}
	status = ask(name);
	if (!status && !registry_is_running(name))
		return;
	if (!status)
		status = json_pack("{s:s, s:s}", "name", name, "state", "busy");
	if (listing->json) {
		client_print_json(status);
		return;
	}
	print_row(listing, status);
	json_decref(status);
}

int client_ps(int argc, char **argv)
{
	struct client_args args;
	struct listing listing;
	struct error err = {""};
	int code = client_parse(&args, VERB_PS, argc, argv, 0, 0), rc;

	if (code >= 0)
		return code;
	listing = (struct listing){.json = args.given[OPT_JSON], .quiet = args.given[OPT_QUIET]};
	rc = registry_each(list, &listing, &err);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}
