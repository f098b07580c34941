/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's device tree: for the kernel (--dtb), or for a file (--dump-dtb). Devices that the
 * command line names already (--transport mmio-cmdline) are not in it: they would be there twice.
 */
#include "machine_private.h"

#include "loader/fit/dtb.h"
#include "loader/fit/fdt_file.h"

_Static_assert((int)DTB_MAX_SERIAL == (int)CONFIG_MAX_SERIAL, "each port has its place");

int machine_build_dtb(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;
	struct dtb_config dtb = {
		.mem = m->mem,
		.num_cpus = config->cpus,
		.virtio_mmio = machine_described_mmio(m),
		.cmdline = machine_cmdline(m),
	};

	if (!config->dtb && !config->dump_dtb)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(dtb.serial); i++)
		dtb.serial[i] = m->uarts[i];
	return dtb_build(&dtb, &m->dtb, &m->dtb_size, err);
}

int machine_dump_dtb(const struct machine *m, const char *path, struct error *err)
{
	return fdt_file_write(path, m->dtb, m->dtb_size, err);
}
