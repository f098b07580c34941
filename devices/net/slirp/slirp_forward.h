/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_FORWARD_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_FORWARD_H

#include "devices/net/net.h"
#include "slirp_lib.h"

struct log;

/*
 * Opens the host's port; when that was left open, logs which one it is, and has it in *port, which
 * stays as it is else. Before slirp is attached to anything. -errno, with a line that names the
 * port.
 */
int slirp_forward_add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward,
	struct log *log, uint16_t *port, struct error *err);

#endif
