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
#include <string.h>

#include <cmocka.h>

#include "vm/cli/pack.h"
#include "vm/config/cmdline.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/core/error.h"
#include "vm/options/options.h"

enum { MAX_ARGS = 64, MAX_TEXT = 1 << 16 };

#define MAN "Documentation/man/"

/* text has MAX_TEXT bytes. On the stack of a test, so that one that fails leaves nothing behind. */
static void read_text(const char *path, char *text)
{
	FILE *file = fopen(path, "r");
	size_t len;

	if (!file)
		fail_msg("%s: not found (the tests run from the top of the tree)", path);
	len = fread(text, 1, MAX_TEXT, file);
	fclose(file);
	if (!len || len == MAX_TEXT)
		fail_msg("%s: empty, or too long for this test", path);
	text[len] = '\0';
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
	char *argv[MAX_ARGS + 1], shown[256];
	struct config config;
	struct error err = {""};
	struct pack_config pack;
	bool bad = false;
	enum verb verb = NUM_VERBS;
	int argc;

	snprintf(shown, sizeof(shown), "%s", line);
	argc = split(line, argv);
	if (argc < 2 || verb_find(argv[1], &verb, &err))
		fail_msg("%s: '%s': %s", path, shown, err.text);
	config_init(&config);
	if (verb == VERB_RUN || verb == VERB_DOCTOR)
		bad = config_parse_verb(&config, verb, argc - 1, argv + 1, &err) ||
		      config_validate(&config, &err);
	config_destroy(&config);
	if (verb == VERB_PACK) {
		bad = pack_config_parse(&pack, argc - 1, argv + 1, &err);
		pack_config_destroy(&pack);
	}
	if (bad)
		fail_msg("%s: '%s': %s", path, shown, err.text);
}

/* Examples stand between fences, or indented by four blanks. Returns how many there were. */
static unsigned int check_examples(const char *path)
{
	char text[MAX_TEXT], *save = NULL;
	bool fenced = false;
	unsigned int found = 0;

	read_text(path, text);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *start = line + strspn(line, " \t");

		if (!strncmp(start, "```", 3))
			fenced = !fenced;
		else if ((fenced || !strncmp(line, "    ", 4)) && !strncmp(start, "bantam ", 7)) {
			check_example(path, start);
			found++;
		}
	}
	return found;
}

static void examples(void **state)
{
	(void)state;
	assert_true(check_examples("README.md") >= 6);
	assert_true(check_examples(MAN "bantam.1.scd") >= 2);
	assert_true(check_examples(MAN "bantam-run.1.scd") >= 7);
	assert_true(check_examples(MAN "bantam-pack.1.scd") >= 4);
	assert_true(check_examples(MAN "bantam-doctor.1.scd") >= 1);
}

static void assert_has(const char *path, const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("%s lacks '%s'", path, words);
}

static void options_are_in(const char *path, enum verb verb)
{
	char text[MAX_TEXT], term[96];

	read_text(path, text);
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
}

static void options_are_documented(void **state)
{
	(void)state;
	options_are_in(MAN "bantam-run.1.scd", VERB_RUN);
	options_are_in(MAN "bantam-pack.1.scd", VERB_PACK);
	options_are_in(MAN "bantam-doctor.1.scd", VERB_DOCTOR);
	for (enum verb verb = VERB_PS; verb < VERB_VERSION; verb++)
		options_are_in(MAN "bantam-control.1.scd", verb);
}

static void control_verbs_are_documented(void **state)
{
	char text[MAX_TEXT], term[64];

	(void)state;
	read_text(MAN "bantam-control.1.scd", text);
	for (enum verb verb = VERB_PS; verb < VERB_VERSION; verb++) {
		snprintf(term, sizeof(term), "\n*%s*", verb_spec(verb)->name);
		assert_has(MAN "bantam-control.1.scd", text, term);
	}
}

static void disk_words_are_documented(void **state)
{
	static const char *const words[] = {"*ro*", "*cache=none*", "*cache=writeback*",
		"*cache=writethrough*", "*cache=unsafe*", "*aio=native*", "*aio=threads*",
		"*serial=*_TEXT_", "*queues=*_N_", "*iothread*", "*format=raw*", "*format=qcow2*",
		"*backing=yes*", "*snapshot*", "*size=*_SIZE_"};
	const char *path = MAN "bantam-run.1.scd";
	char text[MAX_TEXT], term[64];

	(void)state;
	read_text(path, text);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(term, sizeof(term), "\n\t%s: ", words[i]);
		assert_has(path, text, term);
	}
}

static void default_words_are_documented(void **state)
{
	const char *path = MAN "bantam-run.1.scd", *boot_path = "Documentation/boot.md";
	char text[MAX_TEXT], boot[MAX_TEXT], term[96];
	const struct cmdline_default *word;

	(void)state;
	read_text(path, text);
	read_text(boot_path, boot);
	for (size_t i = 0; (word = cmdline_default(i)); i++) {
		snprintf(term, sizeof(term), "\n*%s*\n\t", word->word);
		assert_has(path, text, term);
		snprintf(term, sizeof(term), "\n| `%s` | %s", word->word, word->keys[0]);
		assert_has(boot_path, boot, term);
	}
}

static void exit_codes_are_documented(void **state)
{
	char readme[MAX_TEXT], man[MAX_TEXT], term[128];

	(void)state;
	read_text("README.md", readme);
	read_text(MAN "bantam.1.scd", man);
	for (enum exit_code code = 0; code < NUM_EXIT_CODES; code++) {
		snprintf(term, sizeof(term), "\n*%d*\n\t", (int)code);
		assert_has("bantam.1.scd", man, term);
		snprintf(term, sizeof(term), "\n| %d | ", (int)code);
		assert_has("README.md", readme, term);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(options_are_documented),
		cmocka_unit_test(control_verbs_are_documented),
		cmocka_unit_test(disk_words_are_documented),
		cmocka_unit_test(default_words_are_documented),
		cmocka_unit_test(exit_codes_are_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
