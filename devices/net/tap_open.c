/* SPDX-License-Identifier: BSD-2-Clause */
/* Getting hold of a tap, and setting it up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

/* Linux 6.2; Debian 12's headers are older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* ---- the host's system calls ---- */

static int host_open_tun(const struct tap_sys *sys)
{
	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	(void)sys;
	return fd < 0 ? -errno : fd;
}

static int host_ioctl(const struct tap_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static int host_interface_ioctl(
	const struct tap_sys *sys, unsigned long request, struct ifreq *request_arg)
{
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = host_ioctl(sys, fd, request, request_arg);
	close(fd);
	return rc;
}

const struct tap_sys tap_sys_host = {
	.open_tun = host_open_tun,
	.ioctl = host_ioctl,
	.interface_ioctl = host_interface_ioctl,
};

static int queue_ioctl(struct net_tap *tap, unsigned int queue, unsigned long request, void *arg)
{
	return tap->sys->ioctl(tap->sys, tap->queues[queue].source.fd, request, arg);
}

/* ---- what went wrong ---- */

static int open_failed(int rc, struct error *err)
{
	switch (rc) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return error_set_errno(
			err, rc, "/dev/net/tun cannot be opened; try \"modprobe tun\"");
	case -EACCES:
	case -EPERM:
		return error_set_errno(err, rc,
			"/dev/net/tun cannot be opened; it must be readable and writable for you");
	default:
		return error_set_errno(err, rc, "/dev/net/tun");
	}
}

static int setiff_failed(const struct net_tap *tap, int rc, struct error *err)
{
	const char *name = tap->name[0] ? tap->name : "tap0";
	const char *multi = tap->num_queues > 1 ? " multi_queue" : "";

	switch (rc) {
	case -EPERM:
		return error_set(err, rc,
			"tap: that needs CAP_NET_ADMIN, or an interface made for you: \"sudo ip "
			"tuntap add %s mode tap user $USER%s && sudo ip link set %s up\", and its "
			"name",
			name, multi, name);
	case -EBUSY:
		return error_set(err, rc, "tap %s: another program uses it", name);
	case -EINVAL:
		return error_set(err, rc,
			"tap %s: not a name for an interface, or the name of one that is not a "
			"tap%s",
			name, tap->num_queues > 1 ? ", or of one made without multi_queue" : "");
	default:
		return error_set_errno(err, rc, "tap %s", name);
	}
}

/* ---- opening ---- */

static int set_interface(struct net_tap *tap, unsigned int queue, int flags)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};
	int rc;

	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	rc = queue_ioctl(tap, queue, TUNSETIFF, &ifr);
	if (rc < 0)
		return rc;
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = 0;
	return 0;
}

static int open_queue(struct net_tap *tap, unsigned int queue, struct error *err)
{
	int rc = tap->sys->open_tun(tap->sys);

	if (rc < 0)
		return open_failed(rc, err);
	tap->queues[queue].source.fd = rc;
	if (tap->num_queues > 1) {
		rc = set_interface(tap, queue, IFF_MULTI_QUEUE);
	} else {
		rc = set_interface(tap, queue, 0);
		/* It may have been made for several queues. */
		if (rc == -EINVAL)
			rc = set_interface(tap, queue, IFF_MULTI_QUEUE);
	}
	return rc < 0 ? setiff_failed(tap, rc, err) : 0;
}

