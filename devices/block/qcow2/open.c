/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening an image and all that it is based on, before any guest runs. A name in a header is
 * followed only with leave (backing=yes): an image from elsewhere could otherwise show a guest any
 * file of the host's. It names a regular file, in a format that the header says; nothing is
 * guessed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../transfer.h"
#include "disk.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/core/sparse_alloc.h"

enum { HEAD_MIN = 4096, HEAD_MAX = 1 << QCOW2_MAX_CLUSTER_BITS };

bool blk_qcow2_looks(const char *path, int fd)
{
	const int own = fd < 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	uint8_t magic[4];
	const bool looks =
		pread(fd < 0 ? own : fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
		qcow2_is_magic(magic, sizeof(magic));

	if (own >= 0)
		close(own);
	return looks;
}

/* ---- one file ---- */

static int read_head(struct qcow2_layer *layer, size_t most)
{
	uint8_t *bounce = aligned_alloc(4096, BOUNCE_SIZE);
	struct blk_transfer transfer = {.len = 0};
	struct iovec iov;
	uint64_t size, usable;
	int rc = blk_image_size(layer->io, &size, &usable);

	free(layer->head);
	layer->head_len = MIN(size, most);
	layer->head = aligned_alloc(4096, ALIGN_UP(most, 4096));
	if (!layer->head || !bounce)
		rc = -ENOMEM;
	iov = (struct iovec){.iov_base = layer->head, .iov_len = layer->head_len};
	transfer.iov = &iov;
	transfer.len = layer->head_len;
	if (!rc)
		rc = blk_transfer_run(layer->io, &transfer, bounce);
	free(bounce);
	return rc;
}

/* The first cluster, which has extensions and names behind the header. */
static int read_header(struct qcow2_layer *layer, struct qcow2_header *header, struct error *err)
{
	size_t most = HEAD_MIN;
	int rc;

	for (;;) {
		rc = read_head(layer, most);
		if (rc)
			return error_set_errno(err, rc, "%s", layer->path);
		if (most == HEAD_MAX || layer->head_len < most)
			break;
		most = most == HEAD_MIN ? 1 << 16 : HEAD_MAX;
		if (qcow2_header_parse(layer->head, layer->head_len, layer->path, header, NULL) ==
				0 &&
			header->geometry.cluster <= layer->head_len)
			break;
	}
	return qcow2_header_parse(layer->head, layer->head_len, layer->path, header, err);
}

static int open_file(
	struct qcow2_layer *layer, const struct blk_config *config, bool raw, struct error *err)
{
	struct blk_config file = *config;
	int rc;

	file.path = layer->path;
	file.container = !raw;
	rc = blk_raw_create(&file, &layer->file, err);
	if (!rc)
		layer->io = blk_raw_image(layer->file);
	return rc;
}

/* Its units may not be parts of what the host writes at once, or neighbours would undo each other.
 */
static int open_buffered(struct qcow2_layer *layer, const struct blk_config *config,
	const struct qcow2_header *header, struct error *err)
{
	struct blk_config file = *config;

	if (UINT64_C(1) << header->geometry.unit_bits >= layer->io->block)
		return 0;
	if (config->aio == BLK_AIO_NATIVE)
		return error_set(err, -EINVAL,
			"%s: its clusters are too small for O_DIRECT here; use aio=threads",
			layer->path);
	log_msg(config->log, LOG_WARN,
		"%s: its clusters are too small for O_DIRECT here, so cache=none is treated as "
		"cache=writeback",
		layer->path);
	blk_close(layer->file);
	layer->file = NULL;
	file.cache = BLK_CACHE_WRITEBACK;
	return open_file(layer, &file, false, err);
}

static int open_codec(struct qcow2_layer *layer, const struct qcow2_header *header, struct log *log)
{
	int rc = qcow2_codec_open(header->packing, &layer->codec);

	if (rc == -ENOTSUP)
		log_msg(log, LOG_WARN,
			"%s: %s cannot be loaded: what is compressed in the image cannot be read",
			layer->path, header->packing == QCOW2_ZLIB ? "libz" : "libzstd");
	return rc == -ENOTSUP ? 0 : rc;
}

static int open_qcow2(struct qcow2_layer *layer, const struct blk_config *config,
	struct qcow2_header *header, struct error *err)
{
	int rc = open_file(layer, config, false, err);

	if (!rc)
		rc = read_header(layer, header, err);
	if (!rc)
		rc = open_buffered(layer, config, header, err);
	if (rc)
		return rc;
	if (!ALIGN_DOWN(header->size, BLK_SECTOR))
		return error_set(err, -EINVAL, "%s is empty", layer->path);
	rc = open_codec(layer, header, config->log);
	if (rc)
		return error_set_errno(err, rc, "%s", layer->path);
	return qcow2_image_open(layer->file, layer->io, header, layer->path,
		header->backing_offset != 0, false, config->log, &layer->image, err);
}

/* ---- the chain ---- */

static int check_backing(const struct qcow2_disk *disk, struct error *err)
{
	const struct qcow2_layer *last = &disk->layer[disk->num_layers - 1];
	struct statfs fs;
	struct stat st, other;

	if (fstat(last->io->fd, &st) < 0 || fstatfs(last->io->fd, &fs) < 0)
		return error_set_errno(err, -errno, "%s", last->path);
	if (!S_ISREG(st.st_mode) || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)
		return error_set(
			err, -EINVAL, "%s is a backing file, and has to be a file", last->path);
	for (unsigned int i = 0; i + 1 < disk->num_layers; i++)
		if (disk->layer[i].io && fstat(disk->layer[i].io->fd, &other) == 0 &&
			other.st_dev == st.st_dev && other.st_ino == st.st_ino)
			return error_set(err, -ELOOP, "%s is based on itself", disk->layer[i].path);
	return 0;
}

/* Relative names are seen from where the image is. */
static int place_name(struct qcow2_layer *layer, const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	const int dir = *name == '/' || !slash ? 0 : (int)(slash - image) + 1;

	return asprintf(&layer->path, "%.*s%s", dir, image, name) < 0 ? -ENOMEM : 0;
}

static int backing_format(const struct qcow2_layer *layer, const struct qcow2_header *header,
	bool *raw, struct error *err)
{
	const char *format = header->backing_format;

	*raw = !strcmp(format, "raw");
	if (*raw || !strcmp(format, "qcow2"))
		return 0;
	if (!*format)
		return error_set(err, -EINVAL,
			"%s does not say in what format its backing file is; to say it: qemu-img "
			"rebase -u -b FILE -F raw|qcow2 %s",
			layer->path, layer->path);
	return error_set(err, -ENOTSUP,
		"%s: its backing file is in the format '%.15s'; raw and "
		"qcow2 are supported",
		layer->path, format);
}

/* The next layer; header is the last one's, and the next one's afterwards. */
static int open_backing(struct qcow2_disk *disk, const struct blk_config *config,
	struct qcow2_header *header, struct error *err)
{
	const struct qcow2_layer *last = &disk->layer[disk->num_layers - 1];
	struct qcow2_layer *next = &disk->layer[disk->num_layers];
	char name[QCOW2_MAX_NAME + 1];
	struct blk_config file = *config;
	bool raw;
	int rc;

	if (disk->num_layers == QCOW2_LAYERS + !disk->layer[0].io)
		return error_set(err, -ELOOP, "%s: a chain of more than %d files is not opened",
			last->path, QCOW2_LAYERS);
	rc = qcow2_backing_name(header, last->head, last->head_len, last->path, name, err);
	if (!rc)
		rc = backing_format(last, header, &raw, err);
	if (!rc && place_name(next, last->path, name))
		rc = error_set_errno(err, -ENOMEM, "%s", last->path);
	if (rc)
		return rc;
	disk->num_layers++;
	file.read_only = true;
	file.fds = NULL;
	header->backing_offset = 0;
	rc = raw ? open_file(next, &file, true, err) : open_qcow2(next, &file, header, err);
	return rc ? error_prefix(err, rc, "backing file of %s", last->path)
		  : check_backing(disk, err);
}

static int refuse_backing(const struct qcow2_layer *layer, const struct qcow2_header *header,
	const struct blk_config *config, struct error *err)
{
	char name[QCOW2_MAX_NAME + 1];
	int rc;

	if (!header->backing_offset || (config->backing && !config->fds))
		return 0;
	rc = qcow2_backing_name(header, layer->head, layer->head_len, layer->path, name, err);
	if (rc)
		return rc;
	if (config->backing)
		return error_set(err, -ENOTSUP,
			"%s has a backing file: it can be given when a VM is started, not later",
			layer->path);
	return error_set(err, -EINVAL,
		"%s is based on '%.200s', which is not opened without leave: add backing=yes if "
		"you trust the image",
		layer->path, name);
}

/* From the image that was named on, the last layer that there is. */
static int open_chain(
	struct qcow2_disk *disk, const struct blk_config *config, bool raw, struct error *err)
{
	struct qcow2_layer *first = &disk->layer[disk->num_layers++];
	struct qcow2_header header = {.size = 0};
	int rc;

	first->path = strdup(config->path);
	if (!first->path)
		return error_set_errno(err, -ENOMEM, "%s", config->path);
	rc = raw ? open_file(first, config, true, err) : open_qcow2(first, config, &header, err);
	if (!rc)
		rc = refuse_backing(first, &header, config, err);
	while (!rc && header.backing_offset)
		rc = open_backing(disk, config, &header, err);
	return rc;
}

/* ---- the disk ---- */

static int make_parts(struct qcow2_disk *disk)
{
	uint64_t cluster = 0;

	for (unsigned int i = 0; i < disk->num_layers; i++)
		if (disk->layer[i].image)
			cluster = MAX(cluster, disk->layer[i].image->geometry.cluster);
	/* A compressed cluster says how many sectors it has: up to as many as fit twice. */
	disk->packed_bytes = 2 * cluster + BLK_SECTOR;
	disk->packed = sparse_alloc(3 * cluster + HEAD_MIN);
	disk->parts = sparse_alloc(QCOW2_PARTS * sizeof(*disk->parts));
	disk->copies = aligned_alloc(4096, (POOL_THREADS + 1) * QCOW2_COPY);
	if (!disk->packed || !disk->parts || !disk->copies)
		return -ENOMEM;
	disk->unpacked = disk->packed + disk->packed_bytes;
	for (int i = 0; i < QCOW2_PARTS; i++) {
		struct qcow2_part *part = &disk->parts[i];

		part->disk = disk;
		part->next_free = i + 1 < QCOW2_PARTS ? part + 1 : NULL;
	}
	disk->free_parts = disk->parts;
	return 0;
}

static int make_queue(struct qcow2_disk *disk)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc;

	if (fd < 0)
		return -errno;
	disk->source.fd = fd;
	disk->pool.run = qcow2_work;
	disk->pool.opaque = disk;
	disk->pool.event_fd = fd;
	rc = blk_pool_init(&disk->pool);
	if (!rc)
		rc = make_parts(disk);
	if (rc && disk->pool.bounce)
		blk_pool_fini(&disk->pool);
	return rc;
}

