/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of 32 names for each CPUID register that holds feature bits. Sources: SDM vol. 2A,
 * CPUID; AMD APM vol. 3, appendix E; the KVM leaf from Linux' Documentation/virt/kvm/x86/cpuid.rst.
 * The bits of leaf 0x80000001 EDX that repeat leaf 1 on AMD have no names of their own. A bit that
 * Bantam computes itself (osxsave, ht) is here too: whoever names it gets what was asked for.
 */
#include "vcpu/cpuid/features.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/core/suggest.h"

enum { MAX_WORD = 31, REG_BITS = 32 };

struct feature_word {
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	const char *names[REG_BITS];
};

/* clang-format off */
static const struct feature_word words[] = {
	{0x1, 0, CPUID_ECX, {
		[0] = "pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est",
		[8] = "tm2", "ssse3", "cid", "sdbg", "fma", "cx16", "xtpr", "pdcm",
		[17] = "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt",
		[24] = "tsc_deadline_timer", "aes", "xsave", "osxsave",
		[28] = "avx", "f16c", "rdrand", "hypervisor"}},
	{0x1, 0, CPUID_EDX, {
		[0] = "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce",
		[8] = "cx8", "apic", [11] = "sep", "mtrr", "pge", "mca", "cmov",
		[16] = "pat", "pse36", "pn", "clflush", [21] = "dts", "acpi", "mmx",
		[24] = "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe"}},
	{0x6, 0, CPUID_EAX, {
		[0] = "dtherm", "ida", "arat", [4] = "pln", [6] = "pts", "hwp"}},
	{0x7, 0, CPUID_EBX, {
		[0] = "fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", [7] = "smep",
		[8] = "bmi2", "erms", "invpcid", "rtm", "cqm", [14] = "mpx", "rdt_a",
		[16] = "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma",
		[23] = "clflushopt", "clwb", "intel_pt", "avx512pf", "avx512er", "avx512cd",
		[29] = "sha_ni", "avx512bw", "avx512vl"}},
	{0x7, 0, CPUID_ECX, {
		[0] = "prefetchwt1", "avx512vbmi", "umip", "pku", "ospke", "waitpkg",
		[6] = "avx512_vbmi2", "shstk", "gfni", "vaes", "vpclmulqdq", "avx512_vnni",
		[12] = "avx512_bitalg", "tme", "avx512_vpopcntdq", [16] = "la57", [22] = "rdpid",
		[24] = "bus_lock_detect", "cldemote", [27] = "movdiri", "movdir64b", "enqcmd",
		[30] = "sgx_lc", "pks"}},
	{0x7, 0, CPUID_EDX, {
		[2] = "avx512_4vnniw", "avx512_4fmaps", "fsrm", "uintr",
		[8] = "avx512_vp2intersect", "srbds_ctrl", "md_clear", "rtm_always_abort",
		[14] = "serialize", "hybrid_cpu", "tsxldtrk", [18] = "pconfig", "arch_lbr", "ibt",
		[22] = "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8",
		[26] = "spec_ctrl", "intel_stibp", "flush_l1d", "arch_capabilities",
		[30] = "core_capabilities", "spec_ctrl_ssbd"}},
	{0x7, 1, CPUID_EAX, {
		[0] = "sha512", "sm3", "sm4", [4] = "avx_vnni", "avx512_bf16", "lass", "cmpccxadd",
		[8] = "arch_perfmon_ext", [10] = "fzrm", "fsrs", "fsrc",
		[17] = "fred", "lkgs", "wrmsrns", [21] = "amx_fp16", [23] = "avx_ifma", [26] = "lam"}},
	{0x7, 1, CPUID_EDX, {
		[4] = "avx_vnni_int8", "avx_ne_convert", [8] = "amx_complex",
		[10] = "avx_vnni_int16", [14] = "prefetchiti"}},
	{0x7, 2, CPUID_EDX, {
		[0] = "intel_psfd", "ipred_ctrl", "rrsba_ctrl", "ddpd_u", "bhi_ctrl", "mcdt_no"}},
	{0xD, 1, CPUID_EAX, {
		[0] = "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"}},
	{0x40000001, 0, CPUID_EAX, {
		[0] = "kvm_clocksource", "kvm_nop_io_delay", [3] = "kvm_clocksource2",
		[4] = "kvm_async_pf", "kvm_steal_time", "kvm_pv_eoi", "kvm_pv_unhalt",
		[9] = "kvm_pv_tlb_flush", "kvm_async_pf_vmexit", "kvm_pv_send_ipi",
		[12] = "kvm_poll_control", "kvm_pv_sched_yield", "kvm_async_pf_int",
		[15] = "kvm_msi_ext_dest_id", [24] = "kvm_clocksource_stable"}},
	{0x80000001, 0, CPUID_ECX, {
		[0] = "lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a",
		[7] = "misalignsse", "3dnowprefetch", "osvw", "ibs", "xop", "skinit", "wdt",
		[15] = "lwp", "fma4", "tce", [19] = "nodeid_msr", [21] = "tbm", "topoext",
		[23] = "perfctr_core", "perfctr_nb", [26] = "bpext", "ptsc", "perfctr_llc", "mwaitx"}},
	{0x80000001, 0, CPUID_EDX, {
		[11] = "syscall", [19] = "mp", "nx", [22] = "mmxext", [25] = "fxsr_opt", "pdpe1gb",
		[27] = "rdtscp", [29] = "lm", "3dnowext", "3dnow"}},
	{0x80000007, 0, CPUID_EDX, {[8] = "invtsc"}},
	{0x80000008, 0, CPUID_EBX, {
		[0] = "clzero", "irperf", "xsaveerptr", [4] = "rdpru", [9] = "wbnoinvd",
		[12] = "amd_ibpb", [14] = "amd_ibrs", "amd_stibp", [17] = "amd_stibp_always_on",
		[24] = "amd_ssbd", "virt_ssbd", "amd_ssb_no", [28] = "amd_psfd", "btc_no"}},
	{0x8000000A, 0, CPUID_EDX, {
		[0] = "npt", "lbrv", "svm_lock", "nrip_save", "tsc_scale", "vmcb_clean",
		[6] = "flushbyasid", "decodeassists", [10] = "pausefilter", [12] = "pfthreshold",
		[13] = "avic", [15] = "v_vmsave_vmload", "vgif"}},
	{0x80000021, 0, CPUID_EAX, {
		[0] = "no_nested_data_bp", [2] = "lfence_rdtsc", [6] = "null_sel_clr_base",
		[8] = "autoibrs", "no_smm_ctl_msr"}},
};
/* clang-format on */

