/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kernel to boot when none was named: the newest one of a directory such as /boot. */
#ifndef BANTAM_VM_CONFIG_KERNEL_FIND_H
#define BANTAM_VM_CONFIG_KERNEL_FIND_H

#include <limits.h>

#include "vm/core/base.h"

struct error;

struct kernel_found {
	char path[PATH_MAX];	  /* "dir/vmlinuz-6.1.0-18-amd64" */
	char newer[NAME_MAX + 1]; /* the newest of them that could not be read, newer
				   * than path; "" if none */
};

/*
 * Looks for vmlinuz-* in dir: regular files (or links to some) that this process may read, the
 * highest version first; leftovers of package managers (.old, .dpkg-new...) do not count. Opens no
 * kernel. Returns 0; -ENOENT when there is no kernel, -EACCES when none of them can be read (the
 * text names the newest), or what opening dir gave. *found is untouched on failure.
 */
int kernel_find(const char *dir, struct kernel_found *found, struct error *err);

/*
 * The initial RAM disk that a distribution has put beside a kernel of its own, by their names:
 * initrd.img-V or initramfs-V beside vmlinuz-V, say. False when there is none that this process may
 * read; otherwise path is filled.
 */
bool kernel_find_initrd(const char *kernel, char path[PATH_MAX]);

/* Orders kernel versions: numbers by value, "6.2-rc3" before "6.2". <0, 0, >0 as strcmp. */
int kernel_version_compare(const char *a, const char *b);

#endif
