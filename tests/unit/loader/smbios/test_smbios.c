/* SPDX-License-Identifier: BSD-2-Clause */
/* SMBIOS as a guest walks it: DSP0134 3.4; the table that dmidecode would print. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "loader/smbios/smbios.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static const uint8_t some_uuid[SMBIOS_UUID] = {
	0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255};

static struct smbios_config some_config(void)
{
	struct smbios_config config = {.version = "1.2", .serial = "S-1", .num_cpus = 3};

	memcpy(config.uuid, some_uuid, sizeof(some_uuid));
	return config;
}

static uint64_t get(const uint8_t *p, unsigned int size)
{
	uint64_t value = 0;

	while (size--)
		value = value << 8 | p[size];
	return value;
}

/* What a guest finds between 0xF0000 and 1 MiB, and checks; the structures. */
static const uint8_t *find(const struct fake_ram *ram, uint32_t *len)
{
	for (uint64_t gpa = 0xf0000; gpa < 0x100000; gpa += 16) {
		const uint8_t *p = fake_ram_at(ram, gpa, 24);
		uint8_t sum = 0;

		if (memcmp(p, "_SM3_", 5))
			continue;
		assert_int_equal(p[6], 24);
		for (unsigned int i = 0; i < 24; i++)
			sum = (uint8_t)(sum + p[i]);
		assert_int_equal(sum, 0);
		assert_int_equal(get(p + 7, 3), 0x000403);
		*len = (uint32_t)get(p + 12, 4);
		return fake_ram_at(ram, get(p + 16, 8), *len);
	}
	fail_msg("no entry point");
	return NULL;
}

static const uint8_t *next_structure(const uint8_t *p)
{
	for (p += p[1]; p[0] || p[1]; p++)
		continue;
	return p + 2;
}

/* Number n of that type; NULL for none. Every structure lies inside, and the last one is the end.
 */
static const uint8_t *structure(const struct fake_ram *ram, uint8_t type, unsigned int n)
{
	const uint8_t *found = NULL, *last = NULL, *p, *end;
	uint32_t len;

	p = find(ram, &len);
	for (end = p + len; p < end; p = next_structure(p)) {
		assert_true(p[1] >= 4);
		if (p[0] == type && !n--)
			found = p;
		last = p;
	}
	assert_ptr_equal(p, end);
	assert_int_equal(last[0], 127);
	return found;
}

static const char *string(const uint8_t *p, unsigned int off)
{
	const char *text = (const char *)p + p[1];

	assert_true(off < p[1]);
	assert_true(p[off] > 0);
	for (unsigned int i = 1; i < p[off]; i++)
		text += strlen(text) + 1;
	return text;
}

static void machine(void **state)
{
	static const uint8_t uuid[] = {
		51, 34, 17, 0, 85, 68, 119, 102, 136, 153, 170, 187, 204, 221, 238, 255};
	struct smbios_config config = some_config();
	const uint8_t *p;
	struct fake_ram ram;
	struct error err;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	config.cpuid_eax = 0x12345678;
	assert_int_equal(smbios_build(ram.mem, &config, &err), 0);
	p = structure(&ram, 0, 0);
	assert_int_equal(p[1], 0x1a);
	assert_string_equal(string(p, 5), "1.2");
	assert_int_equal(p[0x13] & 0x10, 0x10); /* a virtual machine */
	p = structure(&ram, 1, 0);
	assert_int_equal(p[1], 0x1b);
	assert_string_equal(string(p, 4), "Bantam");
	assert_string_equal(string(p, 7), "S-1");
	assert_memory_equal(p + 8, uuid, 16);
	p = structure(&ram, 2, 0);
	assert_int_equal(p[1], 0x0f);
	assert_int_equal(get(p + 0x0b, 2), get(structure(&ram, 3, 0) + 2, 2));
	/* Not specified, rather than a text that means as much */
	assert_int_equal(p[8], 0);
	assert_int_equal(structure(&ram, 3, 0)[8], 0);
	p = structure(&ram, 3, 0);
	assert_int_equal(p[1], 0x16);
	assert_string_equal(string(p, 7), "S-1");
	p = structure(&ram, 4, 0);
	assert_int_equal(p[1], 0x30);
	assert_int_equal(get(p + 8, 4), 0x12345678);
	assert_int_equal(p[0x23], 3);
	assert_int_equal(get(p + 0x2a, 2), 3);
	assert_int_equal(structure(&ram, 32, 0)[1], 11);
	assert_null(structure(&ram, 11, 0));
	assert_null(structure(&ram, 1, 1));
	fake_ram_destroy(&ram);
}

