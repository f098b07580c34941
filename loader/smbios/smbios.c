/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structures stand behind each other, each with a formatted part of bytes at fixed offsets and the
 * strings that these name by number behind it (DSP0134 3.4, 6.1). They are composed in place, one
 * byte after the other; a cursor that has run off the window only counts on, and the result is
 * -ENOSPC. Section numbers below are the specification's.
 */
#include "loader/smbios/smbios.h"

#include <errno.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum {
	ENTRY_LEN = 24,
	STRUCTURES = 32, /* where the first one is in the window */

	/* A handle is the structure's type and, of several, its number. */
	HANDLE_SHIFT = 8,
	HANDLE_NONE = 0xfffe,	 /* no error information */
	HANDLE_UNKNOWN = 0xffff, /* no cache information */

	BIOS_PCI = 1 << 7,
	BIOS_EXT_ACPI = 1 << 0,	   /* byte 1 */
	BIOS_EXT_VIRTUAL = 1 << 4, /* byte 2 */
	WAKEUP_POWER_SWITCH = 6,
	BOARD_HOSTING = 1 << 0,
	BOARD_MOTHERBOARD = 0x0a,
	CHASSIS_OTHER = 1,
	STATE_SAFE = 3,
	SECURITY_NONE = 3,
	CPU_CENTRAL = 3,
	CPU_ENABLED = 0x41, /* and there */
	CPU_64_BIT = 1 << 2,
	CPU_MULTI_CORE = 1 << 3,
	ARRAY_ON_BOARD = 3,
	ARRAY_SYSTEM = 3,
	OTHER = 1,
	UNKNOWN = 2,
	ECC_NONE = 3,
	FORM_DIMM = 9,
	MEMORY_RAM = 7,
	TECHNOLOGY_DRAM = 3,
	EXTENDED_16 = 0x7fff,
};

#define EXTENDED_32 UINT32_C(0x80000000)

struct smbios {
	uint8_t *buf;	/* LAYOUT_SMBIOS_SIZE bytes, zeroed */
	uint64_t used;	/* may pass the size */
	uint64_t start; /* of the structure being written */
	const char *strings[8];
	unsigned int num_strings;
};

static void put(struct smbios *s, uint64_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++, s->used++)
		if (s->used < LAYOUT_SMBIOS_SIZE)
			s->buf[s->used] = (uint8_t)(value >> (8 * i));
}

static void put_string(struct smbios *s, const char *text)
{
	do
		put(s, (uint8_t)*text, 1);
	while (*text++);
}

static void begin(struct smbios *s, uint8_t type, unsigned int number)
{
	s->start = s->used;
	s->num_strings = 0;
	put(s, type, 1);
	put(s, 0, 1);
	put(s, (unsigned int)type << HANDLE_SHIFT | number, 2);
}

static unsigned int handle_of(uint8_t type)
{
	return (unsigned int)type << HANDLE_SHIFT;
}

/* A byte that names a string, which follows when the formatted part ends. */
static void name(struct smbios *s, const char *text)
{
	s->strings[s->num_strings++] = text;
	put(s, s->num_strings, 1);
}

/* The end of the formatted part: now the length is known. */
static void close_formatted(struct smbios *s)
{
	if (s->used <= LAYOUT_SMBIOS_SIZE)
		s->buf[s->start + 1] = (uint8_t)(s->used - s->start);
}

static void end(struct smbios *s)
{
	close_formatted(s);
	for (unsigned int i = 0; i < s->num_strings; i++)
		put_string(s, s->strings[i]);
	put(s, 0, s->num_strings ? 1 : 2);
}

/* ---- 7.1 to 7.5: the machine ---- */

static void put_bios(struct smbios *s, const struct smbios_config *config)
{
	begin(s, 0, 0);
	name(s, "Bantam");
	name(s, config->version);
	put(s, LAYOUT_ACPI_BASE >> 4, 2);
	name(s, "11/01/2026");
	put(s, 1, 1); /* (n + 1) * 64 KiB */
	put(s, BIOS_PCI, 8);
	put(s, BIOS_EXT_ACPI, 1);
	put(s, BIOS_EXT_VIRTUAL, 1);
	put(s, 0xffff, 2); /* release: the version is a string */
	put(s, 0xffff, 2); /* no embedded controller */
	put(s, 0, 2);
	end(s);
}

/* RFC 4122's first three fields are little-endian here (7.2.1). */
static void put_uuid(struct smbios *s, const uint8_t uuid[SMBIOS_UUID])
{
	static const uint8_t order[SMBIOS_UUID] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (unsigned int i = 0; i < SMBIOS_UUID; i++)
		put(s, uuid[order[i]], 1);
}

