/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the ACPI tables of a machine to files, one each, for iasl:
 *
 *	dump_acpi DIRECTORY [CPUS [VIRTIO-MMIO-DEVICES]]
 *
 * Linked with tests/unit/loader/acpi/acpi_walk.o and the rooms it uses.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/loader/acpi/acpi_walk.h"
#include "loader/acpi/acpi.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static bool write_table(const char *dir, const struct acpi_table *table)
{
	char path[4096];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, table->signature);
	f = fopen(path, "wb");
	if (!f)
		return false;
	ok = fwrite(table->data, 1, table->len, f) == table->len;
	if (fclose(f))
		ok = false;
	if (ok)
		printf("%s\t%u bytes at %#jx\n", path, table->len, (uintmax_t)table->gpa);
	return ok;
}

int main(int argc, char **argv)
{
	struct acpi_config config = {.num_cpus = 1};
	struct guest_mem *mem;
	struct acpi_walk walk;
	struct error err;
	uint64_t rsdp;
	void *ram = calloc(1, MiB);

	if (argc >= 3)
		config.num_cpus = (unsigned int)strtoul(argv[2], NULL, 0);
	if (argc == 4)
		config.virtio_mmio = (unsigned int)strtoul(argv[3], NULL, 0);
	if (argc < 2 || argc > 4 || config.virtio_mmio > LAYOUT_VIRTIO_MMIO_MAX) {
		fprintf(stderr, "usage: dump_acpi DIRECTORY [CPUS [VIRTIO-MMIO-DEVICES]]\n");
		return 2;
	}
	if (!ram || guest_mem_create(&mem) || guest_mem_add(mem, 0, MiB, ram))
		abort();
	if (acpi_build(mem, &config, &rsdp, &err)) {
		fprintf(stderr, "dump_acpi: %s\n", err.text);
		return 1;
	}
	if (!acpi_walk(mem, &walk)) {
		fprintf(stderr, "dump_acpi: %s\n", walk.error);
		return 1;
	}
	for (size_t i = 0; i < walk.count; i++) {
		if (!write_table(argv[1], &walk.table[i])) {
			perror(argv[1]);
			return 1;
		}
	}
	guest_mem_destroy(mem);
	free(ram);
	return 0;
}
