/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints in memory and in debug registers (SDM vol. 3, 18.2). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "vm/core/guest_mem.h"
#include "vm/gdb/points.h"

#define NOWHERE                                                                                    \
	(struct gdb_place)                                                                         \
	{                                                                                          \
		.known = false                                                                     \
	}
#define AT(x)                                                                                      \
	(struct gdb_place)                                                                         \
	{                                                                                          \
		.known = true, .gpa = (x)                                                          \
	}
#define LATER(x)                                                                                   \
	(struct gdb_place)                                                                         \
	{                                                                                          \
		.known = true, .later = true, .gpa = (x)                                           \
	}
#define HIGH UINT64_C(0xffffffff81000000)

static struct gdb_points points;
static struct fake_ram ram;

static int setup(void **state)
{
	(void)state;
	memset(&points, 0, sizeof(points));
	fake_ram_create(&ram, MiB);
	memset(fake_ram_at(&ram, 0, MiB), 0x90, MiB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_ram_destroy(&ram);
	return 0;
}

static int add(enum gdb_point_kind kind, uint64_t addr, uint64_t len, struct gdb_place place)
{
	const struct gdb_point point = {kind, addr, len};

	return gdb_points_add(&points, ram.mem, &point, place);
}

static bool drop(enum gdb_point_kind kind, uint64_t addr, uint64_t len)
{
	const struct gdb_point point = {kind, addr, len};

	return gdb_points_remove(&points, ram.mem, &point);
}

static uint8_t byte(uint64_t gpa)
{
	return *(uint8_t *)fake_ram_at(&ram, gpa, 1);
}

static void in_memory(void **state)
{
	(void)state;
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(0x1000)), 0);
	assert_int_equal(byte(0x1000), 0xcc);
	assert_int_equal(points.num_traps, 1);
	assert_true(points.traps[0] == 0x1000);
	assert_int_equal(points.num_dr, 0);
	/* Once more is no more. */
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(0x1000)), 0);
	assert_int_equal(points.num, 1);
	assert_true(drop(GDB_SOFT, HIGH, 1));
	assert_int_equal(byte(0x1000), 0x90);
	assert_int_equal(points.num_traps, 0);
	assert_false(drop(GDB_SOFT, HIGH, 1));
}

static void two_names_of_a_byte(void **state)
{
	(void)state;
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(0x1000)), 0);
	assert_int_equal(add(GDB_SOFT, 0x1000, 1, AT(0x1000)), 0);
	assert_true(drop(GDB_SOFT, HIGH, 1));
	assert_int_equal(byte(0x1000), 0xcc);
	assert_true(drop(GDB_SOFT, 0x1000, 1));
	assert_int_equal(byte(0x1000), 0x90);
}

/* A kprobe of the guest's own at the same place, set before and set meanwhile. */
static void the_guest_patches(void **state)
{
	uint8_t *code = fake_ram_at(&ram, 0x1000, 1);

	(void)state;
	*code = 0xcc;
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(0x1000)), 0);
	assert_true(drop(GDB_SOFT, HIGH, 1));
	assert_int_equal(*code, 0xcc);
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(0x1000)), 0);
	*code = 0xe9;
	assert_true(drop(GDB_SOFT, HIGH, 1));
	assert_int_equal(*code, 0xe9);
}

static void hidden(void **state)
{
	uint8_t buf[8];

	(void)state;
	add(GDB_SOFT, HIGH, 1, AT(0x1004));
	guest_mem_read(ram.mem, 0x1000, buf, sizeof(buf));
	assert_int_equal(buf[4], 0xcc);
	gdb_points_hide(&points, 0x1000, buf, sizeof(buf));
	assert_int_equal(buf[4], 0x90);
	/* One byte beside it on each side. */
	memset(buf, 0xcc, sizeof(buf));
	gdb_points_hide(&points, 0x1005, buf, sizeof(buf));
	gdb_points_hide(&points, 0xffc, buf, sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0xcc);
	/* What is written there is what is there without it. */
	memset(buf, 0x55, sizeof(buf));
	gdb_points_cover(&points, 0x1000, buf, sizeof(buf));
	assert_int_equal(buf[4], 0xcc);
	guest_mem_write(ram.mem, 0x1000, buf, sizeof(buf));
	drop(GDB_SOFT, HIGH, 1);
	assert_int_equal(byte(0x1004), 0x55);
}

/* DR7 by hand: enabled locally and globally, the type at bit 16, the length at bit 18. */
static void registers(void **state)
{
	(void)state;
	assert_int_equal(add(GDB_HARD, HIGH, 1, NOWHERE), 0);
	assert_true(points.dr7 == 0x403);
	assert_true(points.dr[0] == HIGH);
	assert_int_equal(add(GDB_WRITE, 0x2000, 8, NOWHERE), 0);
	assert_true(points.dr7 == 0x90040f);
	assert_int_equal(add(GDB_ACCESS, 0x3002, 2, NOWHERE), 0);
	assert_true(points.dr7 == 0x790043f);
	assert_int_equal(add(GDB_READ, 0x4000, 4, NOWHERE), 0);
	assert_true(points.dr7 == 0xf79004ff);
	assert_int_equal(gdb_points_of_register(&points, 3)->kind, GDB_READ);
	assert_int_equal(add(GDB_HARD, HIGH + 1, 1, NOWHERE), -ENOSPC);
	assert_int_equal(points.num, 4);
	assert_true(points.dr7 == 0xf79004ff);
	assert_true(drop(GDB_HARD, HIGH, 1));
	assert_int_equal(points.num_dr, 3);
	assert_null(gdb_points_of_register(&points, 3));
	assert_int_equal(gdb_points_of_register(&points, 0)->kind, GDB_WRITE);
}

