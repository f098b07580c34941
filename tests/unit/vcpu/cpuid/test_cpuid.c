/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vcpu/cpuid/cpuid.h"
#include "vm/core/error.h"

enum { MAX_LEAVES = 32 };

static void add(struct kvm_cpuid2 *c, struct kvm_cpuid_entry2 entry)
{
	assert_true(c->nent < MAX_LEAVES);
	c->entries[c->nent++] = entry;
}

static struct kvm_cpuid2 *new_leaves(void)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_LEAVES * sizeof(c->entries[0]));

	assert_non_null(c);
	return c;
}

/* A host of 16 threads in 8 cores, whose APIC id 5 shows through where nobody corrects it. */
static struct kvm_cpuid2 *intel_host(void)
{
	const uint32_t indexed = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	struct kvm_cpuid2 *c = new_leaves();

	add(c, (struct kvm_cpuid_entry2){.function = 0, .eax = 0x1f, .ebx = 0x756e6547});
	add(c, (struct kvm_cpuid_entry2){.function = 1,
		       .ebx = 0x05100800,
		       .ecx = 1u << 21 | 1u << 28,
		       .edx = 1u << 28});
	add(c, (struct kvm_cpuid_entry2){.function = 4,
		       .index = 0,
		       .flags = indexed,
		       .eax = 7u << 26 | 1u << 14 | 1 << 5 | 1});
	add(c, (struct kvm_cpuid_entry2){.function = 4,
		       .index = 3,
		       .flags = indexed,
		       .eax = 7u << 26 | 15u << 14 | 3 << 5 | 3});
	add(c, (struct kvm_cpuid_entry2){.function = 4, .index = 4, .flags = indexed});
	add(c, (struct kvm_cpuid_entry2){
		       .function = 7, .index = 0, .flags = indexed, .ebx = 1u << 5});
	add(c, (struct kvm_cpuid_entry2){.function = 0xb,
		       .index = 0,
		       .flags = indexed,
		       .eax = 1,
		       .ebx = 2,
		       .edx = 5});
	add(c, (struct kvm_cpuid_entry2){.function = 0x15, .eax = 2, .ebx = 200, .ecx = 24000000});
	add(c, (struct kvm_cpuid_entry2){.function = 0x40000000, .eax = 0x40000001});
	add(c, (struct kvm_cpuid_entry2){.function = 0x40000001, .eax = 0x0100007b});
	return c;
}

static struct kvm_cpuid2 *amd_host(void)
{
	const uint32_t indexed = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	struct kvm_cpuid2 *c = new_leaves();

	add(c, (struct kvm_cpuid_entry2){.function = 0, .eax = 0xd});
	add(c, (struct kvm_cpuid_entry2){.function = 1, .ebx = 0x07100800});
	add(c, (struct kvm_cpuid_entry2){.function = 0x80000001});
	add(c, (struct kvm_cpuid_entry2){.function = 0x80000008, .eax = 0x3030, .ecx = 0x700f});
	add(c, (struct kvm_cpuid_entry2){.function = 0x8000001d,
		       .index = 0,
		       .flags = indexed,
		       .eax = 1u << 14 | 1 << 5 | 1});
	add(c, (struct kvm_cpuid_entry2){.function = 0x8000001d,
		       .index = 3,
		       .flags = indexed,
		       .eax = 15u << 14 | 3 << 5 | 3});
	add(c, (struct kvm_cpuid_entry2){
		       .function = 0x8000001e, .eax = 7, .ebx = 0x107, .ecx = 0x301});
	return c;
}

static struct cpuid_template *make(struct kvm_cpuid2 *host, unsigned int cpus, const char *features)
{
	const struct cpuid_config config = {
		.num_cpus = cpus, .tsc_khz = 2800000, .features = features};
	struct cpuid_template *t = NULL;
	struct error err = {""};

	assert_int_equal(cpuid_template_from(host, &config, &t, &err), 0);
	free(host);
	return t;
}

static struct kvm_cpuid_entry2 leaf(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return c->entries[i];
	fail_msg("leaf %x.%u is missing", function, index);
	return (struct kvm_cpuid_entry2){0};
}

static void apic_ids_and_counts(void **state)
{
	struct cpuid_template *t = make(intel_host(), 4, NULL);

	(void)state;
	for (unsigned int id = 0; id < 4; id++) {
		const struct kvm_cpuid2 *c = cpuid_for_vcpu(t, id);

		assert_int_equal(leaf(c, 1, 0).ebx, id << 24 | 4 << 16 | 0x0800);
		assert_true(leaf(c, 1, 0).edx & 1u << 28);
		/* APIC ids 0..3: no bits for threads, two for cores */
		assert_int_equal(leaf(c, 0xb, 0).eax, 0);
		assert_int_equal(leaf(c, 0xb, 0).ebx, 1);
		assert_int_equal(leaf(c, 0xb, 0).ecx, 0x100);
		assert_int_equal(leaf(c, 0xb, 1).eax, 2);
		assert_int_equal(leaf(c, 0xb, 1).ebx, 4);
		assert_int_equal(leaf(c, 0xb, 1).ecx, 0x201);
		assert_int_equal(leaf(c, 0xb, 2).ecx, 2);
		assert_int_equal(leaf(c, 0x1f, 1).edx, id);
		assert_int_equal(leaf(c, 0xb, 2).edx, id);
	}
	cpuid_template_destroy(t);
}

