/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that the client has open. A number is a slot and the slot's generation, and goes with its
 * node only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs_private.h"

enum { FIRST_HANDLES = 64 };

static int grow(struct fs *fs)
{
	const uint32_t had = fs->num_handle_slots;
	const uint32_t num = had ? MIN(had * 2, fs->max_handles + 1) : FIRST_HANDLES;
	struct fs_handle *more = realloc(fs->handles, num * sizeof(*more));

	if (!more)
		return -ENOMEM;
	memset(more + had, 0, (num - had) * sizeof(*more));
	fs->handles = more;
	fs->num_handle_slots = num;
	for (uint32_t i = num; i-- > MAX(had, 1u);) {
		more[i].next = fs->free_handle;
		fs->free_handle = i;
	}
	return 0;
}

int fs_handle_add(struct fs *fs, struct fs_node *node, int fd, uint64_t *fh)
{
	struct fs_handle *handle;
	uint32_t index;
	int rc = 0;

	if (fs->num_handles == fs->max_handles)
		return -ENFILE;
	if (!fs->free_handle)
		rc = grow(fs);
	if (rc < 0)
		return rc;
	index = fs->free_handle;
	handle = &fs->handles[index];
	fs->free_handle = handle->next;
	handle->generation++;
	handle->node = node->index;
	handle->fd = fd;
	handle->pos = 0;
	handle->next = node->handle;
	node->handle = index;
	fs->num_handles++;
	*fh = (uint64_t)handle->generation << 32 | index;
	return 0;
}

int fs_handle_open(struct fs *fs, struct fs_node *node, int flags, uint64_t *fh)
{
	const int fd = fs_open_node(fs, node, flags);
	int rc;

	if (fd < 0)
		return fd;
	rc = fs_handle_add(fs, node, fd, fh);
	if (rc < 0)
		close(fd);
	return rc;
}

struct fs_handle *fs_handle(struct fs *fs, const struct fs_node *node, uint64_t fh)
{
	const uint32_t index = (uint32_t)fh;
	struct fs_handle *handle;

	if (!index || index >= fs->num_handle_slots)
		return NULL;
	handle = &fs->handles[index];
	return handle->node == node->index && handle->generation == fh >> 32 ? handle : NULL;
}

void fs_handle_drop(struct fs *fs, struct fs_node *node, uint64_t fh)
{
	struct fs_handle *handle = fs_handle(fs, node, fh);
	uint32_t *at = &node->handle;

	if (!handle)
		return;
	while (*at != (uint32_t)fh)
		at = &fs->handles[*at].next;
	*at = handle->next;
	close(handle->fd);
	handle->node = 0;
	handle->next = fs->free_handle;
	fs->free_handle = (uint32_t)fh;
	fs->num_handles--;
	fs_node_put(fs, node);
}

void fs_handles_drop_all(struct fs *fs)
{
	for (uint32_t i = 1; i < fs->num_handle_slots; i++)
		if (fs->handles[i].node)
			close(fs->handles[i].fd);
	free(fs->handles);
	fs->handles = NULL;
	fs->num_handle_slots = fs->free_handle = fs->num_handles = 0;
}
