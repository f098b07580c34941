/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables as an operating system finds them, field by field. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "acpi_fixture.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { MAX_LAPIC_CPUS = 255 };

static void build(struct fake_ram *ram, unsigned int cpus, struct acpi_walk *walk)
{
	const struct acpi_config config = {.num_cpus = cpus};

	acpi_fixture_build(ram, &config, walk);
}

static uint64_t field(const struct acpi_walk *walk, const char *table, uint32_t off, unsigned size)
{
	const struct acpi_table *t = acpi_find(walk, table);

	assert_non_null(t);
	assert_true(range_ok(off, size, t->len));
	return acpi_get(t->data + off, size);
}

static void test_all_tables(void **state)
{
	static const char *const names[] = {
		"RSDP", "XSDT", "FACP", "FACS", "DSDT", "APIC", "MCFG", "CPUS"};
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	for (unsigned int cpus = 1; cpus <= 1024; cpus++) {
		build(&ram, cpus, &walk);
		assert_int_equal(walk.count, ARRAY_SIZE(names));
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			assert_non_null(acpi_find(&walk, names[i]));
	}
	fake_ram_destroy(&ram);
}

/* Offsets and meanings: ACPI 6.4, table 5.9 */
static void test_fadt(void **state)
{
	static const struct {
		uint32_t off;
		unsigned int size;
		uint64_t value;
		const char *name;
	} fields[] = {
		{8, 1, 6, "revision"},
		{45, 1, 0, "preferred profile"},
		{46, 2, 9, "SCI_INT"},
		{48, 4, 0, "SMI_CMD"},
		{52, 2, 0, "ACPI_ENABLE, ACPI_DISABLE"},
		{56, 4, 0x600, "PM1a_EVT_BLK"},
		{60, 4, 0, "PM1b_EVT_BLK"},
		{64, 4, 0x604, "PM1a_CNT_BLK"},
		{68, 4, 0, "PM1b_CNT_BLK"},
		{72, 4, 0, "PM2_CNT_BLK"},
		{76, 4, 0x610, "PM_TMR_BLK"},
		{80, 4, 0, "GPE0_BLK"},
		{84, 4, 0, "GPE1_BLK"},
		{88, 1, 4, "PM1_EVT_LEN"},
		{89, 1, 2, "PM1_CNT_LEN"},
		{90, 4, 0x0400, "PM2_CNT, PM_TMR, GPE0, GPE1 lengths"},
		{96, 2, 0xffff, "P_LVL2_LAT"},
		{98, 2, 0xffff, "P_LVL3_LAT"},
		{106, 2, 0, "alarms beyond a day"},
		{108, 1, 0x32, "CENTURY"},
		{109, 2, 0x5, "IAPC_BOOT_ARCH"},
		{112, 4, 1 | 1 << 2 | 1 << 5 | 1 << 8 | 1 << 10, "flags"},
		{116, 4, 0x01000801, "RESET_REG: port, 8 bits, byte access"},
		{120, 8, 0x608, "RESET_REG address"},
		{128, 1, 1, "RESET_VALUE"},
		{131, 1, 4, "minor version"},
		{132, 8, 0, "X_FIRMWARE_CTRL beside FIRMWARE_CTRL"},
		{148, 4, 0x02002001, "X_PM1a_EVT_BLK: port, 32 bits, word access"},
		{152, 8, 0x600, "X_PM1a_EVT_BLK address"},
		{160, 8, 0, "X_PM1b_EVT_BLK"},
		{172, 4, 0x02001001, "X_PM1a_CNT_BLK: port, 16 bits, word access"},
		{176, 8, 0x604, "X_PM1a_CNT_BLK address"},
		{208, 4, 0x03002001, "X_PM_TMR_BLK: port, 32 bits, double word access"},
		{212, 8, 0x610, "X_PM_TMR_BLK address"},
		{220, 8, 0, "X_GPE0_BLK"},
		{268, 8, 0, "hypervisor"},
	};
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, &walk);
	assert_int_equal(acpi_find(&walk, "FACP")->len, 276);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (field(&walk, "FACP", fields[i].off, fields[i].size) != fields[i].value)
			fail_msg("FADT %s is %#jx", fields[i].name,
				(uintmax_t)field(&walk, "FACP", fields[i].off, fields[i].size));
	fake_ram_destroy(&ram);
}

