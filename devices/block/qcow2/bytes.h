/* SPDX-License-Identifier: BSD-2-Clause */
/* Big-endian fields, as qcow2 has them, by offset. The caller has checked that they are there. */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_BYTES_H
#define BANTAM_DEVICES_BLOCK_QCOW2_BYTES_H

#include <endian.h>
#include <string.h>

#include "vm/core/base.h"

static inline uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
