/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vector's state is kept decoded, not as table bytes; table and pending bits are composed for a
 * read, byte by byte, so that no offset or size can reach past them.
 *
 * Whatever changes state (a table write, message control, the command register) ends in refresh(),
 * which compares each vector with what the route ops were told last, tells them about differences,
 * commits once, and only then sends what was pending: an interrupt that the kernel delivers from
 * then on cannot overtake it.
 */
#include "devices/pci/msix.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "devices/pci/pci.h"
#include "pci_private.h"

enum {
	CAP_ID = 0x11,
	CAP_LEN = 12,
	CAP_CONTROL = 2,
	CAP_TABLE = 4,
	CAP_PBA = 8,
	CONTROL_MASK_ALL = 1 << 14,
	CONTROL_ENABLE = 1 << 15,

	/* Double words of a table entry */
	ENTRY_ADDR_LO = 0,
	ENTRY_ADDR_HI,
	ENTRY_DATA,
	ENTRY_CONTROL,
};

struct vector {
	struct msix_message msg;
	bool masked; /* its own mask bit */
	bool pending;
	bool live;    /* as the route ops know it */
	bool fresh;   /* became live, and what pended has not been sent yet */
	bool touched; /* message written since then */
};

struct msix {
	struct pci_function *fn;
	uint8_t cap;
	unsigned int num_vectors;
	uint32_t table_off, pba_off;
	struct msi_sink sink;
	struct msix_route_ops routes;
	void *routes_opaque;

	pthread_mutex_t lock; /* guards all below */
	bool enabled;	      /* message control */
	bool open;	      /* enabled, not masked as a whole, bus mastering on */
	struct vector vectors[];
};

uint32_t msix_table_size(unsigned int num_vectors)
{
	return num_vectors * MSIX_ENTRY_SIZE;
}

uint32_t msix_pba_size(unsigned int num_vectors)
{
	return (uint32_t)ALIGN_UP(num_vectors, 64) / 8;
}

/* Tells the route ops about vectors [from, to). */
static bool tell_routes(struct msix *msix, unsigned int from, unsigned int to)
{
	bool any = false;

	for (unsigned int i = from; i < to; i++) {
		struct vector *v = &msix->vectors[i];
		const bool live = msix->open && !v->masked;

		if (live == v->live && !(live && v->touched))
			continue;
		v->fresh = live && !v->live;
		v->live = live;
		v->touched = false;
		any = true;
		if (msix->routes.changed)
			msix->routes.changed(msix->routes_opaque, i, live ? &v->msg : NULL);
	}
	return any;
}

static void collect_pending(struct msix *msix, unsigned int i)
{
	if (msix->routes.take_pending && msix->routes.take_pending(msix->routes_opaque, i))
		msix->vectors[i].pending = true;
}

/* With the lock held, after any change to vectors [from, to). */
static void refresh(struct msix *msix, unsigned int from, unsigned int to)
{
	if (!tell_routes(msix, from, to))
		return;
	if (msix->routes.commit)
		msix->routes.commit(msix->routes_opaque);
	for (unsigned int i = from; i < to; i++) {
		struct vector *v = &msix->vectors[i];

		if (!v->fresh)
			continue;
		v->fresh = false;
		collect_pending(msix, i);
		if (!v->pending)
			continue;
		v->pending = false;
		msi_send(&msix->sink, v->msg.addr, v->msg.data);
	}
}

/* What came while MSI-X was off, or was left when it was turned off, is for nobody. */
static void drop_pending(struct msix *msix)
{
	for (unsigned int i = 0; i < msix->num_vectors; i++) {
		collect_pending(msix, i);
		msix->vectors[i].pending = false;
	}
}