static void put_system(struct smbios *s, const struct smbios_config *config)
{
	begin(s, 1, 0);
	name(s, "Bantam");
	name(s, "Virtual Machine");
	name(s, config->version);
	name(s, config->serial);
	put_uuid(s, config->uuid);
	put(s, WAKEUP_POWER_SWITCH, 1);
	name(s, "bantam");	    /* SKU number */
	name(s, "Virtual Machine"); /* family */
	end(s);
}

static void put_board(struct smbios *s, const struct smbios_config *config)
{
	begin(s, 2, 0);
	name(s, "Bantam");
	name(s, "Virtual Machine");
	name(s, config->version);
	name(s, config->serial);
	put(s, 0, 1); /* no asset tag */
	put(s, BOARD_HOSTING, 1);
	name(s, "Board"); /* its place in the chassis */
	put(s, handle_of(3), 2);
	put(s, BOARD_MOTHERBOARD, 1);
	put(s, 0, 1); /* contained objects */
	end(s);
}

static void put_chassis(struct smbios *s, const struct smbios_config *config)
{
	begin(s, 3, 0);
	name(s, "Bantam");
	put(s, CHASSIS_OTHER, 1);
	name(s, config->version);
	name(s, config->serial);
	put(s, 0, 1);	       /* no asset tag */
	put(s, STATE_SAFE, 1); /* boot-up, */
	put(s, STATE_SAFE, 1); /* power supply, */
	put(s, STATE_SAFE, 1); /* thermal */
	put(s, SECURITY_NONE, 1);
	put(s, 0, 4);
	put(s, 0, 1);	   /* height, */
	put(s, 1, 1);	   /* power cords */
	put(s, 0, 2);	   /* contained elements: none, of no length */
	name(s, "bantam"); /* SKU number */
	end(s);
}

/* One package with as many cores, as CPUID says too. */
static void put_processor(struct smbios *s, const struct smbios_config *config)
{
	const unsigned int cores = config->num_cpus;

	begin(s, 4, 0);
	name(s, "CPU 0");
	put(s, CPU_CENTRAL, 1);
	put(s, OTHER, 1); /* family */
	name(s, "Virtual");
	put(s, config->cpuid_eax, 4);
	put(s, config->cpuid_edx, 4);
	name(s, "Virtual CPU");
	put(s, 0, 1); /* voltage, */
	put(s, 0, 2); /* external clock, */
	put(s, 0, 2); /* maximum and */
	put(s, 0, 2); /* current speed: unknown */
	put(s, CPU_ENABLED, 1);
	put(s, OTHER, 1); /* upgrade */
	put(s, HANDLE_UNKNOWN, 2);
	put(s, HANDLE_UNKNOWN, 2);
	put(s, HANDLE_UNKNOWN, 2);
	name(s, config->serial);
	put(s, 0, 1); /* no asset tag, */
	put(s, 0, 1); /* no part number */
	put(s, MIN(cores, 255u), 1);
	put(s, MIN(cores, 255u), 1);
	put(s, MIN(cores, 255u), 1);
	put(s, CPU_64_BIT | (cores > 1 ? CPU_MULTI_CORE : 0), 2);
	put(s, OTHER, 2); /* family, again */
	put(s, cores, 2);
	put(s, cores, 2);
	put(s, cores, 2);
	end(s);
}

/* ---- 7.12: strings, as many as there are ---- */

static void put_oem(struct smbios *s, const struct smbios_config *config)
{
	if (!config->num_oem)
		return;
	begin(s, 11, 0);
	put(s, config->num_oem, 1);
	close_formatted(s);
	for (unsigned int i = 0; i < config->num_oem; i++)
		put_string(s, config->oem[i]);
	put(s, 0, 1);
}

/* ---- 7.17, 7.18, 7.20: memory, one module that is mapped at one or more places ---- */

static uint64_t memory_size(const struct guest_mem *mem)
{
	const struct guest_mem_region *regions;
	uint64_t size = 0;
	size_t count;

	regions = guest_mem_regions(mem, &count);
	for (size_t i = 0; i < count; i++)
		size += regions[i].size;
	return size;
}

static void put_array(struct smbios *s, uint64_t size)
{
	const uint64_t kib = size / KiB;

	begin(s, 16, 0);
	put(s, ARRAY_ON_BOARD, 1);
	put(s, ARRAY_SYSTEM, 1);
	put(s, ECC_NONE, 1);
	put(s, kib < EXTENDED_32 ? kib : EXTENDED_32, 4);
	put(s, HANDLE_NONE, 2);
	put(s, 1, 2); /* modules */
	put(s, kib < EXTENDED_32 ? 0 : size, 8);
	end(s);
}

