/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card whose queues the kernel serves: what it is told, and when. */
#include <errno.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* The kernel's names for bits are ours for masks. */
#undef VIRTIO_F_VERSION_1
#undef VIRTIO_F_IN_ORDER
#undef VIRTIO_F_RING_RESET
#include "devices/net/vhost.h"
#include "virtio_net_fixture.h"

enum { VHOST_FD = 1000, TAP_FD = 2000, PAIRS = 2, RINGS = 2 };

#define KERNEL_KNOWS                                                                               \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MRG_RXBUF)
#define CHOSEN                                                                                     \
	(VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CSUM | VIRTIO_NET_F_CTRL_VQ |  \
		VIRTIO_NET_F_MQ)

struct ring {
	uint16_t size, last_avail, last_used;
	struct vhost_vring_addr areas;
	int kick, call, error, tap; /* -1: none */
};

static struct {
	struct net_ops ops;
	struct vhost_sys sys;
	int fds[PAIRS];
	struct {
		bool owned;
		uint64_t features;
		unsigned int regions;
		struct ring rings[RINGS];
	} pairs[PAIRS];
	uint64_t knows;
	unsigned int calls, fail_at; /* the call that fails, from 1 on */
	bool refuse_base;
} kernel;

static int tap_fd(struct net *net, unsigned int queue)
{
	(void)net;
	return TAP_FD + (int)queue;
}

/* ---- rings, as the kernel serves them ---- */

static uint16_t *area(uint64_t address, size_t off)
{
	return (uint16_t *)(uintptr_t)(address + off);
}

