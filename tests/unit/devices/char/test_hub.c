/* SPDX-License-Identifier: BSD-2-Clause */
/* The hub: what is kept, who gets it, who is heard, and that no client holds the guest. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "char_fixture.h"
#include "devices/char/hub.h"
#include "fakes/fake_chardev.h"

/* What the hub told of one client. */
struct watcher {
	struct hub_client *client;
	int fd; /* the client's end */
	uint64_t lost;
	unsigned int losses, left;
	bool detaches; /* when it hears of a loss */
};

struct hub_fixture {
	struct char_fixture base;
	struct fake_chardev below;
	struct watcher watchers[3 * HUB_MAX_CLIENTS]; /* outlive the test, as the hub may */
	unsigned int num_watchers;
};

static int setup(void **state)
{
	struct hub_fixture *f = calloc(1, sizeof(*f));

	char_fixture_init(&f->base);
	f->base.settle_ms = 0;
	fake_chardev_init(&f->below);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct hub_fixture *f = *state;

	char_fixture_fini(&f->base);
	fake_chardev_fini(&f->below);
	free(f);
	return 0;
}

/* The fake is embedded in the fixture: closing it is not the hub's. */
static void keep_open(struct chardev *dev)
{
	(void)dev;
}

static void open_hub(struct hub_fixture *f, bool with_below, bool kept)
{
	static struct chardev_ops ops;
	struct char_fixture *fix = &f->base;

	ops = *f->below.dev.ops;
	ops.close = keep_open;
	f->below.dev.ops = &ops;
	assert_int_equal(char_hub_create(&fix->config, with_below ? &f->below.dev : NULL, kept,
				 &fix->dev, &fix->err),
		0);
	char_fixture_attach(fix);
}

static void on_lost(void *opaque, uint64_t bytes)
{
	struct watcher *watcher = opaque;

	watcher->lost += bytes;
	watcher->losses++;
	if (watcher->detaches)
		hub_detach(watcher->client);
}

static void on_left(void *opaque)
{
	struct watcher *watcher = opaque;

	watcher->left++;
	watcher->client = NULL;
}

static int attach_fd(
	struct hub_fixture *f, struct watcher *watcher, struct hub_client_config config)
{
	config.lost = on_lost;
	config.left = on_left;
	config.opaque = watcher;
	return hub_attach(f->base.dev, &config, &watcher->client, &f->base.err);
}

static struct watcher *attach(struct hub_fixture *f, struct hub_client_config config)
{
	struct watcher *watcher = &f->watchers[f->num_watchers++];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	watcher->fd = ends[0];
	config.fd = ends[1];
	assert_int_equal(attach_fd(f, watcher, config), 0);
	return watcher;
}

static void put(struct hub_fixture *f, const void *buf, size_t len)
{
	assert_int_equal(chardev_write(f->base.dev, buf, len), len);
}

static void type(struct watcher *watcher, const char *text)
{
	assert_int_equal(write(watcher->fd, text, strlen(text)), strlen(text));
}

