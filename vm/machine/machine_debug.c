/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/machine/machine_debug.h"

#include "machine_private.h"
#include "vcpu/debug.h"
#include "vcpu/page_walk.h"
#include "vm/core/bus.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define CR0_PG (UINT64_C(1) << 31)

unsigned int machine_num_vcpus(const struct machine *m)
{
	return m->num_vcpus;
}

struct vcpu *machine_vcpu(const struct machine *m, unsigned int i)
{
	return m->vcpus[i];
}

void machine_hold_vcpu(struct machine *m, unsigned int i, bool held)
{
	m->held[i] = held;
}

static void want_settled(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_want_settled(m->vcpus[i]);
}

/* Those that had no thread get one for a moment. */
static void settle_rest(struct machine *m)
{
	struct error err;

	for (unsigned int i = 0; i < m->num_vcpus; i++)
		if (!vcpu_is_settled(m->vcpus[i]) && vcpu_start(m->vcpus[i], &err) < 0)
			log_msg(m->env.log, LOG_WARN, "registers may be old: %s", err.text);
	machine_stop(m);
}

void machine_stop_settled(struct machine *m)
{
	want_settled(m);
	machine_stop(m);
	settle_rest(m);
}

bool machine_is_booting(const struct machine *m)
{
	struct paging_registers regs;

	return vcpu_get_paging(m->vcpus[0], &regs) &&
	       (!(regs.cr0 & CR0_PG) || regs.cr3 == m->loaded.entry.cr3);
}

bool machine_kernel(const struct machine *m, struct machine_kernel *ret)
{
	const struct loader_result *loaded = &m->loaded;

	if (m->env.config->flat)
		return false;
	*ret = (struct machine_kernel){.gpa = loaded->kernel_gpa,
		.size = loaded->kernel_size,
		.virtual = loaded->kernel_virtual,
		.slide = loaded->kernel_slide,
		.format = kernel_format_name(loaded->format)};
	return true;
}

struct each {
	void (*fn)(void *opaque, bool port, const struct bus_region *region);
	void *opaque;
	bool port;
};

static void each_region(void *opaque, const struct bus_region *region)
{
	const struct each *each = opaque;

	each->fn(each->opaque, each->port, region);
}

void machine_for_each_region(struct machine *m,
	void (*fn)(void *opaque, bool port, const struct bus_region *region), void *opaque)
{
	struct each each = {.fn = fn, .opaque = opaque, .port = true};

	bus_for_each(m->pio, each_region, &each);
	each.port = false;
	bus_for_each(m->mmio, each_region, &each);
}
