/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completion scripts from the option table. Each shell's script is text with the table's entries
 * put in as that shell's syntax. A shell calls bantam when Tab is pressed for one thing alone, the
 * names of running VMs.
 *
 * bash splits words at '=' and ':' (COMP_WORDBREAKS), so that script goes by the line itself and
 * cuts from each answer what bash has already. It needs bash alone, not the bash-completion
 * package.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/core/base.h"
#include "vm/help/help.h"
#include "vm/options/options.h"

static bool option_of(enum verb verb, enum option_id id)
{
	return option_spec(id)->verbs & VERB_BIT(verb);
}

static void print_words(FILE *out, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", words[i]);
}

static void print_verb_words(FILE *out)
{
	for (enum verb verb = 0; verb < NUM_VERBS; verb++)
		fprintf(out, "%s%s", verb ? " " : "", verb_spec(verb)->name);
}

/* ---- bash ---- */

static void bash_option_case(FILE *out, enum verb verb, enum option_id id)
{
	const struct option_spec *spec = option_spec(id);

	if (!spec->value)
		return;
	fprintf(out, "\t%s:--%s", verb_spec(verb)->name, spec->name);
	if (spec->short_name)
		fprintf(out, " | %s:-%c", verb_spec(verb)->name, spec->short_name);
	fputs(") ", out);
	if (spec->choices) {
		fputs("words='", out);
		print_words(out, spec->choices);
		fputs("'", out);
	} else {
		fprintf(out, "files=%d", spec->file);
	}
	fputs(" ;;\n", out);
}

/* Options whose value is the next word, as " verb:option" each. */
static void bash_takes(FILE *out)
{
	fputs("\tlocal takes='", out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++)
		for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
			const struct option_spec *spec = option_spec(id);

			if (!option_of(verb, id) || !spec->value)
				continue;
			fprintf(out, " %s:--%s", verb_spec(verb)->name, spec->name);
			if (spec->short_name)
				fprintf(out, " %s:-%c", verb_spec(verb)->name, spec->short_name);
		}
	fputs(" '\n", out);
}

/* By how many operands stand before the word under the cursor. */
static void bash_operands(FILE *out, enum verb verb)
{
	const struct verb_spec *spec = verb_spec(verb);
	const int vm = spec->operand_choices ? 1 : 0;

	if (spec->operand_choices || verb == VERB_HELP) {
		fputs("; ((n)) || words+='", out);
		if (spec->operand_choices)
			print_words(out, spec->operand_choices);
		else
			print_verb_words(out);
		fputs("'", out);
	}
	if (spec->operand_vms)
		fputs("; vm=1", out);
	else if (spec->operand_vm)
		fprintf(out, "; ((vm = n == %d))", vm);
	if (spec->operand_file)
		fprintf(out, "; ((files = n == %d))", spec->operand_vm ? 1 : 0);
	if (verb == VERB_DISK)
		fputs("; [[ $action:$n == @(add:2|swap:3) ]] && files=1", out);
	if (verb == VERB_NET)
		fputs("; [[ $action:$n == link:3 ]] && words+='up down'", out);
}

static void bash_verb_case(FILE *out, enum verb verb)
{
	fprintf(out, "\t%s:*) value=$word words='", verb_spec(verb)->name);
	for (enum option_id id = 0; id < NUM_OPTIONS; id++)
		if (option_of(verb, id))
			fprintf(out, "--%s ", option_spec(id)->name);
	fputs("'", out);
	bash_operands(out, verb);
	fputs(" ;;\n", out);
}

static const char bash_head[] =
	"# bash completion for bantam, made by 'bantam completion bash'\n"
	"_bantam()\n"
	"{\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]}\n"
	"\tlocal word verb option value words='' files=0 vm=0 n=0 action='' head tail i\n"
	"\tlocal -a given\n";

static const char bash_words[] = "\tread -ra given <<<\"$line\"\n"
				 "\tword=${line##*[[:space:]]}\n"
				 "\t[[ $word ]] || given+=('')\n"
				 "\tverb=${given[1]-} option=${given[-2]} value=$word\n"
				 "\tif [[ $word == --*=* ]]; then\n"
				 "\t\toption=${word%%=*} value=${word#*=}\n"
				 "\tfi\n"
				 "\t((${#given[@]} > 2)) || verb=\n"
				 "\t# Operands so far\n"
				 "\tfor ((i = 2; i < ${#given[@]} - 1; i++)); do\n"
				 "\t\tif [[ $takes == *\" $verb:${given[i]} \"* ]]; then\n"
				 "\t\t\t((i++))\n"
				 "\t\telif [[ ${given[i]} != -?* ]]; then\n"
				 "\t\t\t((n++)) || action=${given[i]}\n"
				 "\t\tfi\n"
				 "\tdone\n"
				 "\tcase $verb:$option in\n";

