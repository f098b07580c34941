/* SPDX-License-Identifier: BSD-2-Clause */
/* From descriptors to chains: what is taken, what is refused, and that only copies count. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "virtqueue_fixture.h"
#include "vm/core/guest_mem.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

/* Writes descriptors 0.. of the ring, or of a table behind INDIRECT, and makes head 0 available. */
struct bad_chain {
	const char *error; /* part of the text; NULL: good */
	uint64_t features;
	uint16_t head;
	unsigned int num, num_table;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} d[4], table[4];
};

#define GOOD  RIG_RAM_BASE
#define TABLE (RIG_RAM_BASE + 0x8000)
#define IND   VIRTIO_F_INDIRECT_DESC

static const struct bad_chain chains_table[] = {
	{NULL, 0, 0, 1, 0, {{GOOD, 4, 0, 0}}, {{0}}},
	{NULL, 0, 15, 0, 0, {{0}}, {{0}}},
	{NULL, 0, 0, 2, 0, {{GOOD, 4, NEXT, 1}, {GOOD, 4, WRITE, 0}}, {{0}}},
	/* next is for nothing without its flag */
	{NULL, 0, 0, 1, 0, {{GOOD, 4, 0, 0xffff}}, {{0}}},
	/* 2.7.5.3: behind direct ones; WRITE on it is ignored */
	{NULL, IND, 0, 1, 2, {{TABLE, 32, INDIRECT, 0}}, {{GOOD, 4, NEXT, 1}, {GOOD, 4, WRITE, 0}}},
	{NULL, IND, 0, 2, 1, {{GOOD, 4, NEXT, 1}, {TABLE, 16, INDIRECT, 0}}, {{GOOD, 4, WRITE, 0}}},
	{NULL, IND, 0, 2, 1, {{GOOD, 4, NEXT, 1}, {TABLE, 16, INDIRECT | WRITE, 0}},
		{{GOOD, 4, 0, 0}}},
	{"available descriptor", 0, 16, 0, 0, {{0}}, {{0}}},
	{"available descriptor", 0, 0xffff, 0, 0, {{0}}, {{0}}},
	{"next descriptor outside the table", 0, 0, 1, 0, {{GOOD, 4, NEXT, 16}}, {{0}}},
	{"longer than the queue", 0, 0, 1, 0, {{GOOD, 4, NEXT, 0}}, {{0}}},
	{"longer than the queue", 0, 0, 2, 0, {{GOOD, 4, NEXT, 1}, {GOOD, 4, NEXT, 0}}, {{0}}},
	{"after a writable", 0, 0, 2, 0, {{GOOD, 4, NEXT | WRITE, 1}, {GOOD, 4, 0, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{0, 4, 0, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{RIG_RAM_BASE + RIG_RAM_SIZE - 1, 2, 0, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{RIG_RAM_BASE - 1, 2, WRITE, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{UINT64_MAX, 1, 0, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{UINT64_MAX, 2, WRITE, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{GOOD, UINT32_MAX, WRITE, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{RIG_BYTES_BASE, RIG_BYTES + 1, 0, 0}}, {{0}}},
	{"outside RAM", 0, 0, 1, 0, {{RIG_MMIO_BASE + 0x50, 4, WRITE, 0}}, {{0}}},
	{"not negotiated", 0, 0, 1, 1, {{TABLE, 16, INDIRECT, 0}}, {{GOOD, 4, 0, 0}}},
	{"with a next", IND, 0, 1, 1, {{TABLE, 16, INDIRECT | NEXT, 1}}, {{GOOD, 4, 0, 0}}},
	{"inside an indirect", IND, 0, 1, 1, {{TABLE, 16, INDIRECT, 0}},
		{{TABLE, 16, INDIRECT, 0}}},
	{"whole number", IND, 0, 1, 1, {{TABLE, 0, INDIRECT, 0}}, {{GOOD, 4, 0, 0}}},
	{"whole number", IND, 0, 1, 1, {{TABLE, 17, INDIRECT, 0}}, {{GOOD, 4, 0, 0}}},
	{"table longer", IND, 0, 1, 1, {{TABLE, 16 * 17, INDIRECT, 0}}, {{GOOD, 4, 0, 0}}},
	{"table longer", IND, 0, 1, 1, {{TABLE, 0xfffffff0, INDIRECT, 0}}, {{GOOD, 4, 0, 0}}},
	{"table outside RAM", IND, 0, 1, 0, {{0xfffffffffffffff0, 16, INDIRECT, 0}}, {{0}}},
	{"table outside RAM", IND, 0, 1, 0, {{RIG_RAM_BASE + RIG_RAM_SIZE - 16, 32, INDIRECT, 0}},
		{{0}}},
	{"outside the indirect", IND, 0, 1, 1, {{TABLE, 16, INDIRECT, 0}}, {{GOOD, 4, NEXT, 1}}},
	{"outside the indirect", IND, 0, 1, 1, {{TABLE, 16, INDIRECT, 0}},
		{{GOOD, 4, NEXT, 0xffff}}},
	{"longer than the queue", IND, 0, 1, 1, {{TABLE, 16, INDIRECT, 0}}, {{GOOD, 4, NEXT, 0}}},
};

static void put_chain(const struct bad_chain *c)
{
	for (unsigned int i = 0; i < c->num; i++)
		vdrv_set_desc(&vqt_driver, vqt_driver.q[0].layout.desc, i, c->d[i].addr,
			c->d[i].len, c->d[i].flags, c->d[i].next);
	for (unsigned int i = 0; i < c->num_table; i++)
		vdrv_set_desc(&vqt_driver, TABLE, i, c->table[i].addr, c->table[i].len,
			c->table[i].flags, c->table[i].next);
	vdrv_expose(&vqt_driver, 0, c->head);
}

static void test_2_7_5_chains(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(chains_table); i++) {
		const struct bad_chain *c = &chains_table[i];
		struct virtq_chain *chain = NULL;

		vqt_start(c->features, 16);
		put_chain(c);
		if (!c->error) {
			virtqueue_push(vqt, vqt_pop(), 0);
			assert_null(virtqueue_error(vqt));
			continue;
		}
		assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
		assert_null(chain);
		assert_non_null(strstr(virtqueue_error(vqt), c->error));
		/* dead until it is enabled anew, whatever comes */
		assert_int_equal(virtqueue_in_flight(vqt), 0);
		vdrv_expose(&vqt_driver, 0, 15);
		assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
		assert_false(virtqueue_notify_on(vqt));
		assert_false(virtqueue_has_avail(vqt));
	}
}

static void test_2_7_5_2_whole_queue_in_one_chain(void **state)
{
	struct vdrv_buf bufs[16];
	struct virtq_chain *chain;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++)
		bufs[i] = (struct vdrv_buf){GOOD + i, 1};
	vqt_start(IND, 16);
	vdrv_add(&vqt_driver, 0, bufs, 8, 8, false);
	chain = vqt_pop();
	assert_int_equal(chain->readable, 8);
	assert_int_equal(chain->writable, 8);
	virtqueue_release(vqt, chain);
	vqt_start(IND, 16);
	vdrv_add(&vqt_driver, 0, bufs, 16, 0, true);
	chain = vqt_pop();
	assert_int_equal(chain->readable, 16);
	virtqueue_release(vqt, chain);
}

/* The same over both tables, where no loop is needed to pass the bound. */
static void test_2_7_5_2_one_more_than_the_queue(void **state)
{
	struct virtq_chain *chain;

	(void)state;
	for (unsigned int in_table = 15; in_table <= 16; in_table++) {
		vqt_start(IND, 16);
		vdrv_set_desc(&vqt_driver, vqt_driver.q[0].layout.desc, 0, GOOD, 1, NEXT, 1);
		vdrv_set_desc(&vqt_driver, vqt_driver.q[0].layout.desc, 1, TABLE, 16 * in_table,
			INDIRECT, 0);
		for (unsigned int i = 0; i < in_table; i++)
			vdrv_set_desc(&vqt_driver, TABLE, i, GOOD, 1, i + 1 < in_table ? NEXT : 0,
				(uint16_t)(i + 1));
		vdrv_expose(&vqt_driver, 0, 0);
		if (in_table == 15) {
			chain = vqt_pop();
			assert_int_equal(chain->readable, 16);
			virtqueue_release(vqt, chain);
		} else {
			assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
			assert_non_null(strstr(virtqueue_error(vqt), "longer than the queue"));
		}
	}
}

static void test_avail_index_runs_ahead(void **state)
{
	struct virtq_chain *chain;

	(void)state;
	vqt_start(0, 16);
	for (unsigned int i = 0; i < 17; i++)
		vdrv_expose(&vqt_driver, 0, 0);
	assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
	assert_non_null(strstr(virtqueue_error(vqt), "too far"));
	vqt_start(0, 16);
	vqt_driver.q[0].avail_idx = (uint16_t)-2;
	vdrv_expose(&vqt_driver, 0, 0); /* backwards */
	assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
}

static void test_same_head_twice(void **state)
{
	struct virtq_chain *chain, *again = NULL;

	(void)state;
	vqt_start(0, 16);
	vdrv_set_desc(&vqt_driver, vqt_driver.q[0].layout.desc, 5, GOOD, 4, WRITE, 0);
	vdrv_expose(&vqt_driver, 0, 5);
	vdrv_expose(&vqt_driver, 0, 5);
	chain = vqt_pop();
	assert_int_equal(virtqueue_pop(vqt, &again), -EPROTO);
	assert_non_null(strstr(virtqueue_error(vqt), "twice"));
	/* The first one still completes, once. */
	virtqueue_push(vqt, chain, 4);
	assert_true(virtqueue_publish(vqt));
	assert_int_equal(vdrv_get(&vqt_driver, 0, NULL), 5);
	assert_int_equal(vdrv_get(&vqt_driver, 0, NULL), VDRV_NO_HEAD);
}

/* The copy counts: what the driver changes after pop means nothing. */
static void test_descriptors_are_copied(void **state)
{
	struct virtq_chain *chain;
	struct virtq_cursor c;
	uint8_t buf[16];

	(void)state;
	vqt_start(IND, 16);
	vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{GOOD + 0x9000, 4}}, 1, 0, true);
	vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{GOOD + 0x9000, 4}}, 1, 0, false);
	for (unsigned int i = 0; i < 2; i++) {
		chain = vqt_pop();
		memset(vqt_driver.rig->ram, 0xff, 0x8000);
		c = virtq_reader(chain);
		assert_int_equal(virtq_read(&c, buf, sizeof(buf)), 4);
		virtqueue_release(vqt, chain);
		vqt_start(IND, 16);
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{GOOD + 0x9000, 4}}, 1, 0, false);
	}
}

