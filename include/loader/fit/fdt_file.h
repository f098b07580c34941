/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that Bantam makes: FIT images and device trees. */
#ifndef BANTAM_LOADER_FIT_FDT_FILE_H
#define BANTAM_LOADER_FIT_FDT_FILE_H

#include "vm/core/base.h"

struct error;

/*
 * Writes a file as a whole or not at all: there is never a part of it under its name. A file that
 * is there is replaced if it is empty or a flattened device tree too, and refused otherwise
 * (-EEXIST): it was not meant. A symbolic link stays, and leads to the new file. -errno with a
 * line.
 */
int fdt_file_write(const char *path, const void *bytes, size_t size, struct error *err);

#endif
