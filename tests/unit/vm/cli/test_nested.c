/* SPDX-License-Identifier: BSD-2-Clause */
/* What `bantam doctor` says of nested virtualization. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/cli/nested.h"

static const struct {
	struct nested nested;
	bool opens;
	const char *words;
} lines[] = {
	{{.inside = true, .monitor = "KVMKVMKVM"}, true,
		"a virtual machine (KVMKVMKVM); guests are"},
	{{.inside = true}, true, "a virtual machine; guests are slower"},
	{{.inside = true, .monitor = "VMwareVMware"}, false, "(VMwareVMware); its own host has to"},
	{{.inside = true, .module = "kvm_intel", .allowed = true}, true, "guests are slower"},
	{{.module = "kvm_intel", .allowed = true}, true,
		"guests can run KVM (kvm_intel, nested=1)"},
	{{.module = "kvm_amd"}, true, "guests cannot run KVM (kvm_amd, nested=0)"},
	{{.inside = false}, false, "this host is not a virtual machine"},
};

static void descriptions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char line[NESTED_LINE];

		nested_describe(&lines[i].nested, lines[i].opens, line);
		if (!strstr(line, lines[i].words) || strncmp(line, "  --   nested: ", 15))
			fail_msg("'%s', not '%s'", line, lines[i].words);
		assert_true(strlen(line) < NESTED_LINE - 1);
	}
}

static const struct {
	const char *module, *value; /* NULL: there is none */
	bool allowed;
} modules[] = {
	{"kvm_intel", "Y\n", true},
	{"kvm_intel", "N\n", false},
	{"kvm_amd", "1\n", true},
	{"kvm_amd", "0\n", false},
	{NULL, NULL, false},
};

static void write_parameter(const char *sys, const char *module, const char *value)
{
	static const char *const parts[] = {"module", NULL, "parameters"};
	char path[256];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s", sys);
	FILE *file;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		len += (size_t)snprintf(
			path + len, sizeof(path) - len, "/%s", parts[i] ? parts[i] : module);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(path + len, sizeof(path) - len, "/nested");
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(value, file);
	fclose(file);
}

static void parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		char sys[] = "/tmp/bantam-test-XXXXXX", command[64];
		struct nested nested;

		assert_non_null(mkdtemp(sys));
		if (modules[i].module)
			write_parameter(sys, modules[i].module, modules[i].value);
		nested_look(&nested, sys);
		if (modules[i].module)
			assert_string_equal(nested.module, modules[i].module);
		else
			assert_null(nested.module);
		assert_int_equal(nested.allowed, modules[i].allowed);
		snprintf(command, sizeof(command), "rm -r %s", sys);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptions),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
