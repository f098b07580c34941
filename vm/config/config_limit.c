/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/config/config_limit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/core/rate_limit.h"

/* A burst that takes longer to come together is a mistake. */
enum { MAX_BURST_SECONDS = 86400 };

const char *limit_name(
	bool card, enum limit_direction direction, enum limit_value value, char name[32])
{
	static const char *const kinds[] = {"", "-burst", "-once"};
	const char *what = value < LIMIT_OPS ? "bandwidth" : card ? "pps" : "iops";
	const char *prefix = !card ? "" : direction == LIMIT_RX ? "rx-" : "tx-";

	snprintf(name, 32, "%s%s%s", prefix, what, kinds[value % LIMIT_OPS]);
	return name;
}

static bool find(const char *part, size_t len, bool card, enum limit_direction *direction,
	enum limit_value *value)
{
	char name[32];

	for (*direction = 0; *direction < (card ? LIMIT_MAX_DIRECTIONS : 1); ++*direction)
		for (*value = 0; *value < NUM_LIMIT_VALUES; ++*value)
			if (strlen(limit_name(card, *direction, *value, name)) == len &&
				!memcmp(name, part, len))
				return true;
	return false;
}

int limit_parse(const char *option, const char *part, bool card, struct limit_config *limits,
	struct error *err)
{
	const size_t len = strcspn(part, "=");
	const int name_len = (int)len;
	enum limit_direction direction;
	enum limit_value value;
	uint64_t n;
	int rc;

	if (!find(part, len, card, &direction, &value))
		return 0;
	if (!part[len] || !part[len + 1])
		return error_set(err, -EINVAL, "%s: %.*s needs a value: %.*s=...", option, name_len,
			part, name_len, part);
	rc = value < LIMIT_OPS ? config_parse_size(part + len + 1, 1, &n)
			       : config_parse_number(part + len + 1, &n);
	if (rc || n > INT64_MAX)
		return error_set(err, -EINVAL, "%s: %.*s: '%s' is not a number of %s", option,
			name_len, part, part + len + 1,
			value < LIMIT_OPS ? "bytes (10M, 1G)"
			: card		  ? "frames"
					  : "requests");
	limits[direction].value[value] = n;
	limits[direction].given[value] = true;
	return 1;
}

static int check_one(
	const char *option, const char *what, const uint64_t *values, struct error *err)
{
	const uint64_t rate = values[0], burst = values[1], once = values[2];

	if (!rate && (burst || once))
		return error_set(err, -EINVAL, "%s: a burst of %s without a limit", option, what);
	if (rate && burst / MAX_BURST_SECONDS > rate)
		return error_set(
			err, -EINVAL, "%s: a burst of more %s than come in a day", option, what);
	return 0;
}

int limit_check(const char *option, const struct limit_config *limit, struct error *err)
{
	const int rc = check_one(option, "bytes", limit->value + LIMIT_BANDWIDTH, err);

	return rc ? rc : check_one(option, "operations", limit->value + LIMIT_OPS, err);
}

void limit_merge(struct limit_config *limit, const struct limit_config *change)
{
	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++) {
		const bool once = v == LIMIT_BANDWIDTH_ONCE || v == LIMIT_OPS_ONCE;

		if (change->given[v] || once)
			limit->value[v] = change->value[v];
		limit->given[v] |= change->given[v];
	}
}

bool limit_names_any(const struct limit_config *limit)
{
	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++)
		if (limit->given[v])
			return true;
	return false;
}

bool limit_is_set(const struct limit_config *limit)
{
	return limit->value[LIMIT_BANDWIDTH] || limit->value[LIMIT_OPS];
}

static void rate(const uint64_t *values, struct bucket_config *config)
{
	*config = bucket_config_of_rate(values[0], values[1]);
	config->once = values[0] ? values[2] : 0;
}

void limit_rates(const struct limit_config *limit, struct rate_config *rates)
{
	rate(limit->value + LIMIT_BANDWIDTH, &rates->bytes);
	rate(limit->value + LIMIT_OPS, &rates->ops);
}
