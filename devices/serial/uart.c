/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ties the register half (uart_regs.c) to the bus, the interrupt line and the back end.
 *
 * Out: a byte written to THR goes into the transmit FIFO, and the FIFO goes to the back end in the
 * same exit, so that nothing waits while the guest idles. Mostly all is taken and THRE is set again
 * before the guest looks. After a short write the FIFO stays as it is (THRE and TEMT clear) until
 * tx_ready. Two vCPUs may write at once: tx_order is held from before a byte enters the FIFO until
 * the back end has it, hence bytes leave in the order in which they entered. Gathering bytes over
 * several exits was rejected: the guest need not come back, and each device would need a timer.
 *
 * In: the back end asks for room and gives no more than that. It is kicked when the FIFO has
 * drained to half after having been too small, not at every byte read.
 *
 * Locks: tx_order, then lock. The back end is called with tx_order at most; its callbacks come
 * without a lock of its own, so tx_ready may take tx_order. The line is set under lock: levels
 * arrive in the order of the states that they stand for.
 */
#include "devices/serial/uart.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "devices/char/chardev.h"
#include "uart_regs.h"
#include "vm/core/bus.h"

enum { WIRE_UP = MSR_CTS | MSR_DSR | MSR_DCD };

struct uart {
	struct uart_config config;
	struct bus_region region;
	pthread_mutex_t tx_order; /* held around writes to the back end */
	pthread_mutex_t lock;	  /* guards all below */
	struct uart_regs regs;
	bool irq_level;
	bool tx_blocked; /* a write was short, tx_ready will come */
	bool rx_wanted;	 /* the back end was given less room than a whole FIFO */
	/* uart_sysrq: how much of a break and this key has no room yet */
	unsigned int sysrq_left;
	uint8_t sysrq_key;
};

/* With the lock held, after any change. */
static void update_irq(struct uart *uart)
{
	bool level = uart_regs_irq(&uart->regs);

	if (level == uart->irq_level)
		return;
	uart->irq_level = level;
	irq_line_set(&uart->config.irq, level);
}

enum { SYSRQ_BREAK_AND_KEY = 2 };

/* With the lock held. */
static void send_sysrq(struct uart *uart)
{
	for (; uart->sysrq_left && uart_regs_rx_room(&uart->regs); uart->sysrq_left--) {
		if (uart->sysrq_left == SYSRQ_BREAK_AND_KEY)
			uart_regs_receive(&uart->regs, 0, LSR_BI);
		else
			uart_regs_receive(&uart->regs, uart->sysrq_key, 0);
	}
}

/* With the lock held: room for the back end, which waits until a SysRq is through. */
static unsigned int rx_room(const struct uart *uart)
{
	return uart->sysrq_left ? 0 : uart_regs_rx_room(&uart->regs);
}

/* With the lock held, after what may make room: is it time to tell the back end of it? */
static bool should_kick(struct uart *uart)
{
	unsigned int room;

	send_sysrq(uart);
	room = rx_room(uart);
	if (!uart->rx_wanted || !room || room < uart_regs_rx_size(&uart->regs) / 2)
		return false;
	uart->rx_wanted = false;
	return true;
}

/*
 * Sends what the FIFO holds, with tx_order and lock held; the latter is let go meanwhile. The guest
 * may clear or (other vCPUs wait for tx_order) only clear the FIFO during that time.
 */
static void drain(struct uart *uart)
{
	uint8_t buf[UART_FIFO];
	unsigned int cleared = uart->regs.tx_cleared;
	unsigned int n = uart_regs_tx_peek(&uart->regs, buf);
	size_t taken;

	if (!n || uart->tx_blocked)
		return;
	pthread_mutex_unlock(&uart->lock);
	taken = chardev_write(uart->config.chardev, buf, n);
	pthread_mutex_lock(&uart->lock);
	uart->tx_blocked = taken < n;
	uart_regs_tx_done(&uart->regs, cleared, (unsigned int)MIN(taken, (size_t)n));
}

static void write_tx(struct uart *uart, uint8_t value)
{
	pthread_mutex_lock(&uart->tx_order);
	pthread_mutex_lock(&uart->lock);
	uart_regs_write(&uart->regs, UART_RBR, value);
	drain(uart);
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
	pthread_mutex_unlock(&uart->tx_order);
}

static uint64_t uart_read(void *opaque, uint64_t off, unsigned int size)
{
	struct uart *uart = opaque;
	uint8_t value;
	bool kick;

	(void)size;
	pthread_mutex_lock(&uart->lock);
	value = uart_regs_read(&uart->regs, (unsigned int)off);
	kick = should_kick(uart);
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
	if (kick)
		chardev_rx_kick(uart->config.chardev);
	return value;
}

static void uart_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct uart *uart = opaque;
	bool kick;

	(void)size;
	if (off == UART_RBR) {
		write_tx(uart, (uint8_t)value);
		return;
	}
	pthread_mutex_lock(&uart->lock);
	uart_regs_write(&uart->regs, (unsigned int)off, (uint8_t)value);
	kick = should_kick(uart);
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
	if (kick)
		chardev_rx_kick(uart->config.chardev);
}