static void memory(void **state)
{
	static const struct {
		uint64_t low, high;
		unsigned int size, extended;
	} table[] = {
		{64 * MiB, 0, 64, 0},
		{3 * GiB, 5 * GiB, 8 * 1024, 0},
		{3 * GiB, 61 * GiB, 0x7fff, 64 * 1024},
	};
	const struct smbios_config config = some_config();
	const uint8_t *p;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t *low = calloc(1, MiB);
		struct guest_mem *mem;
		struct fake_ram ram = {0};

		assert_int_equal(guest_mem_create(&mem), 0);
		/* Only the first MiB is looked at. */
		assert_int_equal(guest_mem_add(mem, 0, table[i].low, low), 0);
		if (table[i].high)
			assert_int_equal(
				guest_mem_add(mem, LAYOUT_HIGH_RAM_START, table[i].high, low), 0);
		ram.mem = mem;
		assert_int_equal(smbios_build(mem, &config, &err), 0);
		p = structure(&ram, 16, 0);
		assert_int_equal(p[1], 0x17);
		assert_int_equal(get(p + 7, 4), (table[i].low + table[i].high) / KiB);
		p = structure(&ram, 17, 0);
		assert_int_equal(p[1], 0x5c);
		assert_int_equal(get(p + 0x0c, 2), table[i].size);
		assert_int_equal(get(p + 0x1c, 4), table[i].extended);
		assert_int_equal(get(p + 0x3c, 8), table[i].low + table[i].high);
		p = structure(&ram, 19, 0);
		assert_int_equal(p[1], 0x1f);
		assert_int_equal(get(p + 8, 4), table[i].low / KiB - 1);
		p = structure(&ram, 19, 1);
		assert_int_equal(!!p, !!table[i].high);
		if (p)
			assert_int_equal(get(p + 4, 4), 4 * MiB);
		guest_mem_destroy(mem);
		free(low);
	}
}

static void texts(void **state)
{
	const char *oem[SMBIOS_MAX_OEM];
	struct smbios_config config = some_config();
	char *large = calloc(1, 60000);
	const uint8_t *p;
	struct fake_ram ram;
	struct error err = {""};

	(void)state;
	memset(large, 'x', 59999);
	fake_ram_create(&ram, 64 * MiB);
	for (unsigned int i = 0; i < SMBIOS_MAX_OEM; i++)
		oem[i] = i % 2 ? "a=b,c" : "io.systemd.credential:name=value";
	config.oem = oem;
	config.num_oem = SMBIOS_MAX_OEM;
	assert_int_equal(smbios_build(ram.mem, &config, &err), 0);
	p = structure(&ram, 11, 0);
	assert_int_equal(p[1], 5);
	assert_int_equal(p[4], SMBIOS_MAX_OEM);
	assert_string_equal((const char *)p + 5, oem[0]);
	assert_string_equal((const char *)p + 5 + strlen(oem[0]) + 1, oem[1]);
	fake_ram_destroy(&ram);

	/* As much as there is room for, and too much */
	oem[0] = large;
	config.num_oem = 1;
	fake_ram_create(&ram, 64 * MiB);
	assert_int_equal(smbios_build(ram.mem, &config, &err), 0);
	assert_string_equal((const char *)structure(&ram, 11, 0) + 5, large);
	fake_ram_destroy(&ram);
	oem[1] = large;
	config.num_oem = 2;
	fake_ram_create(&ram, 64 * MiB);
	assert_int_equal(smbios_build(ram.mem, &config, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "--smbios"));
	fake_ram_destroy(&ram);
	free(large);
}

static void without_memory(void **state)
{
	const struct smbios_config config = some_config();
	struct guest_mem *none;
	struct error err = {""};

	(void)state;
	assert_int_equal(guest_mem_create(&none), 0);
	assert_int_equal(smbios_build(none, &config, &err), -EFAULT);
	assert_true(err.text[0]);
	guest_mem_destroy(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine),
		cmocka_unit_test(memory),
		cmocka_unit_test(texts),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
