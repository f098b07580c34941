/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/port92.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

enum { PORT = 0x92 };

static void reset_and_a20(void **state)
{
	struct fake_machine machine;
	struct port92 *port, *other = NULL;

	(void)state;
	fake_machine_create(&machine);
	struct port92_config config = {.pio = machine.pio, .power = fake_machine_power(&machine)};

	assert_int_equal(port92_create(&config, &port), 0);
	assert_int_equal(port92_create(&config, &other), -EEXIST);
	assert_int_equal(fake_machine_in(&machine, PORT), 2);
	for (unsigned int value = 0; value < 256; value++) {
		unsigned int before = machine.power.count[POWER_RESET];

		fake_machine_out(&machine, PORT, (uint8_t)value);
		assert_int_equal(machine.power.count[POWER_RESET] - before, value & 1);
		/* the gate stays open, and nobody sees the bit that resets */
		assert_int_equal(fake_machine_in(&machine, PORT), (value | 2) & 0xfe);
	}
	assert_int_equal(machine.power.count[POWER_OFF], 0);
	port92_destroy(port);
	port92_destroy(NULL);
	assert_int_equal(fake_machine_in(&machine, PORT), 0xff);
	fake_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reset_and_a20)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
