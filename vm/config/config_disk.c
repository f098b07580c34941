/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FILE[,key[=value]]... and NAME=WHERE. The text is copied once and cut in place; what the config
 * points to lives in that copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"

#include "../options/foreign_words.h"

static int set_ro(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	(void)value, (void)err;
	disk->read_only = true;
	return 0;
}

static int set_iothread(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	(void)value, (void)err;
	disk->iothread = true;
	return 0;
}

static int set_cache(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;
	static const char *const words[] = {[BLK_CACHE_NONE] = "none",
		[BLK_CACHE_WRITEBACK] = "writeback",
		[BLK_CACHE_WRITETHROUGH] = "writethrough",
		[BLK_CACHE_UNSAFE] = "unsafe",
		NULL};
	int r = config_parse_word("--disk: cache", value, words, err);

	if (r >= 0)
		disk->cache = (enum blk_cache)r;
	return MIN(r, 0);
}

static int set_aio(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;
	static const char *const words[] = {"native", "threads", NULL};
	int r = config_parse_word("--disk: aio", value, words, err);

	if (r >= 0)
		disk->aio = r ? BLK_AIO_THREADS : BLK_AIO_NATIVE;
	return MIN(r, 0);
}

static int set_format(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;
	static const char *const words[] = {"raw", "qcow2", NULL};
	int r = config_parse_word("--disk: format", value, words, err);

	if (r >= 0)
		disk->format = r ? DISK_QCOW2 : DISK_RAW;
	return MIN(r, 0);
}

static int set_backing(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;
	static const char *const words[] = {"no", "yes", NULL};
	int r = config_parse_word("--disk: backing", value, words, err);

	if (r >= 0)
		disk->backing = r;
	return MIN(r, 0);
}

static int set_snapshot(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	(void)value, (void)err;
	disk->snapshot = true;
	return 0;
}

static int set_size(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	if (config_parse_size(value, 1, &disk->size) < 0 || disk->size < CONFIG_MIN_SNAPSHOT ||
		disk->size > INT64_MAX)
		return error_set(err, -EINVAL,
			"--disk: size: '%s' is not a size of 1M or more, like 10G", value);
	return 0;
}

static int set_serial(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	if (strlen(value) > CONFIG_MAX_DISK_SERIAL)
		return error_set(err, -EINVAL, "--disk: serial: '%s' is longer than %d characters",
			value, CONFIG_MAX_DISK_SERIAL);
	disk->serial = value;
	return 0;
}

static int set_id(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;

	return config_parse_id("--disk", value, &disk->id, err);
}

static int set_queues(void *opaque, const char *value, struct error *err)
{
	struct disk_config *disk = opaque;
	uint64_t n;

	if (config_parse_number(value, &n) || n < 1 || n > CONFIG_MAX_DISK_QUEUES)
		return error_set(err, -EINVAL, "--disk: queues: '%s' is not a number from 1 to %d",
			value, CONFIG_MAX_DISK_QUEUES);
	disk->queues = (unsigned int)n;
	return 0;
}

static const struct config_key disk_keys[] = {
	{"ro", false, set_ro},
	{"cache", true, set_cache},
	{"aio", true, set_aio},
	{"format", true, set_format},
	{"backing", true, set_backing},
	{"snapshot", false, set_snapshot},
	{"size", true, set_size},
	{"serial", true, set_serial},
	{"id", true, set_id},
	{"queues", true, set_queues},
	{"iothread", false, set_iothread},
};

int config_parse_disk(const char *value, struct disk_config *disk, struct error *err)
{
	const char *hint;
	char *rest, *part;
	int rc = 0;

	*disk = (struct disk_config){.cache = BLK_CACHE_NONE, .aio = BLK_AIO_AUTO, .queues = 1};
	disk->copy = rest = strdup(value);
	if (!disk->copy)
		return error_set_errno(err, -ENOMEM, "--disk");
	disk->path = config_next_part(&rest);
	if (!*disk->path)
		return error_set(err, -EINVAL, "--disk needs a file: --disk FILE[,...]");
	hint = foreign_first("--disk", disk->path);
	if (hint)
		return error_set(err, -EINVAL, "--disk: '%s' (%s; a file of that name is ./%s)",
			disk->path, hint, disk->path);
	while (!rc && (part = config_next_part(&rest))) {
		rc = limit_parse("--disk", part, false, &disk->limit, err);
		if (rc)
			rc = MIN(rc, 0);
		else
			rc = config_set_key("--disk", part, disk_keys, ARRAY_SIZE(disk_keys), disk,
				" (a comma in the file's name is written twice)", err);
	}
	return rc ? rc : limit_check("--disk", &disk->limit, err);
}

int config_parse_port(const char *value, struct port_config *port, struct error *err)
{
	char *equals;

	*port = (struct port_config){.copy = strdup(value)};
	if (!port->copy)
		return error_set_errno(err, -ENOMEM, "--port");
	equals = strchr(port->copy, '=');
	if (!equals || equals == port->copy)
		return error_set(err, -EINVAL, "--port: '%s' is not NAME=WHERE", value);
	*equals = '\0';
	port->name = port->copy;
	return config_parse_where(OPT_PORT, equals + 1, &port->where, err);
}
