/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card with its loop on a thread of its own, its network on another, vCPUs here and on a
 * third. For the thread sanitizer, and for the frames.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"
#include "virtio_net_socket.h"

enum {
	FRAMES = 2000,
	/* Buffers for receiving come from what is below this, a slot for each head of each pair
	 * above it. */
	SLOTS = RIG_RAM_BASE + 0x90000,
	SLOT = 2300,
	HEADS = 64,
	RX_BUFFER = 2048,
	TOKEN = 999, /* a frame's length in the storm */
};

static struct {
	struct socket_net net;
	_Atomic bool over; /* threads of the test end */
} host;

static void plug(struct virtio_net_config config)
{
	struct virtio_net *vnet;

	rig_unplug(&nf.rig);
	atomic_store(&host.over, false);
	socket_net_create(&host.net);
	config.net = &host.net.net;
	config.loop = host.net.loop;
	assert_int_equal(virtio_net_create(&config, &vnet), 0);
	net_plug(vnet);
	socket_net_start(&host.net);
}

static int set_up(void **state)
{
	net_set_up(state);
	nf.config.max_pairs = SOCKET_NET_QUEUES;
	plug(nf.config);
	return 0;
}

static int tear_down(void **state)
{
	rig_unplug(&nf.rig); /* with the loop running */
	socket_net_stop(&host.net);
	socket_net_destroy(&host.net);
	return net_tear_down(state);
}

/* ---- frames: their number says what they are ---- */

static size_t len_of(unsigned int i, size_t max)
{
	return 14 + (i * 7919u) % (max - 14);
}

static void make(uint8_t *frame, unsigned int i, size_t len)
{
	memset(frame, 0, NET_HEADER);
	net_pattern(frame + NET_HEADER, len, (uint8_t)i);
}

static bool right(const uint8_t *payload, size_t len, unsigned int i, size_t max)
{
	static _Thread_local uint8_t want[NET_MAX_FRAME];

	net_pattern(want, len, (uint8_t)i);
	return len == len_of(i, max) && !memcmp(payload, want, len);
}

/* ---- the network's side ---- */

struct network {
	int fd;
	unsigned int in, out; /* frames so far */
	bool wrong;
};

static void *stream_network(void *opaque)
{
	static uint8_t got[NET_MAX_FRAME], sent[NET_MAX_FRAME];
	struct network *n = opaque;
	struct pollfd pfd = {.fd = n->fd};

	while (!n->wrong && (n->in < FRAMES || n->out < FRAMES)) {
		const size_t len = len_of(n->out, 60000);
		ssize_t rc;

		pfd.events =
			(short)((n->in < FRAMES ? POLLIN : 0) | (n->out < FRAMES ? POLLOUT : 0));
		poll(&pfd, 1, -1);
		if (pfd.revents & POLLIN) {
			rc = recv(n->fd, got, sizeof(got), MSG_DONTWAIT);
			n->wrong |=
				rc < NET_HEADER || !right(got + NET_HEADER, (size_t)rc - NET_HEADER,
							   n->in++, SLOT - NET_HEADER);
		}
		if (!(pfd.revents & POLLOUT))
			continue;
		make(sent, n->out, len);
		rc = send(n->fd, sent, NET_HEADER + len, MSG_DONTWAIT | MSG_NOSIGNAL);
		n->out += rc > 0;
		n->wrong |= rc < 0 && errno != EAGAIN;
	}
	return NULL;
}

/* ---- the guest's side ---- */

static unsigned int queue_frames(unsigned int pair, unsigned int from, unsigned int end)
{
	struct vdrv *d = &nf.pair[pair];
	unsigned int i = from;

	for (; i < end && d->q[NET_TX].num_free; i++) {
		const size_t len = len_of(i, SLOT - NET_HEADER);
		const struct vdrv_buf buf = {SLOTS + SLOT * (pair * HEADS + d->q[NET_TX].free_head),
			(uint32_t)(NET_HEADER + len)};

		make(vdrv_at(d, buf.gpa, buf.len), i, len);
		net_add(pair, NET_TX, &buf, 1, 0, false);
		vdrv_kick(d, NET_TX);
	}
	return i;
}

