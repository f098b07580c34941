/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device (virtio 1.2, chapters 2 and 3): what all devices have in common, written once.
 * A concrete device (virtio/rng.c) supplies struct virtio_device_ops and calls the functions here;
 * a transport (virtio/transport.h) drives the same object from the other side. Neither knows the
 * other.
 *
 * Writing a device:
 *
 *	static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
 *	{
 *		... read the request through virtq_reader(chain) ...
 *		virtio_device_push(dev->vdev, q, chain, written);	// or later, see below
 *		return true;
 *	}
 *	static void kick(void *opaque, unsigned int q)
 *	{
 *		virtio_device_process(dev->vdev, q, handle);
 *	}
 *
 * A request that takes time is kept (chain->slot is the index of its memory, made beforehand) and
 * completed later, on any thread:
 *
 *	virtio_device_lock(dev->vdev);
 *	virtio_device_push(...);	// once or several times
 *	virtio_device_flush(dev->vdev, q);	// the driver sees them; at most one interrupt
 *	virtio_device_unlock(dev->vdev);
 *
 * Locking: one mutex per device. Ops are called with it held, destroy excepted; functions here
 * want it held unless they say otherwise. It is never held across anything that blocks, waiting for
 * requests in flight apart, which lets go of it. Order: PCI bus, then this, then leaves (MSI-X,
 * interrupt lines, the log).
 *
 * Reset (2.4) waits until no chain is in flight, on the vCPU's thread. So a chain that is kept for
 * longer than the host takes for an I/O (an RX buffer, say) must be given back in stop and
 * queue_stop, and completions must come from a thread that runs on while vCPUs are being stopped,
 * that is not from the one that joins them.
 *
 * Guest errors never end the monitor: the queue stops, DEVICE_NEEDS_RESET is set, the driver gets
 * a configuration interrupt and the log a line (2.1.2).
 */
#ifndef BANTAM_VIRTIO_DEVICE_H
#define BANTAM_VIRTIO_DEVICE_H

#include "virtio/queue/chain.h"
#include "vm/core/base.h"
#include "vm/core/counter.h"

struct event_loop;
struct guest_mem;
struct log;
struct virtio_device;

/* Chapter 5 */
enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_BALLOON = 5,
	VIRTIO_ID_VSOCK = 19,
	VIRTIO_ID_FS = 26,
};

#define VIRTIO_BIT(n) (UINT64_C(1) << (n))

/* Chapter 6. What is not marked is offered for every device. */
#define VIRTIO_F_INDIRECT_DESC VIRTIO_BIT(28)
#define VIRTIO_F_EVENT_IDX     VIRTIO_BIT(29)
#define VIRTIO_F_VERSION_1     VIRTIO_BIT(32)
#define VIRTIO_F_IN_ORDER      VIRTIO_BIT(35) /* a device offers it that completes in order */
#define VIRTIO_F_RING_RESET    VIRTIO_BIT(40)

enum {
	VIRTIO_MAX_QUEUES = 64,
	VIRTIO_MAX_CFG = 256, /* bytes of device configuration space */
	/* Chains in one go of virtio_device_process before others get their turn. */
	VIRTIO_PASS_BUDGET = 256,
};

