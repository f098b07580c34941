/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/help/help.h"

int client_complain(const struct error *err, int code)
{
	fprintf(stderr, "bantam: %s\n", err->text);
	return code;
}

static int take(
	struct client_args *args, const struct option_hit *hit, unsigned int max, struct error *err)
{
	if (hit->operand && args->num_operands == MIN(max, (unsigned int)CLIENT_MAX_OPERANDS))
		return error_set(err, -EINVAL, "bantam %s takes no '%s' there",
			verb_spec(args->verb)->name, hit->value);
	if (hit->operand) {
		args->operands[args->num_operands++] = hit->value;
	} else {
		args->given[hit->id] = true;
		args->values[hit->id] = hit->value;
	}
	return 0;
}

/* Whether or not there is such a VM. */
static int check_values(const struct client_args *args, struct error *err)
{
	uint64_t ms;
	int rc = 0;

	if (args->given[OPT_TIMEOUT])
		rc = client_parse_seconds(OPT_TIMEOUT, args->values[OPT_TIMEOUT], &ms, err);
	if (!rc && args->given[OPT_INTERVAL])
		rc = client_parse_interval(args->values[OPT_INTERVAL], &ms, err);
	if (!rc && args->given[OPT_JSON] && args->given[OPT_PROMETHEUS])
		rc = error_set(err, -EINVAL, "--json does not go with --prometheus");
	if (!rc && args->given[OPT_JSON] && args->given[OPT_QUIET])
		rc = error_set(err, -EINVAL, "--json does not go with --quiet");
	return rc;
}

int client_parse(struct client_args *args, enum verb verb, int argc, char **argv, unsigned int min,
	unsigned int max)
{
	struct option_scan scan;
	struct option_hit hit;
	struct error err = {""};
	int rc;

	*args = (struct client_args){.verb = verb};
	option_scan_start(&scan, verb, argc, argv);
	while ((rc = option_scan_next(&scan, &hit, &err)) > 0) {
		rc = take(args, &hit, max, &err);
		if (rc < 0)
			break;
		if (args->given[OPT_HELP])
			return help_print(stdout, argv[0]) < 0 ? EXIT_HOST : EXIT_POWEROFF;
	}
	if (!rc && args->num_operands < min)
		rc = error_set(&err, -EINVAL, "bantam %s needs more: bantam %s [OPTION]... %s",
			argv[0], argv[0], verb_spec(verb)->operand);
	if (!rc)
		rc = check_values(args, &err);
	return rc < 0 ? client_complain(&err, EXIT_USAGE) : -1;
}

int client_parse_seconds(enum option_id id, const char *text, uint64_t *ms, struct error *err)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 1e9))
		return error_set(err, -EINVAL, "--%s: '%s' is not a number of seconds",
			option_spec(id)->name, text);
	*ms = (uint64_t)(seconds * 1000);
	/* A moment is not for ever. */
	if (!*ms && seconds > 0)
		*ms = 1;
	return 0;
}

int client_parse_interval(const char *text, uint64_t *ms, struct error *err)
{
	int rc;

	*ms = 0;
	rc = client_parse_seconds(OPT_INTERVAL, text, ms, err);

	if (!rc && (*ms < CONFIG_MIN_INTERVAL_MS || *ms > CONFIG_MAX_INTERVAL_S * UINT64_C(1000)))
		return error_set(err, -EINVAL,
			"--interval: '%s' is not a number of seconds from 0.1 to %d", text,
			CONFIG_MAX_INTERVAL_S);
	return rc;
}

int client_simple(const char *name, const char *command, json_t *args)
{
	struct client *client;
	struct error err = {""};
	json_t *result;
	int rc = client_connect(name, &client, &err);

	if (rc < 0) {
		json_decref(args);
		return client_complain(&err, client_exit_code(rc));
	}
	rc = client_call(client, command, args, &result, &err);
	client_close(client);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	json_decref(result);
	return EXIT_POWEROFF;
}

void client_print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(json);
}

int client_for_each(const struct client_args *args,
	int (*each)(const struct client_args *args, const char *name, struct client *client))
{
	int worst = EXIT_POWEROFF;

	for (unsigned int i = 0; i < args->num_operands; i++) {
		struct client *client;
		struct error err = {""};
		int code, rc = client_connect(args->operands[i], &client, &err);

		if (rc < 0) {
			code = client_complain(&err, client_exit_code(rc));
		} else {
			code = each(args, args->operands[i], client);
			client_close(client);
		}
		worst = MAX(worst, code);
	}
	return worst;
}