/* Reads what there is, running the loop; compares. */
static void expect(struct hub_fixture *f, struct watcher *watcher, const void *what, size_t len)
{
	uint8_t *buf = malloc(len + 1);

	char_fixture_drain(&f->base, watcher->fd, buf, len, 4096);
	assert_memory_equal(buf, what, len);
	char_fixture_settle(&f->base);
	assert_int_equal(recv(watcher->fd, buf, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	free(buf);
}

static void expect_rx(struct hub_fixture *f, const char *text)
{
	char_fixture_settle(&f->base);
	assert_int_equal(f->base.rx_len, strlen(text));
	assert_memory_equal(f->base.rx, text, strlen(text));
}

static const struct hub_client_config plain = {.history = true};

/* ---- output ---- */

static void test_history(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *all, *fresh;
	uint8_t *text = malloc(HUB_HISTORY + 5000);

	open_hub(f, true, false);
	char_fixture_pattern(text, HUB_HISTORY + 5000);
	put(f, text, 3000);
	put(f, text + 3000, HUB_HISTORY + 2000);
	all = attach(f, plain);
	fresh = attach(f, (struct hub_client_config){0});
	expect(f, all, text + 5000, HUB_HISTORY);
	put(f, "more", 4);
	expect(f, all, "more", 4);
	expect(f, fresh, "more", 4);
	assert_int_equal(all->losses, 0);
	/* All of it went to the back end behind as well. */
	assert_int_equal(f->below.out_len, HUB_HISTORY + 5004);
	free(text);
	close(all->fd);
	close(fresh->fd);
}

static void test_one_long_write(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;
	uint8_t *text = malloc(3 * HUB_HISTORY + 7);

	open_hub(f, false, false);
	char_fixture_pattern(text, 3 * HUB_HISTORY + 7);
	put(f, "x", 1);
	put(f, text, 3 * HUB_HISTORY + 7);
	watcher = attach(f, plain);
	expect(f, watcher, text + 2 * HUB_HISTORY + 7, HUB_HISTORY);
	free(text);
	close(watcher->fd);
}

static void test_only_what_was_taken(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, true, false);
	watcher = attach(f, plain);
	fake_chardev_allow(&f->below, 3);
	assert_int_equal(chardev_write(f->base.dev, (const uint8_t *)"abcdef", 6), 3);
	expect(f, watcher, "abc", 3);
	assert_int_equal(f->base.tx_ready, 0);
	fake_chardev_allow(&f->below, SIZE_MAX);
	assert_int_equal(f->base.tx_ready, 1);
	put(f, "def", 3);
	expect(f, watcher, "def", 3);
	close(watcher->fd);
}

/* One that reads nothing loses output, the guest and the others lose nothing. */
static void test_slow_client(void **state)
{
	enum { PIECE = 4096, PIECES = 512 };
	struct hub_fixture *f = *state;
	struct watcher *slow, *quick;
	uint8_t *text = malloc(PIECE * PIECES), *buf = malloc(PIECE * PIECES);
	size_t got = 0;
	ssize_t n;

	open_hub(f, false, false);
	char_fixture_pattern(text, PIECE * PIECES);
	slow = attach(f, plain);
	quick = attach(f, plain);
	for (size_t i = 0; i < PIECES; i++) {
		put(f, text + i * PIECE, PIECE);
		expect(f, quick, text + i * PIECE, PIECE);
		if (i % 64)
			continue;
		assert_int_equal(slow->losses, 0); /* it is told when it reads */
	}
	for (;;) {
		char_fixture_settle(&f->base);
		n = recv(slow->fd, buf + got, PIECE * PIECES - got, MSG_DONTWAIT);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	assert_int_equal(slow->losses, 1);
	assert_int_equal(got + slow->lost, PIECE * PIECES);
	assert_memory_equal(buf, text, got - HUB_HISTORY);
	assert_memory_equal(
		buf + got - HUB_HISTORY, text + PIECE * PIECES - HUB_HISTORY, HUB_HISTORY);
	assert_int_equal(quick->losses, 0);
	free(text);
	free(buf);
	close(slow->fd);
	close(quick->fd);
}

static void test_detach_on_loss(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *slow, *other;
	uint8_t *text = calloc(1, HUB_HISTORY), buf[4096];

	open_hub(f, false, false);
	other = attach(f, (struct hub_client_config){.read_only = true});
	slow = attach(f, (struct hub_client_config){.read_only = true});
	slow->detaches = true;
	for (int i = 0; i < 64; i++) {
		put(f, text, HUB_HISTORY);
		char_fixture_settle(&f->base);
	}
	while (recv(slow->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		char_fixture_settle(&f->base);
	assert_int_equal(slow->losses, 1);
	assert_int_equal(slow->left, 0);
	free(text);
	close(slow->fd);
	close(other->fd);
}

static void test_end(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *one, *forgotten;
	uint8_t buf[8];

	open_hub(f, false, false);
	one = attach(f, plain);
	forgotten = attach(f, plain);
	hub_forget(forgotten->client);
	put(f, "bye", 3);
	chardev_attach(f->base.dev, NULL, NULL);
	chardev_close(f->base.dev);
	f->base.dev = NULL;
	assert_int_equal(recv(one->fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(one->fd, buf, sizeof(buf), 0), 0);
	assert_int_equal(recv(forgotten->fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(one->left, 1);
	assert_int_equal(forgotten->left, 0);
	close(one->fd);
	close(forgotten->fd);
}

/* ---- input ---- */

static void test_input(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *one, *two, *mute;

	open_hub(f, true, false);
	one = attach(f, plain);
	mute = attach(f, (struct hub_client_config){.read_only = true});
	two = attach(f, plain);
	type(mute, "no");
	type(one, "1");
	char_fixture_settle(&f->base);
	type(two, "2");
	char_fixture_settle(&f->base);
	fake_chardev_type(&f->below, "3", 1);
	expect_rx(f, "123");
	hub_break(mute->client);
	char_fixture_settle(&f->base);
	assert_int_equal(f->base.breaks, 0);
	hub_break(one->client);
	char_fixture_settle(&f->base);
	assert_int_equal(f->base.breaks, 1);
	close(one->fd);
	close(two->fd);
	close(mute->fd);
}

/* What a client had sent reaches the guest although the client is gone and the guest slow. */
static void leaves_input(struct hub_fixture *f, bool detached)
{
	struct watcher *watcher;

	open_hub(f, false, false);
	watcher = attach(f, plain);
	f->base.room = 0;
	type(watcher, "poweroff\n");
	if (detached)
		hub_detach(watcher->client);
	else
		close(watcher->fd);
	char_fixture_settle(&f->base);
	assert_int_equal(f->base.rx_len, 0);
	assert_int_equal(watcher->left, !detached);
	fake_clock_advance(&f->base.clock, CHARDEV_STALL_NS - 1);
	f->base.room = 3;
	chardev_rx_kick(f->base.dev);
	expect_rx(f, "poweroff\n");
	if (detached)
		close(watcher->fd);
	fake_clock_advance(&f->base.clock, CHARDEV_STALL_NS);
	char_fixture_settle(&f->base);
	assert_int_equal(fake_clock_armed(&f->base.clock), 0);
}

static void test_input_of_one_that_left(void **state)
{
	leaves_input(*state, false);
}

static void test_input_of_one_that_was_detached(void **state)
{
	leaves_input(*state, true);
}

/* A guest that takes nothing does not keep the place for ever. */
static void test_input_that_nobody_takes(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, false, false);
	f->base.room = 0;
	for (int i = 0; i < 3 * HUB_MAX_CLIENTS; i++) {
		watcher = attach(f, plain);
		type(watcher, "hello");
		close(watcher->fd);
		char_fixture_settle(&f->base);
		fake_clock_advance(&f->base.clock, CHARDEV_STALL_NS);
		char_fixture_settle(&f->base);
		assert_int_equal(watcher->left, 1);
	}
}

/* The sending side alone is closed: the client goes on reading. */
static void test_half_close(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, false, false);
	watcher = attach(f, plain);
	type(watcher, "ls\n");
	shutdown(watcher->fd, SHUT_WR);
	expect_rx(f, "ls\n");
	put(f, "file\n", 5);
	expect(f, watcher, "file\n", 5);
	assert_int_equal(watcher->left, 0);
	close(watcher->fd);
	char_fixture_settle(&f->base);
	assert_int_equal(watcher->left, 1);
}

/* ---- coming and going ---- */

static void test_read_only_leaves(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, false, false);
	watcher = attach(f, (struct hub_client_config){.read_only = true});
	close(watcher->fd);
	char_fixture_settle(&f->base);
	assert_int_equal(watcher->left, 1);
	assert_null(hub_find(f->base.dev, 1));
}

static void test_connected(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, false, false);
	assert_false(chardev_connected(f->base.dev));
	watcher = attach(f, plain);
	assert_true(chardev_connected(f->base.dev));
	assert_int_equal(f->base.connects, 1);
	close(watcher->fd);
	char_fixture_settle(&f->base);
	assert_false(chardev_connected(f->base.dev));
	assert_int_equal(f->base.disconnects, 1);
}

static void test_kept(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watcher;

	open_hub(f, false, true);
	assert_true(chardev_connected(f->base.dev));
	watcher = attach(f, plain);
	close(watcher->fd);
	char_fixture_settle(&f->base);
	assert_true(chardev_connected(f->base.dev));
	assert_int_equal(f->base.connects + f->base.disconnects, 0);
}

static void expect_size(struct hub_fixture *f, uint16_t cols, uint16_t rows, unsigned int resizes)
{
	uint16_t c = 0, r = 0;

	assert_int_equal(chardev_size(f->base.dev, &c, &r), cols != 0);
	assert_int_equal(c, cols);
	assert_int_equal(r, rows);
	assert_int_equal(f->base.resizes, resizes);
}

static void test_size(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *one, *two, *none;

	open_hub(f, true, false);
	expect_size(f, 0, 0, 0);
	one = attach(f, (struct hub_client_config){.cols = 80, .rows = 24});
	expect_size(f, 80, 24, 1);
	two = attach(f, (struct hub_client_config){.cols = 100, .rows = 30});
	none = attach(f, plain);
	expect_size(f, 100, 30, 2);
	hub_resize(one->client, 81, 25);
	expect_size(f, 81, 25, 3);
	/* The terminal behind speaks up. */
	f->below.is_terminal = true;
	f->below.cols = 132;
	f->below.rows = 43;
	fake_chardev_event(&f->below, CHARDEV_RESIZED);
	expect_size(f, 132, 43, 4);
	hub_resize(two->client, 100, 31);
	expect_size(f, 100, 31, 5);
	close(two->fd);
	char_fixture_settle(&f->base);
	expect_size(f, 132, 43, 6);
	close(one->fd);
	close(none->fd);
}

static void test_refused(void **state)
{
	struct hub_fixture *f = *state;
	struct watcher *watchers[HUB_MAX_CLIENTS], refused;
	int ends[2];

	open_hub(f, false, false);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(
		attach_fd(f, &refused, (struct hub_client_config){.fd = ends[1]}), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	for (int i = 0; i < HUB_MAX_CLIENTS; i++) {
		watchers[i] = attach(f, plain);
		assert_ptr_equal(hub_find(f->base.dev, (unsigned int)i + 1), watchers[i]->client);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(attach_fd(f, &refused, (struct hub_client_config){.fd = ends[1]}), -EBUSY);
	close(ends[0]);
	close(ends[1]);
	for (int i = 0; i < HUB_MAX_CLIENTS; i++)
		close(watchers[i]->fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_history),
		TEST(test_one_long_write),
		TEST(test_only_what_was_taken),
		TEST(test_slow_client),
		TEST(test_detach_on_loss),
		TEST(test_end),
		TEST(test_input),
		TEST(test_input_of_one_that_left),
		TEST(test_input_of_one_that_was_detached),
		TEST(test_input_that_nobody_takes),
		TEST(test_half_close),
		TEST(test_read_only_leaves),
		TEST(test_connected),
		TEST(test_kept),
		TEST(test_size),
		TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
