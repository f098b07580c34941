/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "devices/pvpanic.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"
#include "vm/core/log.h"

enum { PORT = LAYOUT_PVPANIC_PORT };

static void only_bit_0_is_a_panic(void **state)
{
	struct fake_machine machine;
	struct pvpanic *pvpanic;

	(void)state;
	fake_machine_create(&machine);
	struct pvpanic_config config = {.pio = machine.pio, .power = fake_machine_power(&machine)};

	assert_int_equal(pvpanic_create(&config, &pvpanic), 0);
	for (unsigned int value = 0; value < 256; value++) {
		unsigned int before = machine.power.count[POWER_PANIC];

		assert_int_equal(fake_machine_in(&machine, PORT), 3);
		fake_machine_out(&machine, PORT, (uint8_t)value);
		assert_int_equal(machine.power.count[POWER_PANIC] - before, value & 1);
	}
	assert_int_equal(machine.power.count[POWER_OFF], 0);
	assert_int_equal(machine.power.count[POWER_RESET], 0);
	/* One byte wide: what is beside it is nobody's. */
	assert_int_equal(bus_read(machine.pio, PORT, 4), 0xffffff03);
	bus_write(machine.pio, PORT, 4, 0xffffff02);
	assert_int_equal(machine.power.count[POWER_PANIC], 128);
	pvpanic_destroy(pvpanic);
	assert_int_equal(fake_machine_in(&machine, PORT), 0xff);
	fake_machine_destroy(&machine);
}

struct heard {
	unsigned int count;
	enum log_notice notice;
	char text[32];
};

static void hear(void *opaque, enum log_notice notice, const char *device, const char *text)
{
	struct heard *heard = opaque;

	assert_null(device);
	heard->count++;
	heard->notice = notice;
	snprintf(heard->text, sizeof(heard->text), "%s", text);
}

/* The guest crashed, and its crash kernel takes over: that is told, and ends nothing. */
static void bit_1_alone_is_told(void **state)
{
	struct fake_machine machine;
	struct pvpanic *pvpanic;
	struct heard heard = {0};
	struct log log;

	(void)state;
	fake_machine_create(&machine);
	log_init(&log, -1, LOG_ERROR, NULL);
	log.notice = hear;
	log.notice_opaque = &heard;
	struct pvpanic_config config = {
		.pio = machine.pio, .power = fake_machine_power(&machine), .log = &log};

	assert_int_equal(pvpanic_create(&config, &pvpanic), 0);
	for (unsigned int value = 0; value < 256; value++) {
		const unsigned int before = heard.count;

		fake_machine_out(&machine, PORT, (uint8_t)value);
		assert_int_equal(heard.count - before, (value & 3) == 2);
	}
	assert_int_equal(heard.notice, NOTICE_CRASH_KERNEL);
	assert_string_equal(heard.text, "pvpanic");
	assert_int_equal(machine.power.count[POWER_PANIC], 128);
	pvpanic_destroy(pvpanic);
	fake_machine_destroy(&machine);
}

static void port_taken(void **state)
{
	struct fake_machine machine;
	struct pvpanic *first, *second = NULL;

	(void)state;
	fake_machine_create(&machine);
	struct pvpanic_config config = {.pio = machine.pio};

	assert_int_equal(pvpanic_create(&config, &first), 0);
	assert_true(pvpanic_create(&config, &second) < 0);
	assert_null(second);
	fake_machine_out(&machine, PORT, 1); /* nobody listens */
	pvpanic_destroy(first);
	pvpanic_destroy(NULL);
	fake_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_bit_0_is_a_panic),
		cmocka_unit_test(bit_1_alone_is_told),
		cmocka_unit_test(port_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
