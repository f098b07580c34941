/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_SIGBUS_H
#define BANTAM_VM_SIGBUS_H

struct error;

/* From now on a SIGBUS ends the process with a line that says why, and EXIT_HOST. 0 or -errno. */
int sigbus_setup(struct error *err);

#endif
