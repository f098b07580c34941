/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of verbs and options. The parser, `--help` and the shells' completions all read
 * it, so an option that exists in one exists in all.
 */
#ifndef BANTAM_VM_OPTIONS_OPTIONS_H
#define BANTAM_VM_OPTIONS_OPTIONS_H

#include "vm/core/base.h"

struct error;

enum verb {
	VERB_RUN,
	VERB_PACK,
	VERB_DOCTOR,
	/* What is done to a VM that runs */
	VERB_PS,
	VERB_STOP,
	VERB_RESET,
	VERB_PAUSE,
	VERB_RESUME,
	VERB_WAIT,
	VERB_EVENTS,
	VERB_CONSOLE,
	VERB_STAT,
	VERB_TOP,
	VERB_LIMIT,
	VERB_BALLOON,
	VERB_NMI,
	VERB_SYSRQ,
	VERB_DUMP,
	VERB_GDB,
	VERB_LOGS,
	VERB_DISK,
	VERB_NET,
	VERB_VERSION,
	VERB_HELP,
	VERB_COMPLETION,
	NUM_VERBS
};

#define VERB_BIT(verb) (1u << (verb))

enum option_id {
	OPT_KERNEL,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_NO_DEFAULT_CMDLINE,
	OPT_EARLYCON,
	OPT_BOOT,
	OPT_KASLR,
	OPT_NO_KERNEL_CACHE,
	OPT_FIT_CONFIG,
	OPT_DTB,
	OPT_OUTPUT,
	OPT_PACK_CONFIG,
	OPT_FLAT,
	OPT_MODE,
	OPT_MEMORY,
	OPT_HUGEPAGES,
	OPT_CPUS,
	OPT_CPU,
	OPT_NAME,
	OPT_UUID,
	OPT_SMBIOS,
	OPT_DISK,
	OPT_NET,
	OPT_SHARE,
	OPT_SERIAL,
	OPT_CONSOLE,
	OPT_PORT,
	OPT_RNG,
	OPT_BALLOON,
	OPT_TRANSPORT,
	OPT_HOTPLUG,
	OPT_ON_REBOOT,
	OPT_ON_POWEROFF,
	OPT_ON_PANIC,
	OPT_EXIT_PORT,
	OPT_KVM,
	OPT_DETACH,
	OPT_DRY_RUN,
	OPT_DUMP_DTB,
	OPT_EVENTS,
	OPT_METRICS,
	OPT_SANDBOX,
	OPT_USER,
	OPT_GDB,
	OPT_TIMEOUT,
	OPT_FORCE,
	OPT_EVENT,
	OPT_CATCH_UP,
	OPT_READ_ONLY,
	OPT_NO_HISTORY,
	OPT_WATCH,
	OPT_INTERVAL,
	OPT_PROMETHEUS,
	OPT_WAIT,
	OPT_ONE_CPU,
	OPT_NO_PAUSE,
	OPT_FOLLOW,
	OPT_VMLINUX,
	OPT_JSON,
	OPT_QUIET,
	OPT_VERBOSE,
	OPT_HELP,
	NUM_OPTIONS,
};

enum option_group {
	GROUP_BOOT,
	GROUP_FLAT,
	GROUP_MACHINE,
	GROUP_DEVICES,
	GROUP_END,
	GROUP_OTHER,
	NUM_GROUPS
};

/* What help says of an option for some verbs. */
struct option_more {
	unsigned int verbs; /* 0 ends a list */
	const char *text;
};

struct option_spec {
	char short_name;	    /* 0 for none */
	const char *name;	    /* without the dashes */
	const char *value;	    /* what help calls its value; NULL: the option takes none */
	bool file;		    /* the value begins with a file name */
	bool repeatable;	    /* each one adds; of the others the last one counts */
	const char *const *choices; /* NULL-terminated; completion only, unless closed */
	bool closed;		    /* the value is one of choices, by its index an enum's value */
	unsigned int verbs;	    /* VERB_BIT()s that take it */
	enum option_group group;
	const char *brief; /* one short line, no full stop */
	const char *more;  /* for help, put behind brief as it is; NULL for none */
	const struct option_more *more_by_verb; /* instead, for those in it; or NULL */
};

struct verb_spec {
	const char *name;
	const char *aliases[3]; /* spelled as options, NULL-terminated */
	const char *operand;	/* for the usage line; NULL: takes none */
	bool operand_file;	/* the first one, or the one behind a VM's name */
	bool operand_sizes;	/* one may begin with a minus and a digit */
	bool operand_vm;  /* the first one is the name of a running VM, behind a choice if any */
	bool operand_vms; /* and so are all behind it */
	const char *const *operand_choices; /* NULL-terminated, for completion */
	const char *brief;
	const char *text; /* a paragraph for help */
};

/* Static; id and verb are below NUM_OPTIONS and NUM_VERBS. */
const struct option_spec *option_spec(enum option_id id);
const struct verb_spec *verb_spec(enum verb verb);
const char *option_group_title(enum option_group group);
/* What help puts behind an option's brief; "" for nothing. */
const char *option_more(enum option_id id, enum verb verb);

/* 0, or -ENOENT and a line with the nearest verb. Aliases (-h, --help, --version) count. */
int verb_find(const char *name, enum verb *verb, struct error *err);

/*
 * Goes over argv the usual way: --name value, --name=value, -xvalue, -x value, flags grouped
 * behind one dash, operands anywhere, everything behind "--" an operand. Values point into argv.
 */
struct option_scan {
	enum verb verb;
	int argc;
	char **argv;
	int next;	   /* index of the argument to look at */
	const char *group; /* what is left of an argument like -vm1G, or NULL */
	bool only_operands;
};

struct option_hit {
	bool operand;
	enum option_id id; /* unless operand */
	const char *value; /* the operand or the option's value; NULL for a flag */
};

/* argv[0] is skipped; argv must outlive the scan. */
void option_scan_start(struct option_scan *scan, enum verb verb, int argc, char **argv);
/* 1 with *hit set, 0 at the end, -EINVAL with a line that names the option. */
int option_scan_next(struct option_scan *scan, struct option_hit *hit, struct error *err);

#endif
