/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Error text that travels up to the one place that prints it.
 *
 * A function that can fail for a reason a person should read takes a `struct error *` (NULL is
 * allowed: the text is dropped) and returns a negative errno. The text says what failed, on what
 * and why, without the "bantam: " prefix and without a newline.
 */
#ifndef BANTAM_VM_CORE_ERROR_H
#define BANTAM_VM_CORE_ERROR_H

#include "vm/core/base.h"

struct error {
	char text[512];
};

/* Sets the text and returns code, so that callers write `return error_set(err, -EINVAL, ...)`. */
int error_set(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As error_set, with ": " and the description of -code appended; code is a negative errno. */
int error_set_errno(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " in front of the text that is there. Returns code. */
int error_prefix(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
