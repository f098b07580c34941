/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output: first the back end behind, which may take less than it was offered; what it took goes
 * into the ring, and the loop's thread is woken if there are clients. It alone writes to them, from
 * the ring, each from a place of its own. So a client costs a vCPU a copy and sometimes a wake-up,
 * and one that does not read costs nothing: the ring overtakes it.
 *
 * Input comes by the callbacks of the back end behind, and from each client's char_input, whose
 * front end is ours: both call chardev_notify_rx, on the loop's thread.
 *
 * Locking: the lock guards the ring and what of the clients other threads look at. It is a leaf but
 * for event_loop.lock, under which a source is posted after it was released. The front end's calls
 * reach the back end behind with no lock of ours held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hub_private.h"
#include "vm/core/error.h"

/* ---- what is kept ---- */

/* With the lock held. Mapped and not allocated, so that a page is used when it is written to. */
static bool has_ring(struct hub *hub)
{
	void *ring;

	if (hub->ring)
		return true;
	ring = mmap(NULL, HUB_HISTORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return false;
	hub->ring = ring;
	return true;
}

/* With the lock held. */
static void append(struct hub *hub, const uint8_t *buf, size_t len)
{
	size_t at, first;

	if (len > HUB_HISTORY) {
		hub->total += len - HUB_HISTORY;
		buf += len - HUB_HISTORY;
		len = HUB_HISTORY;
	}
	at = hub->total % HUB_HISTORY;
	first = MIN(len, HUB_HISTORY - at);
	memcpy(hub->ring + at, buf, first);
	memcpy(hub->ring, buf + first, len - first);
	hub->total += len;
}

static void keep(struct hub *hub, const uint8_t *buf, size_t len)
{
	bool watched;

	pthread_mutex_lock(&hub->lock);
	if (has_ring(hub))
		append(hub, buf, len);
	watched = hub->watched;
	pthread_mutex_unlock(&hub->lock);
	if (watched)
		event_loop_post(hub->config.loop, &hub->posted);
}

size_t hub_read(struct hub *hub, uint64_t *pos, uint8_t *buf, size_t size, uint64_t *lost)
{
	size_t at, first, len;

	pthread_mutex_lock(&hub->lock);
	*lost = 0;
	if (hub->total - *pos > HUB_HISTORY) {
		*lost = hub->total - *pos - HUB_HISTORY;
		*pos += *lost;
	}
	len = MIN(size, (size_t)(hub->total - *pos));
	at = *pos % HUB_HISTORY;
	first = MIN(len, HUB_HISTORY - at);
	if (len) {
		memcpy(buf, hub->ring + at, first);
		memcpy(buf + first, hub->ring, len - first);
	}
	pthread_mutex_unlock(&hub->lock);
	return len;
}

/* ---- what the front end sees ---- */

/* Of the clients' terminals and the one below, the size that was told last. */
static bool choose_size(struct hub *hub)
{
	uint64_t last = hub->below_stamp;
	uint16_t cols = 0, rows = 0;
	bool changed;

	for (struct hub_client *client = hub->clients; client; client = client->next) {
		if (client->leaving || client->dead || client->size_stamp <= last)
			continue;
		last = client->size_stamp;
		cols = client->config.cols;
		rows = client->config.rows;
	}
	pthread_mutex_lock(&hub->lock);
	changed = hub->cols != cols || hub->rows != rows;
	hub->cols = cols;
	hub->rows = rows;
	pthread_mutex_unlock(&hub->lock);
	return changed;
}

void hub_update(struct hub *hub)
{
	bool watched = false, connected;

	for (struct hub_client *client = hub->clients; client; client = client->next)
		watched |= !client->leaving && !client->dead;
	pthread_mutex_lock(&hub->lock);
	hub->watched = watched;
	pthread_mutex_unlock(&hub->lock);
	connected = hub->kept || watched || chardev_connected(hub->below);
	if (atomic_exchange(&hub->connected, connected) != connected)
		chardev_notify_event(
			&hub->dev, connected ? CHARDEV_CONNECTED : CHARDEV_DISCONNECTED);
	if (choose_size(hub))
		chardev_notify_event(&hub->dev, CHARDEV_RESIZED);
}

/* ---- called by the back end behind ---- */

static size_t on_room(void *opaque)
{
	struct hub *hub = opaque;

	return chardev_notify_room(&hub->dev);
}

/* It gets what it had room for: one thread asks and delivers. */
static void on_rx(void *opaque, const uint8_t *buf, size_t len)
{
	struct hub *hub = opaque;

	chardev_notify_rx(&hub->dev, buf, len);
}

static void on_tx_ready(void *opaque)
{
	struct hub *hub = opaque;

	chardev_notify_tx_ready(&hub->dev);
}

static void on_event(void *opaque, enum chardev_event event)
{
	struct hub *hub = opaque;
	uint16_t cols, rows;

	switch (event) {
	case CHARDEV_BREAK:
		chardev_notify_event(&hub->dev, event);
		break;
	case CHARDEV_CONNECTED:
	case CHARDEV_DISCONNECTED:
		hub_update(hub);
		break;
	case CHARDEV_RESIZED:
		if (chardev_size(hub->below, &cols, &rows))
			hub->below_stamp = ++hub->last_stamp;
		choose_size(hub);
		chardev_notify_event(&hub->dev, CHARDEV_RESIZED);
		break;
	}
}

static const struct chardev_handler handler = {
	.rx_room = on_room,
	.rx = on_rx,
	.tx_ready = on_tx_ready,
	.event = on_event,
};

static void on_posted(void *opaque, uint32_t events)
{
	(void)events;
	hub_serve(opaque);
}

/* ---- ops ---- */

static size_t hub_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	struct hub *hub = hub_of(dev);
	size_t done = chardev_write(hub->below, buf, len);

	if (done)
		keep(hub, buf, done);
	return done;
}

