/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients and their lines. Input gathers in a buffer until there is a newline; output goes out at
 * once as far as the socket takes it, and waits in a buffer for the rest, with EPOLLOUT asked for
 * as long as there is any. While there is, no more of the client's lines are read: who asks without
 * reading waits, and who asked for a stream and does not read it is dropped at a bound.
 *
 * A client that goes away while one of its lines is being served is freed only afterwards
 * (`busy`), as the code that serves it is below us on the stack.
 */
#include "vm/control/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm/control/control.h"
#include "vm/core/clock.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"
#include "wire.h"

enum { READ_BYTES = 4096, LISTEN_BACKLOG = 64 };

#define RETRY_NS (NSEC_PER_SEC / 10)

struct client;

struct request {
	struct client *client; /* NULL: the slot is free */
	struct control_job *job;
	uint64_t id;
	bool endless;
	struct wire_result result;
};

struct client {
	struct server *server;
	struct client *next;
	struct event_source source;
	char *in; /* what came of a line, in_size bytes of room */
	size_t in_len, in_size;
	int fds[SERVER_MAX_FDS]; /* came with it */
	unsigned int num_fds;
	char *out;
	size_t out_len, out_sent, out_size;
	unsigned int busy;
	bool closing; /* once all is sent */
	bool gone;
	bool asked;	   /* for anything yet */
	uint64_t quiet_ns; /* since when nothing has been under way, unless something is */
	struct request requests[SERVER_MAX_JOBS];
};

struct server {
	struct server_config config;
	struct event_source source;
	struct timer retry; /* connections wait until then */
	struct client *clients;
	unsigned int num_clients;
};

static uint64_t now_ns(const struct server *server)
{
	return clock_monotonic_ns(server->config.clock);
}

/* ---- output ---- */

/* Lines that waited for answers to be read are served when there is room for more. */
static void want_events(struct client *client)
{
	const bool more = client->out_len > client->out_sent ||
			  (client->in_len && memchr(client->in, '\n', client->in_len));
	const uint32_t events = more ? EPOLLOUT : EPOLLIN;

	if (client->source.events != events && !client->gone)
		event_loop_modify(client->server->config.loop, &client->source, events);
}

static void flush(struct client *client)
{
	while (client->out_sent < client->out_len) {
		ssize_t n = send(client->source.fd, client->out + client->out_sent,
			client->out_len - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			client->gone = true;
			break;
		}
		client->out_sent += (size_t)n;
	}
	if (client->out_sent == client->out_len)
		client->out_sent = client->out_len = 0;
	if (client->closing && !client->out_len)
		client->gone = true;
}

static bool make_room(char **buf, size_t *size, size_t wanted, size_t max)
{
	size_t larger = MAX(*size, (size_t)READ_BYTES);
	char *moved;

	if (wanted <= *size)
		return true;
	if (wanted > max)
		return false;
	while (larger < wanted)
		larger *= 2;
	moved = realloc(*buf, larger);
	if (!moved)
		return false;
	*buf = moved;
	*size = larger;
	return true;
}

/* Sends a line, which is dropped. */
static void send_json(struct client *client, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(json);
	if (!client->gone && text &&
		make_room(&client->out, &client->out_size, client->out_len + len + 1,
			SERVER_MAX_UNREAD)) {
		memcpy(client->out + client->out_len, text, len);
		client->out[client->out_len + len] = '\n';
		client->out_len += len + 1;
		flush(client);
	} else {
		client->gone = true;
	}
	free(text);
}

/* JSON is UTF-8; a path, a guest's word and what was cut need not be. */
static json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy, *p;

	if (json)
		return json;
	copy = strdup(text);
	for (p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json ? json : json_null();
}

static void send_error(struct client *client, uint64_t id, int code, const char *text)
{
	send_json(client, json_pack("{s:I, s:{s:s, s:o}}", "id", (json_int_t)id, "error", "code",
				  wire_code(code), "text", json_text(text)));
}

/* ---- clients ---- */

static void close_fds(struct client *client)
{
	for (unsigned int i = 0; i < client->num_fds; i++)
		if (client->fds[i] >= 0)
			close(client->fds[i]);
	client->num_fds = 0;
}

static void free_client(struct client *client)
{
	struct server *server = client->server;
	struct client **p = &server->clients;

	while (*p != client)
		p = &(*p)->next;
	*p = client->next;
	server->num_clients--;
	event_loop_remove(server->config.loop, &client->source);
	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++) {
		struct request *request = &client->requests[i];

		if (request->client && request->job)
			control_cancel(request->job);
		if (request->client)
			json_decref(wire_take(&request->result));
	}
	close_fds(client);
	close(client->source.fd);
	free(client->in);
	free(client->out);
	free(client);
}

/* The last thing that is done with a client. */
static void settle(struct client *client)
{
	if (client->busy)
		return;
	if (client->gone)
		free_client(client);
	else
		want_events(client);
}

/* For who is called by a command: one that is gone hangs up, and the loop comes to it. */
static void settle_later(struct client *client)
{
	if (client->gone)
		shutdown(client->source.fd, SHUT_RDWR);
	else if (!client->busy)
		want_events(client);
}

