/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The register half of the UART: what the guest's accesses and the two wires do to the chip's
 * state. Knows no lock, no bus and no back end; uart.c wraps it in all three.
 */
#ifndef BANTAM_DEVICES_SERIAL_UART_REGS_H
#define BANTAM_DEVICES_SERIAL_UART_REGS_H

#include "vm/core/base.h"

#define UART_FIFO 16u

/* LSR reads in a row that tell a guest which polls for input. */
#define UART_IDLE_POLLS 32u

/* Register offsets and bits: PC16550D data sheet, table II. */
enum {
	UART_RBR = 0, /* read; THR when written; DLL under DLAB */
	UART_IER = 1, /* DLM under DLAB */
	UART_IIR = 2, /* read; FCR when written */
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCR = 7,
	UART_PORTS = 8,

	IER_RDI = 0x01,
	IER_THRI = 0x02,
	IER_RLSI = 0x04,
	IER_MSI = 0x08,
	IER_ALL = 0x0f,

	IIR_MODEM = 0x00,
	IIR_NONE = 0x01,
	IIR_THRE = 0x02,
	IIR_DATA = 0x04,
	IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RX = 0x02,
	FCR_CLEAR_TX = 0x04,
	FCR_TRIGGER = 0xc0,

	LCR_BREAK = 0x40,
	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_ALL = 0x1f,

	LSR_DR = 0x01,
	LSR_OE = 0x02,
	LSR_BI = 0x10,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,
	LSR_FIFO_ERR = 0x80,

	MSR_DELTAS = 0x0f,
	MSR_TERI = 0x04,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
	MSR_LINES = 0xf0,
};

struct uart_fifo {
	uint8_t data[UART_FIFO];
	uint8_t error[UART_FIFO]; /* LSR_BI of the byte; receiver only */
	unsigned int head, count;
};

struct uart_regs {
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	uint8_t fcr;	    /* FCR_ENABLE and FCR_TRIGGER as written */
	uint8_t line_error; /* LSR_OE and LSR_BI, latched until LSR is read */
	uint8_t msr;
	uint8_t wire;	   /* MSR_LINES as the other end of the cable drives them */
	bool thre_pending; /* the THRE cause: set when THR empties, cleared by IIR read, THR write
			    */
	/*
	 * The guest wants to receive: it raised RTS, enabled the interrupt, or polls. Before that
	 * input waits outside, for drivers throw away what they find when they open a port.
	 */
	bool listening;
	unsigned int idle_polls; /* reads of LSR in a row without a byte sent */
	struct uart_fifo rx, tx;
	unsigned int tx_cleared; /* counts what uart_regs_tx_done must know about */
};

void uart_regs_reset(struct uart_regs *regs, uint8_t wire);

/* off < UART_PORTS. A THR write leaves its byte in the transmit FIFO; with that full it is lost. */
uint8_t uart_regs_read(struct uart_regs *regs, unsigned int off);
void uart_regs_write(struct uart_regs *regs, unsigned int off, uint8_t value);

/* IIR without the FIFO bits: the enabled cause with the highest priority, or IIR_NONE. */
uint8_t uart_regs_cause(const struct uart_regs *regs);
/* The interrupt pin behind the PC's gate: OUT2, which loopback holds inactive. */
bool uart_regs_irq(const struct uart_regs *regs);

/* Bytes that the receiver takes in from the wire now, and what it takes with an empty FIFO. */
unsigned int uart_regs_rx_room(const struct uart_regs *regs);
unsigned int uart_regs_rx_size(const struct uart_regs *regs);
/* From the wire, which loopback cuts. error is 0 or LSR_BI (with byte 0). */
void uart_regs_receive(struct uart_regs *regs, uint8_t byte, uint8_t error);
void uart_regs_set_wire(struct uart_regs *regs, uint8_t wire);

/* Copies the transmit FIFO, oldest byte first. Returns the count. */
unsigned int uart_regs_tx_peek(const struct uart_regs *regs, uint8_t buf[UART_FIFO]);
/*
 * The first n bytes of the last peek are on the wire; cleared is tx_cleared of that time, so that
 * bytes written since the guest cleared the FIFO are not taken for them.
 */
void uart_regs_tx_done(struct uart_regs *regs, unsigned int cleared, unsigned int n);

#endif
