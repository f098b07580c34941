/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the console share. All of it is guarded by the device's lock. */
#ifndef BANTAM_VIRTIO_CONSOLE_CONSOLE_PRIVATE_H
#define BANTAM_VIRTIO_CONSOLE_CONSOLE_PRIVATE_H

#include "devices/char/chardev.h"
#include "virtio/console/console.h"
#include "virtio/device.h"
#include "vm/core/log.h"

/* 5.3.2: port 0, control, port 1, port 2... */
enum { CONSOLE_CONTROL_RX = 2, CONSOLE_CONTROL_TX = 3 };

enum {
	/* Buffers taken ahead of input, so that small ones are filled by one interrupt. */
	CONSOLE_RX_AHEAD = 32,
	CONSOLE_RX_ROOM = 65536, /* bytes of them to be had at once */
};

struct virtio_console;

struct console_port {
	/* Constant */
	struct virtio_console *con;
	unsigned int id;
	struct virtio_console_port config;

	uint16_t cols, rows; /* 0: not known */

	/* As the driver left it; with MULTIPORT only */
	bool added; /* the driver knows of the port, or will */
	bool ready; /* it wants to hear more */
	bool guest_open;
	uint32_t pending; /* control messages to be sent: bits, by enum console_message */

	struct virtq_chain *rx[CONSOLE_RX_AHEAD];
	unsigned int num_rx;
	bool rx_wanted; /* the back end was told that there is no room */

	struct virtq_chain *tx; /* written up to tx_at */
	struct virtq_cursor tx_at;
	uint32_t turn;	 /* bytes left of VIRTIO_CONSOLE_TURN_BYTES */
	bool tx_blocked; /* a write was short, tx_ready will come; outlives a reset */
};

struct virtio_console {
	struct virtio_device *vdev;
	const char *name;
	struct log *log;
	struct log_limit limit;
	bool offer_multiport;
	unsigned int num_ports;
	struct console_port ports[];
};

static inline bool console_multiport(const struct virtio_console *con)
{
	return virtio_device_negotiated(con->vdev) & VIRTIO_CONSOLE_F_MULTIPORT;
}

static inline unsigned int console_rx_queue(const struct console_port *port)
{
	return port->id ? 2 * port->id + 2 : 0;
}

static inline unsigned int console_tx_queue(const struct console_port *port)
{
	return console_rx_queue(port) + 1;
}

/* NULL for a control queue. */
static inline struct console_port *console_port_of(struct virtio_console *con, unsigned int q)
{
	if (q < CONSOLE_CONTROL_RX)
		return &con->ports[0];
	return q > CONSOLE_CONTROL_TX ? &con->ports[q / 2 - 1] : NULL;
}

/* Pops a chain, or else has the driver tell when there is one. */
static inline bool console_pop(
	struct virtio_console *con, unsigned int q, struct virtq_chain **chain)
{
	return virtio_device_pop(con->vdev, q, chain) ||
	       (virtio_device_notify_on(con->vdev, q) && virtio_device_pop(con->vdev, q, chain));
}

/* The driver broke a rule with this chain. */
static inline void console_refuse(
	struct virtio_console *con, unsigned int q, struct virtq_chain *chain, const char *what)
{
	virtio_device_release(con->vdev, q, chain);
	virtio_device_queue_error(con->vdev, q, "queue %u: %s", q, what);
}

/* ---- virtio/console/console_data.c ---- */

/* Kicks of the port's queues */
void console_rx_kick(struct console_port *port);
void console_tx_kick(struct console_port *port);
/* Has the back end look again whether there is room for input. */
void console_wake_input(struct console_port *port);
/* Gives the chains of the port's queue q back. */
void console_give_back(struct console_port *port, unsigned int q);

/* From the back end, see chardev_handler */
size_t console_rx_room(struct console_port *port);
void console_rx(struct console_port *port, const uint8_t *buf, size_t len);
void console_tx_ready(struct console_port *port);

/* ---- virtio/console/console_control.c ---- */

/* Kicks of the control queues */
void console_control_rx_kick(struct virtio_console *con);
void console_control_tx_kick(struct virtio_console *con);
/* Somebody came to the back end's other side, or left it. */
void console_host_open(struct console_port *port, bool open);
/* The port's size is another one. */
void console_resized(struct console_port *port);

#endif