/* ---- results ---- */

static void put_flag(void *opaque, const char *key, bool value)
{
	struct request *request = opaque;

	wire_put(&request->result, key, json_boolean(value));
}

static void put_number(void *opaque, const char *key, uint64_t value)
{
	struct request *request = opaque;

	wire_put(&request->result, key, json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX)));
}

static void put_real(void *opaque, const char *key, double value)
{
	struct request *request = opaque;

	wire_put(&request->result, key, json_real(value));
}

static void put_text(void *opaque, const char *key, const char *value)
{
	struct request *request = opaque;

	wire_put(&request->result, key, wire_text(value));
}

static void open_value(void *opaque, const char *key, bool list)
{
	struct request *request = opaque;

	wire_open(&request->result, key, list);
}

static void close_value(void *opaque)
{
	struct request *request = opaque;

	wire_close(&request->result);
}

static void send_result(struct request *request, const char *what)
{
	json_t *result = wire_take(&request->result);

	send_json(request->client,
		json_pack("{s:I, s:o}", "id", (json_int_t)request->id, what, result));
}

static void emit(void *opaque)
{
	struct request *request = opaque;

	send_result(request, "part");
	settle_later(request->client);
}

static void done(void *opaque, int code, const char *text)
{
	struct request *request = opaque;
	struct client *client = request->client;

	if (code < 0) {
		json_decref(wire_take(&request->result));
		send_error(client, request->id, code, text);
	} else {
		send_result(request, "result");
	}
	request->client = NULL;
	request->job = NULL;
	client->quiet_ns = now_ns(client->server);
	settle_later(client);
}

static const struct control_sink sink = {
	.put_flag = put_flag,
	.put_number = put_number,
	.put_real = put_real,
	.put_text = put_text,
	.open = open_value,
	.close = close_value,
	.emit = emit,
	.done = done,
};

/* ---- input ---- */

static struct request *free_request(struct client *client)
{
	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++)
		if (!client->requests[i].client)
			return &client->requests[i];
	return NULL;
}

static void refuse(
	struct client *client, const struct wire_request *wire, int code, const char *text)
{
	for (unsigned int i = 0; i < CONTROL_MAX_FIELDS; i++)
		if (wire->args[i].fd >= 0)
			close(wire->args[i].fd);
	send_error(client, wire->id, code, text);
}

static bool watches(const struct client *client)
{
	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++)
		if (client->requests[i].client && client->requests[i].endless)
			return true;
	return false;
}

static bool may_watch(const struct client *client)
{
	unsigned int watchers = 0;

	if (watches(client))
		return true;
	for (const struct client *c = client->server->clients; c; c = c->next)
		watchers += watches(c);
	return watchers < SERVER_MAX_WATCHERS;
}

static void start(struct client *client, const struct wire_request *wire)
{
	struct request *request = free_request(client);
	struct control_job *job;

	if (!request) {
		refuse(client, wire, -EBUSY, "too many commands at once");
		return;
	}
	if (wire->command->endless && !may_watch(client)) {
		refuse(client, wire, -EBUSY, "too many connections that wait for it or watch it");
		return;
	}
	*request = (struct request){
		.client = client, .id = wire->id, .endless = wire->command->endless};
	job = control_submit(
		client->server->config.control, wire->command, wire->args, &sink, request);
	if (job)
		request->job = job;
}

static void serve_line(struct client *client, const char *line, size_t len)
{
	struct wire_request wire;
	struct error err = {""};
	int rc = wire_parse(client->server->config.control, line, len, client->fds, client->num_fds,
		&wire, &err);

	close_fds(client);
	client->busy++;
	client->asked = true;
	client->quiet_ns = now_ns(client->server);
	if (rc < 0)
		refuse(client, &wire, rc, err.text);
	else
		start(client, &wire);
	client->busy--;
	json_decref(wire.json);
}

/* Lines that are whole; not past one whose answer is still to be read. */
static void serve_lines(struct client *client)
{
	char *end;

	while (!client->gone && !client->closing && !client->out_len &&
		(end = memchr(client->in, '\n', client->in_len))) {
		size_t len = (size_t)(end - client->in);

		serve_line(client, client->in, len);
		client->in_len -= len + 1;
		memmove(client->in, end + 1, client->in_len);
	}
	if (client->in_len < SERVER_MAX_LINE || memchr(client->in, '\n', client->in_len))
		return;
	client->closing = true;
	send_error(client, 0, -EMSGSIZE, "a line of more than 64 KiB");
}

