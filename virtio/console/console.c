/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console as a virtio device: configuration space, which kick and which callback goes where,
 * life. Data is in console_data.c, control messages are in console_control.c.
 *
 * Locking: the device's lock guards everything. The back end is called with it held (write,
 * rx_kick, connected, size: none blocks or calls back), and its callbacks take it. So a back end's
 * locks stand below the device's, and detaching, which waits for callbacks, is done without it: in
 * destroy. A callback may come until then, when the queues are gone already; nothing is done with
 * them unless the device is running.
 */
#include "virtio/console/console.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "console_private.h"

/* 5.3.4 */
enum { CFG_COLS = 0, CFG_ROWS = 2, CFG_MAX_PORTS = 4, CFG_EMERG_WRITE = 8 };

static uint64_t features(void *opaque)
{
	const struct virtio_console *con = opaque;

	return VIRTIO_F_IN_ORDER | VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE |
	       (con->offer_multiport ? VIRTIO_CONSOLE_F_MULTIPORT : 0);
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	const struct virtio_console *con = opaque;
	const uint16_t cols = htole16(con->ports[0].cols), rows = htole16(con->ports[0].rows);
	const uint32_t max_ports = htole32(con->num_ports);
	uint8_t cfg[VIRTIO_CONSOLE_CFG_SIZE] = {0};

	memcpy(cfg + CFG_COLS, &cols, sizeof(cols));
	memcpy(cfg + CFG_ROWS, &rows, sizeof(rows));
	memcpy(cfg + CFG_MAX_PORTS, &max_ports, sizeof(max_ports));
	memcpy(buf, cfg + off, len);
}

/*
 * An emergency write (5.3.5): the lowest byte of emerg_wr goes out at once, in any state of the
 * device. There is no memory for one that the back end does not take.
 */
static void cfg_write(void *opaque, uint32_t off, const void *buf, uint32_t len)
{
	struct virtio_console *con = opaque;

	if (off <= CFG_EMERG_WRITE && CFG_EMERG_WRITE - off < len)
		chardev_write(con->ports[0].config.chardev,
			(const uint8_t *)buf + (CFG_EMERG_WRITE - off), 1);
}

/*
 * Linux without MULTIPORT reads the size when told that it has changed, and at no other time. With
 * it, the size comes as a control message.
 */
static int start(void *opaque)
{
	struct virtio_console *con = opaque;

	if ((virtio_device_negotiated(con->vdev) & VIRTIO_CONSOLE_F_SIZE) && con->ports[0].cols &&
		!console_multiport(con))
		virtio_device_config_changed(con->vdev);
	return 0;
}

static void stop(void *opaque)
{
	struct virtio_console *con = opaque;

	for (unsigned int i = 0; i < con->num_ports; i++) {
		struct console_port *port = &con->ports[i];

		console_give_back(port, console_rx_queue(port));
		console_give_back(port, console_tx_queue(port));
		port->added = port->ready = port->guest_open = false;
		port->pending = 0;
	}
}

static void queue_stop(void *opaque, unsigned int q)
{
	struct console_port *port = console_port_of(opaque, q);

	if (port)
		console_give_back(port, q);
}

static void kick(void *opaque, unsigned int q)
{
	struct virtio_console *con = opaque;
	struct console_port *port = console_port_of(con, q);

	if (q >= CONSOLE_CONTROL_RX && !console_multiport(con))
		return;
	if (q == CONSOLE_CONTROL_RX)
		console_control_rx_kick(con);
	else if (q == CONSOLE_CONTROL_TX)
		console_control_tx_kick(con);
	else if (q == console_rx_queue(port))
		console_rx_kick(port);
	else
		console_tx_kick(port);
}

static void destroy(void *opaque)
{
	struct virtio_console *con = opaque;

	for (unsigned int i = 0; i < con->num_ports; i++)
		if (con->ports[i].config.chardev)
			chardev_attach(con->ports[i].config.chardev, NULL, NULL);
	free(con);
}

static const struct virtio_device_ops ops = {.features = features,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.start = start,
	.stop = stop,
	.queue_stop = queue_stop,
	.kick = kick,
	.destroy = destroy};

/* ---- called by the back ends ---- */

static size_t on_rx_room(void *opaque)
{
	struct console_port *port = opaque;
	size_t room;

	virtio_device_lock(port->con->vdev);
	room = console_rx_room(port);
	virtio_device_unlock(port->con->vdev);
	return room;
}