/* The used index of a ring that begins to run is what its memory says. */
static int set_backend(struct ring *ring, int tap)
{
	if (tap >= 0)
		ring->last_used = *area(ring->areas.used_user_addr, 2);
	ring->tap = tap;
	return 0;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* Uses up to max chains; a driver cannot be further ahead than the ring is long. */
static unsigned int serve(struct ring *r, unsigned int max)
{
	const uint16_t avail_idx = *area(r->areas.avail_user_addr, 2);
	unsigned int n = 0;

	assert_true(r->tap >= 0);
	if ((uint16_t)(avail_idx - r->last_avail) > r->size) {
		signal_fd(r->error);
		return 0;
	}
	for (; n < max && r->last_avail != avail_idx; n++) {
		const size_t from = 4 + 2 * (size_t)(r->last_avail++ % r->size);
		const size_t to = 4 + 8 * (size_t)(r->last_used++ % r->size);
		const uint32_t elem[] = {*area(r->areas.avail_user_addr, from), 0};

		memcpy(area(r->areas.used_user_addr, to), elem, sizeof(elem));
		*area(r->areas.used_user_addr, 2) = r->last_used;
	}
	return n;
}

/* ---- what it is asked for ---- */

/* It refuses changes to a ring that runs. */
static int set_file(unsigned int pair, unsigned long request, const struct vhost_vring_file *file)
{
	struct ring *ring = &kernel.pairs[pair].rings[file->index];

	assert_true(file->index < RINGS);
	if (request == VHOST_NET_SET_BACKEND)
		return set_backend(ring, file->fd);
	if (request == VHOST_SET_VRING_KICK)
		ring->kick = file->fd;
	else if (request == VHOST_SET_VRING_CALL)
		ring->call = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		ring->error = file->fd;
	else
		return -ENOTTY;
	return 0;
}

static int change_state(unsigned int pair, unsigned long request, struct vhost_vring_state *s)
{
	struct ring *ring = &kernel.pairs[pair].rings[s->index];

	assert_true(s->index < RINGS);
	if (request == VHOST_GET_VRING_BASE) {
		if (kernel.refuse_base)
			return -EIO;
		s->num = ring->last_avail;
		return 0;
	}
	if (ring->tap >= 0)
		return -EBUSY;
	if (s->num > UINT16_MAX)
		return -EINVAL;
	if (request == VHOST_SET_VRING_NUM)
		ring->size = (uint16_t)s->num;
	else
		ring->last_avail = (uint16_t)s->num;
	return 0;
}

static int fake_ioctl(const struct vhost_sys *sys, int fd, unsigned long request, void *arg)
{
	const unsigned int pair = (unsigned int)(fd - VHOST_FD);

	assert_ptr_equal(sys, &kernel.sys);
	assert_true(pair < PAIRS);
	if (request != VHOST_RESET_OWNER && ++kernel.calls == kernel.fail_at)
		return -EIO;
	assert_int_equal(kernel.pairs[pair].owned, request != VHOST_SET_OWNER);
	switch (request) {
	case VHOST_SET_OWNER:
	case VHOST_RESET_OWNER:
		kernel.pairs[pair].owned = request == VHOST_SET_OWNER;
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = kernel.knows;
		return 0;
	case VHOST_SET_FEATURES:
		kernel.pairs[pair].features = *(uint64_t *)arg;
		return 0;
	case VHOST_SET_MEM_TABLE:
		kernel.pairs[pair].regions = ((struct vhost_memory *)arg)->nregions;
		return 0;
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
		return change_state(pair, request, arg);
	case VHOST_SET_VRING_ADDR:
		kernel.pairs[pair].rings[((struct vhost_vring_addr *)arg)->index].areas =
			*(struct vhost_vring_addr *)arg;
		return 0;
	default:
		return set_file(pair, request, arg);
	}
}

static struct ring *ring(unsigned int pair, unsigned int index)
{
	return &kernel.pairs[pair].rings[index];
}

static void reset_kernel(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.sys.ioctl = fake_ioctl;
	kernel.knows = KERNEL_KNOWS;
	for (int i = 0; i < PAIRS; i++) {
		kernel.fds[i] = VHOST_FD + i;
		for (unsigned int r = 0; r < RINGS; r++)
			*ring((unsigned int)i, r) =
				(struct ring){.kick = -1, .call = -1, .error = -1, .tap = -1};
	}
}

/* The device that the fixture has made makes way for one with vhost. */
static void replace(void)
{
	rig_unplug(&nf.rig);
	reset_kernel();
	kernel.ops = *nf.fake.net.ops;
	kernel.ops.vhost_fd = tap_fd;
	nf.fake.net.ops = &kernel.ops;
	nf.config.vhost = kernel.fds;
	nf.config.vhost_sys = &kernel.sys;
	nf.config.max_pairs = PAIRS;
}

static int set_up(void **state)
{
	struct virtio_net *vnet;

	net_set_up(state);
	nf.loop = true;
	net_restart();
	replace();
	nf.rig.with_router = true;
	assert_int_equal(virtio_net_create(&nf.config, &vnet), 0);
	net_plug(vnet);
	return 0;
}

static int tear_down(void **state)
{
	net_tear_down(state);
	for (unsigned int i = 0; i < PAIRS; i++)
		assert_false(kernel.pairs[i].owned);
	return 0;
}

static uint64_t count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) > 0 ? n : 0;
}

static void kick(unsigned int pair, unsigned int queue)
{
	nf.pair[0].t->notify(&nf.pair[pair], queue);
	net_run();
}

/* Where the driver has come to: all that it has got back, in order, and nothing else. */
static void assert_started_at(unsigned int pair, unsigned int index, uint16_t base)
{
	const struct vdrv_queue *q = &nf.pair[pair].q[index];
	const struct ring *r = ring(pair, index);

	assert_int_equal(r->tap, TAP_FD + (int)pair);
	assert_int_equal(r->size, q->layout.size);
	assert_int_equal(r->last_avail, base);
	assert_int_equal(r->last_used, base);
	assert_ptr_equal((void *)(uintptr_t)r->areas.desc_user_addr, q->desc);
	assert_ptr_equal((void *)(uintptr_t)r->areas.avail_user_addr, q->avail);
	assert_ptr_equal((void *)(uintptr_t)r->areas.used_user_addr, q->used);
	assert_true(r->call >= 0 && r->error >= 0);
	assert_int_equal(
		r->kick, virtio_device_kick_fd(virtio_net_device(nf.vnet), 2 * pair + index));
}

