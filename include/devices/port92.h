/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System control port A of the PS/2, at 0x92: fast reset, and the A20 gate, which is always open.
 */
#ifndef BANTAM_DEVICES_PORT92_H
#define BANTAM_DEVICES_PORT92_H

#include "devices/power.h"

struct bus;
struct port92;

struct port92_config {
	struct bus *pio;
	struct power_sink power;
};

int port92_create(const struct port92_config *config, struct port92 **ret);
void port92_destroy(struct port92 *port);

#endif
