/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(struct error *err, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

static void set_text(struct error *err, const char *fmt, va_list args)
{
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	/* One line, whatever a file name or a kernel's strings held. */
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

static void append(struct error *err, const char *separator, const char *text)
{
	size_t used = strlen(err->text);

	snprintf(err->text + used, sizeof(err->text) - used, "%s%s", separator, text);
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	return code;
}

int error_set_errno(struct error *err, int code, const char *fmt, ...)
{
	char reason[128];
	va_list args;

	if (!err)
		return code;
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	append(err, ": ", strerror_r(-code, reason, sizeof(reason)));
	return code;
}

int error_prefix(struct error *err, int code, const char *fmt, ...)
{
	struct error before;
	va_list args;

	if (!err)
		return code;
	before = *err;
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	append(err, ": ", before.text);
	return code;
}
