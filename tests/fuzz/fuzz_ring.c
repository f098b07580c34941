/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring whose other side writes anything anywhere: positions, flags, lengths, at any moment
 * between two calls of ours. The memory is exactly as long as it must be, so that a byte too far is
 * seen.
 *
 * The input is a program: an operation, then its operands. Oracles: records lie inside the ring and
 * are no longer than was agreed; a broken ring stays one, and has neither records nor room; what
 * nobody has tampered with comes out as it went in.
 */
#include <stdlib.h>
#include <string.h>

#include "vm/helper/ring.h"

#include "../unit/fakes/check.h"

enum { SIZE = 256, MAX_RECORD = 96, MAX_STEPS = 2000 };

static const uint8_t *at, *end;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t take(void)
{
	return at < end ? *at++ : 0;
}

static uint32_t take32(void)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | take();
	return value;
}

static void produce(struct ring_producer *p, uint32_t len)
{
	const bool was_broken = p->broken;
	uint8_t *to = ring_reserve(p, len);

	if (!to)
		return;
	CHECK(!was_broken && len <= SIZE / 2);
	CHECK(to >= p->data && to + len <= p->data + SIZE);
	memset(to, (int)len, len);
	ring_commit(p);
}

static void consume(struct ring_consumer *c, bool tampered)
{
	const bool was_broken = c->broken;
	uint32_t len, sum = 0;
	const uint8_t *from = ring_peek(c, &len);

	if (!from)
		return;
	CHECK(!was_broken && !c->broken && len <= MAX_RECORD);
	CHECK(from >= c->data && from + len <= c->data + SIZE);
	for (uint32_t i = 0; i < len; i++) {
		sum += from[i];
		CHECK(tampered || from[i] == len);
	}
	CHECK(sum <= 255 * MAX_RECORD);
	ring_pop(c);
}

static void tamper(uint8_t *memory)
{
	struct ring_shared *shared = (void *)memory;

	switch (take() % 6) {
	case 0:
		atomic_store(&shared->tail, take32());
		break;
	case 1:
		atomic_store(&shared->head, take32());
		break;
	case 2:
		atomic_fetch_add(&shared->tail, take());
		break;
	case 3:
		atomic_fetch_add(&shared->head, take());
		break;
	case 4:
		atomic_store(
			take() % 2 ? &shared->producer_waits : &shared->consumer_waits, take32());
		break;
	default: {
		const uint32_t value = take() % 2 ? UINT32_MAX : take32();

		memcpy(memory + sizeof(*shared) + take() % (SIZE / 8) * 8, &value, sizeof(value));
		break;
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *memory = aligned_alloc(64, ring_memory(SIZE));
	struct ring_producer p;
	struct ring_consumer c;
	bool tampered = false;

	CHECK(memory != NULL);
	at = data;
	end = data + size;
	memset(memory, 0, ring_memory(SIZE));
	ring_reset(memory);
	ring_producer_init(&p, memory, SIZE);
	ring_consumer_init(&c, memory, SIZE, MAX_RECORD);
	p.tail = c.head = take32() & ~7u;
	atomic_store(&p.shared->tail, p.tail);
	atomic_store(&p.shared->head, p.tail);
	for (unsigned int n = 0; n < MAX_STEPS && at < end; n++) {
		switch (take() % 8) {
		case 0:
		case 1:
			produce(&p, take() % (MAX_RECORD + 1));
			break;
		case 2:
		case 3:
			consume(&c, tampered);
			break;
		case 4:
			CHECK(ring_used(&p) <= SIZE);
			ring_wait_room(&p);
			ring_wait_taken(&p, take());
			break;
		case 5:
			ring_wait_record(&c);
			break;
		case 6:
			if (take() % 4 == 0)
				ring_skip(&c);
			break;
		default:
			tampered = true;
			tamper(memory);
			break;
		}
		CHECK(tampered || !(p.broken || c.broken));
	}
	free(memory);
	return 0;
}
