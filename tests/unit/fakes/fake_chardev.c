/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_chardev.h"

#include <stdlib.h>
#include <string.h>

static void append(uint8_t **data, size_t *len, size_t *room, const void *buf, size_t n)
{
	if (!n)
		return;
	if (*len + n > *room) {
		*room = (*len + n) * 2;
		*data = realloc(*data, *room);
		if (!*data)
			abort();
	}
	memcpy(*data + *len, buf, n);
	*len += n;
}

static size_t fake_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	struct fake_chardev *fake = container_of(dev, struct fake_chardev, dev);
	size_t n = MIN(len, fake->budget);

	append(&fake->out, &fake->out_len, &fake->out_room, buf, n);
	if (fake->budget != SIZE_MAX)
		fake->budget -= n;
	fake->tx_blocked |= n < len;
	fake->writes++;
	return n;
}

static void fake_rx_kick(struct chardev *dev)
{
	struct fake_chardev *fake = container_of(dev, struct fake_chardev, dev);

	fake->kicks++;
	fake->kicked = true;
}

static bool fake_connected(struct chardev *dev)
{
	return container_of(dev, struct fake_chardev, dev)->is_connected;
}

static bool fake_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	struct fake_chardev *fake = container_of(dev, struct fake_chardev, dev);

	if (!fake->is_terminal)
		return false;
	*cols = fake->cols;
	*rows = fake->rows;
	return true;
}

static void fake_flush(struct chardev *dev)
{
	container_of(dev, struct fake_chardev, dev)->flushes++;
}

static void fake_close(struct chardev *dev)
{
	fake_chardev_fini(container_of(dev, struct fake_chardev, dev));
}

static const struct chardev_ops fake_chardev_ops = {
	.write = fake_write,
	.rx_kick = fake_rx_kick,
	.connected = fake_connected,
	.size = fake_size,
	.flush = fake_flush,
	.close = fake_close,
};

void fake_chardev_init(struct fake_chardev *fake)
{
	memset(fake, 0, sizeof(*fake));
	chardev_init(&fake->dev, &fake_chardev_ops);
	fake->budget = SIZE_MAX;
	fake->is_connected = true;
}

void fake_chardev_fini(struct fake_chardev *fake)
{
	chardev_fini(&fake->dev);
	free(fake->out);
	free(fake->in);
	fake->out = fake->in = NULL;
	fake->out_len = fake->out_room = fake->in_len = fake->in_room = 0;
}

void fake_chardev_allow(struct fake_chardev *fake, size_t budget)
{
	fake->budget = budget;
	if (!budget || !fake->tx_blocked)
		return;
	fake->tx_blocked = false;
	chardev_notify_tx_ready(&fake->dev);
}

static void deliver(struct fake_chardev *fake)
{
	size_t n;

	while (fake->in_len) {
		n = chardev_notify_rx(&fake->dev, fake->in, fake->in_len);
		if (!n)
			return;
		fake->in_len -= n;
		memmove(fake->in, fake->in + n, fake->in_len);
	}
}

void fake_chardev_type(struct fake_chardev *fake, const void *buf, size_t len)
{
	append(&fake->in, &fake->in_len, &fake->in_room, buf, len);
	deliver(fake);
}

void fake_chardev_run(struct fake_chardev *fake)
{
	if (!fake->kicked)
		return;
	fake->kicked = false;
	deliver(fake);
}

void fake_chardev_event(struct fake_chardev *fake, enum chardev_event event)
{
	if (event == CHARDEV_CONNECTED)
		fake->is_connected = true;
	if (event == CHARDEV_DISCONNECTED)
		fake->is_connected = false;
	chardev_notify_event(&fake->dev, event);
}

void fake_chardev_clear(struct fake_chardev *fake)
{
	fake->out_len = 0;
}
