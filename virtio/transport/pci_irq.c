/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each vector has what MSI-X says of it (live with a message, or not) and what the router does for
 * it; apply() is the only one to bring the second in line with the first.
 *
 * A vector that is masked keeps its route closed but its eventfd open: what was signalled around
 * the change stays counted there, and MSI-X takes it as pending. It is drained before a route is
 * set, so that nothing is delivered twice.
 *
 * Locking: own mutex, below that of MSI-X, which calls the route ops under its own; so MSI-X is
 * never called with ours held.
 */
#include "pci_irq.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct route {
	bool live;
	struct msix_message msg;
	bool changed; /* since the router was told */
	bool on;      /* the router delivers */
	bool staged;  /* set, not committed yet */
	bool pending; /* drained from fd */
	int fd;	      /* -1 until needed; then the router knows it as id */
	unsigned int id;
};

struct vpci_irq {
	struct msix *msix;
	struct msi_router router;
	unsigned int num_vectors;

	pthread_mutex_t lock; /* guards all below */
	bool active;
	struct route routes[];
};

static void drain(struct route *r)
{
	uint64_t count;

	if (r->fd >= 0 && read(r->fd, &count, sizeof(count)) > 0)
		r->pending = true;
}

static bool open_route(struct vpci_irq *irq, struct route *r)
{
	if (r->fd >= 0)
		return true;
	if (!irq->router.open)
		return false;
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0)
		return false;
	if (irq->router.open(irq->router.opaque, r->fd, &r->id) >= 0)
		return true;
	close(r->fd);
	r->fd = -1;
	return false;
}

/* Stages what vector i needs; false when that is nothing. */
static bool stage(struct vpci_irq *irq, struct route *r)
{
	const bool want = irq->active && r->live;

	if (!want && r->on) {
		irq->router.clear(irq->router.opaque, r->id);
		r->on = false;
		return true;
	}
	if (!want || (r->on && !r->changed) || !open_route(irq, r))
		return false;
	if (!r->on)
		drain(r);
	irq->router.set(irq->router.opaque, r->id, r->msg.addr, r->msg.data);
	r->changed = false;
	r->staged = true;
	return true;
}

/* With the lock held. */
static void apply(struct vpci_irq *irq)
{
	bool any = false, ok;

	for (unsigned int i = 0; i < irq->num_vectors; i++)
		any |= stage(irq, &irq->routes[i]);
	if (!any)
		return;
	ok = irq->router.commit(irq->router.opaque) >= 0;
	for (unsigned int i = 0; i < irq->num_vectors; i++) {
		struct route *r = &irq->routes[i];

		if (!r->staged)
			continue;
		r->staged = false;
		r->on = ok; /* else messages do it */
	}
}

static void changed(void *opaque, unsigned int vector, const struct msix_message *msg)
{
	struct vpci_irq *irq = opaque;
	struct route *r = &irq->routes[vector];

	pthread_mutex_lock(&irq->lock);
	r->live = msg;
	if (msg) {
		r->msg = *msg;
		r->changed = true;
	}
	pthread_mutex_unlock(&irq->lock);
}

static void commit(void *opaque)
{
	struct vpci_irq *irq = opaque;

	pthread_mutex_lock(&irq->lock);
	apply(irq);
	pthread_mutex_unlock(&irq->lock);
}

static bool take_pending(void *opaque, unsigned int vector)
{
	struct vpci_irq *irq = opaque;
	struct route *r = &irq->routes[vector];
	bool pending;

	pthread_mutex_lock(&irq->lock);
	if (!r->on)
		drain(r);
	pending = r->pending;
	r->pending = false;
	pthread_mutex_unlock(&irq->lock);
	return pending;
}

static const struct msix_route_ops route_ops = {
	.changed = changed, .commit = commit, .take_pending = take_pending};

struct msix *vpci_irq_msix(struct vpci_irq *irq)
{
	return irq->msix;
}

void vpci_irq_activate(struct vpci_irq *irq, bool active)
{
	pthread_mutex_lock(&irq->lock);
	if (active != irq->active) {
		irq->active = active;
		apply(irq);
	}
	/* What a device that was reset had to say is for nobody. */
	for (unsigned int i = 0; !active && i < irq->num_vectors; i++) {
		drain(&irq->routes[i]);
		irq->routes[i].pending = false;
	}
	pthread_mutex_unlock(&irq->lock);
}

static bool raise_routed(struct vpci_irq *irq, struct route *r)
{
	const uint64_t one = 1;
	bool done;

	pthread_mutex_lock(&irq->lock);
	/* A full counter has been delivered, or will be. */
	done = r->on && (write(r->fd, &one, sizeof(one)) > 0 || errno == EAGAIN);
	pthread_mutex_unlock(&irq->lock);
	return done;
}

int vpci_irq_fd(struct vpci_irq *irq, unsigned int vector)
{
	int fd = -1;

	if (vector >= irq->num_vectors)
		return -1;
	pthread_mutex_lock(&irq->lock);
	if (irq->routes[vector].on)
		fd = irq->routes[vector].fd;
	pthread_mutex_unlock(&irq->lock);
	return fd;
}

void vpci_irq_raise(struct vpci_irq *irq, unsigned int vector)
{
	if (vector < irq->num_vectors && !raise_routed(irq, &irq->routes[vector]))
		msix_raise(irq->msix, vector);
}

int vpci_irq_create(
	const struct msix_config *msix, const struct msi_router *router, struct vpci_irq **ret)
{
	struct msix_config config = *msix;
	struct vpci_irq *irq = calloc(1, sizeof(*irq) + msix->num_vectors * sizeof(irq->routes[0]));
	int rc;

	if (!irq)
		return -ENOMEM;
	config.routes = &route_ops;
	config.routes_opaque = irq;
	irq->router = *router;
	irq->num_vectors = msix->num_vectors;
	for (unsigned int i = 0; i < irq->num_vectors; i++)
		irq->routes[i].fd = -1;
	pthread_mutex_init(&irq->lock, NULL);
	rc = msix_create(&config, &irq->msix);
	if (rc < 0) {
		pthread_mutex_destroy(&irq->lock);
		free(irq);
		return rc;
	}
	*ret = irq;
	return 0;
}

void vpci_irq_destroy(struct vpci_irq *irq)
{
	if (!irq)
		return;
	vpci_irq_activate(irq, false);
	for (unsigned int i = 0; i < irq->num_vectors; i++) {
		if (irq->routes[i].fd < 0)
			continue;
		irq->router.close(irq->router.opaque, irq->routes[i].id);
		close(irq->routes[i].fd);
	}
	msix_destroy(irq->msix);
	pthread_mutex_destroy(&irq->lock);
	free(irq);
}
