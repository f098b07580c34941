/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_blk_guest.h"

#include <string.h>

#include "virtio/blk/blk.h"
#include "virtio/device.h"
#include "virtio_blk_fake.h"
#include "vm/core/guest_mem.h"

enum {
	POISON = 0xfe, /* never on the disk */
	MAX_PIECES = 16,
	NEXT = 1,
	WRITE = 2,
	INDIRECT = 4,

	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,

	S_OK = 0,
	S_IOERR = 1,
	S_UNSUPP = 2,
};

static void put(struct vbg *g, uint64_t at, uint64_t value, unsigned int size)
{
	memcpy(g->ram + at, &value, size);
}

static uint32_t get(struct vbg *g, uint64_t at, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, g->ram + at, size);
	return value;
}

static uint64_t ring(unsigned int q)
{
	return VBG_RINGS + (uint64_t)q * VBG_RING_SIZE;
}

static uint64_t buffer(unsigned int q, unsigned int i)
{
	return VBG_BUFFERS + (uint64_t)(q * VBG_SLOTS + i) * VBG_BUFFER_SIZE;
}

static void put_desc(struct vbg *g, uint64_t at, uint64_t addr, uint64_t len, unsigned int flags,
	unsigned int next)
{
	put(g, at, addr, 8);
	put(g, at + 8, len, 4);
	put(g, at + 12, flags, 2);
	put(g, at + 14, next, 2);
}

/* ---- requests ---- */

static struct vbg_slot *free_slot(struct vbg *g, unsigned int q, unsigned int *i)
{
	struct vbg_queue *queue = &g->queues[q];

	for (*i = 0; *i < VBG_SLOTS && (*i + 1) * queue->per_slot <= queue->size; ++*i)
		if (!queue->slots[*i].busy)
			return &queue->slots[*i];
	return NULL;
}

static void expose(struct vbg *g, unsigned int q, unsigned int head)
{
	struct vbg_queue *queue = &g->queues[q];

	put(g, ring(q) + VBG_AVAIL + 4 + 2 * (queue->avail % queue->size), head, 2);
	put(g, ring(q) + VBG_AVAIL + 2, ++queue->avail, 2);
}

/* Cuts [gpa, gpa + len) into at most most descriptors; returns how many. */
static unsigned int cut(struct vbg *g, uint64_t table, unsigned int first, uint64_t gpa,
	uint32_t len, unsigned int most, uint8_t how, unsigned int flags)
{
	unsigned int n = 0;

	for (uint32_t done = 0, piece; done < len; done += piece, n++) {
		piece = n + 1 == most ? len - done : MIN(1 + how * (n + 1u) % 600, len - done);
		put_desc(g, table + 16 * (first + n), gpa + done, piece, flags | NEXT,
			first + n + 1);
	}
	return n;
}

static void frame(struct vbg *g, unsigned int q, unsigned int i, const uint8_t *op)
{
	const struct vbg_queue *queue = &g->queues[q];
	const struct vbg_slot *slot = &queue->slots[i];
	const bool indirect = (op[7] & 1) && queue->size >= MAX_PIECES;
	const unsigned int room = indirect ? MAX_PIECES : queue->per_slot;
	const unsigned int base = i * queue->per_slot;
	uint64_t table = indirect ? VBG_TABLES + (q * VBG_SLOTS + i) * VBG_TABLE_SIZE : ring(q);
	unsigned int first = indirect ? 0 : base, n;
	const uint64_t gpa = buffer(q, i);

	n = cut(g, table, first, gpa, slot->num_out, slot->num_in ? room / 2 : room, op[6], 0);
	n += cut(g, table, first + n, gpa + slot->num_out, slot->num_in, room - n, op[7], WRITE);
	CHECK(n <= room);
	if (n) /* the last one has no next */
		g->ram[table + 16 * (first + n - 1) + 12] &= (uint8_t)~NEXT;
	else
		put_desc(g, table + 16 * first, gpa, 0, 0, 0);
	if (indirect)
		put_desc(g, ring(q) + 16 * base, table, 16 * MAX(n, 1u), INDIRECT, 0);
	expose(g, q, base);
}

static void put_ranges(struct vbg_slot *slot, const uint8_t *op)
{
	for (uint32_t at = VBG_HEADER, n = 0; at + 16 <= slot->num_out; at += 16, n++) {
		uint64_t sector = (op[4] + n * op[5]) % (VBF_SECTORS + 2);
		uint32_t num = op[5] % 9, flags = (op[4] >> 6) & 1;

		if (op[4] == 0xff)
			sector = UINT64_MAX - n % 4;
		if (op[5] == 0xff)
			flags = UINT32_C(1) << (op[2] + n) % 32;
		if (op[5] == 0xfe)
			num = VIRTIO_BLK_MAX_ZEROES + n % 2;
		memcpy(slot->out + at, &sector, 8);
		memcpy(slot->out + at + 8, &num, 4);
		memcpy(slot->out + at + 12, &flags, 4);
	}
}

