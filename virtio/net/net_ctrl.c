/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control queue (virtio 1.2, 5.1.6.5): class, command and data to read, an answer of one byte
 * to write. A command that is unknown, was not negotiated, or comes with the wrong data, is
 * answered with VIRTIO_NET_ERR and does nothing.
 */
#include <endian.h>
#include <string.h>

#include "net_private.h"

enum { ACK_OK = 0, ACK_ERR = 1 };

enum { MAC_BYTES = 6 };

/* The data is this, and nothing else. */
static bool read_data(struct virtq_cursor *data, void *buf, size_t len)
{
	return data->left == len && virtq_read(data, buf, len) == len;
}

/* Promiscuous, all multicast: on or off. Everything is received in any case. */
static bool set_rx_mode(struct virtio_net *vnet, struct virtq_cursor *data)
{
	uint8_t on;

	(void)vnet;
	return read_data(data, &on, sizeof(on));
}

static bool skip_table(struct virtq_cursor *data)
{
	uint32_t entries;
	uint64_t len;

	if (virtq_read(data, &entries, sizeof(entries)) < sizeof(entries))
		return false;
	len = (uint64_t)le32toh(entries) * MAC_BYTES;
	return virtq_skip(data, len) == len;
}

/* Two tables, unicast and multicast. */
static bool set_mac_table(struct virtio_net *vnet, struct virtq_cursor *data)
{
	(void)vnet;
	return skip_table(data) && skip_table(data) && !data->left;
}

static bool set_mac(struct virtio_net *vnet, struct virtq_cursor *data)
{
	uint8_t mac[MAC_BYTES];

	if (!read_data(data, mac, sizeof(mac)))
		return false;
	if (memcmp(mac, vnet->mac, sizeof(mac))) {
		memcpy(vnet->mac, mac, sizeof(mac));
		virtio_device_config_changed(vnet->vdev);
	}
	return true;
}

static bool ack_announcement(struct virtio_net *vnet, struct virtq_cursor *data)
{
	if (data->left)
		return false;
	vnet->announce = false;
	return true;
}

/* Before the back end stops serving these pairs. */
static void take_out(struct virtio_net *vnet, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		vnet->pair[i].rx.frame = 0;
		if (!vnet->vhost)
			continue;
		net_vhost_stop(vnet, 2 * i);
		net_vhost_stop(vnet, 2 * i + 1);
	}
}

static void put_in(struct virtio_net *vnet, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		vnet->pair[i].tx_blocked = false;
		virtio_device_kick_again(vnet->vdev, 2 * i);
		virtio_device_kick_again(vnet->vdev, 2 * i + 1);
	}
}

static bool set_pairs(struct virtio_net *vnet, struct virtq_cursor *data)
{
	const unsigned int before = vnet->pairs;
	unsigned int pairs;
	uint16_t value;

	if (!read_data(data, &value, sizeof(value)))
		return false;
	pairs = le16toh(value);
	if (!pairs || pairs > vnet->config.max_pairs)
		return false;
	take_out(vnet, pairs, before);
	if (vnet->net->ops->set_queues(vnet->net, pairs) < 0) {
		put_in(vnet, pairs, before);
		return false;
	}
	vnet->pairs = pairs;
	put_in(vnet, before, pairs);
	return true;
}

static bool set_guest_offloads(struct virtio_net *vnet, struct virtq_cursor *data)
{
	uint64_t features;
	uint32_t offloads;

	if (!read_data(data, &features, sizeof(features)))
		return false;
	features = le64toh(features);
	offloads = net_recv_offloads(features);
	if ((features & ~net_guest_offload_features()) ||
		(features & ~virtio_device_negotiated(vnet->vdev)) ||
		!net_features_valid(features) ||
		vnet->net->ops->set_offloads(vnet->net, offloads) < 0)
		return false;
	vnet->recv_offloads = offloads;
	return true;
}

static const struct {
	uint8_t class, command;
	uint64_t features; /* one of them must have been negotiated */
	bool (*fn)(struct virtio_net *vnet, struct virtq_cursor *data);
} commands[] = {
	{0, 0, VIRTIO_NET_F_CTRL_RX, set_rx_mode}, /* PROMISC */
	{0, 1, VIRTIO_NET_F_CTRL_RX, set_rx_mode}, /* ALLMULTI */
	{1, 0, VIRTIO_NET_F_CTRL_RX, set_mac_table},
	{1, 1, VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_MAC_ADDR, set_mac},
	{3, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, ack_announcement},
	{4, 0, VIRTIO_NET_F_MQ, set_pairs},
	{5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, set_guest_offloads},
};

static bool obey(struct virtio_net *vnet, uint8_t class, uint8_t command, struct virtq_cursor *data)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].class == class && commands[i].command == command)
			return net_negotiated(vnet, commands[i].features) &&
			       commands[i].fn(vnet, data);
	return false;
}

static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_net *vnet = opaque;
	struct virtq_cursor in = virtq_reader(chain), out = virtq_writer(chain);
	uint8_t head[2], ack;

	if (virtq_read(&in, head, sizeof(head)) < sizeof(head) || !chain->writable) {
		net_refuse(vnet, q, chain, "not a control command");
		return false;
	}
	ack = obey(vnet, head[0], head[1], &in) ? ACK_OK : ACK_ERR;
	virtq_write(&out, &ack, sizeof(ack));
	virtio_device_push(vnet->vdev, q, chain, sizeof(ack));
	return true;
}

void net_ctrl_kick(struct virtio_net *vnet, unsigned int q)
{
	virtio_device_process(vnet->vdev, q, handle);
}
