/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes choose how the disk is opened and what the kernel below it is like (block size,
 * short transfers, a small ring); the rest is a list of operations: requests, completions in any
 * order, failing calls. A disk in memory is the reference. Both must agree on every byte read and
 * in the end on the whole disk; done comes once for each request, an error only for a reason, and
 * nothing but the bytes of a request changes, in memory or on the disk. The loop is woken for
 * whatever is not finished at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/blk.h"
#include "vm/core/event_loop.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/devices/block/blk_fixture.c"
#include "../unit/devices/block/blk_memory.c"
#include "../unit/devices/block/fake_blk_sys.c"
#include "../unit/devices/block/volatile_disk.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	SIZE = 65536,
	SLOTS = 6,
	BUF = 20480,
	HEAD_BYTES = 3,
	OP_BYTES = 8,
	OPS_MAX = 200,
	SEGMENTS = 5
};

struct rig;

struct slot {
	struct blk_request req;
	struct rig *rig;
	struct iovec iov[SEGMENTS];
	bool busy;
	uint8_t *memory; /* BUF bytes, aligned */
	uint8_t *before; /* what it held at submit */
};

struct rig {
	struct fake_blk_sys sys;
	struct blk *raw;
	struct event_loop *loop;
	uint8_t *want; /* what the disk should hold */
	bool read_only, faults;
	struct slot slot[SLOTS];
};

/* Opened by every input; one for the process, named by a descriptor so that nothing is left. */
static const char *image_path(void)
{
	static char path[64];

	if (!path[0]) {
		struct image_file file;

		image_file_create(&file, SIZE);
		snprintf(path, sizeof(path), "/proc/self/fd/%d",
			open(file.path, O_RDWR | O_CLOEXEC));
		image_file_remove(&file);
	}
	return path;
}

static bool is_write(const struct blk_request *req)
{
	return req->op == BLK_WRITE || req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES;
}

/* The reference does the request; memory tells what the slot's buffer must hold now. */
static void mirror(struct rig *rig, struct slot *slot, uint8_t *memory)
{
	const struct blk_request *req = &slot->req;
	uint8_t *place = rig->want + req->offset;

	if (req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES)
		memset(place, 0, req->len);
	for (int i = 0; i < req->num_iov; i++) {
		uint8_t *part = memory + ((uint8_t *)req->iov[i].iov_base - slot->memory);

		if (req->op == BLK_READ)
			memcpy(part, place, req->iov[i].iov_len);
		else
			memcpy(place, part, req->iov[i].iov_len);
		place += req->iov[i].iov_len;
	}
}

/* What a failed or a discarding request left on the disk is as it is. */
static void learn(struct rig *rig, const struct blk_request *req)
{
	pthread_mutex_lock(&rig->sys.lock);
	vd_read(rig->sys.disk, req->offset, rig->want + req->offset, req->len);
	pthread_mutex_unlock(&rig->sys.lock);
}

static void on_done(struct blk_request *req, int error)
{
	struct slot *slot = req->opaque;
	struct rig *rig = slot->rig;
	bool inside = req->op == BLK_FLUSH || range_ok(req->offset, req->len, SIZE);

	CHECK(slot->busy);
	slot->busy = false;
	if (req->op != BLK_FLUSH && rig->read_only && is_write(req)) {
		CHECK(error == -EROFS);
	} else if (!inside) {
		CHECK(error == -ERANGE);
	} else if (error) {
		CHECK(rig->faults || error == -ECANCELED);
		CHECK(req->bytes <= req->len);
		if (is_write(req))
			learn(rig, req);
		else
			return; /* some of the buffer may have been read */
	} else if (req->op == BLK_DISCARD) {
		learn(rig, req);
	} else if (req->op != BLK_FLUSH) {
		mirror(rig, slot, slot->before);
		CHECK(!(req->op == BLK_READ || req->op == BLK_WRITE) || req->bytes == req->len);
	}
	CHECK(memcmp(slot->memory, slot->before, BUF) == 0);
}

