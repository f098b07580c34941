/* SPDX-License-Identifier: BSD-2-Clause */
/* What keeper and helper do to themselves before they begin, and what the helper says and asks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper_private.h"
#include "vm/core/error.h"

/* So long a helper waits for an answer that the keeper gives at once, if it is there. */
enum { ANSWER_MS = 100, MANY_FDS = 65536 };

/* Sanitizers want a lot of memory, and to be heard. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- both ---- */

static void close_from(int first)
{
	struct rlimit limit;

	if (close_range((unsigned int)first, ~0u, 0) == 0)
		return;
	/* Linux before 5.9 */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > MANY_FDS)
		limit.rlim_cur = MANY_FDS;
	for (int fd = first; fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

/* They may be numbers that others shall become: all move out of the way first. */
static int place_descriptors(const int fds[HELPER_FDS])
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int away[HELPER_FDS], ask[2];

	for (int i = 0; i < HELPER_FDS; i++) {
		away[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, NUM_FDS);
		if (away[i] < 0)
			return -errno;
	}
	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		const int high = fcntl(ask[i], F_DUPFD_CLOEXEC, NUM_FDS);

		if (high < 0)
			return -errno;
		ask[i] = high;
	}
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (!(SANITIZED && fd == STDERR_FILENO) && dup2(null, fd) < 0)
			return -errno;
	for (int i = 0; i < HELPER_FDS; i++)
		if (dup3(away[i], FD_CONTROL + i, O_CLOEXEC) < 0)
			return -errno;
	if (dup3(ask[0], FD_KEEPER_ASK, O_CLOEXEC) < 0 ||
		dup3(ask[1], FD_HELPER_ASK, O_CLOEXEC) < 0)
		return -errno;
	close_from(NUM_FDS);
	return 0;
}

static void limit(__rlimit_resource_t resource, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(resource, &now) < 0)
		return;
	now.rlim_max = MIN(now.rlim_max, most);
	now.rlim_cur = now.rlim_max;
	setrlimit(resource, &now);
}

int helper_process_begin(const struct helper_config *config, const int fds[HELPER_FDS])
{
	int rc = place_descriptors(fds);

	(void)config;
	if (rc < 0)
		return rc;
	if (chdir("/") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* Signals to our process group, or keys of the terminal, are meant for the VM. */
	setsid();
	prctl(PR_SET_DUMPABLE, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	return 0;
}

void helper_process_say(
	int fd, enum helper_news news, unsigned int generation, int code, const char *text)
{
	struct helper_wire wire = {.news = (uint8_t)news, .generation = generation, .code = code};

	snprintf(wire.text, sizeof(wire.text), "%s", text);
	/* Without anybody there, we are about to end. */
	if (send(fd, &wire, offsetof(struct helper_wire, text) + strlen(wire.text), MSG_NOSIGNAL) <
		0)
		return;
}

/* ---- the helper ---- */

static int map_memory(const struct helper_config *config, struct helper_self *self)
{
	const size_t size = HELPER_SHARED + config->memory;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, FD_MEMORY, 0);

	if (memory == MAP_FAILED)
		return -errno;
	self->shared = memory;
	self->memory = (uint8_t *)memory + HELPER_SHARED;
	return 0;
}

/* Processes are counted for each user: one that has others can start no more. */
static void limit_helper(const struct helper_config *config)
{
	limit(RLIMIT_NPROC, 0);
	if (config->max_files)
		limit(RLIMIT_NOFILE, config->max_files);
	if (config->heap && !SANITIZED)
		limit(RLIMIT_DATA, config->heap);
}

static int run(
	const struct helper_config *config, struct helper_self *self, int keeper, struct error *err)
{
	int rc;

	prctl(PR_SET_NAME, config->name);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before that. */
	if (getppid() != keeper)
		_exit(1);
	/* Who complains on stderr, as libraries do, is heard. */
	if (!SANITIZED)
		dup2(FD_LINES, STDERR_FILENO);
	rc = map_memory(config, self);
	if (rc < 0)
		return error_set_errno(err, rc, "%s: memory", config->name);
	close(FD_MEMORY);
	close(FD_CONTROL);
	close(FD_KEEPER_ASK);
	close_from(NUM_FDS);
	limit_helper(config);
	return config->body(config->opaque, self, err);
}

void helper_process_run(const struct helper_config *config, int keeper, unsigned int generation)
{
	struct helper_self self = {.wake = FD_WAKE,
		.vm_wake = FD_VM_WAKE,
		.lines = FD_LINES,
		.ask = FD_HELPER_ASK,
		.generation = generation,
		.confine = config->confine};
	struct error err = {""};
	const int rc = run(config, &self, keeper, &err);

	if (rc < 0)
		helper_process_say(FD_LINES, HELPER_FAILED, generation, rc, err.text);
	_exit(rc < 0 ? HELPER_EXIT_FAILED : 0);
}

int helper_ready(struct helper_self *self, struct error *err)
{
	struct pollfd pfd = {.fd = self->wake, .events = POLLIN};
	uint64_t count;
	int rc = 0;

	if (self->confine)
		rc = self->confine->enter(self->confine->opaque, HELPER_BODY, err);
	if (rc < 0)
		return rc;
	helper_process_say(self->lines, HELPER_READY, self->generation, 0, "");
	while (atomic_load(&self->shared->go) != self->generation) {
		poll(&pfd, 1, -1);
		if (read(self->wake, &count, sizeof(count)) < 0)
			continue;
	}
	return 0;
}

size_t helper_ask(struct helper_self *self, void *buf, size_t size)
{
	struct pollfd pfd = {.fd = self->ask, .events = POLLIN};
	ssize_t n;

	/* One that came too late for who asked before */
	while (recv(self->ask, buf, size, MSG_DONTWAIT) > 0)
		continue;
	if (send(self->ask, "?", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1 ||
		poll(&pfd, 1, ANSWER_MS) != 1)
		return 0;
	n = recv(self->ask, buf, size, MSG_DONTWAIT);
	return n > 0 ? (size_t)n : 0;
}
