/* SPDX-License-Identifier: BSD-2-Clause */
/* What gdb's "monitor" has done: text for a person. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vcpu/debug.h"
#include "vcpu/page_walk.h"
#include "vm/core/bus.h"
#include "vm/core/error.h"
#include "vm/dump/dump.h"
#include "vm/gdb/packet.h"
#include "vm/machine/machine_debug.h"
#include "vm_gdb.h"

#define LLU(x) ((unsigned long long)(x))

/* ---- where the kernel is ---- */

/* One that has unpacked itself tells how far it moved, once it has come so far. */
static bool ask_kernel(struct vm_gdb *gdb, uint64_t *slide)
{
	static const char key[] = "\nKERNELOFFSET=";
	struct vmcoreinfo *info = malloc(sizeof(*info));
	const char *p = NULL;

	if (!info)
		return false;
	vmcoreinfo_find(machine_memory(gdb->vm->machine), true, info);
	if (info->len)
		p = memmem(info->text, info->len, key, sizeof(key) - 1);
	if (p)
		p += sizeof(key) - 1;
	/* There is always a newline or the end of the page behind it. */
	if (p && gdb_take_number(&p, slide) && *p != '\n')
		p = NULL;
	free(info);
	return p;
}

bool vm_gdb_symbols(struct vm_gdb *gdb, bool ask, char *buf, size_t size)
{
	struct machine_kernel kernel;
	uint64_t slide;

	if (!machine_kernel(gdb->vm->machine, &kernel))
		return false;
	slide = kernel.slide;
	if (!kernel.virtual && (!ask || !ask_kernel(gdb, &slide)))
		return false;
	snprintf(buf, size, "symbol-file -o 0x%llx vmlinux", LLU(slide));
	return true;
}

/* ---- commands ---- */

struct monitor {
	struct vm_gdb *gdb;
	unsigned int cpu;
	char *rest; /* of the line */
};

static void info(struct monitor *m)
{
	struct vm_gdb *gdb = m->gdb;
	struct machine_kernel kernel;
	char line[128];

	gdb_say(gdb->stub, "VM %s, boot %u, %u vCPU%s, %llu MiB\n", gdb->vm->registry.name,
		gdb->vm->boots, gdb->vm->config->cpus, gdb->vm->config->cpus == 1 ? "" : "s",
		LLU(gdb->vm->config->memory / MiB));
	if (gdb->vm->paused)
		gdb_say(gdb->stub, "paused: it goes on when it is resumed, too\n");
	if (!machine_kernel(gdb->vm->machine, &kernel)) {
		gdb_say(gdb->stub, "a flat program\n");
		return;
	}
	gdb_say(gdb->stub, "kernel: %s, at physical 0x%llx\n", kernel.format, LLU(kernel.gpa));
	if (kernel.virtual)
		gdb_say(gdb->stub, "kernel: at virtual 0x%llx, moved by 0x%llx\n",
			LLU(kernel.virtual), LLU(kernel.slide));
	if (vm_gdb_symbols(gdb, true, line, sizeof(line)))
		gdb_say(gdb->stub, "its symbols: %s\n", line);
	else
		gdb_say(gdb->stub, "where it has moved itself is not known yet\n");
}

static void exits(struct monitor *m)
{
	struct gdb *stub = m->gdb->stub;
	struct machine *machine = m->gdb->vm->machine;
	char word[32];

	for (unsigned int i = 0; i < machine_num_vcpus(machine); i++) {
		gdb_say(stub, "vCPU %u:", i);
		for (unsigned int reason = 0; reason < VCPU_NUM_EXITS; reason++) {
			const uint64_t n = vcpu_exits(machine_vcpu(machine, i), reason);

			if (n && vcpu_exit_word(reason, word))
				gdb_say(stub, " %s %llu", word, LLU(n));
		}
		gdb_say(stub, "\n");
	}
}

static void reset(struct monitor *m)
{
	struct vm *vm = m->gdb->vm;

	vm->reset_by = "gdb";
	vm_request_end(vm, VM_END_REBOOT);
	gdb_say(m->gdb->stub, "The guest stands at its first instruction; "
			      "`maintenance flush register-cache` has gdb look again.\n");
}

static void regs(struct monitor *m)
{
	char text[4096];

	machine_describe_vcpu(m->gdb->vm->machine, m->cpu, text, sizeof(text));
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		gdb_say(m->gdb->stub, "%s\n", line);
	}
}

