/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/acpi_pm.h"
#include "fakes/port_ops.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum { PRESENCE = 0x8123a55a };

enum { STS = LAYOUT_PM1_EVT, EN = STS + 2, CNT = LAYOUT_PM1_CNT };

#define R(size_, port_, value_, irq_, why_)                                                        \
	{                                                                                          \
		.op = OP_READ, .port = (port_), .size = (size_), .value = (value_), .irq = (irq_), \
		.why = (why_)                                                                      \
	}
#define W(size_, port_, value_, irq_, why_)                                                        \
	{                                                                                          \
		.op = OP_WRITE, .port = (port_), .size = (size_), .value = (value_),               \
		.irq = (irq_), .why = (why_)                                                       \
	}

static struct fake_machine machine;
static struct acpi_pm *pm;

static int set_up(void **state)
{
	struct acpi_pm_config config = {.presence = PRESENCE, .clock = &machine.clock.clock};

	(void)state;
	fake_machine_create(&machine);
	config.pio = machine.pio;
	config.sci = fake_machine_irq(&machine, LAYOUT_IRQ_SCI);
	config.power = fake_machine_power(&machine);
	return acpi_pm_create(&config, &pm);
}

static int tear_down(void **state)
{
	(void)state;
	acpi_pm_destroy(pm);
	fake_machine_destroy(&machine);
	return 0;
}

static void test_registers(void **state)
{
	static const struct port_op ops[] = {
		R(4, STS, 0, IRQ_LOW, "nothing at reset"),
		R(2, CNT, 1, IRQ_LOW, "SCI_EN from the start"),
		W(2, CNT, 0, IRQ_LOW, "and for ever"),
		R(2, CNT, 1, IRQ_LOW, NULL),
		W(2, CNT, 0xdfff, IRQ_LOW, "all but SLP_EN"),
		R(2, CNT, 0x1c03, IRQ_LOW, "SLP_TYP, BM_RLD, SCI_EN"),
		W(2, CNT, 0, IRQ_LOW, NULL),
		W(2, EN, 0xffff, IRQ_LOW, "enables exist for what has a status"),
		R(2, EN, 0x4721, IRQ_LOW, NULL),
		R(4, STS, 0x47210000, IRQ_LOW, "both in one access"),
		W(1, EN + 1, 0, IRQ_LOW, "bytes on their own"),
		R(2, EN, 0x0021, IRQ_LOW, NULL),
		W(2, STS, 0xffff, IRQ_LOW, "status bits are not set by a write"),
		R(2, STS, 0, IRQ_LOW, NULL),
		R(4, LAYOUT_PM_PRESENCE, PRESENCE, IRQ_LOW, NULL),
		W(4, LAYOUT_PM_PRESENCE, 0, IRQ_LOW, "read-only"),
		R(4, LAYOUT_PM_PRESENCE, PRESENCE, IRQ_LOW, NULL),
		R(2, LAYOUT_PM_PRESENCE + 1, 0x23a5, IRQ_LOW, "unaligned"),
		R(1, LAYOUT_PM_RESET, 0, IRQ_LOW, "write-only"),
		R(4, LAYOUT_PM_BASE + 0x14, 0, IRQ_LOW, "reserved"),
		W(8, LAYOUT_PM_BASE + 0x18, UINT64_MAX, IRQ_LOW, NULL),
		R(8, LAYOUT_PM_BASE + 0x18, 0, IRQ_LOW, NULL),
	};

	(void)state;
	PORT_OPS_RUN(&machine, LAYOUT_IRQ_SCI, ops);
	assert_int_equal(machine.power.count[POWER_OFF], 0);
	assert_int_equal(machine.power.count[POWER_RESET], 0);
}

static void test_power_button(void **state)
{
	static const struct port_op enabled_later[] = {
		R(2, STS, 0x0100, IRQ_LOW, "pressed, not enabled"),
		W(2, EN, 0x0100, IRQ_HIGH, "enabled"),
		W(2, STS, 0x0021, IRQ_HIGH, "other bits do not clear it"),
		W(1, STS, 0xff, IRQ_HIGH, "nor does the other byte"),
		W(2, STS, 0x0000, IRQ_HIGH, NULL),
		W(2, EN, 0x0020, IRQ_LOW, "the wire follows the enable bit"),
		W(2, EN, 0x0120, IRQ_HIGH, NULL),
		W(4, STS, 0x01200100, IRQ_LOW, "clears, enables stay"),
		R(4, STS, 0x01200000, IRQ_LOW, NULL),
	};
	static const struct port_op at_once[] = {
		R(4, STS, 0x01200100, IRQ_HIGH, "pressed while enabled"),
		W(1, STS + 1, 0x01, IRQ_LOW, "a byte clears it"),
	};

	(void)state;
	acpi_pm_power_button(pm);
	PORT_OPS_RUN(&machine, LAYOUT_IRQ_SCI, enabled_later);
	acpi_pm_power_button(pm);
	acpi_pm_power_button(pm);
	assert_int_equal(machine.lines[LAYOUT_IRQ_SCI].raised, 3);
	PORT_OPS_RUN(&machine, LAYOUT_IRQ_SCI, at_once);
}

static void test_rtc_alarm(void **state)
{
	static const struct port_op ops[] = {
		R(2, STS, 0x0400, IRQ_LOW, "not enabled"),
		W(2, EN, 0x0400, IRQ_HIGH, "enabled: wakes"),
		W(2, STS, 0x0400, IRQ_LOW, NULL),
	};

	(void)state;
	acpi_pm_rtc_alarm(pm);
	PORT_OPS_RUN(&machine, LAYOUT_IRQ_SCI, ops);
}

