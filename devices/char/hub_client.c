/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients of a hub. Each has two descriptors of its socket: one for input, which is a
 * char_input, and one for output, which is in the loop while the socket is full, and for a
 * read-only client always, to hear of its hanging up.
 *
 * A client that goes leaves its input behind: it stays, silent, until the guest has taken what it
 * had sent, or has taken nothing for a while. Whoever is told of something may detach any client,
 * so one is freed by the posted function alone, when nobody holds it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hub_private.h"
#include "vm/core/error.h"

enum { CHUNK = 4096, TURN_BYTES = 64 * 1024 };

static void reap_later(struct hub *hub)
{
	event_loop_post(hub->config.loop, &hub->posted);
}

/* ---- output ---- */

static void poll_output(struct hub_client *client)
{
	const uint32_t events = client->blocked ? EPOLLOUT : 0;
	const bool wanted = !client->silent && (client->blocked || client->config.read_only);
	struct event_loop *loop = client->hub->config.loop;

	if (client->polled && wanted && client->out.events != events)
		event_loop_modify(loop, &client->out, events);
	if (client->polled && !wanted)
		event_loop_remove(loop, &client->out);
	client->out.events = events;
	if (!client->polled && wanted && event_loop_add(loop, &client->out) < 0)
		client->silent = true;
	client->polled = wanted && !client->silent;
}

static void silence(struct hub_client *client)
{
	client->silent = true;
	client->blocked = false;
	poll_output(client);
}

