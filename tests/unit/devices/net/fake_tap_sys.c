/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_tap_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fake_tap_sys *to_fake(const struct tap_sys *sys)
{
	return container_of((struct tap_sys *)sys, struct fake_tap_sys, table);
}

int fake_tap_open(struct fake_tap_sys *fake)
{
	int fds[2], small = 4096;

	if (fake->num_queues == FAKE_TAP_QUEUES)
		return -EMFILE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	fake->queues[fake->num_queues].fd = fds[0];
	fake->queues[fake->num_queues].peer = fds[1];
	fake->queues[fake->num_queues].attached = true;
	fake->num_queues++;
	return fds[0];
}

static int open_tun(const struct tap_sys *sys)
{
	struct fake_tap_sys *fake = to_fake(sys);

	return fake->open_error ? fake->open_error : fake_tap_open(fake);
}

static int set_interface(struct fake_tap_sys *fake, unsigned int queue, struct ifreq *ifr)
{
	if (fake->setiff_error)
		return fake->setiff_error;
	if (fake->multi_queue && !(ifr->ifr_flags & IFF_MULTI_QUEUE))
		return -EINVAL;
	if (!ifr->ifr_name[0])
		strcpy(ifr->ifr_name, "tap7");
	strcpy(fake->name, ifr->ifr_name);
	fake->queues[queue].flags = ifr->ifr_flags;
	return 0;
}

static int set_queue(struct fake_tap_sys *fake, unsigned int queue, const struct ifreq *ifr)
{
	const bool on = ifr->ifr_flags == IFF_ATTACH_QUEUE;

	if (fake->queues[queue].attached == on)
		return -EINVAL;
	fake->queues[queue].attached = on;
	return 0;
}

static int set_offload(struct fake_tap_sys *fake, unsigned long bits)
{
	const unsigned long tso = TUN_F_TSO4 | TUN_F_TSO6;

	if (bits & ~fake->offloads_known || (bits && !(bits & TUN_F_CSUM)) ||
		(bits & TUN_F_TSO_ECN && !(bits & tso)))
		return -EINVAL;
	fake->offloads = bits;
	return 0;
}

static int get_interface(const struct fake_tap_sys *fake, struct ifreq *ifr)
{
	strcpy(ifr->ifr_name, fake->name);
	ifr->ifr_flags = fake->getif_flags;
	return 0;
}

static int fake_ioctl(const struct tap_sys *sys, int fd, unsigned long request, void *arg)
{
	struct fake_tap_sys *fake = to_fake(sys);
	unsigned int queue = 0;

	while (queue < fake->num_queues && fake->queues[queue].fd != fd)
		queue++;
	if (queue == fake->num_queues)
		return -ENOTTY;
	if (++fake->ioctls == fake->fail_at)
		return -EFAULT;
	switch (request) {
	case TUNSETIFF:
		return set_interface(fake, queue, arg);
	case TUNGETIFF:
		return get_interface(fake, arg);
	case TUNSETVNETHDRSZ:
		fake->queues[queue].header = *(int *)arg;
		return 0;
	case TUNSETVNETLE:
		fake->queues[queue].little = *(int *)arg;
		return 0;
	case TUNSETOFFLOAD:
		return set_offload(fake, (unsigned long)arg);
	case TUNSETQUEUE:
		return set_queue(fake, queue, arg);
	default:
		return -ENOTTY;
	}
}

static int fake_interface_ioctl(
	const struct tap_sys *sys, unsigned long request, struct ifreq *request_arg)
{
	const struct fake_tap_sys *fake = to_fake(sys);

	if (strcmp(request_arg->ifr_name, fake->name) != 0)
		return -ENODEV;
	if (request == SIOCGIFMTU)
		request_arg->ifr_mtu = fake->mtu;
	else
		request_arg->ifr_flags = fake->interface_flags;
	return 0;
}

void fake_tap_init(struct fake_tap_sys *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->table = (struct tap_sys){
		.open_tun = open_tun, .ioctl = fake_ioctl, .interface_ioctl = fake_interface_ioctl};
	fake->offloads_known = 0x7f;
	fake->mtu = 1500;
	fake->interface_flags = IFF_UP;
	fake->getif_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	strcpy(fake->name, "tap7");
}

unsigned int fake_tap_fini(struct fake_tap_sys *fake)
{
	unsigned int open = 0;

	for (unsigned int i = 0; i < fake->num_queues; i++) {
		close(fake->queues[i].peer);
		if (fcntl(fake->queues[i].fd, F_GETFD) >= 0) {
			open++;
			close(fake->queues[i].fd);
		}
	}
	fake->num_queues = 0;
	return open;
}
