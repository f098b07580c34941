/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/exit_port.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

enum { PORT = 0xf4 };

struct seen {
	unsigned int count;
	uint8_t status;
};

static void end(void *opaque, uint8_t status)
{
	struct seen *seen = opaque;

	seen->count++;
	seen->status = status;
}

/* As QEMU has it: (V << 1) | 1, and a process's status is its lower eight bits. */
static void status_of_a_write(void **state)
{
	static const struct {
		unsigned int off, size;
		uint32_t value;
		uint8_t status;
	} table[] = {
		{0, 1, 0, 1},
		{0, 1, 1, 3},
		{0, 1, 0x7f, 0xff},
		{0, 1, 0x80, 1},
		{0, 1, 0xff, 0xff},
		{0, 2, 0x1234, 0x69},
		{0, 4, 0x10, 0x21},
		{0, 4, 0xdeadbe00, 1},
		{1, 1, 5, 11},
		{2, 2, 5, 11},
		{3, 1, 5, 11},
	};
	struct fake_machine machine;
	struct seen seen = {0};
	struct exit_port *exit_port;

	(void)state;
	fake_machine_create(&machine);
	struct exit_port_config config = {
		.pio = machine.pio, .port = PORT, .end = end, .opaque = &seen};

	assert_int_equal(exit_port_create(&config, &exit_port), 0);
	assert_int_equal(bus_read(machine.pio, PORT, 4), 0);
	assert_int_equal(seen.count, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		bus_write(machine.pio, PORT + table[i].off, table[i].size, table[i].value);
		assert_int_equal(seen.count, i + 1);
		assert_int_equal(seen.status, table[i].status);
	}
	bus_write(machine.pio, PORT - 1, 1, 0);
	bus_write(machine.pio, PORT + 4, 4, 0);
	assert_int_equal(seen.count, ARRAY_SIZE(table));
	exit_port_destroy(exit_port);
	bus_write(machine.pio, PORT, 1, 0);
	assert_int_equal(seen.count, ARRAY_SIZE(table));
	fake_machine_destroy(&machine);
}

static void port_taken(void **state)
{
	struct fake_machine machine;
	struct exit_port *first, *second = NULL;

	(void)state;
	fake_machine_create(&machine);
	struct exit_port_config config = {.pio = machine.pio, .port = PORT, .end = end};

	assert_int_equal(exit_port_create(&config, &first), 0);
	config.port = PORT + 3;
	assert_int_equal(exit_port_create(&config, &second), -EEXIST);
	config.port = 0xfffd;
	assert_int_equal(exit_port_create(&config, &second), -EINVAL);
	assert_null(second);
	exit_port_destroy(first);
	exit_port_destroy(NULL);
	fake_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_of_a_write),
		cmocka_unit_test(port_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
