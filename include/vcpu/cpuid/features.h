/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU features by name: where each one's CPUID bit is, and what `--cpu` makes of them. Data only:
 * vcpu/cpuid/cpuid.c applies it to what KVM supports.
 *
 * Names are those of /proc/cpuinfo; a few common other spellings are known too, '-', '.' and '_'
 * mean the same, and so do capitals. Each name is one bit: what builds on a feature (avx2 on avx)
 * does not go with it.
 */
#ifndef BANTAM_VCPU_CPUID_FEATURES_H
#define BANTAM_VCPU_CPUID_FEATURES_H

#include "vm/core/base.h"

struct error;

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct cpu_feature {
	const char *name;	/* static */
	uint32_t leaf, subleaf; /* subleaf 0 where the leaf has none */
	uint8_t reg;		/* enum cpuid_reg */
	uint8_t bit;
};

enum { CPU_MAX_CHANGES = 64 };

struct cpu_change {
	struct cpu_feature feature;
	bool on; /* false: the bit is cleared */
};

struct cpu_changes {
	struct cpu_change change[CPU_MAX_CHANGES];
	size_t num;
};

/*
 * Parses "host,-avx512f,+x2apic": the word host, which may be left out, then features with + or -.
 * Of several words on one bit the last counts. Returns 0, or -EINVAL with a line that
 * names the word and the nearest feature, or for too many; *changes is untouched then.
 */
int cpu_features_parse(const char *text, struct cpu_changes *changes, struct error *err);

/* By any of its spellings; false if unknown. */
bool cpu_feature_find(const char *name, struct cpu_feature *feature);
/* The i-th of the table, by leaf, subleaf, register and bit; false past the last. */
bool cpu_feature_at(size_t i, struct cpu_feature *feature);

#endif
