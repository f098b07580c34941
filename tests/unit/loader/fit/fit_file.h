/* SPDX-License-Identifier: BSD-2-Clause */
/* A small sound FIT image, to read and to damage. */
#ifndef TESTS_FIT_FILE_H
#define TESTS_FIT_FILE_H

#include "vm/core/base.h"

enum { FIT_FILE_MAX = 16384 };

struct fit_file {
	size_t size;
	uint8_t bytes[FIT_FILE_MAX];
};

/*
 * Configurations "one", the default, with FIT_KERNEL, FIT_RAMDISK and FIT_WORDS, and "two", with
 * the same kernel alone. There is room to edit the tree where it is; fit_file_pack takes it back.
 */
#define FIT_KERNEL  "the kernel's bytes"
#define FIT_RAMDISK "the initial RAM disk's"
#define FIT_WORDS   "quiet splash"

void fit_file_make(struct fit_file *file);

/* The node of that path, which is there. */
int fit_file_node(struct fit_file *file, const char *path);
void fit_file_set(struct fit_file *file, const char *path, const char *property, const void *value,
	size_t len);
void fit_file_set_string(
	struct fit_file *file, const char *path, const char *property, const char *value);
void fit_file_set_cell(
	struct fit_file *file, const char *path, const char *property, uint32_t value);
void fit_file_remove(struct fit_file *file, const char *path, const char *property);
void fit_file_remove_node(struct fit_file *file, const char *path);

/* Gives an image other bytes, and the hash that belongs to them. */
void fit_file_set_data(
	struct fit_file *file, const char *path, const void *data, size_t len, const char *algo);

/* Makes the tree as short as it can be, and size what it is then. */
void fit_file_pack(struct fit_file *file);

/* Puts bytes behind the packed tree; where they are. */
size_t fit_file_append(struct fit_file *file, const void *bytes, size_t len);

#endif
