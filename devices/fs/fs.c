/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs_private.h"
#include "vm/core/error.h"
#include "vm/core/sparse_alloc.h"

enum {
	SHARE_OF_PATH_FDS = 2,
};

/* Without asking another thread's: the process has one yet. */
static mode_t our_umask(void)
{
	const mode_t mask = umask(0);

	umask(mask);
	return mask;
}

static bool may_chown(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & 1u << CAP_CHOWN);
}

static int open_root(struct fs *fs, const char *path, struct error *err)
{
	int rc;

	fs->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->root_fd < 0 && errno == ENOTDIR)
		return error_set(err, -ENOTDIR,
			"'%s' is not a directory (a disk image goes with --disk)", path);
	if (fs->root_fd < 0)
		return error_set_errno(err, -errno, "'%s'", path);
	rc = fs_statx(fs->root_fd, "", &fs->root_st);
	if (rc < 0)
		return error_set_errno(err, rc, "'%s'", path);
	if (!(fs->root_st.stx_mask & STATX_MNT_ID))
		return error_set(err, -ENOSYS, "sharing directories takes Linux 5.8 or later");
	if (fs_type_denied(fs->root_fd))
		return error_set(err, -EPERM,
			"'%s' belongs to the kernel, not to a disk, and cannot be shared", path);
	return 0;
}

static int open_all(struct fs *fs, const struct fs_config *config, struct error *err)
{
	int rc = open_root(fs, config->path, err);

	if (rc < 0)
		return rc;
	fs->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->proc_fd < 0)
		return error_set_errno(err, -errno, "/proc/self/fd, which sharing needs");
	if (faccessat(fs->proc_fd, fs_fd_name(fs->root_fd).text, R_OK | X_OK, AT_EACCESS) < 0)
		return error_set_errno(err, -errno, "'%s'", config->path);
	for (unsigned int i = 0; i < config->num_hide; i++) {
		rc = fs_hide(fs, config->hide[i], err);
		if (rc < 0)
			return rc;
	}
	rc = fs_nodes_init(fs);
	return rc < 0 ? error_set_errno(err, rc, "'%s'", config->path) : 0;
}

int fs_create(const struct fs_config *config, struct fs **ret, struct error *err)
{
	struct fs *fs = sparse_alloc(sizeof(*fs));
	int rc;

	if (!fs)
		return error_set_errno(err, -ENOMEM, "'%s'", config->path);
	fs->config = *config;
	fs->config.hide = NULL;
	fs->config.path = NULL;
	fs->root_fd = fs->proc_fd = -1;
	fs->umask = our_umask();
	fs->privileged = !config->confined && may_chown();
	fs->max_path_fds = MIN(config->max_fds / SHARE_OF_PATH_FDS, (unsigned int)FS_MAX_PATH_FDS);
	fs->max_handles = config->max_fds - fs->max_path_fds;
	rc = open_all(fs, config, err);
	if (rc < 0) {
		fs_destroy(fs);
		return rc;
	}
	*ret = fs;
	return 0;
}

static void drop_all(struct fs *fs)
{
	fs_handles_drop_all(fs);
	fs_nodes_fini(fs);
	fs->started = false;
}

void fs_reset(struct fs *fs)
{
	drop_all(fs);
	/* Without memory it is as if there had been no INIT. */
	if (fs_nodes_init(fs) < 0)
		fs_nodes_fini(fs);
}

void fs_destroy(struct fs *fs)
{
	if (!fs)
		return;
	drop_all(fs);
	fs_hide_fini(fs);
	if (fs->proc_fd >= 0)
		close(fs->proc_fd);
	if (fs->root_fd >= 0)
		close(fs->root_fd);
	sparse_free(fs, sizeof(*fs));
}

int fs_root_fd(const struct fs *fs)
{
	return fs->root_fd;
}

void fs_count(const struct fs *fs, struct fs_counts *counts)
{
	*counts = fs->counts;
	counts->nodes = fs->num_nodes;
	counts->handles = fs->num_handles;
	counts->fds = fs->num_fds + fs->num_handles;
}
