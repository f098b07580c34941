/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of a virtio test: a fake machine with guest memory, a PCI bus, and listeners that
 * remember; a device on a transport of either kind; and a device made for tests.
 */
#ifndef TESTS_VIRTIO_RIG_H
#define TESTS_VIRTIO_RIG_H

#include "devices/pci/pci.h"
#include "fake_machine.h"
#include "virtio/queue/virtqueue.h"
#include "virtio/transport.h"
#include "virtio/transport/mmio.h"
#include "virtio/transport/pci.h"
#include "vm/core/event_loop.h"

enum rig_kind { RIG_MMIO, RIG_PCI_INTX, RIG_PCI_MSIX };

enum {
	RIG_RAM_BASE = 0x100000,
	RIG_RAM_SIZE = 0x100000,
	/* Adjacent regions of one byte, each allocated on its own: a wrong step is seen at once. */
	RIG_BYTES_BASE = 0x800000,
	RIG_BYTES = 48,
	RIG_MMIO_BASE = 0xd0000000,
	RIG_MMIO_IRQ = 5,
	RIG_SLOT = 1,
	RIG_MSI_ADDR = 0xfee00000,
	RIG_MAX_BELLS = 16,
	RIG_MAX_ROUTES = 16,
	RIG_MAX_STEPS = 200000, /* of the loop, until it has nothing to do */
};

struct rig_route {
	bool open, on;
	int fd;
	bool staged, staged_on;
	uint64_t addr, staged_addr;
	uint32_t data, staged_data;
};

struct rig {
	enum rig_kind kind;
	struct fake_machine machine;
	struct pci_bus *pci;
	struct guest_mem *mem;
	uint8_t *ram;
	uint8_t *bytes[RIG_BYTES];
	struct virtio_device *vdev;
	struct virtio_pci *vpci;
	struct virtio_mmio *vmmio;
	struct event_loop *loop; /* where a test wants one */

	unsigned int msis[VIRTIO_MAX_QUEUES + 2]; /* messages, by their data */
	struct doorbell bells[RIG_MAX_BELLS];
	unsigned int num_bells, bells_added, bells_removed;
	bool refuse_bells;
	bool with_router, refuse_commit;
	struct rig_route routes[RIG_MAX_ROUTES];
	unsigned int num_routes, commits;
};

/* Memory, buses; no device yet. */
void rig_create(struct rig *rig, enum rig_kind kind);
/* Puts vdev, which the rig takes over, on a transport of its kind. */
void rig_plug(struct rig *rig, struct virtio_device *vdev);
void rig_unplug(struct rig *rig);
void rig_destroy(struct rig *rig);

/* Lets the loop, if there is one, do what is to be done. */
void rig_run(struct rig *rig);
/* Delivers what was signalled to routed eventfds, as the kernel would. */
void rig_run_routes(struct rig *rig);

/* ---- a device for tests: two queues of 16 and one of 4 ----------------------------------------
 */
enum {
	TD_QUEUES = 3,
	TD_MAX = 16,
	TD_CFG_SIZE = 20, /* bytes; those from 8 on can be written */
	TD_F_A = 1 << 0,
	TD_F_B = 1 << 1, /* needs A */
};

struct test_device {
	struct virtio_device *vdev;
	uint8_t cfg[TD_CFG_SIZE];
	bool hold; /* keep chains until td_complete; else answer at once */
	bool fail_start;
	bool keep_on_stop; /* stop does not give chains back: the host is working on them */
	struct virtq_chain *held[TD_QUEUES][TD_MAX]; /* by slot */
	unsigned int order[TD_QUEUES][TD_MAX], num_held[TD_QUEUES];
	unsigned int starts, stops, queue_stops, kicks, pops, destroys;
	bool running;
};

/* The answer to a chain: its readable bytes, repeated through the writable ones. */
void td_create(struct test_device *td, struct rig *rig);
/* Completes the n-th oldest chain that is held in q and flushes. */
void td_complete(struct test_device *td, unsigned int q, unsigned int n);

#endif
