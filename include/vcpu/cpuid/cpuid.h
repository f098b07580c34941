/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID tells the guest: KVM's supported leaves, asked for once, with the topology of this
 * machine in place of the host's, the hypervisor's own leaves, and the person's masks applied.
 */
#ifndef BANTAM_VCPU_CPUID_CPUID_H
#define BANTAM_VCPU_CPUID_CPUID_H

#include "vm/core/base.h"

struct cpuid_template;
struct error;
struct kvm_cpuid2;
struct kvm_host;

struct cpuid_config {
	unsigned int num_cpus;
	uint32_t tsc_khz;     /* 0: not known */
	const char *features; /* as --cpu takes them, NULL for the host's */
};

/* Asks KVM and applies the config. */
int cpuid_template_create(const struct kvm_host *host, const struct cpuid_config *config,
	struct cpuid_template **ret, struct error *err);
/* The pure half, for tests: from leaves that are given. */
int cpuid_template_from(const struct kvm_cpuid2 *supported, const struct cpuid_config *config,
	struct cpuid_template **ret, struct error *err);
void cpuid_template_destroy(struct cpuid_template *template);

/* Sets the leaves that know a frequency, found out only when the first vCPU is there. */
void cpuid_template_set_tsc(struct cpuid_template *template, uint32_t tsc_khz);

/* The width of a physical address, by leaf 0x80000008; 36 where there is none. */
unsigned int cpuid_phys_bits(struct cpuid_template *template);

/* What leaf 1 says of the processor: family, model and stepping, and features. */
void cpuid_signature(struct cpuid_template *template, uint32_t *eax, uint32_t *edx);

/* The leaves of the vCPU with this APIC id; valid until the next call. Not thread-safe. */
const struct kvm_cpuid2 *cpuid_for_vcpu(struct cpuid_template *template, unsigned int apic_id);

#endif
