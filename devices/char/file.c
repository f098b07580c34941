/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output into a file, a FIFO or a device; there is no input. A regular file takes a write at once
 * (on the vCPU's thread), the others may have a slow reader like any pipe.
 *
 * A disk that is full gets room again, and a FIFO another reader: each write tries anew. Others may
 * cut the file (logrotate's copytruncate), so what is written goes to its end, wherever that is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "devices/char/char.h"
#include "output.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

struct file {
	struct chardev dev;
	struct log *log;
	char *path;
	struct log_limit limit;
	struct char_output out;
};

static void on_broken(void *opaque, int error, bool final)
{
	struct file *file = opaque;

	(void) final; /* nothing is, here */
	log_limited(file->log, &file->limit, LOG_WARN,
		"%s: %s; output is lost until it can be written again", file->path,
		strerror(-error));
}

static void on_recovered(void *opaque, uint64_t lost)
{
	struct file *file = opaque;

	log_limited(file->log, &file->limit, LOG_WARN, "%s: %llu bytes of output were lost",
		file->path, (unsigned long long)lost);
}

static void on_resumed(void *opaque, uint64_t dropped)
{
	struct file *file = opaque;

	log_limited(file->log, &file->limit, LOG_WARN,
		"%s was not read for too long: %llu bytes were dropped", file->path,
		(unsigned long long)dropped);
}

static size_t file_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	return char_output_write(&container_of(dev, struct file, dev)->out, buf, len);
}

static void file_rx_kick(struct chardev *dev)
{
	(void)dev;
}

static bool file_connected(struct chardev *dev)
{
	(void)dev;
	return true;
}

static bool file_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	(void)dev;
	(void)cols;
	(void)rows;
	return false;
}

static void file_flush(struct chardev *dev)
{
	char_output_flush(&container_of(dev, struct file, dev)->out);
}

static void file_close(struct chardev *dev)
{
	struct file *file = container_of(dev, struct file, dev);

	char_output_flush(&file->out);
	char_output_fini(&file->out);
	chardev_fini(dev);
	free(file->path);
	free(file);
}

static const struct chardev_ops file_ops = {
	.write = file_write,
	.rx_kick = file_rx_kick,
	.connected = file_connected,
	.size = file_size,
	.flush = file_flush,
	.close = file_close,
};

/* Without O_NONBLOCK, a FIFO that nobody reads would be waited for. */
static int open_path(const char *path, struct error *err)
{
	const int flags =
		O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, 0644);

	if (fd < 0 && errno == ENXIO)
		return error_set(err, -ENXIO, "%s: no process has it open for reading", path);
	return fd < 0 ? error_set_errno(err, -errno, "%s", path) : fd;
}

int char_file_create(
	const struct char_config *config, const char *path, struct chardev **ret, struct error *err)
{
	struct file *file = calloc(1, sizeof(*file));
	struct stream_fd stream;
	int rc;

	if (!file)
		return error_set_errno(err, -ENOMEM, "%s", path);
	file->log = config->log;
	file->path = strdup(path);
	if (!file->path) {
		rc = error_set_errno(err, -ENOMEM, "%s", path);
		goto free_file;
	}
	rc = open_path(path, err);
	if (rc < 0)
		goto free_path;
	chardev_init(&file->dev, &file_ops);
	file->out.dev = &file->dev;
	file->out.loop = config->loop;
	file->out.clock = config->clock;
	file->out.broken = on_broken;
	file->out.recovered = on_recovered;
	file->out.keeps_trying = true;
	file->out.resumed = on_resumed;
	file->out.opaque = file;
	char_output_init(&file->out);
	stream_fd_own(&stream, rc);
	char_output_open(&file->out, &stream);
	*ret = &file->dev;
	return 0;

free_path:
	free(file->path);
free_file:
	free(file);
	return rc;
}
