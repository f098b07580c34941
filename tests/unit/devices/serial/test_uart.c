/* SPDX-License-Identifier: BSD-2-Clause */
/* The UART as a driver sees it at its ports, and as the back end sees it from behind. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/serial/uart.h"
#include "fakes/fake_chardev.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

/* clang-format off */
enum { B = 0x3f8, GSI = 4 };
enum { RBR = B, THR = B, DLL = B, IER = B + 1, DLM = B + 1, IIR = B + 2, FCR = B + 2, LCR = B + 3,
       MCR = B + 4, LSR = B + 5, MSR = B + 6, SCR = B + 7 };
/* clang-format on */

struct fixture {
	struct fake_machine machine;
	struct fake_chardev dev;
	struct uart *uart;
};

#include "fakes/port_rig.h"

static int setup(void **state)
{
	struct fixture *f = fixture_create();
	fake_chardev_init(&f->dev);
	struct uart_config config = {.name = "com1",
		.pio = f->machine.pio,
		.port = B,
		.irq = fake_machine_irq(&f->machine, GSI),
		.chardev = &f->dev.dev};

	if (uart_create(&config, &f->uart))
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	uart_destroy(f->uart);
	fake_chardev_fini(&f->dev);
	fixture_destroy(f);
	return 0;
}

/* As a driver that opens the port: from now on the receiver takes what comes. */
static void raise_rts(struct fixture *f)
{
	out(f, MCR, 0x02);
	out(f, MCR, 0x00);
}

static void registers_hold_what_they_should(void **state)
{
	static const struct port_op table[] = {
		/* After reset */
		IN(IER, 0x00, IRQ_LOW),
		IN(IIR, 0x01, IRQ_LOW),
		IN(LCR, 0x00, IRQ_LOW),
		IN(MCR, 0x00, IRQ_LOW),
		IN(LSR, 0x60, IRQ_LOW),
		IN(MSR, 0xb0, IRQ_LOW),
		IN(SCR, 0x00, IRQ_LOW),
		IN(RBR, 0x00, IRQ_LOW),
		/* What is stored of each */
		OUT(IER, 0xf0, IRQ_LOW),
		IN(IER, 0x00, IRQ_LOW),
		OUT(LCR, 0x7f, IRQ_LOW),
		IN(LCR, 0x7f, IRQ_LOW),
		OUT(MCR, 0xef, IRQ_LOW),
		IN(MCR, 0x0f, IRQ_LOW),
		OUT(LSR, 0xff, IRQ_LOW),
		IN(LSR, 0x60, IRQ_LOW),
		OUT(MSR, 0xff, IRQ_LOW),
		IN(MSR, 0xb0, IRQ_LOW),
		OUT(SCR, 0xa5, IRQ_LOW),
		IN(SCR, 0xa5, IRQ_LOW),
		/* The divisor is behind DLAB, and only it */
		OUT(LCR, 0x83, IRQ_LOW),
		OUT(DLL, 0x34, IRQ_LOW),
		OUT(DLM, 0x12, IRQ_LOW),
		IN(DLL, 0x34, IRQ_LOW),
		IN(DLM, 0x12, IRQ_LOW),
		IN(SCR, 0xa5, IRQ_LOW),
		OUT(LCR, 0x03, IRQ_LOW),
		IN(IER, 0x00, IRQ_LOW),
		/* A word at an odd place is two bytes */
		{.op = OP_READ, .port = SCR - 1, .size = 2, .value = 0xa5b0, .irq = IRQ_LOW},
	};
	struct fixture *f = *state;

	RUN(f, table);
	assert_int_equal(f->dev.out_len, 0);
}

