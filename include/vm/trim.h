/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_TRIM_H
#define BANTAM_VM_TRIM_H

/* Gives back what only the start of a VM needed. For the main thread, once the guest runs. */
void trim_start(void);

#endif
