/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_line.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vm/core/error.h"

void config_line_split(struct config_line *line, const char *text)
{
	char *save = NULL;
	int len = snprintf(line->text, sizeof(line->text), "run %s", text);

	assert_true((size_t)len < sizeof(line->text));
	line->argc = 0;
	for (char *arg = strtok_r(line->text, " ", &save); arg; arg = strtok_r(NULL, " ", &save)) {
		assert_true(line->argc < CONFIG_LINE_ARGS);
		line->argv[line->argc++] = arg;
		for (char *p = arg; *p; p++)
			if (*p == '~')
				*p = ' ';
	}
	line->argv[line->argc] = NULL;
}

static int parse(
	struct config *config, struct config_line *line, const char *text, struct error *err)
{
	int rc;

	config_line_split(line, text);
	config_init(config);
	rc = config_parse(config, line->argc, line->argv, err);
	return rc ? rc : config_validate(config, err);
}

void config_line_ok(struct config *config, struct config_line *line, const char *text)
{
	struct error err = {""};

	if (parse(config, line, text, &err))
		fail_msg("'%s' was refused: %s", text, err.text);
}

void config_line_refused(const char *text, const char *words)
{
	struct error err = {""};
	struct config_line line;
	struct config config;
	int rc = parse(&config, &line, text, &err);

	config_destroy(&config);
	if (rc != -EINVAL)
		fail_msg("'%s': %d", text, rc);
	if (!strstr(err.text, words))
		fail_msg("'%s': '%s', not '%s'", text, err.text, words);
}
