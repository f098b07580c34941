/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables as iasl reads them, and as ACPICA's interpreter executes them. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "acpi_fixture.h"
#include "vm/core/layout.h"

static void build(
	struct fake_ram *ram, unsigned int cpus, unsigned int virtio_mmio, struct acpi_walk *walk)
{
	const struct acpi_config config = {.num_cpus = cpus, .virtio_mmio = virtio_mmio};

	acpi_fixture_build(ram, &config, walk);
}

/* As a machine over PCI has them: slots 1, 2 and 31 */
static void build_pci(struct fake_ram *ram, struct acpi_walk *walk)
{
	const struct acpi_config config = {.num_cpus = 1, .hotplug_slots = 0x80000006};

	acpi_fixture_build(ram, &config, walk);
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

/* By a table's signature, or the name of its file. */
static bool is_aml(const char *name)
{
	return !strncmp(name, "DSDT", 4) || !strncmp(name, "SSDT", 4) || !strncmp(name, "CPUS", 4);
}

/*
 * iasl takes any table but the RSDP, which has neither a header nor a length up front, and of AML
 * what belongs to one machine per call.
 */
static void save_all(const char *dir, unsigned int n, const struct acpi_walk *walk)
{
	for (size_t i = 1; i < walk->count; i++)
		if (n == 1 || !is_aml(walk->table[i].signature))
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

		if (len < 5 || strcmp(e->d_name + len - 4, ".dat") || is_aml(e->d_name))
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
		build(&ram, cpus, 0, &walk);
		save(dir, "APIC", cpus, acpi_find(&walk, "APIC"));
	}
	build(&ram, 1, LAYOUT_VIRTIO_MMIO_MAX, &walk);
	save_all(dir, 1, &walk);
	build(&ram, 300, 1, &walk);
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
/* A device's status: the value two lines below the path. */
#define STA(device, value)                                                                         \
	{                                                                                          \
		"execute \\_SB." device "._STA",                                                   \
			"Evaluating .*" device "._STA\\n.*\\n.*= 0*" value "\\n"                   \
	}

/*
 * The interpreter that most systems have, in a simulation where ports read as 0, with three virtio
 * devices. What is expected is a Perl expression for the whole log.
 */
struct aml_check {
	const char *command, *expected;
};

static const struct aml_check aml_table[] = {
	{"predefined", "Found .* predefined names"},
	{"integrity", "Verified .* nodes"},
	STA("COM1", "0"), /* by the presence register */
	{"execute \\_SB.C0FD._UID", "Evaluating .*C0FD._UID\\n.*\\n.*= 0*FD\\n"},
	STA("VM00", "F"),
	STA("VM02", "F"),
	STA("VM03", "0"),
	STA("VM27", "0"),
	/* asked for what is there, for more, by another revision, too briefly, by another name */
	{OSC PCI_UUID "1 3 (010000001F0000009D000000)", "01 00 00 00 1F 00 00 00 9D 00 00 00"},
	{OSC PCI_UUID "1 3 (000000001F000000FF010000)", "10 00 00 00 1F 00 00 00 BF 00 00 00"},
	{OSC PCI_UUID "2 3 (000000001F00000001000000)", "08 00 00 00 1F 00 00 00 01 00 00 00"},
	{OSC PCI_UUID "1 2 (000000001F000000)", "02 00 00 00 1F 00 00 00"},
	{OSC "(00000000000000000000000000000000) 1 3 (000000001F00000001000000)",
		"04 00 00 00 1F 00 00 00 01 00 00 00"},
};

/* With slots, of which two are told something, in the only way that the simulation has. */
static const struct aml_check slots_table[] = {
	{"predefined", "Found .* predefined names"},
	{"integrity", "Verified .* nodes"},
	{"execute \\_SB.HPLG._EVT 10", "Evaluating .*HPLG._EVT"},
	{"execute \\_SB.PCI0.S01._EJ0 1", "Evaluating .*S01._EJ0"},
	{"execute \\_SB.PCI0.S1F._EJ0 1", "Evaluating .*S1F._EJ0"},
	{"execute \\_SB.PCI0.S1F._ADR", "_ADR\\n.*\\n.*= 0*1F0000\\n"},
	{"execute \\_SB.PCI0.S02._SUN", "_SUN\\n.*\\n.*= 0*2\\n"},
};

static void run_aml(const struct acpi_walk *walk, const struct aml_check *checks, size_t num)
{
	char dir[] = "/tmp/bantam-acpi-XXXXXX", command[2048];
	int n;

	assert_non_null(mkdtemp(dir));
	save_all(dir, 1, walk);
	n = snprintf(command, sizeof(command), "cd '%s' && acpiexec -b '", dir);
	for (size_t i = 0; i < num; i++)
		n += snprintf(command + n, sizeof(command) - (size_t)n, "%s; ", checks[i].command);
	snprintf(command + n, sizeof(command) - (size_t)n, "' *.dat >log 2>&1");
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command),
		"! grep -E '(ACPI|Firmware) (BIOS )?(Error|Warning)' '%s/log'", dir);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < num; i++) {
		snprintf(command, sizeof(command), "grep -Pzq '%s' '%s/log'", checks[i].expected,
			dir);
		if (system(command))
			fail_msg("%s: no %s", checks[i].command, checks[i].expected);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

static void test_aml(void **state)
{
	struct acpi_walk walk;
	struct fake_ram ram;

	(void)state;
	if (system("command -v acpiexec >/dev/null"))
		skip();
	fake_ram_create(&ram, 16 * MiB);
	build(&ram, 254, 3, &walk);
	run_aml(&walk, aml_table, ARRAY_SIZE(aml_table));
	build_pci(&ram, &walk);
	run_aml(&walk, slots_table, ARRAY_SIZE(slots_table));
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iasl),
		cmocka_unit_test(test_aml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
