/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client is not shown: a file that was there at the start by its number, whatever its name
 * is; and whatever has the name, in the directory that was there at the start, or where the client
 * finds it on the same path. A client that may write can rename directories on the way; so the path
 * alone would not do. The descriptors keep the numbers from being given to other files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs_private.h"
#include "vm/core/error.h"

static bool same_file(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor;
}

/* Components without "." and slashes too many; NULL for "..", and for nothing at all. */
static char *normalise(const char *path)
{
	char *ret = calloc(1, strlen(path) + 1), *to = ret;

	while (ret && *path) {
		const size_t len = strcspn(path, "/");

		if (len == 2 && !strncmp(path, "..", 2)) {
			free(ret);
			return NULL;
		}
		if (len && !(len == 1 && *path == '.')) {
			if (to > ret)
				*to++ = '/';
			memcpy(to, path, len);
			to += len;
		}
		path += len;
		path += *path == '/';
	}
	if (ret && to == ret) {
		free(ret);
		return NULL;
	}
	return ret;
}

static void open_parent(struct fs *fs, struct fs_hidden *hidden)
{
	char *slash = strrchr(hidden->path, '/');

	if (!slash) {
		hidden->parent_fd = fcntl(fs->root_fd, F_DUPFD_CLOEXEC, 0);
		hidden->parent_st = fs->root_st;
		return;
	}
	*slash = '\0';
	hidden->parent_fd = fs_open_name(fs, fs->root_fd, hidden->path, &hidden->parent_st);
	*slash = '/';
}

int fs_hide(struct fs *fs, const char *path, struct error *err)
{
	struct fs_hidden *hidden = &fs->hidden[fs->num_hidden];
	const char *slash;

	if (fs->num_hidden == FS_MAX_HIDE)
		return error_set(err, -E2BIG, "a share hides %d paths at most", FS_MAX_HIDE);
	hidden->path = normalise(path);
	if (!hidden->path)
		return error_set(err, -EINVAL,
			"'%s' cannot be hidden (a path within the share, without ..)", path);
	slash = strrchr(hidden->path, '/');
	hidden->name = slash ? slash + 1 : hidden->path;
	hidden->fd = fs_open_name(fs, fs->root_fd, hidden->path, &hidden->st);
	open_parent(fs, hidden);
	fs->num_hidden++;
	return 0;
}

void fs_hide_fini(struct fs *fs)
{
	for (unsigned int i = 0; i < fs->num_hidden; i++) {
		if (fs->hidden[i].fd >= 0)
			close(fs->hidden[i].fd);
		if (fs->hidden[i].parent_fd >= 0)
			close(fs->hidden[i].parent_fd);
		free(fs->hidden[i].path);
	}
	fs->num_hidden = 0;
}

/* Whether the client has found dir at the first len bytes of path. */
static bool is_at(const struct fs *fs, const struct fs_node *dir, const char *path, size_t len)
{
	while (dir->index != FS_ROOT) {
		const size_t name = dir->name ? strlen(dir->name) : SIZE_MAX;

		if (name > len || memcmp(path + len - name, dir->name, name))
			return false;
		len -= name;
		if (len && path[--len] != '/')
			return false;
		dir = fs_node_at(fs, dir->parent);
	}
	return len == 0;
}

static bool hides(const struct fs *fs, const struct fs_hidden *hidden, const struct fs_node *dir,
	const char *name)
{
	const size_t way = (size_t)(hidden->name - hidden->path);

	if (strcmp(hidden->name, name))
		return false;
	if (hidden->parent_fd >= 0 && fs_node_is(fs, dir, &hidden->parent_st))
		return true;
	return is_at(fs, dir, hidden->path, way ? way - 1 : 0);
}

bool fs_hides_name(const struct fs *fs, const struct fs_node *dir, const char *name)
{
	for (unsigned int i = 0; i < fs->num_hidden; i++)
		if (hides(fs, &fs->hidden[i], dir, name))
			return true;
	return false;
}

bool fs_hides_file(const struct fs *fs, const struct statx *st)
{
	for (unsigned int i = 0; i < fs->num_hidden; i++)
		if (fs->hidden[i].fd >= 0 && same_file(&fs->hidden[i].st, st))
			return true;
	return false;
}

bool fs_hides_entry(const struct fs *fs, const struct fs_node *dir, const char *name, uint64_t ino)
{
	const struct fs_dev *dev = &fs->devs[dir->dev];

	for (unsigned int i = 0; i < fs->num_hidden; i++) {
		const struct fs_hidden *hidden = &fs->hidden[i];

		if (hidden->fd >= 0 && hidden->st.stx_ino == ino &&
			hidden->st.stx_dev_major == dev->major &&
			hidden->st.stx_dev_minor == dev->minor)
			return true;
	}
	return fs_hides_name(fs, dir, name);
}
