/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_CORE_WRITE_ALL_H
#define BANTAM_VM_CORE_WRITE_ALL_H

#include <stddef.h>

/* write(2) until all is written, for files: -errno when it fails, and some may be there then. */
int write_all(int fd, const void *bytes, size_t size);

#endif
