/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's system calls.
 *
 * Completions of libaio are taken out of the ring in user space: an io_context_t is the address of
 * a ring that the kernel maps into the process, whose tail the kernel moves and whose head the
 * reader may move (no header has that structure, but the kernel counts on readers that do, see
 * user_refill_reqs_available in fs/aio.c). A host whose ring looks otherwise has no native I/O.
 *
 * O_DIRECT wants offsets, lengths and buffers aligned; by how much depends on the file system and
 * the device below it. statx tells since Linux 6.1, otherwise reads of growing size are tried.
 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	RING_MAGIC = 0xa10a10a1,
	MIN_BLOCK = 512,
	MAX_BLOCK = 4096, /* Linux knows no larger logical blocks before 6.15 */
};

struct ring {
	uint32_t id, num;
	_Atomic uint32_t head; /* we move it; pairs with the kernel's read before it fills up */
	_Atomic uint32_t tail; /* the kernel moves it after it wrote the event */
	uint32_t magic, compat, incompat, header_len;
	struct io_event event[];
};

struct blk_aio_queue {
	io_context_t ctx;
};

/* System calls that may be interrupted before they did anything */
#define RETRY(result, call)                                                                        \
	do {                                                                                       \
		(result) = (call);                                                                 \
	} while ((result) < 0 && errno == EINTR)

static ssize_t host_preadv(
	const struct blk_sys *sys, int fd, const struct iovec *iov, int num, uint64_t offset)
{
	ssize_t n;

	(void)sys;
	RETRY(n, preadv(fd, iov, num, (off_t)offset));
	return n < 0 ? -errno : n;
}

static ssize_t host_pwritev(
	const struct blk_sys *sys, int fd, const struct iovec *iov, int num, uint64_t offset)
{
	ssize_t n;

	(void)sys;
	RETRY(n, pwritev(fd, iov, num, (off_t)offset));
	return n < 0 ? -errno : n;
}

static int host_fdatasync(const struct blk_sys *sys, int fd)
{
	int rc;

	(void)sys;
	RETRY(rc, fdatasync(fd));
	return rc < 0 ? -errno : 0;
}

static int host_fallocate(
	const struct blk_sys *sys, int fd, int mode, uint64_t offset, uint64_t len)
{
	int rc;

	(void)sys;
	RETRY(rc, fallocate(fd, mode, (off_t)offset, (off_t)len));
	return rc < 0 ? -errno : 0;
}

static int host_discard(const struct blk_sys *sys, int fd, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = {offset, len};
	int rc;

	(void)sys;
	RETRY(rc, ioctl(fd, BLKDISCARD, range));
	return rc < 0 ? -errno : 0;
}

/* What the kernel says; false when it says nothing. */
static bool told_alignment(int fd, struct blk_direct *direct)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		stx.stx_mask & STATX_DIOALIGN) {
		direct->block = stx.stx_dio_offset_align;
		direct->align = stx.stx_dio_mem_align;
		return true;
	}
#else
	(void)fd, (void)direct;
#endif
	return false;
}

/* The smallest read that the kernel takes, or 0. */
static uint32_t tried_alignment(int fd)
{
	_Alignas(MAX_BLOCK) uint8_t buf[MAX_BLOCK];

	for (uint32_t block = MIN_BLOCK; block <= MAX_BLOCK; block *= 2)
		if (pread(fd, buf, block, 0) >= 0)
			return block;
	return 0;
}

/* The queue of a partition is its disk's. Where /sys is silent, there may be a cache. */
static bool has_no_cache(int fd)
{
	static const char *const places[] = {"", "../"};
	char path[64], text[16] = "";
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/write_cache",
			major(st.st_rdev), minor(st.st_rdev), places[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (!fgets(text, sizeof(text), file))
			text[0] = '\0';
		fclose(file);
		return strcmp(text, "write through\n") == 0;
	}
	return false;
}

static int host_set_direct(const struct blk_sys *sys, int fd, struct blk_direct *ret)
{
	struct blk_direct direct = {0};

	(void)sys;
	if (fcntl(fd, F_SETFL, O_DIRECT) < 0)
		return -errno;
	if (!told_alignment(fd, &direct))
		direct.block = direct.align = tried_alignment(fd);
	if (!is_power_of_two(direct.block) || direct.block > MAX_BLOCK ||
		!is_power_of_two(direct.align) || direct.align > MAX_BLOCK) {
		fcntl(fd, F_SETFL, 0);
		return -EINVAL;
	}
	direct.write_through = has_no_cache(fd);
	*ret = direct;
	return 0;
}

/* libaio's calls are these and no more; its library would be a file to open when a disk is added.
 */
static int host_aio_setup(const struct blk_sys *sys, int num, struct blk_aio_queue **ret)
{
	struct blk_aio_queue *aio = calloc(1, sizeof(*aio));
	const struct ring *ring;
	int rc = -ENOSYS;

	(void)sys;
	if (!aio)
		return -ENOMEM;
	if (syscall(SYS_io_setup, num, &aio->ctx) < 0) {
		rc = -errno;
		goto free_aio;
	}
	ring = (const struct ring *)aio->ctx;
	if (ring->magic != RING_MAGIC || ring->incompat != 0)
		goto destroy_ring;
	*ret = aio;
	return 0;

destroy_ring:
	syscall(SYS_io_destroy, aio->ctx);
free_aio:
	free(aio);
	return rc;
}

static int host_aio_submit(
	const struct blk_sys *sys, struct blk_aio_queue *aio, long num, struct iocb **iocbs)
{
	const long rc = syscall(SYS_io_submit, aio->ctx, num, iocbs);

	(void)sys;
	return rc < 0 ? -errno : (int)rc;
}

static unsigned int host_aio_ready(const struct blk_sys *sys, struct blk_aio_queue *aio)
{
	const struct ring *ring = (const struct ring *)aio->ctx;
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	/* Pairs with the barrier between event and tail in the kernel's aio_complete. */
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	(void)sys;
	return tail >= head ? tail - head : tail + ring->num - head;
}

static unsigned int host_aio_reap(const struct blk_sys *sys, struct blk_aio_queue *aio,
	unsigned int max, struct io_event *events)
{
	struct ring *ring = (struct ring *)aio->ctx;
	const unsigned int ready = host_aio_ready(sys, aio), num = MIN(ready, max);
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	for (unsigned int i = 0; i < num; i++) {
		events[i] = ring->event[head];
		head = head + 1 < ring->num ? head + 1 : 0;
	}
	/* The kernel may overwrite the slots from here on. */
	atomic_store_explicit(&ring->head, head, memory_order_release);
	return num;
}

static void host_aio_destroy(const struct blk_sys *sys, struct blk_aio_queue *aio)
{
	(void)sys;
	syscall(SYS_io_destroy, aio->ctx);
	free(aio);
}

const struct blk_sys blk_sys_host = {
	.set_direct = host_set_direct,
	.preadv = host_preadv,
	.pwritev = host_pwritev,
	.fdatasync = host_fdatasync,
	.fallocate = host_fallocate,
	.discard = host_discard,
	.aio_setup = host_aio_setup,
	.aio_submit = host_aio_submit,
	.aio_ready = host_aio_ready,
	.aio_reap = host_aio_reap,
	.aio_destroy = host_aio_destroy,
};