static void one_cpu_is_no_threading(void **state)
{
	struct cpuid_template *t = make(intel_host(), 1, NULL);
	const struct kvm_cpuid2 *c = cpuid_for_vcpu(t, 0);

	(void)state;
	assert_int_equal(cpuid_phys_bits(t), 36);
	assert_false(leaf(c, 1, 0).edx & 1u << 28);
	assert_int_equal(leaf(c, 0xb, 1).eax, 0);
	assert_int_equal(leaf(c, 4, 3).eax >> 14, 0);
	cpuid_template_destroy(t);
}

static void caches(void **state)
{
	/* Five CPUs: ids take three bits, so eight may share. */
	struct cpuid_template *t = make(intel_host(), 5, NULL);
	const struct kvm_cpuid2 *c = cpuid_for_vcpu(t, 0);

	(void)state;
	assert_int_equal(leaf(c, 4, 0).eax, 7u << 26 | 0 << 14 | 1 << 5 | 1);
	assert_int_equal(leaf(c, 4, 3).eax, 7u << 26 | 7 << 14 | 3 << 5 | 3);
	assert_int_equal(leaf(c, 4, 4).eax, 0);
	cpuid_template_destroy(t);
}

static void amd(void **state)
{
	struct cpuid_template *t = make(amd_host(), 4, NULL);
	const struct kvm_cpuid2 *c = cpuid_for_vcpu(t, 3);

	(void)state;
	assert_int_equal(leaf(c, 0x80000008, 0).ecx, 2 << 12 | 3);
	assert_int_equal(leaf(c, 0x80000008, 0).eax, 0x3030);
	assert_int_equal(cpuid_phys_bits(t), 48);
	assert_true(leaf(c, 0x80000001, 0).ecx & 2);
	assert_int_equal(leaf(c, 0x8000001d, 0).eax, 1 << 5 | 1);
	assert_int_equal(leaf(c, 0x8000001d, 3).eax, 3 << 14 | 3 << 5 | 3);
	assert_int_equal(leaf(c, 0x8000001e, 0).eax, 3);
	assert_int_equal(leaf(c, 0x8000001e, 0).ebx, 3);
	assert_int_equal(leaf(c, 0x8000001e, 0).ecx, 0);
	cpuid_template_destroy(t);
}

static void hypervisor(void **state)
{
	struct cpuid_template *t = make(intel_host(), 1, NULL);
	const struct kvm_cpuid2 *c = cpuid_for_vcpu(t, 0);
	struct kvm_cpuid_entry2 e = leaf(c, 0x40000000, 0);

	(void)state;
	assert_memory_equal(&e.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(e.eax, 0x40000010);
	assert_int_equal(leaf(c, 0x40000001, 0).eax, 0x0100007b);
	assert_int_equal(leaf(c, 0x40000010, 0).eax, 2800000);
	/* hypervisor, TSC deadline, and what the host had */
	assert_int_equal(leaf(c, 1, 0).ecx, 1u << 31 | 1u << 24 | 1u << 21 | 1u << 28);
	/* TSC = ecx * ebx / eax */
	e = leaf(c, 0x15, 0);
	assert_true((uint64_t)e.ecx * e.ebx / e.eax == UINT64_C(2800000000));
	e = leaf(c, 0x16, 0);
	assert_int_equal(e.eax, 2800); /* MHz */
	cpuid_template_destroy(t);
}

/* Older Intel processors lack the leaves of the frequency, by which Linux goes; on AMD it does not.
 */
static void frequency(void **state)
{
	struct kvm_cpuid2 *old = intel_host();
	struct cpuid_template *t;

	(void)state;
	old->entries[0].eax = 0xd;
	t = make(old, 1, NULL);
	assert_int_equal(leaf(cpuid_for_vcpu(t, 0), 0, 0).eax, 0x16);
	assert_int_equal(leaf(cpuid_for_vcpu(t, 0), 0x16, 0).eax, 2800);
	assert_int_equal(leaf(cpuid_for_vcpu(t, 0), 0x15, 0).ecx, 1000000000);
	cpuid_template_destroy(t);
	t = make(amd_host(), 1, NULL);
	assert_int_equal(leaf(cpuid_for_vcpu(t, 0), 0, 0).eax, 0xd);
	for (unsigned int i = 0; i < cpuid_for_vcpu(t, 0)->nent; i++)
		assert_false(cpuid_for_vcpu(t, 0)->entries[i].function == 0x16);
	cpuid_template_destroy(t);
}

static void masks(void **state)
{
	struct cpuid_template *t = make(intel_host(), 1, "host,-avx2,+x2apic");
	const struct cpuid_config unknown = {.num_cpus = 1, .features = "-nosuch"};
	const struct cpuid_config absent = {.num_cpus = 1, .features = "+avx512f"};
	struct kvm_cpuid2 *host = intel_host();
	struct cpuid_template *none = NULL;
	struct error err = {""};

	(void)state;
	assert_int_equal(leaf(cpuid_for_vcpu(t, 0), 7, 0).ebx, 0);
	assert_true(leaf(cpuid_for_vcpu(t, 0), 1, 0).ecx & 1u << 21);
	cpuid_template_destroy(t);
	assert_int_equal(cpuid_template_from(host, &unknown, &none, &err), -EINVAL);
	assert_int_equal(cpuid_template_from(host, &absent, &none, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "avx512f"));
	assert_null(none);
	free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apic_ids_and_counts),
		cmocka_unit_test(one_cpu_is_no_threading),
		cmocka_unit_test(caches),
		cmocka_unit_test(amd),
		cmocka_unit_test(hypervisor),
		cmocka_unit_test(frequency),
		cmocka_unit_test(masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
