/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames and queues of the tap back end, over a kernel of the test's own. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_tap_sys.h"
#include "net_fixture.h"
#include "net_packet.h"

struct tap_fixture {
	struct net_fixture base;
	struct fake_tap_sys fake;
	struct net *net;
	uint8_t out[4096], in[4096];
};

static int set_up_queues(void **state, unsigned int queues)
{
	struct tap_fixture *f = calloc(1, sizeof(*f));
	struct net_tap_config config = {.queues = queues, .sys = &f->fake.table};

	net_fixture_init(&f->base);
	fake_tap_init(&f->fake);
	config.log = &f->base.log;
	assert_int_equal(net_tap_create(&config, &f->base.net, &f->base.err), 0);
	f->net = f->base.net;
	net_fixture_attach(&f->base);
	fill_stream(f->out, 0, sizeof(f->out));
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_queues(state, 1);
}

static int set_up_three(void **state)
{
	return set_up_queues(state, 3);
}

static int tear_down(void **state)
{
	struct tap_fixture *f = *state;

	net_fixture_fini(&f->base);
	assert_int_equal(fake_tap_fini(&f->fake), 0);
	free(f);
	return 0;
}

/* A frame of len bytes comes in for the queue, a header of `tag`s before it. */
static void deliver(struct tap_fixture *f, unsigned int queue, uint8_t tag, size_t len)
{
	uint8_t buf[NET_HEADER + sizeof(f->out)];

	memset(buf, tag, 10);
	memset(buf + 10, 0, 2);
	memcpy(buf + NET_HEADER, f->out, len);
	assert_int_equal(
		send(f->fake.queues[queue].peer, buf, NET_HEADER + len, 0), NET_HEADER + len);
}

static void test_send(void **state)
{
	const struct net_header header = {.flags = 1, .gso_type = 1, .gso_size = 0x1234};
	struct tap_fixture *f = *state;

	for (size_t len = 14; len < 2000; len += 97) {
		assert_int_equal(net_fixture_send(&f->base, 0, &header, f->out, len), 0);
		assert_int_equal(
			recv(f->fake.queues[0].peer, f->in, sizeof(f->in), 0), NET_HEADER + len);
		assert_memory_equal(f->in, &header, NET_HEADER);
		assert_memory_equal(f->in + NET_HEADER, f->out, len);
	}
}

static void test_recv(void **state)
{
	struct tap_fixture *f = *state;
	struct net_header header;

	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 2000), -EAGAIN);
	for (size_t len = 14; len < 2000; len += 97) {
		deliver(f, 0, (uint8_t)len, len);
		assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 2000), len);
		assert_int_equal(header.flags, (uint8_t)len);
		assert_memory_equal(f->in, f->out, len);
	}
}

static void test_too_long(void **state)
{
	struct tap_fixture *f = *state;
	struct net_header header;

	for (int i = 0; i < 3; i++)
		deliver(f, 0, 0, 1000);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 999), -EMSGSIZE);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 1000), 1000);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 0), -EMSGSIZE);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->in, 1000), -EAGAIN);
}

/* readv takes no more, so what is beyond does not count. */
static void test_many_iovecs(void **state)
{
	struct tap_fixture *f = *state;
	struct iovec iov[IOV_MAX + 10];

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){.iov_base = f->in + i, .iov_len = 1};
	deliver(f, 0, 5, 1000);
	assert_int_equal(f->net->ops->recv(f->net, 0, iov, ARRAY_SIZE(iov)), 1012);
	assert_memory_equal(f->in + NET_HEADER, f->out, 1000);
	deliver(f, 0, 5, 1013);
	assert_int_equal(f->net->ops->recv(f->net, 0, iov, ARRAY_SIZE(iov)), -EMSGSIZE);
	assert_int_equal(
		f->net->ops->send(f->net, 0, iov, ARRAY_SIZE(iov), ARRAY_SIZE(iov)), -EMSGSIZE);
	assert_int_equal(f->net->ops->send(f->net, 0, iov, IOV_MAX, IOV_MAX), 0);
	assert_int_equal(recv(f->fake.queues[0].peer, f->in, sizeof(f->in), 0), IOV_MAX);
	assert_int_equal(f->base.writable[0], 0);
}

static void test_full(void **state)
{
	struct tap_fixture *f = *state;
	unsigned int sent = 0;
	int rc;

	while ((rc = net_fixture_send(&f->base, 0, NULL, f->out, 1000)) == 0)
		assert_true(++sent < 1000);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(net_fixture_send(&f->base, 0, NULL, f->out, 1000), -EAGAIN);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.writable[0], 0);
	/* Input goes on meanwhile. */
	deliver(f, 0, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.frames, 1);
	for (unsigned int i = 0; i < sent; i++)
		assert_int_equal(recv(f->fake.queues[0].peer, f->in, sizeof(f->in), 0), 1012);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.writable[0], 1);
	assert_int_equal(net_fixture_send(&f->base, 0, NULL, f->out, 1000), 0);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.writable[0], 1);
}