static void set_info(struct qcow2_disk *disk)
{
	const struct qcow2_geometry *g = &disk->layer[0].image->geometry;

	disk->blk.ops = &qcow2_disk_ops;
	disk->blk.info = disk->layer[0].file->info;
	/* A driver that knows large sectors of the image keeps them. */
	for (unsigned int i = 1; i < disk->num_layers; i++)
		disk->blk.info.logical_block =
			MAX(disk->blk.info.logical_block, disk->layer[i].file->info.logical_block);
	disk->blk.info.physical_block =
		MAX(disk->blk.info.physical_block, disk->blk.info.logical_block);
	disk->blk.info.discard_granularity =
		MAX(disk->blk.info.logical_block, (uint32_t)g->cluster);
}

static void free_layer(struct qcow2_layer *layer)
{
	qcow2_image_close(layer->image);
	qcow2_codec_close(layer->codec);
	blk_close(layer->file);
	free(layer->head);
	free(layer->path);
}

void qcow2_disk_free(struct qcow2_disk *disk)
{
	uint64_t cluster = (disk->packed_bytes - BLK_SECTOR) / 2;

	for (unsigned int i = 0; i < disk->num_layers; i++)
		free_layer(&disk->layer[i]);
	if (disk->source.fd >= 0)
		close(disk->source.fd);
	sparse_free(disk->packed, 3 * cluster + HEAD_MIN);
	sparse_free(disk->parts, QCOW2_PARTS * sizeof(*disk->parts));
	free(disk->copies);
	pthread_cond_destroy(&disk->unclaimed);
	pthread_mutex_destroy(&disk->listener_lock);
	pthread_mutex_destroy(&disk->packed_lock);
	free(disk);
}