void msix_cfg_write(struct msix *msix)
{
	const uint16_t control = pci_get16(&msix->fn->cfg[msix->cap + CAP_CONTROL]);
	const uint16_t command = pci_get16(&msix->fn->cfg[PCI_COMMAND]);
	const bool enabled = control & CONTROL_ENABLE;
	const bool open =
		enabled && !(control & CONTROL_MASK_ALL) && (command & PCI_COMMAND_MASTER);
	bool was_enabled;

	pthread_mutex_lock(&msix->lock);
	was_enabled = msix->enabled;
	msix->enabled = enabled;
	if (!was_enabled && enabled)
		drop_pending(msix);
	if (open != msix->open) {
		msix->open = open;
		refresh(msix, 0, msix->num_vectors);
	}
	if (was_enabled && !enabled)
		drop_pending(msix);
	pthread_mutex_unlock(&msix->lock);
}

static uint32_t entry_dword(const struct vector *v, unsigned int dword)
{
	switch (dword) {
	case ENTRY_ADDR_LO:
		return (uint32_t)v->msg.addr;
	case ENTRY_ADDR_HI:
		return (uint32_t)(v->msg.addr >> 32);
	case ENTRY_DATA:
		return v->msg.data;
	default:
		return v->masked;
	}
}

static uint8_t pba_byte(struct msix *msix, uint64_t at)
{
	uint8_t byte = 0;

	for (unsigned int bit = 0; bit < 8; bit++) {
		const uint64_t i = at * 8 + bit;

		if (i >= msix->num_vectors)
			break;
		if (msix->enabled && !msix->vectors[i].live)
			collect_pending(msix, (unsigned int)i);
		if (msix->vectors[i].pending)
			byte |= (uint8_t)(1 << bit);
	}
	return byte;
}

static uint8_t read_byte(struct msix *msix, uint64_t off)
{
	uint64_t at = off - msix->table_off; /* wraps to something large below the table */

	if (at < msix_table_size(msix->num_vectors))
		return (uint8_t)(entry_dword(&msix->vectors[at / MSIX_ENTRY_SIZE],
					 at % MSIX_ENTRY_SIZE / 4) >>
				 (at % 4 * 8));
	at = off - msix->pba_off;
	return at < msix_pba_size(msix->num_vectors) ? pba_byte(msix, at) : 0;
}

uint64_t msix_read(struct msix *msix, uint64_t off, unsigned int size)
{
	uint64_t value = 0;

	pthread_mutex_lock(&msix->lock);
	for (unsigned int i = 0; i < size && i < 8; i++)
		value |= (uint64_t)read_byte(msix, off + i) << (8 * i);
	pthread_mutex_unlock(&msix->lock);
	return value;
}

static void write_dword(struct vector *v, unsigned int dword, uint32_t value)
{
	const struct msix_message old = v->msg;

	switch (dword) {
	case ENTRY_ADDR_LO: /* messages are double words: the low two bits are 0 */
		v->msg.addr = (v->msg.addr & ~UINT64_C(0xffffffff)) | (value & ~UINT32_C(3));
		break;
	case ENTRY_ADDR_HI:
		v->msg.addr = (uint32_t)v->msg.addr | (uint64_t)value << 32;
		break;
	case ENTRY_DATA:
		v->msg.data = value;
		break;
	default:
		v->masked = value & 1;
		break;
	}
	v->touched |= old.addr != v->msg.addr || old.data != v->msg.data;
}

void msix_write(struct msix *msix, uint64_t off, unsigned int size, uint64_t value)
{
	const uint64_t at = off - msix->table_off;
	unsigned int i;

	if ((size != 4 && size != 8) || at % size ||
		!range_ok(at, size, msix_table_size(msix->num_vectors)))
		return;
	i = (unsigned int)(at / MSIX_ENTRY_SIZE);
	pthread_mutex_lock(&msix->lock);
	for (unsigned int done = 0; done < size; done += 4)
		write_dword(&msix->vectors[i], (at + done) % MSIX_ENTRY_SIZE / 4,
			(uint32_t)(value >> (8 * done)));
	refresh(msix, i, i + 1);
	pthread_mutex_unlock(&msix->lock);
}

