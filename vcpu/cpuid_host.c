/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks KVM for the leaves it supports: once per VM, as the answer takes KVM hundreds of CPUIDs. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vcpu/cpuid/cpuid.h"
#include "vm/core/error.h"
#include "vm/kvm/kvm.h"

/* KVM's own limit, KVM_MAX_CPUID_ENTRIES. */
enum { MAX_ENTRIES = 256 };

int cpuid_template_create(const struct kvm_host *host, const struct cpuid_config *config,
	struct cpuid_template **ret, struct error *err)
{
	struct kvm_cpuid2 *supported;
	int rc;

	supported = calloc(1, sizeof(*supported) + MAX_ENTRIES * sizeof(supported->entries[0]));
	if (!supported)
		return error_set_errno(err, -ENOMEM, "CPUID");
	supported->nent = MAX_ENTRIES;
	if (ioctl(kvm_host_fd(host), KVM_GET_SUPPORTED_CPUID, supported) < 0)
		rc = error_set_errno(err, -errno, "KVM_GET_SUPPORTED_CPUID");
	else
		rc = cpuid_template_from(supported, config, ret, err);
	free(supported);
	return rc;
}
