/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the values of several options are made of: words of a list, words behind commas, and where a
 * stream of characters leads.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/core/suggest.h"

#include "../options/foreign_words.h"

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

/* What devices are called whose id is not given; with another kind's it would not be one's own. */
static const char *made_up_for(const char *id)
{
	static const char *const kinds[] = {"disk", "net"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const size_t len = strlen(kinds[i]);

		if (!strncmp(id, kinds[i], len) && id[len] &&
			strspn(id + len, "0123456789") == strlen(id + len))
			return kinds[i];
	}
	return NULL;
}

int config_parse_id(const char *option, const char *value, const char **ret, struct error *err)
{
	const char *kind = made_up_for(value);
	static const char ok[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const size_t len = strlen(value);

	if (!isalnum((unsigned char)*value) || strspn(value, ok) != len ||
		len > CONFIG_MAX_DEVICE_ID)
		return error_set(err, -EINVAL,
			"%s: id: '%s' is not a word of up to %d letters, digits, '.', '_' and '-'",
			option, value, CONFIG_MAX_DEVICE_ID);
	if (kind && strcmp(kind, option + 2))
		return error_set(err, -EINVAL, "%s: id: '%s' is what the other devices are called",
			option, value);
	*ret = value;
	return 0;
}

char *config_next_part(char **rest)
{
	char *part = *rest, *to = part, *from = part;

	if (!part)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return part;
}

int config_set_key(const char *option, char *part, const struct config_key *keys, size_t num_keys,
	void *opaque, const char *hint, struct error *err)
{
	char *value = strchr(part, '=');
	struct suggestion near;
	const char *best;

	if (value)
		*value++ = '\0';
	suggest_start(&near, part);
	for (size_t i = 0; i < num_keys; i++) {
		suggest_offer(&near, keys[i].name);
		if (strcmp(keys[i].name, part))
			continue;
		if (keys[i].takes_value != (value && *value))
			return error_set(err, -EINVAL,
				keys[i].takes_value ? "%s: %s needs a value: %s=..."
						    : "%s: %s takes no value (use %s alone, "
						      "or leave it out)",
				option, part, part);
		return keys[i].set(opaque, value, err);
	}
	best = foreign_key(option, part);
	if (best)
		return error_set(err, -EINVAL, "%s: unknown option '%s' (%s)", option, part, best);
	best = suggest_best(&near);
	return error_set(err, -EINVAL, "%s: unknown option '%s'%s%s%s%s", option, part,
		best ? " (did you mean " : "", best ? best : "", best ? "?)" : "", hint);
}
