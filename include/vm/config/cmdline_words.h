/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a kernel command line, found as Linux finds them. */
#ifndef BANTAM_VM_CONFIG_CMDLINE_WORDS_H
#define BANTAM_VM_CONFIG_CMDLINE_WORDS_H

#include "vm/core/base.h"

/* Not terminated, and without quotes around them; value is NULL where there is no '='. */
struct cmdline_word {
	const char *key, *value;
	size_t key_len, value_len;
};

/* Linux' own isspace: 0xA0 counts, even inside a UTF-8 sequence. */
bool cmdline_is_space(char ch);

/* The word at the start of *text, which is moved behind it; false at the end, and at a "--". */
bool cmdline_next_word(const char **text, struct cmdline_word *word);

/* Cuts the part up to the next comma off the word's value; false when none is left. */
bool cmdline_next_item(struct cmdline_word *word, const char **item, size_t *len);

bool cmdline_word_is(const struct cmdline_word *word, const char *key);

/* True when the kernel would see a word with this key ("panic", for panic=5 or a bare panic). */
bool cmdline_has_key(const char *cmdline, const char *key);

/* The same, with item as its value, or among the commas of that. */
bool cmdline_has_item(const char *cmdline, const char *key, const char *item);

#endif
