/* SPDX-License-Identifier: BSD-2-Clause */
#include "qcow2_fixture.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void qcow2_make(const char *path, const struct qcow2_options *options)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct error err = {""};

	if (fd < 0 || qcow2_format(fd, path, options, &err)) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		abort();
	}
	close(fd);
}

int qcow2_try_open(
	const char *path, const struct blk_config *with, struct blk **ret, struct error *err)
{
	struct blk_config config = *with;

	config.path = path;
	err->text[0] = '\0';
	return blk_qcow2_create(&config, ret, err);
}

struct blk *qcow2_open(const char *path, const struct blk_mode *mode, bool read_only)
{
	const struct blk_config config = {
		.read_only = read_only, .cache = mode->cache, .aio = mode->aio, .backing = true};
	struct blk *blk = NULL;
	struct error err;

	if (qcow2_try_open(path, &config, &blk, &err)) {
		fprintf(stderr, "%s: %s\n", mode->name, err.text);
		abort();
	}
	return blk;
}

int shell(const char *format, ...)
{
	char command[1024], all[1200];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(all, sizeof(all), "out=$(%s 2>&1) || { rc=$?; echo \"$out\" >&2; exit $rc; }",
		command);
	status = system(all); /* NOLINT: the test's own words */
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool qemu_img_there(void)
{
	if (system("command -v qemu-img >/dev/null") == 0) /* NOLINT */
		return true;
	printf("SKIP: what qemu-img says (no qemu-img)\n");
	return false;
}

enum { LEAKS = 3, NO_QEMU_IMG = 127 };

bool qcow2_is_clean(const char *path, bool leaks_allowed)
{
	const int rc = shell(
		"qemu-img check -q -f qcow2 %s%s", path, leaks_allowed ? " >/dev/null 2>&1" : "");

	return rc == 0 || rc == NO_QEMU_IMG || (leaks_allowed && rc == LEAKS);
}

bool qcow2_reads_as(const char *path, const uint8_t *bytes, uint64_t size)
{
	char raw[256];
	uint8_t *read;
	bool same;
	int rc;

	snprintf(raw, sizeof(raw), "%s.raw", path);
	rc = shell("qemu-img convert -q -f qcow2 -O raw %s %s", path, raw);
	if (rc)
		return rc == NO_QEMU_IMG;
	read = image_file_read(raw, size);
	same = memcmp(read, bytes, size) == 0;
	free(read);
	unlink(raw);
	return same;
}
