/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's bytes, both ways, straight between guest memory and the back end.
 *
 * Out: one chain at a time is taken from the queue and written piece by piece. When the back end
 * takes less than it was offered, the chain is kept with the place reached, and nothing is looked
 * at until tx_ready. Linux's hvc driver spins until it has the chain back; how long that lasts at
 * most is for the back end to decide (CHARDEV_STALL_NS). A queue can describe far more bytes than
 * there is RAM, so a turn is bounded and the rest left to another kick.
 *
 * In: the back end asks for room, which is what the driver has posted, taken from the queue ahead
 * and held until bytes come. Without any, notifications are turned on, and the kick that follows
 * makes the back end ask again. While there is room, no notification is wanted.
 */
#include "console_private.h"

#include <string.h>

/* ---- out ---- */

/* As much of the chain as the back end takes. True when it is done with. */
static bool write_chain(struct console_port *port)
{
	struct virtio_device *vdev = port->con->vdev;
	struct virtq_cursor ahead;
	struct iovec iov;
	size_t taken;
	int n;

	while (port->tx_at.left) {
		if (!port->turn) {
			virtio_device_kick_again(vdev, console_tx_queue(port));
			return false;
		}
		ahead = port->tx_at;
		virtq_iov(&ahead, port->turn, &iov, 1, &n);
		taken = chardev_write(port->config.chardev, iov.iov_base, iov.iov_len);
		virtq_skip(&port->tx_at, taken);
		port->turn -= (uint32_t)taken;
		if (taken < iov.iov_len) {
			port->tx_blocked = true;
			return false;
		}
	}
	virtio_device_push(vdev, console_tx_queue(port), port->tx, 0);
	port->tx = NULL;
	return true;
}

static bool handle_output(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct console_port *port = console_port_of(opaque, q);

	if (chain->writable) {
		console_refuse(port->con, q, chain, "output in a writable buffer");
		return false;
	}
	port->tx = chain;
	port->tx_at = virtq_reader(chain);
	return write_chain(port);
}

void console_tx_kick(struct console_port *port)
{
	if (port->tx_blocked)
		return;
	port->turn = VIRTIO_CONSOLE_TURN_BYTES;
	if (!port->tx || write_chain(port))
		virtio_device_process(port->con->vdev, console_tx_queue(port), handle_output);
}

void console_tx_ready(struct console_port *port)
{
	port->tx_blocked = false;
	if (virtio_device_running(port->con->vdev))
		virtio_device_kick_again(port->con->vdev, console_tx_queue(port));
}

/* ---- in ---- */

static bool input_wanted(const struct console_port *port)
{
	if (!virtio_device_running(port->con->vdev))
		return false;
	return console_multiport(port->con) ? port->guest_open : !port->id;
}

/* Takes buffers ahead; returns the bytes there are in those that are held. */
static size_t gather(struct console_port *port)
{
	const unsigned int q = console_rx_queue(port);
	struct virtq_chain *chain;
	uint64_t room = 0;

	for (unsigned int i = 0; i < port->num_rx; i++)
		room += port->rx[i]->writable;
	while (room < CONSOLE_RX_ROOM && port->num_rx < CONSOLE_RX_AHEAD &&
		(room ? virtio_device_pop(port->con->vdev, q, &chain)
		      : console_pop(port->con, q, &chain))) {
		if (chain->readable || !chain->writable) {
			console_refuse(port->con, q, chain, "no buffer to receive into");
			break;
		}
		room += chain->writable;
		port->rx[port->num_rx++] = chain;
	}
	return (size_t)MIN(room, (uint64_t)CONSOLE_RX_ROOM);
}

size_t console_rx_room(struct console_port *port)
{
	const size_t room = input_wanted(port) ? gather(port) : 0;

	port->rx_wanted = !room;
	return room;
}

void console_rx(struct console_port *port, const uint8_t *buf, size_t len)
{
	const unsigned int q = console_rx_queue(port);
	unsigned int filled = 0;
	size_t done = 0;

	/* Fewer than there was room for if a reset came between; the rest is lost with it. */
	for (; done < len && filled < port->num_rx; filled++) {
		struct virtq_cursor at = virtq_writer(port->rx[filled]);
		const size_t n = virtq_write(&at, buf + done, len - done);

		virtio_device_push(port->con->vdev, q, port->rx[filled], (uint32_t)n);
		done += n;
	}
	port->num_rx -= filled;
	memmove(port->rx, port->rx + filled, port->num_rx * sizeof(port->rx[0]));
	if (filled)
		virtio_device_flush(port->con->vdev, q);
}

void console_wake_input(struct console_port *port)
{
	if (!port->rx_wanted)
		return;
	port->rx_wanted = false;
	chardev_rx_kick(port->config.chardev);
}

void console_rx_kick(struct console_port *port)
{
	virtio_device_notify_off(port->con->vdev, console_rx_queue(port));
	console_wake_input(port);
}

void console_give_back(struct console_port *port, unsigned int q)
{
	struct virtio_device *vdev = port->con->vdev;

	if (q == console_tx_queue(port)) {
		if (port->tx)
			virtio_device_release(vdev, q, port->tx);
		port->tx = NULL;
		return;
	}
	while (port->num_rx)
		virtio_device_release(vdev, q, port->rx[--port->num_rx]);
}
