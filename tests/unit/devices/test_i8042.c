/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard controller with nothing plugged in, by tables; and what Linux's driver does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/i8042.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

enum { DATA = 0x60, CMD = 0x64, GSI = 1 };

struct fixture {
	struct fake_machine machine;
	struct i8042 *kbd;
};

#include "fakes/port_rig.h"

static int setup(void **state)
{
	struct fixture *f = fixture_create();
	struct i8042_config config = {.pio = f->machine.pio,
		.irq = fake_machine_irq(&f->machine, GSI),
		.power = fake_machine_power(&f->machine)};

	if (i8042_create(&config, &f->kbd))
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	i8042_destroy(f->kbd);
	fixture_destroy(f);
	return 0;
}

static unsigned int resets(const struct fixture *f)
{
	return f->machine.power.count[POWER_RESET];
}

static void commands(void **state)
{
	static const struct port_op table[] = {
		IN(CMD, 0x14, IRQ_LOW),
		/* self test, interface tests */
		OUT(CMD, 0xaa, IRQ_LOW),
		IN(CMD, 0x1d, IRQ_LOW),
		IN(DATA, 0x55, IRQ_LOW),
		IN(CMD, 0x1c, IRQ_LOW),
		OUT(CMD, 0xab, IRQ_LOW),
		IN(DATA, 0x00, IRQ_LOW),
		OUT(CMD, 0xa9, IRQ_LOW),
		IN(DATA, 0x02, IRQ_LOW),
		/* the command byte, and the switches in it */
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x64, IRQ_LOW),
		OUT(CMD, 0xad, IRQ_LOW),
		OUT(CMD, 0xa8, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x54, IRQ_LOW),
		OUT(CMD, 0xae, IRQ_LOW),
		OUT(CMD, 0xa7, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x64, IRQ_LOW),
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x70, IRQ_LOW),
		IN(CMD, 0x10, IRQ_LOW), /* the system flag is a bit of it */
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x70, IRQ_LOW),
		/* RAM, first and last byte */
		OUT(CMD, 0x7f, IRQ_LOW),
		OUT(DATA, 0x99, IRQ_LOW),
		OUT(CMD, 0x61, IRQ_LOW),
		OUT(DATA, 0x11, IRQ_LOW),
		OUT(CMD, 0x3f, IRQ_LOW),
		IN(DATA, 0x99, IRQ_LOW),
		OUT(CMD, 0x21, IRQ_LOW),
		IN(DATA, 0x11, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x70, IRQ_LOW),
		/* input and output port */
		OUT(CMD, 0xc0, IRQ_LOW),
		IN(DATA, 0xa0, IRQ_LOW),
		OUT(CMD, 0xd0, IRQ_LOW),
		IN(DATA, 0xc3, IRQ_LOW),
		OUT(CMD, 0xd1, IRQ_LOW),
		OUT(DATA, 0x01, IRQ_LOW),
		OUT(CMD, 0xd0, IRQ_LOW),
		IN(DATA, 0x01, IRQ_LOW),
		/* a command that nobody knows says nothing */
		OUT(CMD, 0xb0, IRQ_LOW),
		IN(CMD, 0x18, IRQ_LOW),
		/* a new command takes the place of the one that waits for its byte */
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW),
		IN(DATA, 0x70, IRQ_LOW),
	};
	struct fixture *f = *state;

	RUN(f, table);
	assert_int_equal(resets(f), 0);
}

static void the_keyboard_does_not_answer(void **state)
{
	static const struct port_op table[] = {
		OUT(CMD, 0xad, IRQ_LOW),
		OUT(DATA, 0xf2, IRQ_LOW), /* its interrupt is not enabled */
		IN(CMD, 0x55, IRQ_LOW),
		IN(DATA, 0xfe, IRQ_LOW),
		IN(CMD, 0x14, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW), /* the byte switched the clock on again */
		IN(DATA, 0x64, IRQ_LOW),
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x45, IRQ_LOW),
		OUT(DATA, 0xff, IRQ_HIGH),
		IN(CMD, 0x55, IRQ_HIGH),
		OUT(CMD, 0xd0, IRQ_LOW), /* an answer takes its place */
		OUT(DATA, 0xff, IRQ_HIGH),
		IN(DATA, 0xfe, IRQ_LOW),
		/* enabling the interrupt with a byte waiting */
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x44, IRQ_LOW),
		OUT(CMD, 0xd2, IRQ_LOW),
		OUT(DATA, 0x1c, IRQ_LOW),
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x45, IRQ_HIGH),
		IN(CMD, 0x15, IRQ_HIGH),
		IN(DATA, 0x1c, IRQ_LOW),
		/* the second port neither */
		OUT(CMD, 0xd4, IRQ_LOW),
		OUT(DATA, 0xf2, IRQ_LOW),
		IN(CMD, 0x75, IRQ_LOW),
		IN(DATA, 0xfe, IRQ_LOW),
		IN(CMD, 0x14, IRQ_LOW),
	};

	RUN((struct fixture *)*state, table);
}

