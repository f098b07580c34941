/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A console of three ports over MMIO, with a driver on one side and back ends on the other that do
 * what the input says, six bytes a step. The driver is a proper one, which notifies only when the
 * device wants that, until the input has it make a mistake.
 *
 * Oracles: every byte sent comes out once and in order, either way; a head comes back once, with no
 * more than was writable, and not before its bytes are out; what can go on does go on (no lost
 * notification, no forgotten back end); ports are added once; a connection that the driver was told
 * of is what there is; only mistakes make the device ask for a reset. After memory or registers
 * were scribbled on, the sanitizers alone judge, up to the next reset.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/console/console.h"
#include "virtio/device.h"
#include "virtio/transport.h"
#include "virtio/transport/mmio.h"
#include "vm/core/bus.h"
#include "vm/core/guest_mem.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fake comes in as source. */
#include "../unit/fakes/fake_chardev.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	BASE = 0xd0000000,
	PORTS = 3,
	QUEUES = 2 * PORTS + 2,
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	ENTRIES = 8,
	STEP = 6,
	MAX_STEPS = 600,
	/* Guest memory: for each queue rings, and for each head an indirect table and a buffer */
	RINGS = 0x200,
	AVAIL = 0x80,
	USED = 0x100,
	TABLES = 0x2000,
	TABLE = 64,
	BUFFERS = 0x4000,
	BUFFER = 256,
	RAM = 0x8000,
};

struct queue {
	bool enabled, broken; /* a chain with a mistake was made available */
	uint16_t avail, kicked, used;
	bool busy[ENTRIES];
	unsigned int num_busy;
	uint32_t writable[ENTRIES];
	uint64_t end[ENTRIES]; /* output: all bytes up to here are out when it comes back */
};

struct port {
	struct fake_chardev dev;
	uint64_t sent, out;    /* bytes made available, bytes seen at the back end */
	uint64_t typed, input; /* the other way */
	bool wanted, added, ready, told_open, guest_open;
};

struct state {
	struct bus *bus;
	struct guest_mem *mem;
	uint8_t *ram;
	struct virtio_device *vdev;
	struct virtio_mmio *vmmio;
	struct queue q[QUEUES];
	struct port port[PORTS];
	uint32_t features;
	bool mistake; /* the device may have asked for a reset */
	bool wild;    /* all is possible */
};

static const struct virtio_console_port ports[PORTS] = {
	{.console = true}, {.name = "a"}, {.name = "another one"}};

static void no_line(void *opaque, bool level)
{
	(void)opaque;
	(void)level;
}

static int no_bell(void *opaque, const struct doorbell *bell)
{
	(void)opaque;
	(void)bell;
	return 0;
}

static void no_bell_removed(void *opaque, const struct doorbell *bell)
{
	(void)opaque;
	(void)bell;
}

static uint32_t get(struct state *s, uint32_t reg)
{
	return (uint32_t)bus_read(s->bus, BASE + reg, 4);
}

static void put(struct state *s, uint32_t reg, uint32_t value)
{
	bus_write(s->bus, BASE + reg, 4, value);
}

static bool multiport(const struct state *s)
{
	return s->features & VIRTIO_CONSOLE_F_MULTIPORT;
}

/* NULL for control queues. */
static struct port *port_of(struct state *s, unsigned int q)
{
	return q < 2 ? &s->port[0] : q > 3 ? &s->port[q / 2 - 1] : NULL;
}

static unsigned int rx_queue(unsigned int port)
{
	return port ? 2 * port + 2 : 0;
}

/* The n-th byte of a stream */
static uint8_t pattern(uint64_t n)
{
	return (uint8_t)(n * 167 + (n >> 8));
}

