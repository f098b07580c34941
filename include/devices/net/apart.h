/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User networking in a process of its own (vm/helper/helper.h): net_slirp_fork starts it,
 * net_apart_create makes a back end of it. That process has libslirp, the host's sockets and two
 * rings of frames, and nothing of the guest's or the VM's. If it dies, the guest loses packets and
 * the connections that it had; addresses are as before, and forwarded ports are opened anew.
 */
#ifndef BANTAM_DEVICES_NET_APART_H
#define BANTAM_DEVICES_NET_APART_H

#include "devices/net/net.h"
#include "vm/helper/helper.h"

/*
 * config's clock is not used; of log, only the level. confine: or NULL; needed while this runs. The
 * caller has one thread. -errno with a line; what fails later is told by net_apart_create.
 */
int net_slirp_fork(const struct net_slirp_config *config, const struct helper_confine *confine,
	struct helper **ret, struct error *err);

/* What helper_adopt needs to know of one. */
size_t net_apart_memory(void);

struct net_apart_config {
	struct helper *helper; /* becomes the back end's, unless that fails */
	/* Of the helper, for which somebody else has waited; 0: nobody has. */
	unsigned int generation;
	struct log *log;
	uint16_t mtu; /* as in struct net_slirp_config */
};

/* Waits until it serves, unless somebody has. -errno with a line, as net_slirp_create would have
 * it. */
int net_apart_create(const struct net_apart_config *config, struct net **ret, struct error *err);

#endif