static void test_rx_enable(void **state)
{
	struct tap_fixture *f = *state;

	f->base.lazy = true;
	deliver(f, 0, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 1);
	deliver(f, 0, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 1);
	f->base.lazy = false;
	net_fixture_rx_enable(&f->base, 0, true);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 2);
	assert_int_equal(f->base.frames, 2);
}

static void test_ready_again_and_again(void **state)
{
	struct tap_fixture *f = *state;

	f->base.idle = true;
	deliver(f, 0, 0, 100);
	for (unsigned int i = 1; i <= 5; i++) {
		assert_int_equal(event_loop_step(f->base.loop, 0), 1);
		assert_int_equal(f->base.ready[0], i);
	}
}

static void detach_in_ready(struct net_fixture *fix, unsigned int queue)
{
	(void)queue;
	net_fixture_detach(fix);
	fix->idle = true;
}

static void test_detach(void **state)
{
	struct tap_fixture *f = *state;

	f->base.on_ready = detach_in_ready;
	deliver(f, 0, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 1);
	f->base.on_ready = NULL;
	f->base.idle = false;
	net_fixture_attach(&f->base);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 2);
	assert_int_equal(f->base.frames, 1);
}

/* ---- several queues ---- */

static void set_queues(struct tap_fixture *f, unsigned int pairs, int rc)
{
	assert_int_equal(f->net->ops->set_queues(f->net, pairs), rc);
}

static void check_attached(struct tap_fixture *f, unsigned int pairs)
{
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(f->fake.queues[i].attached, i < pairs);
}

static void test_queues(void **state)
{
	struct tap_fixture *f = *state;

	assert_int_equal(f->net->info.max_queues, 3);
	check_attached(f, 1);
	set_queues(f, 0, -EINVAL);
	set_queues(f, 4, -EINVAL);
	set_queues(f, 3, 0);
	check_attached(f, 3);
	for (unsigned int i = 0; i < 3; i++) {
		deliver(f, i, 0, 100);
		net_fixture_settle(&f->base);
		assert_int_equal(f->base.ready[i], 1);
		assert_int_equal(f->base.frames, i + 1);
		assert_int_equal(net_fixture_send(&f->base, i, NULL, f->out, 60), 0);
		assert_int_equal(recv(f->fake.queues[i].peer, f->in, sizeof(f->in), 0), 72);
	}
	set_queues(f, 2, 0);
	check_attached(f, 2);
	deliver(f, 2, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[2], 1);
	set_queues(f, 2, 0);
	set_queues(f, 1, 0);
	check_attached(f, 1);
}

/* What was turned off on a queue is on again when the queue comes back. */
static void test_queue_comes_back(void **state)
{
	struct tap_fixture *f = *state;

	set_queues(f, 2, 0);
	net_fixture_rx_enable(&f->base, 1, false);
	set_queues(f, 1, 0);
	net_fixture_rx_enable(&f->base, 1, false);
	deliver(f, 1, 0, 100);
	set_queues(f, 2, 0);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[1], 1);
}

static void test_queues_while_detached(void **state)
{
	struct tap_fixture *f = *state;

	net_fixture_detach(&f->base);
	set_queues(f, 2, 0);
	check_attached(f, 2);
	deliver(f, 1, 0, 100);
	net_fixture_settle(&f->base);
	net_fixture_attach(&f->base);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[1], 1);
}

static void test_queues_fail(void **state)
{
	struct tap_fixture *f = *state;

	f->fake.fail_at = f->fake.ioctls + 2;
	set_queues(f, 3, -EFAULT);
	check_attached(f, 1);
	deliver(f, 0, 0, 100);
	deliver(f, 1, 0, 100);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.frames, 1);
	set_queues(f, 3, 0);
	check_attached(f, 3);
}

/* ---- the interface is deleted ---- */

static void test_gone(void **state)
{
	struct tap_fixture *f = *state;

	set_queues(f, 2, 0);
	close(f->fake.queues[0].peer);
	close(f->fake.queues[1].peer);
	f->fake.queues[0].peer = f->fake.queues[1].peer = -1;
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.link_changes, 1);
	assert_false(f->net->ops->link(f->net));
	assert_true(net_fixture_logged(&f->base, "tap7 is gone"));
	assert_true(net_fixture_send(&f->base, 0, NULL, f->out, 100) < 0);
	net_fixture_detach(&f->base);
	net_fixture_attach(&f->base);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.link_changes, 1);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST3(name) cmocka_unit_test_setup_teardown(name, set_up_three, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_send),
		TEST(test_recv),
		TEST(test_too_long),
		TEST(test_many_iovecs),
		TEST(test_full),
		TEST(test_rx_enable),
		TEST(test_ready_again_and_again),
		TEST(test_detach),
		TEST3(test_queues),
		TEST3(test_queue_comes_back),
		TEST3(test_queues_while_detached),
		TEST3(test_queues_fail),
		TEST3(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
