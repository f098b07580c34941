/* SPDX-License-Identifier: BSD-2-Clause */
/* What the machine boots: ACPI tables and a kernel, or a flat program, put into its memory. */
#include "machine_private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "devices/pci/pci_hotplug.h"
#include "loader/acpi/acpi.h"
#include "loader/cache/kernel_cache.h"
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

/* For a person who looks for the kernel in memory, or wonders what took so long. */
static void report(struct machine *m)
{
	const struct loader_result *r = &m->loaded;
	struct log *log = m->env.log;

	log_limited(log, &m->limit, LOG_DEBUG, "kernel: %s%s, at 0x%llx",
		kernel_format_name(r->format), r->cached ? ", from the cache" : "",
		(unsigned long long)r->kernel_gpa);
	if (r->kaslr)
		log_limited(log, &m->limit, LOG_DEBUG,
			"kernel: KASLR, its virtual address is 0x%llx",
			(unsigned long long)r->kernel_virtual);
	if (r->not_unpacked.text[0])
		log_limited(log, &m->limit, LOG_DEBUG, "kernel: it unpacks itself: %s",
			r->not_unpacked.text);
}

static int load_linux(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;
	const struct acpi_config acpi = {.num_cpus = config->cpus,
		.level_isa = config->transport == TRANSPORT_MMIO_CMDLINE,
		.virtio_mmio = machine_described_mmio(m),
		.hotplug_slots = m->hotplug ? pci_hotplug_slots(m->hotplug) : 0};
	struct loader_config loader = {
		.kernel = m->env.kernel,
		.initrds = m->env.initrds,
		.num_initrds = m->env.num_initrds,
		.cmdline = machine_cmdline(m),
		.own_cmdline = m->env.own_cmdline,
		.version = config->dry_run,
		.boot = config->boot,
		.keep = m->env.keep,
		.kaslr = config->kaslr,
	};
	char cache_dir[PATH_MAX];
	int rc = acpi_build(m->mem, &acpi, &loader.rsdp_gpa, err);

	if (!rc)
		rc = machine_build_smbios(m, err);
	if (!rc)
		rc = machine_build_dtb(m, err);
	if (rc < 0)
		return rc;
	if (config->dtb) {
		loader.dtb = m->dtb;
		loader.dtb_size = m->dtb_size;
	}
	if (config->kernel_cache && !config->dry_run &&
		!kernel_cache_dir(
			getenv("XDG_CACHE_HOME"), getenv("HOME"), cache_dir, sizeof(cache_dir)))
		loader.cache_dir = cache_dir;
	if (config->kaslr && !m->env.same_kaslr &&
		getrandom(m->env.kaslr_random, sizeof(loader.random), 0) != sizeof(loader.random))
		return error_set_errno(err, -EIO, "random numbers for KASLR");
	memcpy(loader.random, m->env.kaslr_random, sizeof(loader.random));
	rc = loader_load(m->mem, &loader, &m->loaded, err);
	if (!rc)
		report(m);
	return rc;
}

int machine_load_guest(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;

	if (!config->flat)
		return load_linux(m, err);
	return loader_load_flat(
		m->mem, m->env.kernel, config->flat_gpa, config->flat_mode, &m->loaded.entry, err);
}
