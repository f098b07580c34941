/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the last look at a queue, which found it empty, and the wish to be notified (virtio 1.2,
 * 2.7.10.1): a chain that is made available just then brings no notification, and is found all the
 * same. By each way in which devices look.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/virtio_console_fixture.h"
#include "fakes/store_trap.h"
#include "fakes/virtio_fixture.h"
#include "net/virtio_net_fixture.h"

enum { PIECE = 100 };

/* What the driver does inside the window */
static struct {
	struct vdrv *driver;
	unsigned int q, chains;
	struct vdrv_buf bufs[8];
	unsigned int out, in; /* buffers of each chain */
	int heads[8];
	unsigned int notified;
} inside;

static void make_available(void *opaque)
{
	const unsigned int before = inside.driver->notifications;

	(void)opaque;
	for (unsigned int i = 0; i < inside.chains; i++)
		inside.heads[i] = vdrv_add(inside.driver, inside.q,
			&inside.bufs[i * (inside.out + inside.in)], inside.out, inside.in, false);
	vdrv_kick(inside.driver, inside.q);
	inside.notified = inside.driver->notifications - before;
}

static void arm(struct vdrv *driver, unsigned int q, unsigned int chains, unsigned int out,
	unsigned int in, uint64_t (*alloc)(void))
{
	inside.driver = driver;
	inside.q = q;
	inside.chains = chains;
	inside.out = out;
	inside.in = in;
	assert_true(chains * (out + in) <= ARRAY_SIZE(inside.bufs));
	for (unsigned int i = 0; i < chains * (out + in); i++)
		inside.bufs[i] = (struct vdrv_buf){alloc(), PIECE};
	store_trap_arm(vdrv_event(driver, q), make_available, NULL);
}

static void expect_window(void)
{
	assert_true(store_trap_disarm());
	assert_int_equal(inside.notified, 0);
}

/* ---- virtio_device_drain and _process ---- */

static uint64_t fixture_alloc(void)
{
	return vdrv_alloc(&drv, PIECE, 1);
}

static void test_process(void **state)
{
	(void)state;
	for (unsigned int loop = 0; loop < 2; loop++) {
		struct vdrv_buf bufs[2];
		int head;

		fixture_restart(loop, false);
		drv.events_apart = true;
		vdrv_start(&drv, FEATURES_ALL);
		arm(&drv, 0, 1, 1, 1, fixture_alloc);
		for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++)
			bufs[i] = (struct vdrv_buf){fixture_alloc(), PIECE};
		head = vdrv_add(&drv, 0, bufs, 1, 1, false);
		vdrv_kick(&drv, 0);
		rig_run(&vrig);
		expect_window();
		assert_int_equal(vdrv_get(&drv, 0, NULL), head);
		assert_int_equal(vdrv_get(&drv, 0, NULL), inside.heads[0]);
		expect_echo(0, 4, 4, false);
	}
}

/* ---- net: need_buffers, when there is no buffer at all, and when there are too few ---- */

static int net_set_up_apart(void **state)
{
	net_set_up(state);
	for (unsigned int k = 0; k <= NET_PAIRS; k++)
		nf.pair[k].events_apart = true;
	return 0;
}

static uint64_t net_alloc_piece(void)
{
	const uint64_t at = net_alloc(PIECE);

	memset(vdrv_at(&nf.pair[0], at, PIECE), 0xee, PIECE);
	return at;
}

static void note_buffers(void)
{
	for (unsigned int i = 0; i < inside.chains; i++)
		nf.posted[0][inside.heads[i]] = inside.bufs[i];
}

static void test_net_no_buffer(void **state)
{
	(void)state;
	net_start(NET_ALL);
	net_post(0, 1, PIECE);
	arm(&nf.pair[0], NET_RX, 1, 0, 1, net_alloc_piece);
	net_arrive(0, 20, 1);
	expect_window();
	note_buffers();
	net_expect_arrived(0, 20, 1, 1);
	net_arrive(0, 30, 2);
	net_expect_arrived(0, 30, 2, 1);
}

static void test_net_too_few_buffers(void **state)
{
	const struct vdrv_buf first = {net_alloc_piece(), PIECE};

	(void)state;
	net_start(NET_ALL);
	net_post(0, 4, PIECE); /* so many at once are not too much to ask for */
	net_arrive(0, 300, 1);
	net_expect_arrived(0, 300, 1, 4);
	nf.posted[0][net_add(0, NET_RX, &first, 0, 1, false)] = first;
	arm(&nf.pair[0], NET_RX, 3, 0, 1, net_alloc_piece);
	fake_net_put(&nf.fake, 0, &(struct net_header){0}, vdrv_at(&nf.pair[0], first.gpa, 1), 300);
	vdrv_kick(&nf.pair[0], NET_RX);
	net_run();
	expect_window();
	note_buffers();
	assert_int_not_equal(vdrv_get(&nf.pair[0], NET_RX, NULL), VDRV_NO_HEAD);
	for (unsigned int i = 0; i < inside.chains; i++)
		assert_int_equal(vdrv_get(&nf.pair[0], NET_RX, NULL), inside.heads[i]);
}

/* ---- console: console_pop, for input and for control messages ---- */

static int con_set_up_apart(void **state)
{
	con_set_up_ports(state);
	for (unsigned int k = 0; k < CON_PAIRS; k++)
		con.pair[k].events_apart = true;
	return 0;
}

static uint64_t con_alloc_piece(void)
{
	const uint64_t at = con_alloc(PIECE);

	memset(vdrv_at(&con.pair[0], at, PIECE), 0xee, PIECE);
	return at;
}

static void test_console_input(void **state)
{
	char text[3 * PIECE / 2] = "";

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	con_start(CON_ALL);
	con_post(0, 1, PIECE);
	arm(&con.pair[0], CON_RX, 1, 0, 1, con_alloc_piece);
	fake_chardev_type(&con.dev[0], text, sizeof(text) - 1);
	con_run();
	expect_window();
	con.posted[0][inside.heads[0]] = inside.bufs[0];
	con_expect_input(0, text);
}

static void test_console_control(void **state)
{
	(void)state;
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 1, PIECE);
	arm(&con.pair[CON_CONTROL], CON_RX, 1, 0, 1, con_alloc_piece);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	expect_window();
	con.posted[CON_CONTROL][inside.heads[0]] = inside.bufs[0];
	con_expect(0, CON_PORT_ADD, 0, NULL, 0);
	con_expect(1, CON_PORT_ADD, 0, NULL, 0);
}

#define NET_APART(f, name, kind)                                                                   \
	{                                                                                          \
#f "/" name, f, net_set_up_apart, net_tear_down, (void *)(uintptr_t)(kind)         \
	}
#define CON_APART(f) CON_PER_KIND(f, con_set_up_apart)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_process),
		NET_APART(test_net_no_buffer, "mmio", RIG_MMIO),
		NET_APART(test_net_no_buffer, "pci-msix", RIG_PCI_MSIX),
		NET_APART(test_net_too_few_buffers, "mmio", RIG_MMIO),
		NET_APART(test_net_too_few_buffers, "pci-msix", RIG_PCI_MSIX),
		CON_APART(test_console_input),
		CON_APART(test_console_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
