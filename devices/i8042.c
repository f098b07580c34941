/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keyboard controller of the PC/AT with nothing plugged in (IBM PC/AT technical reference,
 * "keyboard controller"; the PS/2 commands for the second port).
 *
 * What a byte to port 0x60 means was settled by the last command: a byte that a command waits for,
 * else one for the keyboard. Every answer is there when the guest looks, the input buffer is never
 * full. A device that does not answer shows as 0xfe (resend) with the timeout bit, as a controller
 * reports it after its own time out; waiting for that would only make guests boot slower.
 *
 * There is one port, for the keyboard. The second is reported as an AT controller would, without
 * leaving the guest to time out: its loop-back comes out at the first port and its line test says
 * that the clock is stuck. Linux registers no second port then and says nothing.
 *
 * Only bytes from a keyboard (0xfe above, command 0xd2) raise IRQ 1, not answers to commands: the
 * line is high while such a byte waits and the command byte enables it.
 *
 * Locking: one mutex, held while the line is set; the power sink is called without it.
 */
#include "devices/i8042.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum {
	STATUS_OBF = 0x01,
	STATUS_SYSTEM = 0x04,  /* the self test has passed */
	STATUS_COMMAND = 0x08, /* the last byte in was a command */
	STATUS_UNLOCKED = 0x10,
	STATUS_AUX = 0x20, /* the byte waiting is from the second port */
	STATUS_TIMEOUT = 0x40,

	/* The command byte, byte 0 of the controller's RAM */
	CTR_KBD_IRQ = 0x01,
	CTR_SYSTEM = 0x04,
	CTR_KBD_OFF = 0x10,
	CTR_AUX_OFF = 0x20,
	CTR_TRANSLATE = 0x40,

	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_AUX_OFF = 0xa7,
	CMD_AUX_ON = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_OFF = 0xad,
	CMD_KBD_ON = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_FROM_KBD = 0xd2,
	CMD_FROM_AUX = 0xd3,
	CMD_TO_AUX = 0xd4,
	CMD_PULSE = 0xf0,

	RAM_BYTES = 32,
	SELF_TEST_PASSED = 0x55,
	TEST_PASSED = 0x00,
	TEST_CLOCK_HIGH = 0x02, /* the clock line is stuck */
	RESEND = 0xfe,
	INPUT_PORT = 0xa0, /* keyboard not locked, colour display */

	OUT_NOT_RESET = 0x01,
	OUT_A20 = 0x02,
	OUT_KBD_FULL = 0x10, /* follows the interrupt line */
	OUT_WRITABLE = 0xef,
};

struct i8042 {
	struct i8042_config config;
	struct bus_region data, command;
	pthread_mutex_t lock; /* guards all below */
	uint8_t ram[RAM_BYTES];
	uint8_t status;	 /* OBF, COMMAND, AUX, TIMEOUT */
	uint8_t output;	 /* what port 0x60 reads */
	uint8_t port;	 /* output port, without OUT_KBD_FULL */
	uint8_t pending; /* the command that waits for its byte, 0: none */
	bool from_kbd;	 /* the byte waiting, if any, is a keyboard's */
	bool irq_level;
};

/* ---- all with the lock held ---- */

static void update_irq(struct i8042 *kbd)
{
	bool level = (kbd->status & STATUS_OBF) && kbd->from_kbd && (kbd->ram[0] & CTR_KBD_IRQ);

	if (level == kbd->irq_level)
		return;
	kbd->irq_level = level;
	irq_line_set(&kbd->config.irq, level);
}

/* One byte deep: a guest that does not fetch an answer loses it to the next. */
static void answer(struct i8042 *kbd, uint8_t value, uint8_t flags, bool from_kbd)
{
	kbd->status &= ~(STATUS_AUX | STATUS_TIMEOUT) & 0xff;
	kbd->status |= STATUS_OBF | flags;
	kbd->output = value;
	kbd->from_kbd = from_kbd;
}

static void reply(struct i8042 *kbd, uint8_t value)
{
	answer(kbd, value, 0, false);
}

static uint8_t read_data(struct i8042 *kbd)
{
	kbd->status &= ~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT) & 0xff;
	return kbd->output;
}

static uint8_t read_status(const struct i8042 *kbd)
{
	return kbd->status | STATUS_UNLOCKED | (kbd->ram[0] & CTR_SYSTEM ? STATUS_SYSTEM : 0);
}

static uint8_t read_output_port(const struct i8042 *kbd)
{
	return kbd->port | (kbd->irq_level ? OUT_KBD_FULL : 0);
}

