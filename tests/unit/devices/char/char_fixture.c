/* SPDX-License-Identifier: BSD-2-Clause */
#include "char_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SETTLE_MS = 120, PATIENCE_S = 60 };

static void die(const char *what)
{
	perror(what);
	abort();
}

static size_t front_room(void *opaque)
{
	struct char_fixture *fix = opaque;

	return fix->room;
}

static void front_rx(void *opaque, const uint8_t *buf, size_t len)
{
	struct char_fixture *fix = opaque;

	if (!len || len > fix->room)
		abort();
	while (fix->rx_len + len > fix->rx_size) {
		fix->rx_size = fix->rx_size ? fix->rx_size * 2 : 4096;
		fix->rx = realloc(fix->rx, fix->rx_size);
		if (!fix->rx)
			die("realloc");
	}
	memcpy(fix->rx + fix->rx_len, buf, len);
	fix->rx_len += len;
	fix->max_rx = MAX(fix->max_rx, len);
	fix->rx_calls++;
	if (fix->one_shot)
		fix->room = 0;
}

static void front_tx_ready(void *opaque)
{
	((struct char_fixture *)opaque)->tx_ready++;
}

static void front_event(void *opaque, enum chardev_event event)
{
	struct char_fixture *fix = opaque;

	switch (event) {
	case CHARDEV_BREAK:
		fix->breaks++;
		fix->break_at = fix->rx_len;
		break;
	case CHARDEV_CONNECTED:
		fix->connects++;
		break;
	case CHARDEV_DISCONNECTED:
		fix->disconnects++;
		break;
	case CHARDEV_RESIZED:
		fix->resizes++;
		break;
	}
}

static const struct chardev_handler front = {
	.rx_room = front_room,
	.rx = front_rx,
	.tx_ready = front_tx_ready,
	.event = front_event,
};

static void on_command(void *opaque, enum console_command command)
{
	struct char_fixture *fix = opaque;

	fix->commands[command]++;
	if (fix->on_command)
		fix->on_command(fix, command);
}

void char_fixture_init(struct char_fixture *fix)
{
	char path[] = "/tmp/bantam-test-log-XXXXXX";

	memset(fix, 0, sizeof(*fix));
	signal(SIGPIPE, SIG_IGN);
	if (event_loop_create(&fix->loop) < 0)
		die("event_loop_create");
	fake_clock_init(&fix->clock);
	fix->log_fd = mkostemp(path, O_CLOEXEC);
	if (fix->log_fd < 0)
		die("mkostemp");
	unlink(path);
	log_init(&fix->log, fix->log_fd, LOG_DEBUG, NULL);
	fix->settle_ms = SETTLE_MS;
	fix->room = SIZE_MAX;
	fix->config = (struct char_config){
		.loop = fix->loop,
		.clock = &fix->clock.clock,
		.log = &fix->log,
		.command = on_command,
		.opaque = fix,
	};
}

void char_fixture_attach(struct char_fixture *fix)
{
	chardev_attach(fix->dev, &front, fix);
	chardev_rx_kick(fix->dev);
}

void char_fixture_fini(struct char_fixture *fix)
{
	if (fix->dev)
		chardev_attach(fix->dev, NULL, NULL);
	chardev_close(fix->dev);
	if (fake_clock_armed(&fix->clock))
		abort(); /* a timer outlived its owner */
	event_loop_destroy(fix->loop);
	close(fix->log_fd);
	free(fix->rx);
}

void char_fixture_settle(struct char_fixture *fix)
{
	while (event_loop_step(fix->loop, fix->settle_ms) > 0)
		;
}

void char_fixture_pattern(uint8_t *buf, size_t len)
{
	uint32_t x = 0x2545f491;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		buf[i] = (uint8_t)(x >> 11);
		if (buf[i] == 0x01)
			buf[i] = 0x02;
	}
}

/* ---- a sender ---- */

bool char_patient(struct char_patience *patience, size_t count)
{
	struct timespec ts;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	if (!patience->since_ns || count != patience->count)
		*patience = (struct char_patience){.count = count, .since_ns = now_ns};
	return now_ns - patience->since_ns < PATIENCE_S * NSEC_PER_SEC;
}

