/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU features: known bits, spellings, and the lists that --cpu takes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vcpu/cpuid/features.h"
#include "vm/core/error.h"

/* From the manuals, one or more of every register, the first and the last bit among them. */
static const struct {
	const char *name;
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	uint8_t bit;
} bits[] = {
	{"fpu", 1, 0, CPUID_EDX, 0},
	{"apic", 1, 0, CPUID_EDX, 9},
	{"sep", 1, 0, CPUID_EDX, 11},
	{"clflush", 1, 0, CPUID_EDX, 19},
	{"acpi", 1, 0, CPUID_EDX, 22},
	{"sse2", 1, 0, CPUID_EDX, 26},
	{"pbe", 1, 0, CPUID_EDX, 31},
	{"pni", 1, 0, CPUID_ECX, 0},
	{"pdcm", 1, 0, CPUID_ECX, 15},
	{"pcid", 1, 0, CPUID_ECX, 17},
	{"x2apic", 1, 0, CPUID_ECX, 21},
	{"tsc_deadline_timer", 1, 0, CPUID_ECX, 24},
	{"avx", 1, 0, CPUID_ECX, 28},
	{"hypervisor", 1, 0, CPUID_ECX, 31},
	{"arat", 6, 0, CPUID_EAX, 2},
	{"hwp", 6, 0, CPUID_EAX, 7},
	{"avx2", 7, 0, CPUID_EBX, 5},
	{"smep", 7, 0, CPUID_EBX, 7},
	{"avx512f", 7, 0, CPUID_EBX, 16},
	{"smap", 7, 0, CPUID_EBX, 20},
	{"sha_ni", 7, 0, CPUID_EBX, 29},
	{"avx512vl", 7, 0, CPUID_EBX, 31},
	{"umip", 7, 0, CPUID_ECX, 2},
	{"avx512_vpopcntdq", 7, 0, CPUID_ECX, 14},
	{"la57", 7, 0, CPUID_ECX, 16},
	{"rdpid", 7, 0, CPUID_ECX, 22},
	{"movdir64b", 7, 0, CPUID_ECX, 28},
	{"pks", 7, 0, CPUID_ECX, 31},
	{"fsrm", 7, 0, CPUID_EDX, 4},
	{"md_clear", 7, 0, CPUID_EDX, 10},
	{"serialize", 7, 0, CPUID_EDX, 14},
	{"amx_tile", 7, 0, CPUID_EDX, 24},
	{"spec_ctrl", 7, 0, CPUID_EDX, 26},
	{"arch_capabilities", 7, 0, CPUID_EDX, 29},
	{"spec_ctrl_ssbd", 7, 0, CPUID_EDX, 31},
	{"avx_vnni", 7, 1, CPUID_EAX, 4},
	{"fred", 7, 1, CPUID_EAX, 17},
	{"lam", 7, 1, CPUID_EAX, 26},
	{"prefetchiti", 7, 1, CPUID_EDX, 14},
	{"mcdt_no", 7, 2, CPUID_EDX, 5},
	{"xsaves", 0xD, 1, CPUID_EAX, 3},
	{"kvm_pv_unhalt", 0x40000001, 0, CPUID_EAX, 7},
	{"kvm_pv_send_ipi", 0x40000001, 0, CPUID_EAX, 11},
	{"kvm_clocksource_stable", 0x40000001, 0, CPUID_EAX, 24},
	{"svm", 0x80000001, 0, CPUID_ECX, 2},
	{"topoext", 0x80000001, 0, CPUID_ECX, 22},
	{"mwaitx", 0x80000001, 0, CPUID_ECX, 29},
	{"syscall", 0x80000001, 0, CPUID_EDX, 11},
	{"nx", 0x80000001, 0, CPUID_EDX, 20},
	{"pdpe1gb", 0x80000001, 0, CPUID_EDX, 26},
	{"lm", 0x80000001, 0, CPUID_EDX, 29},
	{"invtsc", 0x80000007, 0, CPUID_EDX, 8},
	{"wbnoinvd", 0x80000008, 0, CPUID_EBX, 9},
	{"virt_ssbd", 0x80000008, 0, CPUID_EBX, 25},
	{"btc_no", 0x80000008, 0, CPUID_EBX, 29},
	{"nrip_save", 0x8000000A, 0, CPUID_EDX, 3},
	{"vgif", 0x8000000A, 0, CPUID_EDX, 16},
	{"autoibrs", 0x80000021, 0, CPUID_EAX, 8},
};

static void known_bits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		struct cpu_feature f;

		if (!cpu_feature_find(bits[i].name, &f))
			fail_msg("%s is missing", bits[i].name);
		assert_string_equal(f.name, bits[i].name);
		if (f.leaf != bits[i].leaf || f.subleaf != bits[i].subleaf ||
			f.reg != bits[i].reg || f.bit != bits[i].bit)
			fail_msg("%s is at 0x%x.%u register %d bit %d", f.name, f.leaf, f.subleaf,
				(int)f.reg, (int)f.bit);
	}
}