/* Returns true if the guest has pulled the reset line. */
static bool run_command(struct i8042 *kbd, uint8_t command)
{
	kbd->status |= STATUS_COMMAND;
	kbd->pending = 0;
	switch (command) {
	case CMD_READ_RAM ... CMD_READ_RAM + RAM_BYTES - 1:
		reply(kbd, kbd->ram[command - CMD_READ_RAM]);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + RAM_BYTES - 1:
	case CMD_WRITE_OUTPUT:
	case CMD_FROM_KBD:
	case CMD_FROM_AUX:
	case CMD_TO_AUX:
		kbd->pending = command;
		break;
	case CMD_AUX_OFF:
		kbd->ram[0] |= CTR_AUX_OFF;
		break;
	case CMD_AUX_ON:
		kbd->ram[0] &= ~CTR_AUX_OFF & 0xff;
		break;
	case CMD_AUX_TEST:
		reply(kbd, TEST_CLOCK_HIGH);
		break;
	case CMD_SELF_TEST:
		kbd->ram[0] |= CTR_SYSTEM;
		reply(kbd, SELF_TEST_PASSED);
		break;
	case CMD_KBD_TEST:
		reply(kbd, TEST_PASSED);
		break;
	case CMD_KBD_OFF:
		kbd->ram[0] |= CTR_KBD_OFF;
		break;
	case CMD_KBD_ON:
		kbd->ram[0] &= ~CTR_KBD_OFF & 0xff;
		break;
	case CMD_READ_INPUT:
		reply(kbd, INPUT_PORT);
		break;
	case CMD_READ_OUTPUT:
		reply(kbd, read_output_port(kbd));
		break;
	case CMD_PULSE ... 0xff:
		/* The low bits name the output port's lines that are not pulled low for a moment.
		 */
		return !(command & OUT_NOT_RESET);
	default:
		break;
	}
	return false;
}

/* A byte into port 0x60. Returns true if the guest has pulled the reset line. */
static bool take_data(struct i8042 *kbd, uint8_t value)
{
	uint8_t command = kbd->pending;

	kbd->status &= ~STATUS_COMMAND & 0xff;
	kbd->pending = 0;
	switch (command) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + RAM_BYTES - 1:
		kbd->ram[command - CMD_WRITE_RAM] = value;
		break;
	case CMD_WRITE_OUTPUT:
		kbd->port = value & OUT_WRITABLE;
		return !(value & OUT_NOT_RESET);
	case CMD_FROM_KBD:
		answer(kbd, value, 0, true);
		break;
	case CMD_FROM_AUX:
		reply(kbd, value);
		break;
	case CMD_TO_AUX:
		answer(kbd, RESEND, STATUS_AUX | STATUS_TIMEOUT, false);
		break;
	default:
		/* For the keyboard, whose clock line this switches on. */
		kbd->ram[0] &= ~CTR_KBD_OFF & 0xff;
		answer(kbd, RESEND, STATUS_TIMEOUT, true);
		break;
	}
	return false;
}

/* ---- the bus ---- */

static uint64_t data_read(void *opaque, uint64_t off, unsigned int size)
{
	struct i8042 *kbd = opaque;
	uint8_t value;

	(void)off;
	(void)size;
	pthread_mutex_lock(&kbd->lock);
	value = read_data(kbd);
	update_irq(kbd);
	pthread_mutex_unlock(&kbd->lock);
	return value;
}

static uint64_t status_read(void *opaque, uint64_t off, unsigned int size)
{
	struct i8042 *kbd = opaque;
	uint8_t value;

	(void)off;
	(void)size;
	pthread_mutex_lock(&kbd->lock);
	value = read_status(kbd);
	pthread_mutex_unlock(&kbd->lock);
	return value;
}

static void write_port(
	struct i8042 *kbd, bool (*handle)(struct i8042 *kbd, uint8_t value), uint64_t value)
{
	bool reset;

	pthread_mutex_lock(&kbd->lock);
	reset = handle(kbd, (uint8_t)value);
	update_irq(kbd);
	pthread_mutex_unlock(&kbd->lock);
	if (reset)
		power_notify(&kbd->config.power, POWER_RESET);
}

static void data_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	(void)off;
	(void)size;
	write_port(opaque, take_data, value);
}

static void command_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	(void)off;
	(void)size;
	write_port(opaque, run_command, value);
}

static const struct bus_ops data_ops = {.read = data_read, .write = data_write, .max_size = 1};
static const struct bus_ops command_ops = {
	.read = status_read, .write = command_write, .max_size = 1};

int i8042_create(const struct i8042_config *config, struct i8042 **ret)
{
	struct i8042 *kbd = calloc(1, sizeof(*kbd));
	int rc;

	if (!kbd)
		return -ENOMEM;
	kbd->config = *config;
	pthread_mutex_init(&kbd->lock, NULL);
	/* As firmware leaves it, which has found nothing that it would enable. */
	kbd->ram[0] = CTR_SYSTEM | CTR_TRANSLATE | CTR_AUX_OFF;
	kbd->port = 0xc0 | OUT_A20 | OUT_NOT_RESET;
	kbd->data = (struct bus_region){.name = "i8042-data",
		.base = LAYOUT_I8042_DATA,
		.size = 1,
		.ops = &data_ops,
		.opaque = kbd};
	kbd->command = (struct bus_region){.name = "i8042-command",
		.base = LAYOUT_I8042_CMD,
		.size = 1,
		.ops = &command_ops,
		.opaque = kbd};
	rc = bus_add(config->pio, &kbd->data);
	if (rc)
		goto free_kbd;
	rc = bus_add(config->pio, &kbd->command);
	if (rc)
		goto remove_data;
	*ret = kbd;
	return 0;
remove_data:
	bus_remove(config->pio, &kbd->data);
free_kbd:
	pthread_mutex_destroy(&kbd->lock);
	free(kbd);
	return rc;
}

void i8042_destroy(struct i8042 *kbd)
{
	if (!kbd)
		return;
	bus_remove(kbd->config.pio, &kbd->command);
	bus_remove(kbd->config.pio, &kbd->data);
	pthread_mutex_destroy(&kbd->lock);
	free(kbd);
}
