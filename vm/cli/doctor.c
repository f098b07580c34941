/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam doctor`: can this host run guests? Looks at /dev/kvm and its capabilities, then lets a
 * small guest do in long mode at CPL 0 what a kernel does, and takes its time. Flags in
 * /proc/cpuinfo tell neither: some hosts have KVM without vmx or svm, and some of those interpret
 * kernel code too slowly, or not all of it, for Linux to boot.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "loader/boot/gdt.h"
#include "loader/boot/paging.h"
#include "loader/entry.h"
#include "vcpu/cpuid/cpuid.h"
#include "vcpu/vcpu.h"
#include "vm/cli/commands.h"
#include "vm/cli/nested.h"
#include "vm/cli/probe_guest.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/core/bus.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"
#include "vm/help/help.h"
#include "vm/kvm/kvm.h"
#include "vm/machine/ram.h"
#include "vm/options/options.h"
#include "vm/sandbox/sandbox.h"

#define PROBE_RAM   (4 * MiB)
#define PROBE_GPA   (2 * MiB)
#define PROBE_STACK (3 * MiB)
/* A probe that takes longer is stuck; at the lowest usable speed it takes 20 ms. */
enum { PROBE_SECONDS = 5 };
/* Booting Linux takes 500 million instructions and more: below this, minutes. */
enum { USABLE_MIPS = 20 };

struct probe {
	struct guest_mem *mem;
	struct ram *ram;
	struct bus *pio, *mmio;
	struct kvm_vm *vm;
	struct cpuid_template *cpuid;
	struct vcpu *vcpu;
	struct bus_region port;
	_Atomic bool ending;
	uint64_t loop_start_ns, loop_end_ns;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	unsigned int stage; /* reached */
	bool ended;
	enum vcpu_end end;
};

static const char *const stage_names[] = {
	[0] = "entering long mode",
	[PROBE_ENTERED] = "long mode at CPL 0",
	[PROBE_SYSTEM] = "control registers and MSRs",
	[PROBE_LOOP] = "a timed loop",
	[PROBE_CMPXCHG16B] = "cmpxchg16b",
	[PROBE_FPU] = "x87 instructions",
	[PROBE_SSE] = "SSE and fxsave",
	[PROBE_DONE] = "halting",
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t port_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	(void)off;
	return size_mask(size);
}

static void port_write(void *opaque, uint64_t off, unsigned int size, uint64_t stage)
{
	struct probe *p = opaque;

	(void)off;
	(void)size;
	pthread_mutex_lock(&p->lock);
	p->stage = stage < ARRAY_SIZE(stage_names) ? (unsigned int)stage : 0;
	if (stage == PROBE_LOOP)
		p->loop_start_ns = now_ns();
	if (stage == PROBE_LOOP + 1)
		p->loop_end_ns = now_ns();
	pthread_mutex_unlock(&p->lock);
}

static const struct bus_ops port_ops = {.read = port_read, .write = port_write, .max_size = 1};

static void on_end(void *opaque, unsigned int id, enum vcpu_end end)
{
	struct probe *p = opaque;

	(void)id;
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	p->end = end;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static int make_memory(struct probe *p, struct entry_state *entry, struct error *err)
{
	int rc = guest_mem_create(&p->mem);

	if (!rc)
		rc = ram_create(PROBE_RAM, false, MADV_DONTDUMP, p->mem, &p->ram, err);
	if (!rc)
		rc = guest_mem_write(p->mem, PROBE_GPA, probe_guest, probe_guest_size);
	if (!rc)
		rc = paging_build(p->mem, &entry->cr3);
	return rc < 0 ? rc : gdt_build(p->mem, entry);
}

static int make_buses(struct probe *p)
{
	int rc = bus_create(0x10000, &p->pio);

	p->port = (struct bus_region){
		.name = "probe", .base = PROBE_PORT, .size = 1, .ops = &port_ops, .opaque = p};
	if (!rc)
		rc = bus_create(0, &p->mmio);
	return rc < 0 ? rc : bus_add(p->pio, &p->port);
}

/* Without an irqchip, so that the guest's HLT comes back to us. */
static int make_vcpu(
	struct probe *p, struct kvm_host *host, const struct entry_state *entry, struct error *err)
{
	const struct cpuid_config cpuid = {.num_cpus = 1};
	struct vcpu_config vcpu = {
		.entry = entry,
		.pio = p->pio,
		.mmio = p->mmio,
		.ending = &p->ending,
		.report = on_end,
		.opaque = p,
	};
	int rc = kvm_vm_create(host, &p->vm, err);

	if (!rc)
		rc = kvm_vm_add_memory(
			p->vm, 0, PROBE_RAM, guest_mem_ptr(p->mem, 0, PROBE_RAM), err);
	if (!rc)
		rc = cpuid_template_create(host, &cpuid, &p->cpuid, err);
	vcpu.vm = p->vm;
	vcpu.cpuid = p->cpuid;
	return rc < 0 ? rc : vcpu_create(&vcpu, &p->vcpu, err);
}

static void wait_for_end(struct probe *p)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PROBE_SECONDS;
	pthread_mutex_lock(&p->lock);
	while (!p->ended && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
		;
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->ending, true);
	vcpu_kick(p->vcpu);
	vcpu_join(p->vcpu);
}

static int run_probe(struct probe *p, struct kvm_host *host, struct error *err)
{
	struct entry_state entry = {.mode = ENTRY_LONG, .rip = PROBE_GPA, .rsp = PROBE_STACK};
	int rc = make_memory(p, &entry, err);

	if (!rc)
		rc = make_buses(p);
	if (!rc)
		rc = make_vcpu(p, host, &entry, err);
	if (!rc)
		rc = vcpu_signal_setup(err);
	if (!rc)
		rc = vcpu_start(p->vcpu, err);
	if (!rc)
		wait_for_end(p);
	return rc;
}

static void free_probe(struct probe *p)
{
	atomic_store(&p->ending, true);
	vcpu_destroy(p->vcpu);
	cpuid_template_destroy(p->cpuid);
	kvm_vm_destroy(p->vm);
	bus_destroy(p->mmio);
	bus_destroy(p->pio);
	ram_destroy(p->ram);
	guest_mem_destroy(p->mem);
}

static bool judge(struct probe *p, bool verbose)
{
	char text[4096];
	uint64_t ns = p->loop_end_ns - p->loop_start_ns;
	uint64_t mips = UINT64_C(2) * PROBE_LOOPS * 1000 / MAX(ns, UINT64_C(1));

	if (!p->ended || p->end != VCPU_HALTED || p->stage != PROBE_DONE) {
		printf("  no   kernel code: this KVM %s at: %s\n",
			p->ended ? "gave up" : "got stuck", stage_names[p->stage]);
		if (verbose && p->ended) {
			vcpu_describe(p->vcpu, p->mem, text, sizeof(text));
			printf("%s", text);
		}
	} else {
		printf("  ok   kernel code: everything that was tested works\n");
	}
	if (p->stage > PROBE_LOOP) {
		printf("  %s   speed of kernel code: %llu million instructions per second%s\n",
			mips >= USABLE_MIPS ? "ok" : "no", (unsigned long long)mips,
			mips >= USABLE_MIPS ? "" : "; Linux would take minutes to boot");
	}
	return p->ended && p->end == VCPU_HALTED && p->stage == PROBE_DONE && mips >= USABLE_MIPS;
}

static void print_capability(void *opaque, const char *name, int value, bool required)
{
	const bool *verbose = opaque;

	if (value > 0 && !*verbose)
		return;
	printf("  %s   %s%s\n",
		value > 0  ? "ok"
		: required ? "no"
			   : "--",
		name, value > 0 || required ? "" : ": absent, guests run without");
}

static void print_nested(bool opens)
{
	char line[NESTED_LINE];
	struct nested nested;

	nested_look(&nested, "/sys");
	nested_describe(&nested, opens, line);
	printf("%s\n", line);
}

/* The kernel's words for it are few. */
static const char *sandbox_hint(const struct sandbox_result results[], enum sandbox_layer layer)
{
	if (layer == SANDBOX_NAMESPACES)
		return "; denied in chroots and many containers, by user.max_user_namespaces=0 or "
		       "kernel.unprivileged_userns_clone=0";
	if (layer == SANDBOX_ROOT && results[SANDBOX_NAMESPACES].there)
		return "; may be kernel.apparmor_restrict_unprivileged_userns=1";
	return "";
}

static void print_sandbox(void)
{
	struct sandbox_result results[NUM_SANDBOX_LAYERS];
	int rc = sandbox_probe(results);

	if (rc < 0) {
		printf("  no   sandbox: %s\n", strerror(-rc));
		return;
	}
	for (enum sandbox_layer i = 0; i < NUM_SANDBOX_LAYERS; i++) {
		const struct sandbox_result *result = &results[i];
		const char *why = result->there ? result->text : strerror(-result->error);

		printf("  %s   sandbox: %s%s%s%s\n", result->there ? "ok" : "--",
			sandbox_layer_name(i), *why ? ": " : "", why,
			result->there ? "" : sandbox_hint(results, i));
	}
}

static int examine(const struct config *config)
{
	struct probe probe = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	struct error err = {""};
	struct kvm_host *host;
	bool verbose = config->verbose, good;
	int rc;

	printf("bantam doctor: can this host run guests?\n");
	rc = kvm_host_open(config->kvm_device, &host, &err);
	if (rc < 0) {
		printf("  no   %s\n", err.text);
		/* Where it is there for others, nobody has to allow it. */
		print_nested(rc == -EACCES || rc == -EPERM);
		print_sandbox();
		printf("This host cannot run guests.\n");
		return EXIT_HOST;
	}
	printf("  ok   %s opens, API version 12, up to %u vCPUs\n", config->kvm_device,
		kvm_host_max_vcpus(host));
	kvm_host_capabilities(host, print_capability, &verbose);
	print_nested(true);
	print_sandbox();
	if (run_probe(&probe, host, &err) < 0) {
		printf("  no   a probe guest: %s\n", err.text);
		good = false;
	} else {
		good = judge(&probe, verbose);
	}
	free_probe(&probe);
	kvm_host_close(host);
	printf(good ? "This host can boot Linux guests.\n"
		    : "This host cannot boot Linux guests: its KVM does not run kernel code as "
		      "hardware does.\n");
	return good ? EXIT_POWEROFF : EXIT_HOST;
}

int command_doctor(int argc, char **argv)
{
	struct error err = {""};
	struct config config;
	int code, rc;

	config_init(&config);
	rc = config_parse_verb(&config, VERB_DOCTOR, argc, argv, &err);
	if (rc == 1)
		code = help_print(stdout, argv[0]) < 0 ? EXIT_HOST : EXIT_POWEROFF;
	else if (rc == 0)
		code = examine(&config);
	else
		code = EXIT_USAGE;
	if (rc < 0)
		fprintf(stderr, "bantam: %s\n", err.text);
	config_destroy(&config);
	return code;
}
