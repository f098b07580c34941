/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables as an operating system finds them, field by field, and as iasl reads them. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "acpi_walk.h"
#include "fake_ram.h"
#include "loader/acpi.h"
#include "vm/error.h"
#include "vm/guest_mem.h"
#include "vm/layout.h"

enum { MAX_LAPIC_CPUS = 255 };

static void build(struct fake_ram *ram, unsigned int cpus, bool i8042, struct acpi_walk *walk)
{
	const struct acpi_config config = {.num_cpus = cpus, .i8042 = i8042};
	uint64_t rsdp = 0;

	assert_int_equal(guest_mem_zero(ram->mem, LAYOUT_ACPI_BASE, LAYOUT_ACPI_SIZE), 0);
	assert_int_equal(acpi_build(ram->mem, &config, &rsdp, NULL), 0);
	if (!acpi_walk(ram->mem, walk))
		fail_msg("%u CPUs: %s", cpus, walk->error);
	assert_int_equal(rsdp, LAYOUT_ACPI_BASE);
	assert_int_equal(walk->table[0].gpa, rsdp);
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
	static const char *const names[] = {"RSDP", "XSDT", "FACP", "FACS", "DSDT", "APIC", "MCFG"};
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	for (unsigned int cpus = 1; cpus <= 1024; cpus++) {
		build(&ram, cpus, true, &walk);
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
		{76, 4, 0, "PM_TMR_BLK"},
		{80, 4, 0, "GPE0_BLK"},
		{84, 4, 0, "GPE1_BLK"},
		{88, 1, 4, "PM1_EVT_LEN"},
		{89, 1, 2, "PM1_CNT_LEN"},
		{90, 4, 0, "PM2_CNT, PM_TMR, GPE0, GPE1 lengths"},
		{96, 2, 0xffff, "P_LVL2_LAT"},
		{98, 2, 0xffff, "P_LVL3_LAT"},
		{106, 2, 0, "alarms beyond a day"},
		{108, 1, 0x32, "CENTURY"},
		{109, 2, 0x7, "IAPC_BOOT_ARCH"},
		{112, 4, 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10, "flags"},
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
		{208, 8, 0, "X_PM_TMR_BLK"},
		{220, 8, 0, "X_GPE0_BLK"},
		{268, 8, 0, "hypervisor"},
	};
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, true, &walk);
	assert_int_equal(acpi_find(&walk, "FACP")->len, 276);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (field(&walk, "FACP", fields[i].off, fields[i].size) != fields[i].value)
			fail_msg("FADT %s is %#jx", fields[i].name,
				(uintmax_t)field(&walk, "FACP", fields[i].off, fields[i].size));
	build(&ram, 1, false, &walk);
	assert_int_equal(field(&walk, "FACP", 109, 2), 0x5);
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

		build(&ram, cpus, true, &walk);
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

static void test_mcfg(void **state)
{
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, true, &walk);
	assert_int_equal(acpi_find(&walk, "MCFG")->len, 60);
	assert_int_equal(field(&walk, "MCFG", 36, 8), 0);
	assert_int_equal(field(&walk, "MCFG", 44, 8), LAYOUT_ECAM_BASE);
	assert_int_equal(field(&walk, "MCFG", 52, 8), 0); /* segment 0, buses 0..0 */
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

static bool have_iasl(void)
{
	return system("iasl -v >/dev/null 2>&1") == 0;
}

static void save(const char *dir, const char *name, unsigned int n, const struct acpi_table *t)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%u.dat", dir, name, n);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(t->data, 1, t->len, f), t->len);
	assert_int_equal(fclose(f), 0);
}

/*
 * iasl takes any table but the RSDP, which has neither a header nor a length up front, and one
 * DSDT per call.
 */
static void save_all(const char *dir, unsigned int n, const struct acpi_walk *walk)
{
	for (size_t i = 1; i < walk->count; i++)
		if (n == 1 || strcmp(walk->table[i].signature, "DSDT"))
			save(dir, walk->table[i].signature, n, &walk->table[i]);
}

static size_t read_whole(const char *path, uint8_t *buf, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		fail_msg("%s was not made", path);
	n = fread(buf, 1, room, f);
	fclose(f);
	return n;
}

/*
 * What iasl made of its own disassembly is the table again, but for the checksum and who made it.
 * AML may be encoded differently; only data tables are compared.
 */
