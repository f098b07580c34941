/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the machine is, for SMBIOS. Where nobody said so, its UUID is a hash of the names of the
 * host, of the VM and of its first disk: the same in each run, as a guest's own identity may hang
 * on it (systemd makes the machine-id of it), and another one for another VM.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "loader/cache/key_hash.h"
#include "loader/smbios/smbios.h"
#include "machine_private.h"
#include "vcpu/cpuid/cpuid.h"

enum { SERIAL_TEXT = sizeof("BANTAM-") + 12 };

/* Its end counts, too. */
static void hash_text(struct siphash *sip, const char *text)
{
	do
		siphash_word(sip, (uint8_t)*text);
	while (*text++);
}

void machine_make_uuid(
	const char *host, const char *name, const char *disk, uint8_t uuid[SMBIOS_UUID])
{
	static const uint8_t key[16] = "Bantam's UUIDs.";
	struct siphash sip;

	siphash_init(&sip, key);
	hash_text(&sip, host);
	hash_text(&sip, name ? name : "");
	hash_text(&sip, disk ? disk : "");
	siphash_final(&sip, uuid);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80); /* RFC 9562: of a maker's own kind */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static void choose_uuid(const struct config *config, uint8_t uuid[SMBIOS_UUID])
{
	struct utsname host;

	if (config->has_uuid)
		memcpy(uuid, config->uuid, SMBIOS_UUID);
	else
		machine_make_uuid(uname(&host) ? "" : host.nodename, config->name,
			config->num_disks ? config->disks[0].path : NULL, uuid);
}

int machine_build_smbios(struct machine *m, struct error *err)
{
	const struct config *config = m->env.config;
	char serial[SERIAL_TEXT];
	struct smbios_config smbios = {
		.version = BANTAM_VERSION,
		.serial = config->smbios_serial ? config->smbios_serial : serial,
		.oem = config->smbios_oem,
		.num_oem = config->num_smbios_oem,
		.num_cpus = config->cpus,
	};

	choose_uuid(config, smbios.uuid);
	snprintf(serial, sizeof(serial), "BANTAM-%02X%02X%02X%02X%02X%02X", smbios.uuid[10],
		smbios.uuid[11], smbios.uuid[12], smbios.uuid[13], smbios.uuid[14],
		smbios.uuid[15]);
	if (m->cpuid)
		cpuid_signature(m->cpuid, &smbios.cpuid_eax, &smbios.cpuid_edx);
	return smbios_build(m->mem, &smbios, err);
}
