/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm/config/exit_code.h"
#include "vm/control/registry.h"
#include "vm/control/server.h"

enum { MAX_ANSWER = 2 * SERVER_MAX_UNREAD };

struct client {
	int fd;
	char *name;
	char *buf;
	size_t len, size;
	uint64_t deadline_ms; /* 0: none */
	uint64_t next_id;
	int interrupt_fd; /* -1: none */
};

uint64_t client_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NSEC_PER_MSEC;
}

void client_set_timeout(struct client *client, uint64_t timeout_ms)
{
	client->deadline_ms = timeout_ms ? client_now_ms() + timeout_ms : 0;
}

void client_interrupt_by(struct client *client, int fd)
{
	client->interrupt_fd = fd;
}

int client_fd(const struct client *client)
{
	return client->fd;
}

bool client_has_more(const struct client *client)
{
	return client->len && memchr(client->buf, '\n', client->len);
}

/* By SIGSTOP, or a debugger. */
static bool is_stopped(pid_t pid)
{
	char path[32], text[512] = "", *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	/* Behind the name, which may hold anything */
	state = n > 0 ? strrchr(text, ')') : NULL;
	return state && (!strncmp(state, ") T", 3) || !strncmp(state, ") t", 3));
}

static int no_answer(const struct client *client, struct error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		is_stopped(peer.pid))
		return error_set(err, -ETIMEDOUT,
			"%s: no answer in time: its process %d is stopped (`kill -CONT %d` lets it "
			"go on)",
			client->name, peer.pid, peer.pid);
	return error_set(err, -ETIMEDOUT, "%s: no answer in time", client->name);
}

static int gone(const struct client *client, struct error *err)
{
	return error_set(err, -ESHUTDOWN, "%s: the VM has ended", client->name);
}

/* Readable, or the time is over. */
static int wait_readable(const struct client *client, struct error *err)
{
	struct pollfd pfds[] = {{.fd = client->fd, .events = POLLIN},
		{.fd = client->interrupt_fd, .events = POLLIN}};
	int n, timeout = -1;

	do {
		if (client->deadline_ms) {
			uint64_t now = client_now_ms();

			timeout = now < client->deadline_ms
					  ? (int)MIN(client->deadline_ms - now, UINT64_C(86400000))
					  : 0;
		}
		n = poll(pfds, ARRAY_SIZE(pfds), timeout);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, -errno, "%s", client->name);
	if (pfds[1].revents)
		return error_set(err, -EINTR, "%s", "");
	return n ? 0 : no_answer(client, err);
}

static int read_more(struct client *client, struct error *err)
{
	ssize_t n;
	int rc;

	if (client->len == client->size) {
		size_t size = client->size ? 2 * client->size : 4096;
		char *buf = size <= MAX_ANSWER ? realloc(client->buf, size) : NULL;

		if (!buf)
			return error_set_errno(err, -ENOMEM, "%s", client->name);
		client->buf = buf;
		client->size = size;
	}
	rc = wait_readable(client, err);
	if (rc < 0)
		return rc;
	n = recv(client->fd, client->buf + client->len, client->size - client->len, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return gone(client, err);
	client->len += (size_t)n;
	return 0;
}

static int read_line(struct client *client, json_t **ret, struct error *err)
{
	json_error_t why;
	char *end;
	int rc;

	while (!client->len || !(end = memchr(client->buf, '\n', client->len))) {
		rc = read_more(client, err);
		if (rc < 0)
			return rc;
	}
	*ret = json_loadb(client->buf, (size_t)(end - client->buf), 0, &why);
	client->len -= (size_t)(end + 1 - client->buf);
	memmove(client->buf, end + 1, client->len);
	if (!json_is_object(*ret)) {
		json_decref(*ret);
		return error_set(err, -EPROTO, "%s: the process that answers is not a Bantam VM",
			client->name);
	}
	return 0;
}

int client_blame(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
	case -EBADF:
	case -EBADFD:
	case -ENOTTY:
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -EEXIST:
	case -EISDIR:
	case -ENOTDIR:
	case -ELOOP:
	case -EBUSY:
	case -ETXTBSY:
	case -EADDRINUSE:
	case -EADDRNOTAVAIL:
		return -EINVAL;
	default:
		return rc;
	}
}

