/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECES = 24, STEPS = 4000 };

void net_fixture_init(struct net_fixture *fix)
{
	char path[] = "/tmp/bantam-test-XXXXXX";

	memset(fix, 0, sizeof(*fix));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(event_loop_create(&fix->loop), 0);
	fake_clock_init(&fix->clock);
	fix->log_fd = mkstemp(path);
	assert_true(fix->log_fd >= 0);
	unlink(path);
	log_init(&fix->log, fix->log_fd, LOG_DEBUG, NULL);
}

void net_fixture_fini(struct net_fixture *fix)
{
	if (fix->net) {
		net_fixture_detach(fix);
		fix->net->ops->close(fix->net);
	}
	assert_int_equal(fake_clock_armed(&fix->clock), 0);
	event_loop_destroy(fix->loop);
	close(fix->log_fd);
}

/* ---- the front end ---- */

static void fetch(struct net_fixture *fix, unsigned int queue)
{
	static uint8_t frame[NET_MAX_FRAME];
	struct net_header header;
	ssize_t n;

	while ((n = net_fixture_recv(fix, queue, &header, frame, sizeof(frame))) >= 0) {
		fix->frames++;
		if (fix->on_frame)
			fix->on_frame(fix, queue, &header, frame, (size_t)n);
	}
	assert_int_equal(n, -EAGAIN);
}

static void on_ready(void *opaque, unsigned int queue)
{
	struct net_fixture *fix = opaque;

	assert_false(fix->inside);
	fix->ready[queue]++;
	if (fix->on_ready)
		fix->on_ready(fix, queue);
	if (fix->lazy)
		net_fixture_rx_enable(fix, queue, false);
	else if (!fix->idle)
		fetch(fix, queue);
}

static void on_writable(void *opaque, unsigned int queue)
{
	struct net_fixture *fix = opaque;

	assert_false(fix->inside);
	fix->writable[queue]++;
}

static void on_link(void *opaque)
{
	struct net_fixture *fix = opaque;

	assert_false(fix->inside);
	fix->link_changes++;
}

void net_fixture_attach(struct net_fixture *fix)
{
	static const struct net_listener listener = {
		.ready = on_ready, .writable = on_writable, .link_changed = on_link};

	fix->inside = true;
	assert_int_equal(fix->net->ops->attach(fix->net, fix->loop, &listener, fix), 0);
	fix->inside = false;
}

void net_fixture_detach(struct net_fixture *fix)
{
	fix->inside = true;
	assert_int_equal(fix->net->ops->attach(fix->net, NULL, NULL, NULL), 0);
	fix->inside = false;
}

/* Cuts [p, p + len) into pieces of 1, 2, 3... bytes, the last one the rest; an empty one among
 * them. */
static int cut(struct iovec iov[PIECES], void *p, size_t len)
{
	size_t done = 0;
	int n = 0;

	while (done < len && n < PIECES - 1) {
		size_t piece = n == 5 ? 0 : MIN((size_t)n + 1, len - done);

		iov[n++] = (struct iovec){.iov_base = (uint8_t *)p + done, .iov_len = piece};
		done += piece;
	}
	iov[n++] = (struct iovec){.iov_base = (uint8_t *)p + done, .iov_len = len - done};
	return n;
}

int net_fixture_send(struct net_fixture *fix, unsigned int queue, const struct net_header *header,
	const uint8_t *frame, size_t len)
{
	static uint8_t buf[NET_MAX_FRAME + 65536];
	const struct net_header none = {0};
	struct iovec iov[PIECES];
	int rc, n;

	memcpy(buf, header ? header : &none, NET_HEADER);
	memcpy(buf + NET_HEADER, frame, len);
	n = cut(iov, buf, NET_HEADER + len);
	fix->inside = true;
	rc = fix->net->ops->send(fix->net, queue, iov, n, NET_HEADER + len);
	fix->inside = false;
	return rc;
}

ssize_t net_fixture_recv(struct net_fixture *fix, unsigned int queue, struct net_header *header,
	uint8_t *frame, size_t size)
{
	static uint8_t buf[NET_MAX_FRAME + 65536];
	struct iovec iov[PIECES];
	ssize_t n;
	int num;

	memset(buf, 0xee, NET_HEADER);
	num = cut(iov, buf, NET_HEADER + size);
	fix->inside = true;
	n = fix->net->ops->recv(fix->net, queue, iov, num);
	fix->inside = false;
	if (n < 0)
		return n;
	assert_true(n >= NET_HEADER && (size_t)n <= NET_HEADER + size);
	memcpy(header, buf, NET_HEADER);
	memcpy(frame, buf + NET_HEADER, (size_t)n - NET_HEADER);
	assert_int_equal(header->num_buffers, 0);
	return n - NET_HEADER;
}

void net_fixture_rx_enable(struct net_fixture *fix, unsigned int queue, bool on)
{
	fix->inside = true;
	fix->net->ops->rx_enable(fix->net, queue, on);
	fix->inside = false;
}

/* ---- running ---- */

void net_fixture_settle(struct net_fixture *fix)
{
	unsigned int n = 0;

	while (event_loop_step(fix->loop, 5) > 0)
		assert_true(++n < STEPS); /* or it runs at full speed for ever */
}

void net_fixture_run(struct net_fixture *fix, bool (*done)(void *opaque), void *opaque)
{
	for (unsigned int n = 0; !done(opaque); n++) {
		assert_true(n < STEPS);
		assert_true(event_loop_step(fix->loop, 5) >= 0);
	}
}

bool net_fixture_logged(struct net_fixture *fix, const char *text)
{
	char buf[4096];
	ssize_t n = pread(fix->log_fd, buf, sizeof(buf) - 1, 0);

	assert_true(n >= 0);
	buf[n] = 0;
	return strstr(buf, text) != NULL;
}

/* ---- the sandbox ---- */

static void write_file(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

static bool unshare_network(void)
{
	const unsigned int uid = getuid();
	char map[32];

	if (unshare(CLONE_NEWNET) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	return true;
}

static bool set_up_lo(void)
{
	struct ifreq ifr = {.ifr_flags = IFF_UP | IFF_RUNNING};
	struct sockaddr_in address = {.sin_family = AF_INET};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return false;
	strcpy(ifr.ifr_name, "lo");
	ok = ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
	inet_pton(AF_INET, SANDBOX_HOST, &address.sin_addr);
	strcpy(ifr.ifr_name, "lo:1");
	memcpy(&ifr.ifr_addr, &address, sizeof(address));
	ok = ok && ioctl(fd, SIOCSIFADDR, &ifr) == 0;
	close(fd);
	return ok;
}

bool net_sandbox_enter(void)
{
	if (unshare_network() && set_up_lo())
		return true;
	printf("no network namespace of its own (%s): tests that need one are skipped\n",
		strerror(errno));
	return false;
}

void net_sandbox_no_ipv6(void)
{
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

bool net_sandbox_resolv_conf(const char *text)
{
	char path[] = "/tmp/bantam-test-XXXXXX";
	int fd;
	bool ok;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	/* What an earlier call has put there is no file to mount upon: it has no name. */
	umount2("/etc/resolv.conf", MNT_DETACH);
	fd = mkstemp(path);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
	     mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
	close(fd);
	unlink(path);
	return ok;
}
