/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap back end over a kernel of the test's own; test_net_tap_host.c has the real one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_tap_sys.h"
#include "net_fixture.h"
#include "net_packet.h"
#include "vm/core/signals.h"

#define USO 0x60

struct tap_fixture {
	struct net_fixture base;
	struct fake_tap_sys fake;
	struct net_tap_config config;
	uint8_t frame[4096];
};

static int set_up(void **state)
{
	struct tap_fixture *f = calloc(1, sizeof(*f));

	net_fixture_init(&f->base);
	fake_tap_init(&f->fake);
	f->config = (struct net_tap_config){
		.ifname = "tap5", .queues = 1, .log = &f->base.log, .sys = &f->fake.table};
	fill_stream(f->frame, 0, sizeof(f->frame));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct tap_fixture *f = *state;

	net_fixture_fini(&f->base);
	assert_int_equal(fake_tap_fini(&f->fake), 0);
	free(f);
	return 0;
}

static void create(struct tap_fixture *f)
{
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), 0);
}

/* ---- opening ---- */

static void test_set_up(void **state)
{
	struct tap_fixture *f = *state;

	create(f);
	assert_string_equal(f->fake.name, "tap5");
	assert_int_equal(f->fake.queues[0].flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	assert_int_equal(f->fake.queues[0].header, NET_HEADER);
	assert_int_equal(f->fake.queues[0].little, 1);
	assert_int_equal(f->fake.offloads, 0);
	assert_int_equal(f->base.net->info.max_queues, 1);
	assert_int_equal(f->base.net->info.mtu, 1500);
	assert_false(f->base.net->info.has_mac);
	assert_true(f->base.net->ops->link(f->base.net));
	assert_false(net_fixture_logged(&f->base, "tap"));
}

static void test_chosen_name(void **state)
{
	struct tap_fixture *f = *state;

	f->config.ifname = NULL;
	f->fake.interface_flags = 0;
	f->fake.mtu = 9000;
	create(f);
	assert_true(net_fixture_logged(&f->base, "the guest's network is tap7"));
	assert_true(net_fixture_logged(&f->base, "try \"ip link set tap7 up\""));
	assert_int_equal(f->base.net->info.mtu, 9000);
}

/* One queue of an interface that was made for several will do. */
static void test_multi_queue_interface(void **state)
{
	struct tap_fixture *f = *state;

	f->fake.multi_queue = true;
	create(f);
	assert_int_equal(
		f->fake.queues[0].flags, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
}

static void refused(struct tap_fixture *f, int rc, const char *why)
{
	struct net *net = NULL;
	unsigned int i = 0;

	assert_int_equal(net_tap_create(&f->config, &net, &f->base.err), rc);
	assert_null(net);
	assert_non_null(strstr(f->base.err.text, why));
	if (!f->config.num_fds)
		assert_int_equal(fake_tap_fini(&f->fake), 0);
	for (i = 0; i < f->config.num_fds; i++)
		assert_true(fcntl(f->config.fds[i], F_GETFD) >= 0);
}

static void test_errors(void **state)
{
	static const struct {
		int open_error, setiff_error;
		unsigned int queues;
		const char *why;
	} cases[] = {
		{-ENOENT, 0, 1, "try \"modprobe tun\""},
		{-ENODEV, 0, 1, "try \"modprobe tun\""},
		{-EACCES, 0, 1, "readable and writable for you"},
		{-EMFILE, 0, 1, "/dev/net/tun: Too many open files"},
		{0, -EPERM, 1, "CAP_NET_ADMIN"},
		{0, -EPERM, 1,
			"ip tuntap add tap5 mode tap user $USER && sudo ip link set tap5 up"},
		{0, -EPERM, 2, "user $USER multi_queue"},
		{0, -EBUSY, 1, "tap tap5: another program uses it"},
		{0, -EINVAL, 1, "the name of one that is not a tap"},
		{0, -EINVAL, 4, "or of one made without multi_queue"},
		{0, -ENOMEM, 1, "tap tap5: Cannot allocate memory"},
	};
	struct tap_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->fake.open_error = cases[i].open_error;
		f->fake.setiff_error = cases[i].setiff_error;
		f->config.queues = cases[i].queues;
		refused(f, cases[i].open_error ? cases[i].open_error : cases[i].setiff_error,
			cases[i].why);
	}
	f->config.ifname = "a-name-too-long-";
	refused(f, -ENAMETOOLONG, "at most 15 bytes");
	f->config.queues = 0;
	refused(f, -EINVAL, "0 queues, not 1 to 8");
	f->config.queues = NET_TAP_MAX_QUEUES + 1;
	refused(f, -EINVAL, "9 queues, not 1 to 8");
	assert_int_equal(net_tap_create(&f->config, &f->base.net, NULL), -EINVAL);
}

/* Each ioctl fails in turn: nothing stays open, and there is a line. A probe may fail. */
static void test_fails_at_each_step(void **state)
{
	struct tap_fixture *f = *state;
	unsigned int failed = 0;

	f->config.queues = 3;
	for (int at = 1;; at++) {
		f->fake.ioctls = 0;
		f->fake.fail_at = at;
		f->base.err.text[0] = 0;
		if (net_tap_create(&f->config, &f->base.net, &f->base.err) == 0) {
			const bool all = f->fake.ioctls < at;

			f->base.net->ops->close(f->base.net);
			f->base.net = NULL;
			assert_int_equal(fake_tap_fini(&f->fake), 0);
			if (all)
				break;
			continue;
		}
		failed++;
		assert_int_not_equal(f->base.err.text[0], 0);
		assert_int_equal(fake_tap_fini(&f->fake), 0);
	}
	/* 3 names, 6 headers, no offloads at last, 2 queues less */
	assert_int_equal(failed, 12);
}

static void test_inherited(void **state)
{
	struct tap_fixture *f = *state;
	int fds[2];

	fds[0] = fake_tap_open(&f->fake);
	fds[1] = fake_tap_open(&f->fake);
	fcntl(fds[1], F_SETFL, 0);
	fcntl(fds[1], F_SETFD, 0);
	f->config.fds = fds;
	f->config.num_fds = 2;
	create(f);
	assert_int_equal(f->base.net->info.max_queues, 2);
	assert_int_equal(f->base.net->info.mtu, 0);
	assert_true(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(f->fake.queues[1].header, NET_HEADER);
	assert_false(f->fake.queues[1].attached);
}

static void test_inherited_refused(void **state)
{
	struct tap_fixture *f = *state;
	int fds[2];

	fds[0] = fake_tap_open(&f->fake);
	fds[1] = fake_tap_open(&f->fake);
	f->config.fds = fds;
	f->config.num_fds = 2;
	f->fake.getif_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
	refused(f, -EINVAL, "is a tun, not a tap");
	f->fake.getif_flags = IFF_TAP | IFF_NO_PI;
	refused(f, -EINVAL, "must be opened with IFF_NO_PI and IFF_VNET_HDR");
	f->fake.getif_flags = IFF_TAP | IFF_VNET_HDR;
	refused(f, -EINVAL, "must be opened with IFF_NO_PI and IFF_VNET_HDR");
	f->fake.getif_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	refused(f, -EINVAL, "must be opened with IFF_MULTI_QUEUE");
	f->fake.getif_flags |= IFF_MULTI_QUEUE;
	f->config.script = "/bin/false";
	refused(f, -ECHILD, "/bin/false tap7: failed");
	f->config.script = NULL;
	close(fds[1]);
	fds[1] = fds[0];
	refused(f, -EINVAL, "not another queue of the same tap");
	fds[1] = STDERR_FILENO;
	refused(f, -ENOTTY, "file descriptor 2 is not a tap");
	close(fds[0]);
}

/* ---- the script ---- */

static void test_script(void **state)
{
	char path[] = "/tmp/bantam-test-XXXXXX", text[300], got[64] = "";
	struct tap_fixture *f = *state;
	const int fd = mkstemp(path);
	char out[80];
	ssize_t n;

	snprintf(out, sizeof(out), "%s.out", path);
	/* Signals that are blocked or ignored here are neither there. */
	snprintf(text, sizeof(text), "#!/bin/sh\necho \"$#:$1\" >%s\nkill -PIPE $$\necho no >>%s\n",
		out, out);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, 0700);
	close(fd);
	f->config.script = path;
	refused(f, -ECHILD, "tap5: killed by signal 13 (Broken pipe)");
	const int out_fd = open(out, O_RDONLY);
	n = read(out_fd, got, sizeof(got) - 1);
	assert_true(n > 0);
	assert_string_equal(got, "1:tap5\n");
	close(out_fd);
	unlink(out);
	unlink(path);
}

static void test_script_results(void **state)
{
	struct tap_fixture *f = *state;

	f->config.script = "/nonexistent/script";
	refused(f, -ENOENT, "/nonexistent/script: No such file");
	f->config.script = "/bin/false";
	refused(f, -ECHILD, "/bin/false tap5: failed with exit status 1");
	f->config.script = "/tmp";
	refused(f, -EACCES, "/tmp: Permission denied");
	f->config.script = "/bin/true";
	create(f);
}

/* It would run for long; a signal that shall end us ends it, and is still there. */
static void test_script_and_signal(void **state)
{
	static const char text[] = "#!/bin/sh\nkill -TERM $PPID\nexec sleep 1000\n";
	char path[] = "/tmp/bantam-test-XXXXXX";
	struct tap_fixture *f = *state;
	const int fd = mkstemp(path);
	sigset_t term, before;
	int number;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, 0700);
	close(fd);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &term, &before), 0);
	f->config.script = path;
	alarm(60);
	refused(f, -EINTR, "ended by a signal while /tmp/bantam-test");
	alarm(0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(signals_ending_pending(), SIGTERM);
	assert_int_equal(sigwait(&term, &number), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	unlink(path);
}

/* ---- offloads ---- */

static void test_offloads(void **state)
{
	static const uint32_t all = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO;
	static const struct {
		uint32_t net;
		unsigned long tun;
	} cases[] = {
		{0, 0},
		{NET_CSUM, TUN_F_CSUM},
		{NET_CSUM | NET_TSO4, TUN_F_CSUM | TUN_F_TSO4},
		{NET_CSUM | NET_TSO6 | NET_ECN, TUN_F_CSUM | TUN_F_TSO6 | TUN_F_TSO_ECN},
		{NET_CSUM | NET_UFO, TUN_F_CSUM | TUN_F_UFO},
		{NET_CSUM | NET_USO, TUN_F_CSUM | USO},
		{NET_CSUM | NET_ECN, TUN_F_CSUM},
		{NET_TSO4, 0},
		{all, 0x7f},
	};
	struct tap_fixture *f = *state;

	create(f);
	assert_int_equal(f->base.net->info.send_offloads, all);
	assert_int_equal(f->base.net->info.recv_offloads, all);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(f->base.net->ops->set_offloads(f->base.net, cases[i].net), 0);
		assert_int_equal(f->fake.offloads, cases[i].tun);
	}
	assert_int_equal(f->base.net->ops->set_offloads(f->base.net, all + 1), -EINVAL);
	f->fake.fail_at = f->fake.ioctls + 1;
	assert_int_equal(f->base.net->ops->set_offloads(f->base.net, 0), -EFAULT);
}

static void test_offloads_of_old_hosts(void **state)
{
	static const struct {
		unsigned long known;
		uint32_t offered;
	} cases[] = {
		{0x7f & ~USO, NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO},
		{0x7f & ~(USO | TUN_F_UFO), NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN},
		{TUN_F_CSUM, NET_CSUM},
		{0, 0},
	};
	struct tap_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->fake.offloads_known = cases[i].known;
		create(f);
		assert_int_equal(f->base.net->info.recv_offloads, cases[i].offered);
		assert_int_equal(f->base.net->info.send_offloads, cases[i].offered);
		assert_int_equal(f->base.net->ops->set_offloads(f->base.net, NET_USO), -EINVAL);
		f->base.net->ops->close(f->base.net);
		f->base.net = NULL;
		assert_int_equal(fake_tap_fini(&f->fake), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_set_up),
		TEST(test_chosen_name),
		TEST(test_multi_queue_interface),
		TEST(test_errors),
		TEST(test_fails_at_each_step),
		TEST(test_inherited),
		TEST(test_inherited_refused),
		TEST(test_script),
		TEST(test_script_results),
		TEST(test_script_and_signal),
		TEST(test_offloads),
		TEST(test_offloads_of_old_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