/* What Linux's 8250 driver tries before it believes in a 16550A and nothing more. */
static void linux_finds_a_16550a(void **state)
{
	static const struct port_op table[] = {
		OUT(IER, 0x00, IRQ_LOW),
		IN_MASK(IER, 0x00, 0x0f, IRQ_LOW),
		OUT(IER, 0x0f, IRQ_LOW),
		IN_MASK(IER, 0x0f, 0x0f, IRQ_LOW),
		OUT(IER, 0x00, IRQ_LOW),
		/* loop-back */
		OUT(MCR, 0x1a, IRQ_LOW),
		IN_MASK(MSR, 0x90, 0xf0, IRQ_LOW),
		OUT(MCR, 0x00, IRQ_LOW),
		/* FIFO with no second identity */
		OUT(LCR, 0xbf, IRQ_LOW),
		OUT(FCR, 0x00, IRQ_LOW),
		OUT(LCR, 0x00, IRQ_LOW),
		OUT(FCR, 0x01, IRQ_LOW),
		IN_MASK(IIR, 0xc0, 0xc0, IRQ_LOW),
		OUT(LCR, 0x80, IRQ_LOW),
		{.op = OP_READ, .port = IIR, .size = 1, .value = 0xc1, .why = "no EFR at DLAB"},
		OUT(LCR, 0xbf, IRQ_LOW),
		{.op = OP_READ, .port = IIR, .size = 1, .value = 0xc1, .why = "no EFR at 0xbf"},
		/* neither a 16750 */
		OUT(LCR, 0x00, IRQ_LOW),
		OUT(FCR, 0x21, IRQ_LOW),
		IN_MASK(IIR, 0xc0, 0xe0, IRQ_LOW),
		OUT(FCR, 0x01, IRQ_LOW),
		OUT(LCR, 0x80, IRQ_LOW),
		OUT(FCR, 0x21, IRQ_LOW),
		IN_MASK(IIR, 0xc0, 0xe0, IRQ_LOW),
		OUT(FCR, 0x01, IRQ_LOW),
		OUT(LCR, 0x00, IRQ_LOW),
		/* nor an XScale */
		OUT(IER, 0x40, IRQ_LOW),
		IN(IER, 0x00, IRQ_LOW),
		/* nor a National super I/O: loop-back must not show behind LCR 0xe0 */
		OUT(MCR, 0x10, IRQ_LOW),
		OUT(LCR, 0xe0, IRQ_LOW),
		IN_MASK(IIR, 0x00, 0x10, IRQ_LOW),
		OUT(LCR, 0x00, IRQ_LOW),
		OUT(MCR, 0x00, IRQ_LOW),
		/* LSR is there; 0xe0 has just sent a break round the loop, as on the chip */
		IN(LSR, 0xf1, IRQ_LOW),
		OUT(FCR, 0x07, IRQ_LOW),
		IN(LSR, 0x60, IRQ_LOW),
		/* the THRE interrupt comes back when it is asked for again */
		OUT(IER, 0x02, IRQ_LOW),
		IN(IIR, 0xc2, IRQ_LOW),
		OUT(IER, 0x00, IRQ_LOW),
		OUT(IER, 0x02, IRQ_LOW),
		IN(IIR, 0xc2, IRQ_LOW),
		OUT(IER, 0x00, IRQ_LOW),
	};

	RUN((struct fixture *)*state, table);
}