static void set16(uint8_t *p, uint16_t value)
{
	memcpy(p, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* ---- the driver ---- */

static void enable_queue(struct state *s, unsigned int q)
{
	memset(&s->q[q], 0, sizeof(s->q[q]));
	memset(s->ram + RINGS * q, 0, RINGS);
	put(s, 0x30, q);
	put(s, 0x38, ENTRIES);
	put(s, 0x80, RINGS * q);
	put(s, 0x90, RINGS * q + AVAIL);
	put(s, 0xa0, RINGS * q + USED);
	put(s, 0x44, 1);
	s->q[q].enabled = true;
}

static void start(struct state *s, uint8_t choice)
{
	memset(s->q, 0, sizeof(s->q));
	memset(s->ram, 0, RAM);
	put(s, 0x70, 0);
	CHECK(get(s, 0x70) == 0);
	s->features = (choice & 7) | (choice & 8 ? 1u << 28 : 0) | (choice & 16 ? 1u << 29 : 0);
	put(s, 0x70, 3);
	put(s, 0x24, 0);
	put(s, 0x20, s->features);
	put(s, 0x24, 1);
	put(s, 0x20, choice & 32 ? 0x109 : 0x101); /* RING_RESET, IN_ORDER, VERSION_1 */
	put(s, 0x70, 0xb);
	CHECK(get(s, 0x70) == 0xb);
	s->mistake = s->wild = false;
	for (unsigned int i = 0; i < PORTS; i++) {
		struct port *p = &s->port[i];

		p->sent = p->out; /* what was not out is lost */
		p->input = p->typed - p->dev.in_len;
		p->wanted = p->added = p->ready = p->told_open = p->guest_open = false;
	}
	for (unsigned int q = 0; q < (multiport(s) ? QUEUES : 2u); q++)
		enable_queue(s, q);
	put(s, 0x70, 0xf);
}

/* Only when the device wants to hear of it. */
static void kick(struct state *s, unsigned int q)
{
	struct queue *vq = &s->q[q];
	const uint8_t *used = s->ram + RINGS * q + USED;
	const uint16_t from = vq->kicked, to = vq->avail, event = get16(used + 4 + 8 * ENTRIES);

	vq->kicked = to;
	if (s->features & (1u << 29) ? (uint16_t)(to - event - 1) < (uint16_t)(to - from)
				     : !(get16(used) & 1))
		put(s, 0x50, q);
}

static void set_desc(uint8_t *d, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	memcpy(d, &addr, 8);
	memcpy(d + 8, &len, 4);
	set16(d + 12, flags);
	set16(d + 14, next);
}

/*
 * Makes a chain available: out readable bytes, then in writable ones, at the head's buffer. The
 * first bytes are cut off into descriptors of their own if indirect tables allow that. Returns the
 * head, or -1 when there is none free.
 */
static int add(struct state *s, unsigned int q, uint32_t out, uint32_t in, uint32_t cut)
{
	struct queue *vq = &s->q[q];
	uint8_t *ring = s->ram + RINGS * q;
	unsigned int h = 0, n = 0;
	uint64_t at, table;
	uint8_t *d;

	while (h < ENTRIES && vq->busy[h])
		h++;
	if (!vq->enabled || h == ENTRIES)
		return -1;
	at = BUFFERS + (q * ENTRIES + h) * BUFFER;
	table = TABLES + (q * ENTRIES + h) * TABLE;
	d = s->ram + table;
	if ((out && in) || (out + in && (s->features & (1u << 28)))) {
		cut = MIN(cut, out ? out : in);
		set_desc(d + 16 * n++, at, cut, out ? 1 : 3, 1);
		if (out)
			set_desc(d + 16 * n++, at + cut, out - cut, in ? 1 : 0, 2);
		if (in)
			set_desc(d + 16 * n++, at + (out ? out : cut), out ? in : in - cut, 2, 0);
		set_desc(ring + 16 * h, table, 16 * n, 4, 0);
	} else {
		set_desc(ring + 16 * h, at, out + in, in ? 2 : 0, 0);
	}
	vq->busy[h] = true;
	vq->num_busy++;
	vq->writable[h] = in;
	set16(ring + AVAIL + 4 + 2 * (vq->avail % ENTRIES), (uint16_t)h);
	set16(ring + AVAIL + 2, ++vq->avail);
	return (int)h;
}

static uint8_t *buffer(struct state *s, unsigned int q, int head)
{
	return s->ram + BUFFERS + (q * ENTRIES + (unsigned int)head) * BUFFER;
}

/* What was put into q breaks a rule. */
static void go_wrong(struct state *s, unsigned int q)
{
	s->q[q].broken = s->mistake = true;
}

static void transmit(struct state *s, unsigned int port, const uint8_t *in)
{
	const unsigned int q = rx_queue(port) + 1;
	const uint32_t len = in[2] % (BUFFER - 1u), wrong = in[4] > 250;
	const int head = add(s, q, len, wrong, in[3]);
	struct port *p = &s->port[port];

	if (head < 0)
		return;
	for (uint32_t i = 0; i < len; i++)
		buffer(s, q, head)[i] = pattern(p->sent + i);
	if (wrong || s->q[q].broken)
		go_wrong(s, q);
	else
		p->sent += len;
	s->q[q].end[head] = p->sent;
	kick(s, q);
}

static void receive(struct state *s, unsigned int q, const uint8_t *in)
{
	const uint32_t len = q == CONTROL_RX ? 1 + in[2] % 64 : in[2] % BUFFER;
	const int head = add(s, q, in[4] > 250, len, in[3]);

	if (head < 0)
		return;
	memset(buffer(s, q, head), 0xee, BUFFER);
	if (in[4] > 250 || !len || (q == CONTROL_RX && len < 8))
		go_wrong(s, q);
	kick(s, q);
}

static void obeyed(struct state *s, uint32_t id, uint16_t event, bool value)
{
	for (unsigned int i = 0; !event && value && i < PORTS; i++)
		s->port[i].wanted = true;
	if (event == 6) {
		s->port[id].guest_open = value;
	} else if (event == 3) {
		s->port[id].added = s->port[id].ready = value;
		s->port[id].wanted &= value;
		s->port[id].told_open = false;
		s->port[id].guest_open &= value;
	}
}

static void tell(struct state *s, const uint8_t *in)
{
	const uint32_t id = in[1] < 224	  ? in[1] % PORTS
			    : in[1] < 240 ? PORTS
					  : (uint32_t)in[1] << 24;
	const uint16_t event = in[2] < 128 ? (uint16_t)(3 * (in[2] % 3)) : in[2] % 10,
		       value = in[3] & 1;
	const uint32_t len = in[4] < 240 ? 8 : in[4] % 16u;
	const int head = add(s, CONTROL_TX, len, 0, in[5]);
	const bool good = len >= 8 && (!event || (id < PORTS && (event == 3 || event == 6)));
	uint8_t *p;

	if (head < 0)
		return;
	p = buffer(s, CONTROL_TX, head);
	memcpy(p, &id, 4);
	set16(p + 4, event);
	set16(p + 6, value);
	if (good && !s->q[CONTROL_TX].broken)
		obeyed(s, id, event, value);
	else
		go_wrong(s, CONTROL_TX);
	kick(s, CONTROL_TX);
}

/* ---- oracles ---- */

static void heard(struct state *s, const uint8_t *p, uint32_t len)
{
	const uint32_t id = get32(p);
	const uint16_t event = get16(p + 4), value = get16(p + 6);
	const char *name = id < PORTS ? ports[id].name : NULL;

	CHECK(len >= 8 && id < PORTS);
	CHECK((event == 1) != s->port[id].ready);
	CHECK(event == 5 || event == 7 || len == 8);
	switch (event) {
	case 1:
		CHECK(!s->port[id].added);
		s->port[id].added = true;
		break;
	case 4:
		CHECK(ports[id].console && value == 1);
		break;
	case 5:
		CHECK(ports[id].console && len <= 12 && (s->features & VIRTIO_CONSOLE_F_SIZE));
		break;
	case 6:
		CHECK(value == 1 || !ports[id].console);
		s->port[id].told_open = value;
		break;
	default:
		CHECK(event == 7 && name && len <= 8 + strlen(name) &&
			!memcmp(p + 8, name, len - 8));
		break;
	}
}

static bool is_open(const struct state *s, const struct port *p)
{
	return multiport(s) ? p->guest_open : p == &s->port[0];
}

static void came_back(struct state *s, unsigned int q, int head, uint32_t len)
{
	struct port *port = port_of(s, q);
	const uint8_t *p = buffer(s, q, head);

	if (q % 2) {
		CHECK(len == 0);
		CHECK(!port || s->q[q].end[head] <= port->out);
		return;
	}
	for (uint32_t i = len; i < BUFFER; i++)
		CHECK(p[i] == 0xee);
	if (!port)
		heard(s, p, len);
	CHECK(!port || (len && is_open(s, port)));
	for (uint32_t i = 0; port && i < len; i++)
		CHECK(p[i] == pattern(port->input++));
}

static void reap(struct state *s, unsigned int q)
{
	struct queue *vq = &s->q[q];
	const uint8_t *used = s->ram + RINGS * q + USED;

	for (; vq->enabled && vq->used != get16(used + 2); vq->used++) {
		const uint8_t *elem = used + 4 + 8 * (vq->used % ENTRIES);
		const uint32_t head = get32(elem), len = get32(elem + 4);

		CHECK(head < ENTRIES && vq->busy[head]);
		CHECK(len <= vq->writable[head]);
		vq->busy[head] = false;
		vq->num_busy--;
		came_back(s, q, (int)head, len);
	}
}

static void match_output(struct state *s, struct port *p)
{
	for (size_t i = 0; i < p->dev.out_len && !s->wild; i++)
		CHECK(p->dev.out[i] == pattern(p->out++));
	CHECK(s->wild || p->out <= p->sent);
	fake_chardev_clear(&p->dev);
}

/* Nothing waits that need not. */
static void check_progress(struct state *s, unsigned int i)
{
	struct port *p = &s->port[i];
	const struct queue *rx = &s->q[rx_queue(i)], *tx = rx + 1;

	if (tx->enabled && !tx->broken)
		CHECK(p->dev.tx_blocked || !tx->num_busy);
	if (rx->enabled && !rx->broken && rx->num_busy && is_open(s, p))
		CHECK(!p->dev.in_len || p->dev.kicked);
	if (rx->enabled && !rx->broken)
		CHECK(p->input == p->typed - p->dev.in_len);
	if (s->mistake || !s->q[CONTROL_RX].num_busy)
		return;
	CHECK(p->added || !p->wanted);
	CHECK(!p->ready || p->told_open == (ports[i].console || p->dev.is_connected));
}

static void check(struct state *s)
{
	for (unsigned int i = 0; i < PORTS; i++)
		match_output(s, &s->port[i]);
	if (s->wild)
		return;
	for (unsigned int q = 0; q < QUEUES; q++)
		reap(s, q);
	for (unsigned int i = 0; i < PORTS; i++)
		check_progress(s, i);
	CHECK(s->mistake || !(get(s, 0x70) & VIRTIO_STATUS_NEEDS_RESET));
}

/* ---- steps ---- */

static void type(struct port *p, uint8_t len)
{
	uint8_t buf[UINT8_MAX];

	if (p->dev.in_len > 4096)
		return;
	for (unsigned int i = 0; i < len; i++)
		buf[i] = pattern(p->typed + i);
	p->typed += len;
	fake_chardev_type(&p->dev, buf, len);
}

static void back_end(struct port *p, uint8_t what, uint8_t arg)
{
	switch (what % 8) {
	case 0:
		fake_chardev_allow(&p->dev, arg);
		break;
	case 1:
		fake_chardev_allow(&p->dev, SIZE_MAX);
		break;
	case 2:
		p->dev.is_terminal = true;
		p->dev.cols = arg;
		p->dev.rows = arg / 2;
		fake_chardev_event(&p->dev, CHARDEV_RESIZED);
		break;
	case 3:
		fake_chardev_event(&p->dev, (enum chardev_event)(arg % 4));
		break;
	case 4:
	case 5:
		type(p, arg);
		break;
	default:
		fake_chardev_run(&p->dev);
		break;
	}
}

/* It goes out between other bytes. */
static void emergency_write(struct state *s, uint8_t byte)
{
	struct fake_chardev *dev = &s->port[0].dev;
	const bool room = dev->budget > 0;

	put(s, 0x108, byte);
	CHECK(dev->out_len == room && (!room || dev->out[0] == byte));
	fake_chardev_clear(dev);
}

static void reset_queue(struct state *s, unsigned int q)
{
	struct port *port = port_of(s, q);

	if (!s->q[q].enabled || s->wild)
		return;
	put(s, 0x30, q);
	put(s, 0xc0, 1);
	if (port && q % 2)
		port->sent = port->out;
	enable_queue(s, q);
}

static void step(struct state *s, const uint8_t *in)
{
	const unsigned int port = in[1] % PORTS;

	switch (in[0] & 15) {
	case 0:
	case 1:
	case 2:
		transmit(s, port, in);
		break;
	case 3:
	case 4:
	case 5:
		receive(s, rx_queue(port), in);
		break;
	case 6:
		receive(s, CONTROL_RX, in);
		break;
	case 7:
	case 8:
		tell(s, in);
		break;
	case 9:
	case 10:
	case 11:
		back_end(&s->port[port], in[2], in[3]);
		break;
	case 12:
		emergency_write(s, in[1]);
		break;
	case 13:
		reset_queue(s, in[1] % QUEUES);
		break;
	case 14:
		start(s, in[1] | (in[2] < 200 ? VIRTIO_CONSOLE_F_MULTIPORT : 0));
		break;
	default: /* rarely, or else little of the rest is seen */
		if (in[1] < 200)
			break;
		s->wild = true;
		if (in[1] & 1)
			memcpy(s->ram + get16(in + 2) % (RAM - 2), in + 4, 2);
		else
			put(s, in[2] & 0xfcu, get16(in + 4));
		break;
	}
	for (unsigned int i = 0; in[5] % 8 && i < PORTS; i++)
		fake_chardev_run(&s->port[i].dev);
	check(s);
}

static void set_up(struct state *s)
{
	struct virtio_console_port with_back_ends[PORTS];
	struct virtio_console_config config = {
		.name = "fuzz", .ports = with_back_ends, .num_ports = PORTS};
	struct virtio_mmio_config mmio = {.base = BASE,
		.irq = {.set = no_line},
		.doorbells = {no_bell, no_bell_removed, NULL}};

	if (bus_create(0, &s->bus) || guest_mem_create(&s->mem))
		abort();
	s->ram = aligned_alloc(4096, RAM);
	memset(s->ram, 0, RAM);
	guest_mem_add(s->mem, 0, RAM, s->ram);
	for (unsigned int i = 0; i < PORTS; i++) {
		fake_chardev_init(&s->port[i].dev);
		with_back_ends[i] = ports[i];
		with_back_ends[i].chardev = &s->port[i].dev.dev;
	}
	config.mem = s->mem;
	CHECK(virtio_console_create(&config, &s->vdev) == 0);
	mmio.vdev = s->vdev;
	mmio.bus = s->bus;
	CHECK(virtio_mmio_create(&mmio, &s->vmmio) == 0);
}

static void tear_down(struct state *s)
{
	virtio_mmio_destroy(s->vmmio);
	virtio_device_destroy(s->vdev);
	for (unsigned int i = 0; i < PORTS; i++) {
		CHECK(!s->port[i].dev.dev.handler);
		fake_chardev_fini(&s->port[i].dev);
	}
	bus_destroy(s->bus);
	free(s->ram);
	guest_mem_destroy(s->mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = {0};

	if (!size)
		return 0;
	set_up(&s);
	start(&s, data[0]);
	for (size_t i = 1, n = 0; i + STEP <= size && n < MAX_STEPS; i += STEP, n++)
		step(&s, data + i);
	tear_down(&s);
	return 0;
}