static int busy_slots(const struct rig *rig)
{
	int n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += rig->slot[i].busy;
	return n;
}

static void finish_all(struct rig *rig)
{
	bool manual = rig->sys.manual;

	rig->sys.manual = false;
	blk_commit(rig->raw);
	while (fake_sys_complete(&rig->sys, 0))
		;
	blk_drain(rig->raw);
	CHECK(!busy_slots(rig));
	rig->sys.manual = manual;
}

/* The same, and all has to come by the loop: nobody asks for it. */
static void wait_for_all(struct rig *rig)
{
	bool manual = rig->sys.manual;

	rig->sys.manual = false;
	blk_commit(rig->raw);
	blk_poll(rig->raw);
	while (busy_slots(rig)) {
		while (fake_sys_complete(&rig->sys, 0))
			;
		CHECK(event_loop_step(rig->loop, 10000) > 0);
	}
	rig->sys.manual = manual;
}

static void on_ready(void *opaque)
{
	blk_poll(((struct rig *)opaque)->raw);
}

static const struct blk_listener listener = {.ready = on_ready};

/* Two at a time in the same bytes have no defined result: the earlier ones first. */
static void settle_conflicts(struct rig *rig, const struct blk_request *req)
{
	for (int i = 0; i < SLOTS; i++) {
		const struct slot *other = &rig->slot[i];

		if (other->busy && (is_write(req) || is_write(&other->req)) &&
			range_ok(req->offset, req->len, SIZE) &&
			ranges_overlap(req->offset, req->len, other->req.offset, other->req.len)) {
			finish_all(rig);
			return;
		}
	}
}

static void split(struct slot *slot, uint64_t len, uint8_t how)
{
	struct blk_request *req = &slot->req;
	uint64_t place = how & 1 ? how : 0;

	req->iov = slot->iov;
	req->num_iov = 0;
	while (len) {
		uint64_t n = how & 2 ? 512 : (uint64_t)how * 5 + 1;

		if (req->num_iov == SEGMENTS - 1 || n > len || how < 8)
			n = len;
		slot->iov[req->num_iov++] =
			(struct iovec){.iov_base = slot->memory + place, .iov_len = n};
		place += n + (how & 4 ? 512 : 0);
		len -= n;
	}
}

static void submit(struct rig *rig, const uint8_t *op)
{
	struct slot *slot = NULL;
	struct blk_request *req;

	for (int i = 0; i < SLOTS && !slot; i++)
		slot = rig->slot[i].busy ? NULL : &rig->slot[i];
	if (!slot) {
		finish_all(rig);
		slot = &rig->slot[0];
	}
	req = &slot->req;
	memset(req, 0, sizeof(*req));
	req->op = op[1] % BLK_NUM_OPS;
	req->flags = op[1] >> 6;
	req->offset = op[2] | (uint64_t)op[3] << 8;
	req->len = (op[4] | (uint64_t)op[5] << 8) % 16384;
	if (op[6] & 0x80) { /* as guests do it */
		req->offset = ALIGN_DOWN(req->offset, 512);
		req->len = ALIGN_DOWN(req->len, 512);
	}
	if (op[6] == 0x7f)
		req->offset = UINT64_MAX - req->offset;
	if (req->op == BLK_FLUSH)
		req->offset = req->len = 0;
	settle_conflicts(rig, req);
	if (req->op == BLK_READ || req->op == BLK_WRITE)
		split(slot, req->len, op[7]);
	memset(slot->memory, op[7] ^ op[3], BUF);
	memcpy(slot->memory, op, OP_BYTES);
	memcpy(slot->before, slot->memory, BUF);
	req->done = on_done;
	req->opaque = slot;
	slot->rig = rig;
	slot->busy = true;
	blk_submit(rig->raw, req);
}

