/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests cut up in every way, and requests that mean harm, to a block device on each transport.
 * Tests bear the sections of virtio 1.2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

enum { MOST = 1100, GUARD = 0x5c, QUEUE = 1024 };

/* A request as bytes to read and bytes to write, with its places to cut. */
struct framed {
	uint8_t out[MOST], in[MOST];
	uint32_t num_out, num_in;
	bool cut[MOST], cut_in[MOST]; /* in front of the byte */
};

static void frame(struct framed *f, uint32_t type, uint64_t sector, uint32_t len)
{
	const bool is_out = type == VB_OUT || type == VB_WRITE_ZEROES;

	memset(f, 0, sizeof(*f));
	memcpy(f->out, &type, 4);
	memcpy(f->out + 8, &sector, 8);
	for (uint32_t i = 0; i < len; i++)
		f->out[VB_HEADER + i] = (uint8_t)(i * 3 + 1);
	f->num_out = VB_HEADER + (is_out ? len : 0);
	f->num_in = 1 + (is_out ? 0 : len);
}

/* Each piece lies by itself, with a guard behind it; returns how many there are. */
static unsigned int lay_out(
	const bool *cut, const uint8_t *bytes, uint32_t num, struct vdrv_buf *bufs)
{
	unsigned int n = 0;

	for (uint32_t begin = 0, end; begin < num; begin = end) {
		uint8_t *p;

		for (end = begin + 1; end < num && !cut[end];)
			end++;
		bufs[n] = (struct vdrv_buf){vdrv_alloc(&drv, end - begin + 1, 1), end - begin};
		p = vdrv_at(&drv, bufs[n++].gpa, end - begin + 1);
		memcpy(p, bytes + begin, end - begin);
		p[end - begin] = GUARD;
	}
	return n;
}

/* What the pieces hold now. */
static void collect(const struct vdrv_buf *bufs, unsigned int n, uint8_t *bytes)
{
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = vdrv_at(&drv, bufs[i].gpa, bufs[i].len + 1);

		memcpy(bytes, p, bufs[i].len);
		bytes += bufs[i].len;
		assert_int_equal(p[bufs[i].len], GUARD);
	}
}

static uint32_t run(struct framed *f, bool indirect)
{
	static struct vdrv_buf bufs[2 * MOST];
	const uint64_t brk = drv.brk;
	unsigned int n_out, n_in;
	uint8_t after[MOST];
	uint32_t used = 0;
	int head;

	memset(f->in, VB_NO_STATUS, f->num_in);
	n_out = lay_out(f->cut, f->out, f->num_out, bufs);
	n_in = lay_out(f->cut_in, f->in, f->num_in, bufs + n_out);
	head = vdrv_add(&drv, 0, bufs, n_out, n_in, indirect);
	vdrv_kick(&drv, 0);
	assert_int_equal(vdrv_get(&drv, 0, &used), head);
	collect(bufs, n_out, after);
	assert_memory_equal(after, f->out, f->num_out); /* 2.7.5.1 */
	collect(bufs + n_out, n_in, f->in);
	drv.brk = brk;
	return used;
}

