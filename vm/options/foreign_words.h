/* SPDX-License-Identifier: BSD-2-Clause */
/* Other monitors' words, and what to say instead; see foreign_words.c. All strings are static. */
#ifndef BANTAM_VM_OPTIONS_FOREIGN_WORDS_H
#define BANTAM_VM_OPTIONS_FOREIGN_WORDS_H

#include "vm/core/base.h"

/* arg is -WORD or --WORD, with =VALUE or not. NULL: nobody's. */
const char *foreign_option(const char *arg);
/* A word behind a comma of --disk's or --net's. */
const char *foreign_key(const char *option, const char *word);
/* The same for WORD=VALUE where a file's name is expected. */
const char *foreign_first(const char *option, const char *part);

#endif
