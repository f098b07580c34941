/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of JSON to commands and back, without a socket; for vm/control/server.c and its tests. */
#ifndef BANTAM_VM_CONTROL_WIRE_H
#define BANTAM_VM_CONTROL_WIRE_H

#include <jansson.h>

#include "vm/control/control.h"

struct error;

struct wire_request {
	uint64_t id;
	const struct control_command *command;
	/* Texts point into json; descriptors that an argument names are taken from the caller's. */
	struct control_value args[CONTROL_MAX_FIELDS];
	json_t *json; /* the caller's to drop */
};

/*
 * Reads one line. fds are those that came with it; what the request takes becomes -1 there. -errno
 * with a line; request->id is right if the line had one, else 0.
 */
int wire_parse(const struct control *control, const char *line, size_t len, int *fds,
	unsigned int num_fds, struct wire_request *request, struct error *err);

enum { WIRE_MAX_DEPTH = 8 };

/* A result in the making. */
struct wire_result {
	json_t *levels[WIRE_MAX_DEPTH];
	unsigned int depth; /* 0: nothing was put */
};
void wire_put(struct wire_result *result, const char *key, json_t *value); /* takes value */
void wire_open(struct wire_result *result, const char *key, bool list);
void wire_close(struct wire_result *result);
/* The whole, which is the caller's; an empty object if nothing was put. */
json_t *wire_take(struct wire_result *result);

/* A string; what is no UTF-8 in it becomes '?'. */
json_t *wire_text(const char *text);

/* "EBUSY" of -EBUSY; "EIO" of what has no name. */
const char *wire_code(int code);

#endif
