/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/cache/kernel_entry.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/image/bytes.h"

/* Holes are made of these; a shorter one is read faster than it is left out. */
enum { BLOCK = 4096, MIN_HOLE = 16 * BLOCK };

/* The trailer's parts: a magic word, and what the header tells of */
enum {
	SIZE_OFF = 8,
	KEY_OFF = 16,
	HOLES_OFF = 32,
	BOOT_OFF = HOLES_OFF + 16 * IMAGE_HOLES,
	WRITTEN_OFF = BOOT_OFF + KERNEL_BOOT_ID,
};

static_assert(WRITTEN_OFF + 8 == (int)KERNEL_ENTRY_TRAILER, "that is all");

static const char trailer_magic[8] = "bantamK3";

/* Sixteen bytes in hexadecimal digits, with dashes between some */
static void parse_boot_id(const char *text, uint8_t boot[KERNEL_BOOT_ID])
{
	unsigned int digits = 0;

	memset(boot, 0, KERNEL_BOOT_ID);
	for (; *text && digits < 2 * KERNEL_BOOT_ID; text++) {
		const char digit[] = {*text, '\0'};

		if (*text == '-')
			continue;
		boot[digits / 2] = (uint8_t)(boot[digits / 2] << 4 | strtoul(digit, NULL, 16));
		digits++;
	}
}

void kernel_moment_now(struct kernel_moment *now)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	struct timespec up;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	parse_boot_id(text, now->boot);
	clock_gettime(CLOCK_BOOTTIME, &up);
	now->seconds = up.tv_sec;
}

/* The part that tells whether it is the right one. */
static void begin_trailer(const struct kernel_key *key, uint64_t size, uint8_t trailer[HOLES_OFF])
{
	memcpy(trailer, trailer_magic, sizeof(trailer_magic));
	put_le64(trailer + SIZE_OFF, size);
	memcpy(trailer + KEY_OFF, key->bytes, KEY_HASH_SIZE);
}

/* Holes are in ascending order, inside the kernel, and not read: what a false one hides is zeros.
 */
static bool read_holes(const uint8_t *trailer, uint64_t size, struct image_hole holes[IMAGE_HOLES])
{
	uint64_t end = 0;

	for (size_t i = 0; i < IMAGE_HOLES; i++) {
		const uint8_t *p = trailer + HOLES_OFF + 16 * i;

		holes[i] = (struct image_hole){get_le64(p), get_le64(p + 8)};
		if (!range_ok(holes[i].off, holes[i].len, size) || holes[i].off < end ||
			holes[i].off % BLOCK || holes[i].len % BLOCK)
			return false;
		end = holes[i].off + holes[i].len;
	}
	return true;
}

int kernel_entry_read(
	int fd, uint64_t file_size, const struct kernel_key *key, struct kernel_entry *ret)
{
	uint8_t expected[HOLES_OFF], found[KERNEL_ENTRY_TRAILER];
	const uint64_t size = file_size - MIN(file_size, (uint64_t)KERNEL_ENTRY_TRAILER);
	struct kernel_entry entry = {.size = size};

	begin_trailer(key, size, expected);
	if (pread(fd, found, sizeof(found), (off_t)size) != sizeof(found) ||
		memcmp(found, expected, sizeof(expected)) != 0 ||
		!read_holes(found, size, entry.holes))
		return -ENOENT;
	memcpy(entry.written.boot, found + BOOT_OFF, KERNEL_BOOT_ID);
	entry.written.seconds = (int64_t)get_le64(found + WRITTEN_OFF);
	*ret = entry;
	return 0;
}

static bool is_zeros(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

/* Keeps a run if it is longer than the shortest of those there are. */
static void keep_longest(struct image_hole holes[IMAGE_HOLES], uint64_t off, uint64_t len)
{
	struct image_hole *shortest = holes;

	for (size_t i = 1; i < IMAGE_HOLES; i++)
		if (holes[i].len < shortest->len)
			shortest = &holes[i];
	if (len < MIN_HOLE || len <= shortest->len)
		return;
	/* In the order of their places: the new one is behind all others. */
	memmove(shortest, shortest + 1,
		(size_t)(holes + IMAGE_HOLES - 1 - shortest) * sizeof(*shortest));
	holes[IMAGE_HOLES - 1] = (struct image_hole){off, len};
}

/* The longest runs of whole blocks of zeros: most of a kernel's bss, and what fills up its text. */
static void find_holes(const uint8_t *data, size_t size, struct image_hole holes[IMAGE_HOLES])
{
	size_t start = 0, at = 0;

	memset(holes, 0, IMAGE_HOLES * sizeof(*holes));
	for (; at + BLOCK <= size; at += BLOCK) {
		if (is_zeros(data + at))
			continue;
		keep_longest(holes, start, at - start);
		start = at + BLOCK;
	}
	keep_longest(holes, start, at - start);
}

int kernel_entry_write(int dir, const struct kernel_key *key, const uint8_t *data, size_t size,
	char name[CACHE_FILE_NAME])
{
	struct image_hole holes[IMAGE_HOLES];
	struct iovec iov[2 * IMAGE_HOLES + 2];
	uint8_t trailer[KERNEL_ENTRY_TRAILER];
	struct kernel_moment now;
	size_t at = 0;
	int n = 0;

	find_holes(data, size, holes);
	begin_trailer(key, size, trailer);
	kernel_moment_now(&now);
	memcpy(trailer + BOOT_OFF, now.boot, KERNEL_BOOT_ID);
	put_le64(trailer + WRITTEN_OFF, (uint64_t)now.seconds);
	for (size_t i = 0; i < IMAGE_HOLES; i++) {
		put_le64(trailer + HOLES_OFF + 16 * i, holes[i].off);
		put_le64(trailer + HOLES_OFF + 16 * i + 8, holes[i].len);
		if (!holes[i].len)
			continue;
		iov[n++] = (struct iovec){(void *)(data + at), holes[i].off - at};
		iov[n++] = (struct iovec){NULL, holes[i].len};
		at = holes[i].off + holes[i].len;
	}
	iov[n++] = (struct iovec){(void *)(data + at), size - at};
	iov[n++] = (struct iovec){trailer, sizeof(trailer)};
	return cache_file_write(dir, iov, n, name);
}