static void post(unsigned int pair, unsigned int n)
{
	while (n--) {
		if (nf.brk + RX_BUFFER > SLOTS)
			nf.brk = RIG_RAM_BASE + (NET_PAIRS + 1) * 0x10000;
		net_post(pair, 1, RX_BUFFER);
	}
}

static void test_stream_both_ways(void **state)
{
	static uint8_t payload[NET_MAX_FRAME];
	struct network network = {.fd = host.net.queues[0].peer};
	unsigned int queued = 0, sent = 0, in = 0;
	struct net_header header;
	pthread_t thread;

	(void)state;
	net_start(NET_RING | VIRTIO_NET_F_MRG_RXBUF);
	post(0, 64);
	pthread_create(&thread, NULL, stream_network, &network);
	while (sent < FRAMES || in < FRAMES) {
		queued = queue_frames(0, queued, FRAMES);
		sent += net_sent(0);
		for (int n; (n = net_receive(0, &header, payload)) >= 0; in++) {
			assert_true(right(payload, (size_t)n, in, 60000));
			post(0, header.num_buffers);
		}
		sched_yield();
	}
	pthread_join(thread, NULL);
	assert_false(network.wrong);
	assert_int_equal(network.in, FRAMES);
	assert_false(net_needs_reset());
}

/* ---- resets, kicks, commands and news in the middle ---- */

