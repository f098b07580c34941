/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words and keys are found the way Linux finds them (lib/cmdline.c, next_arg, and parse_args): a
 * blank ends a word unless a quote is open, the key ends at the first '=', a key or a value may
 * stand in quotes, '-' and '_' in a key are the same, and "--" ends what the kernel looks at. What
 * follows it is init's.
 */
#include "vm/config/cmdline_words.h"

#include <string.h>

bool cmdline_is_space(char ch)
{
	unsigned char c = (unsigned char)ch;

	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0;
}

/* What stands between the '=' and the end of the word, without its quotes. */
static void find_value(const char *equals, const char *end, bool quoted, struct cmdline_word *word)
{
	const char *value = equals + 1;

	if (value < end && *value == '"') {
		value++;
		quoted = true;
	}
	if (quoted && end > value && end[-1] == '"')
		end--;
	word->value = value;
	word->value_len = (size_t)(end - value);
}

bool cmdline_next_word(const char **text, struct cmdline_word *word)
{
	const char *p = *text, *equals = NULL;
	bool quoted, in_quote = false;

	while (cmdline_is_space(*p))
		p++;
	if (!*p)
		return false;
	*word = (struct cmdline_word){.value = NULL};
	quoted = *p == '"';
	word->key = p + quoted;
	for (; *p && (in_quote || !cmdline_is_space(*p)); p++) {
		if (*p == '=' && !equals && p > word->key)
			equals = p;
		if (*p == '"')
			in_quote = !in_quote;
	}
	*text = p;
	if (equals)
		find_value(equals, p, quoted, word);
	else if (quoted && p > word->key && p[-1] == '"')
		p--;
	word->key_len = (size_t)((equals ? equals : p) - word->key);
	return word->value || word->key_len != 2 || memcmp(word->key, "--", 2) != 0;
}

bool cmdline_word_is(const struct cmdline_word *word, const char *key)
{
	if (strlen(key) != word->key_len)
		return false;
	for (size_t i = 0; i < word->key_len; i++) {
		char a = word->key[i] == '-' ? '_' : word->key[i];
		char b = key[i] == '-' ? '_' : key[i];

		if (a != b)
			return false;
	}
	return true;
}

bool cmdline_next_item(struct cmdline_word *word, const char **item, size_t *len)
{
	const char *comma;

	if (!word->value)
		return false;
	comma = memchr(word->value, ',', word->value_len);
	*item = word->value;
	*len = comma ? (size_t)(comma - word->value) : word->value_len;
	word->value = comma ? comma + 1 : NULL;
	word->value_len -= comma ? *len + 1 : *len;
	return true;
}

bool cmdline_has_key(const char *cmdline, const char *key)
{
	struct cmdline_word word;

	while (cmdline_next_word(&cmdline, &word))
		if (cmdline_word_is(&word, key))
			return true;
	return false;
}

bool cmdline_has_item(const char *cmdline, const char *key, const char *item)
{
	struct cmdline_word word;
	const char *found;
	size_t len;

	while (cmdline_next_word(&cmdline, &word))
		while (cmdline_word_is(&word, key) && cmdline_next_item(&word, &found, &len))
			if (len == strlen(item) && !memcmp(found, item, len))
				return true;
	return false;
}
