/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options fill in the configuration that was begun last. The first one is there without being
 * begun; a --config before anything else only names it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/cli/pack.h"
#include "vm/core/error.h"
#include "vm/options/options.h"

/* As U-Boot's mkimage calls it. */
static const char first_name[] = "conf-1";

static int check_name(const struct pack_config *pack, const char *name, struct error *err)
{
	bool good = *name && strlen(name) <= PACK_MAX_NAME && *name != '.' && *name != '-';

	for (const char *p = name; *p; p++)
		good = good && (isalnum((unsigned char)*p) || strchr("._-", *p));
	if (!good)
		return error_set(err, -EINVAL,
			"--config: '%s' is not a valid name: up to %d letters, digits, '.', '_' "
			"and '-', "
			"not '.' or '-' first",
			name, PACK_MAX_NAME);
	for (unsigned int i = 0; i < pack->count; i++)
		if (pack->entries[i].name && !strcmp(pack->entries[i].name, name))
			return error_set(
				err, -EINVAL, "--config: two configurations are called '%s'", name);
	return 0;
}

static int begin_config(struct pack_config *pack, const char *name, struct error *err)
{
	const struct pack_entry *first = &pack->entries[0];
	bool untouched = pack->count == 1 && !first->name && !first->kernel &&
			 !first->num_initrds && !first->cmdline;
	int rc = check_name(pack, name, err);

	if (rc < 0)
		return rc;
	if (!untouched && pack->count == PACK_MAX_CONFIGS)
		return error_set(
			err, -EINVAL, "--config: more than %d configurations", PACK_MAX_CONFIGS);
	pack->count += !untouched;
	pack->entries[pack->count - 1].name = name;
	return 0;
}

static int set_kernel(struct pack_entry *entry, const char *value, struct error *err)
{
	if (entry->kernel)
		return error_set(err, -EINVAL,
			"a second kernel, '%s', for one configuration (--config begins another)",
			value);
	if (!*value)
		return error_set(err, -EINVAL, "--kernel needs a FILE that is not empty");
	entry->kernel = value;
	return 0;
}

static int add_initrd(struct pack_entry *entry, const char *value, struct error *err)
{
	if (entry->num_initrds == LOADER_MAX_INITRDS)
		return error_set(err, -EINVAL, "--initrd: more than %d files", LOADER_MAX_INITRDS);
	if (!*value)
		return error_set(err, -EINVAL, "--initrd needs a FILE that is not empty");
	entry->initrds[entry->num_initrds++] = value;
	return 0;
}

static int add_words(struct pack_entry *entry, const char *value, struct error *err)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", entry->cmdline ? entry->cmdline : "",
		    entry->cmdline && *entry->cmdline && *value ? " " : "", value) < 0)
		return error_set_errno(err, -ENOMEM, "--cmdline");
	free(entry->cmdline);
	entry->cmdline = joined;
	return 0;
}

static int set_option(struct pack_config *pack, const struct option_hit *hit, struct error *err)
{
	struct pack_entry *entry = &pack->entries[pack->count - 1];

	switch (hit->operand ? OPT_KERNEL : hit->id) {
	case OPT_KERNEL:
		return set_kernel(entry, hit->value, err);
	case OPT_INITRD:
		return add_initrd(entry, hit->value, err);
	case OPT_CMDLINE:
		return add_words(entry, hit->value, err);
	case OPT_PACK_CONFIG:
		return begin_config(pack, hit->value, err);
	case OPT_OUTPUT:
		pack->output = hit->value;
		return 0;
	default:
		return 1; /* --help */
	}
}

int pack_config_parse(struct pack_config *pack, int argc, char **argv, struct error *err)
{
	struct option_scan scan;
	struct option_hit hit;
	int rc;

	*pack = (struct pack_config){.count = 1};
	option_scan_start(&scan, VERB_PACK, argc, argv);
	while ((rc = option_scan_next(&scan, &hit, err)) > 0) {
		rc = set_option(pack, &hit, err);
		if (rc)
			return rc;
	}
	if (rc < 0)
		return rc;
	if (!pack->output || !*pack->output)
		return error_set(err, -EINVAL, "the FIT image needs a name: --output FILE");
	if (!pack->entries[0].name) {
		rc = check_name(pack, first_name, err);
		pack->entries[0].name = first_name;
	}
	return rc;
}

void pack_config_destroy(struct pack_config *pack)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(pack->entries); i++)
		free(pack->entries[i].cmdline);
	*pack = (struct pack_config){.count = 0};
}
