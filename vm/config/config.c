/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * argv into a struct config: one function per option, called as the scanner meets it, each turning
 * text into data and nothing more. What depends on several options waits: defaults until all are
 * known (finish), ranges and conflicts until config_validate, which therefore also holds for a
 * config that no command line made.
 */
#include "vm/config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/core/layout.h"
#include "vm/options/options.h"

#include "config_private.h"

static const uint64_t flat_gpa_real = 0x1000, flat_gpa_other = 0x100000;
static const uint64_t default_memory = 512 * MiB;

void config_init(struct config *config)
{
	*config = (struct config){
		.cmdline = "",
		.default_cmdline = true,
		.kaslr = true,
		.kernel_cache = true,
		.flat_mode = ENTRY_REAL,
		.memory = default_memory,
		.cpus = 1,
		.hotplug = CONFIG_DEFAULT_HOTPLUG_SLOTS,
		.on_reboot = END_RESTART,
		.on_poweroff = END_EXIT,
		.on_panic = END_EXIT,
		.kvm_device = "/dev/kvm",
		.events_fd = -1,
		.sandbox = SANDBOX_DEFAULT,
		.metrics_ms = 10000,
	};
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	free(config->cmdline_copy);
	free(config->flat_copy);
	free(config->metrics_copy);
	free(config->gdb.copy);
	for (unsigned int i = 0; i < config->num_disks; i++)
		free(config->disks[i].copy);
	for (unsigned int i = 0; i < config->num_nets; i++)
		free(config->nets[i].copy);
	for (unsigned int i = 0; i < config->num_shares; i++)
		free(config->shares[i].copy);
	for (unsigned int i = 0; i < config->num_ports; i++)
		free(config->ports[i].copy);
	config_init(config);
}

int config_set_text(const char **field, enum option_id id, const char *value, struct error *err)
{
	if (!*value)
		return error_set(err, -EINVAL, "--%s needs a %s that is not empty",
			option_spec(id)->name, option_spec(id)->value);
	*field = value;
	return 0;
}

int config_parse_choice(enum option_id id, const char *value, struct error *err)
{
	const struct option_spec *spec = option_spec(id);
	char what[32];

	snprintf(what, sizeof(what), "--%s", spec->name);
	return config_parse_word(what, value, spec->choices, err);
}

static int set_hugepages(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->hugepages = true;
	return 0;
}

static int set_cpus(struct config *config, const char *value, struct error *err)
{
	uint64_t n;

	if (config_parse_number(value, &n) || n < 1 || n > CONFIG_MAX_CPUS)
		return error_set(err, -EINVAL, "--cpus: '%s' is not a number from 1 to %d", value,
			CONFIG_MAX_CPUS);
	config->cpus = (unsigned int)n;
	return 0;
}

static int set_cpu(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->cpu_features, OPT_CPU, value, err);
}

static int set_name(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->name, OPT_NAME, value, err);
}

static int set_serial(struct config *config, const char *value, struct error *err)
{
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		if (config->serial[i].kind == SERIAL_NONE)
			return config_parse_where(OPT_SERIAL, value, &config->serial[i], err);
	return error_set(
		err, -EINVAL, "--serial: a machine has %d ports at most", CONFIG_MAX_SERIAL);
}

static int set_disk(struct config *config, const char *value, struct error *err)
{
	if (config->num_disks == CONFIG_MAX_DISKS)
		return error_set(
			err, -EINVAL, "--disk: a machine has %d disks at most", CONFIG_MAX_DISKS);
	return config_parse_disk(value, &config->disks[config->num_disks++], err);
}

/* "none" takes back those before it. */
static int set_net(struct config *config, const char *value, struct error *err)
{
	struct net_config *net = &config->nets[config->num_nets];
	int rc;

	if (config->num_nets == CONFIG_MAX_NETS)
		return error_set(err, -EINVAL, "--net: a machine has %d network cards at most",
			CONFIG_MAX_NETS);
	rc = config_parse_net(value, net, err);
	config->num_nets++;
	while (!rc && net->kind == NET_NONE && config->num_nets)
		free(config->nets[--config->num_nets].copy);
	return rc;
}

static int set_port(struct config *config, const char *value, struct error *err)
{
	if (config->num_ports == CONFIG_MAX_PORTS)
		return error_set(err, -EINVAL, "--port: a machine has %d of these at most",
			CONFIG_MAX_PORTS);
	return config_parse_port(value, &config->ports[config->num_ports++], err);
}