/* op: -, queue and type, sector, length, and how it is cut. */
void vbg_send(struct vbg *g, const uint8_t *op)
{
	static const uint32_t types[] = {T_IN, T_OUT, T_IN, T_OUT, T_FLUSH, T_GET_ID, T_DISCARD,
		T_WRITE_ZEROES, 2, 0x80000000};
	const unsigned int q = op[1] & 1;
	const bool short_header = op[1] == 0xfe, no_status = op[1] == 0xff;
	uint32_t len = op[3] % 4 * 512;
	uint64_t sector = op[2] | (op[5] == 0xfe ? UINT64_MAX - 255 : 0);
	unsigned int i;
	struct vbg_slot *slot = free_slot(g, q, &i);

	if (!slot)
		return;
	memset(slot, 0, sizeof(*slot));
	slot->type = types[(op[1] >> 1) % ARRAY_SIZE(types)];
	if (slot->type == T_DISCARD || slot->type == T_WRITE_ZEROES)
		len = op[3] % 18 * 16;
	if (op[3] & 0x80) /* odd */
		len = (len + op[3]) % 1600;
	slot->num_out = short_header ? op[2] % VBG_HEADER : VBG_HEADER;
	slot->num_in = !no_status;
	memcpy(slot->out, &slot->type, 4);
	memcpy(slot->out + 8, &sector, 8);
	if (slot->type & 1) {
		slot->num_out += len;
		memset(slot->out + VBG_HEADER, op[4] == POISON ? 0 : op[4], len);
		if (slot->type != T_OUT)
			put_ranges(slot, op);
	} else if (!no_status) {
		slot->num_in += len;
	}
	slot->writable = slot->num_in;
	memcpy(g->ram + buffer(q, i), slot->out, slot->num_out);
	memset(g->ram + buffer(q, i) + slot->num_out, POISON, slot->num_in);
	slot->busy = true;
	frame(g, q, i, op);
}

/* Descriptors of any kind; what they write lands where nothing is checked. */
void vbg_send_wild(struct vbg *g, const uint8_t *op)
{
	const unsigned int q = op[1] & 1;
	unsigned int i;
	struct vbg_slot *slot = free_slot(g, q, &i);
	unsigned int base;

	if (!slot)
		return;
	memset(slot, 0, sizeof(*slot));
	base = i * g->queues[q].per_slot;
	for (unsigned int n = 0; n < 3; n++) {
		const uint8_t b = op[2 + n];
		const uint32_t len = b & 0x40 ? b & 31 : (b & 63) * 32u;
		const bool indirect = op[5] == 0xee && n == op[6] % 3, on = n < 2 || b == 0x7f;
		const unsigned int flags =
			(b & 0x80 ? WRITE : 0) | (on ? NEXT : 0) | (indirect ? INDIRECT : 0);
		uint64_t addr = VBG_WILD + (op[5] * 4u + n * op[6] * 2u) % 0x2000;

		if (op[7] == n)
			addr = VBG_MEM - (b & 3);
		put_desc(g, ring(q) + 16 * (base + n), addr, len, flags, base + n + 1);
		slot->writable += b & 0x80 ? len : 0;
		g->loose |= indirect || (on && n == 2);
	}
	g->loose |= op[6] == 0xfd;
	slot->busy = slot->wild = true;
	g->exact = false;
	expose(g, q, op[6] == 0xfd ? op[7] : base);
}

void vbg_poke(struct vbg *g, const uint8_t *op)
{
	const unsigned int q = op[1] & 1, i = op[2] % VBG_SLOTS;
	struct vbg_slot *slot = &g->queues[q].slots[i];
	const uint32_t at = op[3] | (op[4] & 1u) << 8;

	if (!slot->busy || slot->wild || at >= slot->num_out || (slot->out[at] ^ op[5]) == POISON)
		return;
	g->ram[buffer(q, i) + at] ^= op[5];
	slot->out[at] ^= op[5];
	/* too late, or not: who knows */
	slot->wild |= at < VBG_HEADER;
	g->exact &= at >= VBG_HEADER && slot->type == T_OUT;
}

void vbg_resized(struct vbg *g, uint64_t sectors)
{
	g->sectors = sectors;
	for (unsigned int q = 0; q < VBG_QUEUES; q++)
		g->exact &= !vbg_busy(g, q);
}

/* ---- checks ---- */

static uint8_t expect_range(const struct vbg *g, const struct vbg_slot *slot, const uint8_t *p)
{
	const bool zeroes = slot->type == T_WRITE_ZEROES;
	uint32_t num, flags;
	uint64_t sector;

	memcpy(&sector, p, 8);
	memcpy(&num, p + 8, 4);
	memcpy(&flags, p + 12, 4);
	if (flags > (zeroes ? 1 : 0))
		return S_UNSUPP;
	if (num > (zeroes ? VIRTIO_BLK_MAX_ZEROES : VIRTIO_BLK_MAX_DISCARD))
		return S_IOERR;
	return sector <= g->sectors && num <= g->sectors - sector ? S_OK : S_IOERR;
}