static void put_module(struct smbios *s, uint64_t size)
{
	const uint64_t mib = size / MiB;

	begin(s, 17, 0);
	put(s, handle_of(16), 2);
	put(s, HANDLE_NONE, 2);
	put(s, 64, 2); /* total and */
	put(s, 64, 2); /* data width */
	put(s, MIN(mib, (uint64_t)EXTENDED_16), 2);
	put(s, FORM_DIMM, 1);
	put(s, 0, 1); /* of no set */
	name(s, "DIMM 0");
	name(s, "Bank 0");
	put(s, MEMORY_RAM, 1);
	put(s, 1 << UNKNOWN, 2); /* detail */
	put(s, 0, 2);		 /* speed: unknown */
	name(s, "Bantam");
	put(s, 0, 1); /* no serial number, */
	put(s, 0, 1); /* no asset tag, */
	put(s, 0, 1); /* no part number */
	put(s, 0, 1); /* rank: unknown */
	put(s, mib < EXTENDED_16 ? 0 : mib, 4);
	put(s, 0, 2); /* configured speed and */
	put(s, 0, 6); /* voltages: unknown */
	put(s, TECHNOLOGY_DRAM, 1);
	put(s, 1 << 3, 2); /* mode: volatile */
	put(s, 0, 1);	   /* no firmware version */
	put(s, 0, 8);	   /* makers' numbers: unknown */
	put(s, 0, 8);	   /* nothing that is not volatile */
	put(s, size, 8);
	put(s, 0, 8); /* no cache, */
	put(s, 0, 8); /* nothing logical */
	put(s, 0, 8); /* extended speeds */
	end(s);
}

/* The hole below 1 MiB is not left out: it is RAM, and the module has no holes. */
static void put_mappings(struct smbios *s, const struct guest_mem *mem)
{
	const struct guest_mem_region *regions;
	size_t count;

	regions = guest_mem_regions(mem, &count);
	for (size_t i = 0; i < count; i++) {
		const uint64_t first = regions[i].gpa, last = first + regions[i].size - 1;
		const bool wide = last / KiB >= UINT32_MAX;

		begin(s, 19, (unsigned int)i);
		put(s, wide ? UINT32_MAX : first / KiB, 4);
		put(s, wide ? UINT32_MAX : last / KiB, 4);
		put(s, handle_of(16), 2);
		put(s, 1, 1); /* modules side by side */
		put(s, wide ? first : 0, 8);
		put(s, wide ? last : 0, 8);
		end(s);
	}
}

/* ---- all of it ---- */

static void put_structures(
	struct smbios *s, const struct guest_mem *mem, const struct smbios_config *config)
{
	put_bios(s, config);
	put_system(s, config);
	put_board(s, config);
	put_chassis(s, config);
	put_processor(s, config);
	put_oem(s, config);
	put_array(s, memory_size(mem));
	put_module(s, memory_size(mem));
	put_mappings(s, mem);
	begin(s, 32, 0); /* 7.33: no errors at boot */
	put(s, 0, 7);
	end(s);
	begin(s, 127, 0); /* 7.45: the end */
	end(s);
}

/* 5.2.2, the 64-bit entry point */
static void put_entry(struct smbios *s, uint64_t len)
{
	uint8_t sum = 0;

	s->used = 0;
	put(s, 0x5f334d535f, 5); /* _SM3_ */
	put(s, 0, 1);
	put(s, ENTRY_LEN, 1);
	put(s, 3, 1); /* version 3.4.0, */
	put(s, 4, 1);
	put(s, 0, 1);
	put(s, 1, 1); /* by the entry point's revision 1 */
	put(s, 0, 1);
	put(s, len, 4);
	put(s, LAYOUT_SMBIOS_BASE + STRUCTURES, 8);
	for (unsigned int i = 0; i < ENTRY_LEN; i++)
		sum = (uint8_t)(sum + s->buf[i]);
	s->buf[5] = (uint8_t)-sum;
}

int smbios_build(const struct guest_mem *mem, const struct smbios_config *config, struct error *err)
{
	struct smbios s = {
		.buf = guest_mem_ptr(mem, LAYOUT_SMBIOS_BASE, LAYOUT_SMBIOS_SIZE),
		.used = STRUCTURES,
	};

	if (!s.buf)
		return error_set(
			err, -EFAULT, "SMBIOS: no guest memory at 0x%x", LAYOUT_SMBIOS_BASE);
	put_structures(&s, mem, config);
	if (s.used > LAYOUT_SMBIOS_SIZE)
		return error_set(err, -ENOSPC,
			"--smbios: the strings need more than the %u bytes available for them",
			LAYOUT_SMBIOS_SIZE - STRUCTURES);
	put_entry(&s, s.used - STRUCTURES);
	return 0;
}