static void thre_interrupt(void **state)
{
	static const struct port_op enable[] = {
		OUT(FCR, 0x07, IRQ_LOW),
		OUT(MCR, 0x0b, IRQ_LOW),
		OUT(IER, 0x02, IRQ_HIGH),
		OUT(IER, 0x02, IRQ_HIGH),
		IN(IIR, 0xc2, IRQ_LOW),
		IN(IIR, 0xc1, IRQ_LOW),
		OUT(IER, 0x02, IRQ_LOW), /* enabled already: no new cause */
		OUT(THR, 'a', IRQ_HIGH), /* taken at once */
		IN(LSR, 0x60, IRQ_HIGH), /* does not clear it */
		IN(IIR, 0xc2, IRQ_LOW),
		OUT(THR, 'b', IRQ_HIGH),
		OUT(IER, 0x00, IRQ_LOW),
		IN(IIR, 0xc1, IRQ_LOW),
	};
	static const struct port_op blocked[] = {
		OUT(IER, 0x02, IRQ_HIGH), OUT(THR, 'c', IRQ_LOW), IN(LSR, 0x00, IRQ_LOW),
		IN(IIR, 0xc1, IRQ_LOW), OUT(IER, 0x00, IRQ_LOW),
		OUT(IER, 0x02, IRQ_LOW), /* not empty: nothing to tell */
	};
	static const struct port_op ready[] = {
		IN(LSR, 0x60, IRQ_HIGH),
		IN(IIR, 0xc2, IRQ_LOW),
	};
	struct fixture *f = *state;

	RUN(f, enable);
	f->dev.budget = 0;
	RUN(f, blocked);
	fake_chardev_allow(&f->dev, SIZE_MAX);
	assert_true(irq(f));
	RUN(f, ready);
	assert_int_equal(f->dev.out_len, 3);
	assert_memory_equal(f->dev.out, "abc", 3);
}

/* Sixteen bytes in one go cost two changes of the line, not thirty-two. */
static void a_burst_moves_the_line_once(void **state)
{
	struct fixture *f = *state;

	out(f, FCR, 0x01);
	out(f, MCR, 0x08);
	out(f, IER, 0x02);
	in(f, IIR);
	f->machine.lines[GSI].calls = 0;
	for (unsigned int i = 0; i < 16; i++)
		out(f, THR, (uint8_t)i);
	assert_int_equal(f->machine.lines[GSI].calls, 1);
	assert_int_equal(f->dev.out_len, 16);
}

static void transmit_fifo_holds_sixteen(void **state)
{
	struct fixture *f = *state;
	uint8_t expected[19];

	for (unsigned int fifo = 0; fifo < 2; fifo++) {
		unsigned int size = fifo ? 16 : 1, sent = 0;

		out(f, FCR, (uint8_t)fifo);
		fake_chardev_clear(&f->dev);
		f->dev.budget = 0;
		f->dev.writes = 0;
		while (sent < size + 3) {
			expected[sent] = (uint8_t)(0x80 + sent);
			out(f, THR, expected[sent++]);
			assert_int_equal(in(f, LSR), 0);
		}
		assert_int_equal(f->dev.writes, 1); /* no more until it is ready */
		/* What did not fit is gone, what did is sent once, bit by bit. */
		fake_chardev_allow(&f->dev, 1);
		assert_int_equal(f->dev.out_len, 1);
		assert_int_equal(in(f, LSR), fifo ? 0 : 0x60);
		fake_chardev_allow(&f->dev, SIZE_MAX);
		assert_int_equal(in(f, LSR), 0x60);
		assert_int_equal(f->dev.out_len, size);
		assert_memory_equal(f->dev.out, expected, size);
	}
}

static void clearing_the_transmit_fifo(void **state)
{
	struct fixture *f = *state;

	out(f, FCR, 0x01);
	out(f, MCR, 0x08);
	out(f, IER, 0x02);
	f->dev.budget = 0;
	out(f, THR, 'x');
	assert_false(irq(f));
	out(f, FCR, 0x05);
	assert_true(irq(f));
	assert_int_equal(in(f, LSR), 0x60);
	out(f, THR, 'y');
	fake_chardev_allow(&f->dev, SIZE_MAX);
	assert_int_equal(f->dev.out_len, 1);
	assert_int_equal(f->dev.out[0], 'y');
	/* The clear bits mean nothing without the enable bit, but turning the FIFOs off clears. */
	f->dev.budget = 0;
	out(f, FCR, 0x00);
	out(f, THR, 'z');
	out(f, FCR, 0x04);
	assert_int_equal(in(f, LSR), 0x00);
	out(f, FCR, 0x01);
	assert_int_equal(in(f, LSR), 0x60);
}

