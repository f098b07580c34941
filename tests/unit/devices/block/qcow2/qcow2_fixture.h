/* SPDX-License-Identifier: BSD-2-Clause */
/* qcow2 images for tests; qemu-img, where it is installed, says what it thinks of them. */
#ifndef BANTAM_TESTS_QCOW2_FIXTURE_H
#define BANTAM_TESTS_QCOW2_FIXTURE_H

#include "../blk_fixture.h"
#include "devices/block/qcow2.h"

/* A new image in the place of the file's. Aborts when it cannot be. */
void qcow2_make(const char *path, const struct qcow2_options *options);

struct blk *qcow2_open(const char *path, const struct blk_mode *mode, bool read_only);
int qcow2_try_open(
	const char *path, const struct blk_config *with, struct blk **ret, struct error *err);

/* Whether qemu-img is there; says that it is not. */
bool qemu_img_there(void);
/* Runs a command of the shell: its status; output is dropped unless it fails. */
int shell(const char *format, ...) PRINTF_LIKE(1, 2);
/* qemu-img check: leaks are allowed or not. True without qemu-img. */
bool qcow2_is_clean(const char *path, bool leaks_allowed);
/* The disk as qemu-img reads it, against these bytes. True without qemu-img. */
bool qcow2_reads_as(const char *path, const uint8_t *bytes, uint64_t size);

#endif
