/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The documentation against the code: every example is a command line that Bantam takes, and
 * every option, exit status and default word is in the manual. Run from the top of the tree.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/cmdline.h"
#include "vm/config.h"
#include "vm/error.h"
#include "vm/exit_code.h"
#include "vm/options.h"

enum { MAX_ARGS = 64 };

#define MAN "Documentation/man/"

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file)
		fail_msg("%s: not found (the tests run from the top of the tree)", path);
	if (getdelim(&text, &size, '\0', file) < 0)
		fail_msg("%s: empty", path);
	fclose(file);
	return text;
}

/* Splits a simple shell command in place: blanks, single quotes, the end at > | # or &. */
static int split(char *line, char **argv)
{
	int argc = 0;
	char *in = line;

	for (;;) {
		char *out;
		bool quoted = false;

		while (*in == ' ')
			in++;
		if (!*in || strchr(">|#&", *in) || argc == MAX_ARGS)
			break;
		argv[argc++] = out = in;
		for (; *in && (quoted || *in != ' '); in++) {
			if (*in == '\'')
				quoted = !quoted;
			else
				*out++ = *in;
		}
		if (*in)
			in++;
		*out = '\0';
	}
	argv[argc] = NULL;
	return argc;
}

static void check_example(const char *path, char *line)
{
	char *argv[MAX_ARGS + 1], *shown = strdup(line);
	struct config config;
	struct error err = {""};
	int argc = split(line, argv);
	enum verb verb;

	assert_non_null(shown);
	if (argc < 2 || verb_find(argv[1], &verb, &err))
		fail_msg("%s: '%s': %s", path, shown, err.text);
	config_init(&config);
	if (verb == VERB_RUN || verb == VERB_DOCTOR) {
		if (config_parse_verb(&config, verb, argc - 1, argv + 1, &err) ||
			config_validate(&config, &err))
			fail_msg("%s: '%s': %s", path, shown, err.text);
	}
	config_destroy(&config);
	free(shown);
}

/* Examples stand between fences, or indented by four blanks. Returns how many there were. */
static unsigned int check_examples(const char *path)
{
	char *text = read_text(path), *save = NULL;
	bool fenced = false;
	unsigned int found = 0;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *start = line + strspn(line, " \t");

		if (!strncmp(start, "```", 3))
			fenced = !fenced;
		else if ((fenced || !strncmp(line, "    ", 4)) && !strncmp(start, "bantam ", 7)) {
			check_example(path, start);
			found++;
		}
	}
	free(text);
	return found;
}

static void examples(void **state)
{
	(void)state;
	assert_true(check_examples("README.md") >= 6);
	assert_true(check_examples(MAN "bantam.1.scd") >= 2);
	assert_true(check_examples(MAN "bantam-run.1.scd") >= 7);
	assert_true(check_examples(MAN "bantam-doctor.1.scd") >= 1);
}

static void assert_has(const char *path, const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("%s lacks '%s'", path, words);
}

static void options_are_in(const char *path, enum verb verb)
{
	char *text = read_text(path), term[96];

	for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
		const struct option_spec *spec = option_spec(id);

		if (!(spec->verbs & VERB_BIT(verb)))
			continue;
		if (spec->short_name)
			snprintf(term, sizeof(term), "\n*-%c*, *--%s*", spec->short_name,
				spec->name);
		else
			snprintf(term, sizeof(term), "*--%s*", spec->name);
		assert_has(path, text, term);
		for (size_t i = 0; spec->choices && spec->choices[i]; i++) {
			snprintf(term, sizeof(term), "*%s*", spec->choices[i]);
			assert_has(path, text, term);
		}
	}
	free(text);
}

static void options_are_documented(void **state)
{
	(void)state;
	options_are_in(MAN "bantam-run.1.scd", VERB_RUN);
	options_are_in(MAN "bantam-doctor.1.scd", VERB_DOCTOR);
}

static void default_words_are_documented(void **state)
{
	const char *path = MAN "bantam-run.1.scd";
	char *text = read_text(path), term[96];
	const struct cmdline_default *word;

	(void)state;
	for (size_t i = 0; (word = cmdline_default(i)); i++) {
		snprintf(term, sizeof(term), "\n*%s*\n\t", word->word);
		assert_has(path, text, term);
	}
	free(text);
}

static void exit_codes_are_documented(void **state)
{
	char *readme = read_text("README.md"), *man = read_text(MAN "bantam.1.scd"), term[128];

	(void)state;
	for (enum exit_code code = 0; code < NUM_EXIT_CODES; code++) {
		snprintf(term, sizeof(term), "\n*%d*\n\t", (int)code);
		assert_has("bantam.1.scd", man, term);
		snprintf(term, sizeof(term), "\n| %d | ", (int)code);
		assert_has("README.md", readme, term);
	}
	free(readme);
	free(man);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(options_are_documented),
		cmocka_unit_test(default_words_are_documented),
		cmocka_unit_test(exit_codes_are_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
