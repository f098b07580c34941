/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables, ACPI 6.4 (section numbers below are its own) and PCI Firmware Specification 3.3.
 *
 *   RSDP -> XSDT -> FADT -> FACS, DSDT
 *                -> MADT
 *                -> MCFG
 *                -> SSDT (processors, cpus.c)
 *                -> SSDT (virtio over MMIO)
 *                -> SSDT (slots of PCI whose functions come and go, hotplug.c)
 *
 * Everything is composed in a host buffer the size of the window, with the addresses it is going
 * to have, and copied to the guest at the end in one piece. Tables are written field by field with
 * put*() (tables.c), little-endian, at the offsets that the specification prints, instead of laying
 * packed structures over the buffer: the offset is then visible next to the value, and nothing
 * depends on padding. A cursor that has run off the window only counts on; the end result is
 * -ENOSPC.
 */
#include "loader/acpi/acpi.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dsdt.h"
#include "ssdt_virtio.h"
#include "tables.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum {
	RSDP_LEN = 36,
	FADT_LEN = 276,
	FACS_LEN = 64,
	TABLE_ALIGN = 16,
	FACS_ALIGN = 64,

	PM1_EVT_LEN = 4,
	PM1_CNT_LEN = 2,
	PM_TMR_LEN = 4,
	CMOS_CENTURY = 0x32,

	APIC_ID_MAX = 254, /* of a local APIC entry; 255 is "all" */
	LINT_NMI = 1,
};

/* FADT feature flags (5.2.9, table 5.10) */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_SLP_BUTTON = 1 << 5,  /* there is no fixed sleep button */
	FADT_TMR_VAL_EXT = 1 << 8, /* the PM timer has 32 bits, not 24 */
	FADT_RESET_REG_SUP = 1 << 10,
};

/*
 * IA-PC boot architecture flags (table 5.11). Not the 8042's: nothing is plugged in there, and a
 * guest that is told of it makes eighty accesses to find that out.
 */
enum {
	BOOT_LEGACY_DEVICES = 1 << 0,
	BOOT_VGA_NOT_PRESENT = 1 << 2,
};

static uint64_t gpa_of(uint64_t at)
{
	return LAYOUT_ACPI_BASE + at;
}

static void finish(struct tables *t, uint64_t at, const char *signature, uint8_t revision)
{
	tables_finish(t, at, signature, revision, "BANTAM\0");
}

/* 5.2.3.2: a generic address structure in port space. access: 1 byte, 2 word, 3 dword. */
static void put_port(struct tables *t, uint64_t at, uint64_t port, uint8_t bits, uint8_t access)
{
	put8(t, at, 1);
	put8(t, at + 1, bits);
	put8(t, at + 2, 0);
	put8(t, at + 3, access);
	put64(t, at + 4, port);
}

/* 5.2.10. It has no checksum. */
static uint64_t build_facs(struct tables *t)
{
	uint64_t at = tables_reserve(t, FACS_LEN, FACS_ALIGN);

	put_bytes(t, at, "FACS", 4);
	put32(t, at + 4, FACS_LEN);
	put8(t, at + 32, 2);
	return at;
}

static uint64_t build_dsdt(struct tables *t)
{
	uint64_t at = tables_reserve(t, sizeof(dsdt_aml_code), TABLE_ALIGN);

	put_bytes(t, at, dsdt_aml_code, sizeof(dsdt_aml_code));
	return at;
}

/* The compiled table, with the number of devices put in the place that it leaves for that. */
static uint64_t build_ssdt(struct tables *t, unsigned int num_devices)
{
	static const char count[] = "VCNT\x0A"; /* and a byte: what iasl makes of a byte constant */
	const uint64_t len = sizeof(ssdt_virtio_aml_code);
	const uint64_t at = tables_reserve(t, len, TABLE_ALIGN);
	const uint8_t *name = memmem(ssdt_virtio_aml_code, len, count, sizeof(count) - 1);

	assert(name && num_devices <= LAYOUT_VIRTIO_MMIO_MAX);
	put_bytes(t, at, ssdt_virtio_aml_code, len);
	put8(t, at + (uint64_t)(name - ssdt_virtio_aml_code) + sizeof(count) - 1,
		(uint8_t)num_devices);
	tables_checksum(t, at, len, at + 9);
	return at;
}

