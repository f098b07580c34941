/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_SERVE_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_SERVE_H

#include "slirp_clock.h"
#include "slirp_private.h"
#include "vm/helper/helper.h"
#include "vm/helper/ring.h"

struct slirp_server {
	struct net_slirp s;
	struct helper_self *self;
	struct slirp_clock clock;
	struct log log;
	struct ring_consumer out; /* from the guest */
	struct ring_producer in;  /* for it */
	bool signal;		  /* the VM is to be signalled */
	unsigned int unsignalled; /* turns since it could have been */
	bool full;		  /* frames from the guest wait for room */
	bool stuck;		  /* the VM has fetched nothing since: */
	uint64_t stuck_since;
	uint32_t stuck_head;
};

/* server is zero. Opens all that needs the host's network. -errno with a line. */
int slirp_server_start(struct slirp_server *server, const struct net_slirp_config *config,
	struct helper_self *self, struct error *err);
/* The rings are in order. Returns when they are not. */
void slirp_server_run(struct slirp_server *server);

#endif
