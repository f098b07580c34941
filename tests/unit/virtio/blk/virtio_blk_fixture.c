/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_blk_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct vbf *vb_disk;

static void create(enum rig_kind kind, const struct vb_options *options)
{
	struct virtio_blk_config config = {.name = "disk",
		.log = options->log,
		.serial = options->serial,
		.num_queues = options->num_queues ? options->num_queues : 1,
		.queue_size = options->queue_size,
		.clock = options->clock,
		.limit = options->limit,
		.ticks_scale = options->ticks_scale};
	struct virtio_device *vdev;

	rig_create(&vrig, kind);
	if (options->loop)
		assert_int_equal(event_loop_create(&vrig.loop), 0);
	vb_disk = vbf_create(options->capacity ? options->capacity : VBF_BYTES, options->read_only,
		!options->no_cache);
	config.mem = vrig.mem;
	config.loop = vrig.loop;
	config.blk = &vb_disk->blk;
	assert_int_equal(virtio_blk_create(&config, &vdev), 0);
	rig_plug(&vrig, vdev);
	vdrv_attach(&drv, &vrig);
}

int vb_set_up(void **state)
{
	create((enum rig_kind)(uintptr_t)*state, &(struct vb_options){0});
	return 0;
}

int vb_tear_down(void **state)
{
	(void)state;
	/* The end of the device waits for what is in flight. */
	vbf_finish_all(vb_disk);
	rig_run(&vrig);
	rig_destroy(&vrig);
	assert_null(vb_disk->listener);
	blk_close(&vb_disk->blk);
	return 0;
}

void vb_restart(const struct vb_options *options)
{
	const enum rig_kind kind = vrig.kind;

	vb_tear_down(NULL);
	create(kind, options);
}

void vb_make(struct vb_request *r, uint32_t type, uint64_t sector, uint32_t len)
{
	uint8_t header[VB_HEADER] = {0};

	memset(r, 0, sizeof(*r));
	memcpy(header, &type, sizeof(type));
	memcpy(header + 8, &sector, sizeof(sector));
	r->header = vdrv_alloc(&drv, VB_HEADER, 1);
	r->data = vdrv_alloc(&drv, len, 1);
	r->status = vdrv_alloc(&drv, 1, 1);
	r->len = len;
	r->out = type == VB_OUT || type == VB_DISCARD || type == VB_WRITE_ZEROES;
	r->head = VDRV_NO_HEAD;
	memcpy(vdrv_at(&drv, r->header, VB_HEADER), header, VB_HEADER);
	memset(vb_data(r), r->out ? 0 : VB_POISON, len);
	*vdrv_at(&drv, r->status, 1) = VB_NO_STATUS;
}

void vb_make_with(
	struct vb_request *r, uint32_t type, uint64_t sector, const void *data, uint32_t len)
{
	vb_make(r, type, sector, len);
	memcpy(vb_data(r), data, len);
}

uint8_t *vb_data(const struct vb_request *r)
{
	return vdrv_at(&drv, r->data, r->len);
}

uint8_t vb_status(const struct vb_request *r)
{
	return *vdrv_at(&drv, r->status, 1);
}

void vb_add(struct vb_request *r, unsigned int q)
{
	struct vdrv_buf bufs[3] = {{r->header, VB_HEADER}};
	unsigned int n = 1;

	if (r->len)
		bufs[n++] = (struct vdrv_buf){r->data, r->len};
	bufs[n++] = (struct vdrv_buf){r->status, 1};
	r->head = vdrv_add(&drv, q, bufs, r->out ? n - 1 : 1, r->out ? 1 : n - 1, false);
}

void vb_send(struct vb_request *r, unsigned int q)
{
	vb_add(r, q);
	vdrv_kick(&drv, q);
	rig_run(&vrig);
}

uint8_t vb_take(struct vb_request *r, unsigned int q)
{
	assert_int_equal(vdrv_get(&drv, q, &r->used), r->head);
	r->head = VDRV_NO_HEAD;
	return vb_status(r);
}

bool vb_nothing_used(unsigned int q)
{
	return vdrv_get(&drv, q, NULL) == VDRV_NO_HEAD;
}

uint8_t vb_do(struct vb_request *r)
{
	uint8_t status;

	vb_send(r, 0);
	status = vb_take(r, 0);
	assert_true(vb_nothing_used(0));
	return status;
}

uint8_t vb_request(uint32_t type, uint64_t sector, uint32_t len)
{
	const uint64_t brk = drv.brk;
	struct vb_request r;
	uint8_t status;

	vb_make(&r, type, sector, len);
	status = vb_do(&r);
	drv.brk = brk;
	return status;
}

void vb_put_range(uint8_t *p, uint64_t sector, uint32_t num_sectors, uint32_t flags)
{
	memcpy(p, &sector, 8);
	memcpy(p + 8, &num_sectors, 4);
	memcpy(p + 12, &flags, 4);
}

uint8_t vb_one_range(uint32_t type, uint64_t sector, uint32_t num_sectors, uint32_t flags)
{
	const uint64_t brk = drv.brk;
	uint8_t range[VB_RANGE], status;
	struct vb_request r;

	vb_put_range(range, sector, num_sectors, flags);
	vb_make_with(&r, type, 0, range, sizeof(range));
	status = vb_do(&r);
	assert_int_equal(r.used, 1);
	drv.brk = brk;
	return status;
}

void vb_expect_bytes(const uint8_t *p, uint64_t len, uint8_t byte)
{
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(p[i], byte);
}

void vb_expect_pattern(const uint8_t *p, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(p[i], vbf_pattern(offset + i));
}

void vb_expect_untouched(void)
{
	vb_expect_pattern(vb_disk->data, 0, VBF_BYTES);
	vb_expect_pattern(vb_disk->stable, 0, VBF_BYTES);
}