/* The power management part of the FADT: no SMI_CMD (ACPI mode is always on) or GPEs. */
static void put_fadt_pm(struct tables *t, uint64_t at)
{
	put16(t, at + 46, LAYOUT_IRQ_SCI);
	put32(t, at + 56, LAYOUT_PM1_EVT);
	put32(t, at + 64, LAYOUT_PM1_CNT);
	put32(t, at + 76, LAYOUT_PM_TIMER);
	put8(t, at + 88, PM1_EVT_LEN);
	put8(t, at + 89, PM1_CNT_LEN);
	put8(t, at + 91, PM_TMR_LEN);
	put16(t, at + 96, 0xffff); /* P_LVL2_LAT, P_LVL3_LAT: neither C2 nor C3 */
	put16(t, at + 98, 0xffff);
	put8(t, at + 108, CMOS_CENTURY);
	put_port(t, at + 116, LAYOUT_PM_RESET, 8, 1);
	put8(t, at + 128, 1); /* RESET_VALUE */
	put_port(t, at + 148, LAYOUT_PM1_EVT, PM1_EVT_LEN * 8, 2);
	put_port(t, at + 172, LAYOUT_PM1_CNT, PM1_CNT_LEN * 8, 2);
	put_port(t, at + 208, LAYOUT_PM_TIMER, PM_TMR_LEN * 8, 3);
}

/* 5.2.9. X_FIRMWARE_CTRL stays 0, as it must beside a FIRMWARE_CTRL that is set. */
static uint64_t build_fadt(struct tables *t, uint64_t facs, uint64_t dsdt)
{
	uint64_t at = tables_reserve(t, FADT_LEN, TABLE_ALIGN);

	put32(t, at + 36, (uint32_t)gpa_of(facs));
	put32(t, at + 40, (uint32_t)gpa_of(dsdt));
	put_fadt_pm(t, at);
	put16(t, at + 109, BOOT_LEGACY_DEVICES | BOOT_VGA_NOT_PRESENT);
	put32(t, at + 112,
		FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT |
			FADT_RESET_REG_SUP);
	put8(t, at + 131, 4); /* FADT minor version */
	put64(t, at + 140, gpa_of(dsdt));
	finish(t, at, "FACP", 6);
	return at;
}

/* Starts an interrupt controller structure (5.2.12) of this type and length. */
static uint64_t madt_entry(struct tables *t, uint8_t type, uint8_t len)
{
	uint64_t at = tables_reserve(t, len, 1);

	put8(t, at, type);
	put8(t, at + 1, len);
	return at;
}

static void put_madt_cpu(struct tables *t, unsigned int id)
{
	uint64_t at;

	if (id <= APIC_ID_MAX) { /* processor local APIC */
		at = madt_entry(t, 0, 8);
		put8(t, at + 2, (uint8_t)id);
		put8(t, at + 3, (uint8_t)id);
		put32(t, at + 4, 1); /* enabled */
		return;
	}
	at = madt_entry(t, 9, 16); /* processor local x2APIC */
	put32(t, at + 4, id);
	put32(t, at + 8, 1);
	put32(t, at + 12, id);
}

/* LINT1 is the NMI of every CPU, whichever kind of entry describes it. */
static void put_madt_nmi(struct tables *t, bool x2apic)
{
	uint64_t at = madt_entry(t, 4, 6);

	put8(t, at + 2, 0xff);
	put8(t, at + 5, LINT_NMI);
	if (!x2apic)
		return;
	at = madt_entry(t, 10, 12);
	put32(t, at + 4, 0xffffffff);
	put8(t, at + 8, LINT_NMI);
}

/* ISA interrupts are what ISA says, unless an override says: this one is a level, active high. */
static void put_madt_level(struct tables *t, uint8_t irq)
{
	uint64_t at = madt_entry(t, 2, 10);

	put8(t, at + 3, irq);
	put32(t, at + 4, irq);
	put16(t, at + 8, 0xd);
}

