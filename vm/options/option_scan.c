/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Goes over argv by the table of options. getopt_long was not taken: it prints messages itself,
 * keeps its place in globals (two parses at once would mix), reorders argv, and its tables would
 * have to be made from ours anyway.
 */
#include <errno.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/core/suggest.h"
#include "vm/options/options.h"

#include "foreign_words.h"

void option_scan_start(struct option_scan *scan, enum verb verb, int argc, char **argv)
{
	*scan = (struct option_scan){.verb = verb, .argc = argc, .argv = argv, .next = 1};
}

static bool takes(enum verb verb, enum option_id id)
{
	return option_spec(id)->verbs & VERB_BIT(verb);
}

/* QEMU's options have one dash: the letters behind it are not ours. */
static int refuse_foreign(const char *arg, const char *hint, struct error *err)
{
	return error_set(
		err, -EINVAL, "unknown option '%.*s' (%s)", (int)strcspn(arg, "="), arg, hint);
}

/* What was typed but is no option: -EINVAL, and the nearest one that this verb has. */
static int unknown_long(const struct option_scan *scan, const char *arg, struct error *err)
{
	int len = (int)strcspn(arg, "=");
	struct suggestion near;
	const char *best, *hint = scan->verb == VERB_RUN ? foreign_option(arg) : NULL;
	char name[64];

	if (hint)
		return refuse_foreign(arg, hint, err);
	memcpy(name, arg + 2, MIN((size_t)len - 2, sizeof(name) - 1));
	name[MIN((size_t)len - 2, sizeof(name) - 1)] = '\0';
	suggest_start(&near, name);
	for (enum option_id id = 0; id < NUM_OPTIONS; id++)
		if (takes(scan->verb, id))
			suggest_offer(&near, option_spec(id)->name);
	best = suggest_best(&near);
	if (best)
		return error_set(
			err, -EINVAL, "unknown option '%.*s' (did you mean --%s?)", len, arg, best);
	return error_set(err, -EINVAL, "unknown option '%.*s' (see 'bantam help %s')", len, arg,
		verb_spec(scan->verb)->name);
}

/* The next whole argument as the value of an option that had none attached. */
static int detached_value(struct option_scan *scan, struct option_hit *hit, struct error *err)
{
	const struct option_spec *spec = option_spec(hit->id);

	if (scan->next >= scan->argc)
		return error_set(err, -EINVAL, "--%s needs a value: --%s %s", spec->name,
			spec->name, spec->value);
	hit->value = scan->argv[scan->next++];
	return 1;
}

static int scan_long(
	struct option_scan *scan, const char *arg, struct option_hit *hit, struct error *err)
{
	size_t len = strcspn(arg + 2, "=");
	const char *attached = arg[2 + len] ? arg + 2 + len + 1 : NULL;

	for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
		const struct option_spec *spec = option_spec(id);

		if (!takes(scan->verb, id) || strlen(spec->name) != len ||
			memcmp(spec->name, arg + 2, len))
			continue;
		*hit = (struct option_hit){.id = id, .value = attached};
		if (attached && !spec->value)
			return error_set(err, -EINVAL, "--%s takes no value", spec->name);
		return attached || !spec->value ? 1 : detached_value(scan, hit, err);
	}
	return unknown_long(scan, arg, err);
}

/* One letter of -abc; what is behind a letter that takes a value is that value. */
static int scan_short(struct option_scan *scan, struct option_hit *hit, struct error *err)
{
	const char *letter = scan->group;

	scan->group = letter[1] ? letter + 1 : NULL;
	for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
		const struct option_spec *spec = option_spec(id);

		if (!takes(scan->verb, id) || spec->short_name != *letter)
			continue;
		*hit = (struct option_hit){.id = id};
		if (!spec->value)
			return 1;
		if (!scan->group)
			return detached_value(scan, hit, err);
		hit->value = scan->group;
		scan->group = NULL;
		return 1;
	}
	return error_set(err, -EINVAL, "unknown option '-%c' (see 'bantam help %s')", *letter,
		verb_spec(scan->verb)->name);
}

/* "-64M", where that means so much less. */
static bool is_less(const struct option_scan *scan, const char *arg)
{
	return verb_spec(scan->verb)->operand_sizes && arg[1] >= '0' && arg[1] <= '9';
}

int option_scan_next(struct option_scan *scan, struct option_hit *hit, struct error *err)
{
	const char *arg, *hint;

	if (scan->group)
		return scan_short(scan, hit, err);
	if (!scan->only_operands && scan->next < scan->argc &&
		!strcmp(scan->argv[scan->next], "--")) {
		scan->only_operands = true;
		scan->next++;
	}
	if (scan->next >= scan->argc)
		return 0;
	arg = scan->argv[scan->next++];
	if (scan->only_operands || arg[0] != '-' || !arg[1] || is_less(scan, arg)) {
		*hit = (struct option_hit){.operand = true, .value = arg};
		return 1;
	}
	if (arg[1] == '-')
		return scan_long(scan, arg, hit, err);
	hint = scan->verb == VERB_RUN ? foreign_option(arg) : NULL;
	if (hint)
		return refuse_foreign(arg, hint, err);
	scan->group = arg + 1;
	return scan_short(scan, hit, err);
}