/* One of each kind, with its effect checked. */
static void run_all(struct framed *f, void (*cut)(struct framed *f, unsigned int n), unsigned int n,
	bool indirect)
{
	frame(f, VB_IN, 3, 1024);
	cut(f, n);
	assert_int_equal(run(f, indirect), 1025);
	vb_expect_pattern(f->in, 3 * 512, 1024);
	assert_int_equal(f->in[1024], VB_OK);

	memset(vb_disk->data + 64 * 512, 0, 1024);
	frame(f, VB_OUT, 64, 1024);
	cut(f, n);
	assert_int_equal(run(f, indirect), 1);
	assert_memory_equal(vb_disk->data + 64 * 512, f->out + VB_HEADER, 1024);
	assert_int_equal(f->in[0], VB_OK);

	frame(f, VB_GET_ID, 0, 20);
	cut(f, n);
	assert_int_equal(run(f, indirect), 21);
	assert_memory_equal(f->in, "serial\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21);

	memset(vb_disk->data + 100 * 512, 1, 1024);
	frame(f, VB_WRITE_ZEROES, 0, 2 * VB_RANGE);
	vb_put_range(f->out + VB_HEADER, 100, 1, 0);
	vb_put_range(f->out + VB_HEADER + VB_RANGE, 101, 1, 1);
	cut(f, n);
	assert_int_equal(run(f, indirect), 1);
	assert_int_equal(f->in[0], VB_OK);
	vb_expect_bytes(vb_disk->data + 100 * 512, 1024, 0);

	frame(f, VB_FLUSH, 0, 0);
	cut(f, n);
	assert_int_equal(run(f, indirect), 1);
	assert_int_equal(f->in[0], VB_OK);
	assert_false(needs_reset());
}

static void start(void)
{
	vb_restart(&(struct vb_options){.queue_size = QUEUE, .serial = "serial"});
	vdrv_start(&drv, VB_ALL);
}

static void cut_at(struct framed *f, unsigned int n)
{
	f->cut[n] = f->cut_in[n] = true;
}

/* Header and data in one, data and status in one, and a cut at any other place. */
static void test_2_7_4_1_one_cut(void **state)
{
	struct framed f;

	(void)state;
	start();
	for (unsigned int n = 0; n <= 1040; n += n < 40 || n >= 1020 ? 1 : 49)
		run_all(&f, cut_at, n, n % 2);
}

static void cut_from_to(struct framed *f, unsigned int n)
{
	for (unsigned int i = n % 64; i < MOST && i < n / 64 * 32; i++)
		f->cut[i] = f->cut_in[i] = true;
}

/* Pieces of one byte; in the end nothing but those, which is as many as a queue takes. */
static void test_2_7_4_1_bytes(void **state)
{
	struct framed f;

	(void)state;
	start();
	for (unsigned int n = 64; n < 31 * 64; n += 61)
		run_all(&f, cut_from_to, n, n % 2);
	frame(&f, VB_OUT, 0, 512);
	memset(f.cut, true, sizeof(f.cut));
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(run(&f, i), 1);
	assert_memory_equal(vb_disk->data, f.out + VB_HEADER, 512);
	frame(&f, VB_IN, 0, 512);
	memset(f.cut_in, true, sizeof(f.cut_in));
	assert_int_equal(run(&f, true), 513);
}

static void cut_at_random(struct framed *f, unsigned int n)
{
	for (unsigned int i = 0; i < MOST; i++) {
		f->cut[i] = (unsigned int)rand() % 256 < n;
		f->cut_in[i] = (unsigned int)rand() % 256 < n;
	}
}

static void test_2_7_4_1_random(void **state)
{
	struct framed f;

	(void)state;
	start();
	srand(11);
	for (unsigned int n = 0; n < 200; n++)
		run_all(&f, cut_at_random, n, n % 2);
}

/* Header, serial number and status over regions of one byte. */
static void test_2_7_4_1_scattered_ram(void **state)
{
	const struct vdrv_buf bufs[] = {{RIG_BYTES_BASE, 16}, {RIG_BYTES_BASE + 16, 21}};
	uint32_t used;

	(void)state;
	start();
	*vrig.bytes[0] = VB_GET_ID;
	*vrig.bytes[36] = VB_NO_STATUS;
	vdrv_add(&drv, 0, bufs, 1, 1, false);
	vdrv_kick(&drv, 0);
	assert_int_equal(vdrv_get(&drv, 0, &used), 0);
	assert_int_equal(used, 21);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(*vrig.bytes[16 + i], "serial"[MIN(i, 6u)]);
	assert_int_equal(*vrig.bytes[36], VB_OK);
}

/* seg_max is 2 here. */
static void test_more_segments_than_announced(void **state)
{
	struct framed f;

	(void)state;
	vb_restart(&(struct vb_options){.queue_size = 4});
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vdrv_cfg(&drv, 12, 4), 2);
	frame(&f, VB_OUT, 9, 1024);
	f.cut[100] = f.cut[1000] = true;
	assert_int_equal(run(&f, false), 1);
	assert_memory_equal(vb_disk->data + 9 * 512, f.out + VB_HEADER, 1024);
	assert_int_equal(vb_disk->log[0].num_iov, 3);
}

/* ---- what is no request at all ---- */

static void expect_error(void)
{
	assert_true(needs_reset());
	assert_true(drv.t->take_irq(&drv) & VIRTIO_ISR_CONFIG);
	assert_true(vb_nothing_used(0));
	assert_int_equal(vb_disk->num_log, 0);
	drv.brk = RIG_RAM_BASE;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, 0, 512), VB_OK);
	vb_disk->num_log = 0;
}

