/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures of a VM, asked for and printed: for `bantam stat` and `bantam top`. */
#ifndef BANTAM_VM_CLIENT_STAT_H
#define BANTAM_VM_CLIENT_STAT_H

#include "client.h"

/* Asks for them; the caller drops *ret. As client_call. */
int stat_ask(struct client *client, json_t **ret, struct error *err);
/* The sum of what stands at key in all queues of all disks or cards; of cards per direction. */
uint64_t stat_sum(const json_t *stat, const char *devices, const char *direction, const char *key);
/* "12.3M"; of bytes. */
const char *stat_size(char buf[16], uint64_t bytes);

/* As text for Prometheus (its exposition format, version 0.0.4). */
void prometheus_print(const json_t *stat);

#endif
