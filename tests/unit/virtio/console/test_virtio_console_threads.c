/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A console on a real socket: the event loop on a thread of its own, a client on another, vCPUs
 * here. For the thread sanitizer, and for the bytes.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/char/char.h"
#include "virtio_console_fixture.h"
#include "vm/core/error.h"

enum { STREAM = 1000 * 1000, CHUNK = 1000, AGENT = 0 };

static struct {
	struct event_loop *loop;
	struct timer_queue *timers;
	struct chardev *chardev;
	pthread_t thread; /* runs the loop */
	char dir[32], path[64];
	_Atomic bool over; /* threads of the test end */
} host;

static void *run_loop(void *arg)
{
	(void)arg;
	event_loop_run(host.loop);
	return NULL;
}

static int set_up_with(void **state, const char *name)
{
	struct virtio_console_port port = {.name = name, .console = !name};
	struct virtio_console_config config;
	struct char_config back_end = {0};
	struct virtio_device *vdev;
	struct error err;

	con_set_up(state);
	rig_unplug(&con.rig);
	atomic_store(&host.over, false);
	strcpy(host.dir, "/tmp/bantam-test-XXXXXX");
	assert_non_null(mkdtemp(host.dir));
	snprintf(host.path, sizeof(host.path), "%s/socket", host.dir);
	assert_int_equal(event_loop_create(&host.loop), 0);
	assert_int_equal(timer_queue_create(host.loop, &host.timers), 0);
	back_end.loop = host.loop;
	back_end.clock = timer_queue_clock(host.timers);
	assert_int_equal(char_unix_create(&back_end, host.path, &host.chardev, &err), 0);
	config = con_config(&port, 1);
	port.chardev = host.chardev;
	config.loop = host.loop;
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	con_plug(vdev);
	assert_int_equal(pthread_create(&host.thread, NULL, run_loop, NULL), 0);
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, NULL);
}

static int set_up_agent(void **state)
{
	return set_up_with(state, "agent");
}

static int tear_down(void **state)
{
	rig_unplug(&con.rig); /* with the loop running */
	event_loop_stop(host.loop);
	pthread_join(host.thread, NULL);
	chardev_close(host.chardev);
	timer_queue_destroy(host.timers);
	event_loop_destroy(host.loop);
	rmdir(host.dir);
	return con_tear_down(state);
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", host.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 7);
}

static bool fill_or_check(uint8_t *buf, size_t len, uint64_t at, bool check)
{
	for (size_t i = 0; i < len; i++) {
		if (check && buf[i] != pattern(at + i))
			return false;
		buf[i] = pattern(at + i);
	}
	return true;
}

/* ---- every byte, both ways at once, through slow ends ---- */

struct client {
	int fd;
	uint64_t in, out; /* done so far */
	bool wrong;
};

static void *stream_client(void *opaque)
{
	struct client *c = opaque;
	struct pollfd pfd = {.fd = c->fd};
	uint8_t buf[3000];
	ssize_t n;

	while (!c->wrong && (c->in < STREAM || c->out < STREAM)) {
		pfd.events =
			(short)((c->in < STREAM ? POLLIN : 0) | (c->out < STREAM ? POLLOUT : 0));
		poll(&pfd, 1, -1);
		n = pfd.revents & POLLIN ? recv(c->fd, buf, 700, MSG_DONTWAIT) : -1;
		c->wrong |= n == 0 || (n > 0 && !fill_or_check(buf, (size_t)n, c->in, true));
		c->in += n > 0 ? (uint64_t)n : 0;
		fill_or_check(buf, sizeof(buf), c->out, false);
		n = pfd.revents & POLLOUT ? send(c->fd, buf, MIN(STREAM - c->out, sizeof(buf)),
						    MSG_DONTWAIT | MSG_NOSIGNAL)
					  : -1;
		c->out += n > 0 ? (uint64_t)n : 0;
	}
	return NULL;
}

/* Fills the transmit queue; returns the bytes queued. */
static uint64_t queue_output(uint64_t base, uint64_t at, uint64_t end)
{
	struct vdrv *d = &con.pair[0];
	uint64_t queued = 0;

	while (at + queued < end && d->q[CON_TX].num_free) {
		const struct vdrv_buf buf = {base + CHUNK * d->q[CON_TX].free_head, CHUNK};

		fill_or_check(vdrv_at(d, buf.gpa, CHUNK), CHUNK, at + queued, false);
		vdrv_add(d, CON_TX, &buf, 1, 0, false);
		vdrv_kick(d, CON_TX);
		queued += CHUNK;
	}
	return queued;
}

static void stream_guest(void)
{
	const uint64_t base = con_alloc(CHUNK * VIRTIO_CONSOLE_QUEUE_SIZE);
	uint64_t queued = 0, sent = 0, in = 0;
	uint8_t buf[512];

	con_post(0, VIRTIO_CONSOLE_QUEUE_SIZE, sizeof(buf));
	while (sent < STREAM || in < STREAM) {
		queued += queue_output(base, queued, STREAM);
		sent += CHUNK * con_sent(0);
		for (int n; (n = con_get(0, buf, sizeof(buf), true)) >= 0; in += (uint64_t)n)
			assert_true(fill_or_check(buf, (size_t)n, in, true));
		sched_yield();
	}
	assert_int_equal(in, STREAM);
}

static void test_stream_both_ways(void **state)
{
	struct client client = {.fd = dial()};
	pthread_t thread;

	(void)state;
	con_start(CON_ALL);
	pthread_create(&thread, NULL, stream_client, &client);
	stream_guest();
	pthread_join(thread, NULL);
	assert_false(client.wrong);
	assert_int_equal(client.in, STREAM);
	close(client.fd);
}

