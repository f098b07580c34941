/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's number of a thread, which the C library knows: it is in its clock (clock_getres(2)).
 */
#ifndef BANTAM_VM_CORE_THREAD_ID_H
#define BANTAM_VM_CORE_THREAD_ID_H

#include <pthread.h>
#include <time.h>

/* The main thread's is the process's. -1 for one that is gone. No system call. */
static inline int thread_id(pthread_t thread)
{
	clockid_t clock;

	return pthread_getcpuclockid(thread, &clock) ? -1 : (int)~(clock >> 3);
}

#endif
