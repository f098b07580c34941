/* SPDX-License-Identifier: BSD-2-Clause */
#include "malformed_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakes/kernel_files.h"

static int write_file(const char *path, const struct kernel_file *file, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, file->bytes, file->size) != (ssize_t)file->size)
		rc = -EIO;
	if (!rc && size != SIZE_AS_IS && ftruncate(fd, (off_t)size) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int make_file(const struct malformed_case *c, const char *path)
{
	static void (*const makers[])(struct kernel_file *) = {[FROM_BZIMAGE] = make_bzimage,
		[FROM_PACKED] = make_packed,
		[FROM_BOMB] = make_bomb,
		[FROM_ELF64] = make_elf64,
		[FROM_ELF32] = make_elf32};
	struct kernel_file file = {0};

	if (c->base == FROM_BYTES) {
		file.size = c->bytes_off + c->bytes_len;
		if (file.size > sizeof(file.bytes))
			return -E2BIG;
		memcpy(file.bytes + c->bytes_off, c->bytes, c->bytes_len);
	} else {
		makers[c->base](&file);
	}
	for (unsigned int i = 0; i < MALFORMED_PATCHES && c->patches[i].len; i++)
		poke(&file, c->patches[i].off, c->patches[i].len, c->patches[i].value);
	return write_file(path, &file, c->size);
}

/* Anything but MADE_FILE; may change the path. */
static int make_other(enum malformed_kind kind, char *path, size_t len)
{
	int rc = 0;

	switch (kind) {
	case MADE_DIRECTORY:
		rc = mkdir(path, 0755);
		break;
	case MADE_FIFO:
		rc = mkfifo(path, 0644);
		break;
	case MADE_SYMLINK_LOOP:
		rc = symlink(path, path);
		break;
	case MADE_DEV_ZERO:
		snprintf(path, len, "/dev/zero");
		break;
	case MADE_FILE:
	case MADE_NOTHING:
		break;
	}
	return rc < 0 ? -errno : 0;
}

int malformed_make(const struct malformed_case *c, const char *dir, struct malformed_paths *paths)
{
	const struct kernel_file nothing = {0};
	int rc;

	memset(paths, 0, sizeof(*paths));
	snprintf(paths->kernel, sizeof(paths->kernel), "%s/%s", dir, c->name);
	if (c->kind == MADE_FILE)
		rc = make_file(c, paths->kernel);
	else
		rc = make_other(c->kind, paths->kernel, sizeof(paths->kernel));
	if (rc || !c->has_initrd)
		return rc;
	snprintf(paths->initrd, sizeof(paths->initrd), "%s/%s.initrd", dir, c->name);
	paths->blame_initrd = true;
	if (c->initrd_kind == MADE_FILE)
		return write_file(paths->initrd, &nothing, c->initrd_size);
	return make_other(c->initrd_kind, paths->initrd, sizeof(paths->initrd));
}

static void remove_one(const char *path)
{
	if (path[0] && strncmp(path, "/dev/", 5) != 0 && unlink(path) < 0)
		rmdir(path);
}

void malformed_remove(const struct malformed_paths *paths)
{
	remove_one(paths->kernel);
	remove_one(paths->initrd);
}
