/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control queues (5.3.6.2):
 *
 *	driver				device
 *	DEVICE_READY			PORT_ADD, for each port, once
 *	PORT_READY			CONSOLE_PORT, PORT_NAME, PORT_OPEN, RESIZE, as they apply
 *	PORT_OPEN 1, 0			PORT_OPEN 1, 0 when somebody connects or leaves; RESIZE
 *
 * What is to be told is kept as one bit per port and message, and made into a message when the
 * driver has posted a buffer for it. So nothing piles up when it posts none, and what it hears then
 * is the state at that time. A connection that was lost and came back is still told as both: the
 * two ends start anew then. Linux looks PORT_READY up after it has woken from hibernation without
 * having seen PORT_ADD again, which therefore is no condition here.
 */
#include <endian.h>
#include <string.h>

#include "console_private.h"

/* Events on the wire */
enum {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	RESIZE = 5,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

struct control {
	uint32_t id;
	uint16_t event, value;
};
_Static_assert(sizeof(struct control) == 8, "as on the wire");

/* What we send, in the order in which it is sent when several wait. */
enum console_message {
	MSG_ADD,
	MSG_CONSOLE,
	MSG_NAME,
	MSG_CLOSE,
	MSG_OPEN,
	MSG_SIZE,
	NUM_MESSAGES,
};

static const struct {
	uint16_t event, value;
} wire[] = {
	[MSG_ADD] = {PORT_ADD, 0},
	[MSG_CONSOLE] = {CONSOLE_PORT, 1},
	[MSG_NAME] = {PORT_NAME, 1},
	[MSG_CLOSE] = {PORT_OPEN, 0},
	[MSG_OPEN] = {PORT_OPEN, 1},
	[MSG_SIZE] = {RESIZE, 0},
};
_Static_assert(ARRAY_SIZE(wire) == NUM_MESSAGES, "a row per message");

static void mark(struct console_port *port, enum console_message m)
{
	port->pending |= 1u << m;
}

/* ---- to the driver ---- */

/* Returns its length; buf takes the longest. */
static size_t compose(const struct console_port *port, enum console_message m, uint8_t *buf)
{
	const struct control head = {.id = htole32(port->id),
		.event = htole16(wire[m].event),
		.value = htole16(wire[m].value)};
	const uint16_t size[] = {htole16(port->cols), htole16(port->rows)};
	size_t len = 0;

	memcpy(buf, &head, sizeof(head));
	if (m == MSG_NAME) {
		len = strlen(port->config.name);
		memcpy(buf + sizeof(head), port->config.name, len);
	} else if (m == MSG_SIZE) {
		len = sizeof(size);
		memcpy(buf + sizeof(head), size, len);
	}
	return sizeof(head) + len;
}

/* False when there is no buffer for it. What follows its head is cut to what there is. */
static bool send_message(const struct console_port *port, enum console_message m)
{
	struct virtio_console *con = port->con;
	const unsigned int q = CONSOLE_CONTROL_RX;
	uint8_t buf[sizeof(struct control) + VIRTIO_CONSOLE_NAME_MAX];
	const size_t len = compose(port, m, buf);
	struct virtq_chain *chain;
	struct virtq_cursor at;

	if (!console_pop(con, q, &chain))
		return false;
	if (chain->readable || chain->writable < sizeof(struct control)) {
		console_refuse(con, q, chain, "no buffer for a control message");
		return false;
	}
	at = virtq_writer(chain);
	virtio_device_push(con->vdev, q, chain, (uint32_t)virtq_write(&at, buf, len));
	return true;
}

/* As much of what is pending as there are buffers for. */
static void send_pending(struct virtio_console *con)
{
	bool room = true;

	for (unsigned int i = 0; room && i < con->num_ports; i++) {
		struct console_port *port = &con->ports[i];

		for (unsigned int m = 0; room && m < NUM_MESSAGES; m++) {
			if (!(port->pending & (1u << m)))
				continue;
			room = send_message(port, m);
			if (room)
				port->pending &= ~(1u << m);
		}
	}
	virtio_device_flush(con->vdev, CONSOLE_CONTROL_RX);
}

void console_control_rx_kick(struct virtio_console *con)
{
	virtio_device_notify_off(con->vdev, CONSOLE_CONTROL_RX);
	send_pending(con);
}

void console_host_open(struct console_port *port, bool open)
{
	if (!port->ready || port->config.console)
		return;
	if (!open)
		mark(port, MSG_CLOSE);
	port->pending &= ~(1u << MSG_OPEN);
	if (open)
		mark(port, MSG_OPEN);
	send_pending(port->con);
}

static void mark_size(struct console_port *port)
{
	if (port->config.console && port->cols &&
		(virtio_device_negotiated(port->con->vdev) & VIRTIO_CONSOLE_F_SIZE))
		mark(port, MSG_SIZE);
}

void console_resized(struct console_port *port)
{
	if (!port->ready)
		return;
	mark_size(port);
	send_pending(port->con);
}

/* ---- from the driver ---- */

static void device_ready(struct virtio_console *con, bool ok)
{
	if (!ok) {
		log_limited(
			con->log, &con->limit, LOG_WARN, "%s: its driver has failed", con->name);
		return;
	}
	for (unsigned int i = 0; i < con->num_ports; i++) {
		struct console_port *port = &con->ports[i];

		if (!port->added)
			mark(port, MSG_ADD);
		port->added = true;
	}
}

static void port_ready(struct console_port *port, bool ok)
{
	port->added = port->ready = ok;
	port->pending = 0;
	if (!ok) {
		port->guest_open = false;
		log_limited(port->con->log, &port->con->limit, LOG_WARN,
			"%s: the driver cannot use port %u", port->con->name, port->id);
		return;
	}
	if (port->config.console)
		mark(port, MSG_CONSOLE);
	if (port->config.name)
		mark(port, MSG_NAME);
	if (port->config.console || chardev_connected(port->config.chardev))
		mark(port, MSG_OPEN);
	mark_size(port);
}

static void port_open(struct console_port *port, bool open)
{
	port->guest_open = open;
	if (open)
		console_wake_input(port);
}

/* False when there is no such event or port. */
static bool obey(struct virtio_console *con, uint32_t id, uint16_t event, bool value)
{
	if (event == DEVICE_READY) { /* its id means nothing */
		device_ready(con, value);
		return true;
	}
	if (id >= con->num_ports || (event != PORT_READY && event != PORT_OPEN))
		return false;
	if (event == PORT_READY)
		port_ready(&con->ports[id], value);
	else
		port_open(&con->ports[id], value);
	return true;
}

static bool handle_control(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_console *con = opaque;
	struct virtq_cursor at = virtq_reader(chain);
	struct control msg;

	if (chain->writable || virtq_read(&at, &msg, sizeof(msg)) < sizeof(msg)) {
		console_refuse(con, q, chain, "not a control message");
		return false;
	}
	if (!obey(con, le32toh(msg.id), le16toh(msg.event), msg.value)) {
		console_refuse(con, q, chain, "control message for an unknown event or port");
		return false;
	}
	virtio_device_push(con->vdev, q, chain, 0);
	return true;
}

void console_control_tx_kick(struct virtio_console *con)
{
	virtio_device_process(con->vdev, CONSOLE_CONTROL_TX, handle_control);
	send_pending(con);
}
