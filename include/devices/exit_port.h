/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port by which the guest ends the VM with a status, as QEMU's isa-debug-exit has it: a write of
 * V makes it (V << 1) | 1, of which a process has the lower eight bits. It is LAYOUT_EXIT_PORTS
 * wide, takes 1, 2 or 4 bytes at any of them, and reads as 0.
 */
#ifndef BANTAM_DEVICES_EXIT_PORT_H
#define BANTAM_DEVICES_EXIT_PORT_H

#include "vm/core/base.h"

struct bus;
struct exit_port;

struct exit_port_config {
	struct bus *pio;
	uint16_t port;
	/* Any vCPU's thread; does not block. */
	void (*end)(void *opaque, uint8_t status);
	void *opaque;
};

/* -EEXIST where another device has one of the ports, -EINVAL past the last port, -ENOMEM. */
int exit_port_create(const struct exit_port_config *config, struct exit_port **ret);
void exit_port_destroy(struct exit_port *exit_port);

#endif
