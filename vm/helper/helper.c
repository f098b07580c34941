/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's side. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper_private.h"
#include "vm/core/error.h"

/* How long the first start may take, and how often, 1 ms apart, a keeper is asked if it has ended.
 */
enum { START_MS = 60000, REAP_TRIES = 1000 };

struct helper {
	pid_t keeper; /* 0: another process has started it */
	int fds[HELPER_FDS];
	struct helper_shared *shared;
	size_t size; /* with the page before */
};

/* ---- making and ending it ---- */

static void close_all(int *fds, size_t num)
{
	for (size_t i = 0; i < num; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void free_helper(struct helper *helper)
{
	if (helper->shared)
		munmap(helper->shared, helper->size);
	close_all(helper->fds, HELPER_FDS);
	free(helper);
}

static struct helper *allocate(size_t memory)
{
	struct helper *helper = calloc(1, sizeof(*helper));

	if (!helper)
		return NULL;
	helper->size = HELPER_SHARED + memory;
	for (int i = 0; i < HELPER_FDS; i++)
		helper->fds[i] = -1;
	return helper;
}

/* Sealed, as memory that somebody cuts off is a SIGBUS. */
static int make_memory(struct helper *helper)
{
	const int fd = memfd_create("bantam-helper", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	helper->fds[HELPER_FD_MEMORY] = fd;
	if (fd < 0 || ftruncate(fd, (off_t)helper->size) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

static int map_memory(struct helper *helper)
{
	void *memory = mmap(NULL, helper->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		helper->fds[HELPER_FD_MEMORY], 0);

	if (memory == MAP_FAILED)
		return -errno;
	madvise(memory, helper->size, MADV_DONTFORK);
	helper->shared = memory;
	return 0;
}

/* theirs: the other ends. */
static int make_descriptors(struct helper *helper, int theirs[HELPER_FDS])
{
	int rc;

	for (int i = HELPER_FD_CONTROL; i <= HELPER_FD_LINES; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
			return -errno;
		helper->fds[i] = ends[0];
		theirs[i] = ends[1];
	}
	rc = make_memory(helper);
	if (rc < 0)
		return rc;
	for (int i = HELPER_FD_WAKE; i <= HELPER_FD_VM_WAKE; i++) {
		helper->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (helper->fds[i] < 0)
			return -errno;
	}
	for (int i = HELPER_FD_MEMORY; i < HELPER_FDS; i++)
		theirs[i] = helper->fds[i];
	return 0;
}

/* All signals are blocked in both, but for those that tell of a crash, which cannot be. */
static int fork_keeper(const struct helper_config *config, const int fds[HELPER_FDS], pid_t *ret)
{
	sigset_t all, before;
	pid_t pid;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	rc = -errno;
	if (pid == 0) {
		rc = helper_process_begin(config, fds);
		if (rc < 0)
			_exit(HELPER_EXIT_FAILED);
		helper_keep(config);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	*ret = pid;
	return pid < 0 ? rc : 0;
}

int helper_start(const struct helper_config *config, struct helper **ret, struct error *err)
{
	int theirs[HELPER_FDS] = {-1, -1, -1, -1, -1};
	struct helper *helper = allocate(config->memory);
	int rc;

	if (!helper)
		return error_set_errno(err, -ENOMEM, "%s", config->name);
	rc = make_descriptors(helper, theirs);
	if (!rc)
		rc = fork_keeper(config, theirs, &helper->keeper);
	close_all(theirs, HELPER_FD_LINES + 1);
	if (!rc)
		rc = map_memory(helper);
	if (rc < 0) {
		helper->keeper = MAX(helper->keeper, 0);
		helper_close(helper);
		return error_set_errno(err, rc, "%s: a process of its own", config->name);
	}
	*ret = helper;
	return 0;
}

/* It ends when its socket does. Should somebody have stopped it, it is not reaped: the number still
 * is its own. */
static void reap(pid_t keeper)
{
	const struct timespec pause = {.tv_nsec = (long)NSEC_PER_MSEC};

	for (unsigned int i = 0; i < REAP_TRIES; i++) {
		if (waitpid(keeper, NULL, WNOHANG) != 0)
			return;
		nanosleep(&pause, NULL);
	}
	kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
}

void helper_close(struct helper *helper)
{
	pid_t keeper;

	if (!helper)
		return;
	keeper = helper->keeper;
	/* Who has handed it to us may have it open yet. */
	if (helper->fds[HELPER_FD_CONTROL] >= 0)
		shutdown(helper->fds[HELPER_FD_CONTROL], SHUT_RDWR);
	free_helper(helper);
	if (keeper)
		reap(keeper);
}

void helper_release(struct helper *helper)
{
	free_helper(helper);
}

/* ---- handing it on ---- */

void helper_descriptors(const struct helper *helper, int fds[HELPER_FDS])
{
	memcpy(fds, helper->fds, sizeof(helper->fds));
}

static bool is_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static bool is_memory(int fd, size_t size)
{
	struct stat st;
	const int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_SHRINK && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (size_t)st.st_size == size;
}

/* One that blocks could hold us up. */
static bool is_eventfd(int fd)
{
	const int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_NONBLOCK && (flags & O_ACCMODE) == O_RDWR;
}

int helper_adopt(const int fds[HELPER_FDS], size_t memory, struct helper **ret, struct error *err)
{
	struct helper *helper = allocate(memory);
	int rc;

	if (!helper)
		return error_set_errno(err, -ENOMEM, "a helper process");
	if (!is_socket(fds[HELPER_FD_CONTROL]) || !is_socket(fds[HELPER_FD_LINES]) ||
		!is_memory(fds[HELPER_FD_MEMORY], helper->size) ||
		!is_eventfd(fds[HELPER_FD_WAKE]) || !is_eventfd(fds[HELPER_FD_VM_WAKE])) {
		free_helper(helper);
		return error_set(err, -EINVAL, "these are no helper's descriptors");
	}
	memcpy(helper->fds, fds, sizeof(helper->fds));
	rc = map_memory(helper);
	if (rc < 0) {
		memset(helper->fds, -1, sizeof(helper->fds));
		free_helper(helper);
		return error_set_errno(err, rc, "a helper's memory");
	}
	*ret = helper;
	return 0;
}

/* ---- use ---- */

void *helper_memory(struct helper *helper)
{
	return (uint8_t *)helper->shared + HELPER_SHARED;
}

int helper_vm_wake(const struct helper *helper)
{
	return helper->fds[HELPER_FD_VM_WAKE];
}

void helper_wake(const struct helper *helper)
{
	const uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(helper->fds[HELPER_FD_WAKE], &one, sizeof(one)) < 0)
		return;
}

int helper_control(const struct helper *helper)
{
	return helper->fds[HELPER_FD_CONTROL];
}

int helper_lines(const struct helper *helper)
{
	return helper->fds[HELPER_FD_LINES];
}

void helper_go(struct helper *helper, unsigned int generation)
{
	atomic_store(&helper->shared->go, generation);
	helper_wake(helper);
}

void helper_restart(struct helper *helper)
{
	static const char order = HELPER_ORDER_RESTART;

	/* Without a keeper there is no helper. */
	if (send(helper->fds[HELPER_FD_CONTROL], &order, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* ---- news ---- */

static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* The n bytes at from become text that ends. */
static void take_text(struct helper_message *ret, const char *from, size_t n)
{
	n = MIN(n, sizeof(ret->text) - 1);
	memcpy(ret->text, from, n);
	ret->text[n] = '\0';
	if (n && ret->text[n - 1] == '\n')
		ret->text[n - 1] = '\0';
	make_printable(ret->text);
}

/* True: wire has n bytes. */
static bool receive(int fd, struct helper_wire *wire, size_t *n, struct helper_message *ret)
{
	const ssize_t got = recv(fd, wire, sizeof(*wire), MSG_DONTWAIT);

	*ret = (struct helper_message){.news = HELPER_NONE};
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		ret->news = HELPER_GONE;
	*n = (size_t)MAX(got, 0);
	return got > 0;
}

static void take_wire(struct helper_message *ret, const struct helper_wire *wire, size_t n)
{
	const size_t head = offsetof(struct helper_wire, text);

	if (n < head)
		return;
	ret->news = wire->news;
	ret->generation = wire->generation;
	ret->code = wire->code;
	take_text(ret, wire->text, n - head);
}

void helper_read_control(struct helper *helper, struct helper_message *ret)
{
	struct helper_wire wire;
	size_t n;

	if (receive(helper->fds[HELPER_FD_CONTROL], &wire, &n, ret))
		take_wire(ret, &wire, n);
}

void helper_read_lines(struct helper *helper, struct helper_message *ret)
{
	struct helper_wire wire;
	size_t n;

	if (!receive(helper->fds[HELPER_FD_LINES], &wire, &n, ret))
		return;
	if (wire.news == HELPER_READY || wire.news == HELPER_FAILED) {
		take_wire(ret, &wire, n);
		return;
	}
	ret->news = HELPER_LINE;
	take_text(ret, (const char *)&wire, n);
}

/* ---- the first start ---- */

static int failed(const struct helper_message *message, struct error *err)
{
	const int rc = message->code < 0 ? message->code : -EIO;

	return error_set(err, rc, "%s", message->text);
}

/* The generation that is ready, or 0: none yet. */
static int look(struct helper *helper, void (*fn)(void *opaque, const char *line), void *opaque,
	struct error *err)
{
	struct helper_message message;

	helper_read_lines(helper, &message);
	if (message.news == HELPER_READY)
		return (int)MIN(message.generation, (unsigned int)INT_MAX);
	if (message.news == HELPER_FAILED)
		return failed(&message, err);
	if (message.news == HELPER_LINE)
		fn(opaque, message.text);
	if (message.news == HELPER_LINE || message.news == HELPER_NONE) {
		/* What the keeper says comes second: the helper's own reason is the better one. */
		struct pollfd pfd = {.fd = helper->fds[HELPER_FD_LINES], .events = POLLIN};

		if (poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN)
			return 0;
	}
	helper_read_control(helper, &message);
	if (message.news == HELPER_DIED)
		return error_set(
			err, -EIO, "the helper process ended %s before it began", message.text);
	if (message.news == HELPER_FAILED || message.news == HELPER_GAVE_UP)
		return failed(&message, err);
	return message.news == HELPER_GONE
		       ? error_set(err, -EIO, "the helper process ended before it began")
		       : 0;
}

int helper_wait(struct helper *helper, void (*fn)(void *opaque, const char *line), void *opaque,
	struct error *err)
{
	struct pollfd fds[] = {{.fd = helper->fds[HELPER_FD_LINES], .events = POLLIN},
		{.fd = helper->fds[HELPER_FD_CONTROL], .events = POLLIN}};
	int rc = 0;

	while (!rc) {
		const int n = poll(fds, ARRAY_SIZE(fds), START_MS);

		if (n == 0)
			return error_set(err, -EIO, "the helper process does not begin");
		if (n > 0)
			rc = look(helper, fn, opaque, err);
	}
	return rc;
}
