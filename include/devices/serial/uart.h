/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UART 16550A (National Semiconductor PC16550D data sheet): FIFOs, all interrupt causes, modem
 * lines, loopback. Bytes take no time on the wire: the receiver's character timeout is reported at
 * once when fewer bytes than the trigger level wait.
 *
 * Locking: one mutex; register accesses come from vCPU threads, back end callbacks from the event
 * loop. The back end is never called with the mutex held.
 */
#ifndef BANTAM_DEVICES_SERIAL_UART_H
#define BANTAM_DEVICES_SERIAL_UART_H

#include "vm/core/base.h"
#include "vm/core/irq.h"

struct bus;
struct chardev;
struct uart;

struct uart_config {
	const char *name; /* "com1"; static */
	struct bus *pio;
	uint16_t port;		 /* base of 8 registers */
	struct irq_line irq;	 /* level: high while a cause that IER enables is pending */
	struct chardev *chardev; /* NULL: nothing is connected, output vanishes; not owned */
};

/* Adds itself to the bus and attaches to the back end. */
int uart_create(const struct uart_config *config, struct uart **ret);
/* Detaches, removes itself. The vCPUs have stopped. NULL is allowed. */
void uart_destroy(struct uart *uart);

/*
 * A break and then a byte, which Linux takes for a SysRq command, before all that its back end may
 * have. What does not fit yet waits for the guest to read. -EAGAIN: the guest has never listened;
 * -EBUSY: one waits already. On the event loop's thread.
 */
int uart_sysrq(struct uart *uart, uint8_t key);

#endif
