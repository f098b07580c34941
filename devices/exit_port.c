/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/exit_port.h"

#include <errno.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/layout.h"

struct exit_port {
	struct exit_port_config config;
	struct bus_region region;
};

static uint64_t exit_port_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque, (void)off, (void)size;
	return 0;
}

static void exit_port_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	const struct exit_port_config *config = &((struct exit_port *)opaque)->config;

	(void)off, (void)size;
	config->end(config->opaque, (uint8_t)(value << 1 | 1));
}

static const struct bus_ops exit_port_ops = {
	.read = exit_port_read, .write = exit_port_write, .max_size = 4};

int exit_port_create(const struct exit_port_config *config, struct exit_port **ret)
{
	struct exit_port *exit_port = calloc(1, sizeof(*exit_port));
	int rc;

	if (!exit_port)
		return -ENOMEM;
	exit_port->config = *config;
	exit_port->region = (struct bus_region){.name = "exit port",
		.base = config->port,
		.size = LAYOUT_EXIT_PORTS,
		.ops = &exit_port_ops,
		.opaque = exit_port};
	rc = bus_add(config->pio, &exit_port->region);
	if (rc) {
		free(exit_port);
		return rc;
	}
	*ret = exit_port;
	return 0;
}

void exit_port_destroy(struct exit_port *exit_port)
{
	if (!exit_port)
		return;
	bus_remove(exit_port->config.pio, &exit_port->region);
	free(exit_port);
}
