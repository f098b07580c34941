/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Construction order: memory map, KVM's VM and all memory slots (a slot that comes after the
 * irqchip waits for an RCU grace period), irqchip, CPUID (which says how wide an address is),
 * devices, guest image, vCPUs. Destruction is the reverse, and takes a machine that is built by
 * half.
 */
#include "machine_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/acpi_pm.h"
#include "devices/char/chardev.h"
#include "devices/exit_port.h"
#include "devices/i8042.h"
#include "devices/pci/pci.h"
#include "devices/port92.h"
#include "devices/pvpanic.h"
#include "devices/serial/uart.h"
#include "devices/time/pit.h"
#include "devices/time/rtc.h"
#include "vcpu/coalesced.h"
#include "vcpu/cpuid/cpuid.h"
#include "vm/core/bus.h"
#include "vm/core/counter.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/irq_or.h"
#include "vm/core/layout.h"
#include "vm/kvm/kvm.h"
#include "vm/machine/ram.h"

/* Linux writes its reboot mode here (BIOS data area): 0x1234 for a warm reboot. */
#define BDA_RESET_FLAG 0x472
#define BDA_WARM_RESET 0x1234

static const struct {
	const char *name;
	uint16_t port;
	uint32_t presence;
} serial_ports[] = {
	{"com1", LAYOUT_COM1_PORT, LAYOUT_PRESENT_COM1},
	{"com2", LAYOUT_COM2_PORT, LAYOUT_PRESENT_COM2},
	{"com3", LAYOUT_COM3_PORT, LAYOUT_PRESENT_COM3},
	{"com4", LAYOUT_COM4_PORT, LAYOUT_PRESENT_COM4},
};

static_assert(ARRAY_SIZE(serial_ports) == CONFIG_MAX_SERIAL, "one row per port");

struct irq_line machine_wire(struct machine *m, unsigned int gsi)
{
	const struct irq_line nothing = {0};

	return m->kvm ? kvm_vm_irq_line(m->kvm, gsi) : nothing;
}

/* ---- memory and KVM ---- */

static int build_memory(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;
	/* Inside the sandbox there is no core file, and nothing is forked. */
	const int advice = config->sandbox < SANDBOX_LOG ? MADV_NORMAL : MADV_DONTDUMP;
	int rc = guest_mem_create(&m->mem);

	if (rc < 0)
		return error_set_errno(err, rc, "guest memory");
	return ram_create(config->memory, config->hugepages, advice, m->mem, &m->ram, err);
}

static int build_kvm(struct machine *m, struct error *err)
{
	const struct guest_mem_region *regions;
	size_t count;
	int rc;

	if (!m->env.kvm)
		return 0;
	rc = kvm_vm_create(m->env.kvm, &m->kvm, err);
	regions = guest_mem_regions(m->mem, &count);
	for (size_t i = 0; !rc && i < count; i++)
		rc = kvm_vm_add_memory(
			m->kvm, regions[i].gpa, regions[i].size, regions[i].hva, err);
	return rc < 0 ? rc : kvm_vm_create_irqchip(m->kvm, err);
}

/* Memory that the guest's page tables cannot name would look like plain memory and be none. */
static int check_address_width(const struct machine *m, struct error *err)
{
	unsigned int bits = cpuid_phys_bits(m->cpuid);
	const struct guest_mem_region *regions;
	size_t count;

	regions = guest_mem_regions(m->mem, &count);
	if ((regions[count - 1].gpa + regions[count - 1].size - 1) >> bits)
		return error_set(err, -EINVAL,
			"%llu MiB of memory: this host's processor has %u bits of physical "
			"address, "
			"too few for it",
			(unsigned long long)(m->env.config->memory / MiB), bits);
	return 0;
}

static int build_cpuid(struct machine *m, struct error *err)
{
	const struct cpuid_config cpuid = {
		.num_cpus = m->env.config->cpus,
		.features = m->env.config->cpu_features,
	};
	int rc;

	if (!m->kvm)
		return 0;
	rc = cpuid_template_create(m->env.kvm, &cpuid, &m->cpuid, err);
	return rc < 0 ? rc : check_address_width(m, err);
}

static int build_buses(struct machine *m, struct error *err)
{
	int rc = bus_create(0x10000, &m->pio);

	if (!rc)
		rc = bus_create(0, &m->mmio);
	return rc < 0 ? error_set_errno(err, rc, "buses") : 0;
}

/* ---- devices ---- */

static int build_uarts(struct machine *m)
{
	int rc = 0;

	irq_or_init(&m->com13_irq, machine_wire(m, LAYOUT_IRQ_COM1_3));
	irq_or_init(&m->com24_irq, machine_wire(m, LAYOUT_IRQ_COM2_4));
	for (size_t i = 0; !rc && i < ARRAY_SIZE(serial_ports); i++) {
		const struct uart_config uart = {
			.name = serial_ports[i].name,
			.pio = m->pio,
			.port = serial_ports[i].port,
			.irq = irq_or_input(i % 2 ? &m->com24_irq : &m->com13_irq),
			.chardev = m->env.serial[i],
		};

		if (m->env.config->serial[i].kind != SERIAL_NONE)
			rc = uart_create(&uart, &m->uarts[i]);
	}
	return rc;
}