static int open_queues(struct net_tap *tap, const char *ifname, struct error *err)
{
	if (ifname && strlen(ifname) >= sizeof(tap->name))
		return error_set(err, -ENAMETOOLONG,
			"tap %s: the name of an interface has at most %zu bytes", ifname,
			sizeof(tap->name) - 1);
	if (ifname)
		memcpy(tap->name, ifname, strlen(ifname) + 1);
	for (unsigned int i = 0; i < tap->num_queues; i++) {
		const int rc = open_queue(tap, i, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- inherited descriptors ---- */

static int check_flags(const struct ifreq *ifr, int fd, bool several, struct error *err)
{
	if (!(ifr->ifr_flags & IFF_TAP))
		return error_set(err, -EINVAL, "file descriptor %d is a tun, not a tap", fd);
	if (!(ifr->ifr_flags & IFF_NO_PI) || !(ifr->ifr_flags & IFF_VNET_HDR))
		return error_set(err, -EINVAL,
			"file descriptor %d: the tap must be opened with IFF_NO_PI and "
			"IFF_VNET_HDR",
			fd);
	if (several && !(ifr->ifr_flags & IFF_MULTI_QUEUE))
		return error_set(err, -EINVAL,
			"file descriptor %d: the tap must be opened with IFF_MULTI_QUEUE for "
			"several "
			"queues",
			fd);
	return 0;
}

static int adopt(struct net_tap *tap, unsigned int queue, int fd, struct error *err)
{
	struct ifreq ifr = {0};
	int rc = tap->sys->ioctl(tap->sys, fd, TUNGETIFF, &ifr);

	if (rc < 0)
		return error_set_errno(err, rc, "file descriptor %d is not a tap", fd);
	rc = check_flags(&ifr, fd, tap->num_queues > 1, err);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < queue; i++)
		if (tap->queues[i].source.fd == fd ||
			strncmp(tap->name, ifr.ifr_name, sizeof(tap->name)) != 0)
			return error_set(err, -EINVAL,
				"file descriptor %d: not another queue of the same tap", fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return error_set_errno(err, -errno, "file descriptor %d", fd);
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = 0;
	tap->queues[queue].source.fd = fd;
	return 0;
}

static void disown(struct net_tap *tap)
{
	for (unsigned int i = 0; i < tap->num_queues; i++)
		tap->queues[i].source.fd = -1;
}

static int adopt_queues(struct net_tap *tap, const int *fds, struct error *err)
{
	for (unsigned int i = 0; i < tap->num_queues; i++) {
		const int rc = adopt(tap, i, fds[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- setting up ---- */

int tap_attach_queue(struct net_tap *tap, unsigned int queue, bool on)
{
	struct ifreq ifr = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

	return queue_ioctl(tap, queue, TUNSETQUEUE, &ifr);
}

int tap_set_offloads(struct net_tap *tap, uint32_t offloads)
{
	static const struct {
		uint32_t net;
		unsigned long tun;
	} map[] = {
		{NET_CSUM, TUN_F_CSUM},
		{NET_TSO4, TUN_F_TSO4},
		{NET_TSO6, TUN_F_TSO6},
		{NET_ECN, TUN_F_TSO_ECN},
		{NET_UFO, TUN_F_UFO},
		{NET_USO, TUN_F_USO4 | TUN_F_USO6},
	};
	uintptr_t bits = 0;

	/* The kernel wants nothing without what it depends on. */
	if (!(offloads & NET_CSUM))
		offloads = 0;
	if (!(offloads & (NET_TSO4 | NET_TSO6)))
		offloads &= ~(uint32_t)NET_ECN;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (offloads & map[i].net)
			bits |= map[i].tun;
	/* The argument is the value itself. */
	return queue_ioctl(
		tap, 0, TUNSETOFFLOAD, (void *)bits); // NOLINT(performance-no-int-to-ptr)
}

/* What the kernel takes from us it has taken since it knows how to deliver it. */
static uint32_t probe_offloads(struct net_tap *tap)
{
	static const uint32_t all = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO;
	const uint32_t sets[] = {
		all, all & ~(uint32_t)NET_USO, all & ~(uint32_t)(NET_USO | NET_UFO), NET_CSUM};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (tap_set_offloads(tap, sets[i]) == 0)
			return sets[i];
	return 0;
}

static int set_up(struct net_tap *tap, struct error *err)
{
	int header = NET_HEADER, little = 1, rc = 0;

	for (unsigned int i = 0; i < tap->num_queues && rc == 0; i++) {
		rc = queue_ioctl(tap, i, TUNSETVNETHDRSZ, &header);
		if (rc == 0)
			rc = queue_ioctl(tap, i, TUNSETVNETLE, &little);
	}
	if (rc < 0)
		return error_set_errno(err, rc, "tap %s: virtio's header", tap->name);
	tap->net.info.send_offloads = tap->net.info.recv_offloads = probe_offloads(tap);
	rc = tap_set_offloads(tap, 0);
	if (rc < 0)
		return error_set_errno(err, rc, "tap %s: offloads", tap->name);
	for (unsigned int i = 1; i < tap->num_queues && rc == 0; i++)
		rc = tap_attach_queue(tap, i, false);
	return rc < 0 ? error_set_errno(err, rc, "tap %s: queues", tap->name) : 0;
}

/* An inherited tap may belong to another network namespace, where its name means something else. */
static void look_at_interface(struct net_tap *tap)
{
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	if (tap->sys->interface_ioctl(tap->sys, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu > 0 &&
		ifr.ifr_mtu <= UINT16_MAX)
		tap->net.info.mtu = (uint16_t)ifr.ifr_mtu;
	if (tap->sys->interface_ioctl(tap->sys, SIOCGIFFLAGS, &ifr) == 0 &&
		!(ifr.ifr_flags & IFF_UP))
		log_msg(tap->log, LOG_WARN, "%s is down; try \"ip link set %s up\"", tap->name,
			tap->name);
}

void tap_close_queues(struct net_tap *tap)
{
	for (unsigned int i = 0; i < tap->num_queues; i++)
		if (tap->queues[i].source.fd >= 0)
			close(tap->queues[i].source.fd);
	disown(tap);
}

int tap_open(struct net_tap *tap, const struct net_tap_config *config, struct error *err)
{
	int rc = config->num_fds ? adopt_queues(tap, config->fds, err)
				 : open_queues(tap, config->ifname, err);

	if (rc == 0)
		rc = set_up(tap, err);
	if (rc == 0 && config->script)
		rc = tap_run_script(config->script, tap->name, err);
	if (rc < 0) {
		if (config->num_fds)
			disown(tap);
		tap_close_queues(tap);
		return rc;
	}
	if (!config->num_fds)
		look_at_interface(tap);
	if (!config->num_fds && net_tap_is_pattern(config->ifname))
		log_msg(tap->log, LOG_INFO, "the guest's network is %s", tap->name);
	return 0;
}

/* With descriptors and nothing else, for who gives them to somebody. NULL: no memory. */
static struct net_tap *bare_tap(unsigned int num)
{
	struct net_tap *tap = calloc(1, sizeof(*tap) + num * sizeof(tap->queues[0]));

	if (!tap)
		return NULL;
	tap->sys = &tap_sys_host;
	tap->num_queues = num;
	for (unsigned int i = 0; i < num; i++)
		tap->queues[i].source.fd = -1;
	return tap;
}

int net_tap_open_queues(const char *ifname, unsigned int num, int *fds, struct error *err)
{
	struct net_tap *tap = bare_tap(num);
	int rc;

	if (!tap)
		return error_set_errno(err, -ENOMEM, "tap");
	rc = open_queues(tap, ifname, err);
	for (unsigned int i = 0; rc == 0 && i < num; i++)
		fds[i] = tap->queues[i].source.fd;
	if (rc < 0)
		tap_close_queues(tap);
	free(tap);
	return rc;
}

int net_tap_check_queues(unsigned int num, const int *fds, struct error *err)
{
	struct net_tap *tap = bare_tap(num);
	int rc;

	if (!tap)
		return error_set_errno(err, -ENOMEM, "tap");
	rc = adopt_queues(tap, fds, err);
	free(tap);
	return rc;
}