static uint64_t bar_read(void *opaque, uint64_t off, unsigned int size)
{
	return msix_read(opaque, off, size);
}

static void bar_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	msix_write(opaque, off, size, value);
}

const struct bus_ops msix_bar_ops = {.read = bar_read, .write = bar_write};

bool msix_enabled(struct msix *msix)
{
	bool enabled;

	pthread_mutex_lock(&msix->lock);
	enabled = msix->enabled;
	pthread_mutex_unlock(&msix->lock);
	return enabled;
}

void msix_raise(struct msix *msix, unsigned int vector)
{
	struct vector *v;

	if (vector >= msix->num_vectors)
		return;
	v = &msix->vectors[vector];
	pthread_mutex_lock(&msix->lock);
	if (v->live)
		msi_send(&msix->sink, v->msg.addr, v->msg.data);
	else if (msix->enabled)
		v->pending = true;
	pthread_mutex_unlock(&msix->lock);
}

bool msix_message(struct msix *msix, unsigned int vector, struct msix_message *msg)
{
	bool live = false;

	if (vector >= msix->num_vectors)
		return false;
	pthread_mutex_lock(&msix->lock);
	if (msix->vectors[vector].live) {
		*msg = msix->vectors[vector].msg;
		live = true;
	}
	pthread_mutex_unlock(&msix->lock);
	return live;
}

static bool config_valid(const struct msix_config *c)
{
	uint64_t table, pba, room;

	if (!c->num_vectors || c->num_vectors > MSIX_MAX_VECTORS || c->bar >= PCI_MAX_BARS)
		return false;
	if (c->fn->bars[c->bar].kind != PCI_BAR_MEM32 && c->fn->bars[c->bar].kind != PCI_BAR_MEM64)
		return false;
	table = msix_table_size(c->num_vectors);
	pba = msix_pba_size(c->num_vectors);
	room = c->fn->bars[c->bar].region.size;
	return !(c->table_off % 8) && !(c->pba_off % 8) && range_ok(c->table_off, table, room) &&
	       range_ok(c->pba_off, pba, room) &&
	       !ranges_overlap(c->table_off, table, c->pba_off, pba);
}

static void fill_cap(const struct msix_config *config, uint8_t cap)
{
	uint8_t *cfg = config->fn->cfg;

	pci_set16(&cfg[cap + CAP_CONTROL], (uint16_t)(config->num_vectors - 1));
	pci_set32(&cfg[cap + CAP_TABLE], config->table_off | config->bar);
	pci_set32(&cfg[cap + CAP_PBA], config->pba_off | config->bar);
	pci_set16(&config->fn->wmask[cap + CAP_CONTROL], CONTROL_ENABLE | CONTROL_MASK_ALL);
}

int msix_create(const struct msix_config *config, struct msix **ret)
{
	struct msix *msix;

	if (!config_valid(config))
		return -EINVAL;
	msix = calloc(1, sizeof(*msix) + config->num_vectors * sizeof(msix->vectors[0]));
	if (!msix)
		return -ENOMEM;
	msix->cap = pci_function_cap(config->fn, CAP_ID, CAP_LEN);
	if (!msix->cap) {
		free(msix);
		return -ENOSPC;
	}
	fill_cap(config, msix->cap);
	msix->fn = config->fn;
	msix->num_vectors = config->num_vectors;
	msix->table_off = config->table_off;
	msix->pba_off = config->pba_off;
	msix->sink = config->sink;
	if (config->routes)
		msix->routes = *config->routes;
	msix->routes_opaque = config->routes_opaque;
	pthread_mutex_init(&msix->lock, NULL);
	for (unsigned int i = 0; i < msix->num_vectors; i++)
		msix->vectors[i].masked = true;
	*ret = msix;
	return 0;
}

void msix_destroy(struct msix *msix)
{
	if (!msix)
		return;
	pthread_mutex_destroy(&msix->lock);
	free(msix);
}
