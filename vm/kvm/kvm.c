/* SPDX-License-Identifier: BSD-2-Clause */
/* See Linux' Documentation/virt/kvm/api.rst for every ioctl named here. */
#include "vm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/core/counter.h"
#include "vm/core/error.h"
#include "vm/core/layout.h"
#include "vm/kvm/kvm_routes.h"

struct kvm_host {
	int fd;
	const char *path;
};

struct kvm_wire {
	int vm_fd;
	unsigned int gsi;
};

struct kvm_vm {
	const struct kvm_host *host;
	int fd;
	unsigned int slots;
	struct kvm_wire wires[KVM_IOAPIC_NUM_PINS];
	struct kvm_routes *routes;
};

static const struct capability {
	const char *name;
	unsigned int number;
	bool required;
} capabilities[] = {
	{"KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP, true},
	{"KVM_CAP_USER_MEMORY", KVM_CAP_USER_MEMORY, true},
	{"KVM_CAP_SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR, true},
	{"KVM_CAP_EXT_CPUID", KVM_CAP_EXT_CPUID, true},
	{"KVM_CAP_MP_STATE", KVM_CAP_MP_STATE, true},
	{"KVM_CAP_IRQFD", KVM_CAP_IRQFD, true},
	{"KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD, true},
	{"KVM_CAP_SIGNAL_MSI", KVM_CAP_SIGNAL_MSI, true},
	{"KVM_CAP_TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER, true},
	{"KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, true},
	{"KVM_CAP_GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ, false},
	{"KVM_CAP_IOEVENTFD_ANY_LENGTH", KVM_CAP_IOEVENTFD_ANY_LENGTH, false},
	{"KVM_CAP_X2APIC_API", KVM_CAP_X2APIC_API, false},
	{"KVM_CAP_COALESCED_PIO", KVM_CAP_COALESCED_PIO, false},
};

/* Some hosts, containers above all, give the device to root alone. */
static int denied(const char *path, int rc, struct error *err)
{
	const mode_t group = S_IRGRP | S_IWGRP;
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & group) != group)
		return error_set(err, rc,
			"%s: permission denied; its group has no access either: as root, chgrp kvm "
			"and chmod 660 it",
			path);
	return error_set(err, rc,
		"%s: permission denied; join its group (usermod -aG kvm $USER, then log in again)",
		path);
}

static int open_failed(const char *path, int rc, struct error *err)
{
	switch (rc) {
	case -ENOENT:
		return error_set(err, rc,
			"%s: not there; load the module (modprobe kvm-intel or kvm-amd) and switch "
			"virtualization on in the firmware",
			path);
	case -EACCES:
	case -EPERM:
		return denied(path, rc, err);
	default:
		return error_set_errno(err, rc, "%s: cannot be opened", path);
	}
}

static int check_host(const struct kvm_host *host, struct error *err)
{
	int version;

	/*
	 * The youngest of what is required (Linux 4.11): a kernel that has it has the others, and
	 * an API whose version was fixed for good long before.
	 */
	if (ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0)
		return 0;
	version = ioctl(host->fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return error_set(err, -ENOTTY, "%s: this is not KVM's device", host->path);
	if (version != KVM_API_VERSION)
		return error_set(err, -ENOSYS, "%s: KVM API version %d, but %d is needed",
			host->path, version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].required &&
			ioctl(host->fd, KVM_CHECK_EXTENSION, capabilities[i].number) <= 0)
			return error_set(err, -ENOSYS,
				"%s: this host's KVM lacks %s; a newer kernel may have it",
				host->path, capabilities[i].name);
	return 0;
}

int kvm_host_open(const char *path, struct kvm_host **ret, struct error *err)
{
	struct kvm_host *host = calloc(1, sizeof(*host));
	int rc;

	if (!host)
		return error_set_errno(err, -ENOMEM, "%s", path);
	host->path = path;
	host->fd = open(path, O_RDWR | O_CLOEXEC);
	if (host->fd < 0) {
		rc = open_failed(path, -errno, err);
		goto free_host;
	}
	rc = check_host(host, err);
	if (rc < 0)
		goto close_fd;
	*ret = host;
	return 0;

close_fd:
	close(host->fd);
free_host:
	free(host);
	return rc;
}

void kvm_host_close(struct kvm_host *host)
{
	if (!host)
		return;
	close(host->fd);
	free(host);
}

int kvm_host_fd(const struct kvm_host *host)
{
	return host->fd;
}

unsigned int kvm_host_max_vcpus(const struct kvm_host *host)
{
	int n = ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (n <= 0)
		n = ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);
	return n > 0 ? (unsigned int)n : 1;
}

size_t kvm_host_coalesced_ring(const struct kvm_host *host)
{
	int page = ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	return page > 0 ? (size_t)page * 4 * KiB : 0;
}

void kvm_host_capabilities(const struct kvm_host *host,
	void (*fn)(void *opaque, const char *name, int value, bool required), void *opaque)
{
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		fn(opaque, capabilities[i].name,
			ioctl(host->fd, KVM_CHECK_EXTENSION, capabilities[i].number),
			capabilities[i].required);
}

/*
 * Where Intel's VMX keeps the pages it needs to run real mode on older CPUs; harmless elsewhere.
 * That of the identity map need not be told: LAYOUT_KVM_IDENTITY_BASE is KVM's own choice.
 */
static int set_private_pages(struct kvm_vm *vm, struct error *err)
{
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_KVM_TSS_BASE) < 0)
		return error_set_errno(err, -errno, "KVM_SET_TSS_ADDR");
	return 0;
}

int kvm_vm_create(struct kvm_host *host, struct kvm_vm **ret, struct error *err)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return error_set_errno(err, -ENOMEM, "creating a VM");
	vm->host = host;
	do
		vm->fd = ioctl(host->fd, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0) {
		rc = error_set_errno(err, -errno, "%s: KVM_CREATE_VM", host->path);
		goto free_vm;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(vm->wires); i++)
		vm->wires[i] = (struct kvm_wire){.vm_fd = vm->fd, .gsi = i};
	rc = set_private_pages(vm, err);
	if (rc < 0)
		goto close_fd;
	rc = kvm_routes_create(vm->fd, &vm->routes);
	if (rc < 0) {
		error_set_errno(err, rc, "interrupt routes");
		goto close_fd;
	}
	*ret = vm;
	return 0;

close_fd:
	close(vm->fd);
free_vm:
	free(vm);
	return rc;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (!vm)
		return;
	kvm_routes_destroy(vm->routes);
	close(vm->fd);
	free(vm);
}

