/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_FORWARD_H
#define BANTAM_DEVICES_NET_SLIRP_FORWARD_H

#include "devices/net/net.h"
#include "slirp_lib.h"

/* Opens the host's port. -errno, with a line that names it. */
int slirp_forward_add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward,
	struct error *err);

#endif