/* Sends a piece. False: that was all for now. */
static bool send_piece(struct hub_client *client)
{
	uint8_t chunk[CHUNK];
	uint64_t lost;
	size_t len = hub_read(client->hub, &client->pos, chunk, sizeof(chunk), &lost);
	ssize_t n;

	if (lost && client->config.lost)
		client->config.lost(client->config.opaque, lost);
	if (!len || client->silent)
		return false;
	n = send(client->out.fd, chunk, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		client->pos += (uint64_t)n;
	client->blocked =
		(n < 0 && (errno == EAGAIN || errno == EINTR)) || (n >= 0 && (size_t)n < len);
	if (n < 0 && !client->blocked)
		silence(client);
	return n > 0 && !client->blocked;
}

static void leave(struct hub_client *client);

/* A turn's worth, so that one client does not keep the loop for itself. */
static void pump(struct hub_client *client)
{
	size_t sent = 0;

	while (!client->silent && !client->blocked && sent < TURN_BYTES && send_piece(client))
		sent += CHUNK;
	if (sent >= TURN_BYTES)
		reap_later(client->hub);
	if (client->silent && client->config.read_only)
		leave(client);
	poll_output(client);
}

static void on_output(void *opaque, uint32_t events)
{
	struct hub_client *client = opaque;

	client->blocked = false;
	if (events & (EPOLLHUP | EPOLLERR))
		silence(client);
	pump(client);
}

/* ---- going ---- */

/* Nothing of its input is left, or nobody takes it. */
static void check_leaving(struct hub_client *client)
{
	if (!client->leaving || client->dead)
		return;
	if (!client->in.count && !client->in.num_breaks)
		client->dead = true;
}

static void on_patience_timer(void *opaque)
{
	struct hub_client *client = opaque;
	const struct clock *clock = client->hub->config.clock;

	if (client->in.out == client->taken)
		client->dead = true;
	check_leaving(client);
	client->taken = client->in.out;
	if (client->dead)
		reap_later(client->hub);
	else
		clock_arm(clock, &client->patience, clock_monotonic_ns(clock) + CHARDEV_STALL_NS);
}

/* It has hung up. */
static void leave(struct hub_client *client)
{
	const struct clock *clock = client->hub->config.clock;
	void (*left)(void *) = client->config.left;

	if (client->leaving)
		return;
	client->leaving = true;
	client->config.left = NULL;
	client->config.lost = NULL;
	silence(client);
	char_input_close(&client->in);
	client->taken = client->in.out;
	clock_arm(clock, &client->patience, clock_monotonic_ns(clock) + CHARDEV_STALL_NS);
	check_leaving(client);
	reap_later(client->hub);
	hub_update(client->hub);
	if (left)
		left(client->config.opaque);
}

static void on_ended(void *opaque, int error)
{
	(void)error;
	leave(opaque);
}

static void free_client(struct hub_client *client)
{
	silence(client);
	clock_disarm_sync(client->hub->config.clock, &client->patience);
	char_input_fini(&client->in);
	close(client->out.fd);
	free(client);
}

static void reap(struct hub *hub)
{
	struct hub_client **p = &hub->clients, *client;

	while ((client = *p) != NULL) {
		check_leaving(client);
		if (!client->dead) {
			p = &client->next;
			continue;
		}
		pthread_mutex_lock(&hub->lock);
		*p = client->next;
		pthread_mutex_unlock(&hub->lock);
		free_client(client);
	}
}

void hub_serve(struct hub *hub)
{
	for (struct hub_client *client = hub->clients; client; client = client->next) {
		char_input_kick(&client->in);
		pump(client);
	}
	reap(hub);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NSEC_PER_MSEC;
}

/* Real time, as it really waits. */
static void finish(struct hub_client *client, uint64_t end_ms)
{
	struct pollfd pfd = {.fd = client->out.fd, .events = POLLOUT};

	client->config.lost = NULL;
	while (!client->silent) {
		uint64_t now = now_ms();

		client->blocked = false;
		if (send_piece(client))
			continue;
		if (!client->blocked || now >= end_ms || poll(&pfd, 1, (int)(end_ms - now)) == 0)
			return;
	}
}

void hub_close_clients(struct hub *hub)
{
	const uint64_t end_ms = now_ms() + 1000;

	while (hub->clients) {
		struct hub_client *client = hub->clients;

		void (*left)(void *) = client->config.left;

		finish(client, end_ms);
		hub->clients = client->next;
		if (left)
			left(client->config.opaque);
		free_client(client);
	}
}

/* ---- coming ---- */

static bool is_stream(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static void init_input(struct hub_client *client)
{
	struct char_input *in = &client->in;

	in->dev = &client->hub->dev;
	in->loop = client->hub->config.loop;
	in->clock = client->hub->config.clock;
	in->room = CHAR_INPUT_ROOM;
	in->when_full = CHAR_INPUT_GIVE_UP;
	in->half_close = true;
	in->ended = on_ended;
	in->opaque = client;
	char_input_init(in);
}

static unsigned int count(const struct hub *hub)
{
	unsigned int n = 0;

	for (const struct hub_client *client = hub->clients; client; client = client->next)
		n++;
	return n;
}

/* In front of what it has not seen: all that is kept, or nothing. */
static uint64_t first_pos(struct hub *hub, bool history)
{
	uint64_t total;

	pthread_mutex_lock(&hub->lock);
	total = hub->total;
	pthread_mutex_unlock(&hub->lock);
	return history ? total - MIN(total, (uint64_t)HUB_HISTORY) : total;
}

static void join(struct hub *hub, struct hub_client *client)
{
	client->number = ++hub->last_number;
	if (client->config.cols && client->config.rows)
		client->size_stamp = ++hub->last_stamp;
	client->pos = first_pos(hub, client->config.history);
	pthread_mutex_lock(&hub->lock);
	client->next = hub->clients;
	hub->clients = client;
	pthread_mutex_unlock(&hub->lock);
	hub_update(hub);
	reap_later(hub);
}

int hub_attach(struct chardev *dev, const struct hub_client_config *config, struct hub_client **ret,
	struct error *err)
{
	struct hub *hub = hub_of(dev);
	struct hub_client *client;
	struct stream_fd stream;
	int in_fd = -1;

	if (!is_stream(config->fd))
		return error_set(err, -EINVAL, "a console needs a stream socket");
	if (count(hub) >= HUB_MAX_CLIENTS)
		return error_set(err, -EBUSY, "%d consoles are open already", HUB_MAX_CLIENTS);
	client = calloc(1, sizeof(*client));
	if (!client)
		return error_set_errno(err, -ENOMEM, "a console");
	if (!config->read_only) {
		in_fd = fcntl(config->fd, F_DUPFD_CLOEXEC, 3);
		if (in_fd < 0) {
			free(client);
			return error_set_errno(err, -errno, "a console");
		}
	}
	client->hub = hub;
	client->config = *config;
	client->out = (struct event_source){.fd = config->fd, .fn = on_output, .opaque = client};
	client->patience = (struct timer){.fn = on_patience_timer, .opaque = client};
	init_input(client);
	join(hub, client);
	poll_output(client);
	if (in_fd >= 0) {
		stream_fd_own(&stream, in_fd);
		stream.is_socket = true;
		char_input_open(&client->in, &stream);
	}
	*ret = client;
	return 0;
}

void hub_forget(struct hub_client *client)
{
	client->config.left = NULL;
	client->config.lost = NULL;
}

/* Its input ends where it is now; the rest is as if it had hung up. */
void hub_detach(struct hub_client *client)
{
	hub_forget(client);
	silence(client);
	shutdown(client->out.fd, SHUT_RDWR);
	if (client->config.read_only)
		leave(client);
}

unsigned int hub_client_number(const struct hub_client *client)
{
	return client->number;
}

struct hub_client *hub_find(struct chardev *dev, unsigned int number)
{
	struct hub_client *client = hub_of(dev)->clients;

	while (client && (client->number != number || client->leaving || client->dead))
		client = client->next;
	return client;
}

void hub_resize(struct hub_client *client, uint16_t cols, uint16_t rows)
{
	client->config.cols = cols;
	client->config.rows = rows;
	client->size_stamp = cols && rows ? ++client->hub->last_stamp : 0;
	hub_update(client->hub);
}

void hub_break(struct hub_client *client)
{
	if (client->config.read_only || client->leaving)
		return;
	char_input_break(&client->in);
	char_input_kick(&client->in);
}