struct char_feeder {
	pthread_t thread;
	int fd;
	const uint8_t *buf;
	size_t len;
};

static void *feed(void *opaque)
{
	struct char_feeder *feeder = opaque;
	size_t done = 0;

	while (done < feeder->len) {
		/* Odd sizes, so that pieces meet the buffers' edges everywhere. */
		size_t piece = MIN(feeder->len - done, (size_t)3001);
		ssize_t n = write(feeder->fd, feeder->buf + done, piece);

		if (n > 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			poll(&(struct pollfd){.fd = feeder->fd, .events = POLLOUT}, 1, -1);
		else if (errno != EINTR)
			break;
	}
	return NULL;
}

struct char_feeder *char_feed(int fd, const uint8_t *buf, size_t len)
{
	struct char_feeder *feeder = malloc(sizeof(*feeder));

	if (!feeder)
		die("malloc");
	*feeder = (struct char_feeder){.fd = fd, .buf = buf, .len = len};
	if (pthread_create(&feeder->thread, NULL, feed, feeder))
		die("pthread_create");
	return feeder;
}

void char_feed_join(struct char_feeder *feeder)
{
	pthread_join(feeder->thread, NULL);
	free(feeder);
}

/* ---- a reader ---- */

static size_t read_some(int fd, uint8_t *buf, size_t len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (poll(&pfd, 1, 1) <= 0 || !(pfd.revents & POLLIN))
		return 0;
	n = read(fd, buf, len);
	return n > 0 ? (size_t)n : 0;
}

void char_fixture_drain(struct char_fixture *fix, int fd, uint8_t *buf, size_t len, size_t piece)
{
	struct char_patience patience = {0};
	size_t done = 0;

	while (done < len && char_patient(&patience, done)) {
		done += read_some(fd, buf + done, MIN(piece, len - done));
		event_loop_step(fix->loop, 0);
	}
	if (done < len) {
		fprintf(stderr, "only %zu of %zu bytes came\n", done, len);
		abort();
	}
}

void char_fixture_check_output(struct char_fixture *fix, int fd, size_t len, size_t piece)
{
	uint8_t *sent = malloc(len), *got = malloc(len);
	struct char_patience patience = {0};
	size_t in = 0, out = 0;
	unsigned int ready = fix->tx_ready;
	bool blocked = false;

	if (!sent || !got)
		die("malloc");
	char_fixture_pattern(sent, len);
	while (out < len && char_patient(&patience, out)) {
		size_t n = MIN((size_t)777, len - in);

		if (blocked && fix->tx_ready != ready)
			blocked = false;
		ready = fix->tx_ready;
		for (unsigned int i = 0; i < 50 && n && !blocked; i++) {
			size_t taken = chardev_write(fix->dev, sent + in, n);

			blocked = taken < n;
			in += taken;
			n = MIN((size_t)777, len - in);
		}
		event_loop_step(fix->loop, 0);
		out += read_some(fd, got + out, MIN(piece, len - out));
	}
	if (out != len || memcmp(sent, got, len) != 0) {
		fprintf(stderr, "output differs or is short: %zu of %zu (sent %zu)\n", out, len,
			in);
		abort();
	}
	free(sent);
	free(got);
}

/* ---- the rest ---- */

bool char_fixture_logged(struct char_fixture *fix, const char *text)
{
	char all[8192];
	ssize_t n = pread(fix->log_fd, all, sizeof(all) - 1, 0);

	if (n < 0)
		die("pread");
	all[n] = 0;
	return strstr(all, text) != NULL;
}

void char_fixture_openpty(int *master, int *slave)
{
	if (openpty(master, slave, NULL, NULL, NULL) < 0)
		die("openpty");
	fcntl(*master, F_SETFD, FD_CLOEXEC);
	fcntl(*slave, F_SETFD, FD_CLOEXEC);
}

bool char_fixture_is_raw(int tty_fd)
{
	struct termios modes;

	if (tcgetattr(tty_fd, &modes) < 0)
		return false;
	return !(modes.c_lflag & (ISIG | ICANON | ECHO | IEXTEN)) && !(modes.c_oflag & OPOST) &&
	       !(modes.c_iflag & (IXON | ICRNL)) && modes.c_cc[VMIN] == 1 && modes.c_cc[VTIME] == 0;
}
