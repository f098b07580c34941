/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_FORWARD_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_FORWARD_H

#include "devices/net/net.h"
#include "slirp_lib.h"

struct log;

/*
 * Opens the host's port, and logs which one it is when that was left open. Before slirp is attached
 * to anything. -errno, with a line that names the port.
 */
int slirp_forward_add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward,
	struct log *log, struct error *err);

#endif
