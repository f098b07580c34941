/* SPDX-License-Identifier: BSD-2-Clause */
#include "acpi_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

void acpi_fixture_build(
	struct fake_ram *ram, const struct acpi_config *config, struct acpi_walk *walk)
{
	uint64_t rsdp = 0;

	assert_int_equal(guest_mem_zero(ram->mem, LAYOUT_ACPI_BASE, LAYOUT_ACPI_SIZE), 0);
	assert_int_equal(acpi_build(ram->mem, config, &rsdp, NULL), 0);
	if (!acpi_walk(ram->mem, walk))
		fail_msg("%u CPUs: %s", config->num_cpus, walk->error);
	assert_int_equal(rsdp, LAYOUT_ACPI_BASE);
	assert_int_equal(walk->table[0].gpa, rsdp);
}
