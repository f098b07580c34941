/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a list of two-byte operations: register accesses of any size, and what a back end
 * does. A model with two plain queues says what must come out at either end: every byte taken comes
 * out once and in order, the receiver is never given more than fits, the line is what IIR and MCR
 * say, a back end that holds bytes for an empty receiver has been kicked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/serial/uart.h"
#include "vm/core/bus.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_chardev.c"
#include "../unit/fakes/fake_clock.c"
#include "../unit/fakes/fake_machine.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { PORT = 0x3f8, GSI = 4, OPS_MAX = 4096 };

struct queue {
	uint8_t byte[16];
	unsigned int count;
};

struct model {
	struct fake_machine machine;
	struct fake_chardev dev;
	struct uart *uart;
	uint8_t lcr, mcr, fcr;
	struct queue rx, tx;
	size_t out_seen;
	bool listening; /* input is let in */
	unsigned int polls;
};

static unsigned int fifo_size(const struct model *m)
{
	return m->fcr & 1 ? 16 : 1;
}

static void pop(struct queue *q)
{
	CHECK(q->count);
	memmove(q->byte, q->byte + 1, --q->count);
}

static void receive(struct model *m, uint8_t byte)
{
	if (m->rx.count == fifo_size(m)) {
		if (m->fcr & 1)
			return;
		m->rx.count = 0;
	}
	m->rx.byte[m->rx.count++] = byte;
}

/* What has reached the back end since the last look is what the transmitter held, in order. */
static void match_output(struct model *m)
{
	for (; m->out_seen < m->dev.out_len; m->out_seen++) {
		CHECK(m->tx.count && m->tx.byte[0] == m->dev.out[m->out_seen]);
		pop(&m->tx);
	}
	if (!m->dev.tx_blocked)
		CHECK(!m->tx.count);
	fake_chardev_clear(&m->dev);
	m->out_seen = 0;
}

/* Lets the back end deliver and takes over what it got rid of. */
static void deliver_by(struct model *m, const uint8_t *buf, size_t len)
{
	uint8_t all[64];
	size_t before = m->dev.in_len, given;

	if (before + len > sizeof(all))
		return;
	if (before)
		memcpy(all, m->dev.in, before);
	if (len)
		memcpy(all + before, buf, len);
	if (buf)
		fake_chardev_type(&m->dev, buf, len);
	else
		fake_chardev_run(&m->dev);
	given = before + len - m->dev.in_len;
	CHECK(given <= fifo_size(m) - m->rx.count);
	CHECK(!given || (m->listening && !(m->mcr & 0x10)));
	for (size_t i = 0; i < given; i++)
		receive(m, all[i]);
}

static void write_reg(struct model *m, unsigned int off, uint8_t value)
{
	bool toggled = off == 2 && ((m->fcr ^ value) & 1);

	switch (off) {
	case 0:
		if (m->lcr & 0x80)
			break;
		m->polls = 0;
		if (m->mcr & 0x10)
			receive(m, value);
		else if (m->tx.count < fifo_size(m))
			m->tx.byte[m->tx.count++] = value;
		break;
	case 1:
		if (!(m->lcr & 0x80) && (value & 1))
			m->listening = true;
		break;
	case 2:
		if ((toggled && !(value & 1)) || (value & 3) == 3)
			m->rx.count = 0;
		if (toggled || (value & 5) == 5)
			m->tx.count = 0;
		m->fcr = value;
		break;
	case 3:
		if ((value & ~m->lcr & 0x40) && (m->mcr & 0x10))
			receive(m, 0);
		m->lcr = value;
		break;
	case 4:
		m->mcr = value;
		if ((value & 0x12) == 0x02)
			m->listening = true;
		break;
	default:
		break;
	}
}

static void check_read(struct model *m, unsigned int off, uint8_t value)
{
	switch (off) {
	case 0:
		if (m->lcr & 0x80)
			break;
		CHECK(value == (m->rx.count ? m->rx.byte[0] : 0));
		if (m->rx.count)
			pop(&m->rx);
		break;
	case 2:
		CHECK((value & 0xf0) == (m->fcr & 1 ? 0xc0 : 0));
		break;
	case 3:
		CHECK(value == m->lcr);
		break;
	case 4:
		CHECK(value == (m->mcr & 0x1f));
		break;
	case 5:
		CHECK((value & 1) == (m->rx.count != 0));
		CHECK((value & 0x60) == (m->tx.count ? 0 : 0x60));
		CHECK(!(value & 0x0c));
		CHECK((m->fcr & 1) || !(value & 0x80));
		if (++m->polls >= 32)
			m->listening = true;
		break;
	default:
		break;
	}
}

