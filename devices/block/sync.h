/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole requests, waiting for them. */
#ifndef BANTAM_DEVICES_BLOCK_SYNC_H
#define BANTAM_DEVICES_BLOCK_SYNC_H

#include "transfer.h"

/*
 * Any thread; bounce is BOUNCE_SIZE bytes of its own. A READ or WRITE goes on after the req->bytes
 * that are moved already, and keeps the count. BLK_FUA is the caller's business. Returns 0 or
 * -errno.
 */
int blk_sync_execute(const struct blk_image *image, struct blk_request *req, uint8_t *bounce);

#endif