/* A number as C has them, alone. */
static bool number(struct monitor *m, uint64_t *ret)
{
	char *end;

	while (*m->rest == ' ')
		m->rest++;
	*ret = strtoull(m->rest, &end, 0);
	while (*end == ' ')
		end++;
	return end != m->rest && !*end;
}

static void translate(struct monitor *m)
{
	static const char *const names[] = {"", "PTE", "PMD", "PUD", "P4D", "PGD"};
	struct gdb *stub = m->gdb->stub;
	struct paging_registers paging;
	struct page_walk walk;
	uint64_t addr;
	bool mapped;

	if (!number(m, &addr) ||
		!vcpu_get_paging(machine_vcpu(m->gdb->vm->machine, m->cpu), &paging)) {
		gdb_say(stub, "translate ADDR: a virtual address, 0x... or decimal\n");
		return;
	}
	mapped = page_walk(machine_memory(m->gdb->vm->machine), &paging, addr, &walk);
	gdb_say(stub, "CR3 0x%llx\n", LLU(paging.cr3));
	for (unsigned int i = 0; i < walk.num_steps; i++)
		gdb_say(stub, "%s at 0x%llx: 0x%llx\n", names[walk.steps[i].level],
			LLU(walk.steps[i].gpa), LLU(walk.steps[i].entry));
	if (mapped)
		gdb_say(stub, "0x%llx is physical 0x%llx, in a page of %llu KiB\n", LLU(addr),
			LLU(walk.gpa), LLU(walk.size / KiB));
	else
		gdb_say(stub, "0x%llx is not mapped\n", LLU(addr));
}

static void say_region(void *opaque, bool port, const struct bus_region *region)
{
	struct gdb *stub = opaque;

	gdb_say(stub, "%s 0x%llx-0x%llx %s\n", port ? "port" : "mmio", LLU(region->base),
		LLU(region->base + region->size - 1), region->name);
}

static void bus(struct monitor *m)
{
	machine_for_each_region(m->gdb->vm->machine, say_region, m->gdb->stub);
}

static void msr(struct monitor *m)
{
	uint64_t index, value;

	if (!number(m, &index) || index > UINT32_MAX)
		gdb_say(m->gdb->stub, "msr INDEX: 0x... or decimal\n");
	else if (vcpu_get_msr(machine_vcpu(m->gdb->vm->machine, m->cpu), (uint32_t)index, &value))
		gdb_say(m->gdb->stub, "MSR 0x%llx is 0x%llx\n", LLU(index), LLU(value));
	else
		gdb_say(m->gdb->stub, "KVM knows no MSR 0x%llx\n", LLU(index));
}

static void physical(struct monitor *m)
{
	while (*m->rest == ' ')
		m->rest++;
	if (!strcmp(m->rest, "on") || !strcmp(m->rest, "off"))
		m->gdb->physical = !strcmp(m->rest, "on");
	else if (*m->rest)
		gdb_say(m->gdb->stub, "physical [on|off]\n");
	gdb_say(m->gdb->stub, "addresses are %s ones\n", m->gdb->physical ? "physical" : "virtual");
}

static void help(struct monitor *m);

static const struct {
	const char *name;
	void (*fn)(struct monitor *m);
	const char *brief;
} commands[] = {
	{"info", info, "the VM, where its kernel is, and the line that loads its symbols"},
	{"exits", exits, "how often each vCPU came out of the guest, and why"},
	{"regs", regs, "the current vCPU's registers, segments and tables"},
	{"msr", msr, "INDEX: a model-specific register of it"},
	{"translate", translate, "ADDR: the walk through its page tables"},
	{"physical", physical, "on|off: whether gdb's addresses are physical ones"},
	{"bus", bus, "who serves which ports and addresses"},
	{"reset", reset, "starts the guest anew; breakpoints stay"},
	{"help", help, "this list"},
};

static void help(struct monitor *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		gdb_say(m->gdb->stub, "monitor %-10s %s\n", commands[i].name, commands[i].brief);
}

void vm_gdb_monitor(void *opaque, unsigned int cpu, char *line)
{
	struct monitor m = {.gdb = opaque, .cpu = cpu};
	const size_t len = strcspn(line, " ");

	m.rest = line + len;
	if (line[len])
		*m.rest++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(line, commands[i].name)) {
			commands[i].fn(&m);
			return;
		}
	help(&m);
}