static void run_op(struct rig *rig, const uint8_t *op)
{
	static const int errors[] = {-EIO, -ENOSPC, -EAGAIN, -EINVAL, -EOPNOTSUPP};

	switch (op[0] % 8) {
	case 0:
	case 1:
	case 2:
		submit(rig, op);
		break;
	case 3:
		submit(rig, op);
		blk_commit(rig->raw);
		break;
	case 4:
		fake_sys_complete(&rig->sys, op[1] % SLOTS);
		blk_poll(rig->raw);
		break;
	case 5:
		if (op[1] & 1)
			event_loop_step(rig->loop, 0);
		else
			blk_poll(rig->raw);
		break;
	case 6:
		if (op[1] & 1)
			wait_for_all(rig);
		else
			finish_all(rig);
		break;
	default:
		rig->faults = true;
		fake_sys_fail(&rig->sys, op[1] % FAKE_NUM_CALLS, op[2] % 4, op[3] % 4,
			errors[op[4] % ARRAY_SIZE(errors)]);
		break;
	}
}

static bool open_rig(struct rig *rig, uint8_t a, uint8_t b, uint8_t c)
{
	static const uint32_t sizes[] = {512, 4096, 512, 1024};
	static const enum blk_cache caches[] = {
		BLK_CACHE_NONE, BLK_CACHE_WRITEBACK, BLK_CACHE_WRITETHROUGH, BLK_CACHE_UNSAFE};
	const struct blk_config config = {
		.path = image_path(),
		.cache = a & 4 ? BLK_CACHE_NONE : caches[a & 3],
		.aio = a & 8 ? BLK_AIO_THREADS : BLK_AIO_AUTO,
		.read_only = (a & 0xf0) == 0xf0,
		.sys = &rig->sys.table,
	};

	fake_sys_init(&rig->sys, SIZE);
	rig->read_only = config.read_only;
	rig->sys.direct_error = (c & 0x1c) == 0x1c ? -EINVAL : 0;
	if (config.cache == BLK_CACHE_NONE && !rig->sys.direct_error) {
		rig->sys.direct.block = sizes[b & 3];
		rig->sys.direct.align = b & 4 ? 4 : 512;
	}
	rig->sys.most = b & 8 ? MAX(rig->sys.direct.block, 333u) * (1 + (a >> 4)) : 0;
	rig->sys.aio_room = b & 16 ? b >> 5 : FAKE_AIO_MAX;
	rig->sys.manual = b & 32;
	if (b & 64)
		rig->sys.fallocate_modes = 0;
	rig->sys.direct.write_through = c & 1;
	rig->sys.no_fdsync = c & 2;
	return blk_raw_create(&config, &rig->raw, NULL) == 0 &&
	       event_loop_create(&rig->loop) == 0 &&
	       blk_attach(rig->raw, rig->loop, &listener, rig) == 0;
}

static void close_rig(struct rig *rig)
{
	uint8_t *found = malloc(SIZE);

	fake_sys_fail(&rig->sys, 0, 0, 0, 0);
	finish_all(rig);
	vd_read(rig->sys.disk, 0, found, SIZE);
	CHECK(memcmp(found, rig->want, SIZE) == 0);
	free(found);
	blk_detach(rig->raw);
	blk_close(rig->raw);
	event_loop_destroy(rig->loop);
	fake_sys_fini(&rig->sys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *rig;

	if (len < HEAD_BYTES + OP_BYTES)
		return 0;
	rig = calloc(1, sizeof(*rig));
	CHECK(open_rig(rig, data[0], data[1], data[2]));
	rig->want = calloc(1, SIZE);
	for (int i = 0; i < SLOTS; i++) {
		rig->slot[i].memory = aligned_alloc(4096, BUF);
		rig->slot[i].before = malloc(BUF);
	}
	for (size_t i = HEAD_BYTES, n = 0; i + OP_BYTES <= len && n < OPS_MAX; i += OP_BYTES, n++)
		run_op(rig, data + i);
	close_rig(rig);
	for (int i = 0; i < SLOTS; i++) {
		free(rig->slot[i].memory);
		free(rig->slot[i].before);
	}
	free(rig->want);
	free(rig);
	return 0;
}