int kvm_vm_fd(const struct kvm_vm *vm)
{
	return vm->fd;
}

const struct kvm_host *kvm_vm_host(const struct kvm_vm *vm)
{
	return vm->host;
}

int kvm_vm_add_memory(struct kvm_vm *vm, uint64_t gpa, uint64_t size, void *hva, struct error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = vm->slots,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return error_set_errno(err, -errno,
			"KVM does not accept %llu MiB of guest memory at 0x%llx",
			(unsigned long long)(size / MiB), (unsigned long long)gpa);
	vm->slots++;
	return 0;
}

int kvm_vm_create_irqchip(struct kvm_vm *vm, struct error *err)
{
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set_errno(err, -errno, "KVM_CREATE_IRQCHIP");
	return 0;
}

void kvm_vm_coalesce_port(struct kvm_vm *vm, uint16_t port, unsigned int size)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = size, .pio = 1};

	ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

static void set_wire(void *opaque, bool level)
{
	const struct kvm_wire *wire = opaque;
	struct kvm_irq_level irq = {.irq = wire->gsi, .level = level};

	/* Fails only for a GSI that has no route; ours have the irqchip's own. */
	ioctl(wire->vm_fd, KVM_IRQ_LINE, &irq);
}

struct irq_line kvm_vm_irq_line(struct kvm_vm *vm, unsigned int gsi)
{
	return (struct irq_line){.set = set_wire, .opaque = &vm->wires[gsi]};
}

static void signal_msi(void *opaque, uint64_t addr, uint32_t data)
{
	const struct kvm_vm *vm = opaque;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data};

	/* A message the guest pointed nowhere is lost, as on hardware. */
	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

struct msi_sink kvm_vm_msi_sink(struct kvm_vm *vm)
{
	return (struct msi_sink){.send = signal_msi, .opaque = vm};
}

struct msi_router kvm_vm_msi_router(struct kvm_vm *vm)
{
	return kvm_routes_router(vm->routes);
}

/* A width of 0 has KVM look at the address alone, which is its fastest way. */
static int set_ioeventfd(const struct kvm_vm *vm, const struct doorbell *bell, uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.datamatch = bell->value,
		.addr = bell->addr,
		.len = bell->len,
		.fd = bell->fd,
		.flags = flags | (bell->pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (bell->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static int add_doorbell(void *opaque, const struct doorbell *bell)
{
	return set_ioeventfd(opaque, bell, 0);
}

static void remove_doorbell(void *opaque, const struct doorbell *bell)
{
	set_ioeventfd(opaque, bell, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

struct doorbell_listener kvm_vm_doorbells(struct kvm_vm *vm)
{
	return (struct doorbell_listener){
		.add = add_doorbell, .remove = remove_doorbell, .opaque = vm};
}

enum { CLOCK_TRIES = 8 };

/*
 * Linux 5.16 says itself which TSC belongs to the clock, if the host goes by its TSC. Else the TSC
 * is read before and behind: of a few tries the one that took least, as a thread may lose its CPU
 * in between.
 */
struct kvm_vm_moment kvm_vm_now(struct kvm_vm *vm)
{
	struct kvm_vm_moment found = {0};
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < CLOCK_TRIES; i++) {
		struct kvm_clock_data data = {0};
		const uint64_t before = ticks_now();
		const int rc = ioctl(vm->fd, KVM_GET_CLOCK, &data);
		const uint64_t took = ticks_now() - before;

		if (rc < 0)
			return (struct kvm_vm_moment){.host_tsc = before};
#ifdef KVM_CLOCK_HOST_TSC
		if (data.flags & KVM_CLOCK_HOST_TSC)
			return (struct kvm_vm_moment){data.clock, data.host_tsc};
#endif
		if (took < least)
			found = (struct kvm_vm_moment){data.clock, before + took / 2};
		least = MIN(least, took);
	}
	return found;
}

void kvm_vm_set_clock_ns(struct kvm_vm *vm, uint64_t ns)
{
	struct kvm_clock_data data = {.clock = ns};

	if (ns)
		ioctl(vm->fd, KVM_SET_CLOCK, &data);
}