static int refused(const struct client *client, const json_t *error, struct error *err)
{
	const char *text = json_string_value(json_object_get(error, "text"));
	const char *code = json_string_value(json_object_get(error, "code"));
	int rc = -EIO;

	for (int e = 1; code && e < 134; e++)
		if (strerrorname_np(e) && !strcmp(strerrorname_np(e), code))
			rc = -e;
	/* That the VM is busy says nothing of what it was asked for. */
	rc = rc == -EBUSY ? rc : client_blame(rc);
	return error_set(err, rc, "%s: %s", client->name, text ? text : "refused");
}

int client_read(struct client *client, json_t **ret, struct error *err)
{
	json_t *line, *value;
	int rc = read_line(client, &line, err);

	if (rc < 0)
		return rc;
	value = json_object_get(line, "error");
	if (value) {
		rc = refused(client, value, err);
	} else {
		rc = json_object_get(line, "part") ? 1 : 0;
		*ret = json_incref(json_object_get(line, rc ? "part" : "result"));
	}
	json_decref(line);
	return rc;
}

static int greeting(struct client *client, struct error *err)
{
	json_t *line, *error;
	int rc = read_line(client, &line, err);

	if (rc < 0)
		return rc;
	error = json_object_get(line, "error");
	if (error) {
		rc = refused(client, error, err);
		rc = rc == -EBUSY ? -ENOTCONN : -EPERM;
	} else if (json_integer_value(json_object_get(line, "protocol")) != SERVER_PROTOCOL) {
		rc = error_set(err, -EPROTO,
			"%s: it was started by another version of bantam (%s), which this one (%s) "
			"cannot talk to",
			client->name,
			json_is_string(json_object_get(line, "bantam"))
				? json_string_value(json_object_get(line, "bantam"))
				: "unknown",
			BANTAM_VERSION);
	}
	json_decref(line);
	return rc;
}

/* The name is taken, and nobody listens. */
static int unreachable(const char *name, const struct sockaddr_un *address, struct error *err)
{
	const pid_t pid = registry_process(name);
	char who[64] = "its process", how[64] = "SIGTERM";

	if (pid) {
		snprintf(who, sizeof(who), "its process %d", pid);
		snprintf(how, sizeof(how), "`kill %d`", pid);
	}
	return error_set(err, -ENOTCONN,
		"%s: %s does not listen: it is starting or ending; if that stays so, %s was "
		"removed, and %s ends the VM",
		name, who, address->sun_path, how);
}

/*
 * A VM in a user namespace does not know root, who comes as whom the socket belongs to: he could
 * become him anyway.
 */
