/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam balloon`: the target as it is, or a new one; and what the guest says of its memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"

int client_parse_balloon(const char *text, const char **field, uint64_t *size, struct error *err)
{
	const char *digits = text;
	int rc;

	*field = "target";
	if (*text == '+' || *text == '-') {
		*field = *text == '+' ? "more" : "less";
		digits++;
	}
	rc = config_parse_size(digits, MiB, size);
	if (rc == -ERANGE || (!rc && *size > INT64_MAX))
		return error_set(err, -EINVAL, "'%s' is more than any machine has", text);
	return rc < 0 ? error_set(err, -EINVAL, "'%s' is not a size (512M, +1G, -256M)", text) : 0;
}

static void print_guest(const json_t *guest)
{
	const char *separator = "guest: ", *key;
	static const char *const shown[] = {"total", "available", "free", "caches"};

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		const json_t *value = json_object_get(guest, key = shown[i]);

		if (!value)
			continue;
		printf("%s%s %lld MiB", separator, key, json_integer_value(value) / (long long)MiB);
		separator = ", ";
	}
	if (*separator == ',')
		putchar('\n');
}

/* Whole ones mostly, but a person may ask for 1.5M. */
static double mib(const json_t *answer, const char *key)
{
	return (double)json_integer_value(json_object_get(answer, key)) / (double)MiB;
}

static void print_answer(const json_t *answer)
{
	printf("target %.10g MiB, actual %.10g MiB\n", mib(answer, "target"),
		mib(answer, "actual"));
	print_guest(json_object_get(answer, "guest"));
}

static int balloon(const struct client_args *args, const char *name, json_t *values)
{
	struct client *client;
	struct error err = {""};
	json_t *answer;
	uint64_t ms = 0;
	int rc = 0;

	if (args->given[OPT_TIMEOUT])
		rc = client_parse_seconds(OPT_TIMEOUT, args->values[OPT_TIMEOUT], &ms, &err);
	if (!rc)
		rc = client_connect(name, &client, &err);
	if (rc) {
		json_decref(values);
		return client_complain(&err, client_exit_code(rc));
	}
	client_set_timeout(client, ms || args->given[OPT_WAIT] ? ms : CLIENT_ANSWER_MS);
	rc = client_call(client, "balloon", values, &answer, &err);
	client_close(client);
	if (rc == -ETIMEDOUT && args->given[OPT_WAIT] && !strstr(err.text, "stopped"))
		error_set(&err, rc, "%s: the balloon has not reached its target within %g s", name,
			(double)ms / 1000);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	if (args->given[OPT_JSON]) {
		client_print_json(answer);
	} else {
		print_answer(answer);
		json_decref(answer);
	}
	return EXIT_POWEROFF;
}

int client_balloon(int argc, char **argv)
{
	struct client_args args;
	struct error err = {""};
	json_t *values;
	const char *field;
	uint64_t size;
	int code = client_parse(&args, VERB_BALLOON, argc, argv, 1, 2);

	if (code >= 0)
		return code;
	values = json_object();
	if (args.num_operands == 2) {
		if (client_parse_balloon(args.operands[1], &field, &size, &err) < 0) {
			json_decref(values);
			return client_complain(&err, EXIT_USAGE);
		}
		json_object_set_new(values, field, json_integer((json_int_t)size));
	}
	if (args.given[OPT_WAIT])
		json_object_set_new(values, "wait", json_true());
	return balloon(&args, args.operands[0], values);
}