static void assert_started(unsigned int pair, unsigned int index)
{
	assert_started_at(pair, index, 0);
}

/* Gives the queue n buffers; the kernel uses some of all there are. */
static void work(unsigned int pair, unsigned int index, unsigned int n, unsigned int uses)
{
	struct vdrv *d = &nf.pair[pair];
	int heads[64];

	assert_true(n <= ARRAY_SIZE(heads));
	for (unsigned int i = 0; i < n; i++) {
		const struct vdrv_buf buf = {net_alloc(100), 100};

		heads[i] = net_add(pair, index, &buf, index == NET_TX, index == NET_RX, false);
		assert_true(heads[i] >= 0);
	}
	kick(pair, index);
	assert_int_equal(serve(ring(pair, index), uses), uses);
	for (unsigned int i = 0; i < uses; i++)
		assert_int_not_equal(vdrv_get(d, index, NULL), VDRV_NO_HEAD);
	assert_int_equal(vdrv_get(d, index, NULL), VDRV_NO_HEAD);
	assert_false(net_needs_reset());
}

/* ---- starting and stopping ---- */

static void test_starts_with_a_kick(void **state)
{
	(void)state;
	net_start(CHOSEN);
	net_run();
	for (unsigned int i = 0; i < PAIRS; i++) {
		assert_int_equal(kernel.pairs[i].regions, 1 + RIG_BYTES);
		for (unsigned int r = 0; r < RINGS; r++)
			assert_int_equal(ring(i, r)->tap, -1);
	}
	kick(0, NET_RX);
	assert_started(0, NET_RX);
	assert_int_equal(ring(0, NET_TX)->tap, -1);
	assert_int_equal(kernel.pairs[0].features, CHOSEN & KERNEL_KNOWS);
	assert_int_equal(nf.fake.pairs, 1);
	assert_int_equal(nf.fake.offloads, 0);
	kick(0, NET_TX);
	assert_started(0, NET_TX);
	assert_false(net_needs_reset());
}

/* The first kick, too, is the kernel's to answer. */
static void test_kicks_are_the_kernels(void **state)
{
	(void)state;
	net_start(CHOSEN);
	kick(0, NET_TX);
	assert_int_equal(count(ring(0, NET_TX)->kick), 1);
	net_send_pattern(0, 100, 1);
	net_run();
	assert_true(count(ring(0, NET_TX)->kick) > 0);
	net_expect_none_sent();
	net_arrive(0, 100, 1);
	net_run();
	assert_int_equal(nf.fake.recvs, 0);
	assert_false(nf.fake.rx_on[0]);
}

/* The kernel knows none: neither at the start nor later. */
static void test_no_limits(void **state)
{
	const struct rate_config limit = {.ops = bucket_config_of_rate(5, 0)};
	struct virtio_net_config config = nf.config;
	struct virtio_net *vnet = NULL;

	(void)state;
	assert_int_equal(virtio_net_set_limit(nf.vnet, VIRTIO_NET_TX, &limit), -EOPNOTSUPP);
	config.limit[VIRTIO_NET_RX] = limit;
	assert_int_equal(virtio_net_create(&config, &vnet), -EINVAL);
	assert_null(vnet);
}

static void test_reset(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		net_start(CHOSEN);
		kick(0, NET_RX);
		kick(0, NET_TX);
		assert_started(0, NET_RX);
		assert_started(0, NET_TX);
		work(0, NET_RX, 9, 7);
		work(0, NET_TX, 3, 3);
		nf.pair[0].t->set_status(&nf.pair[0], 0);
		assert_int_equal(ring(0, NET_RX)->tap, -1);
		assert_int_equal(ring(0, NET_TX)->tap, -1);
	}
}

