/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network back end over a socket per queue, whose other end is the test's, with a loop on a
 * thread of its own: for tests with threads. Ends the test when it is called on another thread
 * than the loop's.
 */
#ifndef TESTS_VIRTIO_NET_SOCKET_H
#define TESTS_VIRTIO_NET_SOCKET_H

#include <pthread.h>

#include "devices/net/net.h"
#include "vm/core/event_loop.h"

enum { SOCKET_NET_QUEUES = 3 };

struct socket_net;

struct socket_queue {
	struct socket_net *owner;
	struct event_source source; /* our end */
	int peer;		    /* the test's: a message is a frame with its header */
	bool rx_on, tx_full;
};

struct socket_net {
	struct net net; /* hand &socket.net to the device */
	struct event_loop *loop;
	pthread_t thread;
	const struct net_listener *listener;
	void *opaque;
	struct socket_queue queues[SOCKET_NET_QUEUES];
	unsigned int pairs;
	_Atomic bool link_up;
	struct event_source link; /* an eventfd: the link has changed */
};

/* The thread runs when start returns; a device is attached before that. */
void socket_net_create(struct socket_net *s);
void socket_net_start(struct socket_net *s);
/* Any thread: the link changes. */
void socket_net_toggle_link(struct socket_net *s);
/* Stops and joins. */
void socket_net_stop(struct socket_net *s);
void socket_net_destroy(struct socket_net *s);

#endif
