/* SPDX-License-Identifier: BSD-2-Clause */
/* --events FD|FILE and --metrics FILE[,interval=SECONDS] */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"
#include "vm/core/error.h"

/* An option that stands in the file's place, or a number. */
static int check_file(const char *option, const char *value, struct error *err)
{
	return *value != '-'
		       ? 0
		       : error_set(err, -EINVAL,
				 "%s: '%s' is no file%s; './%s' would be one of that name", option,
				 value, strcmp(option, "--events") ? "" : " or descriptor", value);
}

int config_set_events(struct config *config, const char *value, struct error *err)
{
	uint64_t fd;

	config->events_fd = -1;
	if (*value && strspn(value, "0123456789") == strlen(value)) {
		if (config_parse_number(value, &fd) || fd > INT32_MAX)
			return error_set(
				err, -EINVAL, "--events: '%s' is not a descriptor's number", value);
		config->events_fd = (int)fd;
	} else if (check_file("--events", value, err) < 0) {
		return -EINVAL;
	}
	return config_set_text(&config->events, OPT_EVENTS, value, err);
}

/* Seconds, with at most three digits behind the point. */
static int set_interval(void *opaque, const char *value, struct error *err)
{
	struct config *config = opaque;
	const char *p = value;
	uint64_t ms = 0;
	unsigned int scale = 1000;

	for (; isdigit((unsigned char)*p) && ms <= CONFIG_MAX_INTERVAL_S * UINT64_C(10000); p++)
		ms = 10 * ms + 1000 * (uint64_t)(*p - '0');
	if (p != value && *p == '.')
		for (p++; isdigit((unsigned char)*p) && scale > 1; p++)
			ms += (scale /= 10) * (uint64_t)(*p - '0');
	if (p == value || *p || ms < CONFIG_MIN_INTERVAL_MS ||
		ms > CONFIG_MAX_INTERVAL_S * UINT64_C(1000))
		return error_set(err, -EINVAL,
			"--metrics: interval: '%s' is not a number of seconds from 0.1 to %d",
			value, CONFIG_MAX_INTERVAL_S);
	config->metrics_ms = ms;
	return 0;
}

int config_set_metrics(struct config *config, const char *value, struct error *err)
{
	static const struct config_key keys[] = {{"interval", true, set_interval}};
	char *rest, *part;
	int rc = 0;

	free(config->metrics_copy);
	config->metrics_copy = rest = strdup(value);
	if (!rest)
		return error_set_errno(err, -ENOMEM, "--metrics");
	config->metrics = config_next_part(&rest);
	if (!*config->metrics)
		return error_set(err, -EINVAL, "--metrics needs a file: --metrics FILE[,...]");
	rc = check_file("--metrics", config->metrics, err);
	while (!rc && (part = config_next_part(&rest)))
		rc = config_set_key("--metrics", part, keys, ARRAY_SIZE(keys), config,
			" (a comma in the file's name is written twice)", err);
	return rc;
}
