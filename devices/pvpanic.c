/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One port, no state. A guest whose crash kernel takes over (bit 1 without bit 0) is left to do so;
 * it will panic or reboot when it is done.
 */
#include "devices/pvpanic.h"

#include <errno.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/layout.h"
#include "vm/core/log.h"

/* QEMU docs/specs/pvpanic */
enum {
	PVPANIC_PANICKED = 1 << 0,
	PVPANIC_CRASH_LOADED = 1 << 1,
};

struct pvpanic {
	struct pvpanic_config config;
	struct bus_region region;
	struct log_limit limit;
};

static uint64_t pvpanic_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void tell_crash_kernel(struct pvpanic *pvpanic)
{
	struct log *log = pvpanic->config.log;

	log_limited(log, &pvpanic->limit, LOG_WARN,
		"the guest's kernel crashed; its crash kernel takes over");
	log_notice(log, NOTICE_CRASH_KERNEL, NULL, "pvpanic");
}

static void pvpanic_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct pvpanic *pvpanic = opaque;

	(void)off;
	(void)size;
	if (value & PVPANIC_PANICKED)
		power_notify(&pvpanic->config.power, POWER_PANIC);
	else if (value & PVPANIC_CRASH_LOADED)
		tell_crash_kernel(pvpanic);
}

static const struct bus_ops pvpanic_ops = {
	.read = pvpanic_read, .write = pvpanic_write, .max_size = 1};

int pvpanic_create(const struct pvpanic_config *config, struct pvpanic **ret)
{
	struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));
	int rc;

	if (!pvpanic)
		return -ENOMEM;
	pvpanic->config = *config;
	pvpanic->region = (struct bus_region){.name = "pvpanic",
		.base = LAYOUT_PVPANIC_PORT,
		.size = 1,
		.ops = &pvpanic_ops,
		.opaque = pvpanic};
	rc = bus_add(config->pio, &pvpanic->region);
	if (rc) {
		free(pvpanic);
		return rc;
	}
	*ret = pvpanic;
	return 0;
}

void pvpanic_destroy(struct pvpanic *pvpanic)
{
	if (!pvpanic)
		return;
	bus_remove(pvpanic->config.pio, &pvpanic->region);
	free(pvpanic);
}
