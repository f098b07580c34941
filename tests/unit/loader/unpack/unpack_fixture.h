/* SPDX-License-Identifier: BSD-2-Clause */
/* A bzImage with a kernel inside, as one likes, and a guest of 64 MiB to load it into. */
#ifndef TESTS_UNPACK_FIXTURE_H
#define TESTS_UNPACK_FIXTURE_H

#include "fakes/fake_ram.h"
#include "fakes/kernel_files.h"
#include "loader/loader.h"
#include "vm/core/error.h"

#define UNPACK_RAM  (64 * MiB)
#define UNPACK_STEP (2 * MiB)

struct unpack_run {
	struct fake_ram ram;
	struct kernel_file elf, payload, file; /* one in the other */
	struct image kernel, initrd;
	struct loader_config config; /* with KASLR, an initrd of 7 bytes */
	struct loader_result result;
	struct error err;
};

struct unpack_run *unpack_run_new(void);
void unpack_run_free(struct unpack_run *r);

/* Makes payload and file anew after a change of elf, or of payload. */
void unpack_run_pack(struct unpack_run *r);
void unpack_run_wrap(struct unpack_run *r);

int unpack_run_load(struct unpack_run *r);

/* What boot_params say. */
uint8_t unpack_run_loadflags(const struct unpack_run *r);

/* The kernel is where it should be, moved so far, and boot_params say what they should. */
void unpack_run_check(const struct unpack_run *r, uint64_t physical, uint32_t virtual);

#endif