static uint64_t build_madt(struct tables *t, const struct acpi_config *config)
{
	static const uint8_t free_irqs[] = {LAYOUT_IRQ_FREE};
	uint64_t start = tables_reserve(t, ACPI_HEADER_LEN + 8, TABLE_ALIGN), at;

	put32(t, start + 36, LAYOUT_LAPIC_BASE);
	put32(t, start + 40, 1); /* PCAT_COMPAT: there are 8259s too */
	for (unsigned int id = 0; id < config->num_cpus; id++)
		put_madt_cpu(t, id);
	at = madt_entry(t, 1, 12); /* I/O APIC */
	put8(t, at + 2, LAYOUT_IOAPIC_ID);
	put32(t, at + 4, LAYOUT_IOAPIC_BASE);
	put_madt_level(t, LAYOUT_IRQ_SCI);
	for (size_t i = 0; config->level_isa && i < ARRAY_SIZE(free_irqs); i++)
		put_madt_level(t, free_irqs[i]);
	put_madt_nmi(t, config->num_cpus > APIC_ID_MAX + 1);
	finish(t, start, "APIC", 5);
	return start;
}

/* PCI Firmware Specification 4.1.2: segment 0, buses 0 to 0 */
static uint64_t build_mcfg(struct tables *t)
{
	uint64_t at = tables_reserve(t, ACPI_HEADER_LEN + 8 + 16, TABLE_ALIGN);

	put64(t, at + 44, LAYOUT_ECAM_BASE);
	finish(t, at, "MCFG", 1);
	return at;
}

static uint64_t build_xsdt(struct tables *t, const uint64_t *entries, size_t count)
{
	uint64_t at = tables_reserve(t, ACPI_HEADER_LEN + count * 8, TABLE_ALIGN);

	for (size_t i = 0; i < count; i++)
		put64(t, at + ACPI_HEADER_LEN + i * 8, gpa_of(entries[i]));
	finish(t, at, "XSDT", 1);
	return at;
}

/* 5.2.5.3. There is no RSDT: whoever reads revision 2 prefers the XSDT. */
static void build_rsdp(struct tables *t, uint64_t at, uint64_t xsdt)
{
	put_bytes(t, at, "RSD PTR ", 8);
	put_bytes(t, at + 9, "BANTAM", 6);
	put8(t, at + 15, 2);
	put32(t, at + 20, RSDP_LEN);
	put64(t, at + 24, gpa_of(xsdt));
	tables_checksum(t, at, 20, at + 8);
	tables_checksum(t, at, RSDP_LEN, at + 32);
}

static void build_all(struct tables *t, const struct acpi_config *config)
{
	uint64_t rsdp = tables_reserve(t, RSDP_LEN, TABLE_ALIGN);
	uint64_t facs = build_facs(t), dsdt = build_dsdt(t);
	uint64_t entries[5];
	size_t n = 0;

	entries[n++] = build_fadt(t, facs, dsdt);
	entries[n++] = build_madt(t, config);
	entries[n++] = build_mcfg(t);
	entries[n++] = tables_build_cpus(t, config->num_cpus);
	if (config->virtio_mmio)
		entries[n++] = build_ssdt(t, config->virtio_mmio);
	if (config->hotplug_slots)
		entries[n++] = tables_build_hotplug(t, config->hotplug_slots);
	build_rsdp(t, rsdp, build_xsdt(t, entries, n));
}

int acpi_build(const struct guest_mem *mem, const struct acpi_config *config, uint64_t *rsdp_gpa,
	struct error *err)
{
	struct tables t = {.buf = guest_mem_ptr(mem, LAYOUT_ACPI_BASE, LAYOUT_ACPI_SIZE)};

	static_assert(LAYOUT_ACPI_BASE % FACS_ALIGN == 0, "offsets are aligned as addresses are");
	if (!t.buf)
		return error_set(
			err, -EFAULT, "ACPI tables: no guest memory at 0x%x", LAYOUT_ACPI_BASE);
	memset(t.buf, 0, LAYOUT_ACPI_SIZE);
	build_all(&t, config);
	if (t.used > LAYOUT_ACPI_SIZE)
		return error_set(err, -ENOSPC, "ACPI tables for %u CPUs do not fit in %u bytes",
			config->num_cpus, LAYOUT_ACPI_SIZE);
	*rsdp_gpa = LAYOUT_ACPI_BASE;
	return 0;
}