static void compare(const char *dir, const char *dat)
{
	uint8_t was[LAYOUT_ACPI_SIZE / 8], is[sizeof(was)];
	char path[600];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", dir, dat);
	len = read_whole(path, was, sizeof(was));
	snprintf(path, sizeof(path), "%s/%.*s.aml", dir, (int)(strlen(dat) - 4), dat);
	assert_int_equal(read_whole(path, is, sizeof(is)), len);
	if (strncmp(dat, "FACS", 4)) {
		was[9] = is[9];
		memcpy(was + 28, is + 28, 8);
	}
	if (memcmp(was, is, len))
		fail_msg("%s changed on its way through iasl", dat);
}

static unsigned int compare_all(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	unsigned int n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 4, ".dat") ||
			!strncmp(e->d_name, "DSDT", 4))
			continue;
		compare(dir, e->d_name);
		n++;
	}
	closedir(d);
	return n;
}

/* Calls iasl in dir; its exit status is 0 and the command finds what it wants in the log. */
static void run(const char *dir, const char *args, const char *check)
{
	char command[1024];

	snprintf(command, sizeof(command),
		"cd '%s' && iasl %s >log 2>&1 && %s >/dev/null || "
		"{ grep -iE 'warn|error' log | head -n 20; exit 1; }",
		dir, args, check);
	if (system(command))
		fail_msg("iasl is not content");
}

static void test_iasl(void **state)
{
	char dir[] = "/tmp/bantam-acpi-XXXXXX", command[64];
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	if (!have_iasl())
		skip();
	assert_non_null(mkdtemp(dir));
	fake_ram_create(&ram, 16 * MiB);
	/* The number of CPUs shows in the MADT alone. */
	for (unsigned int cpus = 2; cpus <= 254; cpus++) {
		build(&ram, cpus, true, &walk);
		save(dir, "APIC", cpus, acpi_find(&walk, "APIC"));
	}
	build(&ram, 1, true, &walk);
	save_all(dir, 1, &walk);
	build(&ram, 300, false, &walk);
	save_all(dir, 300, &walk);
	run(dir, "-d *.dat", "! grep -iE 'warn|error|unknown|invalid|terminate' log");
	run(dir, "-we *.dsl", "grep ' 0 Errors, 0 Warnings, 0 Remarks' log");
	assert_int_equal(compare_all(dir), 253 + 2 * 5);
	fake_ram_destroy(&ram);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

#define OSC	 "execute \\_SB.PCI0._OSC "
#define PCI_UUID "(5B4DDB33F71F1C4096577441C03DD766) "

/* The interpreter that most systems have, in a simulation where ports read as 0. */
static const struct {
	const char *command, *expected;
} aml_table[] = {
	{"predefined", "Found .* predefined names"},
	{"integrity", "Verified .* nodes"},
	{"execute \\_SB.COM1._STA", "Integer. = 0*$"}, /* nothing is present */
	/* asked for what is there, for more, by another revision, too briefly, by another name */
	{OSC PCI_UUID "1 3 (010000001F0000009D000000)", "01 00 00 00 1F 00 00 00 9D 00 00 00"},
	{OSC PCI_UUID "1 3 (000000001F000000FF010000)", "10 00 00 00 1F 00 00 00 BF 00 00 00"},
	{OSC PCI_UUID "2 3 (000000001F00000001000000)", "08 00 00 00 1F 00 00 00 01 00 00 00"},
	{OSC PCI_UUID "1 2 (000000001F000000)", "02 00 00 00 1F 00 00 00"},
	{OSC "(00000000000000000000000000000000) 1 3 (000000001F00000001000000)",
		"04 00 00 00 1F 00 00 00 01 00 00 00"},
};

static void test_aml(void **state)
{
	char dir[] = "/tmp/bantam-acpi-XXXXXX", command[2048];
	struct acpi_walk walk;
	struct fake_ram ram;
	int n;

	(void)state;
	if (system("command -v acpiexec >/dev/null"))
		skip();
	assert_non_null(mkdtemp(dir));
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 1, true, &walk);
	save_all(dir, 1, &walk);
	n = snprintf(command, sizeof(command), "cd '%s' && acpiexec -b '", dir);
	for (size_t i = 0; i < ARRAY_SIZE(aml_table); i++)
		n += snprintf(
			command + n, sizeof(command) - (size_t)n, "%s; ", aml_table[i].command);
	snprintf(command + n, sizeof(command) - (size_t)n, "' *.dat >log 2>&1");
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command),
		"! grep -E '(ACPI|Firmware) (BIOS )?(Error|Warning)' '%s/log'", dir);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_SIZE(aml_table); i++) {
		snprintf(command, sizeof(command), "grep -q '%s' '%s/log'", aml_table[i].expected,
			dir);
		if (system(command))
			fail_msg("%s: no %s", aml_table[i].command, aml_table[i].expected);
	}
	fake_ram_destroy(&ram);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_tables),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_iasl),
		cmocka_unit_test(test_aml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