static const char bash_tail[] =
	"\tesac\n"
	"\t((!vm)) || words+=\" $(bantam ps --quiet 2>/dev/null)\"\n"
	"\tif [[ $value == file:* || $value == unix:* ]]; then\n"
	"\t\tvalue=${value#*:} words='' files=1\n"
	"\tfi\n"
	"\thead=${word%\"$value\"}\n"
	"\tCOMPREPLY=()\n"
	"\t[[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$value\")\n"
	"\tif ((files)) && [[ $value != -* ]]; then\n"
	"\t\t[[ $value ]] || COMPREPLY=()\n"
	"\t\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$value\")\n"
	"\t\tcompopt -o filenames 2>/dev/null\n"
	"\tfi\n"
	"\t# What bash takes to be in front of the word under the cursor stays.\n"
	"\t[[ $cur == [=:] ]] && cur=\n"
	"\ttail=${word%\"$cur\"}\n"
	"\tfor i in \"${!COMPREPLY[@]}\"; do\n"
	"\t\tCOMPREPLY[i]=$head${COMPREPLY[i]}\n"
	"\t\tCOMPREPLY[i]=${COMPREPLY[i]#\"$tail\"}\n"
	"\tdone\n"
	"\t[[ ${COMPREPLY[0]-} != *: ]] || compopt -o nospace 2>/dev/null\n"
	"\treturn 0\n"
	"}\n"
	"complete -F _bantam bantam\n";

static void print_bash(FILE *out)
{
	fputs(bash_head, out);
	bash_takes(out);
	fputs(bash_words, out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++) {
		for (enum option_id id = 0; id < NUM_OPTIONS; id++)
			if (option_of(verb, id))
				bash_option_case(out, verb, id);
		bash_verb_case(out, verb);
	}
	fputs("\t:*) words='", out);
	print_verb_words(out);
	fputs("' ;;\n", out);
	fputs(bash_tail, out);
}

/* ---- zsh ---- */

/* Inside single quotes, which only another pair of quotes can put a quote into. */
static void zsh_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("[]:\\", *text))
			fputc('\\', out);
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
}

/* The action behind "message:", what may stand there. */
static void zsh_value(FILE *out, const struct option_spec *spec)
{
	fprintf(out, ":%s:", spec->value);
	if (spec == option_spec(OPT_SERIAL)) {
		fputs("_bantam_serial", out);
	} else if (spec->choices) {
		fputs("(", out);
		print_words(out, spec->choices);
		fputs(")", out);
	} else if (spec->file) {
		fputs("_files", out);
	} else {
		fputs(" ", out);
	}
}

static void zsh_option(FILE *out, const struct option_spec *spec)
{
	const char *equals = spec->value ? "=" : "";
	const char *plus = spec->value ? "+" : "";

	fputs(" \\\n\t\t\t", out);
	if (spec->repeatable)
		fputs("'*'", out);
	else if (spec->short_name)
		fprintf(out, "'(-%c --%s)'", spec->short_name, spec->name);
	if (spec->short_name)
		fprintf(out, "{-%c%s,--%s%s}", spec->short_name, plus, spec->name, equals);
	else
		fprintf(out, "--%s%s", spec->name, equals);
	fputs("'[", out);
	zsh_text(out, spec->brief);
	fputs("]", out);
	if (spec->value)
		zsh_value(out, spec);
	fputs("'", out);
}

static void zsh_verb(FILE *out, enum verb verb)
{
	const struct verb_spec *spec = verb_spec(verb);

	fprintf(out, "\t%s)\n\t\t_arguments -s -S", spec->name);
	for (enum option_id id = 0; id < NUM_OPTIONS; id++)
		if (option_of(verb, id))
			zsh_option(out, option_spec(id));
	if (spec->operand_file && !spec->operand_vm) {
		fputs(" \\\n\t\t\t'1:kernel:_files'", out);
	} else if (spec->operand_choices) {
		fprintf(out, " \\\n\t\t\t'1:%s:(", spec->operand_vm ? "action" : "shell");
		print_words(out, spec->operand_choices);
		fputs(")'", out);
		if (spec->operand_vm)
			fputs(" \\\n\t\t\t'2:VM:_bantam_vms'", out);
	} else if (spec->operand_vm) {
		fprintf(out, " \\\n\t\t\t'%s:VM:_bantam_vms'", spec->operand_vms ? "*" : "1");
		if (spec->operand_file)
			fputs(" \\\n\t\t\t'2:file:_files'", out);
	} else if (verb == VERB_HELP) {
		fputs(" \\\n\t\t\t'1:verb:(", out);
		print_verb_words(out);
		fputs(")'", out);
	}
	fputs("\n\t\t;;\n", out);
}