static void test_scattered_over_too_many_regions(void **state)
{
	struct vdrv_buf bufs[16];
	struct virtq_chain *chain;

	(void)state;
	for (unsigned int i = 0; i < 16; i++)
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE, 5};
	vqt_start(IND, 16);
	vdrv_add(&vqt_driver, 0, bufs, 16, 0, true); /* 80 pieces: what there is room for */
	virtqueue_release(vqt, vqt_pop());
	vqt_start(IND, 16);
	bufs[0].len = 6;
	vdrv_add(&vqt_driver, 0, bufs, 16, 0, true);
	assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
}

/* 2.7.5.2: up to 2^32 bytes, and not one more. The memory is address space without access. */
static void test_2_7_5_2_chain_of_4_gib(void **state)
{
	const uint64_t gpa = UINT64_C(1) << 32, size = UINT64_C(1) << 31;
	void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct vdrv_buf bufs[3] = {{gpa, 1u << 31}, {gpa, 1u << 31}, {GOOD, 1}};
	struct virtq_chain *chain;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(guest_mem_add(vqt_host.mem, gpa, size, p), 0);
	vqt_start(IND, 16);
	vdrv_add(&vqt_driver, 0, bufs, 1, 1, false);
	chain = vqt_pop();
	assert_int_equal(chain->readable + chain->writable, UINT64_C(1) << 32);
	virtqueue_release(vqt, chain);
	vdrv_add(&vqt_driver, 0, bufs, 1, 2, true);
	assert_int_equal(virtqueue_pop(vqt, &chain), -EPROTO);
	assert_non_null(strstr(virtqueue_error(vqt), "4 GiB"));
	munmap(p, size);
}

