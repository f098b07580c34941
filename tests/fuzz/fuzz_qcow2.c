/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a qcow2 file. It is opened, read as a whole, checked, and written to. Whatever it
 * says: a refusal has a line, nothing outside the file is opened, memory and time have bounds, and
 * what was written is read again, now and after it was opened anew, unless the image was found to
 * be damaged meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../devices/block/qcow2/disk.h"
#include "vm/core/error.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/devices/block/blk_fixture.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { CHUNK = 4096, MAX_READ = 256 * 1024, MAX_LEN = 1 << 20 };

static struct blk *open_image(const char *path, bool read_only)
{
	const struct blk_config config = {
		.path = path,
		.read_only = read_only,
		.cache = BLK_CACHE_UNSAFE,
		.aio = BLK_AIO_THREADS,
	};
	struct error err = {""};
	struct blk *blk = NULL;
	const int rc = blk_qcow2_create(&config, &blk, &err);

	CHECK(rc == 0 ? blk != NULL : rc < 0 && blk == NULL && err.text[0]);
	CHECK(!strchr(err.text, '\n'));
	return blk;
}

static struct qcow2_image *image_of(struct blk *blk)
{
	return qcow2_top(container_of(blk, struct qcow2_disk, blk));
}

static void look(const char *path)
{
	struct blk *blk = open_image(path, true);
	struct qcow2_findings found;
	uint8_t *buf;
	uint64_t size;

	if (!blk)
		return;
	size = blk_capacity(blk);
	CHECK(size && size % BLK_SECTOR == 0);
	buf = malloc(MAX_READ);
	blk_do(blk, BLK_READ, 0, 0, buf, MIN(size, (uint64_t)MAX_READ));
	blk_do(blk, BLK_READ, 0, size - BLK_SECTOR, buf, BLK_SECTOR);
	free(buf);
	qcow2_image_check(image_of(blk), false, &found, NULL);
	blk_close(blk);
}

/* Returns whether it was written, as a whole, to an image that was not found to be damaged. */
static bool change(const char *path, uint64_t offset, uint8_t *buf, uint64_t len)
{
	struct blk *blk = open_image(path, false);
	bool done = false;
	uint64_t size;

	if (!blk)
		return false;
	size = blk_capacity(blk);
	if (range_ok(offset, len, size)) {
		blk_do(blk, BLK_DISCARD, 0, 0, NULL, MIN(size, UINT64_C(65536)));
		blk_do(blk, BLK_WRITE_ZEROES, BLK_UNMAP, offset / 2, NULL, len);
		done = blk_do(blk, BLK_WRITE, 0, offset, buf, len) == 0 &&
		       blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0) == 0 && !image_of(blk)->corrupt;
	}
	if (done) {
		uint8_t *again = malloc(len);

		done = blk_do(blk, BLK_READ, 0, offset, again, len) == 0;
		CHECK(!done || memcmp(buf, again, len) == 0);
		free(again);
	}
	blk_close(blk);
	return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[CHUNK];
	const int fd = memfd_create("qcow2", MFD_CLOEXEC);
	const uint64_t offset = len > 4 ? (data[len - 1] | (uint64_t)data[len - 2] << 8) * 512 : 0;
	char path[64];

	if (len > MAX_LEN || fd < 0) {
		close(fd);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	memset(buf, 0x5a, sizeof(buf));
	CHECK(write(fd, data, len) == (ssize_t)len);
	look(path);
	if (change(path, offset, buf, CHUNK))
		look(path);
	close(fd);
	return 0;
}