/* 2.6.1: one queue, which comes back with its next kick. */
static void test_queue_reset(void **state)
{
	(void)state;
	net_start(CHOSEN | VIRTIO_F_RING_RESET);
	kick(0, NET_RX);
	kick(0, NET_TX);
	work(0, NET_TX, 5, 4);
	nf.pair[0].t->queue_reset(&nf.pair[0], NET_TX);
	assert_int_equal(ring(0, NET_TX)->tap, -1);
	assert_started(0, NET_RX);
	kick(0, NET_TX);
	assert_int_equal(ring(0, NET_TX)->tap, -1);
	vdrv_queue_setup(&nf.pair[0], NET_TX, 8);
	kick(0, NET_TX);
	assert_started(0, NET_TX);
}

static void test_pairs(void **state)
{
	(void)state;
	net_start(CHOSEN);
	kick(1, NET_RX);
	kick(1, NET_TX);
	assert_int_equal(ring(1, NET_RX)->tap, -1);
	assert_int_equal(net_set_pairs(2), 0);
	net_run();
	assert_started(1, NET_RX);
	assert_started(1, NET_TX);
	assert_int_equal(net_set_pairs(1), 0);
	assert_int_equal(ring(1, NET_RX)->tap, -1);
	assert_int_equal(ring(1, NET_TX)->tap, -1);
	kick(0, NET_RX);
	assert_started(0, NET_RX);
	/* Kicks that were the kernel's come here again, and mean nothing. */
	kick(1, NET_TX);
	assert_int_equal(ring(1, NET_TX)->tap, -1);
	assert_false(net_needs_reset());
}

/* A pair that comes back goes on where it was, with the buffers that it still had. */
static void test_pair_comes_back(void **state)
{
	uint16_t base[RINGS] = {0};

	(void)state;
	net_start(CHOSEN);
	assert_int_equal(net_set_pairs(2), 0);
	for (unsigned int i = 0; i < 20; i++) {
		for (unsigned int q = 0; q < RINGS; q++) {
			kick(1, q);
			assert_started_at(1, q, base[q]);
			work(1, q, 30, 29 + (i + q) % 2);
			base[q] = ring(1, q)->last_avail;
		}
		assert_int_equal(net_set_pairs(1), 0);
		assert_int_equal(ring(1, NET_RX)->tap, -1);
		assert_int_equal(ring(1, NET_TX)->tap, -1);
		kick(1, NET_RX);
		assert_int_equal(net_set_pairs(2), 0);
	}
}

/* The kernel lets go of what it serves, and goes on where it was. */
static void test_pause(void **state)
{
	struct virtio_device *vdev = virtio_net_device(nf.vnet);
	uint16_t base[RINGS];

	(void)state;
	net_start(CHOSEN);
	for (unsigned int q = 0; q < RINGS; q++) {
		kick(0, q);
		work(0, q, 10, 7);
		base[q] = ring(0, q)->last_avail;
	}
	virtio_device_pause(vdev);
	virtio_device_pause(vdev);
	for (unsigned int q = 0; q < RINGS; q++) {
		assert_int_equal(ring(0, q)->tap, -1);
		kick(0, q);
		assert_int_equal(ring(0, q)->tap, -1);
	}
	virtio_device_resume(vdev);
	net_run();
	for (unsigned int q = 0; q < RINGS; q++)
		assert_started_at(0, q, base[q]);
	assert_false(net_needs_reset());
}

/* Past 65535, too. */
static void test_pair_comes_back_often(void **state)
{
	uint16_t base = 0;

	(void)state;
	net_start(CHOSEN);
	for (unsigned int served = 0; served < 70000; served += 60) {
		assert_int_equal(net_set_pairs(2), 0);
		kick(1, NET_TX);
		assert_started_at(1, NET_TX, base);
		work(1, NET_TX, 60, 60);
		base += 60;
		assert_int_equal(net_set_pairs(1), 0);
	}
}