/* 3579545 ticks a second, of which the counter has 32 bits; its highest one turns in 599.93 s. */
static void test_timer(void **state)
{
	static const struct port_op ops[] = {
		R(4, LAYOUT_PM_TIMER, 0, IRQ_LOW, "from the start"),
		{.op = OP_ADVANCE, .value = NSEC_PER_SEC},
		R(4, LAYOUT_PM_TIMER, 3579545, IRQ_LOW, NULL),
		W(4, LAYOUT_PM_TIMER, 7, IRQ_LOW, "read-only"),
		R(4, LAYOUT_PM_TIMER, 3579545, IRQ_LOW, NULL),
		R(1, LAYOUT_PM_TIMER + 2, 3579545 >> 16, IRQ_LOW, "by bytes"),
		{.op = OP_ADVANCE, .value = 598 * NSEC_PER_SEC},
		R(2, STS, 0, IRQ_LOW, NULL),
		{.op = OP_ADVANCE, .value = NSEC_PER_SEC},
		R(4, LAYOUT_PM_TIMER, 0x8003b698, IRQ_LOW, "600 s"),
		R(2, STS, 1, IRQ_LOW, "TMR_STS, not enabled"),
		W(2, STS, 1, IRQ_LOW, NULL),
		R(2, STS, 0, IRQ_LOW, "once for each turn"),
		W(2, EN, 1, IRQ_LOW, "enabled: an interrupt, without a look"),
		{.op = OP_ADVANCE, .value = 599 * NSEC_PER_SEC, .irq = IRQ_LOW},
		{.op = OP_ADVANCE, .value = NSEC_PER_SEC, .irq = IRQ_HIGH},
		R(4, LAYOUT_PM_TIMER, 0x00076d30, IRQ_HIGH, "1200 s: it has wrapped"),
		W(2, STS, 1, IRQ_LOW, NULL),
		W(2, EN, 0, IRQ_LOW, NULL),
	};

	(void)state;
	PORT_OPS_RUN(&machine, LAYOUT_IRQ_SCI, ops);
	assert_int_equal(fake_clock_armed(&machine.clock), 0);
}

static void test_sleep(void **state)
{
	static const struct {
		uint16_t port;
		unsigned int size;
		uint64_t value;
		bool off;
	} table[] = {
		{CNT, 2, LAYOUT_PM_SLP_TYP_S5 << 10 | 1 << 13, true},
		{CNT, 4, LAYOUT_PM_SLP_TYP_S5 << 10 | 1 << 13, true},
		{CNT + 1, 1, LAYOUT_PM_SLP_TYP_S5 << 2 | 1 << 5, true},
		{STS, 8, (uint64_t)(LAYOUT_PM_SLP_TYP_S5 << 10 | 1 << 13) << 32, true},
		{CNT, 2, LAYOUT_PM_SLP_TYP_S5 << 10, false}, /* no SLP_EN */
		{CNT, 1, 1 << 5, false},
		{CNT, 2, 1 << 13, false}, /* S0's type */
		{CNT, 2, 7 << 10 | 1 << 13, false},
		{CNT, 2, 4 << 10 | 1 << 13, false},
	};
	unsigned int expected = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		bus_write(machine.pio, table[i].port, table[i].size, table[i].value);
		expected += table[i].off;
		assert_int_equal(machine.power.count[POWER_OFF], expected);
		assert_int_equal(bus_read(machine.pio, CNT, 2) & 1 << 13, 0);
	}
	assert_int_equal(machine.power.count[POWER_RESET], 0);
}

static void test_reset(void **state)
{
	(void)state;
	for (unsigned int value = 0; value < 256; value++)
		bus_write(machine.pio, LAYOUT_PM_RESET, 1, value);
	assert_int_equal(machine.power.count[POWER_RESET], 1);
	bus_write(machine.pio, LAYOUT_PM_RESET - 1, 1, 1);
	bus_write(machine.pio, LAYOUT_PM_RESET + 1, 1, 1);
	assert_int_equal(machine.power.count[POWER_RESET], 1);
	assert_int_equal(machine.power.count[POWER_OFF], 0);
}

/* Every offset, every size, past both ends too. */
static void test_bounds(void **state)
{
	(void)state;
	for (uint16_t port = LAYOUT_PM_BASE - 8; port < LAYOUT_PM_BASE + LAYOUT_PM_SIZE + 8;
		port++) {
		for (unsigned int size = 1; size <= 8; size *= 2) {
			bus_read(machine.pio, port, size);
			bus_write(machine.pio, port, size, UINT64_MAX);
			bus_write(machine.pio, port, size, 0);
		}
	}
	assert_int_equal(bus_read(machine.pio, LAYOUT_PM_PRESENCE, 4), PRESENCE);
}

static void test_create_refused(void **state)
{
	struct acpi_pm_config config = {.pio = machine.pio};
	struct acpi_pm *other = (void *)&config;

	(void)state;
	assert_int_equal(acpi_pm_create(&config, &other), -EEXIST);
	assert_ptr_equal(other, &config);
	acpi_pm_destroy(NULL);
	acpi_pm_destroy(pm);
	assert_int_equal(bus_read(machine.pio, CNT, 2), 0xffff);
	assert_int_equal(acpi_pm_create(&config, &pm), 0);
	/* Neither wire nor sink connected */
	acpi_pm_power_button(pm);
	bus_write(machine.pio, LAYOUT_PM_RESET, 1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_power_button, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rtc_alarm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_timer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sleep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_create_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
