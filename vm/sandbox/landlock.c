/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rights are what the ABI of the running kernel can take away (kernel:
 * Documentation/userspace-api/landlock.rst). Numbers are written out here, as Debian 12's headers
 * know the first versions only. What is newer than all we know takes away what we know; that is
 * tried first, and only a host that refuses is asked for its version.
 */
#include "landlock.h"

#include <errno.h>
#include <sys/syscall.h>

#include "vm/core/base.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif

enum {
	CREATE_VERSION = 1,
	RULE_PATH_BENEATH = 1,

	FS_EXECUTE = 1 << 0,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_BLOCK = 1 << 11,
	FS_IOCTL_DEV = 1 << 15,
	FS_ABI_1 = (1 << 13) - 1,      /* from EXECUTE to MAKE_SYM */
	FS_ABI_2 = FS_ABI_1 | 1 << 13, /* REFER */
	FS_ABI_3 = FS_ABI_2 | 1 << 14, /* TRUNCATE */
	FS_ABI_5 = FS_ABI_3 | FS_IOCTL_DEV,

	NET_BIND_CONNECT_TCP = 3,   /* ABI 4 */
	SCOPE_ABSTRACT_SIGNALS = 3, /* ABI 6 */

	NEWEST = 6, /* that has more than the one before */
};

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

/* A kernel refuses a structure that is longer than the one it knows, unless the rest is zeros. */
static struct ruleset_attr all_of(long abi)
{
	struct ruleset_attr attr = {.fs = FS_ABI_1};

	if (abi >= 2)
		attr.fs = FS_ABI_2;
	if (abi >= 3)
		attr.fs = FS_ABI_3;
	if (abi >= 4)
		attr.net = NET_BIND_CONNECT_TCP;
	if (abi >= 5)
		attr.fs = FS_ABI_5;
	if (abi >= 6)
		attr.scoped = SCOPE_ABSTRACT_SIGNALS;
	return attr;
}

static long create(const struct sandbox_sys *sys, long abi, bool network, struct ruleset_attr *attr)
{
	*attr = all_of(abi);
	if (network)
		attr->net = 0;
	return sandbox_call(sys, SYS_landlock_create_ruleset, sandbox_ptr(attr), sizeof(*attr), 0);
}

static long grant(const struct sandbox_sys *sys, int ruleset, const struct ruleset_attr *attr,
	const struct landlock_grant *what)
{
	static const uint64_t all[] = {[LANDLOCK_READ] = FS_READ_FILE | FS_IOCTL_DEV,
		[LANDLOCK_REMOVE] = FS_REMOVE_FILE,
		[LANDLOCK_SERVE] = FS_ABI_3 & ~(FS_EXECUTE | FS_MAKE_BLOCK),
		[LANDLOCK_SERVE_READ] = FS_READ_FILE | FS_READ_DIR};
	const uint64_t rights = all[what->right];
	const struct path_beneath rule = {.allowed = rights & attr->fs, .fd = what->fd};

	if (what->fd < 0)
		return 0;
	return sandbox_call(sys, SYS_landlock_add_rule, (unsigned long)ruleset, RULE_PATH_BENEATH,
		sandbox_ptr(&rule));
}

/* A ruleset's descriptor, or -errno. */
static long make_rules(const struct sandbox_sys *sys, const struct landlock_grant *grants,
	unsigned int num, bool network, long *abi)
{
	struct ruleset_attr attr;
	long rc = 0, ruleset;

	*abi = NEWEST;
	ruleset = create(sys, *abi, network, &attr);
	if (ruleset < 0) {
		*abi = sandbox_call(sys, SYS_landlock_create_ruleset, 0, 0, CREATE_VERSION);
		ruleset = *abi < 1 ? MIN(*abi, -EOPNOTSUPP) : create(sys, *abi, network, &attr);
	}
	if (ruleset < 0)
		return ruleset;
	for (unsigned int i = 0; rc >= 0 && i < num; i++)
		rc = grant(sys, (int)ruleset, &attr, &grants[i]);
	if (rc >= 0)
		return ruleset;
	sandbox_call(sys, SYS_close, (unsigned long)ruleset);
	return rc;
}

int landlock_restrict(const struct sandbox_sys *sys, int rules)
{
	return (int)sandbox_call(sys, SYS_landlock_restrict_self, (unsigned long)rules, 0);
}

int landlock_rules(
	const struct sandbox_sys *sys, const struct landlock_grant *grants, unsigned int num)
{
	long abi;

	return (int)make_rules(sys, grants, num, false, &abi);
}

int landlock_enter(const struct sandbox_sys *sys, const struct landlock_grant *grants,
	unsigned int num, bool network)
{
	long abi, ruleset = make_rules(sys, grants, num, network, &abi);
	int rc;

	if (ruleset < 0)
		return (int)ruleset;
	rc = landlock_restrict(sys, (int)ruleset);
	sandbox_call(sys, SYS_close, (unsigned long)ruleset);
	return rc < 0 ? rc : (int)abi;
}
