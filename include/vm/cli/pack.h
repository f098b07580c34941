/* SPDX-License-Identifier: BSD-2-Clause */
/* What `bantam pack` is to make, as plain data. Opens nothing. */
#ifndef BANTAM_VM_CLI_PACK_H
#define BANTAM_VM_CLI_PACK_H

#include "loader/loader.h"
#include "vm/core/base.h"

struct error;

enum { PACK_MAX_CONFIGS = 16, PACK_MAX_NAME = 31 /* of a device tree's node */ };

struct pack_entry {
	const char *name;
	const char *kernel; /* NULL: the first one's, or, as the first, the newest of /boot */
	const char *initrds[LOADER_MAX_INITRDS];
	unsigned int num_initrds;
	char *cmdline; /* owned; NULL for none */
};

struct pack_config {
	const char *output;
	struct pack_entry entries[PACK_MAX_CONFIGS]; /* the first is the default */
	unsigned int count;
};

/*
 * Parses the arguments of `bantam pack`; argv[0] is skipped, argv must outlive the result. Returns
 * 0, 1 when help was asked for, -EINVAL with a line, -ENOMEM. To be destroyed in any case.
 */
int pack_config_parse(struct pack_config *pack, int argc, char **argv, struct error *err);
void pack_config_destroy(struct pack_config *pack);

#endif
