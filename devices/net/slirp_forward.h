/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_FORWARD_H
#define BANTAM_DEVICES_NET_SLIRP_FORWARD_H

#include <slirp/libslirp.h>

#include "devices/net.h"

/* Opens the host's port. -errno, with a line that names it. */
int slirp_forward_add(Slirp *slirp, const struct net_forward *forward, struct error *err);

#endif
