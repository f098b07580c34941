/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of --uuid and --smbios. A text is taken as it is, with all its commas. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config_private.h"
#include "vm/core/error.h"

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 4122: 32 digits with hyphens behind 8, 12, 16 and 20 of them */
static bool parse_uuid(const char *text, uint8_t uuid[SMBIOS_UUID])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	unsigned int n = 0;

	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (unsigned int i = 0; form[i]; i++) {
		const int digit = hex_digit(text[i]);

		if (form[i] == '-' ? text[i] != '-' : digit < 0)
			return false;
		if (form[i] == '-')
			continue;
		uuid[n / 2] = (uint8_t)(n % 2 ? uuid[n / 2] | digit : digit << 4);
		n++;
	}
	return true;
}

int config_set_uuid(struct config *config, const char *value, struct error *err)
{
	static const uint8_t nil[SMBIOS_UUID];
	uint8_t uuid[SMBIOS_UUID];

	if (!parse_uuid(value, uuid) || !memcmp(uuid, nil, sizeof(nil)))
		return error_set(err, -EINVAL,
			"--uuid: '%s' is not a UUID (c0ffee00-1234-4abc-8def-0123456789ab)", value);
	memcpy(config->uuid, uuid, sizeof(uuid));
	config->has_uuid = true;
	return 0;
}

static int add_oem(struct config *config, const char *text, struct error *err)
{
	if (config->num_smbios_oem == SMBIOS_MAX_OEM)
		return error_set(err, -EINVAL, "--smbios: at most %d oem= texts are possible",
			SMBIOS_MAX_OEM);
	config->smbios_oem[config->num_smbios_oem++] = text;
	return 0;
}

int config_set_smbios(struct config *config, const char *value, struct error *err)
{
	const char *text = strchr(value, '=');
	const size_t len = text ? (size_t)(text++ - value) : 0;
	const bool serial = len == 6 && !memcmp(value, "serial", len);

	if (!serial && !(len == 3 && !memcmp(value, "oem", len)))
		return error_set(
			err, -EINVAL, "--smbios: '%s' is neither serial=TEXT nor oem=TEXT", value);
	if (!*text)
		return error_set(
			err, -EINVAL, "--smbios: '%s' needs a text that is not empty", value);
	if (!serial)
		return add_oem(config, text, err);
	config->smbios_serial = text;
	return 0;
}
