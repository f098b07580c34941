/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines of `bantam run` in one string. */
#ifndef TESTS_CONFIG_LINE_H
#define TESTS_CONFIG_LINE_H

#include "vm/config/config.h"

enum { CONFIG_LINE_ARGS = 80 };

/* The config that was parsed from a line points into it. */
struct config_line {
	char text[4096];
	char *argv[CONFIG_LINE_ARGS + 1];
	int argc;
};

/* argv is "run" and what stands between the blanks of text; '~' is a blank inside an argument. */
void config_line_split(struct config_line *line, const char *text);

/* Parses and validates, and fails the test when that fails. The caller destroys config. */
void config_line_ok(struct config *config, struct config_line *line, const char *text);

/* The parser or validation says -EINVAL, with a line that holds words. */
void config_line_refused(const char *text, const char *words);

#endif
