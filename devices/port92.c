/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IBM PS/2 technical reference, "system control port A". The bit that resets does so when it turns
 * on, and reads as off: the machine that it was written to is gone. A20 reads as on, whatever is
 * written. The other bits (a lock of the CMOS, the disk's light) are stored.
 */
#include "devices/port92.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum { RESET = 1 << 0, A20 = 1 << 1 };

struct port92 {
	struct port92_config config;
	struct bus_region region;
	_Atomic uint8_t stored;
};

static uint64_t port92_read(void *opaque, uint64_t off, unsigned int size)
{
	struct port92 *port = opaque;

	(void)off;
	(void)size;
	return atomic_load(&port->stored) | A20;
}

static void port92_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct port92 *port = opaque;

	(void)off;
	(void)size;
	atomic_store(&port->stored, (uint8_t)(value & ~(uint64_t)RESET));
	if (value & RESET)
		power_notify(&port->config.power, POWER_RESET);
}

static const struct bus_ops port92_ops = {
	.read = port92_read, .write = port92_write, .max_size = 1};

int port92_create(const struct port92_config *config, struct port92 **ret)
{
	struct port92 *port = calloc(1, sizeof(*port));
	int rc;

	if (!port)
		return -ENOMEM;
	port->config = *config;
	port->region = (struct bus_region){.name = "port92",
		.base = LAYOUT_PORT92,
		.size = 1,
		.ops = &port92_ops,
		.opaque = port};
	rc = bus_add(config->pio, &port->region);
	if (rc) {
		free(port);
		return rc;
	}
	*ret = port;
	return 0;
}

void port92_destroy(struct port92 *port)
{
	if (!port)
		return;
	bus_remove(port->config.pio, &port->region);
	free(port);
}
