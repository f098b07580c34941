/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything the guest reads back is derived from a small state: LSR from the FIFOs and the latched
 * errors, IIR and the interrupt pin from LSR, MSR and IER. A change therefore never has to touch
 * several registers; only latches (errors, MSR deltas, the THRE cause) are stored.
 *
 * Word length, parity and stop bits are stored and otherwise ignored: LCR's reset value means five
 * bits, and programs that print without setting the port up would lose the upper three of each.
 */
#include "uart_regs.h"

#include <string.h>

static bool fifo_mode(const struct uart_regs *regs)
{
	return regs->fcr & FCR_ENABLE;
}

static bool loopback(const struct uart_regs *regs)
{
	return regs->mcr & MCR_LOOP;
}

static unsigned int fifo_size(const struct uart_regs *regs)
{
	return fifo_mode(regs) ? UART_FIFO : 1;
}

static void fifo_push(struct uart_fifo *fifo, uint8_t byte, uint8_t error)
{
	unsigned int at = (fifo->head + fifo->count) % UART_FIFO;

	fifo->data[at] = byte;
	fifo->error[at] = error;
	fifo->count++;
}

static void fifo_drop(struct uart_fifo *fifo, unsigned int n)
{
	fifo->head = (fifo->head + n) % UART_FIFO;
	fifo->count -= n;
}

/* ---- receiver ---- */

/* An error shows in LSR once its byte is at the top; from then on the latch holds it. */
static void reveal_error(struct uart_regs *regs)
{
	struct uart_fifo *rx = &regs->rx;

	if (!rx->count)
		return;
	regs->line_error |= rx->error[rx->head];
	rx->error[rx->head] = 0;
}

/* Overrun: a full FIFO keeps what it has, the single RBR is overwritten. */
static void take(struct uart_regs *regs, uint8_t byte, uint8_t error)
{
	if (regs->rx.count >= fifo_size(regs)) {
		regs->line_error |= LSR_OE;
		if (fifo_mode(regs))
			return;
		fifo_drop(&regs->rx, regs->rx.count);
	}
	fifo_push(&regs->rx, byte, error);
	reveal_error(regs);
}

void uart_regs_receive(struct uart_regs *regs, uint8_t byte, uint8_t error)
{
	if (!loopback(regs))
		take(regs, byte, error);
}

unsigned int uart_regs_rx_size(const struct uart_regs *regs)
{
	return loopback(regs) ? 0 : fifo_size(regs);
}

unsigned int uart_regs_rx_room(const struct uart_regs *regs)
{
	unsigned int size = regs->listening ? uart_regs_rx_size(regs) : 0;

	return size > regs->rx.count ? size - regs->rx.count : 0;
}

static uint8_t read_rbr(struct uart_regs *regs)
{
	uint8_t byte = regs->rx.data[regs->rx.head];

	if (!regs->rx.count)
		return 0;
	fifo_drop(&regs->rx, 1);
	reveal_error(regs);
	return byte;
}

static unsigned int rx_trigger(const struct uart_regs *regs)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return fifo_mode(regs) ? levels[(regs->fcr & FCR_TRIGGER) >> 6] : 1;
}

static uint8_t lsr(const struct uart_regs *regs)
{
	uint8_t value = regs->line_error, later = 0;

	for (unsigned int i = 0; i < regs->rx.count; i++)
		later |= regs->rx.error[(regs->rx.head + i) % UART_FIFO];
	if (regs->rx.count)
		value |= LSR_DR;
	if (!regs->tx.count)
		value |= LSR_THRE | LSR_TEMT;
	if (fifo_mode(regs) && ((regs->line_error & LSR_BI) || later))
		value |= LSR_FIFO_ERR;
	return value;
}

/* ---- transmitter ---- */

static void tx_empty(struct uart_regs *regs)
{
	regs->thre_pending = true;
}

static void write_thr(struct uart_regs *regs, uint8_t byte)
{
	regs->idle_polls = 0;
	if (loopback(regs)) {
		take(regs, byte, 0);
		if (!regs->tx.count)
			tx_empty(regs);
		return;
	}
	if (regs->tx.count >= fifo_size(regs))
		return;
	fifo_push(&regs->tx, byte, 0);
	regs->thre_pending = false;
}

unsigned int uart_regs_tx_peek(const struct uart_regs *regs, uint8_t buf[UART_FIFO])
{
	for (unsigned int i = 0; i < regs->tx.count; i++)
		buf[i] = regs->tx.data[(regs->tx.head + i) % UART_FIFO];
	return regs->tx.count;
}

void uart_regs_tx_done(struct uart_regs *regs, unsigned int cleared, unsigned int n)
{
	if (cleared != regs->tx_cleared || !n)
		return;
	fifo_drop(&regs->tx, n);
	if (!regs->tx.count)
		tx_empty(regs);
}

/* ---- the rest ---- */

static void clear_rx(struct uart_regs *regs)
{
	fifo_drop(&regs->rx, regs->rx.count);
}

static void clear_tx(struct uart_regs *regs)
{
	regs->tx_cleared++;
	if (!regs->tx.count)
		return;
	fifo_drop(&regs->tx, regs->tx.count);
	tx_empty(regs);
}

/*
 * Turning the FIFOs on or off empties them; the other bits count only with FCR_ENABLE set. One
 * difference to the chip: a byte received before the FIFOs are turned on moves into them, unless
 * the guest also asks to clear. Linux enables the receive interrupt first, the FIFOs second.
 */
