/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that the client knows. A node's number is its slot and the slot's generation, so a number
 * that was forgotten is never another file's. The memory is by chunks, which stay where they are.
 *
 * A node lives as long as the client knows it, has it open, or knows something in it; what the
 * client says it has forgotten is only believed up to what it was told. A directory's node outlives
 * what is below, as that is found by the names on the way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs_private.h"

enum { FIRST_BUCKETS = 256 };

/* ---- devices ---- */

/* -ENOMEM */
static int dev_index(struct fs *fs, const struct statx *st, bool add, uint32_t *ret)
{
	struct fs_dev *more;
	uint32_t i;

	for (i = 0; i < fs->num_devs; i++)
		if (fs->devs[i].major == st->stx_dev_major &&
			fs->devs[i].minor == st->stx_dev_minor)
			break;
	*ret = i;
	if (i < fs->num_devs || !add)
		return 0;
	if (i == FS_MAX_DEVS)
		return -ENOMEM;
	/* There are few. */
	more = realloc(fs->devs, (i + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[i] = (struct fs_dev){st->stx_dev_major, st->stx_dev_minor};
	fs->devs = more;
	fs->num_devs++;
	return 0;
}

static uint64_t birth(const struct statx *st)
{
	if (!(st->stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)st->stx_btime.tv_sec * NSEC_PER_SEC + st->stx_btime.tv_nsec;
}

static bool node_is(const struct fs_node *node, const struct statx *st, uint32_t dev)
{
	return node->ino == st->stx_ino && node->dev == dev && node->mnt_id == st->stx_mnt_id &&
	       node->btime == birth(st) && node->type == (st->stx_mode & S_IFMT);
}

bool fs_node_is(const struct fs *fs, const struct fs_node *node, const struct statx *st)
{
	const struct fs_dev *dev = &fs->devs[node->dev];

	return dev->major == st->stx_dev_major && dev->minor == st->stx_dev_minor &&
	       node_is(node, st, node->dev);
}

/* ---- slots ---- */

static int new_chunk(struct fs *fs)
{
	struct fs_node *chunk = calloc(FS_CHUNK, sizeof(*chunk));

	if (!chunk)
		return -ENOMEM;
	fs->chunks[fs->num_slots / FS_CHUNK] = chunk;
	return 0;
}

static int take_slot(struct fs *fs, uint32_t *ret)
{
	int rc = 0;

	if (fs->free_node) {
		*ret = fs->free_node;
		fs->free_node = fs_node_at(fs, *ret)->next;
		return 0;
	}
	if (fs->num_slots == FS_MAX_NODES)
		return -ENOMEM;
	if (fs->num_slots % FS_CHUNK == 0)
		rc = new_chunk(fs);
	if (!rc) {
		*ret = fs->num_slots++;
		fs_node_at(fs, *ret)->index = *ret;
	}
	return rc;
}

struct fs_node *fs_node_by_id(const struct fs *fs, uint64_t id)
{
	const uint32_t index = (uint32_t)id;
	struct fs_node *node;

	if (index < FS_ROOT || index >= fs->num_slots)
		return NULL;
	node = fs_node_at(fs, index);
	return node->used && node->generation == id >> 32 ? node : NULL;
}

/* ---- the hash ---- */

static uint32_t *bucket(const struct fs *fs, uint64_t ino, uint32_t dev)
{
	const uint64_t mixed = (ino ^ (uint64_t)dev << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return &fs->buckets[mixed >> 32 & (fs->num_buckets - 1)];
}

static void link_in(struct fs *fs, struct fs_node *node)
{
	uint32_t *head = bucket(fs, node->ino, node->dev);

	node->next = *head;
	*head = node->index;
}

static void unlink_from(struct fs *fs, struct fs_node *node)
{
	uint32_t *at = bucket(fs, node->ino, node->dev);

	while (*at != node->index)
		at = &fs_node_at(fs, *at)->next;
	*at = node->next;
}

/* Where there is no memory for it, chains get longer. */
static void grow_hash(struct fs *fs)
{
	uint32_t *more = calloc(fs->num_buckets * 2, sizeof(*more));

	if (!more)
		return;
	free(fs->buckets);
	fs->buckets = more;
	fs->num_buckets *= 2;
	for (uint32_t i = FS_ROOT; i < fs->num_slots; i++)
		if (fs_node_at(fs, i)->used)
			link_in(fs, fs_node_at(fs, i));
}

struct fs_node *fs_node_find(const struct fs *fs, const struct statx *st)
{
	uint32_t dev, i;

	dev_index((struct fs *)fs, st, false, &dev);
	for (i = *bucket(fs, st->stx_ino, dev); i; i = fs_node_at(fs, i)->next)
		if (node_is(fs_node_at(fs, i), st, dev))
			return fs_node_at(fs, i);
	return NULL;
}

int fs_node_get(struct fs *fs, const struct statx *st, struct fs_node **ret)
{
	struct fs_node *node = fs_node_find(fs, st);
	uint32_t dev, index = 0;
	int rc;

	*ret = node;
	if (node)
		return 0;
	rc = dev_index(fs, st, true, &dev);
	if (!rc)
		rc = take_slot(fs, &index);
	if (rc < 0)
		return rc;
	node = fs_node_at(fs, index);
	*node = (struct fs_node){.index = index,
		.generation = node->generation,
		.ino = st->stx_ino,
		.dev = dev,
		.mnt_id = st->stx_mnt_id,
		.btime = birth(st),
		.type = st->stx_mode & S_IFMT,
		.path_fd = -1,
		.data_fd = -1,
		.used = true};
	link_in(fs, node);
	if (++fs->num_nodes > fs->num_buckets)
		grow_hash(fs);
	*ret = node;
	return 0;
}

/* ---- descriptors ---- */

static void lru_remove(struct fs *fs, struct fs_node *node)
{
	*(node->newer ? &fs_node_at(fs, node->newer)->older : &fs->newest) = node->older;
	*(node->older ? &fs_node_at(fs, node->older)->newer : &fs->oldest) = node->newer;
	node->newer = node->older = 0;
}

static void lru_add(struct fs *fs, struct fs_node *node)
{
	node->older = fs->newest;
	*(fs->newest ? &fs_node_at(fs, fs->newest)->newer : &fs->oldest) = node->index;
	fs->newest = node->index;
}

static bool has_fd(const struct fs_node *node)
{
	return node->path_fd >= 0 || node->data_fd >= 0;
}

static void close_fd(struct fs *fs, int *fd)
{
	if (*fd < 0)
		return;
	close(*fd);
	*fd = -1;
	fs->num_fds--;
}

static void close_fds(struct fs *fs, struct fs_node *node)
{
	if (node->index == FS_ROOT || !has_fd(node))
		return;
	lru_remove(fs, node);
	close_fd(fs, &node->path_fd);
	close_fd(fs, &node->data_fd);
}

void fs_node_touch(struct fs *fs, struct fs_node *node)
{
	if (node->index == FS_ROOT || fs->newest == node->index || !has_fd(node))
		return;
	lru_remove(fs, node);
	lru_add(fs, node);
}

bool fs_nodes_trim(struct fs *fs)
{
	const uint32_t target = fs->num_fds / 2;
	const bool any = fs->oldest;

	while (fs->oldest && fs->num_fds > target)
		close_fds(fs, fs_node_at(fs, fs->oldest));
	return any;
}

void fs_node_keep(struct fs *fs, struct fs_node *node, int *place, int fd)
{
	const bool had = has_fd(node);

	/* The root's own are none of these. */
	if (node->index == FS_ROOT) {
		*place = fd;
		return;
	}
	if (had)
		fs_node_touch(fs, node);
	while (fs->num_fds >= fs->max_path_fds && fs->oldest && fs->oldest != node->index)
		close_fds(fs, fs_node_at(fs, fs->oldest));
	*place = fd;
	fs->num_fds++;
	if (!had)
		lru_add(fs, node);
}

/* ---- life ---- */

static bool is_below(const struct fs *fs, const struct fs_node *node, const struct fs_node *above)
{
	for (unsigned int i = 0; node->index != FS_ROOT && node->name && i < PATH_MAX; i++) {
		if (node == above)
			return true;
		node = fs_node_at(fs, node->parent);
	}
	return node == above || (node->index != FS_ROOT && node->name);
}

static void lose_name(struct fs *fs, struct fs_node *node)
{
	struct fs_node *parent;

	if (!node->name)
		return;
	free(node->name);
	node->name = NULL;
	parent = fs_node_at(fs, node->parent);
	node->parent = 0;
	parent->children--;
	fs_node_put(fs, parent);
}

int fs_node_move(struct fs *fs, struct fs_node *node, struct fs_node *parent, const char *name)
{
	char *copy;

	if (node->index == FS_ROOT)
		return 0;
	if (node->name && node->parent == parent->index && !strcmp(node->name, name))
		return 0;
	/* Where somebody on the host has turned a tree inside out, the old place may be wrong. */
	if (node->children && is_below(fs, parent, node))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	parent->children++;
	lose_name(fs, node);
	node->name = copy;
	node->parent = parent->index;
	return 0;
}

void fs_node_put(struct fs *fs, struct fs_node *node)
{
	while (node->index != FS_ROOT && !node->nlookup && !node->children && !node->handle) {
		struct fs_node *parent = node->name ? fs_node_at(fs, node->parent) : NULL;

		close_fds(fs, node);
		unlink_from(fs, node);
		free(node->name);
		*node = (struct fs_node){.index = node->index,
			.generation = node->generation + 1,
			.next = fs->free_node};
		fs->free_node = node->index;
		fs->num_nodes--;
		if (!parent)
			return;
		parent->children--;
		node = parent;
	}
}

void fs_node_forget(struct fs *fs, struct fs_node *node, uint64_t times)
{
	node->nlookup -= MIN(times, node->nlookup);
	fs_node_put(fs, node);
}

int fs_nodes_init(struct fs *fs)
{
	struct fs_node *root;
	int rc;

	fs->num_slots = 0;
	fs->num_buckets = FIRST_BUCKETS;
	fs->buckets = calloc(fs->num_buckets, sizeof(*fs->buckets));
	rc = fs->buckets ? new_chunk(fs) : -ENOMEM;
	if (rc < 0)
		return rc;
	fs->num_slots = FS_ROOT;
	rc = fs_node_get(fs, &fs->root_st, &root);
	if (!rc)
		root->path_fd = fs->root_fd;
	return rc;
}

void fs_nodes_fini(struct fs *fs)
{
	for (uint32_t i = FS_ROOT; i < fs->num_slots; i++) {
		struct fs_node *node = fs_node_at(fs, i);

		free(node->name);
		if (node->used)
			close_fds(fs, node);
	}
	if (fs->num_slots > FS_ROOT && fs_node_at(fs, FS_ROOT)->data_fd >= 0)
		close(fs_node_at(fs, FS_ROOT)->data_fd);
	for (uint32_t i = 0; i < ARRAY_SIZE(fs->chunks) && fs->chunks[i]; i++) {
		free(fs->chunks[i]);
		fs->chunks[i] = NULL;
	}
	free(fs->buckets);
	free(fs->devs);
	fs->buckets = NULL;
	fs->devs = NULL;
	fs->num_slots = fs->free_node = fs->num_nodes = fs->num_devs = fs->num_buckets = 0;
	fs->newest = fs->oldest = fs->num_fds = 0;
}
