/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three masks under one mutex, which is held while the line is set, so that levels arrive in order.
 * Bytes are decoded one by one: an access of any size at any place does what its bytes do.
 */
#include "devices/pci/pci_hotplug.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum { REG_ADDED = 0, REG_ASKED = 4, REG_EJECT = 8 };

struct pci_hotplug {
	struct pci_hotplug_config config;
	struct bus_region region;
	pthread_mutex_t lock; /* guards the next three and the line's level */
	uint32_t added, asked;
	uint32_t wanted; /* asked for, whether or not the guest has read so */
};

/* With the lock held. */
static void update_line(struct pci_hotplug *hotplug)
{
	irq_line_set(&hotplug->config.irq, hotplug->added | hotplug->asked);
}

static uint8_t take_byte(uint32_t *mask, unsigned int byte)
{
	const uint32_t bits = *mask & UINT32_C(0xff) << (8 * byte);

	*mask &= ~bits;
	return (uint8_t)(bits >> (8 * byte));
}

static uint64_t hotplug_read(void *opaque, uint64_t off, unsigned int size)
{
	struct pci_hotplug *hotplug = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&hotplug->lock);
	for (unsigned int i = 0; i < size; i++) {
		const unsigned int at = (unsigned int)off + i;
		uint8_t byte = 0;

		if (at < REG_ASKED)
			byte = take_byte(&hotplug->added, at - REG_ADDED);
		else if (at < REG_EJECT)
			byte = take_byte(&hotplug->asked, at - REG_ASKED);
		value |= (uint64_t)byte << (8 * i);
	}
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
	return value;
}

static uint32_t eject(struct pci_hotplug *hotplug, uint32_t slots)
{
	pthread_mutex_lock(&hotplug->lock);
	slots &= hotplug->wanted;
	hotplug->wanted &= ~slots;
	hotplug->asked &= ~slots;
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
	return slots;
}

static void hotplug_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct pci_hotplug *hotplug = opaque;
	uint32_t slots = 0;

	for (unsigned int i = 0; i < size; i++)
		if (off + i >= REG_EJECT)
			slots |= (uint32_t)(uint8_t)(value >> (8 * i))
				 << (8 * (off + i - REG_EJECT));
	slots = eject(hotplug, slots);
	for (unsigned int slot = 0; slot < 32; slot++)
		if (slots >> slot & 1)
			hotplug->config.ejected(hotplug->config.opaque, slot);
}

static const struct bus_ops hotplug_ops = {.read = hotplug_read, .write = hotplug_write};

uint32_t pci_hotplug_slots(const struct pci_hotplug *hotplug)
{
	return hotplug->config.slots;
}

void pci_hotplug_added(struct pci_hotplug *hotplug, unsigned int slot)
{
	pthread_mutex_lock(&hotplug->lock);
	hotplug->added |= UINT32_C(1) << slot & hotplug->config.slots;
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
}

void pci_hotplug_ask(struct pci_hotplug *hotplug, unsigned int slot)
{
	const uint32_t bit = UINT32_C(1) << slot & hotplug->config.slots;

	pthread_mutex_lock(&hotplug->lock);
	hotplug->wanted |= bit;
	hotplug->asked |= bit;
	/* It is to go: that it came is old news. */
	hotplug->added &= ~bit;
	update_line(hotplug);
	pthread_mutex_unlock(&hotplug->lock);
}

uint32_t pci_hotplug_asked(struct pci_hotplug *hotplug)
{
	uint32_t wanted;

	pthread_mutex_lock(&hotplug->lock);
	wanted = hotplug->wanted;
	pthread_mutex_unlock(&hotplug->lock);
	return wanted;
}

int pci_hotplug_create(const struct pci_hotplug_config *config, struct pci_hotplug **ret)
{
	struct pci_hotplug *hotplug = calloc(1, sizeof(*hotplug));
	int rc;

	if (!hotplug)
		return -ENOMEM;
	hotplug->config = *config;
	pthread_mutex_init(&hotplug->lock, NULL);
	hotplug->region = (struct bus_region){.name = "pci-hotplug",
		.base = LAYOUT_HOTPLUG_BASE,
		.size = LAYOUT_HOTPLUG_SIZE,
		.ops = &hotplug_ops,
		.opaque = hotplug};
	rc = bus_add(config->pio, &hotplug->region);
	if (rc)
		goto free_hotplug;
	*ret = hotplug;
	return 0;
free_hotplug:
	pthread_mutex_destroy(&hotplug->lock);
	free(hotplug);
	return rc;
}

void pci_hotplug_destroy(struct pci_hotplug *hotplug)
{
	if (!hotplug)
		return;
	bus_remove(hotplug->config.pio, &hotplug->region);
	pthread_mutex_destroy(&hotplug->lock);
	free(hotplug);
}
