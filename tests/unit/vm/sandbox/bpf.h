/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel does with a filter (kernel: Documentation/userspace-api/seccomp_filter.rst). */
#ifndef TESTS_UNIT_VM_SANDBOX_BPF_H
#define TESTS_UNIT_VM_SANDBOX_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/* What the filter returns for the call. */
uint32_t bpf_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data);

#endif
