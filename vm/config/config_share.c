/* SPDX-License-Identifier: BSD-2-Clause */
/* DIR[,key[=value]]...: the text is copied once and cut in place, as a disk's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"
#include "vm/core/error.h"

static int set_ro(void *opaque, const char *value, struct error *err)
{
	struct share_config *share = opaque;

	(void)value, (void)err;
	share->read_only = true;
	return 0;
}

static int set_mounts(void *opaque, const char *value, struct error *err)
{
	struct share_config *share = opaque;

	(void)value, (void)err;
	share->mounts = true;
	return 0;
}

/* It stands in the guest's fstab and on its command line. */
static int set_tag(void *opaque, const char *value, struct error *err)
{
	static const char ok[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
	struct share_config *share = opaque;

	if (strspn(value, ok) != strlen(value) || strlen(value) > CONFIG_MAX_TAG)
		return error_set(err, -EINVAL,
			"--share: tag: '%s' is not a word of up to %d letters, digits, '.', '_', "
			"'-' and '/'",
			value, CONFIG_MAX_TAG);
	share->tag = value;
	return 0;
}

static int set_cache(void *opaque, const char *value, struct error *err)
{
	static const char *const words[] = {[FS_CACHE_AUTO] = "auto",
		[FS_CACHE_ALWAYS] = "always",
		[FS_CACHE_NONE] = "none",
		NULL};
	struct share_config *share = opaque;
	const int r = config_parse_word("--share: cache", value, words, err);

	if (r >= 0)
		share->cache = (enum fs_cache)r;
	return MIN(r, 0);
}

static int set_owner(void *opaque, const char *value, struct error *err)
{
	static const char *const words[] = {
		[FS_OWNER_HOST] = "host", [FS_OWNER_ROOT] = "root", NULL};
	struct share_config *share = opaque;
	const int r = config_parse_word("--share: owner", value, words, err);

	if (r >= 0)
		share->owner = (enum fs_owner)r;
	return MIN(r, 0);
}

static int set_hide(void *opaque, const char *value, struct error *err)
{
	struct share_config *share = opaque;

	if (share->num_hide == FS_MAX_HIDE)
		return error_set(err, -EINVAL, "--share: hide: a share has %d of these at most",
			FS_MAX_HIDE);
	share->hide[share->num_hide++] = value;
	return 0;
}

static const struct config_key keys[] = {
	{"tag", true, set_tag},
	{"ro", false, set_ro},
	{"cache", true, set_cache},
	{"owner", true, set_owner},
	{"hide", true, set_hide},
	{"mounts", false, set_mounts},
};

int config_parse_share(const char *value, struct share_config *share, struct error *err)
{
	char *rest, *part;
	int rc = 0;

	*share = (struct share_config){.cache = FS_CACHE_AUTO};
	share->copy = rest = strdup(value);
	if (!share->copy)
		return error_set_errno(err, -ENOMEM, "--share");
	share->path = config_next_part(&rest);
	if (!*share->path)
		return error_set(err, -EINVAL, "--share needs a directory: --share DIR[,...]");
	while (!rc && (part = config_next_part(&rest)))
		rc = config_set_key("--share", part, keys, ARRAY_SIZE(keys), share,
			" (a comma in the directory's name is written twice)", err);
	return rc;
}

int config_set_share(struct config *config, const char *value, struct error *err)
{
	if (config->num_shares == CONFIG_MAX_SHARES)
		return error_set(err, -EINVAL, "--share: a machine has %d of these at most",
			CONFIG_MAX_SHARES);
	return config_parse_share(value, &config->shares[config->num_shares++], err);
}

/* "share" and a number, where none was given. */
void config_name_shares(struct config *config)
{
	for (unsigned int i = 0; i < config->num_shares; i++) {
		struct share_config *share = &config->shares[i];

		if (share->tag)
			continue;
		snprintf(share->made_tag, sizeof(share->made_tag), "share%u", i % 100);
		share->tag = share->made_tag;
	}
}

int config_check_shares(const struct config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->num_shares; i++)
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(config->shares[i].tag, config->shares[j].tag))
				return error_set(err, -EINVAL,
					"--share: '%s' and '%s' cannot both have the tag '%s'",
					config->shares[j].path, config->shares[i].path,
					config->shares[i].tag);
	return 0;
}