static uint8_t expect_ranges(const struct vbg *g, const struct vbg_slot *slot, unsigned int *disk)
{
	const unsigned int bytes = slot->num_out - VBG_HEADER;
	uint8_t status = S_OK;

	if (g->read_only)
		return S_IOERR;
	if (!(g->features & VIRTIO_BIT(slot->type == T_DISCARD ? 13 : 14)))
		return S_UNSUPP;
	if (!bytes || bytes % 16 || bytes / 16 > VIRTIO_BLK_MAX_RANGES)
		return S_IOERR;
	*disk = bytes / 16;
	for (unsigned int i = 0; i < *disk && status == S_OK; i++)
		status = expect_range(g, slot, slot->out + VBG_HEADER + 16 * (size_t)i);
	return status;
}

/* The status, and how many requests the disk gets. */
static uint8_t expect(const struct vbg *g, const struct vbg_slot *slot, unsigned int *disk)
{
	uint64_t sector, bytes = slot->num_in - 1;

	memcpy(&sector, slot->out + 8, 8);
	*disk = 1;
	switch (slot->type) {
	case T_OUT:
		bytes = slot->num_out - VBG_HEADER;
		if (g->read_only)
			return S_IOERR;
		/* fall through */
	case T_IN:
		if (bytes % 512 || sector > g->sectors || bytes / 512 > g->sectors - sector)
			return S_IOERR;
		return S_OK;
	case T_FLUSH:
		return S_OK;
	case T_GET_ID:
		*disk = 0;
		return S_OK;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		return expect_ranges(g, slot, disk);
	default:
		return S_UNSUPP;
	}
}

static void check_used(const struct vbg_slot *slot, uint8_t status, uint32_t used)
{
	const uint32_t bytes = slot->num_in - 1; /* without the status */

	switch (slot->type) {
	case T_IN:
		CHECK(status ? used <= bytes + 1 : used == bytes + 1);
		break;
	case T_GET_ID:
		CHECK(!status && used == (bytes > 20 ? 20 : bytes + 1));
		break;
	default:
		CHECK(used == (bytes ? 0 : 1));
	}
}

static void check_answer(struct vbg *g, unsigned int q, unsigned int i, uint32_t used)
{
	const struct vbg_slot *slot = &g->queues[q].slots[i];
	const uint8_t *out = g->ram + buffer(q, i), *in = out + slot->num_out;
	const uint8_t status = slot->num_in ? in[slot->num_in - 1] : POISON;
	unsigned int disk;

	CHECK(used <= slot->writable);
	if (slot->wild)
		return;
	CHECK(slot->num_in && slot->num_out >= VBG_HEADER);
	CHECK(!memcmp(out, slot->out, slot->num_out));
	CHECK(status <= S_UNSUPP);
	for (uint32_t k = 0; k < slot->num_in - 1; k++)
		CHECK((in[k] == POISON) == (k >= used));
	check_used(slot, status, used);
	if (!g->exact)
		return;
	CHECK(status == expect(g, slot, &disk));
	g->started += status == S_OK ? disk : 0;
}

void vbg_take_used(struct vbg *g, unsigned int q)
{
	struct vbg_queue *queue = &g->queues[q];

	while (!g->loose && (uint16_t)get(g, ring(q) + VBG_USED + 2, 2) != queue->used) {
		const uint64_t at = ring(q) + VBG_USED + 4 + 8 * (queue->used++ % queue->size);
		const uint32_t head = get(g, at, 4), i = head / queue->per_slot;

		CHECK(head < queue->size && !(head % queue->per_slot));
		CHECK(i < VBG_SLOTS && queue->slots[i].busy);
		check_answer(g, q, i, get(g, at + 4, 4));
		queue->slots[i].busy = false;
	}
}

bool vbg_busy(const struct vbg *g, unsigned int q)
{
	for (unsigned int i = 0; i < VBG_SLOTS && !g->loose; i++)
		if (g->queues[q].slots[i].busy)
			return true;
	return false;
}

/* ---- life ---- */

void vbg_create(struct vbg *g, uint16_t queue_size)
{
	CHECK(guest_mem_create(&g->mem) == 0);
	g->ram = aligned_alloc(4096, VBG_MEM);
	CHECK(g->ram);
	memset(g->ram, 0, VBG_MEM);
	CHECK(guest_mem_add(g->mem, 0, VBG_MEM, g->ram) == 0);
	for (unsigned int q = 0; q < VBG_QUEUES; q++) {
		g->queues[q].size = queue_size;
		g->queues[q].per_slot = queue_size == 64 ? 8 : 4;
	}
}

void vbg_destroy(struct vbg *g)
{
	guest_mem_destroy(g->mem);
	free(g->ram);
}

struct virtqueue_layout vbg_new_rings(struct vbg *g, unsigned int q)
{
	struct vbg_queue *queue = &g->queues[q];

	memset(g->ram + ring(q), 0, VBG_RING_SIZE);
	memset(queue->slots, 0, sizeof(queue->slots));
	queue->avail = queue->used = 0;
	return (struct virtqueue_layout){.size = queue->size,
		.desc = ring(q),
		.avail = ring(q) + VBG_AVAIL,
		.used = ring(q) + VBG_USED};
}
