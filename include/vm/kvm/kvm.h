/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM: the host's device, opened once, and a VM on it, made anew for each boot of the guest. Only
 * vm/kvm/ and vcpu/ know <linux/kvm.h>.
 */
#ifndef BANTAM_VM_KVM_KVM_H
#define BANTAM_VM_KVM_KVM_H

#include "vm/core/base.h"
#include "vm/core/doorbell.h"
#include "vm/core/irq.h"
#include "vm/core/msi_router.h"

struct error;
struct kvm_host;
struct kvm_vm;

/*
 * Opens path ("/dev/kvm") and checks the API version and every capability that Bantam needs. The
 * error names what is missing and what to try.
 */
int kvm_host_open(const char *path, struct kvm_host **ret, struct error *err);
void kvm_host_close(struct kvm_host *host);

int kvm_host_fd(const struct kvm_host *host);
unsigned int kvm_host_max_vcpus(const struct kvm_host *host);
/* Where in a vCPU's mapping the ring of coalesced writes is, in bytes; 0: there is none. */
size_t kvm_host_coalesced_ring(const struct kvm_host *host);

/* Tells each capability that is looked at: its name, whether it is there and whether it must be. */
void kvm_host_capabilities(const struct kvm_host *host,
	void (*fn)(void *opaque, const char *name, int value, bool required), void *opaque);

int kvm_vm_create(struct kvm_host *host, struct kvm_vm **ret, struct error *err);
void kvm_vm_destroy(struct kvm_vm *vm);
int kvm_vm_fd(const struct kvm_vm *vm);
const struct kvm_host *kvm_vm_host(const struct kvm_vm *vm);

/* gpa, size and hva are page-aligned. Call for all memory before kvm_vm_create_irqchip. */
int kvm_vm_add_memory(struct kvm_vm *vm, uint64_t gpa, uint64_t size, void *hva, struct error *err);

/* PIC, IOAPIC and LAPICs in the kernel; the PIT is ours. Call before the first vCPU is made. */
int kvm_vm_create_irqchip(struct kvm_vm *vm, struct error *err);

/*
 * Writes that lie in the size bytes from port on go to the ring from now on (vcpu/coalesced.h). A
 * KVM that cannot do so (before Linux 4.20) goes on making exits of them.
 */
void kvm_vm_coalesce_port(struct kvm_vm *vm, uint16_t port, unsigned int size);

/* The wire of an interrupt of the irqchip, valid as long as the VM; gsi < 24. */
struct irq_line kvm_vm_irq_line(struct kvm_vm *vm, unsigned int gsi);

/* Sends messages without a route of their own (KVM_SIGNAL_MSI). */
struct msi_sink kvm_vm_msi_sink(struct kvm_vm *vm);

/* Messages by eventfd (KVM_IRQFD), see vm/kvm/kvm_routes.c. Any thread. */
struct msi_router kvm_vm_msi_router(struct kvm_vm *vm);

/*
 * kvm-clock, which the guest's kernel tells time by: what it shows at one moment of the host's TSC,
 * and setting it to that again. No vCPU runs. A failure is KVM's, and leaves the clock as it is.
 */
struct kvm_vm_moment {
	uint64_t clock_ns; /* 0: KVM does not say */
	uint64_t host_tsc;
};
struct kvm_vm_moment kvm_vm_now(struct kvm_vm *vm);
void kvm_vm_set_clock_ns(struct kvm_vm *vm, uint64_t ns);

/* Doorbells as ioeventfds (KVM_IOEVENTFD). Any thread. */
struct doorbell_listener kvm_vm_doorbells(struct kvm_vm *vm);

#endif
