/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of network cards for which none was given: the same in each run, so that the guest and
 * those who give out IP addresses know the card again, and other ones for other cards.
 */
#ifndef BANTAM_VM_MACHINE_NET_MAC_H
#define BANTAM_VM_MACHINE_NET_MAC_H

#include "vm/core/base.h"

/*
 * An address of local administration (02:...) made of what tells this card from others; NULL counts
 * as "". host: this machine from others; vm, interface: this one of the machine's.
 */
void net_mac_make(const char *host, const char *vm, const char *interface, unsigned int index,
	uint8_t mac[6]);

#endif