static void test_several_at_once(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x8000, 10};
	static const uint32_t written[] = {10, 10, 5, 0};
	struct virtq_chain *chains[16];
	uint32_t len;

	(void)state;
	vqt_start(0, 16);
	for (unsigned int i = 0; i < 5; i++)
		vdrv_add(&vqt_driver, 0, &buf, 0, 1, false);
	assert_int_equal(virtqueue_pop_room(vqt, chains, 16, 0), 0);
	assert_int_equal(virtqueue_pop_room(vqt, chains, 16, 21), 3);
	assert_int_equal(virtqueue_pop_room(vqt, chains + 3, 1, 21), 1);
	virtqueue_push_over(vqt, chains, 4, 25);
	virtqueue_publish(vqt);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(vdrv_get(&vqt_driver, 0, &len), i);
		assert_int_equal(len, written[i]);
	}
	/* Those before a broken rule are good. */
	vdrv_expose(&vqt_driver, 0, 16);
	assert_int_equal(virtqueue_pop_room(vqt, chains, 16, 100), 1);
	assert_non_null(virtqueue_error(vqt));
	assert_int_equal(virtqueue_pop_room(vqt, chains + 1, 15, 100), 0);
	virtqueue_push_over(vqt, chains, 1, 10);
	assert_int_equal(virtqueue_in_flight(vqt), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VQT_TEST(test_2_7_5_chains),
		VQT_TEST(test_2_7_5_2_whole_queue_in_one_chain),
		VQT_TEST(test_2_7_5_2_one_more_than_the_queue),
		VQT_TEST(test_avail_index_runs_ahead),
		VQT_TEST(test_same_head_twice),
		VQT_TEST(test_descriptors_are_copied),
		VQT_TEST(test_scattered_over_too_many_regions),
		VQT_TEST(test_2_7_5_2_chain_of_4_gib),
		VQT_TEST(test_several_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
