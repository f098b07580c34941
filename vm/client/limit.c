/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam limit`: what a disk or a card may do, from now on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/config_limit.h"
#include "vm/config/exit_code.h"

static const char *const keys[NUM_LIMIT_VALUES] = {
	[LIMIT_BANDWIDTH] = "bandwidth",
	[LIMIT_BANDWIDTH_BURST] = "bandwidth_burst",
	[LIMIT_BANDWIDTH_ONCE] = "bandwidth_once",
	[LIMIT_OPS] = "ops",
	[LIMIT_OPS_BURST] = "ops_burst",
	[LIMIT_OPS_ONCE] = "ops_once",
};

struct wanted {
	bool card, off;
	struct limit_config limits[LIMIT_MAX_DIRECTIONS];
};

/*
 * Ids may be anything, so the VM says what a device is. What is no card is a disk, or the VM says
 * that there is none, which matters more than keys that are wrong.
 */
static int find_card(struct client *client, const char *id, bool *card, struct error *err)
{
	json_t *result, *net;
	size_t i;
	int rc = client_call(client, "nets", NULL, &result, err);

	*card = false;
	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(result, "nets"), i, net)
	{
		const char *found = json_string_value(json_object_get(net, "id"));

		*card |= found && !strcmp(found, id);
	}
	json_decref(result);
	if (*card)
		return 0;
	rc = client_call(client, "limit", json_pack("{s:s}", "device", id), &result, err);
	if (!rc)
		json_decref(result);
	return rc;
}

static int parse(const struct client_args *args, struct wanted *wanted, struct error *err)
{
	int rc = 1;

	for (unsigned int i = 2; i < args->num_operands; i++) {
		const char *word = args->operands[i];

		if (!strcmp(word, "off") && args->num_operands == 3) {
			wanted->off = true;
			continue;
		}
		rc = limit_parse("bantam limit", word, wanted->card, wanted->limits, err);
		if (!rc)
			return error_set(err, -EINVAL,
				"bantam limit: unknown key '%s' (%s, each with -burst and -once; "
				"or "
				"off alone)",
				word,
				wanted->card ? "rx-bandwidth=, tx-bandwidth=, rx-pps=, tx-pps="
					     : "bandwidth=, iops=");
		if (rc < 0)
			return rc;
	}
	return 0;
}

static json_t *arguments(
	const char *device, const struct wanted *wanted, enum limit_direction direction)
{
	const struct limit_config *limit = &wanted->limits[direction];
	json_t *args = json_pack("{s:s}", "device", device);

	if (wanted->card)
		json_object_set_new(
			args, "direction", json_string(direction == LIMIT_RX ? "rx" : "tx"));
	if (wanted->off)
		json_object_set_new(args, "off", json_true());
	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++)
		if (limit->given[v])
			json_object_set_new(
				args, keys[v], json_integer((json_int_t)limit->value[v]));
	return args;
}

/* In the words of the command line. */
static void take(json_t *now, bool card, enum limit_direction direction, const json_t *result)
{
	char name[32];

	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++) {
		json_t *value = json_object_get(result, keys[v]);

		if (value)
			json_object_set(now, limit_name(card, direction, v, name), value);
	}
}

static void print(const struct client_args *args, json_t *now)
{
	const char *key;
	json_t *value;

	if (args->given[OPT_JSON]) {
		client_print_json(json_incref(now));
		return;
	}
	if (args->num_operands > 2)
		return;
	if (!json_object_size(now))
		printf("no limits\n");
	json_object_foreach(now, key, value)
		printf("%s=%lld\n", key, (long long)json_integer_value(value));
}

static int limit(const struct client_args *args, struct client *client)
{
	struct error err = {""};
	json_t *result, *now;
	struct wanted wanted = {0};
	int rc = find_card(client, args->operands[1], &wanted.card, &err);

	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	rc = parse(args, &wanted, &err);
	if (rc < 0)
		return client_complain(&err, EXIT_USAGE);
	now = json_object();
	for (enum limit_direction d = 0; d < (wanted.card ? LIMIT_MAX_DIRECTIONS : 1); d++) {
		/* Of the direction that nothing was said about, nothing is changed. */
		if (args->num_operands > 2 && !wanted.off && !limit_names_any(&wanted.limits[d]))
			continue;
		rc = client_call(
			client, "limit", arguments(args->operands[1], &wanted, d), &result, &err);
		if (rc < 0)
			break;
		take(now, wanted.card, d, result);
		json_decref(result);
	}
	if (rc >= 0)
		print(args, now);
	json_decref(now);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}

int client_limit(int argc, char **argv)
{
	struct client_args args;
	struct client *client;
	struct error err = {""};
	int code = client_parse(&args, VERB_LIMIT, argc, argv, 2, CLIENT_MAX_OPERANDS), rc;

	if (code >= 0)
		return code;
	rc = client_connect(args.operands[0], &client, &err);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	code = limit(&args, client);
	client_close(client);
	return code;
}