static void forget_heads(struct qcow2_disk *disk)
{
	for (unsigned int i = 0; i < disk->num_layers; i++) {
		free(disk->layer[i].head);
		disk->layer[i].head = NULL;
		disk->layer[i].disk = disk;
	}
}

static struct qcow2_disk *make_disk(struct log *log)
{
	struct qcow2_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->log = log;
	disk->source = (struct event_source){
		.fd = -1, .events = EPOLLIN, .fn = qcow2_disk_event, .opaque = disk};
	atomic_init(&disk->epoch, 2);
	pthread_cond_init(&disk->unclaimed, NULL);
	pthread_mutex_init(&disk->listener_lock, NULL);
	pthread_mutex_init(&disk->packed_lock, NULL);
	return disk;
}

/* With all layers there, or why they are not. */
static int finish_disk(struct qcow2_disk *disk, const struct blk_config *config, int rc,
	struct blk **ret, struct error *err)
{
	if (!rc) {
		rc = make_queue(disk);
		if (rc)
			error_set_errno(err, rc, "%s", config->path);
	}
	if (rc) {
		qcow2_disk_free(disk);
		return rc;
	}
	set_info(disk);
	forget_heads(disk);
	*ret = &disk->blk;
	return 0;
}

int blk_qcow2_create(const struct blk_config *config, struct blk **ret, struct error *err)
{
	struct qcow2_disk *disk = make_disk(config->log);

	if (!disk)
		return error_set_errno(err, -ENOMEM, "%s", config->path);
	return finish_disk(disk, config, open_chain(disk, config, false, err), ret, err);
}

int blk_snapshot_create(const struct blk_config *config, bool qcow2, uint64_t most,
	struct blk **ret, struct error *err)
{
	struct blk_config base = *config;
	struct qcow2_disk *disk;
	int rc;

	if (config->fds)
		return error_set(err, -ENOTSUP,
			"%s: snapshot can be given when a VM is started, not later", config->path);
	disk = make_disk(config->log);
	if (!disk)
		return error_set_errno(err, -ENOMEM, "%s", config->path);
	base.read_only = true;
	disk->num_layers = 1;
	rc = open_chain(disk, &base, !qcow2, err);
	if (!rc)
		rc = qcow2_scratch_open(
			&disk->layer[0], config, qcow2_layer_size(&disk->layer[1]), most, err);
	return finish_disk(disk, config, rc, ret, err);
}