static int connect_as_owner(int fd, const struct sockaddr_un *address)
{
	const bool root = geteuid() == 0;
	struct stat st;
	int rc;

	if (root && stat(address->sun_path, &st) == 0 && st.st_uid && seteuid(st.st_uid) < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	if (root && seteuid(0) < 0)
		return -errno;
	errno = -rc;
	return rc;
}

static int connect_to(const char *name, const struct sockaddr_un *address, uint64_t timeout_ms,
	int *ret, struct error *err)
{
	const struct timeval timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
		.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
	int rc, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_set_errno(err, -errno, "%s", name);
	/* Where many wait already, connect waits, too. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect_as_owner(fd, address) == 0) {
		*ret = fd;
		return 0;
	}
	rc = -errno;
	close(fd);
	if (rc == -EAGAIN)
		return error_set(err, -ETIMEDOUT, "%s: no answer in time", name);
	if (rc != -ENOENT && rc != -ECONNREFUSED)
		return error_set_errno(err, rc, "%s", address->sun_path);
	if (registry_is_running(name))
		return unreachable(name, address, err);
	return error_set(err, -ENOENT, "no VM called %s is running (`bantam ps` lists them)", name);
}

int client_connect_within(
	const char *name, uint64_t timeout_ms, struct client **ret, struct error *err)
{
	struct sockaddr_un address;
	struct client *client;
	int rc = registry_address(name, &address, err);

	if (!rc)
		rc = registry_check(err);
	if (rc < 0)
		return rc;
	client = calloc(1, sizeof(*client));
	if (!client)
		return error_set_errno(err, -ENOMEM, "%s", name);
	client->fd = -1;
	client->interrupt_fd = -1;
	client->name = strdup(name);
	client_set_timeout(client, timeout_ms);
	rc = client->name ? connect_to(name, &address, timeout_ms, &client->fd, err) : -ENOMEM;
	if (!rc)
		rc = greeting(client, err);
	if (rc < 0) {
		client_close(client);
		return rc;
	}
	*ret = client;
	return 0;
}

int client_connect(const char *name, struct client **ret, struct error *err)
{
	const int rc = client_connect_within(name, CLIENT_ANSWER_MS, ret, err);

	/* What comes next may take as long as it does. */
	if (!rc)
		client_set_timeout(*ret, 0);
	return rc;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	if (client->fd >= 0)
		close(client->fd);
	free(client->name);
	free(client->buf);
	free(client);
}

/* Whoever hung up may have said why. */
static int hung_up(struct client *client, struct error *err)
{
	json_t *line, *error;
	int rc = read_line(client, &line, err);

	if (rc < 0)
		return rc;
	error = json_object_get(line, "error");
	rc = error ? refused(client, error, err) : gone(client, err);
	json_decref(line);
	return rc;
}

static int send_all(struct client *client, struct msghdr *msg, struct error *err)
{
	struct iovec *iov = msg->msg_iov;

	while (iov->iov_len) {
		ssize_t n = sendmsg(client->fd, msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hung_up(client, err);
		iov->iov_base = (char *)iov->iov_base + n;
		iov->iov_len -= (size_t)n;
		/* The descriptors went with the first byte. */
		msg->msg_control = NULL;
		msg->msg_controllen = 0;
	}
	return 0;
}

int client_send(struct client *client, const char *command, json_t *args, const int *fds,
	unsigned int num_fds, struct error *err)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(SERVER_MAX_FDS * sizeof(int))] = {0};
	json_t *json = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)client->next_id++, "command",
		command, "args", args ? args : json_object());
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct iovec iov = {.iov_base = text};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int rc;

	json_decref(json);
	if (!text)
		return error_set_errno(err, -ENOMEM, "%s", client->name);
	iov.iov_len = strlen(text) + 1;
	text[iov.iov_len - 1] = '\n';
	if (num_fds) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(num_fds * sizeof(int))};
		memcpy(CMSG_DATA(c), fds, num_fds * sizeof(int));
	}
	rc = send_all(client, &msg, err);
	free(text);
	return rc;
}

int client_call(
	struct client *client, const char *command, json_t *args, json_t **ret, struct error *err)
{
	int rc = client_send(client, command, args, NULL, 0, err);

	return rc < 0 ? rc : client_read(client, ret, err);
}

void client_wait_gone(struct client *client)
{
	struct error err;

	do
		client->len = 0;
	while (read_more(client, &err) == 0);
}

int client_exit_code(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ENOTCONN:
	case -ESHUTDOWN:
	case -EPERM:
	case -EACCES:
	case -EPROTO:
		return EXIT_NO_VM;
	case -ETIMEDOUT:
		return EXIT_FORCED;
	case -EINVAL:
	case -ENAMETOOLONG:
		return EXIT_USAGE;
	default:
		return rc < 0 ? EXIT_HOST : EXIT_POWEROFF;
	}
}
