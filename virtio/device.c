/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device state machine (virtio 1.2, 2.1 to 2.5 and 3.1): status, features, configuration
 * space, errors and reset. The queues are in virtio/device_queue.c.
 *
 *	status 0 -> ACKNOWLEDGE, DRIVER -> FEATURES_OK -> DRIVER_OK: ops->start, running
 *	anything -> status 0: ops->stop, wait until nothing is in flight, everything to its default
 *	a broken rule: NEEDS_RESET, which only a reset clears
 *
 * The driver cannot clear single bits of the status. While a reset waits, the lock is free and
 *other vCPUs may get in: `resetting` makes what they write meaningless, and what devices push
 *vanish.
 */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device_private.h"

#define CORE_FEATURES                                                                              \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_RESET)

enum {
	STATUS_DRIVER_BITS = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
			     VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK |
			     VIRTIO_STATUS_FAILED,
};

static bool config_valid(const struct virtio_device_config *c)
{
	return c->num_queues && c->num_queues <= VIRTIO_MAX_QUEUES && c->cfg_size <= VIRTIO_MAX_CFG;
}

int virtio_device_create(const struct virtio_device_config *config, struct virtio_device **ret)
{
	struct virtio_device *vdev;
	unsigned int made = 0;
	int rc = 0;

	if (!config_valid(config))
		return -EINVAL;
	vdev = calloc(1, sizeof(*vdev) + config->num_queues * sizeof(vdev->queues[0]));
	if (!vdev)
		return -ENOMEM;
	vdev->config = *config;
	vdev->config.queue_sizes = NULL;
	pthread_mutex_init(&vdev->lock, NULL);
	pthread_cond_init(&vdev->idle, NULL);
	for (; made < config->num_queues; made++) {
		rc = vdev_queue_create(vdev, made, config->queue_sizes[made], config->loop);
		if (rc < 0)
			goto destroy_queues;
	}
	*ret = vdev;
	return 0;

destroy_queues:
	while (made)
		vdev_queue_destroy(&vdev->queues[--made], config->loop);
	pthread_cond_destroy(&vdev->idle);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev);
	return rc;
}

static bool in_flight(const struct virtio_device *vdev)
{
	for (unsigned int q = 0; q < vdev->config.num_queues; q++)
		if (virtqueue_in_flight(vdev->queues[q].vq))
			return true;
	return false;
}

static void reset(struct virtio_device *vdev)
{
	const bool was_running = vdev->running;

	vdev->resetting = true;
	vdev->running = false;
	if (was_running && vdev->config.ops->stop)
		vdev->config.ops->stop(vdev->config.opaque);
	vdev_queues_changed(vdev);
	while (in_flight(vdev))
		pthread_cond_wait(&vdev->idle, &vdev->lock);
	for (unsigned int q = 0; q < vdev->config.num_queues; q++) {
		virtqueue_disable(vdev->queues[q].vq);
		vdev_queue_default(&vdev->queues[q]);
	}
	vdev->driver_features = 0;
	vdev->status = 0;
	vdev->resetting = false;
	pthread_cond_broadcast(&vdev->idle);
}

void virtio_device_quiesce(struct virtio_device *vdev)
{
	virtio_device_lock(vdev);
	while (vdev->resetting)
		pthread_cond_wait(&vdev->idle, &vdev->lock);
	vdev->dead = true;
	reset(vdev);
	virtio_device_unlock(vdev);
}

void virtio_device_destroy(struct virtio_device *vdev)
{
	if (!vdev)
		return;
	virtio_device_quiesce(vdev);
	for (unsigned int q = vdev->config.num_queues; q--;)
		vdev_queue_destroy(&vdev->queues[q], vdev->config.loop);
	if (vdev->config.ops->destroy)
		vdev->config.ops->destroy(vdev->config.opaque);
	pthread_cond_destroy(&vdev->idle);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev);
}

/* Of the devices that keep chains, a disk and a directory alone are at work on them. */
static bool works_on_chains(const struct virtio_device *vdev)
{
	return vdev->config.id == VIRTIO_ID_BLOCK || vdev->config.id == VIRTIO_ID_FS;
}

void vdev_paused(struct virtio_device *vdev)
{
	if (!in_flight(vdev))
		pthread_cond_broadcast(&vdev->idle);
}

/* With the lock. */
static void begin_pause(struct virtio_device *vdev)
{
	vdev->paused = true;
	if (vdev->running && vdev->config.ops->pause)
		vdev->config.ops->pause(vdev->config.opaque);
}

void virtio_device_pause(struct virtio_device *vdev)
{
	virtio_device_lock(vdev);
	begin_pause(vdev);
	virtio_device_unlock(vdev);
}

