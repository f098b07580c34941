/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper starts helpers, one after the other, and ends with the VM. It reads what the VM says,
 * one byte, and takes note that the helper asks, whatever it says; so nothing that a stranger has
 * sent gets here. Its memory is what the VM's was at the fork: libraries that the helper needs are
 * loaded once, here, and each helper begins with a fresh copy.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper_private.h"
#include "restart.h"
#include "vm/core/error.h"

struct keeper {
	const struct helper_config *config;
	int children; /* a signalfd for SIGCHLD */
	pid_t helper; /* 0: there is none */
	unsigned int generation;
	struct restart restart;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NSEC_PER_MSEC;
}

static void leave(struct keeper *k) __attribute__((noreturn));

static void leave(struct keeper *k)
{
	if (k->helper)
		kill(k->helper, SIGKILL);
	_exit(0);
}

static void fail(int rc, const struct error *err) __attribute__((noreturn));

static void fail(int rc, const struct error *err)
{
	helper_process_say(FD_CONTROL, HELPER_FAILED, 0, rc, err->text);
	_exit(HELPER_EXIT_FAILED);
}

/* ---- what others say ---- */

static void heed_vm(struct keeper *k)
{
	char order;
	const ssize_t n = recv(FD_CONTROL, &order, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		leave(k);
	if (order == HELPER_ORDER_RESTART && k->helper)
		kill(k->helper, SIGKILL);
}

/* Its end of the socket is open here, too: only a helper that is not ours any more shuts it. */
static void give_up(struct keeper *k, const char *why) __attribute__((noreturn));

static void give_up(struct keeper *k, const char *why)
{
	helper_process_say(FD_CONTROL, HELPER_GAVE_UP, k->generation, 0, why);
	leave(k);
}

static void give_answer(struct keeper *k)
{
	char answer[HELPER_ANSWER], question;
	size_t n = 0;

	if (recv(FD_KEEPER_ASK, &question, 1, MSG_DONTWAIT) <= 0)
		return;
	if (k->config->answer)
		n = k->config->answer(k->config->opaque, answer, sizeof(answer));
	/* A helper that does not fetch its answers gets no more. */
	if (n && send(FD_KEEPER_ASK, answer, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* ---- the helper's life ---- */

/* -errno when there can be none. */
static int start_helper(struct keeper *k)
{
	const pid_t keeper = getpid(), pid = fork();

	if (pid == 0)
		helper_process_run(k->config, keeper, k->generation);
	k->helper = pid > 0 ? pid : 0;
	return pid < 0 ? -errno : 0;
}

/* True: the helper has ended, with that status. Waits until then, or for ms (-1: no limit). */
static bool watch(struct keeper *k, int ms, int *status)
{
	struct pollfd fds[] = {{.fd = FD_CONTROL, .events = POLLIN},
		{.fd = k->children, .events = POLLIN},
		{.fd = FD_KEEPER_ASK, .events = POLLIN | POLLRDHUP}};
	const uint64_t end = now_ms() + (uint64_t)MAX(ms, 0);
	struct signalfd_siginfo info;

	while (ms < 0 || now_ms() < end) {
		if (poll(fds, ARRAY_SIZE(fds), ms < 0 ? -1 : (int)(end - now_ms())) < 0)
			continue;
		if (fds[0].revents)
			heed_vm(k);
		if (fds[2].revents & (POLLRDHUP | POLLHUP))
			give_up(k, "it has hung up");
		if (fds[2].revents & POLLIN)
			give_answer(k);
		if (!(fds[1].revents & POLLIN) ||
			read(k->children, &info, sizeof(info)) != sizeof(info))
			continue;
		if (k->helper && waitpid(k->helper, status, WNOHANG) == k->helper) {
			k->helper = 0;
			return true;
		}
	}
	return false;
}

static void describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "with status %d", WEXITSTATUS(status));
}

/* One helper, to its end, and how long to wait for the next one. */
static void one_life(struct keeper *k)
{
	const uint64_t began = now_ms();
	const int rc = start_helper(k);
	char text[128];
	int status = 0, ms;

	if (rc == 0) {
		watch(k, -1, &status);
		describe(status, text, sizeof(text));
	} else {
		snprintf(text, sizeof(text), "before it began: %s", strerror(-rc));
	}
	/* The first one has told the VM why. */
	if (k->generation == 1 && WIFEXITED(status) && WEXITSTATUS(status) == HELPER_EXIT_FAILED)
		_exit(0);
	ms = restart_after(&k->restart, now_ms() - began);
	helper_process_say(
		FD_CONTROL, ms < 0 ? HELPER_GAVE_UP : HELPER_DIED, k->generation, 0, text);
	if (ms < 0)
		_exit(0);
	watch(k, ms, &status);
}

void helper_keep(const struct helper_config *config)
{
	struct keeper k = {.config = config};
	struct error err = {""};
	sigset_t child;
	int rc = 0;

	prctl(PR_SET_NAME, "bantam-keeper");
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (config->prepare)
		rc = config->prepare(config->opaque, &err);
	k.children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!rc && k.children < 0)
		rc = error_set_errno(&err, -errno, "%s: signalfd", config->name);
	if (!rc && config->confine)
		rc = config->confine->enter(config->confine->opaque, HELPER_KEEPER, &err);
	if (rc < 0)
		fail(rc, &err);
	for (;;) {
		k.generation++;
		one_life(&k);
	}
}
