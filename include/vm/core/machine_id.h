/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_CORE_MACHINE_ID_H
#define BANTAM_VM_CORE_MACHINE_ID_H

enum { MACHINE_ID_SIZE = 64 };

/* This host's own number, as its file has it (machine-id(5)); "" where there is none. */
void machine_id_read(char id[MACHINE_ID_SIZE]);

#endif
