/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device over a disk that finishes requests when the input says so. The input is a list of
 * steps, eight bytes each: requests that are right or nearly right, in any framing; descriptors
 * that are anything; completions in any order, failing or not; the configuration space; changes of
 * requests in flight; resets, with requests in flight as well; disks that change their size.
 *
 * Oracles. The back end ends the run over a write to a read-only disk, a request twice, iovecs that
 * do not make up the length; no request may reach it that does not lie inside the disk; writes are
 * stable ones exactly where the driver cannot flush. Each head comes back once. used.len is at most
 * what could be written, and covers what was written and nothing else; what is readable is left
 * alone. As long as neither the driver nor the disk does anything strange, each status is foretold,
 * and as many requests as it takes reach the disk. When all is finished nothing is missing. A reset
 * brings all registers back.
 */
#include <errno.h>
#include <string.h>

#include "virtio/blk/blk.h"
#include "virtio/transport.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/virtio/blk/virtio_blk_fake.c"
#include "../unit/virtio/blk/virtio_blk_guest.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_STEPS = 300, CFG = 60, WRITEBACK = 32 };

#define F_FLUSH	     VIRTIO_BIT(9)
#define F_CONFIG_WCE VIRTIO_BIT(11)

/* All registers, one after the other, but the capacity: that is the disk's. */
struct image {
	uint64_t value[5 + CFG + 4 * VBG_QUEUES];
};

struct state {
	struct vbg guest;
	struct vbf *disk;
	struct virtio_device *vdev;
	struct image image;
	uint8_t chosen; /* features, from the input */
	bool resetting;
	unsigned int config_irqs;
	unsigned int logged; /* requests that have reached the disk */
};

/* ---- the transport ---- */

static void queue_irq(void *opaque, unsigned int q)
{
	const struct state *s = opaque;

	CHECK(q < VBG_QUEUES && !s->resetting);
}

static void config_irq(void *opaque)
{
	struct state *s = opaque;

	CHECK(!s->resetting);
	s->config_irqs++;
}

/* A reset waits for what is in flight: the disk gets to it now. The device's lock is held. */
static void queues_changed(void *opaque)
{
	struct state *s = opaque;

	if (s->resetting)
		blk_drain(&s->disk->blk);
}

static const struct virtio_transport_ops transport = {
	.queue_irq = queue_irq, .config_irq = config_irq, .queues_changed = queues_changed};

/* ---- the driver ---- */

static uint64_t features(const struct state *s)
{
	uint64_t f = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_RING_RESET;

	for (unsigned int bit = 0; bit < 6; bit++)
		if (s->chosen & 1u << bit)
			f |= VIRTIO_BIT(9 + bit);
	return f | (s->chosen & 0x80 ? VIRTIO_F_EVENT_IDX : 0);
}

static void enable_queue(struct state *s, unsigned int q)
{
	struct virtqueue_layout *regs = virtio_device_queue_edit(s->vdev, q);

	CHECK(regs);
	*regs = vbg_new_rings(&s->guest, q);
	virtio_device_queue_enable(s->vdev, q);
	CHECK(virtio_device_queue_enabled(s->vdev, q));
}

