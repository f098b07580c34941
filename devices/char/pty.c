/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pseudo terminal that somebody may open at the path which is printed. While the slave is open
 * the halves (peer.c) have duplicates of the master.
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
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "devices/char/char.h"
#include "peer.h"
#include "terminal.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define OPENER_CHECK_NS (NSEC_PER_SEC / 4)

/* How long a client has to read the last words. */
enum { LAST_READ_MS = 300 };

struct pty {
	struct char_peer peer;
	int master;
	char path[64]; /* the slave's */
	struct timer opener;
};

static struct pty *pty_of(struct chardev *dev)
{
	return container_of(dev, struct pty, peer.dev);
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
	const struct clock *clock = pty->peer.config.clock;

	clock_arm(clock, &pty->opener, clock_monotonic_ns(clock) + OPENER_CHECK_NS);
}

static void on_left(struct char_peer *peer)
{
	struct pty *pty = container_of(peer, struct pty, peer);

	set_raw(pty->master);
	watch(pty);
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
	int fd = has_opener(pty) ? fcntl(pty->master, F_DUPFD_CLOEXEC, 3) : -1;

	if (fd < 0 || char_peer_connect(&pty->peer, fd, false) < 0)
		watch(pty);
}

static bool pty_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	return terminal_size(pty_of(dev)->master, cols, rows);
}

/* By the master, as the path may lead nowhere any more. Linux before 4.13 has only the path. */
static int open_slave(const struct pty *pty)
{
	const int flags = O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK;
	const int slave = ioctl(pty->master, TIOCGPTPEER, flags);

	return slave < 0 ? open(pty->path, flags) : slave;
}

/* Closing the master throws away what the client has not read yet: wait for it a little. */
static void let_client_read(const struct pty *pty)
{
	int slave, unread = 0;

	if (!atomic_load(&pty->peer.connected))
		return;
	slave = open_slave(pty);
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
	struct pty *pty = pty_of(dev);

	char_peer_flush(dev);
	let_client_read(pty);
	clock_disarm_sync(pty->peer.config.clock, &pty->opener);
	char_peer_fini(&pty->peer);
	close(pty->master);
	free(pty);
}

static const struct chardev_ops pty_ops = {
	.write = char_peer_write,
	.rx_kick = char_peer_rx_kick,
	.connected = char_peer_connected,
	.size = pty_size,
	.flush = char_peer_flush,
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

const char *char_pty_path(const struct chardev *dev)
{
	return container_of(dev, const struct pty, peer.dev)->path;
}

int char_pty_create(const struct char_config *config, struct chardev **ret, struct error *err)
{
	struct pty *pty = calloc(1, sizeof(*pty));
	int rc;

	if (!pty)
		return error_set_errno(err, -ENOMEM, "pseudo terminal");
	pty->peer.config = *config;
	pty->peer.name = pty->path;
	pty->peer.left = on_left;
	pty->opener = (struct timer){.fn = on_opener_timer, .opaque = pty};
	rc = open_master(pty);
	if (rc < 0)
		goto free_pty;
	char_peer_init(&pty->peer, &pty_ops);
	watch(pty);
	log_msg(config->log, LOG_INFO, "serial port on %s", pty->path);
	*ret = &pty->peer.dev;
	return 0;

free_pty:
	free(pty);
	return error_set_errno(err, rc, "pseudo terminal");
}
