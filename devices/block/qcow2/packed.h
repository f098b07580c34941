/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compressed clusters. The libraries are opened with the first image that may have some, and never
 * linked: a machine without such an image does not pay for them, and one that is confined could not
 * open them later.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_PACKED_H
#define BANTAM_DEVICES_BLOCK_QCOW2_PACKED_H

#include "header.h"

struct qcow2_codec;

/* 0 or -ENOTSUP, -ENOMEM. */
int qcow2_codec_open(enum qcow2_packing packing, struct qcow2_codec **ret);
void qcow2_codec_close(struct qcow2_codec *codec);
/* Exactly size bytes come of at most len: 0 or -EIO, -ENOMEM. Any thread. */
int qcow2_unpack(
	const struct qcow2_codec *codec, const uint8_t *src, size_t len, uint8_t *dst, size_t size);

#endif