static void print_zsh(FILE *out)
{
	fputs("#compdef bantam\n"
	      "# zsh completion for bantam, made by 'bantam completion zsh'\n"
	      "_bantam_serial()\n"
	      "{\n"
	      "\tif compset -P '(file|unix):'; then\n"
	      "\t\t_files\n"
	      "\telse\n"
	      "\t\tcompadd stdio null pty\n"
	      "\t\tcompadd -S '' file: unix:\n"
	      "\tfi\n"
	      "}\n"
	      "_bantam_vms()\n"
	      "{\n"
	      "\tlocal -a vms=(${(f)\"$(bantam ps --quiet 2>/dev/null)\"})\n"
	      "\tcompadd -a vms\n"
	      "}\n"
	      "_bantam()\n"
	      "{\n"
	      "\tlocal -a verbs=(\n",
		out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++) {
		fprintf(out, "\t\t'%s:", verb_spec(verb)->name);
		zsh_text(out, verb_spec(verb)->brief);
		fputs("'\n", out);
	}
	fputs("\t)\n"
	      "\tif ((CURRENT == 2)); then\n"
	      "\t\t_describe verb verbs\n"
	      "\t\treturn\n"
	      "\tfi\n"
	      "\tshift words\n"
	      "\t((CURRENT--))\n"
	      "\tcase $words[1] in\n",
		out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++)
		zsh_verb(out, verb);
	fputs("\tesac\n}\n"
	      "if [[ $funcstack[1] == _bantam ]]; then\n"
	      "\t_bantam \"$@\"\n"
	      "else\n"
	      "\tcompdef _bantam bantam\n"
	      "fi\n",
		out);
}

/* ---- fish ---- */

static void fish_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void fish_option(FILE *out, enum verb verb, const struct option_spec *spec)
{
	fprintf(out, "complete -c bantam -n '__fish_seen_subcommand_from %s'",
		verb_spec(verb)->name);
	if (spec->short_name)
		fprintf(out, " -s %c", spec->short_name);
	fprintf(out, " -l %s", spec->name);
	if (spec->choices) {
		fputs(" -x -a '", out);
		print_words(out, spec->choices);
		fputs("'", out);
	} else if (spec->value) {
		fputs(spec->file ? " -r -F" : " -x", out);
	}
	fputs(" -d '", out);
	fish_text(out, spec->brief);
	fputs("'\n", out);
}

static void fish_seen_choice(FILE *out, const struct verb_spec *spec)
{
	fputs("__fish_seen_subcommand_from ", out);
	print_words(out, spec->operand_choices);
}

static void fish_verb(FILE *out, enum verb verb)
{
	const struct verb_spec *spec = verb_spec(verb);

	fprintf(out, "complete -c bantam -n __fish_use_subcommand -a %s -d '", spec->name);
	fish_text(out, spec->brief);
	fputs("'\n", out);
	for (enum option_id id = 0; id < NUM_OPTIONS; id++)
		if (option_of(verb, id))
			fish_option(out, verb, option_spec(id));
	if (spec->operand_choices) {
		fprintf(out, "complete -c bantam -n '__fish_seen_subcommand_from %s; and not ",
			spec->name);
		fish_seen_choice(out, spec);
		fputs("' -a '", out);
		print_words(out, spec->operand_choices);
		fputs("'\n", out);
	}
	if (!spec->operand_vm && !spec->operand_file && verb != VERB_HELP)
		return;
	fprintf(out, "complete -c bantam -n '__fish_seen_subcommand_from %s", spec->name);
	if (spec->operand_choices) {
		fputs("; and ", out);
		fish_seen_choice(out, spec);
	}
	fputs("'", out);
	if (spec->operand_file)
		fputs(" -F", out);
	if (spec->operand_vm)
		fputs(" -a '(bantam ps --quiet 2>/dev/null)'", out);
	if (verb == VERB_HELP) {
		fputs(" -a '", out);
		print_verb_words(out);
		fputs("'", out);
	}
	fputs("\n", out);
}

static void print_fish(FILE *out)
{
	fputs("# fish completion for bantam, made by 'bantam completion fish'\n"
	      "complete -c bantam -f\n",
		out);
	for (enum verb verb = 0; verb < NUM_VERBS; verb++)
		fish_verb(out, verb);
}

int completion_print(FILE *out, const char *shell)
{
	static const struct {
		const char *name;
		void (*print)(FILE *out);
	} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(shells[i].name, shell))
			continue;
		shells[i].print(out);
		return 0;
	}
	return -ENOENT;
}