/* No guest runs before there is an ACPI PM block. */
static void set_alarm(void *opaque, bool level)
{
	struct machine *m = opaque;

	if (level && m->acpi_pm)
		acpi_pm_rtc_alarm(m->acpi_pm);
}

static int build_legacy(struct machine *m)
{
	uint64_t memory = m->env.config->memory;
	const struct pit_config pit = {
		.pio = m->pio, .irq = machine_wire(m, LAYOUT_IRQ_PIT), .clock = m->env.clock};
	const struct rtc_config rtc = {
		.pio = m->pio,
		.irq = machine_wire(m, LAYOUT_IRQ_RTC),
		.alarm = {.set = set_alarm, .opaque = m},
		.clock = m->env.clock,
		.ram_below_4g = MIN(memory, (uint64_t)LAYOUT_LOW_RAM_END),
		.ram_above_4g = memory - MIN(memory, (uint64_t)LAYOUT_LOW_RAM_END),
	};
	const struct i8042_config kbd = {
		.pio = m->pio, .irq = machine_wire(m, LAYOUT_IRQ_KBD), .power = m->env.power};
	const struct port92_config port92 = {.pio = m->pio, .power = m->env.power};
	const struct pvpanic_config pvpanic = {
		.pio = m->pio, .power = m->env.power, .log = m->env.log};
	int rc = pit_create(&pit, &m->pit);

	if (!rc)
		rc = rtc_create(&rtc, &m->rtc);
	if (!rc)
		rc = i8042_create(&kbd, &m->i8042);
	if (!rc)
		rc = port92_create(&port92, &m->port92);
	return rc < 0 ? rc : pvpanic_create(&pvpanic, &m->pvpanic);
}

static int build_acpi_pm(struct machine *m)
{
	struct acpi_pm_config pm = {
		.pio = m->pio,
		.sci = machine_wire(m, LAYOUT_IRQ_SCI),
		.power = m->env.power,
		.clock = m->env.clock,
		.presence = LAYOUT_PRESENT_PVPANIC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(serial_ports); i++)
		if (m->uarts[i])
			pm.presence |= serial_ports[i].presence;
	return acpi_pm_create(&pm, &m->acpi_pm);
}

static int build_pci(struct machine *m)
{
	struct pci_bus_config pci = {
		.pio = m->pio, .mmio = m->mmio, .power = m->env.power, .log = m->env.log};

	pci.narrow = m->cpuid && (LAYOUT_MMIO64_LAST >> cpuid_phys_bits(m->cpuid));
	for (unsigned int i = 0; i < ARRAY_SIZE(pci.intx); i++)
		pci.intx[i] = machine_wire(m, LAYOUT_IRQ_PCI + i);
	return pci_bus_create(&pci, &m->pci);
}

static int build_devices(struct machine *m, struct error *err)
{
	int rc = build_uarts(m);

	if (!rc)
		rc = build_legacy(m);
	if (!rc)
		rc = build_acpi_pm(m);
	if (!rc)
		rc = build_pci(m);
	return rc < 0 ? error_set_errno(err, rc, "devices") : 0;
}

/* Behind all others, so that it is this one that finds its port taken. */
static int build_exit_port(struct machine *m, struct error *err)
{
	const struct exit_port_config config = {.pio = m->pio,
		.port = m->env.config->exit_port,
		.end = m->env.exit_port,
		.opaque = m->env.opaque};
	int rc = config.port ? exit_port_create(&config, &m->exit_port) : 0;

	if (rc == -EEXIST)
		return error_set(err, rc,
			"--exit-port: another device has ports from 0x%x to 0x%x; `bantam run "
			"--dry-run` without it lists them",
			config.port, config.port + LAYOUT_EXIT_PORTS - 1);
	return rc < 0 ? error_set_errno(err, rc, "the exit port") : 0;
}

/* ---- vCPUs ---- */

/*
 * Linux goes on to the data register at once. Another program need not, and touches them rarely.
 * The zone of CONFIG_ADDRESS has the reset register inside it, byte port 0xCF9, whose write would
 * wait for the next exit: from Linux that comes at once, as it resets in two steps and crashes by a
 * triple fault if it goes on; "outb; hlt" of another kernel's would wait for ever.
 */
static int coalesce_index_ports(struct machine *m, struct error *err)
{
	int rc;

	if (m->env.config->flat || !m->loaded.is_linux)
		return 0;
	rc = coalesced_ports_create(m->pio, &m->coalesced);
	if (rc < 0)
		return error_set_errno(err, rc, "coalesced ports");
	kvm_vm_coalesce_port(m->kvm, LAYOUT_RTC_PORT, 1);
	kvm_vm_coalesce_port(m->kvm, LAYOUT_PCI_CFG_PORT, 4);
	return 0;
}

