/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For cmocka: a block device over a fake back end, on the transport that the test's initial state
 * names, and the driver's half of its protocol (virtio 1.2, 5.2.6). PER_BLK(f) lists test f for
 * each transport.
 */
#ifndef TESTS_VIRTIO_BLK_FIXTURE_H
#define TESTS_VIRTIO_BLK_FIXTURE_H

#include "fakes/virtio_fixture.h"
#include "virtio/blk/blk.h"
#include "virtio_blk_fake.h"

#define VB_F_SEG_MAX	  VIRTIO_BIT(2)
#define VB_F_RO		  VIRTIO_BIT(5)
#define VB_F_BLK_SIZE	  VIRTIO_BIT(6)
#define VB_F_FLUSH	  VIRTIO_BIT(9)
#define VB_F_TOPOLOGY	  VIRTIO_BIT(10)
#define VB_F_CONFIG_WCE	  VIRTIO_BIT(11)
#define VB_F_MQ		  VIRTIO_BIT(12)
#define VB_F_DISCARD	  VIRTIO_BIT(13)
#define VB_F_WRITE_ZEROES VIRTIO_BIT(14)

/* What Linux takes. */
#define VB_ALL                                                                                     \
	(FEATURES_ALL | VB_F_SEG_MAX | VB_F_BLK_SIZE | VB_F_FLUSH | VB_F_TOPOLOGY |                \
		VB_F_CONFIG_WCE | VB_F_DISCARD | VB_F_WRITE_ZEROES)

enum {
	VB_IN = 0,
	VB_OUT = 1,
	VB_FLUSH = 4,
	VB_GET_ID = 8,
	VB_DISCARD = 11,
	VB_WRITE_ZEROES = 13,

	VB_OK = 0,
	VB_IOERR = 1,
	VB_UNSUPP = 2,
	VB_NO_STATUS = 0xaa, /* what is there beforehand */

	VB_HEADER = 16, /* bytes */
	VB_RANGE = 16,
	VB_CFG_SIZE = 60,
	VB_CFG_WRITEBACK = 32,

	VB_POISON = 0xee, /* what data of a read holds beforehand */
};

struct vb_options {
	unsigned int num_queues; /* 0: 1 */
	uint16_t queue_size;	 /* 0: the default */
	bool read_only, no_cache, loop;
	uint64_t capacity; /* bytes; 0: VBF_BYTES */
	const char *serial;
	struct log *log;
	const struct clock *clock;
	struct rate_config limit;
	const uint64_t *ticks_scale;
};

extern struct vbf *vb_disk;

int vb_set_up(void **state);
int vb_tear_down(void **state);
/* Instead of what set_up made, on the same transport. */
void vb_restart(const struct vb_options *options);

#define ON_BLK(f, name, kind)                                                                      \
	{                                                                                          \
#f "/" name, f, vb_set_up, vb_tear_down, (void *)(uintptr_t)(kind)                 \
	}
#define PER_BLK(f)                                                                                 \
	ON_BLK(f, "mmio", RIG_MMIO), ON_BLK(f, "pci-intx", RIG_PCI_INTX),                          \
		ON_BLK(f, "pci-msix", RIG_PCI_MSIX)

/* A request of three descriptors, or two without data; guest-physical addresses. */
struct vb_request {
	uint64_t header, data, status;
	uint32_t len;  /* of the data */
	bool out;      /* the device reads the data */
	int head;      /* while it is in the ring */
	uint32_t used; /* what the device says it wrote */
};

/* In memory of its own, which drv.brk can give back. Data to read is VB_POISON, to write 0. */
void vb_make(struct vb_request *r, uint32_t type, uint64_t sector, uint32_t len);
/* The same, its data being copied. */
void vb_make_with(
	struct vb_request *r, uint32_t type, uint64_t sector, const void *data, uint32_t len);
uint8_t *vb_data(const struct vb_request *r);
uint8_t vb_status(const struct vb_request *r);

/* Makes it available, without and with a kick. */
void vb_add(struct vb_request *r, unsigned int q);
void vb_send(struct vb_request *r, unsigned int q);
/* Takes the next used one, which must be r, and returns its status. */
uint8_t vb_take(struct vb_request *r, unsigned int q);
bool vb_nothing_used(unsigned int q);
/* All of it, in queue 0, for a disk that finishes at once. */
uint8_t vb_do(struct vb_request *r);
uint8_t vb_request(uint32_t type, uint64_t sector, uint32_t len);

/* The range of a DISCARD or WRITE_ZEROES as it lies in memory. */
void vb_put_range(uint8_t *p, uint64_t sector, uint32_t num_sectors, uint32_t flags);
uint8_t vb_one_range(uint32_t type, uint64_t sector, uint32_t num_sectors, uint32_t flags);

/* [offset, offset + len) of the disk, or of the pattern, is that. */
void vb_expect_bytes(const uint8_t *p, uint64_t len, uint8_t byte);
void vb_expect_pattern(const uint8_t *p, uint64_t offset, uint64_t len);
/* The whole disk is as at first. */
void vb_expect_untouched(void);

#endif
