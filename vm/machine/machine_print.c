/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine for a person: what --dry-run prints. */
#include "machine_private.h"

#include "virtio/transport.h"
#include "virtio/transport/pci.h"
#include "vm/core/bus.h"
#include "vm/core/guest_mem.h"
#include "vm/machine/nets.h"

static void print_region(void *opaque, const struct bus_region *region)
{
	fprintf(opaque, "    0x%04llx-0x%04llx  %s\n", (unsigned long long)region->base,
		(unsigned long long)(region->base + region->size - 1), region->name);
}

static void print_guest(const struct machine *m, FILE *out)
{
	static const char *const modes[] = {
		[ENTRY_REAL] = "real", [ENTRY_PROTECTED] = "protected", [ENTRY_LONG] = "long"};
	const struct loader_result *r = &m->loaded;

	if (m->env.config->flat) {
		fprintf(out, "  flat binary   %s\n", m->env.kernel->name);
	} else {
		fprintf(out, "  kernel        %s\n", m->env.kernel->name);
		fprintf(out, "    format      %s\n", kernel_format_name(r->format));
		if (r->version[0])
			fprintf(out, "    version     %s\n", r->version);
		fprintf(out, "    at          0x%llx, %llu bytes\n",
			(unsigned long long)r->kernel_gpa, (unsigned long long)r->kernel_size);
		if (r->initrd_size)
			fprintf(out, "  %s at 0x%llx, %llu bytes\n",
				r->format == KERNEL_MULTIBOOT ? "modules      " : "initrd       ",
				(unsigned long long)r->initrd_gpa,
				(unsigned long long)r->initrd_size);
		fprintf(out, "  command line  %s\n",
			r->format == KERNEL_MULTIBOOT ? m->env.own_cmdline : machine_cmdline(m));
	}
	fprintf(out, "  entry         0x%llx in %s mode\n", (unsigned long long)r->entry.rip,
		modes[r->entry.mode]);
}

static void print_virtio(const struct machine *m, FILE *out)
{
	for (unsigned int i = 0; i < m->num_virtio; i++) {
		const struct machine_virtio *dev = &m->virtio[i];

		fputs("  virtio        ", out);
		if (dev->pci)
			fprintf(out, "pci 00:%02x.0  ", virtio_pci_slot(dev->pci));
		else
			fprintf(out, "mmio  ");
		fprintf(out, "%s, %u queue%s\n", virtio_device_name(dev->vdev),
			virtio_device_num_queues(dev->vdev),
			virtio_device_num_queues(dev->vdev) == 1 ? "" : "s");
	}
}

static void print_nets(const struct machine *m, FILE *out)
{
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++) {
		const uint8_t *mac = nets_mac(m->env.nets, i);

		if (!nets_has(m->env.nets, i))
			continue;
		fprintf(out, "  network       %s, %02x:%02x:%02x:%02x:%02x:%02x\n",
			nets_name(m->env.nets, i), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	}
}

static void print_shares(const struct config *config, FILE *out)
{
	for (unsigned int i = 0; i < config->num_shares; i++)
		fprintf(out, "  share         %s, %s%s\n", config->shares[i].tag,
			config->shares[i].path, config->shares[i].read_only ? ", read-only" : "");
}

void machine_print(const struct machine *m, FILE *out)
{
	const struct config *config = m->env.config;
	const struct guest_mem_region *regions;
	size_t count;

	fprintf(out, "machine%s%s\n", config->name ? " " : "", config->name ? config->name : "");
	fprintf(out, "  vCPUs         %u%s%s\n", config->cpus, config->cpu_features ? ", " : "",
		config->cpu_features ? config->cpu_features : "");
	fprintf(out, "  memory        %llu MiB%s\n", (unsigned long long)(config->memory / MiB),
		config->hugepages ? " of huge pages" : "");
	regions = guest_mem_regions(m->mem, &count);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "    0x%llx-0x%llx\n", (unsigned long long)regions[i].gpa,
			(unsigned long long)(regions[i].gpa + regions[i].size - 1));
	print_guest(m, out);
	print_virtio(m, out);
	print_nets(m, out);
	print_shares(config, out);
	fprintf(out, "  ports\n");
	bus_for_each(m->pio, print_region, out);
	fprintf(out, "  MMIO\n");
	bus_for_each(m->mmio, print_region, out);
}
