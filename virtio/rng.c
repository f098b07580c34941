/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random bytes go straight into guest memory, a bounded number for each request, so that a driver
 * with buffers of gigabytes gets what a sensible one gets (5.4.6: any number but none). A buffer
 * that cannot be written completes with 0 bytes. Requests are done while they are popped, in order,
 * so IN_ORDER costs nothing.
 */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "virtio/device.h"

struct virtio_rng {
	struct virtio_device *vdev;
	ssize_t (*fill)(void *opaque, void *buf, size_t len);
	void *opaque;
};

static ssize_t host_fill(void *opaque, void *buf, size_t len)
{
	const ssize_t n = getrandom(buf, len, GRND_NONBLOCK);

	(void)opaque;
	return n < 0 ? -errno : n;
}

/* Fills [p, p + len); a source may give less at a time, but must give something. */
static size_t fill_piece(struct virtio_rng *rng, uint8_t *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n = rng->fill(rng->opaque, p + done, len - done);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		done += MIN((size_t)n, len - done);
	}
	return done;
}

static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_rng *rng = opaque;
	struct virtq_cursor cursor = virtq_writer(chain);
	const bool writable = chain->writable;
	uint32_t written = 0;
	struct iovec iov;
	int n;

	while (written < VIRTIO_RNG_MAX_BYTES &&
		virtq_iov(&cursor, VIRTIO_RNG_MAX_BYTES - written, &iov, 1, &n)) {
		const size_t done = fill_piece(rng, iov.iov_base, iov.iov_len);

		written += (uint32_t)done;
		if (done < iov.iov_len)
			break;
	}
	virtio_device_push(rng->vdev, q, chain, written);
	if (!written && writable)
		virtio_device_needs_reset(rng->vdev, "the host has no random bytes");
	return true;
}

static uint64_t features(void *opaque)
{
	(void)opaque;
	return VIRTIO_F_IN_ORDER;
}

static void kick(void *opaque, unsigned int q)
{
	struct virtio_rng *rng = opaque;

	virtio_device_process(rng->vdev, q, handle);
}

static void destroy(void *opaque)
{
	free(opaque);
}

static const struct virtio_device_ops ops = {
	.features = features, .kick = kick, .destroy = destroy};

/* Blocks until the host's generator is seeded; from then on it never does. */
static int wait_for_seed(void)
{
	uint8_t byte;

	while (getrandom(&byte, sizeof(byte), 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int virtio_rng_create(const struct virtio_rng_config *config, struct virtio_device **ret)
{
	static const uint16_t sizes[] = {VIRTIO_RNG_QUEUE_SIZE};
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	const struct virtio_device_config device = {.name = "virtio-rng",
		.id = VIRTIO_ID_RNG,
		.ops = &ops,
		.opaque = rng,
		.num_queues = ARRAY_SIZE(sizes),
		.queue_sizes = sizes,
		.mem = config->mem,
		.loop = config->loop,
		.log = config->log};
	int rc;

	if (!rng)
		return -ENOMEM;
	rng->fill = config->fill ? config->fill : host_fill;
	rng->opaque = config->opaque;
	rc = config->fill ? 0 : wait_for_seed();
	if (rc == 0)
		rc = virtio_device_create(&device, &rng->vdev);
	if (rc < 0) {
		free(rng);
		return rc;
	}
	*ret = rng->vdev; /* NOLINT(clang-analyzer-unix.Malloc): its destroy operation frees rng */
	return 0;
}
