/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on a back end in the test's hands, and the driver half: for cmocka, a fresh one
 * for each test, on the transport that the test's initial state names. NET_TEST(f) lists test f
 * once for each.
 *
 * Each pair of queues has a driver (struct vdrv) that knows them as NET_RX and NET_TX; the control
 * queue has one that knows it as 0.
 */
#ifndef TESTS_VIRTIO_NET_FIXTURE_H
#define TESTS_VIRTIO_NET_FIXTURE_H

#include "fakes/virtio_driver.h"
#include "virtio/net/net.h"
#include "virtio_net_fake.h"

enum { NET_RX = 0, NET_TX = 1, NET_PAIRS = 3, NET_PAYLOAD_MAX = NET_MAX_FRAME - NET_HEADER };

/* Of a header */
enum {
	NEEDS_CSUM = 1,
	DATA_VALID = 2,
	GSO_TCPV4 = 1,
	GSO_UDP = 3,
	GSO_TCPV6 = 4,
	GSO_UDP_L4 = 5,
	GSO_ECN = 0x80
};

struct net_fixture {
	/* For the next net_restart */
	enum rig_kind kind;
	struct virtio_net_config config;
	struct net_info info;
	bool loop;

	struct rig rig;
	struct fake_net fake;
	struct virtio_net *vnet;
	struct vdrv pair[NET_PAIRS + 1]; /* the last one is the control queue's */
	struct vdrv_buf posted[NET_PAIRS][VIRTQ_MAX_SIZE];
	bool dirty; /* frames were dropped: there may be bytes of them behind others (2.7.8.2) */
	uint64_t brk;
	uint32_t gap; /* that net_alloc leaves between buffers; 0: they are neighbours */
};

extern struct net_fixture nf;

#define NET_PLAIN (VIRTIO_F_VERSION_1)
#define NET_RING                                                                                   \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_IN_ORDER |    \
		VIRTIO_F_RING_RESET)
#define NET_GUEST_OFFLOADS                                                                         \
	(VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 |             \
		VIRTIO_NET_F_GUEST_ECN | VIRTIO_NET_F_GUEST_UFO | VIRTIO_NET_F_GUEST_USO4 |        \
		VIRTIO_NET_F_GUEST_USO6)
#define NET_HOST_OFFLOADS                                                                          \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 |                     \
		VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_HOST_UFO | VIRTIO_NET_F_HOST_USO)
#define NET_CTRL                                                                                   \
	(VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_MAC_ADDR |                \
		VIRTIO_NET_F_GUEST_ANNOUNCE | VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)
/* What a driver takes that knows everything, with one pair of queues and no MTU. */
#define NET_ALL                                                                                    \
	(NET_RING | NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS | NET_CTRL | VIRTIO_NET_F_MAC |         \
		VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MRG_RXBUF)

extern const uint8_t net_mac[6];

int net_set_up(void **state);
int net_tear_down(void **state);
/* A fresh machine with what nf.kind, config, info and loop say now. */
void net_restart(void);
/* A card of the test's own, after rig_unplug. */
void net_plug(struct virtio_net *vnet);

/* Reset, features, queues (all pairs with MQ, else one; control), DRIVER_OK. Nothing is posted. */
void net_start(uint64_t features);
/* The same up to FEATURES_OK; true when accepted. */
bool net_negotiate(uint64_t features);
/* The queues that go with the features negotiated. */
void net_setup_queues(void);
bool net_needs_reset(void);
/* Lets loop and back end do what is to be done. */
void net_run(void);
/* RAM for buffers, which comes round again. */
uint64_t net_alloc(uint64_t len);

/* ---- receiving ---- */

/* Makes n buffers of len bytes available, and notifies if the device wants that. */
void net_post(unsigned int pair, unsigned int n, uint32_t len);
/* A chain of many descriptors: adds without kick, returns the head. */
int net_add(unsigned int pair, unsigned int queue, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in, bool indirect);
/*
 * The next frame: checks what 5.1.6.4.1 says of its buffers, copies header and payload out, and
 * returns the payload's length; -1: none.
 */
int net_receive(unsigned int pair, struct net_header *header, uint8_t *payload);
/* The next frame has this payload and a header of zeros, but for num_buffers. */
void net_expect(unsigned int pair, const void *payload, size_t len, unsigned int buffers);
void net_expect_none(unsigned int pair);
/* A frame from the network: a header of zeros, len bytes of a pattern. Runs. */
void net_arrive(unsigned int queue, size_t len, uint8_t seed);
/* The next frame is what net_arrive made of these. */
void net_expect_arrived(unsigned int pair, size_t len, uint8_t seed, unsigned int buffers);

void net_pattern(uint8_t *buf, size_t len, uint8_t seed);

/* ---- sending ---- */

/* Makes a frame available in one buffer, and notifies. The head. */
int net_send(unsigned int pair, const struct net_header *header, const void *payload, size_t len);
/* The same with a header of zeros and a pattern. */
int net_send_pattern(unsigned int pair, size_t len, uint8_t seed);
/* Chains that came back since the last call, with length 0. */
unsigned int net_sent(unsigned int pair);
/* The next frame that reached the network. */
void net_expect_sent(
	unsigned int pair, const struct net_header *header, const void *payload, size_t len);
void net_expect_sent_pattern(unsigned int pair, size_t len, uint8_t seed);
void net_expect_none_sent(void);

/* ---- control ---- */

/* The answer to a command. */
int net_control(uint8_t class, uint8_t command, const void *data, uint32_t len);
int net_set_pairs(uint16_t pairs);

#define NET_ON(f, name, kind)                                                                      \
	{                                                                                          \
#f "/" name, f, net_set_up, net_tear_down, (void *)(uintptr_t)(kind)               \
	}
#define NET_MMIO(f) NET_ON(f, "mmio", RIG_MMIO)
#define NET_TEST(f)                                                                                \
	NET_MMIO(f), NET_ON(f, "pci-intx", RIG_PCI_INTX), NET_ON(f, "pci-msix", RIG_PCI_MSIX)

#endif
