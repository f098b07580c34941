/* SPDX-License-Identifier: BSD-2-Clause */
/* Apart from what knows virtio, as the kernel's headers give the same names another meaning. */
#include "devices/net/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"

static int host_ioctl(const struct vhost_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

const struct vhost_sys vhost_sys_host = {.ioctl = host_ioctl};

int vhost_open(int *fd, struct error *err)
{
	const int rc = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (rc >= 0) {
		*fd = rc;
		return 0;
	}
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_set_errno(
			err, -errno, "/dev/vhost-net cannot be opened; try \"modprobe vhost_net\"");
	case EACCES:
	case EPERM:
		return error_set_errno(err, -errno,
			"/dev/vhost-net cannot be opened; it must be readable and writable for "
			"you");
	default:
		return error_set_errno(err, -errno, "/dev/vhost-net");
	}
}

static int set_memory(const struct vhost_sys *sys, int fd, const struct guest_mem *mem)
{
	const struct guest_mem_region *regions;
	struct vhost_memory *memory;
	size_t count;
	int rc;

	regions = guest_mem_regions(mem, &count);
	memory = calloc(1, sizeof(*memory) + count * sizeof(memory->regions[0]));
	if (!memory)
		return -ENOMEM;
	memory->nregions = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		memory->regions[i] = (struct vhost_memory_region){.guest_phys_addr = regions[i].gpa,
			.memory_size = regions[i].size,
			.userspace_addr = (uintptr_t)regions[i].hva};
	rc = sys->ioctl(sys, fd, VHOST_SET_MEM_TABLE, memory);
	free(memory);
	return rc;
}

int vhost_own(const struct vhost_sys *sys, int fd, const struct guest_mem *mem, uint64_t *features)
{
	int rc = sys->ioctl(sys, fd, VHOST_SET_OWNER, NULL);

	if (rc < 0)
		return rc;
	rc = sys->ioctl(sys, fd, VHOST_GET_FEATURES, features);
	if (!rc)
		rc = set_memory(sys, fd, mem);
	if (rc < 0)
		vhost_disown(sys, fd);
	return rc;
}

void vhost_disown(const struct vhost_sys *sys, int fd)
{
	sys->ioctl(sys, fd, VHOST_RESET_OWNER, NULL);
}

int vhost_set_features(const struct vhost_sys *sys, int fd, uint64_t features)
{
	return sys->ioctl(sys, fd, VHOST_SET_FEATURES, &features);
}

static int set_file(
	const struct vhost_sys *sys, int fd, unsigned long request, unsigned int index, int file_fd)
{
	struct vhost_vring_file file = {.index = index, .fd = file_fd};

	return sys->ioctl(sys, fd, request, &file);
}

static int set_layout(const struct vhost_sys *sys, int fd, const struct vhost_ring_config *ring)
{
	struct vhost_vring_state size = {.index = ring->index, .num = ring->size};
	struct vhost_vring_state base = {.index = ring->index, .num = ring->base};
	struct vhost_vring_addr areas = {.index = ring->index,
		.desc_user_addr = (uintptr_t)ring->desc,
		.avail_user_addr = (uintptr_t)ring->avail,
		.used_user_addr = (uintptr_t)ring->used};
	int rc = sys->ioctl(sys, fd, VHOST_SET_VRING_NUM, &size);

	if (!rc)
		rc = sys->ioctl(sys, fd, VHOST_SET_VRING_BASE, &base);
	return rc < 0 ? rc : sys->ioctl(sys, fd, VHOST_SET_VRING_ADDR, &areas);
}

int vhost_start_ring(const struct vhost_sys *sys, int fd, const struct vhost_ring_config *ring)
{
	int rc = set_layout(sys, fd, ring);

	if (!rc)
		rc = set_file(sys, fd, VHOST_SET_VRING_KICK, ring->index, ring->kick_fd);
	if (!rc)
		rc = set_file(sys, fd, VHOST_SET_VRING_CALL, ring->index, ring->call_fd);
	if (!rc)
		rc = set_file(sys, fd, VHOST_SET_VRING_ERR, ring->index, ring->error_fd);
	return rc < 0 ? rc : set_file(sys, fd, VHOST_NET_SET_BACKEND, ring->index, ring->tap_fd);
}

int vhost_stop_ring(const struct vhost_sys *sys, int fd, unsigned int index, uint16_t *base)
{
	struct vhost_vring_state state = {.index = index};
	int rc;

	set_file(sys, fd, VHOST_NET_SET_BACKEND, index, -1);
	rc = sys->ioctl(sys, fd, VHOST_GET_VRING_BASE, &state);
	if (!rc)
		*base = (uint16_t)state.num;
	return rc;
}

int vhost_set_call(const struct vhost_sys *sys, int fd, unsigned int index, int call_fd)
{
	return set_file(sys, fd, VHOST_SET_VRING_CALL, index, call_fd);
}
