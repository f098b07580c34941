/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of a machine, in memory that a test made. */
#ifndef TESTS_ACPI_FIXTURE_H
#define TESTS_ACPI_FIXTURE_H

#include "acpi_walk.h"
#include "fakes/fake_ram.h"
#include "loader/acpi/acpi.h"

/* Clears what was there, builds and finds the tables; fails the test when something is wrong. */
void acpi_fixture_build(
	struct fake_ram *ram, const struct acpi_config *config, struct acpi_walk *walk);

#endif
