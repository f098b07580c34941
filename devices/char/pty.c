/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pseudo terminal that somebody may open at the path which is printed. The two halves have
 * duplicates of the master while the slave is open, and nothing otherwise.
 *
 * A master without a slave hangs up: epoll would say so for ever. So it is taken out of the loop,
 * and a timer looks for the next opener; it runs only as long as nobody is there. Somebody who has
 * come and gone between two looks (`echo ls > /dev/pts/5`) has left what was written in the master.
 * The master counts as hung up only once a slave was closed, hence the open and close in the
 * constructor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "devices/char/char.h"
#include "input.h"
#include "output.h"
#include "terminal.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define OPENER_CHECK_NS (NSEC_PER_SEC / 4)

/* How long a client has to read the last words. */
enum { LAST_READ_MS = 300 };

struct pty {
	struct chardev dev;
	struct char_config config;
	int master;
	char path[64]; /* the slave's */
	_Atomic bool connected;
	struct timer opener;
	struct char_input in;
	struct char_output out;
	struct log_limit limit;
};

static void on_broken(void *opaque, int error, bool final)
{
	(void)opaque;
	(void)error; /* The input half hears of the hang-up. */
	(void) final;
}

static void on_resumed(void *opaque, uint64_t dropped)
{
	struct pty *pty = opaque;

	log_limited(pty->config.log, &pty->limit, LOG_WARN,
		"%s was not read for too long: %llu bytes were dropped", pty->path,
		(unsigned long long)dropped);
}

/* On the master, so it holds for the slave. The next opener finds what the first one found. */
static int set_raw(int master)
{
	struct termios modes;

	if (tcgetattr(master, &modes) < 0)
		return -errno;
	cfmakeraw(&modes);
	return tcsetattr(master, TCSANOW, &modes) < 0 ? -errno : 0;
}

static void watch(struct pty *pty)
{
	const struct clock *clock = pty->config.clock;

	clock_arm(clock, &pty->opener, clock_monotonic_ns(clock) + OPENER_CHECK_NS);
}

static void disconnect(struct pty *pty)
{
	atomic_store(&pty->connected, false);
	char_input_close(&pty->in);
	char_output_close(&pty->out);
	set_raw(pty->master);
	watch(pty);
	chardev_notify_event(&pty->dev, CHARDEV_DISCONNECTED);
}

/* Returns false when that is impossible now. */
static bool connect_halves(struct pty *pty)
{
	int in_fd = fcntl(pty->master, F_DUPFD_CLOEXEC, 3);
	int out_fd = fcntl(pty->master, F_DUPFD_CLOEXEC, 3);
	struct stream_fd in, out;

	if (in_fd < 0 || out_fd < 0) {
		if (in_fd >= 0)
			close(in_fd);
		if (out_fd >= 0)
			close(out_fd);
		return false;
	}
	stream_fd_own(&in, in_fd);
	stream_fd_own(&out, out_fd);
	char_output_open(&pty->out, &out);
	atomic_store(&pty->connected, true);
	char_input_open(&pty->in, &in);
	return true;
}

/* Somebody is there, or was, and has left something to read. */
static bool has_opener(const struct pty *pty)
{
	struct pollfd pfd = {.fd = pty->master, .events = POLLIN};

	return poll(&pfd, 1, 0) >= 0 && (!(pfd.revents & POLLHUP) || (pfd.revents & POLLIN));
}

static void on_opener_timer(void *opaque)
{
	struct pty *pty = opaque;

	if (!has_opener(pty) || !connect_halves(pty))
		watch(pty);
	else
		chardev_notify_event(&pty->dev, CHARDEV_CONNECTED);
}

/* The slave was closed: EIO. */
static void on_ended(void *opaque, int error)
{
	(void)error;
	disconnect(opaque);
}

static size_t pty_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	return char_output_write(&container_of(dev, struct pty, dev)->out, buf, len);
}

static void pty_rx_kick(struct chardev *dev)
{
	char_input_kick(&container_of(dev, struct pty, dev)->in);
}

static bool pty_connected(struct chardev *dev)
{
	return atomic_load(&container_of(dev, struct pty, dev)->connected);
}

static bool pty_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	return terminal_size(container_of(dev, struct pty, dev)->master, cols, rows);
}

static void pty_flush(struct chardev *dev)
{
	char_output_flush(&container_of(dev, struct pty, dev)->out);
}

/* Closing the master throws away what the client has not read yet: wait for it a little. */
static void let_client_read(const struct pty *pty)
{
	int slave, unread = 0;

	if (!atomic_load(&pty->connected))
		return;
	slave = open(pty->path, O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (slave < 0)
		return;
	for (int i = 0; i < LAST_READ_MS; i++) {
		if (ioctl(slave, FIONREAD, &unread) < 0 || !unread)
			break;
		poll(NULL, 0, 1);
	}
	close(slave);
}

static void pty_close(struct chardev *dev)
{
	struct pty *pty = container_of(dev, struct pty, dev);

	char_output_flush(&pty->out);
	let_client_read(pty);
	char_input_fini(&pty->in);
	clock_disarm_sync(pty->config.clock, &pty->opener);
	char_output_fini(&pty->out);
	close(pty->master);
	chardev_fini(dev);
	free(pty);
}

static const struct chardev_ops pty_ops = {
	.write = pty_write,
	.rx_kick = pty_rx_kick,
	.connected = pty_connected,
	.size = pty_size,
	.flush = pty_flush,
	.close = pty_close,
};

/* Returns 0 or a negative errno; on failure the master is closed. */
static int open_master(struct pty *pty)
{
	int slave, rc;

	pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (pty->master < 0)
		return -errno;
	if (grantpt(pty->master) < 0 || unlockpt(pty->master) < 0) {
		rc = -errno;
		goto close_master;
	}
	rc = -ptsname_r(pty->master, pty->path, sizeof(pty->path));
	if (!rc)
		rc = set_raw(pty->master);
	if (rc < 0)
		goto close_master;
	slave = open(pty->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0) {
		rc = -errno;
		goto close_master;
	}
	close(slave);
	return 0;

close_master:
	close(pty->master);
	return rc;
}

static void init_halves(struct pty *pty)
{
	const struct char_config *config = &pty->config;

	pty->out.dev = &pty->dev;
	pty->out.loop = config->loop;
	pty->out.clock = config->clock;
	pty->out.broken = on_broken;
	pty->out.resumed = on_resumed;
	pty->out.opaque = pty;
	char_output_init(&pty->out);
	pty->in.dev = &pty->dev;
	pty->in.loop = config->loop;
	pty->in.clock = config->clock;
	pty->in.room = CHAR_INPUT_ROOM;
	pty->in.when_full = CHAR_INPUT_GIVE_UP;
	pty->in.ended = on_ended;
	pty->in.opaque = pty;
	char_input_init(&pty->in);
}

int char_pty_create(const struct char_config *config, struct chardev **ret, struct error *err)
{
	struct pty *pty = calloc(1, sizeof(*pty));
	int rc;

	if (!pty)
		return error_set_errno(err, -ENOMEM, "pseudo terminal");
	pty->config = *config;
	pty->opener = (struct timer){.fn = on_opener_timer, .opaque = pty};
	rc = open_master(pty);
	if (rc < 0)
		goto free_pty;
	chardev_init(&pty->dev, &pty_ops);
	init_halves(pty);
	watch(pty);
	log_msg(config->log, LOG_INFO, "serial port on %s", pty->path);
	*ret = &pty->dev;
	return 0;

free_pty:
	free(pty);
	return error_set_errno(err, rc, "pseudo terminal");
}
