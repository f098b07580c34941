/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's command line: default words that help a guest under Bantam, then the user's own.
 * A default is left out when the user says anything about the same key himself.
 */
#ifndef BANTAM_VM_CONFIG_CMDLINE_H
#define BANTAM_VM_CONFIG_CMDLINE_H

#include "vm/config/config.h"
#include "vm/core/base.h"

struct error;

struct cmdline_defaults {
	bool enabled;	    /* false: the user's words alone */
	bool serial1;	    /* the guest has a first serial port */
	bool serial2;	    /* or one of the others */
	bool hvc0;	    /* its console is a virtio console */
	bool disk;	    /* it has a disk */
	bool read_only;	    /* and the first one cannot be written */
	bool no_panic_mark; /* the kernel would take reboot=panic_warm for something else */
};

/* What a default word needs to make sense. */
enum cmdline_need {
	NEEDS_NOTHING,
	NEEDS_SERIAL1,
	NEEDS_NO_SERIAL2,
	NEEDS_HVC0,
	NEEDS_DISK,
	NEEDS_WRITABLE_DISK,
	NEEDS_PANIC_MARK
};

struct cmdline_default {
	const char *word;
	const char *keys[7]; /* NULL-terminated: each, in the user's words, drops this one */
	enum cmdline_need need;
	const char *reason; /* for help */
};

/* The i-th default word, NULL past the last. Static. */
const struct cmdline_default *cmdline_default(size_t i);

/*
 * Writes the complete command line, NUL-terminated, into buf of size bytes (at least 1). Returns 0,
 * -E2BIG with a line that says how much too long it is, or -EINVAL for a control character. On
 * failure buf holds "".
 */
int cmdline_compose(const char *user, const struct cmdline_defaults *defaults, char *buf,
	size_t size, struct error *err);

/*
 * True when the kernel reboots in warm mode for a panic, and in another mode for anything else: the
 * mode that it leaves in memory tells them apart then.
 */
bool cmdline_marks_panic(const char *cmdline);

/* A word that hides the devices, and the way out, for a person. */
struct cmdline_hidden {
	const char *word, *way;
};

/* The first such word on a whole command line, NULL for none. Static. */
const struct cmdline_hidden *cmdline_hides(const char *cmdline, enum transport transport);

#endif