static void test_header_too_short(void **state)
{
	(void)state;
	start();
	for (uint32_t len = 0; len < VB_HEADER; len++)
		for (uint32_t in = 0; in < 3; in++) {
			const struct vdrv_buf bufs[] = {
				{RIG_RAM_BASE + 0x80000, len}, {RIG_RAM_BASE + 0x81000, in}};

			vdrv_add(&drv, 0, bufs, 1, 1, len % 2);
			vdrv_kick(&drv, 0);
			assert_int_equal(*vdrv_at(&drv, bufs[1].gpa, 1), 0);
			expect_error();
		}
}

static void test_no_room_for_status(void **state)
{
	struct vb_request r;

	(void)state;
	start();
	for (unsigned int i = 0; i < 3; i++) {
		vb_make(&r, i ? VB_OUT : VB_FLUSH, 0, 512);
		vdrv_add(&drv, 0,
			(struct vdrv_buf[]){
				{r.header, VB_HEADER}, {r.data, 512}, {RIG_RAM_BASE, 0}},
			2, i == 2, false);
		vdrv_kick(&drv, 0);
		expect_error();
	}
	vb_expect_untouched();
}

/* Requests that the host works on are finished all the same. */
static void test_error_with_requests_in_flight(void **state)
{
	struct vb_request good;

	(void)state;
	start();
	vb_disk->hold = true;
	vb_make(&good, VB_IN, 1, 512);
	vb_send(&good, 0);
	vdrv_add(&drv, 0, (struct vdrv_buf[]){{good.header, VB_HEADER - 1}}, 1, 0, false);
	vdrv_kick(&drv, 0);
	assert_true(needs_reset());
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&good, 0), VB_OK);
	vb_disk->num_log = 0;
	vb_disk->hold = false;
	expect_error();
}

/* The header was copied: what becomes of it later is of no interest. */
static void test_header_changes_in_flight(void **state)
{
	struct vb_request r;

	(void)state;
	start();
	vb_disk->hold = true;
	vb_make(&r, VB_IN, 1, 512);
	vb_send(&r, 0);
	memset(vdrv_at(&drv, r.header, VB_HEADER), 0xff, VB_HEADER);
	memset(drv.q[0].desc, 0xff, 16u * QUEUE);
	drv.q[0].chain_len[r.head] = 1;
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&r, 0), VB_OK);
	vb_expect_pattern(vb_data(&r), 512, 512);
}

/* Header, data and status on each other, or on the rings: the driver gets what it deserves. */
static void test_overlapping_buffers(void **state)
{
	const uint32_t types[] = {VB_IN, VB_OUT, VB_GET_ID, VB_FLUSH, VB_WRITE_ZEROES};

	(void)state;
	start();
	srand(5);
	for (unsigned int i = 0; i < 2000; i++) {
		const bool on_rings = i % 50 == 49;
		const uint64_t at = on_rings ? drv.q[0].layout.desc : RIG_RAM_BASE + 0x80000;
		const uint32_t type = types[(unsigned int)rand() % ARRAY_SIZE(types)];
		const struct vdrv_buf bufs[] = {{at, 16}, {at + (unsigned int)rand() % 64, 512},
			{at + (unsigned int)rand() % 64, 512}, {at + (unsigned int)rand() % 64, 1}};

		memset(vdrv_at(&drv, RIG_RAM_BASE + 0x80000, 1024), 0, 1024);
		vdrv_add(&drv, 0, bufs, 2, 2, false);
		memcpy(vdrv_at(&drv, at, 4), &type, 4);
		vdrv_kick(&drv, 0);
		drv.brk = RIG_RAM_BASE;
		if (on_rings || needs_reset())
			vdrv_start(&drv, VB_ALL);
		else
			assert_false(vb_nothing_used(0));
	}
	assert_int_equal(vb_disk->beyond, 0);
	drv.t->take_irq(&drv);
	assert_int_equal(vb_request(VB_IN, 0, 512), VB_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_2_7_4_1_one_cut),
		PER_BLK(test_2_7_4_1_bytes),
		PER_BLK(test_2_7_4_1_random),
		PER_BLK(test_2_7_4_1_scattered_ram),
		PER_BLK(test_more_segments_than_announced),
		PER_BLK(test_header_too_short),
		PER_BLK(test_no_room_for_status),
		PER_BLK(test_error_with_requests_in_flight),
		PER_BLK(test_header_changes_in_flight),
		PER_BLK(test_overlapping_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
