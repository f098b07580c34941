/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hub: a back end that stands before another one, or none, keeps the last of the output, and lets
 * clients come and go. A client is the other end of a stream socket. It sees what was kept and all
 * that follows; what it sends is input, as what comes from the back end behind is.
 *
 * The back end behind holds the guest up as it does without a hub. Clients never do: one that reads
 * too slowly loses output, and is told how much.
 *
 * All but chardev_write, chardev_rx_kick, chardev_size and chardev_connected belongs to the loop's
 * thread.
 */
#ifndef BANTAM_DEVICES_CHAR_HUB_H
#define BANTAM_DEVICES_CHAR_HUB_H

#include "devices/char/char.h"

struct hub_client;

enum {
	HUB_HISTORY = 32 * 1024, /* bytes of output that are kept */
	HUB_MAX_CLIENTS = 16,
};

/*
 * below is closed with the hub; NULL: there is none, and output goes to the clients alone. kept:
 * the guest sees somebody there although nobody is.
 */
int char_hub_create(const struct char_config *config, struct chardev *below, bool kept,
	struct chardev **ret, struct error *err);

struct hub_client_config {
	int fd;		     /* a stream socket */
	bool read_only;	     /* what it sends is not even read */
	bool history;	     /* it wants what was kept */
	uint16_t cols, rows; /* of its terminal; 0: it has none */
	/* So many bytes were not for it, as it was too slow. May detach any client. */
	void (*lost)(void *opaque, uint64_t bytes);
	/* It has hung up, or the hub is closed; it is no client any more. */
	void (*left)(void *opaque);
	void *opaque;
};

/*
 * fd is the hub's from now on, unless this fails: -EINVAL for what is no stream socket, -EBUSY with
 * HUB_MAX_CLIENTS there, -ENOMEM; with a line.
 */
int hub_attach(struct chardev *hub, const struct hub_client_config *config, struct hub_client **ret,
	struct error *err);
/* It gets no more output. What it has sent already still reaches the guest. */
void hub_detach(struct hub_client *client);
/* Nobody hears of it any more; it stays until it hangs up, or the hub is closed. */
void hub_forget(struct hub_client *client);

/* A number of its own for each client, from 1 on. NULL: it is not there. */
unsigned int hub_client_number(const struct hub_client *client);
struct hub_client *hub_find(struct chardev *hub, unsigned int number);

/* The front end sees the size that was told last, of those that are there. */
void hub_resize(struct hub_client *client, uint16_t cols, uint16_t rows);
/* Not for one that is read-only. */
void hub_break(struct hub_client *client);

#endif