/* The lock is held, in what follows as well. */
static void start_device(struct state *s)
{
	const uint64_t want =
		features(s) & (virtio_device_offered_word(s->vdev, 0) |
				      (uint64_t)virtio_device_offered_word(s->vdev, 1) << 32);

	virtio_device_set_status(s->vdev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	virtio_device_set_driver_word(s->vdev, 0, (uint32_t)want);
	virtio_device_set_driver_word(s->vdev, 1, (uint32_t)(want >> 32));
	virtio_device_set_status(s->vdev, VIRTIO_STATUS_FEATURES_OK);
	CHECK(virtio_device_status(s->vdev) & VIRTIO_STATUS_FEATURES_OK);
	for (unsigned int q = 0; q < VBG_QUEUES; q++)
		enable_queue(s, q);
	virtio_device_set_status(s->vdev, VIRTIO_STATUS_DRIVER_OK);
	CHECK(virtio_device_running(s->vdev));
	CHECK(virtio_device_cfg_load(s->vdev, WRITEBACK, 1) ==
		(s->disk->blk.info.write_cache && (want & F_FLUSH)));
	s->guest.features = want;
	s->guest.sectors = virtio_device_cfg_load(s->vdev, 0, 8);
	s->guest.loose = false;
	s->guest.exact = !s->disk->error;
	s->guest.started = s->logged = 0;
}

static void take_image(struct state *s, struct image *image)
{
	uint64_t *v = image->value;

	for (unsigned int i = 0; i < 2; i++) {
		*v++ = virtio_device_offered_word(s->vdev, i);
		*v++ = virtio_device_driver_word(s->vdev, i);
	}
	*v++ = virtio_device_status(s->vdev);
	for (unsigned int i = 8; i < CFG; i++)
		*v++ = virtio_device_cfg_load(s->vdev, i, 1);
	for (unsigned int q = 0; q < VBG_QUEUES; q++) {
		const struct virtqueue_layout *regs = virtio_device_queue(s->vdev, q);

		*v++ = regs->size;
		*v++ = regs->desc;
		*v++ = regs->avail;
		*v++ = regs->used;
	}
}

static void reset_device(struct state *s)
{
	struct image now = {0};

	s->resetting = true;
	virtio_device_set_status(s->vdev, 0);
	s->resetting = false;
	CHECK(!vbf_in_flight(s->disk));
	take_image(s, &now);
	CHECK(!memcmp(&now, &s->image, sizeof(now)));
}

/* What has reached the disk since. */
static void check_log(struct state *s, bool stable)
{
	CHECK(!s->disk->beyond);
	CHECK(s->disk->num_log <= VBF_LOG);
	for (unsigned int i = 0; i < s->disk->num_log; i++) {
		const struct vbf_entry *e = &s->disk->log[i];

		if (e->op == BLK_WRITE || e->op == BLK_WRITE_ZEROES)
			CHECK(!!(e->flags & BLK_FUA) == stable);
	}
	s->logged += s->disk->num_log;
	s->disk->num_log = 0;
}

static bool writes_are_stable(struct state *s)
{
	return !(virtio_device_negotiated(s->vdev) & F_FLUSH) ||
	       !virtio_device_cfg_load(s->vdev, WRITEBACK, 1);
}

static void check_all(struct state *s)
{
	for (unsigned int q = 0; q < VBG_QUEUES; q++)
		vbg_take_used(&s->guest, q);
	check_log(s, writes_are_stable(s));
}

/* ---- steps ---- */

static void configure(struct state *s, const uint8_t *op)
{
	const uint64_t before = virtio_device_cfg_load(s->vdev, WRITEBACK, 1);
	uint64_t value;

	memcpy(&value, op, sizeof(value));
	virtio_device_lock(s->vdev);
	if (op[1] & 1)
		virtio_device_cfg_store(s->vdev, WRITEBACK, 1, op[2] & 1);
	else
		virtio_device_cfg_store(s->vdev, op[2] % (CFG + 8), 1u << op[3] % 4, value);
	value = virtio_device_cfg_load(s->vdev, WRITEBACK, 1);
	CHECK(value == before || (s->guest.features & F_CONFIG_WCE));
	virtio_device_cfg_load(s->vdev, op[2] % (CFG + 8), 1u << op[3] % 4);
	virtio_device_unlock(s->vdev);
}

static void reset_queue(struct state *s, unsigned int q)
{
	vbf_finish_all(s->disk);
	vbg_take_used(&s->guest, q);
	virtio_device_lock(s->vdev);
	virtio_device_queue_disable(s->vdev, q, true);
	enable_queue(s, q);
	virtio_device_unlock(s->vdev);
}

static void restart(struct state *s, uint8_t chosen)
{
	const bool stable = writes_are_stable(s);

	virtio_device_lock(s->vdev);
	reset_device(s);
	check_log(s, stable);
	s->chosen = chosen;
	start_device(s);
	virtio_device_unlock(s->vdev);
}

static void resize(struct state *s, uint32_t sectors)
{
	const unsigned int before = s->config_irqs;

	vbf_resize(s->disk, (uint64_t)sectors * BLK_SECTOR);
	CHECK(s->config_irqs == before + 1);
	CHECK(virtio_device_cfg_load(s->vdev, 0, 8) == sectors);
	vbg_resized(&s->guest, sectors);
}

static void step(struct state *s, const uint8_t *op)
{
	const unsigned int n = vbf_in_flight(s->disk);

	switch (op[0] % 16) {
	default:
		vbg_send(&s->guest, op);
		if (op[0] & 0x80)
			virtio_device_notify(s->vdev, op[1] & 1);
		break;
	case 5:
		vbg_send_wild(&s->guest, op);
		break;
	case 6:
	case 7:
		virtio_device_notify(s->vdev, op[1] % (VBG_QUEUES + 1));
		break;
	case 8:
	case 9:
		s->guest.exact &= !(op[2] & 1);
		if (n)
			vbf_finish(s->disk, op[1] % n, op[2] & 1 ? -EIO : 0,
				op[3] | (op[4] & 7u) << 8);
		break;
	case 10:
		configure(s, op);
		break;
	case 11:
		vbg_poke(&s->guest, op);
		break;
	case 12:
		restart(s, op[1]);
		break;
	case 13:
		reset_queue(s, op[1] & 1);
		break;
	case 14:
		resize(s, op[1] & 2 ? 1u << 18 : op[1] & 1 ? op[2] : VBF_SECTORS + op[2]);
		break;
	case 15:
		s->disk->hold = op[1] & 1;
		s->disk->failing_op = op[2] % BLK_NUM_OPS;
		s->disk->error = op[3] & 1 ? -EIO : 0;
		s->disk->moved = op[4] * 8u;
		s->guest.exact &= !s->disk->error;
		break;
	}
	check_all(s);
}

/* ---- life ---- */

static void set_up(struct state *s, uint8_t a, uint8_t chosen)
{
	struct virtio_blk_config config = {
		.name = "fuzz", .serial = "fuzz", .num_queues = VBG_QUEUES};

	config.queue_size = a & 32 ? 64 : a & 64 ? 16 : 4;
	vbg_create(&s->guest, config.queue_size);
	s->disk = vbf_create(VBF_BYTES, (a & 7) == 7, a & 8);
	s->disk->hold = a & 16;
	s->guest.read_only = s->disk->blk.info.read_only;
	config.mem = s->guest.mem;
	config.blk = &s->disk->blk;
	CHECK(virtio_blk_create(&config, &s->vdev) == 0);
	virtio_device_attach(s->vdev, &transport, s);
	virtio_device_lock(s->vdev);
	take_image(s, &s->image);
	s->chosen = chosen;
	start_device(s);
	virtio_device_unlock(s->vdev);
}

/* Nothing that was sent got lost. */
static void settle(struct state *s)
{
	for (unsigned int q = 0; q < VBG_QUEUES; q++)
		virtio_device_notify(s->vdev, q);
	vbf_finish_all(s->disk);
	check_all(s);
	for (unsigned int q = 0; q < VBG_QUEUES; q++)
		CHECK(!virtio_device_queue_usable(s->vdev, q) || !vbg_busy(&s->guest, q));
	CHECK(!s->guest.exact || s->logged == s->guest.started);
}

static void tear_down(struct state *s)
{
	virtio_device_lock(s->vdev);
	reset_device(s);
	virtio_device_unlock(s->vdev);
	virtio_device_destroy(s->vdev);
	blk_close(&s->disk->blk);
	vbg_destroy(&s->guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *s;

	if (size < 2 + VBG_STEP)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	set_up(s, data[0], data[1]);
	for (size_t i = 2, n = 0; i + VBG_STEP <= size && n < MAX_STEPS; i += VBG_STEP, n++)
		step(s, data + i);
	settle(s);
	tear_down(s);
	free(s);
	return 0;
}
