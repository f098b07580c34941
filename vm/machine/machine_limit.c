/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of a machine's devices, while it runs. */
#include <errno.h>

#include "machine_private.h"
#include "virtio/blk/blk.h"
#include "virtio/net/net.h"
#include "vm/core/error.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"

bool machine_is_card(const struct machine *m, const char *device)
{
	return nets_find(m->env.nets, device) >= 0;
}

static int set_disk(struct machine *m, unsigned int i, const struct rate_config *rates)
{
	return virtio_blk_set_limit(m->disks[i], rates);
}

static int set_card(struct machine *m, unsigned int i, enum limit_direction direction,
	const struct rate_config *rates)
{
	return virtio_net_set_limit(
		m->nets[i], direction == LIMIT_RX ? VIRTIO_NET_RX : VIRTIO_NET_TX, rates);
}

int machine_limit(struct machine *m, const char *device, enum limit_direction direction,
	const struct limit_config *change, bool off, struct limit_config *now, struct error *err)
{
	const bool card = machine_is_card(m, device);
	const int found = card ? nets_find(m->env.nets, device) : disks_find(m->env.disks, device);
	const unsigned int i = (unsigned int)found;
	struct limit_config *kept, wanted = {0};
	struct rate_config rates;
	int rc;

	if (found < 0)
		return error_set(err, -ENODEV,
			"no device '%.32s' (disks are disk0, disk1..., cards net0...)", device);
	kept = card ? nets_limit(m->env.nets, i, direction) : disks_limit(m->env.disks, i);
	if (!off && !limit_names_any(change)) {
		*now = *kept;
		return 0;
	}
	if (!off) {
		wanted = *kept;
		limit_merge(&wanted, change);
	}
	rc = limit_check(device, &wanted, err);
	if (rc < 0)
		return rc;
	limit_rates(&wanted, &rates);
	rc = card ? set_card(m, i, direction, &rates) : set_disk(m, i, &rates);
	if (rc == -EOPNOTSUPP)
		return error_set(err, rc,
			"%s: the host's kernel serves it, and knows no limits (start it with "
			"vhost=off, or with a limit)",
			device);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", device);
	/* What came once does not come again with the next boot. */
	wanted.value[LIMIT_BANDWIDTH_ONCE] = wanted.value[LIMIT_OPS_ONCE] = 0;
	*kept = *now = wanted;
	return 0;
}
