/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A console with its ports on fake back ends, and the driver half that Linux' virtio_console is:
 * for cmocka, a fresh one for each test, on the transport that the test's initial state names.
 *
 * Queues come in pairs, receive and transmit: pair 0 is port 0, pair 1 the control queues, pair 2
 * port 1, and so on. Each pair has a driver (struct vdrv) that knows its queues as 0 and 1.
 */
#ifndef TESTS_VIRTIO_CONSOLE_FIXTURE_H
#define TESTS_VIRTIO_CONSOLE_FIXTURE_H

#include "fakes/fake_chardev.h"
#include "fakes/virtio_driver.h"
#include "virtio/console/console.h"

enum { CON_RX = 0, CON_TX = 1, CON_CONTROL = 1, CON_PAIRS = VIRTIO_CONSOLE_MAX_PORTS + 1 };

/* Control events (5.3.6.2) */
enum {
	CON_DEVICE_READY,
	CON_PORT_ADD,
	CON_PORT_REMOVE,
	CON_PORT_READY,
	CON_CONSOLE_PORT,
	CON_RESIZE,
	CON_PORT_OPEN,
	CON_PORT_NAME,
};

struct con {
	enum rig_kind kind;
	struct rig rig;
	struct fake_chardev dev[VIRTIO_CONSOLE_MAX_PORTS];
	unsigned int num_ports;
	struct vdrv pair[CON_PAIRS];
	struct vdrv_buf posted[CON_PAIRS][VIRTIO_CONSOLE_QUEUE_SIZE];
	uint64_t brk;
};

extern struct con con;

#define CON_PLAIN (VIRTIO_F_VERSION_1)
#define CON_ALL                                                                                    \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_IN_ORDER |    \
		VIRTIO_F_RING_RESET | VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE)
#define CON_MULTI (CON_ALL | VIRTIO_CONSOLE_F_MULTIPORT)

#define CON_TEST(f, set_up, name, kind)                                                            \
	{                                                                                          \
#f "/" name, f, set_up, con_tear_down, (void *)(uintptr_t)(kind)                   \
	}
#define CON_PER_KIND(f, set_up)                                                                    \
	CON_TEST(f, set_up, "mmio", RIG_MMIO), CON_TEST(f, set_up, "pci-intx", RIG_PCI_INTX),      \
		CON_TEST(f, set_up, "pci-msix", RIG_PCI_MSIX)

/* A console and nothing else. */
int con_set_up(void **state);
/* Port 0 a console, port 1 named "agent.0", port 2 a console named "second". */
int con_set_up_ports(void **state);
int con_tear_down(void **state);
/* Instead of what set_up made. */
void con_recreate(const struct virtio_console_port *ports, unsigned int n, bool loop);
/* The configuration for n ports; their back ends are con.dev. */
struct virtio_console_config con_config(struct virtio_console_port *ports, unsigned int n);

/* A device of the test's own, after rig_unplug. */
void con_plug(struct virtio_device *vdev);

static inline unsigned int con_pair(unsigned int port)
{
	return port ? port + 1 : 0;
}

/* Reset, features, queues, DRIVER_OK. Nothing is posted. */
void con_start(uint64_t features);
bool con_needs_reset(void);
/* Lets loop and back ends do what is to be done. */
void con_run(void);
/* RAM for buffers, which comes round again. */
uint64_t con_alloc(uint32_t len);

/* ---- data, by pair ---- */

/* Makes n buffers of len bytes available for receiving, and notifies if the device wants that. */
void con_post(unsigned int pair, unsigned int n, uint32_t len);
/*
 * The next buffer received: its bytes go to buf, their number is returned; -1: none. Nothing behind
 * them was touched. With again, the buffer is posted again, as Linux does.
 */
int con_get(unsigned int pair, void *buf, size_t size, bool again);
/* Everything received is text. */
void con_expect_input(unsigned int pair, const char *text);
/* Makes a chain with one buffer available for transmitting, and notifies. */
void con_send(unsigned int pair, const void *data, uint32_t len);
/* Chains transmitted since the last call. */
unsigned int con_sent(unsigned int pair);
/* All that has reached the back end of port is text; it is forgotten then. */
void con_expect_output(unsigned int port, const char *text);

/* ---- control ---- */

void con_tell(uint32_t id, uint16_t event, uint16_t value);
/* The next message is this one, followed by more; its buffer is posted again. */
void con_expect(uint32_t id, uint16_t event, uint16_t value, const void *more, size_t len);
void con_expect_none(void);
/* The whole handshake as Linux does it; ports are open in the guest then when they are consoles. */
void con_handshake(uint64_t features);

#endif