static int set_console(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_CONSOLE, value, err);

	if (r >= 0)
		config->console = (enum console_kind)r;
	return MIN(r, 0);
}

static int set_transport(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_TRANSPORT, value, err);

	if (r >= 0)
		config->transport = (enum transport)r;
	return MIN(r, 0);
}

static int set_hotplug(struct config *config, const char *value, struct error *err)
{
	uint64_t n;

	if (config_parse_number(value, &n) || n > CONFIG_MAX_HOTPLUG_SLOTS)
		return error_set(err, -EINVAL, "--hotplug: '%s' is not a number from 0 to %d",
			value, CONFIG_MAX_HOTPLUG_SLOTS);
	config->hotplug = (unsigned int)n;
	return 0;
}

static int set_rng(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->rng = true;
	return 0;
}

static int set_size(uint64_t *field, enum option_id id, const char *value, struct error *err)
{
	int r = config_parse_size(value, MiB, field);

	if (r == -ERANGE)
		return error_set(err, -EINVAL, "--%s: '%s' is more than any machine has",
			option_spec(id)->name, value);
	if (r)
		return error_set(err, -EINVAL, "--%s: '%s' is not a size (512M, 2G)",
			option_spec(id)->name, value);
	return 0;
}

static int set_balloon(struct config *config, const char *value, struct error *err)
{
	config->balloon = true;
	return set_size(&config->balloon_size, OPT_BALLOON, value, err);
}

static int set_memory(struct config *config, const char *value, struct error *err)
{
	return set_size(&config->memory, OPT_MEMORY, value, err);
}

static int set_end(enum end_action *action, enum option_id id, const char *value, struct error *err)
{
	int r = config_parse_choice(id, value, err);

	if (r >= 0)
		*action = (enum end_action)r;
	return MIN(r, 0);
}

static int set_on_reboot(struct config *config, const char *value, struct error *err)
{
	return set_end(&config->on_reboot, OPT_ON_REBOOT, value, err);
}

static int set_on_poweroff(struct config *config, const char *value, struct error *err)
{
	return set_end(&config->on_poweroff, OPT_ON_POWEROFF, value, err);
}

static int set_on_panic(struct config *config, const char *value, struct error *err)
{
	return set_end(&config->on_panic, OPT_ON_PANIC, value, err);
}

static int set_exit_port(struct config *config, const char *value, struct error *err)
{
	uint64_t port;

	if (config_parse_gpa(value, &port) || !port ||
		port > LAYOUT_PCI_IO_BASE - LAYOUT_EXIT_PORTS)
		return error_set(err, -EINVAL, "--exit-port: '%s' is not a port from 1 to 0x%x",
			value, LAYOUT_PCI_IO_BASE - LAYOUT_EXIT_PORTS);
	config->exit_port = (uint16_t)port;
	return 0;
}

static int set_kvm(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->kvm_device, OPT_KVM, value, err);
}

static int set_detach(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->detach = true;
	return 0;
}

static int set_sandbox(struct config *config, const char *value, struct error *err)
{
	int r = config_parse_choice(OPT_SANDBOX, value, err);

	if (r >= 0)
		config->sandbox = (enum sandbox_mode)r;
	return MIN(r, 0);
}

static int set_user(struct config *config, const char *value, struct error *err)
{
	return config_set_text(&config->user, OPT_USER, value, err);
}

static int set_dry_run(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->dry_run = true;
	return 0;
}

static int set_dump_dtb(struct config *config, const char *value, struct error *err)
{
	config->dry_run = true;
	return config_set_text(&config->dump_dtb, OPT_DUMP_DTB, value, err);
}

static int set_verbose(struct config *config, const char *value, struct error *err)
{
	(void)value, (void)err;
	config->verbose++;
	return 0;
}

static int set_help(struct config *config, const char *value, struct error *err)
{
	(void)config, (void)value, (void)err;
	return 1;
}