/* Spellings of the manuals and of other monitors. */
static const struct {
	const char *name, *feature;
} aliases[] = {
	{"sse3", "pni"},
	{"sse41", "sse4_1"},
	{"sse42", "sse4_2"},
	{"mwait", "monitor"},
	{"cmpxchg8b", "cx8"},
	{"cmpxchg16b", "cx16"},
	{"pclmul", "pclmulqdq"},
	{"aesni", "aes"},
	{"tsc_deadline", "tsc_deadline_timer"},
	{"sha", "sha_ni"},
	{"ds", "dts"},
	{"lzcnt", "abm"},
	{"xd", "nx"},
	{"1gb_pages", "pdpe1gb"},
	{"avx512_ifma", "avx512ifma"},
	{"avx512_vbmi", "avx512vbmi"},
	{"cet_ss", "shstk"},
	{"cet_ibt", "ibt"},
	{"constant_tsc", "invtsc"},
	{"nonstop_tsc", "invtsc"},
	{"kvmclock", "kvm_clocksource2"},
	{"stibp", "intel_stibp"},
	{"ssbd", "spec_ctrl_ssbd"},
	{"ibpb", "amd_ibpb"},
};

bool cpu_feature_at(size_t i, struct cpu_feature *feature)
{
	for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
		for (unsigned int bit = 0; bit < REG_BITS; bit++) {
			if (!words[w].names[bit] || i--)
				continue;
			*feature = (struct cpu_feature){.name = words[w].names[bit],
				.leaf = words[w].leaf,
				.subleaf = words[w].subleaf,
				.reg = words[w].reg,
				.bit = (uint8_t)bit};
			return true;
		}
	}
	return false;
}

