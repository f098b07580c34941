/* SPDX-License-Identifier: BSD-2-Clause */
/* Help and completion scripts: complete, well-formed, and bash's answers to real lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/config/cmdline.h"
#include "vm/config/exit_code.h"
#include "vm/control/control.h"
#include "vm/help/help.h"
#include "vm/options/options.h"

typedef int (*print_fn)(FILE *out, const char *what);

/* What print writes, malloc'd; NULL when it fails, and then it must have written nothing. */
static char *printed(print_fn print, const char *what)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int r;

	assert_non_null(out);
	r = print(out, what);
	fclose(out);
	if (!r)
		return text;
	assert_int_equal(r, -ENOENT);
	assert_int_equal(size, 0);
	free(text);
	return NULL;
}

static void assert_has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' is missing in:\n%s", words, text);
}

static void help_is_complete(void **state)
{
	char *text = printed(help_print, "run");
	const struct cmdline_default *word;

	(void)state;
	assert_non_null(text);
	for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
		const struct option_spec *spec = option_spec(id);
		char term[64];

		snprintf(term, sizeof(term), "--%s%s%s", spec->name, spec->value ? " " : "",
			spec->value ? spec->value : "");
		if (spec->verbs & VERB_BIT(VERB_RUN))
			assert_has(text, term);
	}
	for (size_t i = 0; (word = cmdline_default(i)); i++)
		assert_has(text, word->word);
	assert_has(text, "Ctrl-A ?");
	assert_has(text, "  128+N");
	free(text);
}

/* Without blanks and line ends: where help breaks its lines does not matter. */
static void squeeze(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (!strchr(" \n", *from))
			*to++ = *from;
	*to = '\0';
}

static void help_is_not_cut(void **state)
{
	(void)state;
	for (enum verb verb = 0; verb < NUM_VERBS; verb++) {
		char *text = printed(help_print, verb_spec(verb)->name);

		squeeze(text);
		for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
			const struct option_spec *spec = option_spec(id);
			char all[1280];

			if (!(spec->verbs & VERB_BIT(verb)))
				continue;
			snprintf(all, sizeof(all), "%s%s", spec->brief, option_more(id, verb));
			squeeze(all);
			assert_has(text, all);
		}
		free(text);
	}
}

static void help_fits_80_columns(void **state)
{
	(void)state;
	for (int verb = -1; verb < NUM_VERBS; verb++) {
		char *text =
			printed(help_print, verb < 0 ? NULL : verb_spec((enum verb)verb)->name);
		char *save = NULL;

		assert_non_null(text);
		for (char *line = strtok_r(text, "\n", &save); line;
			line = strtok_r(NULL, "\n", &save)) {
			if (strlen(line) > 80)
				fail_msg("%zu columns: '%s'", strlen(line), line);
			assert_int_not_equal(line[strlen(line) - 1], ' ');
		}
		free(text);
	}
}

static void help_by_verb(void **state)
{
	char *text = printed(help_print, "doctor");

	(void)state;
	assert_has(text, "--kvm PATH");
	assert_null(strstr(text, "--memory"));
	assert_null(strstr(text, "Exit status"));
	free(text);
	text = printed(help_print, NULL);
	assert_has(text, "  doctor ");
	assert_has(text, "  completion ");
	assert_has(text, "VERB --help");
	free(text);
	/* What an option means for other verbs is not said. */
	text = printed(help_print, "stop");
	assert_has(text, "by force (default 30");
	assert_null(strstr(text, "exit with 8"));
	assert_null(strstr(text, "remove"));
	free(text);
	text = printed(help_print, "top");
	assert_has(text, "default 2");
	assert_null(strstr(text, "--watch"));
	free(text);
	assert_null(printed(help_print, "rnu"));
	assert_null(printed(help_print, ""));
}

static void completion_is_complete(void **state)
{
	static const struct {
		const char *shell, *format;
	} cases[] = {{"bash", "--%s "}, {"zsh", "--%s"}, {"fish", " -l %s "}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *text = printed(completion_print, cases[i].shell);

		assert_non_null(text);
		for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
			char term[64];
			const char *name = option_spec(id)->name;
			size_t len = strcspn(cases[i].format, "%");

			snprintf(term, sizeof(term), "%.*s%s%s", (int)len, cases[i].format, name,
				cases[i].format + len + 2);
			assert_has(text, term);
		}
		free(text);
	}
	assert_null(printed(completion_print, "tcsh"));
	assert_null(printed(completion_print, ""));
}

