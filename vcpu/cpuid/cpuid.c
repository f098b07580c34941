/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The template holds the leaves as vCPU 0 shall see them, except for what differs from vCPU to
 * vCPU; cpuid_for_vcpu fills that in, in place. Leaf numbers and fields: Intel SDM vol. 2A, CPUID;
 * AMD APM vol. 3, appendix E; hypervisor leaves: Linux' Documentation/virt/kvm/x86/cpuid.rst.
 *
 * The topology is one package of single-threaded cores: what the MADT says too.
 */
#include "vcpu/cpuid/cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "vcpu/cpuid/features.h"
#include "vm/core/error.h"

enum {
	LEAF_VENDOR = 0,
	LEAF_FEATURES = 1,
	LEAF_CACHES = 4,
	LEAF_TOPOLOGY = 0xB,
	LEAF_TSC = 0x15,
	LEAF_FREQUENCY = 0x16,
	LEAF_TOPOLOGY2 = 0x1F,
};

#define LEAF_HYPERVISOR	    0x40000000u
#define LEAF_KVM_FEATURES   0x40000001u
#define LEAF_HV_FREQUENCIES 0x40000010u
#define LEAF_AMD_FEATURES   0x80000001u
#define LEAF_AMD_SIZES	    0x80000008u
#define LEAF_AMD_CACHES	    0x8000001Du
#define LEAF_AMD_TOPOLOGY   0x8000001Eu

#define F1_ECX_X2APIC	    (1u << 21)
#define F1_ECX_TSC_DEADLINE (1u << 24)
#define F1_ECX_HYPERVISOR   (1u << 31)
#define F1_EDX_HTT	    (1u << 28)
#define A1_ECX_CMP_LEGACY   (1u << 1)

/* KVM's LAPIC timer runs at 1 GHz. */
#define APIC_BUS_HZ  1000000000u
#define APIC_BUS_KHZ 1000000u
#define BUS_MHZ	     100u

#define VENDOR_GENU  0x756e6547u /* "Genu", of GenuineIntel */

enum { MAX_ENTRIES = 256, SPARE_ENTRIES = 16 };

/* SDM vol. 2A, CPUID: of a processor without leaf 0x80000008 */
enum { DEFAULT_PHYS_BITS = 36 };

struct cpuid_template {
	unsigned int num_cpus;
	unsigned int id_bits;	   /* of an APIC id that number the core */
	struct kvm_cpuid2 *leaves; /* with room for SPARE_ENTRIES more than KVM gave */
	unsigned int room;
};

static struct kvm_cpuid_entry2 *find(struct cpuid_template *t, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned int i = 0; i < t->leaves->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->leaves->entries[i];

		if (e->function == leaf &&
			(!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

static void drop_leaf(struct cpuid_template *t, uint32_t leaf)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < t->leaves->nent; i++)
		if (t->leaves->entries[i].function != leaf)
			t->leaves->entries[kept++] = t->leaves->entries[i];
	t->leaves->nent = kept;
}

/* The entry for leaf, added if KVM had none; NULL only when there is no room left. */
static struct kvm_cpuid_entry2 *need(struct cpuid_template *t, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *e = find(t, leaf, 0);

	if (e || t->leaves->nent == t->room)
		return e;
	e = &t->leaves->entries[t->leaves->nent++];
	memset(e, 0, sizeof(*e));
	e->function = leaf;
	return e;
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &e->eax;
	case CPUID_EBX:
		return &e->ebx;
	case CPUID_ECX:
		return &e->ecx;
	case CPUID_EDX:
		break;
	}
	return &e->edx;
}

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

static void set_features(struct cpuid_template *t)
{
	struct kvm_cpuid_entry2 *e = find(t, LEAF_FEATURES, 0);

	if (!e)
		return;
	e->ecx |= F1_ECX_HYPERVISOR;
	/* Offered by the in-kernel LAPIC, whatever the host's CPU has. */
	e->ecx |= F1_ECX_TSC_DEADLINE;
	e->ebx = (e->ebx & 0x0000ffff) | (t->num_cpus & 0xff) << 16;
	e->edx &= ~F1_EDX_HTT;
	if (t->num_cpus > 1)
		e->edx |= F1_EDX_HTT;
}

