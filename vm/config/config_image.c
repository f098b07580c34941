/* SPDX-License-Identifier: BSD-2-Clause */
/* Options that say what the guest boots, and how. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/options/options.h"

#include "config_private.h"

int config_set_kernel(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->kernel, OPT_KERNEL, value, err);
}

int config_set_initrd(struct config *config, const char *value, struct error *err)
{
	if (config->num_initrds == LOADER_MAX_INITRDS)
		return error_set(err, -EINVAL, "--initrd: more than %d files", LOADER_MAX_INITRDS);
	return config_set_text(&config->initrds[config->num_initrds++], OPT_INITRD, value, err);
}

int config_set_cmdline(struct config *config, const char *value, struct error *err)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", config->cmdline, *config->cmdline && *value ? " " : "",
		    value) < 0)
		return error_set_errno(err, -ENOMEM, "--cmdline");
	free(config->cmdline_copy);
	config->cmdline_copy = joined;
	config->cmdline = joined;
	return 0;
}

int config_set_no_default_cmdline(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->default_cmdline = false;
	return 0;
}

/*
 * earlyprintk= is older than earlycon= (which x86 has had since 2.6.22 in other words), the code
 * that unpacks the kernel knows it too, and the real console takes over from it.
 */
int config_set_earlycon(struct config *config, const char *value, struct error *err)
{
	(void)value;
	if (config->earlycon)
		return 0;
	config->earlycon = true;
	return config_set_cmdline(config, "earlyprintk=ttyS0,115200 ignore_loglevel", err);
}

int config_set_boot(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_BOOT, value, err);

	if (r >= 0)
		config->boot = (enum loader_boot)r;
	return MIN(r, 0);
}

int config_set_kaslr(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_KASLR, value, err);

	config->kaslr = r == SWITCH_ON;
	return MIN(r, 0);
}

int config_set_no_kernel_cache(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->kernel_cache = false;
	return 0;
}

int config_set_fit_config(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->fit_config, OPT_FIT_CONFIG, value, err);
}

int config_set_dtb(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->dtb = true;
	return 0;
}

/*
 * FILE[@GPA]. A file's name may hold '@' too: only what follows the last one counts, and only
 * when it begins like a number.
 */
int config_set_flat(struct config *config, const char *value, struct error *err)
{
	const char *at = strrchr(value, '@');
	uint64_t gpa = FLAT_GPA_UNSET;
	char *file;

	if (at && isdigit((unsigned char)at[1])) {
		if (config_parse_gpa(at + 1, &gpa) || gpa == FLAT_GPA_UNSET)
			return error_set(err, -EINVAL,
				"--flat: '%s' is not an address (0x1000, 4096, 1M)", at + 1);
	} else {
		at = value + strlen(value);
	}
	if (at == value)
		return error_set(err, -EINVAL, "--flat needs a file: --flat FILE[@GPA]");
	file = strndup(value, (size_t)(at - value));
	if (!file)
		return error_set_errno(err, -ENOMEM, "--flat");
	free(config->flat_copy);
	config->flat_copy = file;
	config->flat = file;
	config->flat_gpa = gpa;
	return 0;
}

int config_set_mode(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_MODE, value, err);

	if (r >= 0)
		config->flat_mode = (enum entry_mode)r;
	return MIN(r, 0);
}
