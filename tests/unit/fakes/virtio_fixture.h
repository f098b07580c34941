/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For cmocka: a fresh rig, test device and driver for each test, on the transport that the test's
 * initial state names. PER_KIND(f) lists test f once for each.
 */
#ifndef TESTS_VIRTIO_FIXTURE_H
#define TESTS_VIRTIO_FIXTURE_H

#include "virtio_driver.h"

#define ON_KIND(f, name, kind)                                                                     \
	{                                                                                          \
#f "/" name, f, fixture_set_up, fixture_tear_down, (void *)(uintptr_t)(kind)       \
	}
#define ON_MMIO(f)  ON_KIND(f, "mmio", RIG_MMIO)
#define ON_INTX(f)  ON_KIND(f, "pci-intx", RIG_PCI_INTX)
#define ON_MSIX(f)  ON_KIND(f, "pci-msix", RIG_PCI_MSIX)
#define PER_KIND(f) ON_MMIO(f), ON_INTX(f), ON_MSIX(f)

extern struct rig vrig;
extern struct test_device td;
extern struct vdrv drv;

#define FEATURES_PLAIN (VIRTIO_F_VERSION_1)
#define FEATURES_ALL                                                                               \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_RESET)

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* Instead of what set_up made: the same with a loop or a router. */
void fixture_restart(bool loop, bool router);

bool needs_reset(void);
/* A request of out bytes, answered by in bytes: adds it, kicks, takes it back and checks the answer
 * and its length. */
void expect_echo(unsigned int q, uint32_t out, uint32_t in, bool indirect);

/* Makes a chain of 8 readable and 8 writable bytes available, for a device that holds it. */
void fixture_hold(unsigned int q);
/* Until a counter of the test device, changed on another thread, is no longer 0. */
void fixture_wait(unsigned int *counter);

#endif