static void receive_interrupts_follow_the_trigger(void **state)
{
	static const struct {
		uint8_t fcr, level;
	} triggers[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
	struct fixture *f = *state;

	out(f, MCR, 0x08);
	out(f, IER, 0x01);
	for (unsigned int t = 0; t < ARRAY_SIZE(triggers); t++) {
		out(f, FCR, triggers[t].fcr | 0x06);
		assert_false(irq(f));
		for (unsigned int n = 1; n <= 16; n++) {
			fake_chardev_type(&f->dev, "x", 1);
			assert_int_equal(in(f, IIR), n >= triggers[t].level ? 0xc4 : 0xcc);
			assert_true(irq(f));
			assert_int_equal(in(f, LSR), 0x61);
		}
		for (unsigned int n = 15; n; n--) {
			assert_int_equal(in(f, RBR), 'x');
			assert_int_equal(in(f, IIR), n >= triggers[t].level ? 0xc4 : 0xcc);
		}
		in(f, RBR);
		assert_int_equal(in(f, IIR), 0xc1);
		assert_false(irq(f));
	}
	/* Without FIFOs there is no trigger and no timeout. */
	out(f, FCR, 0x00);
	fake_chardev_type(&f->dev, "y", 1);
	assert_int_equal(in(f, IIR), 0x04);
	assert_int_equal(in(f, RBR), 'y');
	assert_false(irq(f));
}

/* Each cause over those below it; each goes by its own remedy. */
static void causes_have_their_order(void **state)
{
	static const struct port_op table[] = {
		OUT(IER, 0x0f, IRQ_HIGH),
		IN(IIR, 0xc6, IRQ_HIGH), /* line status: read LSR */
		IN(IIR, 0xc6, IRQ_HIGH),
		IN(LSR, 0xf1, IRQ_HIGH),
		IN(IIR, 0xc4, IRQ_HIGH), /* data at the trigger: read RBR */
		IN(RBR, 0x00, IRQ_HIGH),
		IN(IIR, 0xcc, IRQ_HIGH), /* below the trigger: timeout */
		IN(RBR, 'a', IRQ_HIGH),
		IN(RBR, 'b', IRQ_HIGH),
		IN(RBR, 'c', IRQ_HIGH),
		IN(IIR, 0xc2, IRQ_HIGH), /* THRE: reading IIR */
		IN(IIR, 0xc0, IRQ_HIGH), /* modem status: read MSR */
		IN(IIR, 0xc0, IRQ_HIGH),
		IN(MSR, 0x0b, IRQ_LOW),
		IN(IIR, 0xc1, IRQ_LOW),
	};
	struct fixture *f = *state;

	raise_rts(f);
	out(f, FCR, 0x41);
	out(f, MCR, 0x08);
	fake_chardev_event(&f->dev, CHARDEV_BREAK);
	fake_chardev_type(&f->dev, "abc", 3);
	fake_chardev_event(&f->dev, CHARDEV_DISCONNECTED);
	assert_false(irq(f));
	RUN(f, table);
}

/* What a person types while the guest boots is there for whoever opens the port first. */
static void input_waits_until_somebody_listens(void **state)
{
	struct fixture *f = *state;

	fake_chardev_type(&f->dev, "abc", 3);
	/* A driver that probes, sends and clears, in the order in which Linux does it */
	out(f, MCR, 0x1a);
	out(f, MCR, 0x00);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(in(f, LSR), 0x60);
		assert_int_equal(in(f, LSR), 0x60);
		out(f, THR, '.');
	}
	out(f, FCR, 0x07);
	out(f, FCR, 0x00);
	assert_int_equal(in(f, RBR), 0);
	assert_int_equal(f->dev.in_len, 3);
	/* and opens: the interrupt, then the FIFOs, which keep the byte that came meanwhile. */
	out(f, IER, 0x05);
	fake_chardev_run(&f->dev);
	out(f, FCR, 0x81);
	fake_chardev_run(&f->dev);
	assert_int_equal(in(f, RBR), 'a');
	assert_int_equal(in(f, RBR), 'b');
	assert_int_equal(in(f, RBR), 'c');
}