struct virtio_device_ops {
	/*
	 * The device's own features (and IN_ORDER) as offered; none depends on one that is not
	 * (2.2.2). May change only between resets.
	 */
	uint64_t (*features)(void *opaque);
	/*
	 * The driver has chosen features: VERSION_1 and a subset of what was offered. 0 accepts; a
	 * negative errno makes FEATURES_OK read back as 0. NULL accepts everything.
	 */
	int (*set_features)(void *opaque, uint64_t features);
	/*
	 * Little-endian configuration space, also before FEATURES_OK (2.5.2). off + len <= cfg_size
	 * and len is 1, 2, 4 or 8. NULL: reads as 0, writes are dropped.
	 */
	void (*cfg_read)(void *opaque, uint32_t off, void *buf, uint32_t len);
	void (*cfg_write)(void *opaque, uint32_t off, const void *buf, uint32_t len);
	/*
	 * DRIVER_OK: queues that the driver enabled may be used from now on, and are kicked after
	 * this when they hold something. A negative errno fails the device (NEEDS_RESET). May be
	 * NULL.
	 */
	int (*start)(void *opaque);
	/*
	 * Reset has begun, after a start: give back (virtio_device_release) all chains but those
	 * that the host is working on, and forget what the driver set. What is pushed from now on
	 * is silently dropped. May be NULL.
	 */
	void (*stop)(void *opaque);
	/* The same for one queue (RING_RESET, 2.6.1); the device goes on. May be NULL. */
	void (*queue_stop)(void *opaque, unsigned int q);
	/*
	 * The device is paused (virtio_device_pause): take back what is lent. A kick of each queue
	 * comes with the resumption. May be NULL.
	 */
	void (*pause)(void *opaque);
	/* Queue q may hold new chains; spurious calls happen. Only between start and stop. */
	void (*kick)(void *opaque, unsigned int q);
	/* See virtio_device_lend: q has another irq_fd now. May be NULL. */
	void (*irq_moved)(void *opaque, unsigned int q);
	/* The last call, no lock held, nothing in flight: frees opaque. May be NULL. */
	void (*destroy)(void *opaque);
};

struct virtio_device_config {
	const char *name; /* for the log and `--dry-run`; outlives the device */
	enum virtio_id id;
	const struct virtio_device_ops *ops;
	void *opaque;
	unsigned int num_queues;     /* 1..VIRTIO_MAX_QUEUES */
	const uint16_t *queue_sizes; /* maximum of each, see virtqueue_create; copied */
	uint32_t cfg_size;	     /* at most VIRTIO_MAX_CFG */
	const struct guest_mem *mem; /* outlives the device */
	/*
	 * Where kicks run. NULL, for tests: on the thread that notifies, for as long as it finds
	 * chains, and without an eventfd for the kernel to signal.
	 */
	struct event_loop *loop;
	struct log *log;
};

/* -EINVAL for numbers out of range, -ENOMEM, or what eventfd and the loop say. No lock. */
int virtio_device_create(const struct virtio_device_config *config, struct virtio_device **ret);

/*
 * Ends the device for good: as a reset by the driver, but without one. Waits for what is in flight,
 * so whatever completes it must still be running. Again is harmless. No lock.
 */
void virtio_device_quiesce(struct virtio_device *vdev);
/*
 * Quiesces, and calls ops->destroy. The transport is gone already; NULL is allowed. No lock; not
 * from a thread that holds up the loop.
 */
void virtio_device_destroy(struct virtio_device *vdev);

/*
 * Pauses the device: its queues give no chains. It is idle once what the host was working on is
 * complete (a disk's requests; buffers that wait for something to come do not count). Whatever
 * completes it must still be running. wait_idle waits for that, so long at most, and says whether
 * it is. Resume looks at all queues again. Twice is once. No lock.
 */
void virtio_device_pause(struct virtio_device *vdev);
/*
 * Pauses the device if that does not take long, and says whether it is paused and idle: to be asked
 * again and again. Pause, try_pause and resume of a device are one thread's.
 */
bool virtio_device_try_pause(struct virtio_device *vdev);
bool virtio_device_wait_idle(struct virtio_device *vdev, uint64_t timeout_ns);
void virtio_device_resume(struct virtio_device *vdev);

/* Another name for the log, which outlives the device. With the lock. */
void virtio_device_rename(struct virtio_device *vdev, const char *name);

void virtio_device_lock(struct virtio_device *vdev);
void virtio_device_unlock(struct virtio_device *vdev);

/* 1 with a chain, or 0: nothing there, the queue is not in use, or the driver broke a rule. */
int virtio_device_pop(struct virtio_device *vdev, unsigned int q, struct virtq_chain **ret);
/* Several; see virtqueue_pop_room. */
unsigned int virtio_device_pop_room(struct virtio_device *vdev, unsigned int q,
	struct virtq_chain **chains, unsigned int max, uint64_t room);
/* Puts back the chain popped last: there is no room for it now. Kick yourself later. */
void virtio_device_unpop(struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain);
/* See virtqueue_push. written is at most chain->writable. */
void virtio_device_push(
	struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain, uint32_t written);
/* Several; see virtqueue_push_over. */
void virtio_device_push_over(struct virtio_device *vdev, unsigned int q,
	struct virtq_chain *const *chains, unsigned int num, uint64_t written);