static const struct bus_ops uart_ops = {.read = uart_read, .write = uart_write, .max_size = 1};

/* ---- called by the back end ---- */

static size_t uart_rx_room(void *opaque)
{
	struct uart *uart = opaque;
	unsigned int room;

	pthread_mutex_lock(&uart->lock);
	room = rx_room(uart);
	if (room < UART_FIFO)
		uart->rx_wanted = true;
	pthread_mutex_unlock(&uart->lock);
	return room;
}

static void uart_rx(void *opaque, const uint8_t *buf, size_t len)
{
	struct uart *uart = opaque;

	pthread_mutex_lock(&uart->lock);
	for (size_t i = 0; i < len; i++)
		uart_regs_receive(&uart->regs, buf[i], 0);
	if (!uart_regs_rx_room(&uart->regs))
		uart->rx_wanted = true;
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
}

static void uart_tx_ready(void *opaque)
{
	struct uart *uart = opaque;

	pthread_mutex_lock(&uart->tx_order);
	pthread_mutex_lock(&uart->lock);
	uart->tx_blocked = false;
	drain(uart);
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
	pthread_mutex_unlock(&uart->tx_order);
}

static void uart_event(void *opaque, enum chardev_event event)
{
	struct uart *uart = opaque;

	pthread_mutex_lock(&uart->lock);
	switch (event) {
	case CHARDEV_BREAK:
		uart_regs_receive(&uart->regs, 0, LSR_BI);
		break;
	case CHARDEV_CONNECTED:
		uart_regs_set_wire(&uart->regs, WIRE_UP);
		break;
	case CHARDEV_DISCONNECTED:
		uart_regs_set_wire(&uart->regs, 0);
		break;
	case CHARDEV_RESIZED:
		break;
	}
	update_irq(uart);
	pthread_mutex_unlock(&uart->lock);
}

static const struct chardev_handler uart_handler = {
	.rx_room = uart_rx_room,
	.rx = uart_rx,
	.tx_ready = uart_tx_ready,
	.event = uart_event,
};

/* Looks at the cable again: what happened to it before the handler was there was told to nobody. */
static void attach(struct uart *uart)
{
	struct chardev *dev = uart->config.chardev;

	chardev_attach(dev, &uart_handler, uart);
	uart_event(uart, chardev_connected(dev) ? CHARDEV_CONNECTED : CHARDEV_DISCONNECTED);
	/* It may hold bytes that an earlier front end had no room for. */
	chardev_rx_kick(dev);
}

int uart_create(const struct uart_config *config, struct uart **ret)
{
	struct uart *uart = calloc(1, sizeof(*uart));
	int rc;

	if (!uart)
		return -ENOMEM;
	uart->config = *config;
	pthread_mutex_init(&uart->tx_order, NULL);
	pthread_mutex_init(&uart->lock, NULL);
	uart_regs_reset(&uart->regs, chardev_connected(config->chardev) ? WIRE_UP : 0);
	uart->region = (struct bus_region){.name = config->name,
		.base = config->port,
		.size = UART_PORTS,
		.ops = &uart_ops,
		.opaque = uart};
	rc = bus_add(config->pio, &uart->region);
	if (rc)
		goto free_uart;
	if (config->chardev)
		attach(uart);
	*ret = uart;
	return 0;
free_uart:
	pthread_mutex_destroy(&uart->lock);
	pthread_mutex_destroy(&uart->tx_order);
	free(uart);
	return rc;
}

int uart_sysrq(struct uart *uart, uint8_t key)
{
	int rc = 0;

	pthread_mutex_lock(&uart->lock);
	if (!uart->regs.listening) {
		rc = -EAGAIN;
	} else if (uart->sysrq_left) {
		rc = -EBUSY;
	} else {
		uart->sysrq_key = key;
		uart->sysrq_left = SYSRQ_BREAK_AND_KEY;
		send_sysrq(uart);
		uart->rx_wanted = true;
		update_irq(uart);
	}
	pthread_mutex_unlock(&uart->lock);
	return rc;
}

/* What a slow reader has kept in the FIFO belongs to the guest's last words: one more chance. */
static void finish_output(struct uart *uart)
{
	pthread_mutex_lock(&uart->tx_order);
	if (uart->tx_blocked) {
		chardev_flush(uart->config.chardev);
		pthread_mutex_lock(&uart->lock);
		uart->tx_blocked = false;
		drain(uart);
		pthread_mutex_unlock(&uart->lock);
	}
	pthread_mutex_unlock(&uart->tx_order);
}

void uart_destroy(struct uart *uart)
{
	if (!uart)
		return;
	finish_output(uart);
	if (uart->config.chardev)
		chardev_attach(uart->config.chardev, NULL, NULL);
	bus_remove(uart->config.pio, &uart->region);
	pthread_mutex_destroy(&uart->lock);
	pthread_mutex_destroy(&uart->tx_order);
	free(uart);
}
