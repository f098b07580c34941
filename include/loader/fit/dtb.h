/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device tree of the machine, for kernels that read one on x86 (CONFIG_OF). They get it behind a
 * struct setup_data; Documentation/devices.md lists what is in it.
 */
#ifndef BANTAM_LOADER_FIT_DTB_H
#define BANTAM_LOADER_FIT_DTB_H

#include "vm/core/base.h"

struct error;
struct guest_mem;

enum { DTB_MAX_SERIAL = 4, DTB_MAX = 256 * 1024 };

struct dtb_config {
	const struct guest_mem *mem;
	unsigned int num_cpus;	     /* APIC ids are 0..num_cpus - 1 */
	bool serial[DTB_MAX_SERIAL]; /* COM1 to COM4 */
	unsigned int virtio_mmio;    /* devices at LAYOUT_VIRTIO_MMIO_BASE */
	const char *cmdline;
};

/* Makes the tree; the caller frees *ret. -ENOSPC where it is longer than DTB_MAX; -ENOMEM. */
int dtb_build(const struct dtb_config *config, void **ret, size_t *size, struct error *err);

#endif