static void pieces(void **state)
{
	static const struct {
		uint64_t addr, len;
		unsigned int registers;
	} cases[] = {{0x1000, 16, 2}, {0x1001, 1, 1}, {0x1001, 2, 2}, {0x1001, 7, 3},
		{0x1003, 8, 4}, {0x1000, 32, 4}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(add(GDB_WRITE, cases[i].addr, cases[i].len, NOWHERE),
			cases[i].registers <= 4 ? 0 : -ENOSPC);
		assert_int_equal(points.num_dr, cases[i].registers);
		for (unsigned int r = 0; r < points.num_dr; r++)
			assert_ptr_equal(gdb_points_of_register(&points, r), &points.all[0].point);
		gdb_points_clear(&points, ram.mem);
	}
	assert_int_equal(add(GDB_WRITE, 0x1001, 17, NOWHERE), -ENOSPC);
	assert_int_equal(add(GDB_WRITE, 0x1000, 33, NOWHERE), -EINVAL);
	assert_int_equal(add(GDB_WRITE, 0x1000, 0, NOWHERE), -EINVAL);
	assert_int_equal(add(GDB_WRITE, UINT64_MAX, 2, NOWHERE), -EINVAL);
	assert_int_equal(add(GDB_WRITE, UINT64_MAX, 1, NOWHERE), 0);
	assert_int_equal(add(GDB_NUM_KINDS, 0, 1, NOWHERE), -EINVAL);
}

/* Before the kernel has its page tables. */
static void not_mapped(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(add(GDB_SOFT, HIGH + i, 1, i % 2 ? NOWHERE : LATER(0x1000)), 0);
	assert_int_equal(points.num_dr, 4);
	assert_int_equal(byte(0x1000), 0x90);
	assert_int_equal(add(GDB_SOFT, HIGH + 9, 1, NOWHERE), -ENOSPC);
	/* Where no register is free, what is in place already has to do. */
	assert_int_equal(add(GDB_SOFT, HIGH + 8, 1, LATER(0x1008)), 0);
	assert_int_equal(byte(0x1008), 0xcc);
	assert_int_equal(gdb_points_at(&points, HIGH + 1)->kind, GDB_SOFT);
	assert_null(gdb_points_at(&points, HIGH + 9));
	gdb_points_clear(&points, ram.mem);
	assert_int_equal(byte(0x1008), 0x90);
	/* No RAM is there. */
	assert_int_equal(add(GDB_SOFT, HIGH, 1, AT(16 * MiB)), 0);
	assert_int_equal(points.num_dr, 1);
}

static struct gdb_place find(void *opaque, uint64_t addr)
{
	(void)opaque;
	return addr >= HIGH ? LATER(addr - HIGH) : NOWHERE;
}

static void reboot(void **state)
{
	(void)state;
	add(GDB_SOFT, HIGH + 1, 1, AT(0x1001));
	add(GDB_HARD, HIGH + 2, 1, NOWHERE);
	for (unsigned int i = 0; i < 5; i++)
		add(GDB_SOFT, 0x100 + i, 1, AT(0x2000 + i));
	fake_ram_destroy(&ram);
	fake_ram_create(&ram, MiB);
	assert_int_equal(gdb_points_renew(&points, ram.mem, find, NULL), 3);
	assert_int_equal(points.num, 4);
	assert_int_equal(points.num_dr, 4);
	assert_int_equal(points.num_traps, 0);
	assert_int_equal(byte(0x1001), 0);
	assert_true(points.dr[0] == HIGH + 1 && points.dr[1] == HIGH + 2 && points.dr[2] == 0x100);
	/* What was saved in the memory before is not put here. */
	gdb_points_clear(&points, ram.mem);
	assert_int_equal(byte(0x1001), 0);
	assert_int_equal(byte(0x2000), 0);
}

static void too_many(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < GDB_MAX_POINTS; i++)
		assert_int_equal(add(GDB_SOFT, HIGH + i, 1, AT(i)), 0);
	assert_int_equal(add(GDB_SOFT, HIGH - 1, 1, AT(0x1000)), -E2BIG);
	assert_int_equal(byte(0x1000), 0x90);
	gdb_points_clear(&points, ram.mem);
	for (unsigned int i = 0; i < GDB_MAX_POINTS; i++)
		assert_int_equal(byte(i), 0x90);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_memory),
		TEST(two_names_of_a_byte),
		TEST(the_guest_patches),
		TEST(hidden),
		TEST(registers),
		TEST(pieces),
		TEST(not_mapped),
		TEST(reboot),
		TEST(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