bool virtio_device_wait_idle(struct virtio_device *vdev, uint64_t timeout_ns)
{
	struct timespec until;
	bool idle;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	timeout_ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(timeout_ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(timeout_ns % NSEC_PER_SEC);
	virtio_device_lock(vdev);
	while (!(idle = !works_on_chains(vdev) || !in_flight(vdev)) && !rc)
		rc = pthread_cond_clockwait(&vdev->idle, &vdev->lock, CLOCK_MONOTONIC, &until);
	virtio_device_unlock(vdev);
	return idle;
}

bool virtio_device_try_pause(struct virtio_device *vdev)
{
	bool idle;

	/* Handing requests to the host may hang, too, and that is done with the lock held. */
	if (!works_on_chains(vdev))
		virtio_device_lock(vdev);
	else if (pthread_mutex_trylock(&vdev->lock))
		return false;
	if (!vdev->paused)
		begin_pause(vdev);
	idle = !works_on_chains(vdev) || !in_flight(vdev);
	virtio_device_unlock(vdev);
	return idle;
}

void virtio_device_resume(struct virtio_device *vdev)
{
	/* Written by this thread alone; one that could not be paused may hold its lock for long. */
	if (!vdev->paused)
		return;
	virtio_device_lock(vdev);
	vdev->paused = false;
	/* What a device tried in vain while paused, it tries again with a kick. */
	for (unsigned int q = 0; q < vdev->config.num_queues; q++)
		if (virtio_device_queue_usable(vdev, q))
			virtio_device_kick_again(vdev, q);
	virtio_device_unlock(vdev);
}

void *virtio_device_opaque(const struct virtio_device *vdev)
{
	return vdev->config.opaque;
}

void virtio_device_rename(struct virtio_device *vdev, const char *name)
{
	vdev->config.name = name;
}

void virtio_device_lock(struct virtio_device *vdev)
{
	pthread_mutex_lock(&vdev->lock);
}

void virtio_device_unlock(struct virtio_device *vdev)
{
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_device_attach(
	struct virtio_device *vdev, const struct virtio_transport_ops *ops, void *opaque)
{
	virtio_device_lock(vdev);
	vdev->transport = ops;
	vdev->transport_opaque = opaque;
	virtio_device_unlock(vdev);
}

void vdev_queues_changed(struct virtio_device *vdev)
{
	if (vdev->transport)
		vdev->transport->queues_changed(vdev->transport_opaque);
}

/* No notification before DRIVER_OK (2.1.2), and none once a reset has begun (2.4.1). */
void vdev_config_irq(struct virtio_device *vdev)
{
	if (vdev->transport && (vdev->status & VIRTIO_STATUS_DRIVER_OK) && !vdev->resetting)
		vdev->transport->config_irq(vdev->transport_opaque);
}

enum virtio_id virtio_device_id(const struct virtio_device *vdev)
{
	return vdev->config.id;
}

const char *virtio_device_name(const struct virtio_device *vdev)
{
	return vdev->config.name;
}

unsigned int virtio_device_num_queues(const struct virtio_device *vdev)
{
	return vdev->config.num_queues;
}

uint32_t virtio_device_cfg_size(const struct virtio_device *vdev)
{
	return vdev->config.cfg_size;
}

struct log *virtio_device_log(const struct virtio_device *vdev)
{
	return vdev->config.log;
}

bool virtio_device_running(const struct virtio_device *vdev)
{
	return vdev->running;
}

static uint64_t offered(const struct virtio_device *vdev)
{
	const struct virtio_device_ops *ops = vdev->config.ops;

	return CORE_FEATURES | (ops->features ? ops->features(vdev->config.opaque) : 0);
}

static uint32_t word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

uint32_t virtio_device_offered_word(const struct virtio_device *vdev, uint32_t select)
{
	return word(offered(vdev), select);
}

uint32_t virtio_device_driver_word(const struct virtio_device *vdev, uint32_t select)
{
	return word(vdev->driver_features, select);
}

void virtio_device_set_driver_word(struct virtio_device *vdev, uint32_t select, uint32_t value)
{
	const unsigned int shift = 32 * (select & 1);

	/* 3.1.1: the choice is final once FEATURES_OK has been accepted. */
	if (select > 1 || vdev->resetting || (vdev->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	vdev->driver_features &= ~(UINT64_C(0xffffffff) << shift);
	vdev->driver_features |= (uint64_t)value << shift;
}

uint64_t virtio_device_negotiated(const struct virtio_device *vdev)
{
	return vdev->status & VIRTIO_STATUS_FEATURES_OK ? vdev->driver_features : 0;
}

/* 2.2.2 */
static bool features_acceptable(struct virtio_device *vdev)
{
	const struct virtio_device_ops *ops = vdev->config.ops;
	const uint64_t chosen = vdev->driver_features;

	if ((chosen & ~offered(vdev)) || !(chosen & VIRTIO_F_VERSION_1))
		return false;
	return !ops->set_features || ops->set_features(vdev->config.opaque, chosen) >= 0;
}

static void start(struct virtio_device *vdev)
{
	const struct virtio_device_ops *ops = vdev->config.ops;
	int rc;

	if (!(vdev->status & VIRTIO_STATUS_FEATURES_OK)) {
		virtio_device_needs_reset(vdev, "DRIVER_OK before FEATURES_OK");
		return;
	}
	vdev->status |= VIRTIO_STATUS_DRIVER_OK;
	vdev->running = true;
	rc = ops->start ? ops->start(vdev->config.opaque) : 0;
	if (rc < 0) {
		vdev->running = false;
		virtio_device_needs_reset(vdev, "it does not start: %s", strerror(-rc));
		return;
	}
	vdev_queues_changed(vdev);
	for (unsigned int q = 0; q < vdev->config.num_queues; q++)
		vdev_queue_look(vdev, q);
}

uint8_t virtio_device_status(const struct virtio_device *vdev)
{
	return vdev->status;
}

bool virtio_device_set_status(struct virtio_device *vdev, uint8_t status)
{
	const uint8_t news = status & STATUS_DRIVER_BITS & (uint8_t)~vdev->status;

	if (!status) {
		if (!vdev->resetting)
			reset(vdev);
		while (vdev->resetting)
			pthread_cond_wait(&vdev->idle, &vdev->lock);
		return true;
	}
	if (vdev->resetting || vdev->dead)
		return false;
	vdev->status |=
		news & (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED);
	if ((news & VIRTIO_STATUS_FEATURES_OK) && features_acceptable(vdev))
		vdev->status |= VIRTIO_STATUS_FEATURES_OK;
	if (news & VIRTIO_STATUS_DRIVER_OK)
		start(vdev);
	return false;
}

uint32_t virtio_device_generation(const struct virtio_device *vdev)
{
	return vdev->generation;
}

/* How many of len bytes at off exist. */
static uint32_t cfg_bytes(const struct virtio_device *vdev, uint64_t off, unsigned int len)
{
	const uint32_t size = vdev->config.cfg_size;

	return off < size ? (uint32_t)MIN((uint64_t)len, size - off) : 0;
}

uint64_t virtio_device_cfg_load(struct virtio_device *vdev, uint64_t off, unsigned int len)
{
	const struct virtio_device_ops *ops = vdev->config.ops;
	const uint32_t bytes = cfg_bytes(vdev, off, len);
	uint8_t buf[8] = {0};
	uint64_t value;

	if (ops->cfg_read && bytes == len)
		ops->cfg_read(vdev->config.opaque, (uint32_t)off, buf, len);
	else if (ops->cfg_read)
		for (uint32_t i = 0; i < bytes; i++)
			ops->cfg_read(vdev->config.opaque, (uint32_t)off + i, &buf[i], 1);
	memcpy(&value, buf, sizeof(value));
	return le64toh(value);
}

void virtio_device_cfg_store(
	struct virtio_device *vdev, uint64_t off, unsigned int len, uint64_t value)
{
	const struct virtio_device_ops *ops = vdev->config.ops;
	const uint32_t bytes = cfg_bytes(vdev, off, len);
	uint8_t buf[8];

	if (vdev->resetting)
		return;
	value = htole64(value);
	memcpy(buf, &value, sizeof(buf));
	if (ops->cfg_write && bytes == len)
		ops->cfg_write(vdev->config.opaque, (uint32_t)off, buf, len);
	else if (ops->cfg_write)
		for (uint32_t i = 0; i < bytes; i++)
			ops->cfg_write(vdev->config.opaque, (uint32_t)off + i, &buf[i], 1);
}

void virtio_device_config_changed(struct virtio_device *vdev)
{
	vdev->generation++;
	vdev_config_irq(vdev);
}

static void PRINTF_LIKE(2, 0)
	vneeds_reset(struct virtio_device *vdev, const char *fmt, va_list args)
{
	char text[160];

	vsnprintf(text, sizeof(text), fmt, args);
	log_limited(vdev->config.log, &vdev->limit, LOG_WARN, "%s: needs a reset: %s",
		vdev->config.name, text);
	if (vdev->resetting || (vdev->status & VIRTIO_STATUS_NEEDS_RESET))
		return;
	log_notice(vdev->config.log, NOTICE_DEVICE_FAILED, vdev->config.name, text);
	vdev->status |= VIRTIO_STATUS_NEEDS_RESET;
	vdev_config_irq(vdev);
}

void virtio_device_needs_reset(struct virtio_device *vdev, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vneeds_reset(vdev, fmt, args);
	va_end(args);
}

void virtio_device_queue_error(struct virtio_device *vdev, unsigned int q, const char *fmt, ...)
{
	va_list args;

	virtqueue_fail(vdev->queues[q].vq, "refused by the device");
	va_start(args, fmt);
	vneeds_reset(vdev, fmt, args);
	va_end(args);
}
