/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X against a model that keeps the table as bytes and derives everything else from them: table
 * and pending bits read back, messages sent, what the route ops believe. Eleven input bytes a step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/msix.h"
#include "devices/pci/pci.h"

#include "../unit/fakes/check.h"

enum { VECTORS = 9, TABLE = 0x20, PBA = 0x100, BAR_SIZE = 0x200, CAP = 0x40, STEP = 11 };

struct state {
	struct pci_function fn;
	struct msix *msix;
	/* the model */
	uint8_t table[VECTORS * MSIX_ENTRY_SIZE];
	bool pending[VECTORS];
	unsigned int expected; /* messages */
	/* what was seen */
	unsigned int sent, uncommitted;
	bool routed[VECTORS];
	struct msix_message route[VECTORS];
	bool signalled[VECTORS];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool enabled(const struct state *s)
{
	return s->fn.cfg[CAP + 3] & 0x80;
}

static struct msix_message message(const struct state *s, unsigned int v)
{
	const uint8_t *e = s->table + v * MSIX_ENTRY_SIZE;

	return (struct msix_message){
		.addr = pci_get32(e) | (uint64_t)pci_get32(e + 4) << 32, .data = pci_get32(e + 8)};
}

static bool live(const struct state *s, unsigned int v)
{
	return (s->fn.cfg[CAP + 3] & 0xc0) == 0x80 && (s->fn.cfg[4] & 4) &&
	       !(s->table[v * MSIX_ENTRY_SIZE + 12] & 1);
}

static void send(void *opaque, uint64_t addr, uint32_t data)
{
	struct state *s = opaque;

	CHECK(!(addr & 3));
	for (unsigned int v = 0; v < VECTORS; v++) {
		struct msix_message msg = message(s, v);

		if (live(s, v) && msg.addr == addr && msg.data == data) {
			s->sent++;
			return;
		}
	}
	CHECK(!"a message of no live vector");
}

static void changed(void *opaque, unsigned int v, const struct msix_message *msg)
{
	struct state *s = opaque;

	CHECK(v < VECTORS);
	CHECK(msg || s->routed[v]);
	s->routed[v] = msg;
	if (msg)
		s->route[v] = *msg;
	s->uncommitted++;
}

static void commit(void *opaque)
{
	struct state *s = opaque;

	CHECK(s->uncommitted);
	s->uncommitted = 0;
}

static bool take_pending(void *opaque, unsigned int v)
{
	struct state *s = opaque;
	bool was = s->signalled[v];

	s->signalled[v] = false;
	return was;
}

static const struct msix_route_ops route_ops = {
	.changed = changed, .commit = commit, .take_pending = take_pending};

/* After the model's registers have changed: what pended and has become live is sent. */
static void settle(struct state *s)
{
	for (unsigned int v = 0; v < VECTORS; v++) {
		if (!enabled(s) || (live(s, v) && s->pending[v])) {
			s->expected += enabled(s);
			s->pending[v] = false;
		}
	}
}

static void write_cfg(struct state *s, const uint8_t *in)
{
	const uint8_t old = s->fn.cfg[CAP + 3];
	const bool was_enabled = enabled(s);

	if (in[1] & 1)
		s->fn.cfg[CAP + 3] = (uint8_t)((old & 0x3f) | (in[2] & 0xc0));
	else
		s->fn.cfg[4] = in[2];
	/* a signal taken while turning live joins what pends, one from when it was off is lost */
	for (unsigned int v = 0; v < VECTORS; v++)
		if (s->signalled[v] && !s->routed[v])
			s->pending[v] |= was_enabled && live(s, v);
	settle(s);
	msix_cfg_write(s->msix);
}

static void write_bar(struct state *s, const uint8_t *in)
{
	const unsigned int size = 1U << (in[1] & 3);
	const uint64_t off = (in[2] | (in[1] & 4) << 6) % (BAR_SIZE + 8), at = off - TABLE;
	uint64_t value;

	memcpy(&value, in + 3, sizeof(value));
	if (size >= 4 && !(at % size) && range_ok(at, size, sizeof(s->table))) {
		const unsigned int v = (unsigned int)(at / MSIX_ENTRY_SIZE);

		memcpy(s->table + at, &value, size);
		s->table[v * MSIX_ENTRY_SIZE] &= 0xfc;
		s->table[v * MSIX_ENTRY_SIZE + 12] &= 1;
		memset(s->table + v * MSIX_ENTRY_SIZE + 13, 0, 3);
		if (live(s, v) && !s->routed[v])
			s->pending[v] |= s->signalled[v];
		settle(s);
	}
	msix_write(s->msix, off, size, value);
}

static void raise(struct state *s, const uint8_t *in)
{
	const unsigned int v = (unsigned int)(in[1] | in[2] << 8);

	if (v < VECTORS && live(s, v))
		s->expected++;
	else if (v < VECTORS && enabled(s))
		s->pending[v] = true;
	msix_raise(s->msix, v);
}

/* Bytes the guest sees: the model's table, its pending bits, zeros. */
static uint8_t model_byte(const struct state *s, uint64_t off)
{
	uint8_t byte = 0;

	if (off - TABLE < sizeof(s->table))
		return s->table[off - TABLE];
	if (off - PBA < 8)
		for (unsigned int v = (unsigned int)(off - PBA) * 8, bit = 0;
			bit < 8 && v + bit < VECTORS; bit++)
			byte |= (uint8_t)(s->pending[v + bit] << bit);
	return byte;
}

static void read_bar(struct state *s, const uint8_t *in)
{
	const unsigned int size = 1U << (in[1] & 3);
	const uint64_t off = (in[2] | (in[1] & 4) << 6) % (BAR_SIZE + 8);
	uint64_t value;

	for (unsigned int v = 0; v < VECTORS; v++) /* looking takes what was signalled */
		if (enabled(s) && !live(s, v) && s->signalled[v] &&
			ranges_overlap(off, size, PBA + v / 8, 1))
			s->pending[v] = true;
	value = msix_read(s->msix, off, size);
	for (unsigned int i = 0; i < size; i++)
		CHECK((uint8_t)(value >> (8 * i)) == model_byte(s, off + i));
	CHECK(!(value & ~size_mask(size)));
}

static void compare(const struct state *s)
{
	CHECK(s->sent == s->expected && !s->uncommitted);
	CHECK(msix_enabled(s->msix) == enabled(s));
	for (unsigned int v = 0; v < VECTORS + 2; v++) {
		struct msix_message msg, model = {0};
		bool is = msix_message(s->msix, v, &msg);

		CHECK(is == (v < VECTORS && live(s, v)));
		if (v >= VECTORS)
			continue;
		CHECK(s->routed[v] == is);
		model = message(s, v);
		if (is)
			CHECK(msg.addr == model.addr && msg.data == model.data &&
				s->route[v].addr == model.addr && s->route[v].data == model.data);
	}
}

static void set_up(struct state *s)
{
	static const struct pci_ids ids = {.vendor = 0x1af4};
	static const struct bus_ops no_ops = {0};
	struct msix_config config = {.fn = &s->fn,
		.num_vectors = VECTORS,
		.table_off = TABLE,
		.pba_off = PBA,
		.sink = {.send = send, .opaque = s},
		.routes = &route_ops,
		.routes_opaque = s};

	memset(s, 0, sizeof(*s));
	pci_function_init(&s->fn, &ids, true);
	pci_function_bar(&s->fn, 0, PCI_BAR_MEM32, false, BAR_SIZE, &no_ops, NULL);
	CHECK(!msix_create(&config, &s->msix));
	CHECK(s->fn.cfg[0x34] == CAP);
	for (unsigned int v = 0; v < VECTORS; v++)
		s->table[v * MSIX_ENTRY_SIZE + 12] = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s;

	set_up(&s);
	for (; size >= STEP; data += STEP, size -= STEP) {
		switch (data[0] % 6) {
		case 0:
			write_cfg(&s, data);
			break;
		case 1:
			raise(&s, data);
			break;
		case 2:
			read_bar(&s, data);
			break;
		case 3:
			s.signalled[data[1] % VECTORS] = true;
			break;
		default:
			write_bar(&s, data);
			break;
		}
		compare(&s);
	}
	msix_destroy(s.msix);
	return 0;
}