struct madt {
	unsigned int lapics, x2apics, ioapics, overrides, nmis, x2nmis;
};

static void count_entry(struct madt *m, const uint8_t *p)
{
	const unsigned int next = m->lapics + m->x2apics;

	switch (p[0]) {
	case 0:
		assert_int_equal(acpi_get(p + 2, 6), next | next << 8 | 1 << 16);
		m->lapics++;
		break;
	case 1:
		assert_int_equal(acpi_get(p + 2, 2), LAYOUT_IOAPIC_ID);
		assert_int_equal(acpi_get(p + 4, 8), LAYOUT_IOAPIC_BASE);
		m->ioapics++;
		break;
	case 2: /* bus 0, source 9 to GSI 9, level, active high */
		assert_int_equal(acpi_get(p + 2, 8), UINT64_C(0x000d000000090900));
		m->overrides++;
		break;
	case 4: /* all CPUs, conforming, LINT1 */
		assert_int_equal(acpi_get(p + 2, 4), 0x010000ff);
		m->nmis++;
		break;
	case 9:
		assert_int_equal(acpi_get(p + 4, 4), next);
		assert_int_equal(acpi_get(p + 8, 4), 1);
		assert_int_equal(acpi_get(p + 12, 4), next);
		m->x2apics++;
		break;
	case 10:
		assert_int_equal(acpi_get(p + 2, 8), UINT64_C(0x0001ffffffff0000));
		m->x2nmis++;
		break;
	default:
		fail_msg("MADT entry of type %u", p[0]);
	}
}

static void test_madt(void **state)
{
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	for (unsigned int cpus = 1; cpus <= 600; cpus++) {
		const struct acpi_table *t;
		struct madt m = {0};
		uint32_t off = 44;

		build(&ram, cpus, &walk);
		t = acpi_find(&walk, "APIC");
		assert_int_equal(field(&walk, "APIC", 36, 4), LAYOUT_LAPIC_BASE);
		assert_int_equal(field(&walk, "APIC", 40, 4), 1);
		for (; off < t->len; off += t->data[off + 1]) {
			assert_true(t->data[off + 1] >= 2);
			assert_true(range_ok(off, t->data[off + 1], t->len));
			count_entry(&m, t->data + off);
		}
		assert_int_equal(m.lapics, MIN(cpus, MAX_LAPIC_CPUS));
		assert_int_equal(m.lapics + m.x2apics, cpus);
		assert_int_equal(m.ioapics, 1);
		assert_int_equal(m.overrides, 1);
		assert_int_equal(m.nmis, 1);
		assert_int_equal(m.x2nmis, cpus > MAX_LAPIC_CPUS);
	}
	fake_ram_destroy(&ram);
}

/* AML as in ACPI 6.4, 20.2: Scope (\\_SB) and in it, for each of the MADT's _UIDs, a Device. */
static void test_processors(void **state)
{
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	for (unsigned int cpus = 1; cpus <= 600; cpus += cpus < 20 ? 1 : 97) {
		const struct acpi_table *t;
		const uint8_t *p;
		uint32_t len;

		build(&ram, cpus, &walk);
		t = acpi_find(&walk, "CPUS");
		p = t->data + 36;
		assert_int_equal(p[0], 0x10);
		assert_int_equal(p[1] >> 6, 3);
		len = (p[1] & 15u) | (uint32_t)acpi_get(p + 2, 3) << 4;
		assert_int_equal(len, t->len - 37);
		assert_memory_equal(p + 5, "\\_SB_", 5);
		p += 10;
		for (unsigned int id = 0; id < cpus; id++, p += 2 + p[2]) {
			char name[5];

			snprintf(name, sizeof(name), "C%03X", id);
			assert_memory_equal(p, "\x5b\x82", 2);
			assert_memory_equal(p + 3, name, 4);
			assert_memory_equal(p + 7,
				"\x08_HID\x0d"
				"ACPI0007\0\x08_UID\x0c",
				21);
			assert_int_equal(acpi_get(p + 28, 4), id);
		}
		assert_ptr_equal(p, t->data + t->len);
	}
	fake_ram_destroy(&ram);
}

