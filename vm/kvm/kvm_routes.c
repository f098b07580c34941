/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM delivers an eventfd as an interrupt by way of a GSI, and a table says what each GSI means:
 * pins of the irqchip for the first 24, a message for each route from there on. Setting the table
 * replaces it as a whole and waits for a grace period, so changes are gathered until commit; an
 * eventfd is tied to its GSI (KVM_IRQFD) only while the route delivers, which needs no table.
 *
 * One mutex: devices commit from whatever vCPU writes their registers.
 */
#include "vm/kvm/kvm_routes.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum {
	FIRST_MSI_GSI = KVM_IOAPIC_NUM_PINS,
	PIC_PINS = 16,
	PINS_PER_PIC = 8,
	PIN_ENTRIES = KVM_IOAPIC_NUM_PINS + PIC_PINS,
	ROUTES_STEP = 16, /* the array grows by so many */
};

struct route {
	bool open;
	bool staged; /* has a message that waits for commit */
	bool tied;   /* the eventfd is KVM's */
	bool in_table;
	int fd;
	uint64_t addr;
	uint32_t data;
};

struct kvm_routes {
	pthread_mutex_t lock; /* all below */
	int vm_fd;
	bool table_dirty;
	unsigned int count; /* slots */
	struct route *slots;
	struct kvm_irq_routing *table; /* room for the pins and count messages */
};

/* ---- eventfds ---- */

static int set_irqfd(const struct kvm_routes *routes, unsigned int index, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)routes->slots[index].fd,
		.gsi = FIRST_MSI_GSI + index,
		.flags = flags,
	};

	return ioctl(routes->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

static void untie(struct kvm_routes *routes, unsigned int index)
{
	struct route *route = &routes->slots[index];

	route->staged = false;
	if (!route->tied)
		return;
	/* Fails for nothing that was tied before. */
	set_irqfd(routes, index, KVM_IRQFD_FLAG_DEASSIGN);
	route->tied = false;
}

/* ---- the table ---- */

/* As KVM_CREATE_IRQCHIP has it: GSI n is pin n of the IOAPIC and, below 16, of the two PICs. */
static unsigned int add_pins(struct kvm_irq_routing_entry *entries)
{
	unsigned int n = 0;

	for (uint32_t gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		entries[n++] = (struct kvm_irq_routing_entry){.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = gsi}};
		if (gsi >= PIC_PINS)
			continue;
		entries[n++] = (struct kvm_irq_routing_entry){.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {.irqchip = gsi < PINS_PER_PIC ? KVM_IRQCHIP_PIC_MASTER
								    : KVM_IRQCHIP_PIC_SLAVE,
				.pin = gsi % PINS_PER_PIC}};
	}
	return n;
}

static int set_table(struct kvm_routes *routes)
{
	struct kvm_irq_routing *table = routes->table;
	unsigned int n = add_pins(table->entries);

	for (unsigned int i = 0; i < routes->count; i++) {
		struct route *route = &routes->slots[i];

		route->in_table = route->tied || route->staged;
		if (!route->in_table)
			continue;
		table->entries[n++] = (struct kvm_irq_routing_entry){.gsi = FIRST_MSI_GSI + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)route->addr,
				.address_hi = (uint32_t)(route->addr >> 32),
				.data = route->data}};
	}
	table->nr = n;
	if (ioctl(routes->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
		return -errno;
	routes->table_dirty = false;
	return 0;
}

static void drop_staged(struct kvm_routes *routes)
{
	for (unsigned int i = 0; i < routes->count; i++)
		if (routes->slots[i].staged)
			untie(routes, i);
}

static int commit_locked(struct kvm_routes *routes)
{
	int rc = routes->table_dirty ? set_table(routes) : 0;

	for (unsigned int i = 0; !rc && i < routes->count; i++) {
		struct route *route = &routes->slots[i];

		if (!route->staged)
			continue;
		if (!route->tied)
			rc = set_irqfd(routes, i, 0);
		if (rc < 0)
			break;
		route->tied = true;
		route->staged = false;
	}
	if (rc < 0)
		drop_staged(routes);
	return rc;
}

static int commit(void *opaque)
{
	struct kvm_routes *routes = opaque;
	int rc;

	pthread_mutex_lock(&routes->lock);
	rc = commit_locked(routes);
	pthread_mutex_unlock(&routes->lock);
	return rc;
}

/* ---- routes ---- */

static int grow(struct kvm_routes *routes)
{
	const unsigned int count = routes->count + ROUTES_STEP;
	struct route *slots = realloc(routes->slots, count * sizeof(*slots));
	struct kvm_irq_routing *table;

	if (!slots)
		return -ENOMEM;
	routes->slots = slots;
	table = realloc(
		routes->table, sizeof(*table) + (PIN_ENTRIES + count) * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	routes->table = table;
	table->flags = 0;
	for (unsigned int i = routes->count; i < count; i++)
		slots[i] = (struct route){0};
	routes->count = count;
	return 0;
}

static int open_locked(struct kvm_routes *routes, int fd, unsigned int *ret)
{
	unsigned int i = 0;
	int rc = 0;

	while (i < routes->count && routes->slots[i].open)
		i++;
	if (i == routes->count)
		rc = grow(routes);
	if (rc < 0)
		return rc;
	routes->slots[i] = (struct route){.open = true, .fd = fd};
	*ret = i;
	return 0;
}

static int open_route(void *opaque, int fd, unsigned int *ret)
{
	struct kvm_routes *routes = opaque;
	int rc;

	pthread_mutex_lock(&routes->lock);
	rc = open_locked(routes, fd, ret);
	pthread_mutex_unlock(&routes->lock);
	return rc;
}

static void close_route(void *opaque, unsigned int index)
{
	struct kvm_routes *routes = opaque;

	pthread_mutex_lock(&routes->lock);
	untie(routes, index);
	routes->slots[index].open = false;
	pthread_mutex_unlock(&routes->lock);
}

static void set_route(void *opaque, unsigned int index, uint64_t addr, uint32_t data)
{
	struct kvm_routes *routes = opaque;
	struct route *route;

	pthread_mutex_lock(&routes->lock);
	route = &routes->slots[index];
	if (!route->in_table || route->addr != addr || route->data != data)
		routes->table_dirty = true;
	route->addr = addr;
	route->data = data;
	route->staged = true;
	pthread_mutex_unlock(&routes->lock);
}

static void clear_route(void *opaque, unsigned int index)
{
	struct kvm_routes *routes = opaque;

	pthread_mutex_lock(&routes->lock);
	untie(routes, index);
	pthread_mutex_unlock(&routes->lock);
}

struct msi_router kvm_routes_router(struct kvm_routes *routes)
{
	return (struct msi_router){
		.open = open_route,
		.close = close_route,
		.set = set_route,
		.clear = clear_route,
		.commit = commit,
		.opaque = routes,
	};
}

int kvm_routes_create(int vm_fd, struct kvm_routes **ret)
{
	struct kvm_routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	pthread_mutex_init(&routes->lock, NULL);
	routes->vm_fd = vm_fd;
	*ret = routes;
	return 0;
}

void kvm_routes_destroy(struct kvm_routes *routes)
{
	if (!routes)
		return;
	pthread_mutex_destroy(&routes->lock);
	free(routes->slots);
	free(routes->table);
	free(routes);
}