static void write_fcr(struct uart_regs *regs, uint8_t value)
{
	bool toggled = (regs->fcr ^ value) & FCR_ENABLE;

	regs->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
	if ((toggled && !regs->fcr) || (regs->fcr && (value & FCR_CLEAR_RX)))
		clear_rx(regs);
	if (toggled || (regs->fcr && (value & FCR_CLEAR_TX)))
		clear_tx(regs);
}

static void write_ier(struct uart_regs *regs, uint8_t value)
{
	/* Asking for the THRE interrupt while there is room brings it at once. */
	if ((value & ~regs->ier & IER_THRI) && !regs->tx.count)
		tx_empty(regs);
	regs->ier = value & IER_ALL;
	if (value & IER_RDI)
		regs->listening = true;
}

static void write_lcr(struct uart_regs *regs, uint8_t value)
{
	bool break_starts = value & ~regs->lcr & LCR_BREAK;

	regs->lcr = value;
	if (break_starts && loopback(regs))
		take(regs, 0, LSR_BI);
}

/* What the four modem inputs see: the cable, or in loopback the outputs. */
static uint8_t modem_inputs(const struct uart_regs *regs)
{
	uint8_t lines = 0;

	if (!loopback(regs))
		return regs->wire;
	lines |= regs->mcr & MCR_RTS ? MSR_CTS : 0;
	lines |= regs->mcr & MCR_DTR ? MSR_DSR : 0;
	lines |= regs->mcr & MCR_OUT1 ? MSR_RI : 0;
	lines |= regs->mcr & MCR_OUT2 ? MSR_DCD : 0;
	return lines;
}

/* Latches a delta for each input that changed; the ring indicator only tells its end. */
static void update_msr(struct uart_regs *regs)
{
	uint8_t now = modem_inputs(regs), was = regs->msr & MSR_LINES;
	uint8_t deltas = ((now ^ was) & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;

	if (was & ~now & MSR_RI)
		deltas |= MSR_TERI;
	regs->msr = (uint8_t)((regs->msr & MSR_DELTAS) | deltas | now);
}

void uart_regs_set_wire(struct uart_regs *regs, uint8_t wire)
{
	regs->wire = wire;
	update_msr(regs);
}

uint8_t uart_regs_cause(const struct uart_regs *regs)
{
	const uint8_t ier = regs->ier;

	if ((ier & IER_RLSI) && regs->line_error)
		return IIR_LINE;
	if ((ier & IER_RDI) && regs->rx.count >= rx_trigger(regs))
		return IIR_DATA;
	if ((ier & IER_RDI) && regs->rx.count)
		return IIR_TIMEOUT;
	if ((ier & IER_THRI) && regs->thre_pending)
		return IIR_THRE;
	if ((ier & IER_MSI) && (regs->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

bool uart_regs_irq(const struct uart_regs *regs)
{
	return (regs->mcr & MCR_OUT2) && !loopback(regs) && uart_regs_cause(regs) != IIR_NONE;
}

static uint8_t read_iir(struct uart_regs *regs)
{
	uint8_t cause = uart_regs_cause(regs);

	if (cause == IIR_THRE)
		regs->thre_pending = false;
	return cause | (fifo_mode(regs) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart_regs *regs)
{
	uint8_t value = lsr(regs);

	regs->line_error = 0;
	/* One who sends looks once or twice between bytes; more often means waiting to receive. */
	if (!regs->listening && ++regs->idle_polls >= UART_IDLE_POLLS)
		regs->listening = true;
	return value;
}

static uint8_t read_msr(struct uart_regs *regs)
{
	uint8_t value = regs->msr;

	regs->msr &= MSR_LINES;
	return value;
}

uint8_t uart_regs_read(struct uart_regs *regs, unsigned int off)
{
	const bool dlab = regs->lcr & LCR_DLAB;

	switch (off) {
	case UART_RBR:
		return dlab ? regs->dll : read_rbr(regs);
	case UART_IER:
		return dlab ? regs->dlm : regs->ier;
	case UART_IIR:
		return read_iir(regs);
	case UART_LCR:
		return regs->lcr;
	case UART_MCR:
		return regs->mcr;
	case UART_LSR:
		return read_lsr(regs);
	case UART_MSR:
		return read_msr(regs);
	default:
		return regs->scr;
	}
}

void uart_regs_write(struct uart_regs *regs, unsigned int off, uint8_t value)
{
	const bool dlab = regs->lcr & LCR_DLAB;

	switch (off) {
	case UART_RBR:
		if (dlab)
			regs->dll = value;
		else
			write_thr(regs, value);
		break;
	case UART_IER:
		if (dlab)
			regs->dlm = value;
		else
			write_ier(regs, value);
		break;
	case UART_IIR:
		write_fcr(regs, value);
		break;
	case UART_LCR:
		write_lcr(regs, value);
		break;
	case UART_MCR:
		regs->mcr = value & MCR_ALL;
		if ((value & MCR_RTS) && !loopback(regs))
			regs->listening = true;
		update_msr(regs);
		break;
	case UART_SCR:
		regs->scr = value;
		break;
	default: /* LSR and MSR: writing them is for the factory's tests */
		break;
	}
}

void uart_regs_reset(struct uart_regs *regs, uint8_t wire)
{
	memset(regs, 0, sizeof(*regs));
	regs->dll = 12; /* 9600 baud, what firmware leaves */
	regs->wire = wire;
	regs->msr = wire;
}
