/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandbox: what Bantam's process gives up before its guest runs. The order and the reasons are
 * in vm/sandbox/sandbox.c, the threats in Documentation/security.md.
 *
 * A sandbox is planned (sandbox_create) while there is nothing of the VM yet, and entered when
 * everything is open and there is one thread. Its threads enter what is theirs through
 * sandbox_confine.
 */
#ifndef BANTAM_VM_SANDBOX_SANDBOX_H
#define BANTAM_VM_SANDBOX_SANDBOX_H

#include <stdio.h>
#include <sys/types.h>

#include "vm/core/base.h"
#include "vm/core/confine.h"
#include "vm/helper/helper.h"

struct confine;
struct error;
struct log;
struct sandbox;
struct sandbox_sys;

enum sandbox_mode { SANDBOX_ON, SANDBOX_STRICT, SANDBOX_LOG, SANDBOX_OFF };

/* Sanitizers look at files, other threads and more, when they report and before. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_DEFAULT SANDBOX_LOG
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_DEFAULT SANDBOX_LOG
#endif
#ifndef SANDBOX_DEFAULT
#define SANDBOX_DEFAULT SANDBOX_ON
#endif

enum sandbox_layer {
	SANDBOX_NAMESPACES, /* mounts, IPC, host's name; in a user namespace or by root's rights */
	SANDBOX_NETWORK,    /* a network namespace of its own */
	SANDBOX_ROOT,	    /* an empty, read-only file system */
	SANDBOX_USER,	    /* not root */
	SANDBOX_RIGHTS,	    /* no capabilities, no new privileges, not dumpable, limits */
	SANDBOX_LANDLOCK,
	SANDBOX_SECCOMP,
	NUM_SANDBOX_LAYERS
};

/* What became of a layer */
struct sandbox_result {
	bool there;
	bool unwanted; /* nothing is missing */
	int error;     /* why not: -errno */
	char text[96]; /* how: "user namespace", "ABI 7"; "" for nothing to add */
};

enum { SANDBOX_MAX_READABLE = 16, SANDBOX_MAX_SHARES = 16 };

struct sandbox_config {
	enum sandbox_mode mode;
	const char *user; /* whom to become, or NULL */
	bool user_net;	  /* user networking runs in this process */
	bool shares;	  /* it serves directories (sandbox_add_share) */
	uint64_t memory;  /* the guest's */
	struct log *log;
	const struct sandbox_sys *sys; /* NULL: the host's */
};

/* Looks the user up. -EPERM, -ENOENT with a line: what was asked for cannot be. */
int sandbox_create(const struct sandbox_config *config, struct sandbox **ret, struct error *err);
/* NULL is allowed. */
void sandbox_destroy(struct sandbox *sandbox);

/* What the threads of the process are given; as long as the sandbox. */
const struct confine *sandbox_confine(struct sandbox *sandbox);

/* ---- before it is entered ---- */

/* A directory in which this process may remove files, relative to sandbox_run_fd. Kept. */
void sandbox_set_run_dir(struct sandbox *sandbox, const char *path);
/* A pseudo terminal's file that is opened again. Kept. More than there is room for are ignored. */
void sandbox_add_readable(struct sandbox *sandbox, const char *path);

/*
 * A directory that a thread of this process serves, which gets the class CONFINE_FS: its
 * descriptor, which stays open as long. What that thread is given; SANDBOX_MAX_SHARES of them at
 * most.
 */
const struct confine *sandbox_add_share(struct sandbox *sandbox, int fd, bool read_only);

/*
 * Gives up everything. The caller is the only thread of its process, and all is open that will ever
 * be. -errno with a line where a layer is missing and the mode is strict, or what was asked for
 * cannot be done.
 */
int sandbox_enter(struct sandbox *sandbox, struct error *err);

/*
 * What a helper that serves a user network gives up, for helper_start; as long as the sandbox. Its
 * keeper gets a filter; the helper, which has the host's network, all other layers and a filter of
 * its own. It fails as sandbox_enter does. What is missing else is told by that.
 */
struct helper_confine sandbox_net_helper(struct sandbox *sandbox);

/* ---- afterwards ---- */

/* False before it was entered, and in the modes off and log: this process may open files. */
bool sandbox_is_entered(const struct sandbox *sandbox);
/* Whether a user network can be made in this process. */
bool sandbox_has_network(const struct sandbox *sandbox);
/* Descriptors for *at calls, or -1: of run_dir, and of /proc/self/task. */
int sandbox_run_fd(const struct sandbox *sandbox);
int sandbox_tasks_fd(const struct sandbox *sandbox);

/* What was entered: NUM_SANDBOX_LAYERS of them. */
const struct sandbox_result *sandbox_results(const struct sandbox *sandbox);
const char *sandbox_layer_name(enum sandbox_layer layer);

/*
 * Whether this host has the layers, by way of a child that enters a sandbox. -errno where there is
 * no child.
 */
int sandbox_probe(struct sandbox_result results[NUM_SANDBOX_LAYERS]);

#endif
