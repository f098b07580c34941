/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds and checks ACPI tables in guest memory as an operating system would. No test framework. */
#ifndef TESTS_ACPI_WALK_H
#define TESTS_ACPI_WALK_H

#include "vm/core/base.h"

struct guest_mem;

enum { ACPI_WALK_MAX = 16 };

struct acpi_table {
	char signature[5]; /* "RSDP" for the RSDP, "CPUS" for the processors' SSDT */
	uint64_t gpa;
	const uint8_t *data; /* in guest memory */
	uint32_t len;
};

struct acpi_walk {
	struct acpi_table table[ACPI_WALK_MAX];
	size_t count;
	char error[160];
};

/*
 * Looks for the RSDP in 0xE0000..0xFFFFF and follows every pointer. False, with a reason, when a
 * checksum is wrong, a table lies outside the ACPI window or over another, or one is there twice.
 */
bool acpi_walk(const struct guest_mem *mem, struct acpi_walk *walk);

const struct acpi_table *acpi_find(const struct acpi_walk *walk, const char *signature);

/* Little-endian fields */
uint64_t acpi_get(const uint8_t *p, unsigned int size);

#endif
