/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver half of virtio in user space: what a guest does, in the order in which it does it,
 * through nothing but buses, interrupts and guest memory. Finds its device by scanning, like one.
 */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include "virtio_rig.h"

enum { VDRV_MAX_BUFS = 64, VDRV_NO_HEAD = -1 };

struct vdrv;

struct vdrv_transport {
	uint8_t (*status)(struct vdrv *d);
	void (*set_status)(struct vdrv *d, uint8_t status);
	uint32_t (*features)(struct vdrv *d, uint32_t select);
	void (*set_features)(struct vdrv *d, uint32_t select, uint32_t value);
	uint32_t (*queue_max)(struct vdrv *d, unsigned int q);
	/* Only the registers; all three addresses and the size. */
	void (*queue_layout)(struct vdrv *d, unsigned int q, const struct virtqueue_layout *l);
	void (*queue_enable)(struct vdrv *d, unsigned int q);
	bool (*queue_enabled)(struct vdrv *d, unsigned int q);
	void (*queue_reset)(struct vdrv *d, unsigned int q);
	void (*notify)(struct vdrv *d, unsigned int q);
	uint32_t (*generation)(struct vdrv *d);
	/* Where the device's configuration begins, on the MMIO bus. */
	uint64_t (*cfg_base)(struct vdrv *d);
	/* Interrupts since the last call: VIRTIO_ISR_ bits. Acknowledges them. */
	uint8_t (*take_irq)(struct vdrv *d);
};

/* A buffer of a chain */
struct vdrv_buf {
	uint64_t gpa;
	uint32_t len;
};

/* A virtqueue as its driver keeps it */
struct vdrv_queue {
	struct virtqueue_layout layout;
	uint8_t *desc, *avail, *used;
	bool event_idx;
	uint16_t free_head, num_free;
	uint16_t avail_idx, last_used;
	uint16_t kicked_idx;		    /* avail_idx at the last decision to notify */
	uint16_t chain_len[VIRTQ_MAX_SIZE]; /* descriptors, by head */
};

struct vdrv {
	struct rig *rig;
	const struct vdrv_transport *t;
	unsigned int first; /* the device's queue that is this driver's queue 0 */
	uint64_t negotiated;
	uint64_t brk; /* next free byte of RAM */
	struct vdrv_queue q[TD_QUEUES];
	bool events_apart;	    /* the device's event index gets a page of its own */
	uint64_t apart;		    /* what the areas of a ring are aligned to at least */
	unsigned int notifications; /* sent, not suppressed */

	/* PCI: what the capabilities said */
	uint64_t common, notify, isr, device, msix_table, msix_pba;
	bool notify_pio;
	uint32_t notify_step;
	uint8_t window, msix_cap;
};

/* Finds the device; PCI: turns decoding, bus mastering and, if the rig says so, MSI-X on. */
void vdrv_attach(struct vdrv *d, struct rig *rig);

/* 3.1.1 up to FEATURES_OK; true when the device accepted. */
bool vdrv_negotiate(struct vdrv *d, uint64_t features);
/* Places rings for size entries in RAM and enables the queue. */
void vdrv_queue_setup(struct vdrv *d, unsigned int q, uint16_t size);
/* Where the device says after which chain it wants to be notified (EVENT_IDX). */
uint8_t *vdrv_event(struct vdrv *d, unsigned int q);
void vdrv_driver_ok(struct vdrv *d);
/* All of it, each queue with its maximum size. */
void vdrv_start(struct vdrv *d, uint64_t features);

/* RAM that nothing else uses. */
uint64_t vdrv_alloc(struct vdrv *d, uint64_t size, uint64_t align);
uint8_t *vdrv_at(struct vdrv *d, uint64_t gpa, uint64_t len);

/* Writes descriptor i of a table at gpa. */
void vdrv_set_desc(struct vdrv *d, uint64_t table, unsigned int i, uint64_t addr, uint32_t len,
	uint16_t flags, uint16_t next);
/* Makes head available; the descriptors are there already. */
void vdrv_expose(struct vdrv *d, unsigned int q, uint16_t head);

/*
 * Makes a chain of out readable and in writable buffers available and returns its head. indirect
 * puts it into a table of its own.
 */
int vdrv_add(struct vdrv *d, unsigned int q, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in, bool indirect);
/* Notifies, unless the device said that it need not be. */
void vdrv_kick(struct vdrv *d, unsigned int q);
/* The head of the next used chain and its length, or VDRV_NO_HEAD. */
int vdrv_get(struct vdrv *d, unsigned int q, uint32_t *len);
/* Interrupt when this many more have been used (EVENT_IDX), or whether at all. */
void vdrv_want_irq(struct vdrv *d, unsigned int q, uint16_t after);
void vdrv_no_irq(struct vdrv *d, unsigned int q, bool off);

uint64_t vdrv_cfg(struct vdrv *d, uint32_t off, unsigned int size);
void vdrv_set_cfg(struct vdrv *d, uint32_t off, unsigned int size, uint64_t value);

/* PCI configuration space of the device */
uint32_t vdrv_pci_read(struct vdrv *d, unsigned int off, unsigned int size);
void vdrv_pci_write(struct vdrv *d, unsigned int off, unsigned int size, uint32_t value);
uint64_t vdrv_mmio_read(struct vdrv *d, uint64_t addr, unsigned int size);
void vdrv_mmio_write(struct vdrv *d, uint64_t addr, unsigned int size, uint64_t value);

extern const struct vdrv_transport vdrv_mmio, vdrv_pci;
/* Parses capabilities into d; in virtio_driver_pci.c. */
void vdrv_pci_attach(struct vdrv *d);

#endif