static void one_who_polls_is_listening(void **state)
{
	struct fixture *f = *state;
	int polls = 0;

	fake_chardev_type(&f->dev, "a", 1);
	for (; !(in(f, LSR) & 1) && polls < 100; polls++)
		fake_chardev_run(&f->dev);
	assert_true(polls < 100);
	assert_int_equal(in(f, RBR), 'a');
}

static void breaks_stay_with_their_byte(void **state)
{
	static const struct port_op table[] = {
		IN(LSR, 0xe1, IRQ_LOW), /* in the FIFO, not at its top */
		IN(LSR, 0xe1, IRQ_LOW), /* so reading does not clear it */
		IN(RBR, 'a', IRQ_HIGH),
		IN(LSR, 0xf1, IRQ_LOW),
		IN(LSR, 0xe1, IRQ_LOW), /* the second one */
		IN(RBR, 0x00, IRQ_LOW),
		IN(RBR, 'b', IRQ_HIGH),
		IN(RBR, 0x00, IRQ_HIGH), /* unread, the error stays latched */
		IN(LSR, 0xf0, IRQ_LOW),
		IN(LSR, 0x60, IRQ_LOW),
	};
	struct fixture *f = *state;

	raise_rts(f);
	out(f, FCR, 0x01);
	out(f, MCR, 0x08);
	out(f, IER, 0x04);
	fake_chardev_type(&f->dev, "a", 1);
	fake_chardev_event(&f->dev, CHARDEV_BREAK);
	fake_chardev_type(&f->dev, "b", 1);
	fake_chardev_event(&f->dev, CHARDEV_BREAK);
	RUN(f, table);
}

/* The break and the key come before what somebody types, and lose nothing of it. */
static void sysrq_waits_for_room(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uart_sysrq(f->uart, 'h'), -EAGAIN);
	raise_rts(f);
	out(f, FCR, 0x01);
	out(f, MCR, 0x08);
	out(f, IER, 0x05);
	for (unsigned int i = 0; i < 15; i++)
		fake_chardev_type(&f->dev, "x", 1);
	assert_int_equal(uart_sysrq(f->uart, 'h'), 0);
	assert_int_equal(uart_sysrq(f->uart, 's'), -EBUSY);
	fake_chardev_type(&f->dev, "yz", 2);
	assert_int_equal(f->dev.in_len, 2);
	for (unsigned int i = 0; i < 15; i++) {
		assert_int_equal(in(f, RBR), 'x');
		fake_chardev_run(&f->dev);
	}
	assert_true(irq(f));
	assert_int_equal(in(f, LSR) & 0x11, 0x11);
	assert_int_equal(in(f, RBR), 0);
	assert_int_equal(in(f, LSR) & 0x11, 0x01);
	assert_int_equal(in(f, RBR), 'h');
	fake_chardev_run(&f->dev);
	assert_int_equal(in(f, RBR), 'y');
	assert_int_equal(in(f, RBR), 'z');
	assert_false(in(f, LSR) & 0x01);
	/* Without FIFOs it is one after the other. */
	out(f, FCR, 0x00);
	assert_int_equal(uart_sysrq(f->uart, 's'), 0);
	assert_int_equal(in(f, LSR) & 0x11, 0x11);
	assert_int_equal(in(f, RBR), 0);
	assert_int_equal(in(f, LSR) & 0x13, 0x01);
	assert_int_equal(in(f, RBR), 's');
	assert_false(in(f, LSR) & 0x01);
}