static void no_name_and_no_bit_twice(void **state)
{
	struct cpu_feature a, b;

	(void)state;
	for (size_t i = 0; cpu_feature_at(i, &a); i++) {
		assert_true(strlen(a.name) <= 31);
		assert_null(strpbrk(a.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-"));
		assert_true(cpu_feature_find(a.name, &b));
		assert_ptr_equal(a.name, b.name);
		for (size_t j = 0; j < i && cpu_feature_at(j, &b); j++) {
			assert_string_not_equal(a.name, b.name);
			assert_false(a.leaf == b.leaf && a.subleaf == b.subleaf && a.reg == b.reg &&
				     a.bit == b.bit);
		}
	}
	assert_false(cpu_feature_at(SIZE_MAX, &a));
}

static void spellings(void **state)
{
	static const struct {
		const char *name, *feature;
	} cases[] = {{"SSE4.1", "sse4_1"}, {"sse4-2", "sse4_2"}, {"sse3", "pni"}, {"AES", "aes"},
		{"aes-ni", NULL}, {"aesni", "aes"}, {"tsc-deadline", "tsc_deadline_timer"},
		{"cmpxchg16b", "cx16"}, {"nonstop_tsc", "invtsc"}, {"kvmclock", "kvm_clocksource2"},
		{"lzcnt", "abm"}, {"sha", "sha_ni"}, {"", NULL}, {"avx512", NULL}, {"host", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_feature f = {.name = "untouched"};

		if (cpu_feature_find(cases[i].name, &f) != (cases[i].feature != NULL))
			fail_msg("%s", cases[i].name);
		assert_string_equal(f.name, cases[i].feature ? cases[i].feature : "untouched");
	}
}

/* Lists, and what becomes of them: the changes in order, written back. */
static void lists(void **state)
{
	static const struct {
		const char *text, *changes;
	} cases[] = {
		{"host", ""},
		{"HOST", ""},
		{"host,-avx512f,+x2apic", "-avx512f +x2apic "},
		{"-avx512f,+x2apic", "-avx512f +x2apic "},
		{"+SSE4.1", "+sse4_1 "},
		{"-avx,+avx", "+avx "},
		{"+pni,-x2apic,-sse3", "-pni -x2apic "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_changes changes;
		char text[256] = "";

		assert_int_equal(cpu_features_parse(cases[i].text, &changes, NULL), 0);
		for (size_t j = 0; j < changes.num; j++)
			sprintf(text + strlen(text), "%c%s ", changes.change[j].on ? '+' : '-',
				changes.change[j].feature.name);
		assert_string_equal(text, cases[i].changes);
	}
}

static void bad_lists(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"avx2", "CPU feature 'avx2' needs a + or a - in front"},
		{"+avx,host", "CPU feature 'host' needs a + or a -"},
		{"hosts", "CPU feature 'hosts' needs"},
		{"-avx,,+aes", "missing between two commas"},
		{"host,", "missing between two commas"},
		{",host", "missing between two commas"},
		{"+", "unknown CPU feature ''"},
		{"-avx512", "unknown CPU feature 'avx512' (did you mean avx512f?)"},
		{"-x2apci", "(did you mean x2apic?)"},
		{"-cmpxchg16", "(did you mean cmpxchg16b?)"},
		{"-zzzzzzzzz", "unknown CPU feature 'zzzzzzzzz'"},
		{"+ avx", "unknown CPU feature ' avx'"},
		{"-aaaaaaaaaabbbbbbbbbbccccccccccdd", "'aaaaaaaaaabbbbbbbbbbccccccccccd...'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_changes changes = {.num = 99};
		struct error err = {""};

		assert_int_equal(cpu_features_parse(cases[i].text, &changes, &err), -EINVAL);
		assert_int_equal(changes.num, 99);
		if (!strstr(err.text, cases[i].words))
			fail_msg("'%s': '%s'", cases[i].text, err.text);
	}
}

static void as_many_as_fit(void **state)
{
	struct cpu_changes changes;
	struct cpu_feature f;
	struct error err = {""};
	char text[4096] = "host";

	(void)state;
	for (size_t i = 0; i < CPU_MAX_CHANGES; i++) {
		assert_true(cpu_feature_at(i, &f));
		sprintf(text + strlen(text), ",-%s", f.name);
	}
	assert_int_equal(cpu_features_parse(text, &changes, &err), 0);
	assert_int_equal(changes.num, CPU_MAX_CHANGES);
	assert_true(cpu_feature_at(0, &f));
	sprintf(text + strlen(text), ",+%s", f.name); /* one that is in the list is no more */
	assert_int_equal(cpu_features_parse(text, &changes, &err), 0);
	assert_int_equal(changes.num, CPU_MAX_CHANGES);
	assert_true(changes.change[0].on);
	assert_true(cpu_feature_at(CPU_MAX_CHANGES, &f));
	sprintf(text + strlen(text), ",+%s", f.name);
	assert_int_equal(cpu_features_parse(text, &changes, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bits),
		cmocka_unit_test(no_name_and_no_bit_twice),
		cmocka_unit_test(spellings),
		cmocka_unit_test(lists),
		cmocka_unit_test(bad_lists),
		cmocka_unit_test(as_many_as_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
