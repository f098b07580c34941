/* SPDX-License-Identifier: BSD-2-Clause */
/* Words that several options take: one of a list, and where a stream of characters leads. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/config.h"
#include "vm/error.h"
#include "vm/suggest.h"

int config_parse_word(
	const char *what, const char *value, const char *const *words, struct error *err)
{
	struct suggestion near;
	char list[128] = "";
	const char *best;

	suggest_start(&near, value);
	for (int i = 0; words[i]; i++) {
		size_t used = strlen(list);

		if (!strcmp(words[i], value))
			return i;
		suggest_offer(&near, words[i]);
		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", words[i]);
	}
	best = suggest_best(&near);
	return error_set(err, -EINVAL, "%s: '%s' is not one of %s%s%s%s", what, value, list,
		best ? " (did you mean " : "", best ? best : "", best ? "?)" : "");
}

/* "file:PATH" and "unix:PATH"; false when value does not begin with prefix. */
static bool has_path(const char *value, const char *prefix, const char **path)
{
	size_t len = strlen(prefix);

	if (strncmp(value, prefix, len))
		return false;
	*path = value + len;
	return true;
}

int config_parse_where(
	enum option_id id, const char *value, struct serial_config *where, struct error *err)
{
	if (id == OPT_SERIAL && !strcmp(value, "stdio"))
		where->kind = SERIAL_STDIO;
	else if (!strcmp(value, "null"))
		where->kind = SERIAL_NULL;
	else if (!strcmp(value, "pty"))
		where->kind = SERIAL_PTY;
	else if (has_path(value, "file:", &where->path))
		where->kind = SERIAL_FILE;
	else if (has_path(value, "unix:", &where->path))
		where->kind = SERIAL_UNIX;
	else
		return error_set(err, -EINVAL,
			"--%s: '%s' is not one of %snull, pty, file:PATH, unix:PATH",
			option_spec(id)->name, value, id == OPT_SERIAL ? "stdio, " : "");
	return 0;
}
