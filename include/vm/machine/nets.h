/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The networks of a configuration on the host's side: opened once, before the first boot, with the
 * thread that serves them all. They outlive every machine that uses them.
 *
 * Back ends belong to the thread (devices/net/net.h). So it is held while a machine is built or
 * taken apart, which attaches to them and detaches.
 */
#ifndef BANTAM_VM_MACHINE_NETS_H
#define BANTAM_VM_MACHINE_NETS_H

#include "vm/config/config.h"
#include "vm/core/base.h"

struct clock;
struct confine;
struct helper_confine;
struct error;
struct event_loop;
struct helper;
struct log;
struct net;
struct nets;

/*
 * Starts the processes of the user networks of config, which outlives all of this, as log does;
 * while this process has one thread, and little memory, as they begin with a copy of it.
 */
int nets_create(const struct config *config, struct log *log, const struct helper_confine *confine,
	struct nets **ret, struct error *err);
/*
 * Opens all networks; the thread, if there are any, is held, and stays so until nets_start. confine
 * outlives them. With --dry-run they lead nowhere. -errno with a line.
 */
int nets_open(struct nets *nets, const struct confine *confine, struct error *err);
int nets_start(struct nets *nets, struct error *err);
/* No machine uses them; NULL is allowed. */
void nets_close(struct nets *nets);

/* By the main thread; twice is once. -errno with a line. */
void nets_hold(struct nets *nets);
int nets_resume(struct nets *nets, struct error *err);

/* What whoever adds a network has opened and read, as this process may not be able to. */
struct nets_given {
	const char *host; /* this host's own number, or NULL: it is read here */
	int vhost[CONFIG_MAX_NET_QUEUES];
	unsigned int num_vhost; /* 0: they are opened here */
	struct helper *helper;	/* serves it as struct net_apart_config has it; NULL: none does */
	unsigned int generation;
};

/*
 * The thread is held. One more: its index, or -errno with a line; what config->copy has is taken
 * over unless that fails. The descriptors in config and given become the network's own, as with
 * nets_open, and so does the helper, in any case. remove: no machine uses it.
 */
int nets_add(struct nets *nets, const struct net_config *config, const struct nets_given *given,
	struct error *err);
void nets_remove(struct nets *nets, unsigned int i);

/* The index of the network of that id, or -ENOENT. */
int nets_find(const struct nets *nets, const char *id);

/* Indices have gaps where networks were removed, and stay as they are. i < CONFIG_MAX_NETS */
bool nets_has(const struct nets *nets, unsigned int i);
/* The others want one that there is. */
const struct net_config *nets_config(const struct nets *nets, unsigned int i);
const char *nets_id(const struct nets *nets, unsigned int i);
/* A person has pulled its cable. */
bool nets_down(const struct nets *nets, unsigned int i);
void nets_set_down(struct nets *nets, unsigned int i, bool down);
struct net *nets_net(struct nets *nets, unsigned int i);
struct event_loop *nets_loop(struct nets *nets);
/* Of that loop. */
const struct clock *nets_clock(struct nets *nets);
/* How much the card may do, from the configuration at first; see disks_limit. */
struct limit_config *nets_limit(struct nets *nets, unsigned int i, enum limit_direction direction);
/* See struct virtio_net_config. */
const int *nets_vhost(const struct nets *nets, unsigned int i);
/* For the log: "user network", or what the interface is called. */
const char *nets_name(const struct nets *nets, unsigned int i);
/* The address that the guest's card has. */
const uint8_t *nets_mac(const struct nets *nets, unsigned int i);

#endif
