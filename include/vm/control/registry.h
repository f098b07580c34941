/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of running VMs: one directory for each user, and in it a socket NAME.sock for each VM
 * and one file of locks. Whose a name is, is decided by a lock on that file, at an offset that is
 * the name's hash: the kernel gives it to one process, and takes it away when that ends, in
 * whatever way. So a socket that was left behind is told from a VM without asking it, and nobody
 * has to unlink a lock that another is about to take. Somebody may have removed that file under VMs
 * that run, so a socket without a lock is connected to before it counts as left behind.
 *
 * The directory is $XDG_RUNTIME_DIR/bantam; without that variable /run/bantam for root, and
 * /tmp/bantam-UID, which must be the user's alone, for others.
 */
#ifndef BANTAM_VM_CONTROL_REGISTRY_H
#define BANTAM_VM_CONTROL_REGISTRY_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "vm/core/base.h"

struct error;

enum { REGISTRY_MAX_NAME = 64, REGISTRY_MAX_PATH = 256, REGISTRY_KEEP_LOGS = 16 };

/* [A-Za-z0-9._-]{1,64}, not beginning with '.' or '-'. */
bool registry_name_valid(const char *name);

/* The directory's path, for messages too. It may not be there. -ENAMETOOLONG with a line. */
int registry_path(char *path, size_t size, struct error *err);

struct registry {
	int lock_fd; /* -1: it has no name */
	/* The directory, where its path leads nowhere any more; 0: the path does. Not owned. */
	int dir_fd;
	char name[REGISTRY_MAX_NAME + 1];
	struct sockaddr_un address;
};

/*
 * Makes name this process's, until registry_release. NULL: one is made up ("vm" and a number), on
 * the main thread. The
 * directory is made if need be. -EBUSY with a line when a VM has that name; -EINVAL, -ENAMETOOLONG
 * for a name that cannot be; else what the host says.
 */
int registry_claim(struct registry *registry, const char *name, struct error *err);
/* Removes the socket, if it is there. */
void registry_release(struct registry *registry);
/* Removes what a detached VM of this name had to say (registry_log_path). */
void registry_drop_log(const struct registry *registry);

/* The address of a VM's socket. -EINVAL, -ENAMETOOLONG with a line. */
int registry_address(const char *name, struct sockaddr_un *address, struct error *err);

/*
 * The file with what a detached VM has to say, or the older one, with what was before. It stays
 * when the VM ends, until the next one of that name. -EINVAL, -ENAMETOOLONG with a line.
 */
int registry_log_path(const char *name, bool older, char *path, size_t size, struct error *err);

/*
 * Removes the files of VMs that nobody had named and that have ended, but for the latest
 * REGISTRY_KEEP_LOGS of them.
 */
void registry_tidy_logs(void);

/* -EPERM with a line: the directory may be another user's doing. No directory is none. */
int registry_check(struct error *err);

/*
 * Calls fn with the name of each running VM, in alphabetical order. Sockets without a VM are
 * removed. 0, or -errno with a line; no directory is no VM.
 */
int registry_each(void (*fn)(void *opaque, const char *name), void *opaque, struct error *err);
/* Whether a VM has that name. */
bool registry_is_running(const char *name);
/* The process that has that name, for VMs that cannot be asked; 0: not known. */
pid_t registry_process(const char *name);

#endif