static void test_mcfg(void **state)
{
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, &walk);
	assert_int_equal(acpi_find(&walk, "MCFG")->len, 60);
	assert_int_equal(field(&walk, "MCFG", 36, 8), 0);
	assert_int_equal(field(&walk, "MCFG", 44, 8), LAYOUT_ECAM_BASE);
	assert_int_equal(field(&walk, "MCFG", 52, 8), 0); /* segment 0, buses 0..0 */
	fake_ram_destroy(&ram);
}

/* ---- the SSDT; AML as in ACPI 6.4, 20.2, resources as in 6.4.2 and 6.4.3 ---- */

enum {
	SSDT_DEVICE_HEAD = 4, /* DefDevice (5B 82) and a PkgLength of two bytes, then its name */
	RESOURCES_LEN = 3 + 9 + 3 + 6 + 2,
};

static const struct acpi_table *build_ssdt(
	struct fake_ram *ram, unsigned int devices, struct acpi_walk *walk)
{
	const struct acpi_config config = {.num_cpus = 1, .virtio_mmio = devices};
	const struct acpi_table *ssdt;

	acpi_fixture_build(ram, &config, walk);
	ssdt = acpi_find(walk, "SSDT");
	assert_non_null(ssdt);
	return ssdt;
}

/* The only place where these bytes are in [p, p + len), as an offset. */
static size_t offset_of(const uint8_t *p, size_t len, const char *bytes, size_t n)
{
	const uint8_t *at = memmem(p, len, bytes, n);

	assert_non_null(at);
	assert_null(memmem(at + n, len - (size_t)(at + n - p), bytes, n));
	return (size_t)(at - p);
}

/* Name (_CRS, Buffer () {Memory32Fixed, Interrupt, end}) of device n. */
static const uint8_t *find_resources(const struct acpi_table *ssdt, unsigned int n)
{
	const uint8_t *device;
	size_t at, len;
	char name[16];

	snprintf(name, sizeof(name), "VM%02X\010_HID", n);
	at = offset_of(ssdt->data, ssdt->len, name, strlen(name)) - SSDT_DEVICE_HEAD;
	device = ssdt->data + at;
	assert_int_equal(acpi_get(device, 2), 0x825b);
	assert_int_equal(device[2] >> 6, 1);
	len = (size_t)(device[3] << 4 | (device[2] & 0xf));
	assert_true(range_ok(at + 2, len, ssdt->len));
	at = offset_of(device, len, "\x86\x09\0\1", 4);
	assert_int_equal(at + RESOURCES_LEN, len + 2); /* the last thing in the device */
	return device + at;
}

static void test_ssdt_devices(void **state)
{
	const struct acpi_table *ssdt;
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	ssdt = build_ssdt(&ram, LAYOUT_VIRTIO_MMIO_MAX, &walk);
	for (unsigned int n = 0; n < LAYOUT_VIRTIO_MMIO_MAX; n++) {
		const uint8_t *p = find_resources(ssdt, n);

		assert_int_equal(
			acpi_get(p + 4, 4), LAYOUT_VIRTIO_MMIO_BASE + n * LAYOUT_VIRTIO_MMIO_STEP);
		assert_int_equal(acpi_get(p + 8, 4), LAYOUT_VIRTIO_MMIO_STEP);
		/* extended interrupt: consumer, level, active high, shared; one */
		assert_memory_equal(p + 12, "\x89\x06\0\x09\1", 5);
		assert_int_equal(acpi_get(p + 17, 4), LAYOUT_IRQ_PCI + n % LAYOUT_IRQ_PCI_N);
		assert_int_equal(acpi_get(p + 21, 1), 0x79);
	}
	assert_null(memmem(ssdt->data, ssdt->len, "VM28", 4));
	fake_ram_destroy(&ram);
}

