/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The meeting point of a back end and its front end.
 *
 * A callback is bracketed by enter and leave, which count it. Detaching swaps the handler under the
 * lock and then waits for the count to fall to 0: from then on nobody can be inside the old
 * handler, as enter would find the new one. All callbacks come from the event loop's thread, so the
 * count can exceed 1 only by nesting, and a front end that detaches inside a callback must not wait
 * for itself.
 */
#include "devices/char/chardev.h"

void chardev_init(struct chardev *dev, const struct chardev_ops *ops)
{
	dev->ops = ops;
	dev->handler = NULL;
	dev->opaque = NULL;
	dev->callbacks = 0;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_cond_init(&dev->idle, NULL);
}

void chardev_fini(struct chardev *dev)
{
	pthread_cond_destroy(&dev->idle);
	pthread_mutex_destroy(&dev->lock);
}

void chardev_attach(struct chardev *dev, const struct chardev_handler *handler, void *opaque)
{
	pthread_mutex_lock(&dev->lock);
	dev->handler = handler;
	dev->opaque = opaque;
	while (dev->callbacks && !pthread_equal(dev->runner, pthread_self()))
		pthread_cond_wait(&dev->idle, &dev->lock);
	pthread_mutex_unlock(&dev->lock);
}

/* NULL: nobody is attached, and leave must not be called. */
static const struct chardev_handler *enter(struct chardev *dev, void **opaque)
{
	const struct chardev_handler *handler;

	pthread_mutex_lock(&dev->lock);
	handler = dev->handler;
	*opaque = dev->opaque;
	if (handler) {
		dev->callbacks++;
		dev->runner = pthread_self();
	}
	pthread_mutex_unlock(&dev->lock);
	return handler;
}

static void leave(struct chardev *dev)
{
	pthread_mutex_lock(&dev->lock);
	if (!--dev->callbacks)
		pthread_cond_broadcast(&dev->idle);
	pthread_mutex_unlock(&dev->lock);
}

size_t chardev_notify_room(struct chardev *dev)
{
	void *opaque;
	const struct chardev_handler *handler = enter(dev, &opaque);
	size_t room;

	if (!handler)
		return 0;
	room = handler->rx_room(opaque);
	leave(dev);
	return room;
}

size_t chardev_notify_rx(struct chardev *dev, const uint8_t *buf, size_t len)
{
	void *opaque;
	const struct chardev_handler *handler = enter(dev, &opaque);
	size_t room;

	if (!handler)
		return 0;
	room = handler->rx_room(opaque);
	len = MIN(len, room);
	if (len)
		handler->rx(opaque, buf, len);
	leave(dev);
	return len;
}

void chardev_notify_tx_ready(struct chardev *dev)
{
	void *opaque;
	const struct chardev_handler *handler = enter(dev, &opaque);

	if (!handler)
		return;
	handler->tx_ready(opaque);
	leave(dev);
}

void chardev_notify_event(struct chardev *dev, enum chardev_event event)
{
	void *opaque;
	const struct chardev_handler *handler = enter(dev, &opaque);

	if (!handler)
		return;
	handler->event(opaque, event);
	leave(dev);
}