/* Into out, of MAX_WORD + 1 bytes, as the table spells names; false when it is too long. */
static bool normalise(const char *name, size_t len, char *out)
{
	if (len > MAX_WORD)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = name[i] == '-' || name[i] == '.' ? '_'
							  : (char)tolower((unsigned char)name[i]);
	out[len] = '\0';
	return true;
}

static bool find_normal(const char *name, struct cpu_feature *feature)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcmp(aliases[i].name, name))
			name = aliases[i].feature;
	for (size_t i = 0; cpu_feature_at(i, feature); i++)
		if (!strcmp(feature->name, name))
			return true;
	return false;
}

bool cpu_feature_find(const char *name, struct cpu_feature *feature)
{
	char normal[MAX_WORD + 1];
	struct cpu_feature found;

	if (!normalise(name, strlen(name), normal) || !find_normal(normal, &found))
		return false;
	*feature = found;
	return true;
}

static int unknown_feature(const char *word, size_t len, const char *normal, struct error *err)
{
	struct cpu_feature feature;
	struct suggestion near;
	const char *best;

	suggest_start(&near, normal);
	for (size_t i = 0; cpu_feature_at(i, &feature); i++)
		suggest_offer(&near, feature.name);
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		suggest_offer(&near, aliases[i].name);
	best = suggest_best(&near);
	if (best)
		return error_set(err, -EINVAL, "unknown CPU feature '%.*s' (did you mean %s?)",
			(int)len, word, best);
	return error_set(err, -EINVAL, "unknown CPU feature '%.*s'", (int)len, word);
}

/* A later word on the same bit takes the earlier one's place. */
static int add_change(
	struct cpu_changes *changes, const struct cpu_feature *feature, bool on, struct error *err)
{
	size_t i;

	for (i = 0; i < changes->num; i++)
		if (changes->change[i].feature.name == feature->name)
			break;
	if (i == CPU_MAX_CHANGES)
		return error_set(err, -EINVAL, "more than %d CPU features", CPU_MAX_CHANGES);
	changes->change[i] = (struct cpu_change){.feature = *feature, .on = on};
	if (i == changes->num)
		changes->num++;
	return 0;
}

static int parse_word(
	const char *word, size_t len, bool first, struct cpu_changes *changes, struct error *err)
{
	struct cpu_feature feature;
	char normal[MAX_WORD + 1];

	if (first && len == 4 && !strncasecmp(word, "host", len))
		return 0;
	if (!len)
		return error_set(err, -EINVAL, "a CPU feature is missing between two commas");
	if (word[0] != '+' && word[0] != '-')
		return error_set(err, -EINVAL, "CPU feature '%.*s' needs a + or a - in front",
			(int)len, word);
	if (!normalise(word + 1, len - 1, normal))
		return error_set(err, -EINVAL, "unknown CPU feature '%.*s...'", MAX_WORD, word + 1);
	if (!find_normal(normal, &feature))
		return unknown_feature(word + 1, len - 1, normal, err);
	return add_change(changes, &feature, word[0] == '+', err);
}

int cpu_features_parse(const char *text, struct cpu_changes *changes, struct error *err)
{
	struct cpu_changes parsed = {.num = 0};
	const char *word = text;

	for (;;) {
		size_t len = strcspn(word, ",");
		int r = parse_word(word, len, word == text, &parsed, err);

		if (r)
			return r;
		if (!word[len])
			break;
		word += len + 1;
	}
	*changes = parsed;
	return 0;
}
