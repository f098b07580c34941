/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables being composed, for the files of loader/acpi/ alone: a buffer of the window's size,
 * and a cursor. A cursor that has run off the window only counts on, and what is put there is
 * dropped.
 */
#ifndef BANTAM_LOADER_ACPI_TABLES_H
#define BANTAM_LOADER_ACPI_TABLES_H

#include "vm/core/base.h"

enum { ACPI_HEADER_LEN = 36 };

struct tables {
	uint8_t *buf;  /* LAYOUT_ACPI_SIZE bytes, zeroed */
	uint64_t used; /* may pass the size: then the tables do not fit */
};

/* Little-endian values at an offset in the window. */
void put8(struct tables *t, uint64_t at, uint8_t value);
void put16(struct tables *t, uint64_t at, uint16_t value);
void put32(struct tables *t, uint64_t at, uint32_t value);
void put64(struct tables *t, uint64_t at, uint64_t value);
void put_bytes(struct tables *t, uint64_t at, const void *src, size_t len);

/* Takes len bytes at the given alignment; returns their offset in the window. */
uint64_t tables_reserve(struct tables *t, uint64_t len, uint64_t align);

/* Makes the bytes of [at, at + len) add up to 0 by the one at sum_at. */
void tables_checksum(struct tables *t, uint64_t at, uint64_t len, uint64_t sum_at);

/*
 * 5.2.6: the header that all tables but RSDP and FACS have, of the one that goes from at to the
 * cursor. Call when it is complete. id has 8 characters.
 */
void tables_finish(
	struct tables *t, uint64_t at, const char *signature, uint8_t revision, const char *id);

/* A table with an object for each processor, by the ids of the MADT; returns its offset. */
uint64_t tables_build_cpus(struct tables *t, unsigned int num_cpus);
/* One with the slots of PCI whose functions come and go, a bit each. */
uint64_t tables_build_hotplug(struct tables *t, uint32_t slots);

#endif