/* What i8042.c does at boot; each answer must be there at once. */
static void linux_probes(void **state)
{
	static const struct port_op table[] = {
		IN_MASK(CMD, 0x00, 0x01, IRQ_LOW), /* flush */
		OUT(CMD, 0xaa, IRQ_LOW),
		IN_MASK(CMD, 0x01, 0x03, IRQ_LOW),
		IN(DATA, 0x55, IRQ_LOW),
		/* the command byte, twice the same */
		OUT(CMD, 0x20, IRQ_LOW),
		IN_MASK(CMD, 0x01, 0x03, IRQ_LOW),
		IN(DATA, 0x64, IRQ_LOW),
		OUT(CMD, 0x20, IRQ_LOW),
		IN_MASK(CMD, 0x11, 0x13, IRQ_LOW), /* and not locked */
		IN(DATA, 0x64, IRQ_LOW),
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x74, IRQ_LOW),
		/* the second port's loop comes out at the first: no such port */
		OUT(CMD, 0xd3, IRQ_LOW),
		OUT(DATA, 0x5a, IRQ_LOW),
		IN_MASK(CMD, 0x01, 0x21, IRQ_LOW),
		/* its line test agrees: not 0, 0xfa, 0xff */
		OUT(CMD, 0xa9, IRQ_LOW),
		IN_MASK(CMD, 0x01, 0x01, IRQ_LOW),
		IN(DATA, 0x02, IRQ_LOW),
		/* the first port goes on, its driver asks who is there: resend, at once */
		OUT(CMD, 0x60, IRQ_LOW),
		OUT(DATA, 0x65, IRQ_LOW),
		OUT(DATA, 0xf2, IRQ_HIGH),
		IN_MASK(CMD, 0x41, 0x41, IRQ_HIGH),
		IN(DATA, 0xfe, IRQ_LOW),
		OUT(DATA, 0xed, IRQ_HIGH),
		IN(DATA, 0xfe, IRQ_LOW),
	};

	RUN((struct fixture *)*state, table);
}

static void resets_of_the_machine(void **state)
{
	struct fixture *f = *state;

	for (unsigned int command = 0; command < 256; command++) {
		unsigned int before = resets(f);

		out(f, CMD, (uint8_t)command);
		assert_int_equal(resets(f) - before, command >= 0xf0 && !(command & 1));
	}
	for (unsigned int value = 0; value < 256; value++) {
		unsigned int before = resets(f);

		out(f, CMD, 0xd1);
		out(f, DATA, (uint8_t)value);
		assert_int_equal(resets(f) - before, !(value & 1));
		assert_int_equal(in(f, CMD) & 0x02, 0);
	}
	assert_int_equal(f->machine.power.count[POWER_OFF], 0);
	assert_int_equal(f->machine.power.count[POWER_PANIC], 0);
}

static void ports_taken(void **state)
{
	struct fixture *f = *state;
	struct i8042 *second = (struct i8042 *)f;
	struct i8042_config config = {.pio = f->machine.pio};

	assert_true(i8042_create(&config, &second) < 0);
	assert_ptr_equal(second, f);
	i8042_destroy(NULL);
}

static void random_operations(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 5;

	for (unsigned int i = 0; i < 1000000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint16_t port = seed >> 8 & 1 ? CMD : DATA;

		if (seed >> 31)
			bus_read(f->machine.pio, port, 1u << (seed >> 11 & 3));
		else
			bus_write(f->machine.pio, port, 1u << (seed >> 11 & 3),
				seed * UINT64_C(0x9e3779b97f4a7c15) >> 20);
		/* Never busy; the line only with a byte waiting, and a read takes it down. */
		assert_int_equal(in(f, CMD) & 0x02, 0);
		if (f->machine.lines[GSI].level)
			assert_int_equal(in(f, CMD) & 0x21, 0x01);
		if ((i & 15) != 0)
			continue;
		in(f, DATA);
		assert_int_equal(in(f, CMD) & 0x61, 0);
		assert_false(f->machine.lines[GSI].level);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(commands),
		T(the_keyboard_does_not_answer),
		T(linux_probes),
		T(resets_of_the_machine),
		T(ports_taken),
		T(random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
