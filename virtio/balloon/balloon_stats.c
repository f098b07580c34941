/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics (5.5.6.3), which are the wrong way round: the driver puts them into a buffer, makes it
 * available and waits; we keep it. Using it is the request for new ones. So whenever it is not
 * here, an answer is on its way, or the driver has not come that far yet.
 *
 * A timer asks every so often, while there are both a driver and somebody who wants to know.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "balloon_private.h"

enum {
	STAT_SIZE = 10,	      /* le16 tag, le64 value */
	STATS_LOOKED_AT = 64, /* entries; what is behind them in a longer buffer is left alone */
};

/* In any order, any subset, tags that we do not know among them; a later one counts. */
static void parse(struct virtio_balloon_stats *stats, const struct virtq_chain *chain)
{
	uint8_t buf[STATS_LOOKED_AT * STAT_SIZE];
	struct virtq_cursor cursor = virtq_reader(chain);
	const size_t len = virtq_read(&cursor, buf, sizeof(buf));
	uint64_t value;
	uint16_t tag;

	stats->valid = 0;
	for (size_t off = 0; off + STAT_SIZE <= len; off += STAT_SIZE) {
		memcpy(&tag, buf + off, sizeof(tag));
		memcpy(&value, buf + off + sizeof(tag), sizeof(value));
		tag = le16toh(tag);
		if (tag >= VIRTIO_BALLOON_NUM_STATS)
			continue;
		stats->valid |= 1u << tag;
		stats->value[tag] = le64toh(value);
	}
	stats->generation++;
}

static bool take(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_balloon *b = opaque;

	if (b->held[q].chain) {
		virtio_device_push(b->vdev, q, chain, 0);
		virtio_device_queue_error(b->vdev, q, "more than one statistics buffer");
		return false;
	}
	b->held[q].chain = chain;
	parse(&b->stats, chain);
	if (b->config.stats_changed)
		b->config.stats_changed(b->config.opaque);
	return true;
}

void balloon_stats_kick(struct virtio_balloon *b)
{
	virtio_device_process(b->vdev, BALLOON_Q_STATS, take);
}

static int ask(struct virtio_balloon *b)
{
	struct balloon_held *held = &b->held[BALLOON_Q_STATS];

	if (!balloon_negotiated(b, VIRTIO_BALLOON_F_STATS_VQ) ||
		!virtio_device_queue_usable(b->vdev, BALLOON_Q_STATS))
		return -EAGAIN;
	if (held->chain) {
		virtio_device_push(b->vdev, BALLOON_Q_STATS, held->chain, 0);
		held->chain = NULL;
		virtio_device_flush(b->vdev, BALLOON_Q_STATS);
	}
	return 0;
}

void balloon_stats_set_timer(struct virtio_balloon *b)
{
	const struct clock *clock = b->config.clock;

	if (b->interval_ns && virtio_device_running(b->vdev) &&
		balloon_negotiated(b, VIRTIO_BALLOON_F_STATS_VQ))
		clock_arm(clock, &b->timer, clock_monotonic_ns(clock) + b->interval_ns);
	else
		clock_disarm(clock, &b->timer);
}

/* Also after the last disarm, once: then there is nobody to ask, or nobody who wants to know. */
static void expired(void *opaque)
{
	struct virtio_balloon *b = opaque;

	virtio_device_lock(b->vdev);
	if (b->interval_ns)
		ask(b);
	balloon_stats_set_timer(b);
	virtio_device_unlock(b->vdev);
}

void balloon_stats_init(struct virtio_balloon *b)
{
	b->timer.fn = expired;
	b->timer.opaque = b;
}

int virtio_balloon_request_stats(struct virtio_balloon *balloon)
{
	int rc;

	virtio_device_lock(balloon->vdev);
	rc = ask(balloon);
	virtio_device_unlock(balloon->vdev);
	return rc;
}

void virtio_balloon_poll_stats(struct virtio_balloon *balloon, uint64_t interval_ns)
{
	virtio_device_lock(balloon->vdev);
	balloon->interval_ns = interval_ns;
	balloon_stats_set_timer(balloon);
	virtio_device_unlock(balloon->vdev);
}

void virtio_balloon_stats(struct virtio_balloon *balloon, struct virtio_balloon_stats *ret)
{
	virtio_device_lock(balloon->vdev);
	*ret = balloon->stats;
	virtio_device_unlock(balloon->vdev);
}
