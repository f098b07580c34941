/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offloads: which feature bits stand for what a back end can do, what a driver's choice comes to,
 * and whether a frame's header keeps to it (virtio 1.2, 5.1.3, 5.1.6.2 and 5.1.6.4).
 */
#include <endian.h>

#include "net_private.h"

/* VLAN tag included */
enum { ETH_HEADER = 14 + 4 };

#define GUEST_USO (VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6)

/* A back end cannot tell the two kinds of USO apart, so towards the guest it takes both. */
static const struct {
	uint32_t offload;
	uint64_t send, recv;
} features_of[] = {
	{NET_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
	{NET_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
	{NET_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
	{NET_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
	{NET_UFO, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_GUEST_UFO},
	{NET_USO, VIRTIO_NET_F_HOST_USO, GUEST_USO},
};

/* 5.1.3.1: each of the features needs one of the others. What others need themselves comes first.
 */
static const struct {
	uint64_t features, need;
} needs[] = {
	{VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_UFO | GUEST_USO,
		VIRTIO_NET_F_GUEST_CSUM},
	{VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6},
	{VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_UFO |
			VIRTIO_NET_F_HOST_USO,
		VIRTIO_NET_F_CSUM},
	{VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6},
	{VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_GUEST_ANNOUNCE |
			VIRTIO_NET_F_MQ,
		VIRTIO_NET_F_CTRL_VQ},
};

uint64_t net_offload_features(const struct net_info *info)
{
	uint64_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features_of); i++) {
		if (info->send_offloads & features_of[i].offload)
			features |= features_of[i].send;
		if (info->recv_offloads & features_of[i].offload)
			features |= features_of[i].recv;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (!(features & needs[i].need))
			features &= ~needs[i].features;
	return features;
}

bool net_features_valid(uint64_t features)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if ((features & needs[i].features) && !(features & needs[i].need))
			return false;
	return true;
}

uint32_t net_send_offloads(uint64_t features)
{
	uint32_t offloads = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features_of); i++)
		if (features & features_of[i].send)
			offloads |= features_of[i].offload;
	return offloads;
}

uint32_t net_recv_offloads(uint64_t features)
{
	uint32_t offloads = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features_of); i++)
		if ((features & features_of[i].recv) == features_of[i].recv)
			offloads |= features_of[i].offload;
	return offloads;
}

uint64_t net_guest_offload_features(void)
{
	uint64_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(features_of); i++)
		features |= features_of[i].recv;
	return features;
}

static bool gso_allowed(uint8_t type, uint32_t offloads)
{
	switch (type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		return !type;
	case NET_GSO_TCPV4:
		return (offloads & NET_TSO4) && (!(type & NET_GSO_ECN) || (offloads & NET_ECN));
	case NET_GSO_TCPV6:
		return (offloads & NET_TSO6) && (!(type & NET_GSO_ECN) || (offloads & NET_ECN));
	case NET_GSO_UDP:
		return (offloads & NET_UFO) && type == NET_GSO_UDP;
	case NET_GSO_UDP_L4:
		return (offloads & NET_USO) && type == NET_GSO_UDP_L4;
	default:
		return false;
	}
}

/* What the offloads allow, and nothing that lies outside the frame. */
static bool header_valid(const struct net_header *h, size_t len, uint32_t offloads)
{
	if (!gso_allowed(h->gso_type, offloads) || (h->gso_type && !h->gso_size))
		return false;
	if (!(h->flags & NET_F_NEEDS_CSUM))
		return true;
	return (offloads & NET_CSUM) &&
	       range_ok((uint64_t)le16toh(h->csum_start) + le16toh(h->csum_offset),
		       sizeof(uint16_t), len - NET_HEADER);
}

bool net_header_from_driver(struct net_header *h, size_t len, uint32_t offloads)
{
	if (!header_valid(h, len, offloads))
		return false;
	h->flags &= NET_F_NEEDS_CSUM;
	if (!h->flags)
		h->csum_start = h->csum_offset = 0;
	if (!h->gso_type)
		h->gso_size = 0;
	/* A hint and no more. Linux' tap refuses a frame that is shorter. */
	h->hdr_len = htole16((uint16_t)MIN((size_t)le16toh(h->hdr_len), len - NET_HEADER));
	h->num_buffers = 0;
	return true;
}

bool net_header_to_driver(struct net_header *h, size_t len, uint32_t offloads, uint16_t mtu)
{
	if (!header_valid(h, len, offloads))
		return false;
	/* 5.1.4.1 */
	if (mtu && !h->gso_type && len > (size_t)NET_HEADER + ETH_HEADER + mtu)
		return false;
	h->flags &= offloads & NET_CSUM ? NET_F_NEEDS_CSUM | NET_F_DATA_VALID : 0;
	return true;
}
