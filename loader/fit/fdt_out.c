/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/fit/fdt_out.h"

#include <errno.h>
#include <libfdt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool done(struct fdt_out *out, int rc)
{
	if (!out->rc)
		out->rc = rc;
	return out->rc == 0;
}

void fdt_out_start(struct fdt_out *out, void *buf, size_t size)
{
	*out = (struct fdt_out){.buf = buf};
	if (size > INT_MAX)
		out->rc = -FDT_ERR_NOSPACE;
	else if (done(out, fdt_create(buf, (int)size)) && done(out, fdt_finish_reservemap(buf)))
		done(out, fdt_begin_node(buf, ""));
}

int fdt_out_finish(struct fdt_out *out)
{
	fdt_out_end(out);
	if (!out->rc)
		done(out, fdt_finish(out->buf));
	return out->rc ? -ENOSPC : (int)fdt_totalsize(out->buf);
}

void fdt_out_begin(struct fdt_out *out, const char *fmt, ...)
{
	char name[128];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(name))
		done(out, -FDT_ERR_NOSPACE);
	if (!out->rc)
		done(out, fdt_begin_node(out->buf, name));
}

void fdt_out_end(struct fdt_out *out)
{
	if (!out->rc)
		done(out, fdt_end_node(out->buf));
}

void *fdt_out_room(struct fdt_out *out, const char *name, size_t len)
{
	void *room = NULL;

	if (len > INT_MAX)
		done(out, -FDT_ERR_NOSPACE);
	if (!out->rc)
		done(out, fdt_property_placeholder(out->buf, name, (int)len, &room));
	return out->rc ? NULL : room;
}

void fdt_out_bytes(struct fdt_out *out, const char *name, const void *value, size_t len)
{
	void *room = fdt_out_room(out, name, len);

	if (room && len)
		memcpy(room, value, len);
}

void fdt_out_flag(struct fdt_out *out, const char *name)
{
	fdt_out_bytes(out, name, NULL, 0);
}

void fdt_out_string(struct fdt_out *out, const char *name, const char *value)
{
	fdt_out_bytes(out, name, value, strlen(value) + 1);
}

void fdt_out_cells(struct fdt_out *out, const char *name, const uint32_t *values, size_t count)
{
	uint8_t *room = fdt_out_room(out, name, count * sizeof(*values));

	for (size_t i = 0; room && i < count; i++)
		fdt32_st(room + i * sizeof(*values), values[i]);
}

void fdt_out_cell(struct fdt_out *out, const char *name, uint32_t value)
{
	fdt_out_cells(out, name, &value, 1);
}
