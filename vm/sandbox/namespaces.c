/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Namespaces come with a user namespace, which any user may make unless his host says otherwise. In
 * it he has all rights over what is made in it, mounts above all, and none over anything else. Root
 * has that too, so all users take one way; only where user namespaces are denied, or root is to
 * become somebody else, root's own rights make the namespaces.
 *
 * A process without a place in its user namespace would see everybody as nobody. So it gets one,
 * its own number: the control socket asks who connects.
 *
 * The file system that is left is empty and read-only. Directories that are still needed are
 * descriptors of mounts that are in no file system (open_tree(2), Linux 5.2): ".." does not lead
 * out of those, as it does out of a directory's own descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE	  1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

#define BESIDE_USERS (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* ---- namespaces ---- */

static int unshare_with(struct sandbox *sandbox, unsigned long flags)
{
	if (!sandbox->config.user_net)
		flags |= CLONE_NEWNET;
	return (int)sandbox_call(sandbox->sys, SYS_unshare, flags);
}

static void map_user(const struct sandbox *sandbox)
{
	const struct sandbox_sys *sys = sandbox->sys;
	const unsigned long uid = sandbox->became ? sandbox->become_uid : sandbox->uid;
	char text[64];
	long fd;
	int len;

	len = snprintf(text, sizeof(text), "%lu %lu 1", uid, uid);
	fd = sandbox_call(sys, SYS_openat, (unsigned long)AT_FDCWD,
		sandbox_ptr("/proc/self/uid_map"), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	sandbox_call(sys, SYS_write, (unsigned long)fd, sandbox_ptr(text), (unsigned long)len);
	sandbox_call(sys, SYS_close, (unsigned long)fd);
}

/* After a change of user the files of a process are root's, and one of them is written here. */
static void own_files(const struct sandbox *sandbox, bool own)
{
	if (sandbox->became)
		sandbox_call(sandbox->sys, SYS_prctl, PR_SET_DUMPABLE, own, 0, 0, 0);
}

static int by_user_namespace(struct sandbox *sandbox)
{
	int rc = unshare_with(sandbox, CLONE_NEWUSER | BESIDE_USERS);

	if (rc)
		return rc;
	own_files(sandbox, true);
	map_user(sandbox);
	own_files(sandbox, false);
	return 0;
}

/* Mounts of its own would be told to the host, or the host's to it, unless that is cut. */
static int by_own_rights(struct sandbox *sandbox)
{
	int rc = unshare_with(sandbox, BESIDE_USERS);

	if (rc)
		return rc;
	sandbox->privileged = true;
	return (int)sandbox_call(
		sandbox->sys, SYS_mount, 0, sandbox_ptr("/"), 0, MS_REC | MS_PRIVATE, 0);
}

void namespaces_enter(struct sandbox *sandbox)
{
	const bool becomes = sandbox->become_uid != (uid_t)-1;
	int rc, why;

	rc = why = sandbox->root && becomes ? by_own_rights(sandbox) : by_user_namespace(sandbox);
	if (rc && sandbox->root && !becomes)
		rc = by_own_rights(sandbox);
	else if (rc && becomes &&
		 user_become(sandbox, sandbox->become_uid, sandbox->become_gid) == 0)
		rc = by_user_namespace(sandbox);
	if (layer_result(sandbox, SANDBOX_NAMESPACES, rc) == 0)
		layer_say(sandbox, SANDBOX_NAMESPACES, "%s",
			!sandbox->privileged ? "in a user namespace"
			: why		     ? "by root's rights, as user namespaces are denied"
					     : "by root's rights");
	layer_result(sandbox, SANDBOX_NETWORK, rc);
	if (sandbox->config.user_net)
		sandbox->results[SANDBOX_NETWORK] = (struct sandbox_result){
			.unwanted = true, .text = "user networking has the host's"};
}

/* ---- the file system ---- */

/* With no rights over mounts, a plain descriptor; Landlock then says what is done with it. */
static int open_jailed(const struct sandbox *sandbox, const char *path)
{
	long fd = -EPERM;

	if (sandbox->results[SANDBOX_NAMESPACES].there)
		fd = sandbox_call(sandbox->sys, SYS_open_tree, (unsigned long)AT_FDCWD,
			sandbox_ptr(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		fd = sandbox_call(sandbox->sys, SYS_openat, (unsigned long)AT_FDCWD,
			sandbox_ptr(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : (int)fd;
}

static void open_what_stays(struct sandbox *sandbox)
{
	if (sandbox->helper)
		return;
	sandbox->values.tasks_fd = open_jailed(sandbox, "/proc/self/task");
	if (sandbox->run_dir)
		sandbox->values.run_fd = open_jailed(sandbox, sandbox->run_dir);
	for (unsigned int i = 0; i < sandbox->num_readable; i++)
		sandbox->readable_fd[i] =
			(int)sandbox_call(sandbox->sys, SYS_openat, (unsigned long)AT_FDCWD,
				sandbox_ptr(sandbox->readable[i]), O_PATH | O_CLOEXEC);
}

/*
 * The old root comes to lie on the new one and is taken off it (pivot_root(2)). In a chroot that is
 * refused, and another one has to do: what is beneath it cannot be reached without rights.
 */
static int empty_root(const struct sandbox_sys *sys)
{
	const unsigned long place = sandbox_ptr("/proc"), root = sandbox_ptr("/");
	long rc = sandbox_call(sys, SYS_mount, sandbox_ptr("bantam"), place, sandbox_ptr("tmpfs"),
		MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, sandbox_ptr("mode=555,nr_inodes=1"));

	if (rc)
		return (int)rc;
	rc = sandbox_call(sys, SYS_pivot_root, place, place);
	if (!rc)
		rc = sandbox_call(sys, SYS_umount2, root, MNT_DETACH);
	else
		rc = sandbox_call(sys, SYS_chroot, place);
	return rc ? (int)rc : (int)sandbox_call(sys, SYS_chdir, root);
}

void root_enter(struct sandbox *sandbox)
{
	int rc = sandbox->results[SANDBOX_NAMESPACES].error;

	open_what_stays(sandbox);
	if (!rc)
		rc = empty_root(sandbox->sys);
	layer_result(sandbox, SANDBOX_ROOT, rc);
}