/* ---- resets, kicks and emergency writes in the middle ---- */

static void *noisy_client(void *opaque)
{
	const int fd = *(int *)opaque;
	uint8_t buf[1500];

	memset(buf, '.', sizeof(buf));
	while (!atomic_load(&host.over)) {
		while (recv(fd, buf, 100, MSG_DONTWAIT) > 0)
			;
		if (send(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			sched_yield();
	}
	return NULL;
}

static void *other_vcpu(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; !atomic_load(&host.over); i++) {
		if (i % 16 == 0)
			vdrv_set_cfg(&con.pair[0], 8, 4, 'e');
		vdrv_cfg(&con.pair[0], 0, 8);
		con.pair[0].t->notify(&con.pair[0], i % 2);
		sched_yield();
	}
	return NULL;
}

/* Input ends with text now, whatever came before. */
static void await_input(const char *text)
{
	uint8_t buf[64 + 512] = {0};
	const size_t len = strlen(text);

	while (memcmp(buf, text, len)) {
		const int n = con_get(0, buf + len, 512, true);

		if (n > 0)
			memmove(buf, buf + n, len);
		else
			sched_yield();
	}
}

static void await_output(int fd, const char *text)
{
	const size_t len = strlen(text);
	char buf[64] = {0};

	while (memcmp(buf, text, len)) {
		memmove(buf, buf + 1, len);
		assert_int_equal(recv(fd, buf + len - 1, 1, 0), 1);
	}
}

static void test_storm(void **state)
{
	const uint64_t base = con_alloc(CHUNK * VIRTIO_CONSOLE_QUEUE_SIZE), brk = con.brk;
	pthread_t threads[2];
	int fd = dial();

	(void)state;
	pthread_create(&threads[0], NULL, noisy_client, &fd);
	pthread_create(&threads[1], NULL, other_vcpu, NULL);
	for (unsigned int i = 0; i < 500; i++) {
		uint8_t buf[512];

		con_start(i % 2 ? CON_ALL : CON_PLAIN);
		con.brk = brk;
		con_post(0, 20, sizeof(buf));
		queue_output(base, 0, CHUNK * (i % 50));
		for (unsigned int k = 0; k < i % 30; k++) {
			con_sent(0);
			con_get(0, buf, sizeof(buf), true);
			sched_yield();
		}
		if (i % 5 == 0 && con.pair[0].negotiated & VIRTIO_F_RING_RESET)
			con.pair[0].t->queue_reset(&con.pair[0], i / 5 % 2);
		assert_false(con_needs_reset());
	}
	atomic_store(&host.over, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	con_start(CON_ALL);
	con_send(0, "[that was it]", 13);
	await_output(fd, "[that was it]");
	con_post(0, 20, 512);
	/* The socket may be full of noise, which only we take away. */
	while (send(fd, "[so it was]", 11, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		uint8_t noise[512];

		assert_int_equal(errno, EAGAIN);
		con_get(0, noise, sizeof(noise), true);
	}
	await_input("[so it was]");
	close(fd);
}

/* ---- clients that come and go ---- */

static bool await_open(uint16_t *value)
{
	struct {
		uint32_t id;
		uint16_t event, value;
		uint8_t name[16];
	} msg;

	while (con_get(CON_CONTROL, &msg, sizeof(msg), true) < 0)
		sched_yield();
	*value = msg.value;
	return msg.event == CON_PORT_OPEN && msg.id == AGENT;
}

static void tell(uint16_t event, uint16_t value)
{
	const uint8_t msg[8] = {AGENT, 0, 0, 0, (uint8_t)event, 0, (uint8_t)value, 0};

	con_send(CON_CONTROL, msg, sizeof(msg));
	while (!con_sent(CON_CONTROL))
		sched_yield();
}

static void test_reconnects(void **state)
{
	uint16_t value;

	(void)state;
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 16, 64);
	con_post(0, 16, 512);
	tell(CON_PORT_READY, 1);
	tell(CON_PORT_OPEN, 1);
	assert_false(await_open(&value)); /* PORT_NAME */
	for (unsigned int i = 0; i < 100; i++) {
		const int fd = dial();

		assert_true(await_open(&value) && value == 1);
		assert_int_equal(send(fd, "[hello]", 7, MSG_NOSIGNAL), 7);
		await_input("[hello]");
		con_send(0, "[welcome]", 9);
		await_output(fd, "[welcome]");
		while (!con_sent(0))
			sched_yield();
		close(fd);
		assert_true(await_open(&value) && value == 0);
	}
}

/* The device goes while the back end has much to say, and somebody still listens. */
static void test_destroyed_in_the_middle(void **state)
{
	pthread_t thread;
	int fd = dial();

	(void)state;
	con_start(CON_ALL);
	con_post(0, VIRTIO_CONSOLE_QUEUE_SIZE, 512);
	pthread_create(&thread, NULL, noisy_client, &fd);
	queue_output(con_alloc(CHUNK * VIRTIO_CONSOLE_QUEUE_SIZE), 0, CHUNK * 50);
	rig_unplug(&con.rig);
	atomic_store(&host.over, true);
	pthread_join(thread, NULL);
	close(fd);
}

#define ON_MMIO(f, up)                                                                             \
	{                                                                                          \
#f, f, up, tear_down, (void *)(uintptr_t)RIG_MMIO                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MMIO(test_stream_both_ways, set_up),
		ON_MMIO(test_storm, set_up),
		ON_MMIO(test_reconnects, set_up_agent),
		ON_MMIO(test_destroyed_in_the_middle, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