/* Between going and coming, a queue or the whole device is reset: from the beginning. */
static void test_pair_comes_back_anew(void **state)
{
	(void)state;
	net_start(CHOSEN | VIRTIO_F_RING_RESET);
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	work(1, NET_TX, 5, 4);
	assert_int_equal(net_set_pairs(1), 0);
	nf.pair[1].t->queue_reset(&nf.pair[1], NET_TX);
	vdrv_queue_setup(&nf.pair[1], NET_TX, 8);
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	assert_started(1, NET_TX);
	work(1, NET_TX, 8, 6);
	assert_int_equal(net_set_pairs(1), 0);
	net_start(CHOSEN);
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	assert_started(1, NET_TX);
	work(1, NET_TX, 8, 8);
}

/* Without knowing where it was, nobody can go on with it. */
static void test_kernel_does_not_say_where(void **state)
{
	(void)state;
	net_start(CHOSEN);
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	work(1, NET_TX, 3, 3);
	kernel.refuse_base = true;
	assert_int_equal(net_set_pairs(1), 0);
	assert_true(net_needs_reset());
	kernel.refuse_base = false;
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	assert_int_equal(ring(1, NET_TX)->tap, -1);
	net_start(CHOSEN);
	assert_int_equal(net_set_pairs(2), 0);
	kick(1, NET_TX);
	assert_started(1, NET_TX);
	work(1, NET_TX, 3, 3);
}

/* ---- interrupts ---- */

/* What the kernel signals arrives at the driver; by a route, without us. */
static void test_interrupts(void **state)
{
	(void)state;
	net_start(CHOSEN);
	kick(0, NET_RX);
	nf.pair[0].t->take_irq(&nf.pair[0]);
	signal_fd(ring(0, NET_RX)->call);
	if (nf.kind == RIG_PCI_MSIX)
		rig_run_routes(&nf.rig);
	else
		net_run();
	assert_int_equal(nf.pair[0].t->take_irq(&nf.pair[0]), VIRTIO_ISR_QUEUE);
	/* After a reset there is nobody to tell. */
	signal_fd(ring(0, NET_RX)->call);
	nf.pair[0].t->set_status(&nf.pair[0], 0);
	net_run();
	rig_run_routes(&nf.rig);
	assert_int_equal(nf.pair[0].t->take_irq(&nf.pair[0]), 0);
}

static void test_vector_moves(void **state)
{
	const uint64_t common = nf.pair[0].common;
	int before;

	(void)state;
	net_start(CHOSEN);
	kick(0, NET_RX);
	before = ring(0, NET_RX)->call;
	vdrv_mmio_write(&nf.pair[0], common + 0x16, 2, 0);
	vdrv_mmio_write(&nf.pair[0], common + 0x1a, 2, 4);
	assert_int_not_equal(ring(0, NET_RX)->call, before);
	vdrv_mmio_write(&nf.pair[0], common + 0x1a, 2, 0xffff);
	assert_int_not_equal(ring(0, NET_RX)->call, before);
	assert_true(ring(0, NET_RX)->call >= 0);
}

/* ---- what goes wrong ---- */

static void test_kernel_finds_fault(void **state)
{
	(void)state;
	net_start(CHOSEN);
	kick(0, NET_RX);
	signal_fd(ring(0, NET_RX)->error);
	net_run();
	assert_true(net_needs_reset());
	net_start(CHOSEN);
	assert_false(net_needs_reset());
	kick(0, NET_RX);
	assert_started(0, NET_RX);
}

/* A tap that is deleted under the kernel is no mistake of the driver's. */
static void test_tap_is_gone(void **state)
{
	(void)state;
	net_start(CHOSEN | VIRTIO_NET_F_STATUS);
	kick(0, NET_TX);
	nf.fake.link_up = false;
	signal_fd(ring(0, NET_TX)->error);
	net_run();
	assert_false(net_needs_reset());
	assert_int_equal(vdrv_cfg(&nf.pair[0], 6, 2) & 1, 0);
	assert_true(nf.pair[0].t->take_irq(&nf.pair[0]) & VIRTIO_ISR_CONFIG);
}