static void overrun(void **state)
{
	struct fixture *f = *state;

	raise_rts(f);
	out(f, FCR, 0x01);
	for (unsigned int i = 0; i < 16; i++)
		fake_chardev_type(&f->dev, "x", 1);
	fake_chardev_event(&f->dev, CHARDEV_BREAK); /* asks for no room */
	assert_int_equal(in(f, LSR), 0x63);
	assert_int_equal(in(f, LSR), 0x61);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in(f, RBR), 'x');
	assert_int_equal(in(f, LSR), 0x60);
	/* Without a FIFO the later byte wins. */
	out(f, FCR, 0x00);
	fake_chardev_type(&f->dev, "y", 1);
	fake_chardev_event(&f->dev, CHARDEV_BREAK);
	assert_int_equal(in(f, LSR), 0x73);
	assert_int_equal(in(f, RBR), 0);
	assert_int_equal(in(f, LSR), 0x60);
}

static void back_pressure_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t sent[100000];
	size_t got = 0, rounds = 0;

	raise_rts(f);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned int fifo = 0; fifo < 2; fifo++) {
		out(f, FCR, (uint8_t)fifo);
		fake_chardev_type(&f->dev, sent, sizeof(sent));
		assert_int_equal(f->dev.in_len, sizeof(sent) - (fifo ? 16 : 1));
		f->dev.kicks = 0;
		for (got = rounds = 0; got < sizeof(sent); rounds++) {
			assert_true(in(f, LSR) & 1);
			for (; in(f, LSR) & 1; got++)
				assert_int_equal(in(f, RBR), sent[got]);
			fake_chardev_run(&f->dev);
		}
		assert_int_equal(rounds, sizeof(sent) / (fifo ? 16 : 1));
		assert_true(f->dev.kicks <= rounds + 1);
		assert_int_equal(in(f, LSR), 0x60);
	}
}

static void clearing_the_receive_fifo_makes_room(void **state)
{
	struct fixture *f = *state;

	raise_rts(f);
	out(f, FCR, 0x01);
	fake_chardev_type(&f->dev, "0123456789abcdefXYZ", 19);
	out(f, FCR, 0x03);
	assert_int_equal(in(f, LSR), 0x60);
	fake_chardev_run(&f->dev);
	assert_int_equal(in(f, RBR), 'X');
	assert_int_equal(in(f, RBR), 'Y');
	assert_int_equal(in(f, RBR), 'Z');
	/* Loop-back cuts the wire; leaving it lets the rest in. */
	out(f, MCR, 0x10);
	fake_chardev_type(&f->dev, "!", 1);
	assert_int_equal(in(f, LSR), 0x60);
	out(f, MCR, 0x00);
	fake_chardev_run(&f->dev);
	assert_int_equal(in(f, RBR), '!');
}

static void loopback(void **state)
{
	static const struct port_op table[] = {
		OUT(FCR, 0x01, IRQ_LOW),
		OUT(IER, 0x05, IRQ_LOW),
		OUT(MCR, 0x18, IRQ_LOW),
		OUT(THR, 'l', IRQ_LOW), /* OUT2's pin is inactive: the gate is shut */
		IN(IIR, 0xc4, IRQ_LOW),
		IN(LSR, 0x61, IRQ_LOW),
		OUT(MCR, 0x08, IRQ_HIGH),
		OUT(MCR, 0x18, IRQ_LOW),
		IN(RBR, 'l', IRQ_LOW),
		OUT(LCR, 0x43, IRQ_LOW),
		IN(LSR, 0xf1, IRQ_LOW),
		IN(RBR, 0x00, IRQ_LOW),
		OUT(LCR, 0x03, IRQ_LOW),
		IN(LSR, 0x60, IRQ_LOW),
		/* outputs to inputs, with deltas; the ring's only when it ends */
		OUT(MCR, 0x10, IRQ_LOW),
		IN_MASK(MSR, 0x00, 0xf0, IRQ_LOW),
		OUT(MCR, 0x11, IRQ_LOW),
		IN(MSR, 0x22, IRQ_LOW),
		OUT(MCR, 0x12, IRQ_LOW),
		IN(MSR, 0x13, IRQ_LOW),
		OUT(MCR, 0x14, IRQ_LOW),
		IN(MSR, 0x41, IRQ_LOW),
		OUT(MCR, 0x18, IRQ_LOW),
		IN(MSR, 0x8c, IRQ_LOW),
		IN(MSR, 0x80, IRQ_LOW),
		OUT(MCR, 0x00, IRQ_LOW),
		IN_MASK(MSR, 0xb0, 0xf0, IRQ_LOW),
	};
	struct fixture *f = *state;

	RUN(f, table);
	/* Overrun by its own bytes. */
	out(f, MCR, 0x10);
	for (unsigned int i = 0; i < 17; i++)
		out(f, THR, (uint8_t)i);
	assert_int_equal(in(f, LSR), 0x63);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in(f, RBR), i);
	assert_int_equal(f->dev.out_len, 0);
}

