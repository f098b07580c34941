/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Help from the tables: verbs and options (vm/options/options.c), default command line
 * (vm/config/cmdline.c), exit codes (here). Lines are filled to 80 columns whatever the terminal's
 * width is, so that help in a pipe and in a bug report reads the same.
 */
#include "vm/help/help.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vm/config/cmdline.h"
#include "vm/config/exit_code.h"
#include "vm/core/base.h"
#include "vm/options/options.h"

enum { WIDTH = 80, OPTION_COLUMN = 28, WORD_COLUMN = 22 };

static const char *const exit_codes[] = {
	[EXIT_POWEROFF] = "the guest powered off, or halted for good",
	[EXIT_HOST] = "the host failed: KVM, memory or a file",
	[EXIT_USAGE] = "bad usage, or a disk, a network or an image that cannot be used",
	[EXIT_REBOOT] = "the guest rebooted under --on-reboot exit",
	[EXIT_PANIC] = "the guest panicked, or ended five times in a row before user space",
	[EXIT_KVM_INTERNAL] = "KVM could not continue (internal error)",
	[EXIT_QUIT] = "ended by Ctrl-A x on the console, or by `bantam stop`",
	[EXIT_NO_VM] = "no VM of that name is running, or it cannot be reached",
	[EXIT_FORCED] = "ended by force, or not in time",
	[EXIT_DENIED] = "the sandbox denied a system call",
};

static const struct {
	const char *key, *text;
} console_keys[] = {
	{"Ctrl-A x", "quit: the guest ends at once"},
	{"Ctrl-A p", "press the power button"},
	{"Ctrl-A r", "reset the guest"},
	{"Ctrl-A b", "send a break (for Linux: the magic SysRq key)"},
	{"Ctrl-A z", "suspend bantam, as Ctrl-Z does other programs"},
	{"Ctrl-A a", "send Ctrl-A itself"},
	{"Ctrl-A ?", "list these keys"},
};

static_assert(ARRAY_SIZE(exit_codes) == NUM_EXIT_CODES, "a line for each enum exit_code");

const char *exit_code_text(enum exit_code code)
{
	return exit_codes[code];
}

/* Words of text from column on, new lines indented to indent; returns the column reached. */
static int fill(FILE *out, const char *text, int column, int indent)
{
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		}
		if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		text += *text == ' ';
	}
	return column;
}

static void paragraph(FILE *out, const char *text)
{
	fill(out, text, 0, 0);
	fputc('\n', out);
}

/* "  term      text", the text in a column of its own. */
static void item(FILE *out, const char *term, int column, const char *text)
{
	int used = fprintf(out, "  %s", term);

	if (used + 2 > column) {
		fputc('\n', out);
		used = 0;
	}
	fprintf(out, "%*s", column - used, "");
	fill(out, text, column, column);
	fputc('\n', out);
}

static void print_option(FILE *out, const struct option_spec *spec, const char *more)
{
	char term[64], text[1024];

	snprintf(term, sizeof(term), "%c%c%c --%s%s%s", spec->short_name ? '-' : ' ',
		spec->short_name ? spec->short_name : ' ', spec->short_name ? ',' : ' ', spec->name,
		spec->value ? " " : "", spec->value ? spec->value : "");
	snprintf(text, sizeof(text), "%s%s", spec->brief, more);
	item(out, term, OPTION_COLUMN, text);
}

static void print_options(FILE *out, enum verb verb)
{
	for (enum option_group group = 0; group < NUM_GROUPS; group++) {
		bool titled = false;

		for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
			const struct option_spec *spec = option_spec(id);

			if (spec->group != group || !(spec->verbs & VERB_BIT(verb)))
				continue;
			if (!titled)
				fprintf(out, "\n%s:\n", option_group_title(group));
			titled = true;
			print_option(out, spec, option_more(id, verb));
		}
	}
}

static void print_exit_code(FILE *out, enum exit_code code, const char *text)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)code);
	item(out, number, 9, text);
}

/* Of verbs that act on a running VM. */
static void print_client_notes(FILE *out)
{
	fputs("\nExit status:\n", out);
	print_exit_code(out, EXIT_POWEROFF, "success");
	print_exit_code(out, EXIT_HOST, "the VM or the host could not do it");
	print_exit_code(out, EXIT_USAGE, "bad usage, or what was named is not there or in use");
	print_exit_code(out, EXIT_NO_VM, exit_code_text(EXIT_NO_VM));
	print_exit_code(out, EXIT_FORCED, exit_code_text(EXIT_FORCED));
}

static void print_run_notes(FILE *out)
{
	const struct cmdline_default *word;

	fputs("\nDefault parameters (each is left out if --cmdline overrides it):\n", out);
	for (size_t i = 0; (word = cmdline_default(i)); i++)
		item(out, word->word, WORD_COLUMN, word->reason);
	fputs("\nOn the console:\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(console_keys); i++)
		item(out, console_keys[i].key, WORD_COLUMN, console_keys[i].text);
	fputs("\nExit status:\n", out);
	for (enum exit_code i = 0; i <= EXIT_QUIT; i++)
		print_exit_code(out, i, exit_code_text(i));
	print_exit_code(out, EXIT_DENIED, exit_code_text(EXIT_DENIED));
	item(out, "128+N", 9, "ended by signal N");
}

static void print_verb(FILE *out, enum verb verb)
{
	const struct verb_spec *spec = verb_spec(verb);

	fprintf(out, "Usage: bantam %s [OPTION]...%s%s\n\n", spec->name, spec->operand ? " " : "",
		spec->operand ? spec->operand : "");
	paragraph(out, spec->text);
	print_options(out, verb);
	if (verb == VERB_RUN)
		print_run_notes(out);
	else if (spec->operand_vm)
		print_client_notes(out);
}

static void print_verbs(FILE *out)
{
	fputs("Usage: bantam VERB [OPTION]...\n\nRuns Linux guests on KVM.\n\n", out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++)
		item(out, verb_spec(verb)->name, 14, verb_spec(verb)->brief);
	fputs("\n'bantam VERB --help' shows a verb's options.\n", out);
}

int help_print(FILE *out, const char *verb_name)
{
	enum verb verb;
	int r;

	if (!verb_name) {
		print_verbs(out);
		return 0;
	}
	r = verb_find(verb_name, &verb, NULL);
	if (!r)
		print_verb(out, verb);
	return r;
}
