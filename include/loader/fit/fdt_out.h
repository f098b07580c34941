/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a flattened device tree from its beginning to its end. The first failure is kept and makes
 * what follows do nothing, so that only the end has to be checked.
 */
#ifndef BANTAM_LOADER_FIT_FDT_OUT_H
#define BANTAM_LOADER_FIT_FDT_OUT_H

#include "vm/core/base.h"

struct fdt_out {
	void *buf;
	int rc; /* libfdt's, 0 or negative */
};

/* buf has size bytes, which are zeros. The root node is open then. */
void fdt_out_start(struct fdt_out *out, void *buf, size_t size);

/* Closes the root node. How long the tree is, or -ENOSPC. */
int fdt_out_finish(struct fdt_out *out);

void fdt_out_begin(struct fdt_out *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void fdt_out_end(struct fdt_out *out);

void fdt_out_flag(struct fdt_out *out, const char *name);
void fdt_out_string(struct fdt_out *out, const char *name, const char *value);
/* strings are one behind the other, each with its zero: "a\0b", and a literal's own. */
void fdt_out_bytes(struct fdt_out *out, const char *name, const void *value, size_t len);
void fdt_out_cell(struct fdt_out *out, const char *name, uint32_t value);
void fdt_out_cells(struct fdt_out *out, const char *name, const uint32_t *values, size_t count);

/* A property of len bytes, to be filled in; NULL after a failure. */
void *fdt_out_room(struct fdt_out *out, const char *name, size_t len);

#endif
