/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that the guest gives back: named by number in an array (inflate), or described as the
 * buffers of a chain (reporting).
 *
 * They are discarded between the arrival of the chain that names them and its use, while they are
 * the device's, and never later (5.5.6.2, 5.5.6.7.2). That is why MUST_TELL_HOST is not needed.
 * Poison (5.5.6.7.2): a reported page must keep its value, which a discarded one does only if that
 * is 0. A page of the balloon is initialized by the driver anyway (5.5.6.6.1).
 *
 * What one chain names has no bound, so a pass over a queue has one: a chain whose pass has cost
 * enough is held, and gone on with at the next kick, which we arrange for. Neighbouring pages
 * become one discard. Drivers tend to name them in rising or falling order; for others there is no
 * sorting.
 *
 * A page outside RAM is passed over, with a line in the log: it does nothing to anyone. So are odd
 * bytes behind an array. Which pages are in the balloon is not recorded; who names one twice has it
 * discarded twice.
 */
#include <endian.h>
#include <string.h>

#include "balloon_private.h"
#include "vm/core/guest_mem.h"

enum {
	PAGE = VIRTIO_BALLOON_PAGE,
	PFNS_AT_ONCE = 256,
	/* What a pass may cost: a page counts 1, a system call as much as so many pages. */
	PASS_COST = VIRTIO_BALLOON_PASS_BYTES / PAGE,
	CALL_COST = 32,
};

/* Discards what are whole pages of the host in [p, p + len), which is guest RAM. */
static void discard(struct virtio_balloon *b, uint8_t *p, size_t len)
{
	const size_t page = b->config.page_size;
	const size_t lead = ALIGN_UP((uintptr_t)p, page) - (uintptr_t)p;
	int rc;

	if (len < lead + page)
		return;
	len = ALIGN_DOWN(len - lead, page);
	b->cost += CALL_COST + len / PAGE;
	rc = b->config.discard(b->config.opaque, p + lead, len);
	if (rc < 0)
		log_limited(b->config.log, &b->limit, LOG_WARN, "%s: cannot give memory back: %s",
			b->config.name, strerror(-rc));
}

/* The next few pages of an array. */
static void inflate(struct virtio_balloon *b, struct virtq_cursor *cursor)
{
	uint32_t pfns[PFNS_AT_ONCE];
	const size_t n = virtq_read(cursor, pfns, sizeof(pfns)) / sizeof(pfns[0]);
	uint8_t *start = NULL, *end = NULL; /* neighbours, not discarded yet */
	unsigned int outside = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t *p = guest_mem_ptr(b->config.mem, (uint64_t)le32toh(pfns[i]) * PAGE, PAGE);

		if (!p) {
			outside++;
		} else if (p == end) {
			end += PAGE;
		} else if (p + PAGE == start) {
			start = p;
		} else if (p < start || p >= end) {
			discard(b, start, (size_t)(end - start));
			start = p;
			end = p + PAGE;
		}
	}
	discard(b, start, (size_t)(end - start));
	b->cost += n;
	if (outside)
		log_limited(b->config.log, &b->limit, LOG_WARN,
			"%s: %u pages for the balloon are not RAM", b->config.name, outside);
}

/* The next buffer, or a part of it. */
static void report(struct virtio_balloon *b, struct virtq_cursor *cursor)
{
	struct iovec iov;
	int n;

	virtq_iov(cursor, VIRTIO_BALLOON_PASS_BYTES, &iov, 1, &n);
	b->cost++;
	if (balloon_get_cfg(b, BALLOON_CFG_POISON_VAL) == 0)
		discard(b, iov.iov_base, iov.iov_len);
}

/*
 * Goes on with the chain held in q, if there is one. False when that takes another pass, which is
 * arranged for.
 */
static bool go_on(struct virtio_balloon *b, unsigned int q)
{
	struct balloon_held *held = &b->held[q];

	if (!held->chain)
		return true;
	while (held->cursor.left) {
		if (b->cost >= PASS_COST) {
			virtio_device_kick_again(b->vdev, q);
			return false;
		}
		if (q == BALLOON_Q_INFLATE)
			inflate(b, &held->cursor);
		else
			report(b, &held->cursor);
	}
	virtio_device_push(b->vdev, q, held->chain, 0);
	held->chain = NULL;
	return true;
}

static bool take(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_balloon *b = opaque;

	b->held[q].chain = chain;
	b->held[q].cursor = q == BALLOON_Q_INFLATE ? virtq_reader(chain) : virtq_writer(chain);
	return go_on(b, q);
}

void balloon_pages_kick(struct virtio_balloon *b, unsigned int q)
{
	b->cost = 0;
	if (go_on(b, q))
		virtio_device_process(b->vdev, q, take);
}
