/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/cli/nested.h"

#include <cpuid.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* CPUID: leaf 1, ECX, which no hardware sets; then the leaf for the monitor's name. */
enum { CPUID_HYPERVISOR = 1u << 31 };
#define CPUID_MONITOR 0x40000000u

static void look_at_cpu(struct nested *nested)
{
	unsigned int eax, name[3], ecx = 0, unused;

	if (!__get_cpuid(1, &eax, &unused, &ecx, &unused) || !(ecx & CPUID_HYPERVISOR))
		return;
	nested->inside = true;
	__cpuid(CPUID_MONITOR, eax, name[0], name[1], name[2]);
	memcpy(nested->monitor, name, sizeof(name));
	for (char *p = nested->monitor; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* "Y" or "1", "N" or "0"; false: there is no such module. */
static bool look_at_module(const char *sys, const char *module, bool *ret)
{
	char path[PATH_MAX], value = '\0';
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/module/%s/parameters/nested", sys, module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, &value, 1);
	close(fd);
	*ret = value == 'Y' || value == '1';
	return n == 1;
}

void nested_look(struct nested *nested, const char *sys)
{
	static const char *const modules[] = {"kvm_intel", "kvm_amd"};

	*nested = (struct nested){.module = NULL};
	look_at_cpu(nested);
	for (size_t i = 0; i < ARRAY_SIZE(modules) && !nested->module; i++)
		if (look_at_module(sys, modules[i], &nested->allowed))
			nested->module = modules[i];
}

void nested_describe(const struct nested *nested, bool opens, char line[NESTED_LINE])
{
	char where[sizeof(nested->monitor) + 8] = "";

	if (nested->monitor[0])
		snprintf(where, sizeof(where), " (%s)", nested->monitor);
	if (nested->inside && opens)
		snprintf(line, NESTED_LINE,
			"  --   nested: this host is a virtual machine%s; guests are slower in it",
			where);
	else if (nested->inside)
		snprintf(line, NESTED_LINE,
			"  --   nested: this host is a virtual machine%s; its own host has to "
			"allow it virtual machines (with KVM: nested=1, and its CPU with vmx or "
			"svm)",
			where);
	else if (nested->module)
		snprintf(line, NESTED_LINE, "  --   nested: guests can%s run KVM (%s, nested=%d)",
			nested->allowed ? "" : "not", nested->module, nested->allowed);
	else
		snprintf(line, NESTED_LINE, "  --   nested: this host is not a virtual machine");
}
