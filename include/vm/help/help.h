/* SPDX-License-Identifier: BSD-2-Clause */
/* What `bantam help` and `bantam completion` print, made from the option table. */
#ifndef BANTAM_VM_HELP_HELP_H
#define BANTAM_VM_HELP_HELP_H

#include <stdio.h>

/* Help for a verb, or the list of verbs for NULL. 0, or -ENOENT and nothing printed. */
int help_print(FILE *out, const char *verb);

/* The completion script for bash, zsh or fish. 0, or -ENOENT and nothing printed. */
int completion_print(FILE *out, const char *shell);

#endif