/* Intel's and AMD's cache leaves have the same first register: level, and how many share it. */
static void set_cache_sharing(struct cpuid_template *t, uint32_t leaf)
{
	for (unsigned int i = 0; i < t->leaves->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->leaves->entries[i];
		unsigned int level = (e->eax >> 5) & 7;
		uint32_t sharing = level >= 3 ? (1u << t->id_bits) - 1 : 0;

		if (e->function != leaf || !(e->eax & 0x1f))
			continue;
		e->eax = (e->eax & 0x00003fff) | (sharing & 0xfff) << 14;
		if (leaf == LEAF_CACHES)
			e->eax |= (((1u << t->id_bits) - 1) & 0x3f) << 26;
	}
}

/* Two levels: one thread a core (type 1), all cores in the package (type 2). */
static void set_topology(struct cpuid_template *t, uint32_t leaf)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{.function = leaf, .index = 0, .eax = 0, .ebx = 1, .ecx = 1 << 8},
		{.function = leaf,
			.index = 1,
			.eax = t->id_bits,
			.ebx = t->num_cpus,
			.ecx = 2 << 8 | 1},
		{.function = leaf, .index = 2, .ecx = 2},
	};

	drop_leaf(t, leaf);
	for (size_t i = 0; i < ARRAY_SIZE(levels) && t->leaves->nent < t->room; i++) {
		t->leaves->entries[t->leaves->nent] = levels[i];
		t->leaves->entries[t->leaves->nent++].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

static void set_amd_sizes(struct cpuid_template *t)
{
	struct kvm_cpuid_entry2 *e = find(t, LEAF_AMD_SIZES, 0);
	struct kvm_cpuid_entry2 *features = find(t, LEAF_AMD_FEATURES, 0);

	if (e)
		e->ecx = (e->ecx & ~0xf0ffu) | t->id_bits << 12 | ((t->num_cpus - 1) & 0xff);
	if (features && t->num_cpus > 1 && find(t, LEAF_AMD_TOPOLOGY, 0))
		features->ecx |= A1_ECX_CMP_LEGACY;
}

static int set_hypervisor(struct cpuid_template *t)
{
	struct kvm_cpuid_entry2 *e = need(t, LEAF_HYPERVISOR);

	if (!e || !need(t, LEAF_HV_FREQUENCIES))
		return -E2BIG;
	e->eax = LEAF_HV_FREQUENCIES;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	return 0;
}

static int apply_change(
	struct cpuid_template *t, const struct cpu_change *change, struct error *err)
{
	const struct cpu_feature *f = &change->feature;
	struct kvm_cpuid_entry2 *e = find(t, f->leaf, f->subleaf);
	uint32_t bit = 1u << f->bit;

	if (change->on && (!e || !(*reg_of(e, f->reg) & bit)))
		return error_set(err, -EOPNOTSUPP,
			"--cpu: this host does not offer '%s' to its guests", f->name);
	if (e && !change->on)
		*reg_of(e, f->reg) &= ~bit;
	return 0;
}

static int apply_features(struct cpuid_template *t, const char *text, struct error *err)
{
	struct cpu_changes changes;
	int rc = cpu_features_parse(text, &changes, err);

	for (size_t i = 0; !rc && i < changes.num; i++)
		rc = apply_change(t, &changes.change[i], err);
	return rc;
}

static int copy_leaves(struct cpuid_template *t, const struct kvm_cpuid2 *supported)
{
	if (supported->nent > MAX_ENTRIES)
		return -E2BIG;
	t->room = supported->nent + SPARE_ENTRIES;
	t->leaves = calloc(1, sizeof(*t->leaves) + t->room * sizeof(t->leaves->entries[0]));
	if (!t->leaves)
		return -ENOMEM;
	t->leaves->nent = supported->nent;
	memcpy(t->leaves->entries, supported->entries,
		supported->nent * sizeof(supported->entries[0]));
	return 0;
}

static int correct(struct cpuid_template *t, const struct cpuid_config *config, struct error *err)
{
	const struct kvm_cpuid_entry2 *vendor = find(t, LEAF_VENDOR, 0);
	uint32_t max_leaf = vendor ? vendor->eax : 0;
	int rc;

	set_features(t);
	set_cache_sharing(t, LEAF_CACHES);
	set_cache_sharing(t, LEAF_AMD_CACHES);
	if (max_leaf >= LEAF_TOPOLOGY)
		set_topology(t, LEAF_TOPOLOGY);
	if (max_leaf >= LEAF_TOPOLOGY2)
		set_topology(t, LEAF_TOPOLOGY2);
	set_amd_sizes(t);
	rc = set_hypervisor(t);
	if (rc < 0)
		return error_set_errno(err, rc, "CPUID");
	if (config->features)
		rc = apply_features(t, config->features, err);
	if (config->tsc_khz)
		cpuid_template_set_tsc(t, config->tsc_khz);
	return rc;
}

int cpuid_template_from(const struct kvm_cpuid2 *supported, const struct cpuid_config *config,
	struct cpuid_template **ret, struct error *err)
{
	struct cpuid_template *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return error_set_errno(err, -ENOMEM, "CPUID");
	t->num_cpus = config->num_cpus;
	t->id_bits = bits_for(config->num_cpus);
	rc = copy_leaves(t, supported);
	if (rc < 0) {
		error_set_errno(err, rc, "CPUID");
		goto destroy;
	}
	rc = correct(t, config, err);
	if (rc < 0)
		goto destroy;
	*ret = t;
	return 0;

destroy:
	cpuid_template_destroy(t);
	return rc;
}

void cpuid_template_destroy(struct cpuid_template *t)
{
	if (!t)
		return;
	free(t->leaves);
	free(t);
}

/*
 * Intel's own leaves, by which Linux knows the frequency without kvm-clock; of other processors it
 * does not look there. An Intel host too old to have them is told to have them: the leaves between
 * read as zeros.
 */
static void set_intel_tsc(struct cpuid_template *t, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *vendor = find(t, LEAF_VENDOR, 0), *e;

	if (vendor && vendor->ebx == VENDOR_GENU && vendor->eax < LEAF_FREQUENCY)
		vendor->eax = LEAF_FREQUENCY;
	if (!vendor || vendor->eax < LEAF_TSC)
		return;
	/* TSC = crystal * ebx / eax; the crystal must be the LAPIC's clock, guests take it for
	 * that. */
	e = need(t, LEAF_TSC);
	if (e) {
		e->eax = APIC_BUS_KHZ;
		e->ebx = tsc_khz;
		e->ecx = APIC_BUS_HZ;
	}
	e = vendor->ebx == VENDOR_GENU ? need(t, LEAF_FREQUENCY) : NULL;
	if (e) { /* base, maximum and bus, in MHz */
		e->eax = (tsc_khz + 500) / 1000;
		e->ebx = e->eax;
		e->ecx = BUS_MHZ;
	}
}

void cpuid_template_set_tsc(struct cpuid_template *t, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *hv = find(t, LEAF_HV_FREQUENCIES, 0);

	if (hv) {
		hv->eax = tsc_khz;
		hv->ebx = APIC_BUS_KHZ;
	}
	set_intel_tsc(t, tsc_khz);
}

unsigned int cpuid_phys_bits(struct cpuid_template *t)
{
	const struct kvm_cpuid_entry2 *e = find(t, LEAF_AMD_SIZES, 0);
	unsigned int bits = e ? e->eax & 0xff : 0;

	return bits >= DEFAULT_PHYS_BITS && bits < 64 ? bits : DEFAULT_PHYS_BITS;
}

void cpuid_signature(struct cpuid_template *t, uint32_t *eax, uint32_t *edx)
{
	const struct kvm_cpuid_entry2 *e = find(t, LEAF_FEATURES, 0);

	*eax = e ? e->eax : 0;
	*edx = e ? e->edx : 0;
}

const struct kvm_cpuid2 *cpuid_for_vcpu(struct cpuid_template *t, unsigned int apic_id)
{
	for (unsigned int i = 0; i < t->leaves->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->leaves->entries[i];

		switch (e->function) {
		case LEAF_FEATURES:
			e->ebx = (e->ebx & 0x00ffffff) | apic_id << 24;
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY2:
			e->edx = apic_id;
			break;
		case LEAF_AMD_TOPOLOGY:
			e->eax = apic_id;
			e->ebx = apic_id & 0xff; /* core id; one thread a core */
			e->ecx = 0;		 /* one node */
			break;
		}
	}
	return t->leaves;
}
