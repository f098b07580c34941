/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is on stable storage when (virtio 1.2, 5.2.6.2), for a block device on each transport over a
 * disk whose cache keeps as little as it may. With --seeds FIRST COUNT drivers live other lives,
 * and the moments at which what they may count on was looked for are counted (tests/tools/torture).
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

static void start(const struct vb_options *options, uint64_t features)
{
	vb_restart(options);
	vdrv_start(&drv, features);
	vb_disk->hold = true;
}

static void write_sector(uint64_t sector, uint8_t byte)
{
	const uint64_t brk = drv.brk;
	struct vb_request r;

	vb_make(&r, VB_OUT, sector, 512);
	memset(vb_data(&r), byte, 512);
	vb_send(&r, 0);
	vbf_finish_all(vb_disk);
	assert_int_equal(vb_take(&r, 0), VB_OK);
	drv.brk = brk;
}

static void flush(void)
{
	struct vb_request r;

	vb_make(&r, VB_FLUSH, 0, 0);
	vb_send(&r, 0);
	vbf_finish_all(vb_disk);
	assert_int_equal(vb_take(&r, 0), VB_OK);
}

static bool stable(uint64_t sector, uint8_t byte)
{
	for (unsigned int i = 0; i < 512; i++)
		if (vb_disk->stable[512 * sector + i] != byte)
			return false;
	return true;
}

static void test_5_2_6_2_flush_makes_stable(void **state)
{
	static const uint64_t features[] = {VB_ALL, FEATURES_PLAIN | VB_F_FLUSH};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		start(&(struct vb_options){0}, features[i]);
		write_sector(3, 0x11);
		assert_false(stable(3, 0x11)); /* nobody paid for it yet */
		flush();
		assert_true(stable(3, 0x11));
	}
}

static void test_5_2_6_2_without_flush(void **state)
{
	(void)state;
	start(&(struct vb_options){0}, FEATURES_PLAIN);
	write_sector(3, 0x11);
	assert_true(stable(3, 0x11));
	/* CONFIG_WCE alone, whatever is written there */
	vdrv_start(&drv, FEATURES_PLAIN | VB_F_CONFIG_WCE);
	write_sector(3, 0x22);
	assert_true(stable(3, 0x22));
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 1);
	write_sector(3, 0x33);
	assert_true(stable(3, 0x33));
	/* the next driver flushes */
	vdrv_start(&drv, VB_ALL);
	write_sector(3, 0x44);
	assert_false(stable(3, 0x44));
}

static void test_5_2_6_2_write_through(void **state)
{
	(void)state;
	start(&(struct vb_options){0}, VB_ALL);
	write_sector(1, 0x11);
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	write_sector(2, 0x22);
	assert_true(stable(2, 0x22));
	assert_false(stable(1, 0x11));
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 1);
	write_sector(3, 0x33);
	assert_false(stable(3, 0x33));
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	/* a new driver finds it as it was, and so do its writes */
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	write_sector(4, 0x44);
	assert_false(stable(4, 0x44));
}

static void test_5_2_6_2_zeroes_are_writes(void **state)
{
	(void)state;
	start(&(struct vb_options){0}, VB_ALL & ~VB_F_FLUSH);
	vb_disk->hold = false;
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 6, 1, 1), VB_OK);
	assert_int_equal(vb_disk->log[0].flags, BLK_FUA | BLK_UNMAP);
	assert_true(stable(6, 0));
	assert_int_equal(vb_one_range(VB_DISCARD, 8, 1, 0), VB_OK);
	assert_int_equal(vb_disk->log[1].flags, 0);
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 7, 1, 0), VB_OK);
	assert_false(stable(7, 0));
}

/* A disk that is told what it is anyway. */
static void test_5_2_6_2_no_cache(void **state)
{
	(void)state;
	start(&(struct vb_options){.no_cache = true}, VB_ALL);
	write_sector(1, 0x11);
	assert_true(stable(1, 0x11));
}

/* A driver's life: writes in flight, some completed, flushes; what it may count on it has. */
struct model {
	struct vb_request r;
	bool busy, flush;
	uint64_t sector;
	uint8_t byte;
	uint8_t covers[16]; /* a flush: the byte of each sector that was complete when it was sent
			     */
};

enum { MODELS = 12, AREA = 16 };

static void begin(struct model *m, const uint8_t *complete, const bool *writing)
{
	static uint8_t next;

	m->flush = rand() % 3 == 0;
	m->sector = (unsigned int)rand() % AREA;
	if (!m->flush && writing[m->sector])
		return;
	if (m->flush) {
		vb_make(&m->r, VB_FLUSH, 0, 0);
		memcpy(m->covers, complete, sizeof(m->covers));
	} else {
		m->byte = next = next % 250 + 1;
		vb_make(&m->r, VB_OUT, m->sector, 512);
		memset(vb_data(&m->r), m->byte, 512);
	}
	m->busy = true;
	vb_send(&m->r, 0);
}

static uint32_t first_seed = 17, num_seeds = 1;
static uint64_t cuts;

/* Sectors that were written again meanwhile may be in any state. */
static void end(const struct model *m, uint8_t *complete, bool *writing, bool through)
{
	cuts += m->flush || through;
	if (!m->flush) {
		complete[m->sector] = m->byte;
		writing[m->sector] = false;
		if (through)
			assert_true(stable(m->sector, m->byte));
	}
	for (unsigned int i = 0; m->flush && i < AREA; i++)
		if (m->covers[i] && m->covers[i] == complete[i])
			assert_true(stable(i, m->covers[i]));
}

static void live(bool through)
{
	struct model models[MODELS] = {0};
	uint8_t complete[AREA] = {0};
	bool writing[AREA] = {0};
	const uint64_t brk = drv.brk;

	for (unsigned int step = 0; step < 3000; step++) {
		struct model *m = &models[(unsigned int)rand() % MODELS];
		int head;

		drv.brk = brk + 1024u * (unsigned int)(m - models);
		if (!m->busy)
			begin(m, complete, writing);
		if (m->busy && !m->flush)
			writing[m->sector] = true;
		if (rand() % 2 || !vbf_in_flight(vb_disk))
			continue;
		vbf_finish(vb_disk, (unsigned int)rand() % vbf_in_flight(vb_disk), 0, 0);
		head = vdrv_get(&drv, 0, NULL);
		for (unsigned int i = 0; i < MODELS; i++) {
			if (!models[i].busy || models[i].r.head != head)
				continue;
			assert_int_equal(vb_status(&models[i].r), VB_OK);
			models[i].busy = false;
			end(&models[i], complete, writing, through);
		}
	}
}

static void test_5_2_6_2_random(void **state)
{
	(void)state;
	cuts = 0;
	for (uint32_t i = 0; i < num_seeds; i++) {
		srand(first_seed + i);
		start(&(struct vb_options){0}, VB_ALL);
		live(false);
		start(&(struct vb_options){0}, VB_ALL);
		vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
		live(true);
	}
	assert_true(cuts > num_seeds);
	printf("power cuts: %" PRIu64 "\n", cuts);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_5_2_6_2_flush_makes_stable),
		PER_BLK(test_5_2_6_2_without_flush),
		PER_BLK(test_5_2_6_2_write_through),
		PER_BLK(test_5_2_6_2_zeroes_are_writes),
		PER_BLK(test_5_2_6_2_no_cache),
		PER_BLK(test_5_2_6_2_random),
	};

	if (argc == 4 && !strcmp(argv[1], "--seeds")) {
		first_seed = (uint32_t)strtoul(argv[2], NULL, 10);
		num_seeds = (uint32_t)strtoul(argv[3], NULL, 10);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
