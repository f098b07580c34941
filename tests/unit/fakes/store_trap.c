/* SPDX-License-Identifier: BSD-2-Clause */
#include "store_trap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct {
	uint8_t *page; /* NULL: not armed */
	void (*fn)(void *opaque);
	void *opaque;
	struct sigaction before;
} trap;

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Not for longer than a store: what faults for another reason dies of it. */
static void release(void)
{
	must(mprotect(trap.page, STORE_TRAP_PAGE, PROT_READ | PROT_WRITE) == 0);
	must(sigaction(SIGSEGV, &trap.before, NULL) == 0);
	trap.page = NULL;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	const uintptr_t at = (uintptr_t)info->si_addr;
	const uintptr_t page = (uintptr_t)trap.page;

	(void)sig, (void)context;
	release();
	if (at - page < STORE_TRAP_PAGE)
		trap.fn(trap.opaque);
}

void store_trap_arm(void *page, void (*fn)(void *opaque), void *opaque)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	must(!trap.page && !((uintptr_t)page % STORE_TRAP_PAGE));
	trap.page = page;
	trap.fn = fn;
	trap.opaque = opaque;
	sigemptyset(&action.sa_mask);
	must(sigaction(SIGSEGV, &action, &trap.before) == 0);
	must(mprotect(page, STORE_TRAP_PAGE, PROT_READ) == 0);
}

bool store_trap_disarm(void)
{
	const bool happened = !trap.page;

	if (!happened)
		release();
	return happened;
}