static void on_rx(void *opaque, const uint8_t *buf, size_t len)
{
	struct console_port *port = opaque;

	virtio_device_lock(port->con->vdev);
	console_rx(port, buf, len);
	virtio_device_unlock(port->con->vdev);
}

static void on_tx_ready(void *opaque)
{
	struct console_port *port = opaque;

	virtio_device_lock(port->con->vdev);
	console_tx_ready(port);
	virtio_device_unlock(port->con->vdev);
}

/* True when the size is another one now. */
static bool update_size(struct console_port *port)
{
	uint16_t cols, rows;

	if (!chardev_size(port->config.chardev, &cols, &rows) ||
		(cols == port->cols && rows == port->rows))
		return false;
	port->cols = cols;
	port->rows = rows;
	return true;
}

static void on_event(void *opaque, enum chardev_event event)
{
	struct console_port *port = opaque;
	struct virtio_device *vdev = port->con->vdev;

	virtio_device_lock(vdev);
	switch (event) {
	case CHARDEV_CONNECTED:
	case CHARDEV_DISCONNECTED:
		console_host_open(port, event == CHARDEV_CONNECTED);
		break;
	case CHARDEV_RESIZED:
		if (!update_size(port))
			break;
		if (!port->id)
			virtio_device_config_changed(vdev);
		console_resized(port);
		break;
	case CHARDEV_BREAK:
		break;
	}
	virtio_device_unlock(vdev);
}

static const struct chardev_handler handler = {
	.rx_room = on_rx_room,
	.rx = on_rx,
	.tx_ready = on_tx_ready,
	.event = on_event,
};

/* ---- construction ---- */

static bool name_valid(const struct virtio_console_config *config, unsigned int i)
{
	const char *name = config->ports[i].name;

	if (!name)
		return true;
	if (!name[0] || strlen(name) > VIRTIO_CONSOLE_NAME_MAX)
		return false;
	for (unsigned int k = 0; k < i; k++)
		if (config->ports[k].name && !strcmp(config->ports[k].name, name))
			return false;
	return true;
}

static bool config_valid(const struct virtio_console_config *config)
{
	if (!config->num_ports || config->num_ports > VIRTIO_CONSOLE_MAX_PORTS)
		return false;
	for (unsigned int i = 0; i < config->num_ports; i++)
		if (!name_valid(config, i))
			return false;
	return true;
}

static void init_ports(struct virtio_console *con, const struct virtio_console_config *config)
{
	con->num_ports = config->num_ports;
	for (unsigned int i = 0; i < con->num_ports; i++) {
		struct console_port *port = &con->ports[i];

		port->con = con;
		port->id = i;
		port->config = config->ports[i];
		port->rx_wanted = true; /* it may hold bytes that somebody before us had no room
					   for */
		update_size(port);
		con->offer_multiport |= i || port->config.name || !port->config.console;
	}
}

static int create_device(struct virtio_console *con, const struct virtio_console_config *config)
{
	uint16_t sizes[2 * VIRTIO_CONSOLE_MAX_PORTS + 2];
	const struct virtio_device_config device = {.name = config->name,
		.id = VIRTIO_ID_CONSOLE,
		.ops = &ops,
		.opaque = con,
		.num_queues = con->offer_multiport ? 2 * con->num_ports + 2 : 2,
		.queue_sizes = sizes,
		.cfg_size = VIRTIO_CONSOLE_CFG_SIZE,
		.mem = config->mem,
		.loop = config->loop,
		.log = config->log};

	for (unsigned int q = 0; q < ARRAY_SIZE(sizes); q++)
		sizes[q] = VIRTIO_CONSOLE_QUEUE_SIZE;
	return virtio_device_create(&device, &con->vdev);
}

int virtio_console_create(const struct virtio_console_config *config, struct virtio_device **ret)
{
	struct virtio_console *con;
	int rc;

	if (!config_valid(config))
		return -EINVAL;
	con = calloc(1, sizeof(*con) + config->num_ports * sizeof(con->ports[0]));
	if (!con)
		return -ENOMEM;
	con->name = config->name;
	con->log = config->log;
	init_ports(con, config);
	rc = create_device(con, config);
	if (rc < 0) {
		free(con);
		return rc;
	}
	for (unsigned int i = 0; i < con->num_ports; i++)
		if (con->ports[i].config.chardev)
			chardev_attach(con->ports[i].config.chardev, &handler, &con->ports[i]);
	*ret = con->vdev; /* NOLINT(clang-analyzer-unix.Malloc): its destroy operation frees con */
	return 0;
}