static int build_vcpu(struct machine *m, unsigned int id, struct error *err)
{
	const struct vcpu_config vcpu = {
		.vm = m->kvm,
		.id = id,
		.cpuid = m->cpuid,
		.entry = id ? NULL : &m->loaded.entry,
		.pio = m->pio,
		.mmio = m->mmio,
		.coalesced = m->coalesced,
		.ending = m->env.ending,
		.report = m->env.vcpu_ended,
		.opaque = m->env.opaque,
		.confine = m->env.confine,
		.tasks_fd = m->env.tasks_fd,
	};

	const int rc = vcpu_create(&vcpu, &m->vcpus[id], err);

	if (!rc && !id)
		m->ticks_scale = ticks_scale(vcpu_tsc_khz(m->vcpus[0]));
	return rc;
}

static int build_vcpus(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;
	unsigned int max;
	int rc;

	if (!m->kvm)
		return 0;
	/* One is always possible. */
	max = config->cpus > 1 ? kvm_host_max_vcpus(m->env.kvm) : 1;
	if (config->cpus > max)
		return error_set(err, -EINVAL, "%u vCPUs: this host's KVM has at most %u",
			config->cpus, max);
	m->vcpus = calloc(config->cpus, sizeof(*m->vcpus));
	if (!m->vcpus)
		return error_set_errno(err, -ENOMEM, "vCPUs");
	rc = coalesce_index_ports(m, err);
	for (; !rc && m->num_vcpus < config->cpus; m->num_vcpus += !rc)
		rc = build_vcpu(m, m->num_vcpus, err);
	return rc;
}

typedef int (*build_step)(struct machine *m, struct error *err);

static bool is_refused(build_step step, int rc)
{
	return (step == machine_load_guest && rc != -EIO && rc != -ENOMEM) ||
	       (step == build_exit_port && rc == -EEXIST);
}

int machine_build(
	const struct machine_env *env, struct machine **ret, bool *refused, struct error *err)
{
	static const build_step steps[] = {build_memory, build_kvm, build_cpuid, build_buses,
		build_devices, build_exit_port, machine_build_virtio, machine_build_hotplug,
		machine_load_guest, build_vcpus};
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return error_set_errno(err, -ENOMEM, "the machine");
	m->env = *env;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int rc = steps[i](m, err);

		if (rc < 0) {
			*refused = is_refused(steps[i], rc);
			machine_destroy(m);
			return rc;
		}
	}
	*ret = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	machine_stop(m);
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_destroy(m->vcpus[i]);
	free(m->vcpus);
	coalesced_ports_destroy(m->coalesced);
	cpuid_template_destroy(m->cpuid);
	machine_destroy_virtio(m);
	machine_destroy_hotplug(m);
	exit_port_destroy(m->exit_port);
	pci_bus_destroy(m->pci);
	pvpanic_destroy(m->pvpanic);
	port92_destroy(m->port92);
	i8042_destroy(m->i8042);
	rtc_destroy(m->rtc); /* its alarm goes to the next one */
	acpi_pm_destroy(m->acpi_pm);
	pit_destroy(m->pit);
	for (size_t i = 0; i < ARRAY_SIZE(m->uarts); i++)
		uart_destroy(m->uarts[i]);
	irq_or_fini(&m->com13_irq);
	irq_or_fini(&m->com24_irq);
	bus_destroy(m->mmio);
	bus_destroy(m->pio);
	kvm_vm_destroy(m->kvm);
	ram_destroy(m->ram);
	guest_mem_destroy(m->mem);
	free(m->stopped);
	free(m->dtb);
	free(m->cmdline);
	free(m);
}

int machine_start(struct machine *m, struct error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < m->num_vcpus; i++)
		if (!m->held[i])
			rc = vcpu_start(m->vcpus[i], err);
	return rc;
}

void machine_stop(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_kick(m->vcpus[i]);
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_join(m->vcpus[i]);
}

bool machine_stop_within(struct machine *m, uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_kick(m->vcpus[i]);
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		if (!vcpu_join_until(m->vcpus[i], &until))
			return false;
	return true;
}

void machine_tell_paused(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_tell_paused(m->vcpus[i]);
}

void machine_power_button(struct machine *m)
{
	acpi_pm_power_button(m->acpi_pm);
}

void machine_check_halted(struct machine *m)
{
	if (m->num_vcpus)
		vcpu_check_halted(m->vcpus[0]);
}

bool machine_is_halted(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		if (!vcpu_sleeps_for_ever(m->vcpus[i]))
			return false;
	return true;
}

bool machine_reached_user_space(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		if (vcpu_has_user_pages(m->vcpus[i], m->mem))
			return true;
	return false;
}

bool machine_has_panic_mark(const struct machine *m)
{
	uint16_t flag = 0;

	return m->loaded.format != KERNEL_MULTIBOOT &&
	       guest_mem_read(m->mem, BDA_RESET_FLAG, &flag, sizeof(flag)) == 0 &&
	       flag == BDA_WARM_RESET;
}

size_t machine_describe_vcpu(struct machine *m, unsigned int vcpu, char *buf, size_t size)
{
	return vcpu_describe(m->vcpus[vcpu], m->mem, buf, size);
}