static void *noisy_network(void *opaque)
{
	uint8_t frame[3000] = {0};

	(void)opaque;
	for (unsigned int i = 0; !atomic_load(&host.over); i++) {
		const int fd = host.net.queues[i % SOCKET_NET_QUEUES].peer;

		while (recv(fd, frame, sizeof(frame), MSG_DONTWAIT) > 0)
			;
		memset(frame, 0, NET_HEADER);
		if (send(fd, frame, NET_HEADER + len_of(i, 2900), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			sched_yield();
		if (i % 64 == 0)
			socket_net_toggle_link(&host.net);
	}
	return NULL;
}

static void *other_vcpu(void *opaque)
{
	(void)opaque;
	for (unsigned int i = 0; !atomic_load(&host.over); i++) {
		vdrv_cfg(&nf.pair[0], 0, 8);
		nf.pair[0].t->notify(&nf.pair[i % 3], i / 3 % 2);
		if (i % 16 == 0)
			virtio_net_announce(nf.vnet);
		sched_yield();
	}
	return NULL;
}

/* The answer to a command, which another thread gives. */
static int tell(uint8_t class, uint8_t command, const void *data, uint32_t len)
{
	struct vdrv *d = &nf.pair[NET_PAIRS];
	const struct vdrv_buf bufs[] = {{net_alloc(2 + len), 2 + len}, {net_alloc(1), 1}};
	uint8_t *p = vdrv_at(d, bufs[0].gpa, bufs[0].len);

	p[0] = class;
	p[1] = command;
	memcpy(p + 2, data, len);
	net_add(NET_PAIRS, 0, bufs, 1, 1, false);
	vdrv_kick(d, 0);
	while (vdrv_get(d, 0, NULL) == VDRV_NO_HEAD)
		sched_yield();
	return *vdrv_at(d, bufs[1].gpa, 1);
}

/* Frames go both ways now, whatever came before. */
static void expect_at_work(unsigned int pair)
{
	const int fd = host.net.queues[pair].peer;
	static uint8_t payload[NET_MAX_FRAME];
	uint8_t token[NET_HEADER + TOKEN], got[NET_MAX_FRAME];
	struct net_header header;
	ssize_t n;

	make(token, 7, TOKEN);
	net_send_pattern(pair, TOKEN, 7);
	do
		n = recv(fd, got, sizeof(got), 0);
	while (n != sizeof(token) || memcmp(got, token, sizeof(token)));
	assert_int_equal(send(fd, token, sizeof(token), MSG_NOSIGNAL), sizeof(token));
	for (;;) {
		const int len = net_receive(pair, &header, payload);

		if (len == TOKEN && !memcmp(payload, token + NET_HEADER, TOKEN))
			break;
		if (len >= 0)
			post(pair, header.num_buffers);
		sched_yield();
	}
}

static void restart(uint64_t features)
{
	net_start(features);
	nf.brk = RIG_RAM_BASE + (NET_PAIRS + 1) * 0x10000;
}

static void test_storm(void **state)
{
	static const uint64_t features[] = {NET_RING | VIRTIO_NET_F_MRG_RXBUF, NET_PLAIN,
		NET_RING | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ |
			VIRTIO_NET_F_GUEST_ANNOUNCE | VIRTIO_NET_F_STATUS};
	static uint8_t payload[NET_MAX_FRAME];
	pthread_t threads[2];

	(void)state;
	nf.dirty = true;
	pthread_create(&threads[0], NULL, noisy_network, NULL);
	pthread_create(&threads[1], NULL, other_vcpu, NULL);
	for (unsigned int i = 0; i < 300; i++) {
		const unsigned int pairs = i % 3 == 2 ? SOCKET_NET_QUEUES : 1;
		struct net_header header;

		restart(features[i % 3]);
		for (unsigned int k = 0; k < pairs; k++)
			post(k, 20);
		for (uint16_t n = 0; n < 4 && pairs > 1; n++) {
			const uint16_t use = (uint16_t)(1 + (i + n) % pairs);

			assert_int_equal(tell(4, 0, &use, sizeof(use)), 0);
		}
		for (unsigned int k = 0; k < pairs; k++)
			queue_frames(k, 0, i % 20);
		for (unsigned int n = 0; n < i % 30; n++) {
			net_sent(0);
			if (net_receive(0, &header, payload) >= 0)
				post(0, header.num_buffers);
			sched_yield();
		}
		if (i % 5 == 0 && nf.pair[0].negotiated & VIRTIO_F_RING_RESET)
			nf.pair[0].t->queue_reset(&nf.pair[0], i / 5 % 2);
		assert_false(net_needs_reset());
	}
	atomic_store(&host.over, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	restart(features[0]);
	post(0, 60);
	expect_at_work(0);
}

/* More pairs, one after the other, and fewer again */
static void test_pairs(void **state)
{
	const uint64_t features =
		NET_RING | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ;

	(void)state;
	restart(features);
	for (unsigned int k = 0; k < SOCKET_NET_QUEUES; k++)
		post(k, 8);
	for (unsigned int i = 0; i < 50; i++) {
		const uint16_t use = (uint16_t)(1 + i % SOCKET_NET_QUEUES);

		assert_int_equal(tell(4, 0, &use, sizeof(use)), 0);
		for (unsigned int k = 0; k < use; k++) {
			expect_at_work(k);
			post(k, 1);
			while (!net_sent(k))
				sched_yield();
		}
	}
}

/* The card goes while frames come and go. */
static void test_destroyed_in_the_middle(void **state)
{
	pthread_t thread;

	(void)state;
	restart(NET_RING | VIRTIO_NET_F_MRG_RXBUF);
	post(0, 60);
	pthread_create(&thread, NULL, noisy_network, NULL);
	queue_frames(0, 0, 50);
	rig_unplug(&nf.rig);
	atomic_store(&host.over, true);
	pthread_join(thread, NULL);
}

#define ON_MMIO(f)                                                                                 \
	{                                                                                          \
#f, f, set_up, tear_down, (void *)(uintptr_t)RIG_MMIO                              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MMIO(test_stream_both_ways),
		ON_MMIO(test_storm),
		ON_MMIO(test_pairs),
		ON_MMIO(test_destroyed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
