/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the sandbox: its parts, in the order in which sandbox.c takes them. */
#ifndef BANTAM_VM_SANDBOX_LAYERS_H
#define BANTAM_VM_SANDBOX_LAYERS_H

#include "vm/core/confine.h"
#include "vm/sandbox/filter.h"
#include "vm/sandbox/sandbox.h"
#include "vm/sandbox/sys.h"

struct sandbox_share {
	struct sandbox *sandbox;
	struct confine confine;
	int fd;
	bool read_only;
	int rules; /* a ruleset of Landlock's for its thread, or -1 */
};

struct sandbox {
	struct sandbox_config config;
	const struct sandbox_sys *sys;
	struct confine confine;
	struct filter_values values;
	bool entered;
	bool helper;	  /* this process is one */
	uid_t uid;	  /* who started it */
	bool root;	  /* that is root */
	bool privileged;  /* has namespaces by root's rights, not in a user namespace */
	uid_t become_uid; /* of --user, or -1 */
	gid_t become_gid;
	bool became;
	const char *run_dir;
	const char *readable[SANDBOX_MAX_READABLE];
	int readable_fd[SANDBOX_MAX_READABLE];
	unsigned int num_readable;
	struct sandbox_share shares[SANDBOX_MAX_SHARES];
	unsigned int num_shares;
	struct sandbox_result results[NUM_SANDBOX_LAYERS];
};

/* What became of a layer; rc 0: it is there. Returns rc. */
int layer_result(struct sandbox *sandbox, enum sandbox_layer layer, int rc);
/* ...and how. */
void layer_say(struct sandbox *sandbox, enum sandbox_layer layer, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* namespaces.c: the layers namespaces, network and root. What is missing is in the results. */
void namespaces_enter(struct sandbox *sandbox);
void root_enter(struct sandbox *sandbox);

/* user_find.c: by name or "UID:GID". -errno with a line. */
struct user_ids {
	uid_t uid;
	gid_t gid;
};
int user_find(const char *name, struct user_ids *ids, struct error *err);

/* user.c: -errno with a line. */
int user_look_up(struct sandbox *sandbox, struct error *err);
/* -errno. Who was forked to end with its parent still does. */
int user_become(struct sandbox *sandbox, uid_t uid, gid_t gid);
int user_enter(struct sandbox *sandbox, struct error *err);
int rights_drop(struct sandbox *sandbox);

#endif
