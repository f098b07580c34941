/* SPDX-License-Identifier: BSD-2-Clause */
/* A bzImage's setup header, checked. */
#ifndef BANTAM_LOADER_BZIMAGE_H
#define BANTAM_LOADER_BZIMAGE_H

#include "loader/boot/boot_proto.h"
#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct guest_mem;

enum { BZIMAGE_VERSION = 128 };

struct bzimage {
	uint16_t protocol; /* 0x020f is 2.15 */
	bool entry64;	   /* has the 64-bit entry */
	bool relocatable;
	uint32_t alignment;	  /* a power of two; 1 if it is not relocatable */
	uint64_t pref_address;	  /* where it wants to run */
	uint64_t init_size;	  /* what it needs from there on until it reads the memory map */
	uint32_t cmdline_size;	  /* longest command line, without the final zero */
	uint64_t initrd_addr_max; /* the last address an initrd may occupy */
	uint64_t code_offset;	  /* the protected-mode code in the file, */
	uint64_t code_size;	  /* up to its end */
	uint64_t payload_offset;  /* the packed kernel in the file, not checked yet; */
	uint64_t payload_size;	  /* 0: the header names none */
	/* The header as the file has it: bytes HDR_START up to header_end, at those offsets. */
	uint32_t header_end;
	uint8_t header[HDR_LIMIT];
};

/* True when the first len bytes of a file carry the setup header's signature. */
bool bzimage_detect(const uint8_t *head, size_t len);

/* Reads and checks the header. -EINVAL for a bad file, -ENOTSUP for one too old; err names the
 * field. */
int bzimage_parse(const struct image *image, struct bzimage *bz, struct error *err);

/*
 * A string of the setup code, for people: printable, "" for none. One that points nowhere is none,
 * not an error.
 */
int bzimage_read_version(const struct image *image, const struct bzimage *bz,
	char version[BZIMAGE_VERSION], struct error *err);

/*
 * Where the kernel wants to run. -ENOSPC where [*gpa, + init_size) is not inside the RAM at
 * LAYOUT_KERNEL_MIN.
 */
int bzimage_place(const struct guest_mem *mem, const struct image *image, const struct bzimage *bz,
	uint64_t *gpa, struct error *err);

/*
 * Reads the code to where it wants to run, and returns the address through *gpa. -ENOSPC as
 * bzimage_place.
 */
int bzimage_load(const struct guest_mem *mem, const struct image *image, const struct bzimage *bz,
	uint64_t *gpa, struct error *err);

#endif
