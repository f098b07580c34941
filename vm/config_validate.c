/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges, and what two options say about each other. Opens nothing: files are the builder's. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "vcpu/features.h"
#include "vm/config.h"
#include "vm/error.h"

#define PAGE	 (4 * KiB)
#define HUGEPAGE (2 * MiB)

static int check_flat(const struct config *config, struct error *err)
{
	static const uint64_t limits[] = {
		[ENTRY_REAL] = MiB, [ENTRY_PROTECTED] = 4 * GiB, [ENTRY_LONG] = 4 * GiB};
	const char *other = config->kernel	       ? "a kernel"
			    : config->num_initrds      ? "--initrd"
			    : *config->cmdline	       ? "--cmdline"
			    : !config->default_cmdline ? "--no-default-cmdline"
			    : config->pvh	       ? "--pvh"
						       : NULL;

	if (!config->flat) {
		if (config->given & (UINT64_C(1) << OPT_MODE))
			return error_set(err, -EINVAL,
				"--mode goes with --flat only; a kernel is "
				"entered the way it asks for");
		return 0;
	}
	if (other)
		return error_set(err, -EINVAL,
			"--flat runs a program of its own; %s does not go with "
			"it",
			other);
	if (config->flat_gpa >= limits[config->flat_mode])
		return error_set(err, -EINVAL, "--flat: address 0x%llx is out of reach in %s mode",
			(unsigned long long)config->flat_gpa,
			option_spec(OPT_MODE)->choices[config->flat_mode]);
	return 0;
}

static int check_memory(const struct config *config, struct error *err)
{
	uint64_t min = config->flat ? CONFIG_MIN_MEMORY_FLAT : CONFIG_MIN_MEMORY_LINUX;
	uint64_t align = config->hugepages ? HUGEPAGE : PAGE;

	if (config->memory < min)
		return error_set(err, -EINVAL, "--memory: %llu KiB is too little (at least %lluM)",
			(unsigned long long)(config->memory / KiB),
			(unsigned long long)(min / MiB));
	if (config->memory > CONFIG_MAX_MEMORY)
		return error_set(err, -EINVAL, "--memory: %llu GiB is too much (at most %lluT)",
			(unsigned long long)(config->memory / GiB),
			(unsigned long long)(CONFIG_MAX_MEMORY / TiB));
	if (config->memory % align)
		return error_set(err, -EINVAL,
			"--memory: %llu bytes are not a multiple of %llu KiB%s",
			(unsigned long long)config->memory, (unsigned long long)(align / KiB),
			config->hugepages ? ", which --hugepages needs" : "");
	return 0;
}

static int check_name(const char *name, struct error *err)
{
	if (!name)
		return 0;
	if (strlen(name) > CONFIG_MAX_NAME)
		return error_set(err, -EINVAL, "--name: '%s' is longer than %d characters", name,
			CONFIG_MAX_NAME);
	/* The first character: a name may become a file's, and must not hide it or leave a folder.
	 */
	if (!isalnum((unsigned char)*name) && *name != '_')
		return error_set(err, -EINVAL,
			"--name: '%s' does not begin with a letter, a digit or '_'", name);
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return error_set(err, -EINVAL,
				"--name: '%s' has other characters than letters, digits, '.', '_' "
				"and '-'",
				name);
	return 0;
}

static int check_serial_path(const struct serial_config *port, struct error *err)
{
	const char *prefix = port->kind == SERIAL_FILE ? "file" : "unix";
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (!port->path || !*port->path)
		return error_set(
			err, -EINVAL, "--serial: %s: needs a path, %s:PATH", prefix, prefix);
	if (port->kind == SERIAL_UNIX && strlen(port->path) > max)
		return error_set(err, -EINVAL,
			"--serial: a socket's path has %zu bytes at most: '%s'", max, port->path);
	return 0;
}

static int check_serial(const struct config *config, struct error *err)
{
	const struct serial_config *ports = config->serial;

	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++) {
		bool has_path = ports[i].kind == SERIAL_FILE || ports[i].kind == SERIAL_UNIX;
		int r = has_path ? check_serial_path(&ports[i], err) : 0;

		if (r)
			return r;
		for (unsigned int j = 0; j < i; j++) {
			if (ports[i].kind == SERIAL_STDIO && ports[j].kind == SERIAL_STDIO)
				return error_set(err, -EINVAL,
					"--serial: ports %u and %u cannot both have stdio", j + 1,
					i + 1);
			if (has_path && ports[j].path && !strcmp(ports[i].path, ports[j].path))
				return error_set(err, -EINVAL,
					"--serial: ports %u and %u cannot both have '%s'", j + 1,
					i + 1, ports[i].path);
		}
	}
	return 0;
}

static int check_cpus(const struct config *config, struct error *err)
{
	struct cpu_changes changes;
	int r;

	if (config->cpus < 1 || config->cpus > CONFIG_MAX_CPUS)
		return error_set(err, -EINVAL, "--cpus: %u is not from 1 to %d", config->cpus,
			CONFIG_MAX_CPUS);
	if (!config->cpu_features)
		return 0;
	r = cpu_features_parse(config->cpu_features, &changes, err);
	return r ? error_prefix(err, r, "--cpu") : 0;
}

int config_validate(const struct config *config, struct error *err)
{
	int r = check_flat(config, err);

	r = r ? r : check_memory(config, err);
	r = r ? r : check_cpus(config, err);
	r = r ? r : check_name(config->name, err);
	return r ? r : check_serial(config, err);
}