static void modem_lines_follow_the_back_end(void **state)
{
	static const struct port_op gone[] = {
		IN(IIR, 0x00, IRQ_HIGH),
		IN(MSR, 0x0b, IRQ_LOW),
		IN(MSR, 0x00, IRQ_LOW),
	};
	static const struct port_op back[] = {
		IN(MSR, 0xbb, IRQ_LOW),
		IN(MSR, 0xb0, IRQ_LOW),
	};
	struct fixture *f = *state;

	out(f, MCR, 0x08);
	out(f, IER, 0x08);
	assert_false(irq(f));
	fake_chardev_event(&f->dev, CHARDEV_DISCONNECTED);
	assert_true(irq(f));
	RUN(f, gone);
	fake_chardev_event(&f->dev, CHARDEV_CONNECTED);
	fake_chardev_event(&f->dev, CHARDEV_RESIZED);
	assert_true(irq(f));
	RUN(f, back);
	/* In loop-back the cable does not show, and after it it does. */
	out(f, MCR, 0x10);
	in(f, MSR);
	fake_chardev_event(&f->dev, CHARDEV_DISCONNECTED);
	assert_int_equal(in(f, MSR), 0x00);
	out(f, MCR, 0x08);
	assert_int_equal(in(f, MSR), 0x00);
}

static void out2_gates_the_line(void **state)
{
	struct fixture *f = *state;

	out(f, IER, 0x02);
	assert_false(irq(f));
	out(f, MCR, 0x08);
	assert_true(irq(f));
	out(f, MCR, 0x00);
	assert_false(irq(f));
}

static void nothing_connected(void **state)
{
	struct fixture *f = *state;
	struct uart *com2;
	struct uart_config config = {.name = "com2",
		.pio = f->machine.pio,
		.port = 0x2f8,
		.irq = fake_machine_irq(&f->machine, 3)};

	assert_int_equal(uart_create(&config, &com2), 0);
	for (unsigned int i = 0; i < 100; i++) {
		out(f, 0x2f8, 'x');
		assert_int_equal(in(f, 0x2fd), 0x60);
	}
	assert_int_equal(in(f, 0x2fe), 0x00);
	uart_destroy(com2);
	assert_int_equal(in(f, 0x2fd), 0xff);
	uart_destroy(NULL);
}

static void ports_taken(void **state)
{
	struct fixture *f = *state;
	struct uart *second = (struct uart *)f;
	struct fake_chardev dev;
	struct uart_config config = {
		.name = "com1", .pio = f->machine.pio, .port = B + 7, .chardev = &dev.dev};

	fake_chardev_init(&dev);
	assert_true(uart_create(&config, &second) < 0);
	assert_ptr_equal(second, f);
	assert_null(dev.dev.handler);
	fake_chardev_fini(&dev);
}