static int (*const setters[])(struct config *config, const char *value, struct error *err) = {
	[OPT_KERNEL] = config_set_kernel,
	[OPT_INITRD] = config_set_initrd,
	[OPT_CMDLINE] = config_set_cmdline,
	[OPT_NO_DEFAULT_CMDLINE] = config_set_no_default_cmdline,
	[OPT_EARLYCON] = config_set_earlycon,
	[OPT_BOOT] = config_set_boot,
	[OPT_KASLR] = config_set_kaslr,
	[OPT_NO_KERNEL_CACHE] = config_set_no_kernel_cache,
	[OPT_FIT_CONFIG] = config_set_fit_config,
	[OPT_DTB] = config_set_dtb,
	[OPT_FLAT] = config_set_flat,
	[OPT_MODE] = config_set_mode,
	[OPT_MEMORY] = set_memory,
	[OPT_HUGEPAGES] = set_hugepages,
	[OPT_CPUS] = set_cpus,
	[OPT_CPU] = set_cpu,
	[OPT_NAME] = set_name,
	[OPT_UUID] = config_set_uuid,
	[OPT_SMBIOS] = config_set_smbios,
	[OPT_DISK] = set_disk,
	[OPT_NET] = set_net,
	[OPT_SHARE] = config_set_share,
	[OPT_SERIAL] = set_serial,
	[OPT_CONSOLE] = set_console,
	[OPT_PORT] = set_port,
	[OPT_RNG] = set_rng,
	[OPT_BALLOON] = set_balloon,
	[OPT_TRANSPORT] = set_transport,
	[OPT_HOTPLUG] = set_hotplug,
	[OPT_ON_REBOOT] = set_on_reboot,
	[OPT_ON_POWEROFF] = set_on_poweroff,
	[OPT_ON_PANIC] = set_on_panic,
	[OPT_EXIT_PORT] = set_exit_port,
	[OPT_KVM] = set_kvm,
	[OPT_DETACH] = set_detach,
	[OPT_DRY_RUN] = set_dry_run,
	[OPT_DUMP_DTB] = set_dump_dtb,
	[OPT_EVENTS] = config_set_events,
	[OPT_METRICS] = config_set_metrics,
	[OPT_SANDBOX] = set_sandbox,
	[OPT_USER] = set_user,
	[OPT_GDB] = config_set_gdb,
	[OPT_VERBOSE] = set_verbose,
	[OPT_HELP] = set_help,
};

static_assert(ARRAY_SIZE(setters) == NUM_OPTIONS, "a setter for each of `run`'s");

/* Defaults that depend on what else was said. */
static void finish(struct config *config)
{
	if (config->serial[0].kind == SERIAL_NONE && config->console == CONSOLE_SERIAL)
		config->serial[0].kind = SERIAL_STDIO;
	config_name_shares(config);
	if (config->flat && config->flat_gpa == FLAT_GPA_UNSET)
		config->flat_gpa = config->flat_mode == ENTRY_REAL ? flat_gpa_real : flat_gpa_other;
}

static int set_operand(
	struct config *config, enum verb verb, const char *value, bool *had_one, struct error *err)
{
	if (verb != VERB_RUN)
		return error_set(
			err, -EINVAL, "bantam %s takes no '%s'", verb_spec(verb)->name, value);
	if (*had_one)
		return error_set(err, -EINVAL,
			"a second kernel, '%s' (its command-line parameters go with -a)", value);
	if (config->given[OPT_KERNEL])
		return error_set(err, -EINVAL, "a kernel by --kernel and another one, '%s'", value);
	*had_one = true;
	return config_set_text(&config->kernel, OPT_KERNEL, value, err);
}

int config_parse_verb(
	struct config *config, enum verb verb, int argc, char **argv, struct error *err)
{
	struct option_scan scan;
	struct option_hit hit;
	bool had_operand = false;
	int r;

	option_scan_start(&scan, verb, argc, argv);
	while ((r = option_scan_next(&scan, &hit, err)) > 0) {
		if (hit.operand) {
			r = set_operand(config, verb, hit.value, &had_operand, err);
		} else if (hit.id == OPT_KERNEL && had_operand) {
			r = error_set(err, -EINVAL, "a kernel by --kernel and another one, '%s'",
				config->kernel);
		} else {
			r = setters[hit.id](config, hit.value, err);
			config->given[hit.id] = true;
		}
		if (r)
			return r;
	}
	if (!r)
		finish(config);
	return r;
}

int config_parse(struct config *config, int argc, char **argv, struct error *err)
{
	return config_parse_verb(config, VERB_RUN, argc, argv, err);
}