/* In stop and queue_stop: the chain will not be completed. */
void virtio_device_release(struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain);
/* Publishes what was pushed and interrupts the driver if it wants that. */
void virtio_device_flush(struct virtio_device *vdev, unsigned int q);
/*
 * The same, but an interrupt may wait: true when one is owed. See to it that there is a flush soon,
 * which settles that. One that was owed already comes now.
 */
bool virtio_device_flush_later(struct virtio_device *vdev, unsigned int q);

/*
 * Pops chains until the queue is empty, handing each to fn, with notifications off meanwhile; then
 * flushes. fn returns false to end early, after unpop (or after having taken the chain). After
 * VIRTIO_PASS_BUDGET chains the rest is left to another kick. Returns the number of chains handed
 * to fn.
 */
unsigned int virtio_device_process(struct virtio_device *vdev, unsigned int q,
	bool (*fn)(void *opaque, unsigned int q, struct virtq_chain *chain));
/* All of that but the flush, which is yours. */
unsigned int virtio_device_drain(struct virtio_device *vdev, unsigned int q,
	bool (*fn)(void *opaque, unsigned int q, struct virtq_chain *chain));

/*
 * Has ops->kick called for q soon, from the loop. Without a loop: once the current kick is over, or
 * at once when there is none.
 */
void virtio_device_kick_again(struct virtio_device *vdev, unsigned int q);

/* For queues without virtio_device_process: see virtqueue.h. false when the queue is not in use. */
void virtio_device_notify_off(struct virtio_device *vdev, unsigned int q);
bool virtio_device_notify_on(struct virtio_device *vdev, unsigned int q);

/*
 * Lends q to somebody who serves it in our place, as the kernel can: kicks are not answered any
 * more, but counted in kick_fd. In ops->kick of that queue, with no chain in flight. Until it is
 * taken back, in stop and queue_stop at the latest, nobody here touches its areas. -errno of the
 * loop.
 */
struct virtio_lent {
	uint16_t size; /* entries */
	const void *desc, *avail;
	void *used;
	uint16_t position; /* the available index to begin at */
	int kick_fd;
	/* Interrupts the driver when it is signalled; -1: only virtio_device_interrupt does. */
	int irq_fd;
};
int virtio_device_lend(struct virtio_device *vdev, unsigned int q, struct virtio_lent *ret);
/*
 * What was counted meanwhile is a kick. All chains before position have been used, and none behind
 * it has been touched; who is lent q next, begins there. Harmless if q is not lent.
 */
void virtio_device_take_back(struct virtio_device *vdev, unsigned int q, uint16_t position);
int virtio_device_irq_fd(const struct virtio_device *vdev, unsigned int q);
void virtio_device_interrupt(struct virtio_device *vdev, unsigned int q);

/* The device has changed its configuration space: new generation, interrupt (2.5.1). */
void virtio_device_config_changed(struct virtio_device *vdev);

/*
 * The driver broke a rule of the device: stops queue q, which gives no more chains, and asks for a
 * reset. The text says what, like "request without a header".
 */
void virtio_device_queue_error(struct virtio_device *vdev, unsigned int q, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* The same where no queue is to blame, or the host failed the device beyond repair. */
void virtio_device_needs_reset(struct virtio_device *vdev, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Of a queue since the device was made, but for what the kernel does while the queue is lent. */
struct virtio_queue_counts {
	struct counter kicks, interrupts;
};
/* Any thread. */
const struct virtio_queue_counts *virtio_device_counts(
	const struct virtio_device *vdev, unsigned int q);

/* As in the configuration, for functions of the device that are given it; any thread. */
void *virtio_device_opaque(const struct virtio_device *vdev);
/* Between start and stop. */
bool virtio_device_running(const struct virtio_device *vdev);
/* The driver has enabled queue q, and it is neither stopped nor being reset. */
bool virtio_device_queue_usable(const struct virtio_device *vdev, unsigned int q);
/* As negotiated; 0 before FEATURES_OK. */
uint64_t virtio_device_negotiated(const struct virtio_device *vdev);
/* Chains popped and not given back. */
unsigned int virtio_device_in_flight(const struct virtio_device *vdev, unsigned int q);

#endif
