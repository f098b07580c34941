/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_MACHINE_HUGETLB_H
#define BANTAM_VM_MACHINE_HUGETLB_H

#include "vm/core/base.h"

enum { HUGETLB_WHERE = 256 };

/*
 * How many bytes of 2 MiB pages the cgroups leave us, and in where the file that says so. A limit
 * is the kernel's business only once a page is used, and then it kills. UINT64_MAX: there is no
 * limit, or none that can be seen. groups is /proc/self/cgroup, mount /sys/fs/cgroup.
 */
uint64_t hugetlb_room(const char *groups, const char *mount, char where[HUGETLB_WHERE]);

#endif