static void hub_rx_kick(struct chardev *dev)
{
	struct hub *hub = hub_of(dev);
	bool has_clients;

	chardev_rx_kick(hub->below);
	pthread_mutex_lock(&hub->lock);
	has_clients = hub->clients;
	pthread_mutex_unlock(&hub->lock);
	if (has_clients)
		event_loop_post(hub->config.loop, &hub->posted);
}

static bool hub_connected(struct chardev *dev)
{
	return atomic_load(&hub_of(dev)->connected);
}

static bool hub_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	struct hub *hub = hub_of(dev);
	bool known;

	pthread_mutex_lock(&hub->lock);
	known = hub->cols && hub->rows;
	if (known) {
		*cols = hub->cols;
		*rows = hub->rows;
	}
	pthread_mutex_unlock(&hub->lock);
	return known || chardev_size(hub->below, cols, rows);
}

static void hub_flush(struct chardev *dev)
{
	chardev_flush(hub_of(dev)->below);
}

static void hub_close(struct chardev *dev)
{
	struct hub *hub = hub_of(dev);

	if (hub->below)
		chardev_attach(hub->below, NULL, NULL);
	hub_close_clients(hub);
	event_loop_remove(hub->config.loop, &hub->posted);
	chardev_close(hub->below);
	if (hub->ring)
		munmap(hub->ring, HUB_HISTORY);
	pthread_mutex_destroy(&hub->lock);
	chardev_fini(dev);
	free(hub);
}

static const struct chardev_ops hub_ops = {
	.write = hub_write,
	.rx_kick = hub_rx_kick,
	.connected = hub_connected,
	.size = hub_size,
	.flush = hub_flush,
	.close = hub_close,
};

int char_hub_create(const struct char_config *config, struct chardev *below, bool kept,
	struct chardev **ret, struct error *err)
{
	struct hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return error_set_errno(err, -ENOMEM, "the console");
	hub->config = *config;
	hub->below = below;
	hub->kept = kept;
	hub->posted = (struct event_source){.fd = -1, .fn = on_posted, .opaque = hub};
	pthread_mutex_init(&hub->lock, NULL);
	chardev_init(&hub->dev, &hub_ops);
	atomic_init(&hub->connected, kept || chardev_connected(below));
	if (below)
		chardev_attach(below, &handler, hub);
	*ret = &hub->dev;
	return 0;
}
