/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that makes a call it has no need of is not ours any more, or we have forgotten a line in
 * a list. Either way the process ends, and says what it was: a person should be able to tell us.
 * The terminal's modes come back by the guard (devices/char/guard.c).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <termios.h>
#include <ucontext.h>
#include <unistd.h>

#include "vm/config/exit_code.h"
#include "vm/core/base.h"
#include "vm/core/error.h"
#include "vm/sandbox/filter.h"

#define FILTER_NAMES
#include "sandbox_filters.h"

const char *confine_class_name(enum confine_class what)
{
	static const char names[NUM_CONFINE_CLASSES][16] = {
		[CONFINE_MAIN] = "main",
		[CONFINE_MAIN_USER] = "main-user",
		[CONFINE_MAIN_FS] = "main-fs",
		[CONFINE_MAIN_USER_FS] = "main-user-fs",
		[CONFINE_VCPU] = "vcpu",
		[CONFINE_DISK] = "disk",
		[CONFINE_NET] = "net",
		[CONFINE_NET_USER] = "net-user",
		[CONFINE_FS] = "fs",
		[CONFINE_DUMP] = "dump",
		[CONFINE_GUARD] = "guard",
		[CONFINE_JANITOR] = "janitor",
		[CONFINE_KEEPER] = "keeper",
		[CONFINE_NET_HELPER] = "net-helper",
	};

	return what < NUM_CONFINE_CLASSES ? names[what] : "unknown";
}

struct line {
	char *buf;
	size_t size, len;
};

static void put(struct line *line, const char *text)
{
	while (*text && line->len + 1 < line->size)
		line->buf[line->len++] = *text++;
	line->buf[line->len] = '\0';
}

static void put_number(struct line *line, unsigned long value, unsigned int base)
{
	char digits[24];
	size_t n = sizeof(digits);

	digits[--n] = '\0';
	do {
		digits[--n] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put(line, base == 16 ? "0x" : "");
	put(line, &digits[n]);
}

static void put_call(struct line *line, long nr)
{
	if (nr >= 0 && nr < (long)ARRAY_SIZE(call_name_at) && call_name_at[nr]) {
		put(line, &call_names[call_name_at[nr]]);
		return;
	}
	put(line, "call ");
	put_number(line, (unsigned long)nr, 10);
}

size_t denial_text(char *buf, size_t size, const char *what, long nr, const unsigned long args[6])
{
	struct line line = {.buf = buf, .size = size};

	put(&line, "bantam: the sandbox denied ");
	put_call(&line, nr);
	for (unsigned int i = 0; i < 6; i++) {
		put(&line, i ? ", " : "(");
		put_number(&line, args[i], 16);
	}
	put(&line, ") to the ");
	put(&line, what);
	put(&line,
		" thread; please report this line, and what the guest did; --sandbox log goes on");
	return line.len;
}

/* Async-signal-safe calls only. */
static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	const greg_t *regs = ((const ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned long args[6] = {(unsigned long)regs[REG_RDI], (unsigned long)regs[REG_RSI],
		(unsigned long)regs[REG_RDX], (unsigned long)regs[REG_R10],
		(unsigned long)regs[REG_R8], (unsigned long)regs[REG_R9]};
	char text[512];
	struct termios modes;
	size_t len;

	/* Somebody's kill(1), which says nothing of a call */
	if (info->si_code <= 0)
		_exit(EXIT_SIGNAL_BASE + signal);
	len = denial_text(text, sizeof(text) - 2,
		confine_class_name((enum confine_class)info->si_errno), info->si_syscall, args);
	if (tcgetattr(STDERR_FILENO, &modes) == 0 && !(modes.c_oflag & OPOST))
		text[len++] = '\r';
	text[len++] = '\n';
	if (write(STDERR_FILENO, text, len) < 0)
		_exit(EXIT_DENIED);
	_exit(EXIT_DENIED);
}

int denial_setup(const struct sandbox_sys *sys, struct error *err)
{
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	/* The C library's, as it has the way back from a handler; a fake host has no signals. */
	if (sys == &sandbox_sys_host && sigaction(SIGSYS, &action, NULL) < 0)
		return error_set_errno(err, -errno, "signal handler");
	return 0;
}
