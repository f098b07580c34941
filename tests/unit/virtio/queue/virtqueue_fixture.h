/* SPDX-License-Identifier: BSD-2-Clause */
/* For cmocka: a virtqueue without a device, and the driver half straight on it. */
#ifndef TESTS_VIRTQUEUE_FIXTURE_H
#define TESTS_VIRTQUEUE_FIXTURE_H

#include <stdatomic.h>

#include "fakes/virtio_driver.h"

enum { VQT_MAX = 16 /* entries */ };

extern struct rig vqt_host;
extern struct vdrv vqt_driver;
extern struct virtqueue *vqt;
extern atomic_uint vqt_notified; /* notifications from the driver */

int vqt_set_up(void **state);
int vqt_tear_down(void **state);
/* Enables the queue, anew if it is enabled, over empty rings. */
void vqt_start(uint64_t features, uint16_t size);
/* A chain that must be there. */
struct virtq_chain *vqt_pop(void);

#define VQT_TEST(f) cmocka_unit_test_setup_teardown(f, vqt_set_up, vqt_tear_down)

#endif
