/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the process is afterwards. A user stays himself. Root becomes whom --user names; without it
 * he is root of a user namespace alone, which has no rights outside; and where there is none, a
 * number that no user has. Such a number is as good as the process's, as no two processes of a host
 * have that at a time; the range is one that nobody gives to users (systemd: "Users, Groups, UIDs
 * and GIDs", unused up to 2^31).
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"
#include "vm/core/error.h"

enum { UNUSED_BASE = 0x70000000, NOBODY = 65534 };

/* Beside the guest's: what unpacking a kernel and checking a FIT image may take. */
#define MEMORY_BESIDE (2 * GiB)

int user_look_up(struct sandbox *sandbox, struct error *err)
{
	const char *name = sandbox->config.user;
	struct user_ids ids;
	int rc = name ? user_find(name, &ids, err) : 0;

	if (!name || rc)
		return rc;
	if (!sandbox->root && (ids.uid != getuid() || ids.gid != getgid()))
		return error_set(err, -EPERM, "--user %s: only root can become another user%s",
			name, ids.uid == getuid() ? ", or take another group" : "");
	if (!sandbox->root)
		return 0;
	if (!ids.uid)
		return error_set(err, -EINVAL, "--user %s: that is root", name);
	sandbox->become_uid = ids.uid;
	sandbox->become_gid = ids.gid;
	return 0;
}

/* A change of user forgets it. The parent may have died before. */
static long die_with_parent(const struct sandbox_sys *sys, long parent)
{
	const long rc = sandbox_call(sys, SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);

	return rc || sandbox_call(sys, SYS_getppid) == parent ? rc : -ESRCH;
}

/*
 * It is not dumpable any more: what it has open is root's, and other processes of that user are not
 * to get at it.
 */
int user_become(struct sandbox *sandbox, uid_t uid, gid_t gid)
{
	const struct sandbox_sys *sys = sandbox->sys;
	const long parent = sandbox->helper ? sandbox_call(sys, SYS_getppid) : 0;
	long rc = sandbox_call(sys, SYS_setgroups, 0, 0);

	if (!rc)
		rc = sandbox_call(sys, SYS_setresgid, gid, gid, gid);
	if (!rc)
		rc = sandbox_call(sys, SYS_setresuid, uid, uid, uid);
	sandbox->became = !rc;
	if (!rc && sandbox->helper)
		rc = die_with_parent(sys, parent);
	return (int)rc;
}

int user_enter(struct sandbox *sandbox, struct error *err)
{
	uid_t uid = sandbox->become_uid;
	int rc;

	if (uid != (uid_t)-1) {
		rc = sandbox->became ? 0 : user_become(sandbox, uid, sandbox->become_gid);
		layer_result(sandbox, SANDBOX_USER, rc);
		layer_say(sandbox, SANDBOX_USER, "%s", sandbox->config.user);
		return rc ? error_set_errno(err, rc, "--user %s", sandbox->config.user) : 0;
	}
	if (!sandbox->root) {
		layer_result(sandbox, SANDBOX_USER, 0);
		layer_say(sandbox, SANDBOX_USER, "who started it");
		return 0;
	}
	if (sandbox->results[SANDBOX_NAMESPACES].there && !sandbox->privileged) {
		layer_result(sandbox, SANDBOX_USER, 0);
		layer_say(sandbox, SANDBOX_USER, "root of a user namespace only");
		return 0;
	}
	uid = UNUSED_BASE + (uid_t)sandbox->values.pid;
	rc = user_become(sandbox, uid, uid);
	/* A container may not have so many. */
	if (rc == -EINVAL)
		rc = user_become(sandbox, uid = NOBODY, NOBODY);
	layer_result(sandbox, SANDBOX_USER, rc);
	layer_say(sandbox, SANDBOX_USER, "number %u, as --user names none", uid);
	return 0;
}

static int limit_memory(const struct sandbox *sandbox)
{
	const rlim_t most = sandbox->config.memory + MEMORY_BESIDE;
	const struct rlimit limit = {most, most};
	struct rlimit before = {RLIM_INFINITY, RLIM_INFINITY};
	long rc = sandbox_call(sandbox->sys, SYS_prlimit64, 0, RLIMIT_DATA, sandbox_ptr(&limit),
		sandbox_ptr(&before));

	/* A limit that is lower than ours is not made higher. */
	if (!rc && before.rlim_cur < most)
		sandbox_call(sandbox->sys, SYS_prlimit64, 0, RLIMIT_DATA, sandbox_ptr(&before), 0);
	return 0;
}

/*
 * A process that is not dumpable has no core file, whatever the limit for those says and wherever
 * the host sends them; and no other process of the user can look into it. The soft limit for
 * descriptors was set at the start (vm/cli/process.c), and nobody can raise it any more.
 */
int rights_drop(struct sandbox *sandbox)
{
	const struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
	const struct sandbox_sys *sys = sandbox->sys;
	long rc = sandbox_call(sys, SYS_capset, sandbox_ptr(&header), sandbox_ptr(none));

	if (!rc)
		rc = sandbox_call(sys, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!rc)
		rc = sandbox_call(sys, SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!rc)
		rc = limit_memory(sandbox);
	return layer_result(sandbox, SANDBOX_RIGHTS, (int)rc);
}