/* A line up to the cursor, the words as bash splits it, and what is offered. */
static const struct {
	const char *line, *words, *offered;
} completions[] = {
	{"bantam ", "bantam ''",
		"run pack doctor ps stop reset pause resume wait events console stat top limit "
		"balloon nmi sysrq dump gdb logs disk net version help completion"},
	{"bantam d", "bantam d", "doctor dump disk"},
	{"bantam run --mem", "bantam run --mem", "--memory"},
	{"bantam run --on-panic re", "bantam run --on-panic re", "restart"},
	{"bantam run --on-panic=re", "bantam run --on-panic = re", "restart"},
	{"bantam run --on-panic=", "bantam run --on-panic =", "exit restart pause"},
	{"bantam run --mode ", "bantam run --mode ''", "real protected long"},
	{"bantam run --serial ", "bantam run --serial ''", "stdio null pty file: unix:"},
	{"bantam run --serial fi", "bantam run --serial fi", "file:"},
	{"bantam run --serial file:/dev/nul", "bantam run --serial file : /dev/nul", "/dev/null"},
	{"bantam run --serial=unix:/dev/nul", "bantam run --serial = unix : /dev/nul", "/dev/null"},
	{"bantam run -k /dev/nul", "bantam run -k /dev/nul", "/dev/null"},
	{"bantam run --kernel=/dev/nul", "bantam run --kernel = /dev/nul", "/dev/null"},
	{"bantam run /dev/nul", "bantam run /dev/nul", "/dev/null"},
	{"bantam run -v /dev/nul", "bantam run -v /dev/nul", "/dev/null"},
	{"bantam run -d /dev/nul", "bantam run -d /dev/nul", "/dev/null"},
	{"bantam run --disk=/dev/nul", "bantam run --disk = /dev/nul", "/dev/null"},
	{"bantam run --con", "bantam run --con", "--console"},
	{"bantam run --console ", "bantam run --console ''", "serial virtio"},
	{"bantam run --console=v", "bantam run --console = v", "virtio"},
	{"bantam run --transport ", "bantam run --transport ''", "pci mmio mmio-cmdline"},
	{"bantam run --transport=mm", "bantam run --transport = mm", "mmio mmio-cmdline"},
	{"bantam run --balloon ", "bantam run --balloon ''", ""},
	{"bantam run -m ", "bantam run -m ''", ""},
	{"bantam doctor --", "bantam doctor --", "--kvm --verbose --help"},
	{"bantam doctor --m", "bantam doctor --m", ""},
	{"bantam help d", "bantam help d", "doctor dump disk"},
	{"bantam completion z", "bantam completion z", "zsh"},
	{"bantam completion zsh ", "bantam completion zsh ''", "--help"},
	{"bantam stop w", "bantam stop w", "web1 web2"},
	{"bantam stop web1 w", "bantam stop web1 w", "web1 web2"},
	{"bantam stop --force w", "bantam stop --force w", "web1 web2"},
	{"bantam stop -t 5 w", "bantam stop -t 5 w", "web1 web2"},
	{"bantam stop --timeout ", "bantam stop --timeout ''", ""},
	{"bantam stop --timeout=5 d", "bantam stop --timeout = 5 d", "db"},
	{"bantam wait --event cr", "bantam wait --event cr", "crash crash-kernel"},
	{"bantam wait --event=pan", "bantam wait --event = pan", "panic"},
	{"bantam wait --event panic w", "bantam wait --event panic w", "web1 web2"},
	{"bantam wait web1 w", "bantam wait web1 w", ""},
	{"bantam disk re", "bantam disk re", "remove resize"},
	{"bantam disk --force re", "bantam disk --force re", "remove resize"},
	{"bantam disk remove re", "bantam disk remove re", "reserve"},
	{"bantam disk remove w", "bantam disk remove w", "web1 web2"},
	{"bantam disk -t 5 remove w", "bantam disk -t 5 remove w", "web1 web2"},
	{"bantam disk remove web1 re", "bantam disk remove web1 re", ""},
	{"bantam disk add web1 /dev/nul", "bantam disk add web1 /dev/nul", "/dev/null"},
	{"bantam disk swap web1 disk0 /dev/nul", "bantam disk swap web1 disk0 /dev/nul",
		"/dev/null"},
	{"bantam net link web1 net0 d", "bantam net link web1 net0 d", "down"},
	{"bantam dump web1 /dev/nul", "bantam dump web1 /dev/nul", "/dev/null"},
};

static void bash_completes(void **state)
{
	char path[] = "/tmp/bantam-bash-XXXXXX";
	int fd = mkstemp(path);
	FILE *script = fdopen(fd, "w");

	(void)state;
	assert_non_null(script);
	assert_int_equal(completion_print(script, "bash"), 0);
	/* The VMs that run */
	fputs("bantam() { [[ $* == 'ps --quiet' ]] && printf '%s\\n' db reserve web1 web2; }\n",
		script);
	fputs("COMP_WORDS=(\"${@:2}\") COMP_CWORD=$(($# - 2)) COMP_LINE=$1 COMP_POINT=${#1}\n"
	      "_bantam && echo \"${COMPREPLY[*]}\"\n",
		script);
	fclose(script);
	for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
		char command[512], answer[512] = "";
		FILE *pipe;

		snprintf(command, sizeof(command), "bash --norc '%s' '%s' %s", path,
			completions[i].line, completions[i].words);
		pipe = popen(command, "r");
		assert_non_null(pipe);
		if (fgets(answer, sizeof(answer), pipe))
			answer[strcspn(answer, "\n")] = '\0';
		assert_int_equal(pclose(pipe), 0);
		if (strcmp(answer, completions[i].offered))
			fail_msg("'%s': '%s', not '%s'", completions[i].line, answer,
				completions[i].offered);
	}
	unlink(path);
}

/* By what the engine calls them. */
static void events_are_complete(void **state)
{
	const char *const *names = option_spec(OPT_EVENT)->choices;

	(void)state;
	for (enum control_event_kind kind = 0; kind < NUM_CONTROL_EVENTS; kind++)
		assert_string_equal(names[kind], control_event_name(kind));
	assert_null(names[NUM_CONTROL_EVENTS]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_is_complete),
		cmocka_unit_test(help_is_not_cut),
		cmocka_unit_test(help_fits_80_columns),
		cmocka_unit_test(help_by_verb),
		cmocka_unit_test(completion_is_complete),
		cmocka_unit_test(bash_completes),
		cmocka_unit_test(events_are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