static void keep_fds(struct client *client, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (client->num_fds < SERVER_MAX_FDS)
				client->fds[client->num_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Once: the loop comes again, others first. */
static void receive(struct client *client)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(SERVER_MAX_FDS * sizeof(int))];
	struct iovec iov;
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	if (!make_room(&client->in, &client->in_size, client->in_len + READ_BYTES,
		    SERVER_MAX_LINE + READ_BYTES)) {
		client->gone = true;
		return;
	}
	iov = (struct iovec){.iov_base = client->in + client->in_len, .iov_len = READ_BYTES};
	n = recvmsg(client->source.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n > 0) {
		keep_fds(client, &msg);
		client->in_len += (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		client->gone = true;
	}
}

static void on_client(void *opaque, uint32_t events)
{
	struct client *client = opaque;

	client->busy++;
	if (events & EPOLLOUT)
		flush(client);
	else
		receive(client);
	serve_lines(client);
	client->busy--;
	settle(client);
}

/* ---- connections ---- */

/* As the process was started: it may be somebody else now. */
static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == (uid_t)getauxval(AT_EUID) || peer.uid == 0);
}

static void greet(struct client *client)
{
	struct server *server = client->server;

	if (!may_connect(client->source.fd)) {
		client->closing = true;
		send_error(client, 0, -EPERM, "this VM is another user's");
	} else if (server->num_clients > SERVER_MAX_CLIENTS) {
		client->closing = true;
		send_error(client, 0, -EBUSY, "too many connections");
	} else {
		send_json(client, json_pack("{s:s, s:i, s:s}", "bantam", BANTAM_VERSION, "protocol",
					  SERVER_PROTOCOL, "name", server->config.name));
	}
}

static void listen_again(void *opaque)
{
	struct server *server = opaque;

	event_loop_modify(server->config.loop, &server->source, EPOLLIN);
}

/* Without a descriptor or a place for it the connection stays where it is, and would wake us
 * without end. */
static void listen_later(struct server *server)
{
	const struct clock *clock = server->config.clock;

	event_loop_modify(server->config.loop, &server->source, 0);
	clock_arm(clock, &server->retry, clock_monotonic_ns(clock) + RETRY_NS);
}

/* When it has to make place for another; UINT64_MAX: not as long as something is under way. */
static uint64_t leaves_at(const struct client *client)
{
	if (client->busy)
		return UINT64_MAX;
	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++)
		if (client->requests[i].client)
			return UINT64_MAX;
	return client->quiet_ns +
	       (client->asked ? SERVER_IDLE_MS : SERVER_UNASKED_MS) * (uint64_t)NSEC_PER_MSEC;
}

/* False: there will be a place soon. True: there is one, or all are in use for longer. */
static bool make_place(struct server *server)
{
	const uint64_t now = now_ns(server);
	struct client *first = server->clients;

	if (server->num_clients < SERVER_MAX_CLIENTS || !first)
		return true;
	for (struct client *c = first; c; c = c->next)
		if (leaves_at(c) < leaves_at(first))
			first = c;
	if (leaves_at(first) <= now) {
		first->closing = true;
		send_error(first, 0, -EBUSY, "too many connections, and this one was idle");
		free_client(first);
		return true;
	}
	return leaves_at(first) > now + SERVER_UNASKED_MS * (uint64_t)NSEC_PER_MSEC;
}

static void on_connection(void *opaque, uint32_t events)
{
	struct server *server = opaque;
	struct client *client;
	int fd;

	(void)events;
	if (!make_place(server)) {
		listen_later(server);
		return;
	}
	fd = accept4(server->source.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			listen_later(server);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (client) {
		client->server = server;
		client->quiet_ns = now_ns(server);
		client->source = (struct event_source){
			.fd = fd, .events = EPOLLIN, .fn = on_client, .opaque = client};
	}
	if (!client || event_loop_add(server->config.loop, &client->source) < 0) {
		free(client);
		close(fd);
		return;
	}
	client->next = server->clients;
	server->clients = client;
	server->num_clients++;
	client->busy++;
	greet(client);
	client->busy--;
	settle(client);
}

int server_bind(const struct sockaddr_un *address, struct error *err)
{
	int rc, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set_errno(err, -errno, "%s", address->sun_path);
	rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	if (rc < 0 && errno == EADDRINUSE && unlink(address->sun_path) == 0)
		rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	if (rc < 0) {
		rc = -errno;
		close(fd);
		return error_set_errno(err, rc, "%s", address->sun_path);
	}
	return fd;
}

int server_create(
	const struct server_config *config, int fd, struct server **ret, struct error *err)
{
	struct server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return error_set_errno(err, -ENOMEM, "the control socket");
	server->config = *config;
	rc = listen(fd, LISTEN_BACKLOG) < 0 ? -errno : 0;
	if (rc < 0)
		goto free_server;
	server->source = (struct event_source){
		.fd = fd, .events = EPOLLIN, .fn = on_connection, .opaque = server};
	server->retry = (struct timer){.fn = listen_again, .opaque = server};
	rc = event_loop_add(config->loop, &server->source);
	if (rc < 0)
		goto free_server;
	*ret = server;
	return 0;

free_server:
	free(server);
	return error_set_errno(err, rc, "the control socket");
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	clock_disarm_sync(server->config.clock, &server->retry);
	event_loop_remove(server->config.loop, &server->source);
	close(server->source.fd);
	while (server->clients)
		free_client(server->clients);
	free(server);
}