/* Whichever step it is: the driver is told, and a reset mends it. */
static void test_kernel_refuses_a_ring(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned int k = 1; failed; k++) {
		net_start(CHOSEN);
		kernel.calls = 0;
		kernel.fail_at = k;
		kick(0, NET_RX);
		failed = net_needs_reset();
		assert_int_equal(failed, kernel.calls >= k);
		assert_int_equal(ring(0, NET_RX)->tap, failed ? -1 : TAP_FD);
		assert_true(k < 20);
	}
}

static void test_kernel_refuses_the_device(void **state)
{
	struct virtio_net *vnet;
	int rc = -EIO;

	(void)state;
	rig_unplug(&nf.rig);
	for (unsigned int k = 1; rc; k++) {
		kernel.calls = 0;
		kernel.fail_at = k;
		rc = virtio_net_create(&nf.config, &vnet);
		assert_int_equal(rc, kernel.calls >= k ? -EIO : 0);
		assert_int_equal(kernel.pairs[0].owned, !rc);
		assert_int_equal(kernel.pairs[1].owned, !rc);
		assert_true(k < 20);
	}
	net_plug(vnet);
}

static void test_kernel_knows_too_little(void **state)
{
	struct virtio_net *vnet;

	(void)state;
	rig_unplug(&nf.rig);
	kernel.knows &= ~VIRTIO_F_EVENT_IDX;
	assert_int_equal(virtio_net_create(&nf.config, &vnet), -ENOTSUP);
	kernel.ops.vhost_fd = NULL;
	nf.fake.net.ops = &kernel.ops;
	kernel.knows = KERNEL_KNOWS;
	assert_int_equal(virtio_net_create(&nf.config, &vnet), -EINVAL);
	kernel.ops.vhost_fd = tap_fd;
	assert_int_equal(virtio_net_create(&nf.config, &vnet), 0);
	net_plug(vnet);
}

/* The kernel promises no order (2.7.9). */
static void test_features(void **state)
{
	(void)state;
	assert_false(vdrv_negotiate(&nf.pair[0], VIRTIO_F_VERSION_1 | VIRTIO_F_IN_ORDER));
	assert_true(vdrv_negotiate(
		&nf.pair[0], VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET | VIRTIO_NET_F_CSUM));
}

#define TEST(f)                                                                                    \
	{#f "/mmio", f, set_up, tear_down, (void *)(uintptr_t)RIG_MMIO},                           \
	{                                                                                          \
#f "/pci-msix", f, set_up, tear_down, (void *)(uintptr_t)RIG_PCI_MSIX              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_starts_with_a_kick),
		TEST(test_kicks_are_the_kernels),
		TEST(test_reset),
		TEST(test_no_limits),
		{"test_queue_reset/pci-msix", test_queue_reset, set_up, tear_down,
			(void *)(uintptr_t)RIG_PCI_MSIX},
		TEST(test_pairs),
		TEST(test_pause),
		TEST(test_pair_comes_back),
		TEST(test_pair_comes_back_often),
		{"test_pair_comes_back_anew/pci-msix", test_pair_comes_back_anew, set_up, tear_down,
			(void *)(uintptr_t)RIG_PCI_MSIX},
		TEST(test_kernel_does_not_say_where),
		TEST(test_interrupts),
		{"test_vector_moves/pci-msix", test_vector_moves, set_up, tear_down,
			(void *)(uintptr_t)RIG_PCI_MSIX},
		TEST(test_kernel_finds_fault),
		TEST(test_tap_is_gone),
		TEST(test_kernel_refuses_a_ring),
		TEST(test_kernel_refuses_the_device),
		TEST(test_kernel_knows_too_little),
		TEST(test_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
