/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front end in the test's hands, an event loop with a fake clock to run a network back end on,
 * and a network namespace to do it in.
 */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

#include "devices/net/net.h"
#include "fakes/fake_clock.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"

struct net_fixture {
	struct event_loop *loop;
	struct fake_clock clock;
	struct log log;
	int log_fd; /* a temporary file, unlinked */
	struct error err;
	struct net *net;

	/* The front end */
	bool inside; /* a function of net's is running: no callback may come */
	bool lazy;   /* ready fetches nothing, and turns itself off */
	bool idle;   /* ready does nothing */
	unsigned int ready[NET_TAP_MAX_QUEUES], writable[NET_TAP_MAX_QUEUES], link_changes;
	unsigned int frames; /* fetched so far */
	/* Each frame that ready fetches, without its header. */
	void (*on_frame)(struct net_fixture *fix, unsigned int queue,
		const struct net_header *header, const uint8_t *frame, size_t len);
	/* In ready, before the fetching; may do anything. */
	void (*on_ready)(struct net_fixture *fix, unsigned int queue);
};

void net_fixture_init(struct net_fixture *fix);
void net_fixture_fini(struct net_fixture *fix); /* closes net */
void net_fixture_attach(struct net_fixture *fix);
void net_fixture_detach(struct net_fixture *fix);

/* header NULL: all zero. The frame is in pieces of all kinds of lengths. What send returns. */
int net_fixture_send(struct net_fixture *fix, unsigned int queue, const struct net_header *header,
	const uint8_t *frame, size_t len);
/* Into frame, of size bytes, in pieces as well. Its length without the header, or what recv says.
 */
ssize_t net_fixture_recv(struct net_fixture *fix, unsigned int queue, struct net_header *header,
	uint8_t *frame, size_t size);
void net_fixture_rx_enable(struct net_fixture *fix, unsigned int queue, bool on);

/* Runs the loop until nothing more happens for some milliseconds. */
void net_fixture_settle(struct net_fixture *fix);
/* Runs the loop until done says so; fails the test when it does not for seconds. */
void net_fixture_run(struct net_fixture *fix, bool (*done)(void *opaque), void *opaque);

/* What has been logged so far contains text. */
bool net_fixture_logged(struct net_fixture *fix, const char *text);

/*
 * Moves the process into a network namespace of its own, with 127.0.0.1, ::1 and SANDBOX_HOST on
 * lo. For main, before anything else. False: not allowed here, and why has been said.
 */
bool net_sandbox_enter(void);
#define SANDBOX_HOST "192.0.2.1"
/* In the sandbox: what /etc/resolv.conf says. False: cannot be done. */
bool net_sandbox_resolv_conf(const char *text);
/* In the sandbox: interfaces made from now on do not speak unasked. */
void net_sandbox_no_ipv6(void);

#endif
