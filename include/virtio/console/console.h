/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console device (virtio 1.2, 5.3): one console, or up to 16 ports of which some are consoles
 * (hvc0 and so on in Linux) and others byte streams with a name (/dev/virtio-ports/NAME).
 *
 * A port is tied to a character back end. Towards the host, what the guest writes is given to the
 * back end from guest memory; what that does not take stays in the guest's buffer, which Linux's
 * console driver waits for. Towards the guest, input is let in as long as the driver has buffers
 * posted and, with MULTIPORT, has the port open; otherwise it waits in the back end and then at its
 * sender. A reset loses what is on its way, and nothing else does.
 *
 * A port that is no console is open to the guest while somebody is connected to its back end.
 * Consoles always are. A break has no counterpart here and is ignored.
 *
 * Only a driver that negotiates MULTIPORT sees more than port 0. The feature is offered when there
 * is more to say than that port 0 is a console: two queues boot faster than four and a handshake.
 */
#ifndef BANTAM_VIRTIO_CONSOLE_CONSOLE_H
#define BANTAM_VIRTIO_CONSOLE_CONSOLE_H

#include "vm/core/base.h"

struct chardev;
struct event_loop;
struct guest_mem;
struct log;
struct virtio_device;

/* 5.3.3 */
#define VIRTIO_CONSOLE_F_SIZE	     (UINT64_C(1) << 0)
#define VIRTIO_CONSOLE_F_MULTIPORT   (UINT64_C(1) << 1)
#define VIRTIO_CONSOLE_F_EMERG_WRITE (UINT64_C(1) << 2)

enum {
	VIRTIO_CONSOLE_MAX_PORTS = 16,
	VIRTIO_CONSOLE_QUEUE_SIZE = 64, /* of each queue */
	VIRTIO_CONSOLE_NAME_MAX = 64,	/* bytes */
	VIRTIO_CONSOLE_CFG_SIZE = 12,
	/* Output in one go of a port before others on the loop get their turn. */
	VIRTIO_CONSOLE_TURN_BYTES = 1 << 20,
};

/* The port's number is its index in virtio_console_config.ports. */
struct virtio_console_port {
	const char *name;	 /* 1 to NAME_MAX bytes, no two the same; NULL: none */
	struct chardev *chardev; /* not owned, of no other port; NULL: nothing is connected */
	bool console;
};

struct virtio_console_config {
	const char *name; /* for the log; outlives the device, as the ports' names do */
	const struct guest_mem *mem;
	struct event_loop *loop; /* see virtio_device_config */
	struct log *log;
	const struct virtio_console_port *ports; /* copied */
	unsigned int num_ports;			 /* 1..MAX_PORTS */
};

/*
 * Attaches to the back ends. Destroy with virtio_device_destroy, which detaches from them; they
 * outlive the device. -EINVAL, -ENOMEM, or what virtio_device_create says.
 */
int virtio_console_create(const struct virtio_console_config *config, struct virtio_device **ret);

#endif
