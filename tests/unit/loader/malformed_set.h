/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels and initrds that must be refused: sound files with a field damaged, cut files, files of
 * other kinds, and what is no file at all. A case is made on disk for the loader (test_malformed.c)
 * or for the whole program (tests/tools/make_malformed.c).
 */
#ifndef TESTS_MALFORMED_SET_H
#define TESTS_MALFORMED_SET_H

#include "vm/core/base.h"

enum { MALFORMED_MEMORY_MIB = 64, MALFORMED_PATCHES = 3 };

enum malformed_base { FROM_BZIMAGE, FROM_PACKED, FROM_BOMB, FROM_ELF64, FROM_ELF32, FROM_BYTES };

enum malformed_kind {
	MADE_FILE, /* a regular file */
	MADE_DIRECTORY,
	MADE_FIFO,
	MADE_SYMLINK_LOOP,
	MADE_NOTHING,  /* the name exists nowhere */
	MADE_DEV_ZERO, /* /dev/zero itself */
};

struct malformed_patch {
	uint32_t off;
	uint8_t len; /* 0 ends the list */
	uint64_t value;
};

struct malformed_case {
	const char *name;
	const char *reason; /* a part of the message */
	enum malformed_base base;
	enum malformed_kind kind;
	struct malformed_patch patches[MALFORMED_PATCHES];
	const char *bytes; /* FROM_BYTES: put at bytes_off in zeros */
	uint32_t bytes_len, bytes_off;
	/* The size is set so, by cutting or by a hole; SIZE_AS_IS leaves it. */
	uint64_t size;
	uint32_t cmdline_len;
	bool has_initrd;
	enum malformed_kind initrd_kind;
	uint64_t initrd_size;
};

#define SIZE_AS_IS UINT64_MAX

const struct malformed_case *malformed_cases(size_t *count);

struct malformed_paths {
	char kernel[512];
	char initrd[512];  /* "" for none */
	bool blame_initrd; /* the file at fault is the initrd */
};

/* Makes a case's files in dir. Returns 0 or a negative errno. */
int malformed_make(const struct malformed_case *c, const char *dir, struct malformed_paths *paths);
void malformed_remove(const struct malformed_paths *paths);

#endif