static void check_line(struct model *m)
{
	bool level = m->machine.lines[GSI].level;
	uint8_t iir = fake_machine_in(&m->machine, PORT + 2);

	CHECK(level == ((m->mcr & 0x18) == 0x08 && !(iir & 1)));
	CHECK((iir & 0x0f) == 0x0c || !(iir & 0x08));
	/* THRE is gone by being read; what is left keeps the line up only as another cause. */
	if ((iir & 0x0f) == 2 && !(fake_machine_in(&m->machine, PORT + 2) & 1))
		CHECK((fake_machine_in(&m->machine, PORT + 2) & 0x0f) == 0);
}

static void back_end(struct model *m, uint8_t what, uint8_t arg)
{
	static const uint8_t text[] = "0123456789abcdefghijklmnopqrst";

	switch (what & 7) {
	case 0:
	case 1:
		deliver_by(m, text + arg % 8, arg / 8 % 20);
		break;
	case 2:
		deliver_by(m, NULL, 0);
		break;
	case 3:
		fake_chardev_allow(&m->dev, arg % 32);
		break;
	case 4:
		fake_chardev_allow(&m->dev, SIZE_MAX);
		break;
	default:
		if ((arg & 3) == CHARDEV_BREAK && !(m->mcr & 0x10))
			receive(m, 0);
		fake_chardev_event(&m->dev, (enum chardev_event)(arg & 3));
		break;
	}
}

static void access_port(struct model *m, uint8_t what, uint8_t arg)
{
	unsigned int off = what & 7, size = 1u << (what >> 3 & 1);
	uint64_t value = arg | (uint64_t)(arg ^ 0x5a) << 8;

	if (off + size > 8)
		size = 1;
	if (what & 0x10) {
		for (unsigned int i = 0; i < size; i++)
			write_reg(m, off + i, (uint8_t)(value >> (8 * i)));
		bus_write(m->machine.pio, PORT + off, size, value);
		return;
	}
	value = bus_read(m->machine.pio, PORT + off, size);
	for (unsigned int i = 0; i < size; i++)
		check_read(m, off + i, (uint8_t)(value >> (8 * i)));
}

static void create(struct model *m)
{
	struct uart_config config = {.name = "com1",
		.pio = m->machine.pio,
		.port = PORT,
		.irq = fake_machine_irq(&m->machine, GSI),
		.chardev = &m->dev.dev};

	CHECK(uart_create(&config, &m->uart) == 0);
	m->lcr = m->mcr = m->fcr = 0;
	m->rx.count = m->tx.count = 0;
	m->listening = false;
	m->polls = 0;
}

/* Whatever came before, a new one starts the same. */
static void check_fresh(struct model *m)
{
	static const uint8_t image[8] = {0, 0, 1, 0, 0, 0x60, 0xb0, 0};

	uart_destroy(m->uart);
	CHECK(!m->dev.dev.handler);
	m->dev.is_connected = true;
	create(m);
	for (unsigned int off = 0; off < 8; off++)
		CHECK(fake_machine_in(&m->machine, (uint16_t)(PORT + off)) == image[off]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct model m;

	memset(&m, 0, sizeof(m));
	fake_machine_create(&m.machine);
	fake_chardev_init(&m.dev);
	create(&m);
	for (size_t i = 0; i + 1 < len && i < OPS_MAX; i += 2) {
		if (data[i] & 0x80)
			back_end(&m, data[i], data[i + 1]);
		else
			access_port(&m, data[i], data[i + 1]);
		match_output(&m);
		if (data[i] & 0x20)
			check_line(&m);
		if (m.dev.in_len && m.listening && !m.rx.count && !(m.mcr & 0x10))
			CHECK(m.dev.kicked);
	}
	check_fresh(&m);
	uart_destroy(m.uart);
	fake_chardev_fini(&m.dev);
	fake_machine_destroy(&m.machine);
	return 0;
}