static void a_machine_that_comes_back_finds_the_back_end(void **state)
{
	struct fixture *f = *state;
	struct uart_config config = {
		.name = "com1", .pio = f->machine.pio, .port = B, .chardev = &f->dev.dev};

	raise_rts(f);
	out(f, FCR, 0x01);
	fake_chardev_type(&f->dev, "0123456789abcdefghi", 19);
	for (unsigned int i = 0; i < 1000; i++) {
		uart_destroy(f->uart);
		assert_null(f->dev.dev.handler);
		assert_int_equal(uart_create(&config, &f->uart), 0);
	}
	raise_rts(f);
	assert_true(f->dev.kicked);
	fake_chardev_run(&f->dev);
	assert_int_equal(in(f, RBR), 'g');
}

enum { WRITERS = 4, EACH = 20000 };

struct writer {
	struct fixture *f;
	uint8_t id;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = 0; i < EACH; i++)
		out(w->f, THR, (uint8_t)(w->id << 6 | (i & 0x3f)));
	return NULL;
}

/* Each vCPU's bytes leave in its order, all of them. */
static void several_vcpus_write_at_once(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[WRITERS];
	struct writer writers[WRITERS];
	unsigned int next[WRITERS] = {0};

	out(f, FCR, 0x01);
	for (uint8_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){f, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
	}
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(f->dev.out_len, WRITERS * EACH);
	for (size_t i = 0; i < f->dev.out_len; i++)
		assert_int_equal(f->dev.out[i] & 0x3f, next[f->dev.out[i] >> 6]++ & 0x3f);
	assert_int_equal(in(f, LSR), 0x60);
}

/* 10^6 accesses and events of any kind; the line must be what the registers say. */
static void random_operations(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 1;

	for (unsigned int i = 0; i < 1000000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint16_t port = (uint16_t)(B + (seed >> 8 & 7));
		unsigned int size = 1u << (seed >> 11 & 3);

		switch (seed >> 28) {
		case 0:
			fake_chardev_type(&f->dev, &seed, seed >> 13 & 3);
			break;
		case 1:
			fake_chardev_event(&f->dev, (enum chardev_event)(seed >> 13 & 3));
			break;
		case 2:
			fake_chardev_allow(&f->dev, seed >> 13 & 1 ? SIZE_MAX : seed >> 14 & 31);
			break;
		case 3:
			fake_chardev_run(&f->dev);
			break;
		case 4 ... 9:
			bus_read(f->machine.pio, port, size);
			break;
		default:
			bus_write(f->machine.pio, port, size, seed * UINT64_C(0x9e3779b97f4a7c15));
			break;
		}
		if (f->dev.out_len > 100000)
			fake_chardev_clear(&f->dev);
		if ((i & 63) != 0)
			continue;
		bool before = irq(f);
		uint8_t mcr = in(f, MCR), cause = in(f, IIR) & 0x0f;

		assert_int_equal(before, (mcr & 0x18) == 0x08 && cause != 1);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(registers_hold_what_they_should),
		T(linux_finds_a_16550a),
		T(thre_interrupt),
		T(a_burst_moves_the_line_once),
		T(transmit_fifo_holds_sixteen),
		T(clearing_the_transmit_fifo),
		T(receive_interrupts_follow_the_trigger),
		T(causes_have_their_order),
		T(input_waits_until_somebody_listens),
		T(one_who_polls_is_listening),
		T(breaks_stay_with_their_byte),
		T(sysrq_waits_for_room),
		T(overrun),
		T(back_pressure_loses_nothing),
		T(clearing_the_receive_fifo_makes_room),
		T(loopback),
		T(modem_lines_follow_the_back_end),
		T(out2_gates_the_line),
		T(nothing_connected),
		T(ports_taken),
		T(a_machine_that_comes_back_finds_the_back_end),
		T(several_vcpus_write_at_once),
		T(random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