/* Beside the number of devices, Name (VCNT, n), it is the same table for all. */
static void test_ssdt_count(void **state)
{
	uint8_t first[LAYOUT_ACPI_SIZE / 8];
	struct acpi_walk walk;
	struct fake_ram ram;
	size_t count;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	for (unsigned int n = 1; n <= LAYOUT_VIRTIO_MMIO_MAX; n++) {
		const struct acpi_table *ssdt = build_ssdt(&ram, n, &walk);

		count = offset_of(ssdt->data, ssdt->len, "\010VCNT\012", 6) + 6;
		assert_int_equal(ssdt->data[count], n);
		assert_true(ssdt->len <= sizeof(first));
		if (n == 1)
			memcpy(first, ssdt->data, ssdt->len);
		first[count] = (uint8_t)n;
		first[9] = ssdt->data[9];
		assert_memory_equal(ssdt->data, first, ssdt->len);
	}
	fake_ram_destroy(&ram);
}

/* ---- the SSDT of hot-plug ---- */

/*
 * A scope for each slot, behind what is the same for all: DefDevice with the slot's name, _ADR and
 * _SUN.
 */
static void check_slot(const struct acpi_table *ssdt, unsigned int slot)
{
	char device[5], bytes[32];
	size_t at;

	snprintf(device, sizeof(device), "S%02X_", slot);
	memcpy(bytes, device, 4);
	memcpy(bytes + 4, "\010_ADR\014\0\0", 8);
	bytes[12] = (char)slot;
	bytes[13] = 0;
	at = offset_of(ssdt->data, ssdt->len, bytes, 14);
	memcpy(bytes, "\010_SUN\012", 6);
	bytes[6] = (char)slot;
	assert_int_equal(offset_of(ssdt->data, ssdt->len, bytes, 7), at + 14);
	assert_memory_equal(ssdt->data + at + 21, "\x14", 1); /* DefMethod */
	assert_non_null(memmem(ssdt->data + at + 21, 16, "_EJ0\1", 5));
}

static void test_ssdt_slots(void **state)
{
	static const uint32_t masks[] = {0x2, 0x80000000, 0x3e, 0xfffffffe, 0x8421080};
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, &walk);
	assert_null(acpi_find(&walk, "SSDT"));
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		const struct acpi_config config = {.num_cpus = 254, .hotplug_slots = masks[i]};
		const struct acpi_table *ssdt;
		unsigned int found = 0;

		acpi_fixture_build(&ram, &config, &walk);
		ssdt = acpi_find(&walk, "SSDT");
		assert_non_null(ssdt);
		offset_of(ssdt->data, ssdt->len, "ACPI0013", 8);
		for (const uint8_t *p = ssdt->data; p < ssdt->data + ssdt->len; p++)
			found += !memcmp(p, "\010_ADR", 5);
		assert_int_equal(found, __builtin_popcount(masks[i]));
		for (unsigned int slot = 0; slot < 32; slot++)
			if (masks[i] >> slot & 1)
				check_slot(ssdt, slot);
	}
	fake_ram_destroy(&ram);
}

static void test_refusals(void **state)
{
	struct acpi_config config = {.num_cpus = 10000};
	uint64_t rsdp = 1234;
	struct fake_ram ram;
	struct guest_mem *none;
	struct error err = {""};

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	assert_int_equal(acpi_build(ram.mem, &config, &rsdp, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "10000 CPUs"));
	config.num_cpus = 1;
	assert_int_equal(guest_mem_create(&none), 0);
	err.text[0] = '\0';
	assert_int_equal(acpi_build(none, &config, &rsdp, &err), -EFAULT);
	assert_true(err.text[0]);
	assert_int_equal(rsdp, 1234);
	guest_mem_destroy(none);
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_tables),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_processors),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_ssdt_devices),
		cmocka_unit_test(test_ssdt_count),
		cmocka_unit_test(test_ssdt_slots),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
