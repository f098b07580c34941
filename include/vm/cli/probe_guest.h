/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the probe guest (vm/cli/probe_guest.S) and `bantam doctor`. */
#ifndef BANTAM_VM_CLI_PROBE_GUEST_H
#define BANTAM_VM_CLI_PROBE_GUEST_H

#define PROBE_PORT 0x80

/* Stages, in the order in which they are tried */
#define PROBE_ENTERED	 1
#define PROBE_SYSTEM	 2
#define PROBE_LOOP	 3 /* PROBE_LOOPS times two instructions, timed */
#define PROBE_CMPXCHG16B 4
#define PROBE_FPU	 5
#define PROBE_SSE	 6
#define PROBE_DONE	 7

#define PROBE_LOOPS	 200000

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const unsigned char probe_guest[];
extern const uint32_t probe_guest_size; /* bytes */
#endif

#endif
