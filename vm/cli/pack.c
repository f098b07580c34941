/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam pack`: opens what the configurations name, each file once, and has the FIT image made. */
#include "vm/cli/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/fit/fdt_file.h"
#include "loader/fit/fit_write.h"
#include "loader/image/image.h"
#include "vm/cli/commands.h"
#include "vm/config/cmdline.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/config/kernel_find.h"
#include "vm/core/error.h"
#include "vm/help/help.h"

enum { CMDLINE_SIZE = 65536 };

struct pack {
	struct pack_config config;
	struct kernel_found found;
	struct image kernels[PACK_MAX_CONFIGS];
	struct image initrds[PACK_MAX_CONFIGS][LOADER_MAX_INITRDS];
	struct fit_write_config fit[PACK_MAX_CONFIGS];
	int64_t newest; /* modification time of any of the files */
};

static int open_file(struct pack *pack, const char *path, struct image *image, struct error *err)
{
	struct stat st;
	int rc = image_open(path, image, err);

	if (!rc && fstat(image->fd, &st) == 0)
		pack->newest = MAX(pack->newest, st.st_mtim.tv_sec);
	return rc;
}

/* Something that cannot be booted is better found now. */
static int open_kernel(struct pack *pack, unsigned int i, struct error *err)
{
	const char *path = pack->config.entries[i].kernel;
	enum kernel_format format;
	int rc;

	for (unsigned int j = 0; j < i; j++)
		if (pack->config.entries[j].kernel &&
			!strcmp(path, pack->config.entries[j].kernel)) {
			pack->fit[i].kernel = pack->fit[j].kernel;
			return 0;
		}
	rc = open_file(pack, path, &pack->kernels[i], err);
	if (!rc)
		rc = loader_probe(&pack->kernels[i], &format, err);
	pack->fit[i].kernel = &pack->kernels[i];
	return rc;
}

static int open_initrds(struct pack *pack, unsigned int i, struct error *err)
{
	const struct pack_entry *entry = &pack->config.entries[i];
	int rc = 0;

	for (unsigned int n = 0; !rc && n < entry->num_initrds; n++)
		rc = open_file(pack, entry->initrds[n], &pack->initrds[i][n], err);
	pack->fit[i].initrds = pack->initrds[i];
	pack->fit[i].num_initrds = entry->num_initrds;
	return rc;
}

/* What would be refused when it is booted, is refused here. */
static int check_cmdline(const char *words, struct error *err)
{
	const struct cmdline_defaults none = {.enabled = false};
	char *buf = malloc(CMDLINE_SIZE);
	int rc;

	if (!buf)
		return error_set_errno(err, -ENOMEM, "command line");
	rc = cmdline_compose(words, &none, buf, CMDLINE_SIZE, err);
	free(buf);
	return rc;
}

static int open_config(struct pack *pack, unsigned int i, struct error *err)
{
	struct pack_entry *entry = &pack->config.entries[i];
	struct fit_write_config *fit = &pack->fit[i];
	int rc;

	*fit = pack->fit[0];
	fit->name = entry->name;
	fit->cmdline = entry->cmdline ? entry->cmdline : "";
	rc = check_cmdline(fit->cmdline, err);
	if (!rc && entry->kernel)
		rc = open_kernel(pack, i, err);
	if (!rc && (entry->kernel || entry->num_initrds))
		rc = open_initrds(pack, i, err);
	return rc;
}

static int open_configs(struct pack *pack, struct error *err)
{
	struct pack_entry *first = &pack->config.entries[0];
	int rc = 0;

	if (!first->kernel) {
		rc = kernel_find("/boot", &pack->found, err);
		if (rc < 0)
			return rc;
		first->kernel = pack->found.path;
		fprintf(stderr, "bantam: no kernel given, packing %s\n", first->kernel);
	}
	for (unsigned int i = 0; !rc && i < pack->config.count; i++)
		rc = open_config(pack, i, err);
	return rc;
}

/*
 * The newest file's, so that the same files make the same image; SOURCE_DATE_EPOCH overrides it
 * (reproducible-builds.org).
 */
static int timestamp(const struct pack *pack, uint32_t *seconds, struct error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	uint64_t number = (uint64_t)MAX(pack->newest, 0);

	if (epoch && (config_parse_number(epoch, &number) || number > UINT32_MAX))
		return error_set(
			err, -EINVAL, "SOURCE_DATE_EPOCH: '%s' is not a number of seconds", epoch);
	*seconds = (uint32_t)MIN(number, (uint64_t)UINT32_MAX);
	return 0;
}

static int make(struct pack *pack, int *code, struct error *err)
{
	uint32_t seconds = 0;
	void *bytes = NULL;
	size_t size = 0;
	int rc;

	*code = EXIT_USAGE;
	rc = open_configs(pack, err);
	if (!rc)
		rc = timestamp(pack, &seconds, err);
	if (rc < 0)
		return rc;
	*code = EXIT_HOST;
	rc = fit_write(pack->fit, pack->config.count, seconds, &bytes, &size, err);
	if (rc < 0)
		return rc;
	rc = fdt_file_write(pack->config.output, bytes, size, err);
	*code = rc == -EEXIST ? EXIT_USAGE : EXIT_HOST;
	free(bytes);
	return rc;
}

static void close_all(struct pack *pack)
{
	for (unsigned int i = 0; i < PACK_MAX_CONFIGS; i++) {
		image_close(&pack->kernels[i]);
		for (unsigned int n = 0; n < LOADER_MAX_INITRDS; n++)
			image_close(&pack->initrds[i][n]);
	}
}

static void mark_closed(struct pack *pack)
{
	for (unsigned int i = 0; i < PACK_MAX_CONFIGS; i++) {
		pack->kernels[i].fd = -1;
		for (unsigned int n = 0; n < LOADER_MAX_INITRDS; n++)
			pack->initrds[i][n].fd = -1;
	}
}

int command_pack(int argc, char **argv)
{
	struct pack *pack = calloc(1, sizeof(*pack));
	struct error err = {""};
	int code = EXIT_USAGE, rc;

	if (!pack)
		return EXIT_HOST;
	mark_closed(pack);
	rc = pack_config_parse(&pack->config, argc, argv, &err);
	if (!rc)
		rc = make(pack, &code, &err);
	if (rc == 1)
		rc = help_print(stdout, argv[0]);
	if (rc < 0)
		fprintf(stderr, "bantam: %s\n", err.text);
	close_all(pack);
	pack_config_destroy(&pack->config);
	free(pack);
	return rc < 0 ? code : EXIT_POWEROFF;
}
