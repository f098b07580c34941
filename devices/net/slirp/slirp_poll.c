/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libslirp announces that a descriptor is about to be closed, and that is what slots live by: the
 * kernel drops a closed descriptor from the epoll set, and its number may come back at once as
 * another socket's. What libslirp opens without a word (listening sockets) just is not live.
 *
 * libslirp leaves UDP sockets in blocking mode, and one that cannot send for the moment would stop
 * the loop. So all sockets are made non-blocking. But then the kernel says that a socket can be
 * read when all there is is a datagram with a bad checksum, and libslirp takes the missing datagram
 * for an error of the peer, or stumbles over it: hence the look at what there is, before it is
 * told.
 *
 * epoll reports errors unasked. libslirp would read then, whether it has room or not, so it hears
 * of them only if it wants to read; or, if it wants to write, that it can: the write finds out.
 * Urgent data is read like other data.
 */
#include "slirp_poll.h"

#include <errno.h>
#include <fcntl.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, GROW = 64, WAKE = -1 };

int slirp_poll_init(struct slirp_poll *poll)
{
	*poll = (struct slirp_poll){.batch = 1};
	poll->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return poll->epoll_fd < 0 ? -errno : 0;
}

void slirp_poll_fini(struct slirp_poll *poll)
{
	close(poll->epoll_fd);
	free(poll->slots);
	free(poll->set);
}

static struct slirp_poll_slot *slot_of(struct slirp_poll *poll, int fd)
{
	int num = (fd / GROW + 1) * GROW;
	struct slirp_poll_slot *slots;
	int *set;

	if (fd < poll->num_slots)
		return &poll->slots[fd];
	set = realloc(poll->set, (size_t)num * sizeof(*set));
	if (!set)
		return NULL;
	poll->set = set;
	slots = realloc(poll->slots, (size_t)num * sizeof(*slots));
	if (!slots)
		return NULL;
	memset(slots + poll->num_slots, 0, (size_t)(num - poll->num_slots) * sizeof(*slots));
	poll->slots = slots;
	poll->num_slots = num;
	return &poll->slots[fd];
}

static void prepare(struct slirp_poll_slot *slot, int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	slot->prepared = true;
	slot->datagram =
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
	fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
}

void slirp_poll_open(struct slirp_poll *poll, int fd)
{
	struct slirp_poll_slot *slot = fd < 0 ? NULL : slot_of(poll, fd);

	if (!slot || slot->live)
		return;
	prepare(slot, fd);
	slot->live = true;
	poll->live++;
}

/* The entry at i of the set leaves it. */
static void leave(struct slirp_poll *poll, int i)
{
	const int fd = poll->set[i];

	epoll_ctl(poll->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	poll->slots[fd].events = 0;
	poll->set[i] = poll->set[--poll->num_set];
}

void slirp_poll_close(struct slirp_poll *poll, int fd)
{
	struct slirp_poll_slot *slot;

	if (fd < 0 || fd >= poll->num_slots)
		return;
	slot = &poll->slots[fd];
	for (int i = 0; slot->events; i++)
		if (poll->set[i] == fd)
			leave(poll, i);
	if (slot->live)
		poll->live--;
	*slot = (struct slirp_poll_slot){0};
}

void slirp_poll_begin(struct slirp_poll *poll)
{
	poll->round++;
	poll->reads = false;
}

int slirp_poll_want(struct slirp_poll *poll, int fd, int events)
{
	struct epoll_event ev = {.data.fd = fd};
	struct slirp_poll_slot *slot = slot_of(poll, fd);

	if (!slot)
		return -ENOMEM;
	ev.events =
		(events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0);
	slot->round = poll->round;
	if (slot->events == ev.events)
		return 0;
	if (!slot->prepared)
		prepare(slot, fd);
	if (epoll_ctl(poll->epoll_fd, slot->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	if (!slot->events)
		poll->set[poll->num_set++] = fd;
	poll->reads |= ev.events & EPOLLIN && !(slot->events & EPOLLIN);
	slot->events = ev.events;
	return 0;
}

void slirp_poll_commit(struct slirp_poll *poll)
{
	for (int i = poll->num_set - 1; i >= 0; i--)
		if (poll->slots[poll->set[i]].round != poll->round)
			leave(poll, i);
}

bool slirp_poll_wait(struct slirp_poll *poll, int timeout_ms, bool *sockets)
{
	struct epoll_event events[BATCH];
	const int n = epoll_wait(poll->epoll_fd, events, BATCH, timeout_ms);

	*sockets = false;
	for (int i = 0; i < n; i++) {
		struct slirp_poll_slot *slot;

		if (events[i].data.fd == WAKE)
			continue;
		slot = &poll->slots[events[i].data.fd];
		slot->ready = events[i].events;
		slot->batch = poll->batch;
		*sockets = true;
	}
	return n > 0;
}

void slirp_poll_collect(struct slirp_poll *poll)
{
	bool sockets;

	slirp_poll_wait(poll, 0, &sockets);
}

int slirp_poll_add_wake(struct slirp_poll *poll, int wake)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = WAKE};

	return epoll_ctl(poll->epoll_fd, EPOLL_CTL_ADD, wake, &ev) < 0 ? -errno : 0;
}

/* Throws away datagrams with bad checksums. */
static bool has_datagram(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0;
}

int slirp_poll_ready(const struct slirp_poll *poll, int fd, bool may_read)
{
	const struct slirp_poll_slot *slot = &poll->slots[fd];
	const uint32_t ready = slot->batch == poll->batch ? slot->ready : 0;
	int ret = 0;

	if (!may_read || !(slot->events & EPOLLIN))
		return ready & ~(uint32_t)EPOLLIN && slot->events & EPOLLOUT ? SLIRP_POLL_OUT : 0;
	if (ready & EPOLLERR)
		ret |= SLIRP_POLL_ERR;
	if (ready & EPOLLHUP)
		ret |= SLIRP_POLL_HUP;
	if (ready & EPOLLOUT)
		ret |= SLIRP_POLL_OUT;
	if (ready & EPOLLIN && (!slot->datagram || ret & SLIRP_POLL_ERR || has_datagram(fd)))
		ret |= SLIRP_POLL_IN;
	return ret;
}

void slirp_poll_done(struct slirp_poll *poll)
{
	poll->batch++;
}
