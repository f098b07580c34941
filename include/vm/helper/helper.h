/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A helper is a process of its own for work on what strangers send: it shares with the VM memory,
 * two eventfds and a socket for lines of text, and has nothing else of it. It is started while the
 * VM's process has one thread and all its rights. The VM can do neither later, so a second process,
 * the keeper, does: it looks at nothing that the helper has touched, waits for its end, and forks
 * the next one.
 *
 *	VM ──fork──► keeper ──fork──► helper		again after each end of the helper
 *	 │ ◄─control──┘ └──ask──────────┤		helper_ask
 *	 │ ◄─lines──────────────────────┤		ready, lines for the log
 *	 └──────── memory, eventfds ────┘
 *
 *	the VM ends or closes the helper: the keeper ends; the keeper ends: so does the helper
 *
 * Memory survives a helper, with whatever that has left there. The next one says that it is ready,
 * and touches nothing before the VM, which has put the memory in order, tells it to go.
 */
#ifndef BANTAM_VM_HELPER_HELPER_H
#define BANTAM_VM_HELPER_HELPER_H

#include <sys/types.h>

#include "vm/core/base.h"

struct error;
struct helper;

/* ---- what it is to do ---- */

/* In the helper */
struct helper_self {
	void *memory;		 /* config.memory bytes from here on */
	int wake;		 /* signalled by the VM: an eventfd, not blocking */
	int vm_wake;		 /* signals the VM */
	int lines;		 /* write(2): a line as struct log makes it, for the VM's log */
	unsigned int generation; /* 1, 2... */
	/* private: */
	int ask;
	struct helper_shared *shared;
	const struct helper_confine *confine;
};

enum helper_role { HELPER_KEEPER, HELPER_BODY };

/*
 * Gives up what rights are left: in the keeper before its first fork, in the helper when it says
 * that it is ready. Both have no new privileges, no core and no other descriptors by then, and all
 * signals blocked. What is gone in the keeper is so in its helpers from their beginning. -errno
 * with a line: no start.
 */
struct helper_confine {
	int (*enter)(void *opaque, enum helper_role role, struct error *err);
	void *opaque;
};

struct helper_config {
	const char *name;	/* what ps shows: at most 15 characters */
	size_t memory;		/* bytes to share, zero at first */
	uint64_t heap;		/* bytes of private memory that it may have; 0: no limit */
	unsigned int max_files; /* descriptors that it may have; 0: as the VM */
	/* In the keeper, once: what needs files, as libraries do. -errno with a line: no start. */
	int (*prepare)(void *opaque, struct error *err);
	/*
	 * In the helper, which ends when it returns. -errno, with a line, before helper_ready was
	 * called: the first helper's start has failed, and there will be no other.
	 */
	int (*body)(void *opaque, struct helper_self *self, struct error *err);
	/* In the keeper: what helper_ask gets, in buf of size bytes. NULL: it gets nothing. */
	size_t (*answer)(void *opaque, void *buf, size_t size);
	const struct helper_confine *confine; /* NULL: nothing more is given up */
	void *opaque;
};

enum { HELPER_ANSWER = 4096 };

/*
 * It has all open that it will ever open: gives up its rights, says that it is ready, and returns
 * when it may go. -errno with a line: body returns that.
 */
int helper_ready(struct helper_self *self, struct error *err);
/* Waits for the keeper's answer, which is up to HELPER_ANSWER bytes; 0 when none comes. */
size_t helper_ask(struct helper_self *self, void *buf, size_t size);

/* ---- in the VM ---- */

/*
 * The caller has one thread. All pointers of config are used in processes forked from here, so
 * what they lead to may be gone when this returns. -errno with a line.
 */
int helper_start(const struct helper_config *config, struct helper **ret, struct error *err);
/* It ends. NULL is allowed. */
void helper_close(struct helper *helper);
/* It goes on: another process has its descriptors. */
void helper_release(struct helper *helper);

/* As what it is handed from one process, which has started it, to another. */
enum {
	HELPER_FD_CONTROL,
	HELPER_FD_LINES,
	HELPER_FD_MEMORY,
	HELPER_FD_WAKE,
	HELPER_FD_VM_WAKE,
	HELPER_FDS
};

/* They stay the helper's. */
void helper_descriptors(const struct helper *helper, int fds[HELPER_FDS]);
/* They become the helper's unless this fails: -errno with a line. memory: bytes, as it was started
 * with. */
int helper_adopt(const int fds[HELPER_FDS], size_t memory, struct helper **ret, struct error *err);

void *helper_memory(struct helper *helper);
int helper_vm_wake(const struct helper *helper); /* the eventfd that it signals, not blocking */
void helper_wake(const struct helper *helper);

enum helper_news {
	HELPER_NONE,
	HELPER_READY,	/* it waits for helper_go */
	HELPER_FAILED,	/* it could not be started; code is -errno, text says why */
	HELPER_LINE,	/* text is a line for the log */
	HELPER_DIED,	/* text says how; the keeper starts another one */
	HELPER_GAVE_UP, /* it does not: too many died. text says how the last one did */
	HELPER_GONE,	/* nobody is there any more */
};

struct helper_message {
	enum helper_news news;
	int code;
	unsigned int generation; /* of which it is news */
	char text[512];		 /* printable */
};

/*
 * Both descriptors are readable when there are news, control's for good after HELPER_GONE. Does not
 * wait. What the helper says may be anything; what the keeper says, control, is true.
 */
int helper_control(const struct helper *helper);
int helper_lines(const struct helper *helper);
void helper_read_control(struct helper *helper, struct helper_message *ret);
void helper_read_lines(struct helper *helper, struct helper_message *ret);

/*
 * Waits until it is ready for the first time, and returns its generation; -errno with a line. Lines
 * go to fn.
 */
int helper_wait(struct helper *helper, void (*fn)(void *opaque, const char *line), void *opaque,
	struct error *err);
/* The memory is in order. generation: as HELPER_READY had it. */
void helper_go(struct helper *helper, unsigned int generation);
/* What it has written cannot be: the keeper ends it, and starts another one. */
void helper_restart(struct helper *helper);

#endif
