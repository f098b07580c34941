/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges, and what two options say about each other. Opens nothing: files are the builder's. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "config_private.h"
#include "devices/pci/pci.h"
#include "vcpu/cpuid/features.h"
#include "vm/core/error.h"
#include "vm/core/layout.h"

#define PAGE	 (4 * KiB)
#define HUGEPAGE (2 * MiB)

static int check_flat(const struct config *config, struct error *err)
{
	static const uint64_t limits[] = {
		[ENTRY_REAL] = MiB, [ENTRY_PROTECTED] = 4 * GiB, [ENTRY_LONG] = 4 * GiB};
	const char *other = config->kernel		? "a kernel"
			    : config->num_initrds	? "--initrd"
			    : config->earlycon		? "--earlycon"
			    : *config->cmdline		? "--cmdline"
			    : !config->default_cmdline	? "--no-default-cmdline"
			    : config->boot != BOOT_AUTO ? "--boot"
			    : !config->kaslr		? "--kaslr"
			    : !config->kernel_cache	? "--no-kernel-cache"
			    : config->fit_config	? "--fit-config"
			    : config->dtb		? "--dtb"
			    : config->has_uuid		? "--uuid"
			    : config->smbios_serial || config->num_smbios_oem ? "--smbios"
			    : config->dump_dtb				      ? "--dump-dtb"
									      : NULL;

	if (!config->flat) {
		if (config->given[OPT_MODE])
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

static int check_path(enum option_id id, const struct serial_config *port, struct error *err)
{
	const char *option = option_spec(id)->name;
	const char *prefix = port->kind == SERIAL_FILE ? "file" : "unix";
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (!port->path || !*port->path)
		return error_set(
			err, -EINVAL, "--%s: %s: needs a path, %s:PATH", option, prefix, prefix);
	if (port->kind == SERIAL_UNIX && strlen(port->path) > max)
		return error_set(err, -EINVAL, "--%s: a socket's path has %zu bytes at most: '%s'",
			option, max, port->path);
	return 0;
}

static bool has_path(const struct serial_config *port)
{
	return port->kind == SERIAL_FILE || port->kind == SERIAL_UNIX;
}

static bool same_path(const struct serial_config *a, const struct serial_config *b)
{
	return has_path(a) && has_path(b) && !strcmp(a->path, b->path);
}

static int check_serial(const struct config *config, struct error *err)
{
	const struct serial_config *ports = config->serial;

	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++) {
		int r = has_path(&ports[i]) ? check_path(OPT_SERIAL, &ports[i], err) : 0;

		if (r)
			return r;
		for (unsigned int j = 0; j < i; j++) {
			if (ports[i].kind == SERIAL_STDIO && ports[j].kind == SERIAL_STDIO)
				return error_set(err, -EINVAL,
					"--serial: ports %u and %u cannot both have stdio", j + 1,
					i + 1);
			if (same_path(&ports[i], &ports[j]))
				return error_set(err, -EINVAL,
					"--serial: ports %u and %u cannot both have '%s'", j + 1,
					i + 1, ports[i].path);
		}
	}
	if (config->earlycon && ports[0].kind == SERIAL_NONE)
		return error_set(err, -EINVAL,
			"--earlycon: there is no first serial port; add --serial file:PATH or "
			"another one");
	return 0;
}

/* Names end up in the guest's sysfs and as links in /dev/virtio-ports. */
static int check_port(const struct config *config, unsigned int i, struct error *err)
{
	const struct port_config *port = &config->ports[i];
	int r = has_path(&port->where) ? check_path(OPT_PORT, &port->where, err) : 0;

	if (r)
		return r;
	if (strlen(port->name) > CONFIG_MAX_PORT_NAME)
		return error_set(err, -EINVAL, "--port: '%s' is longer than %d characters",
			port->name, CONFIG_MAX_PORT_NAME);
	for (const char *p = port->name; *p; p++)
		if (!isalnum((unsigned char)*p) && (!strchr("._-", *p) || p == port->name))
			return error_set(err, -EINVAL,
				"--port: '%s' has other characters than letters, digits, '.', '_' "
				"and '-'",
				port->name);
	for (unsigned int j = 0; j < i; j++) {
		if (!strcmp(port->name, config->ports[j].name))
			return error_set(
				err, -EINVAL, "--port: two ports are called '%s'", port->name);
		if (same_path(&port->where, &config->ports[j].where))
			return error_set(err, -EINVAL,
				"--port: '%s' and '%s' cannot both have '%s'",
				config->ports[j].name, port->name, port->where.path);
	}
	for (unsigned int j = 0; j < CONFIG_MAX_SERIAL; j++)
		if (same_path(&port->where, &config->serial[j]))
			return error_set(err, -EINVAL,
				"--port: '%s' cannot have '%s', serial port %u has it", port->name,
				port->where.path, j + 1);
	return 0;
}

static int check_ports(const struct config *config, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < config->num_ports; i++)
		r = check_port(config, i, err);
	if (r || config->console == CONSOLE_SERIAL)
		return r;
	for (unsigned int i = 0; i < CONFIG_MAX_SERIAL; i++)
		if (config->serial[i].kind == SERIAL_STDIO)
			return error_set(err, -EINVAL,
				"--console virtio: serial port %u has stdio already", i + 1);
	return 0;
}

/* The file is only read. */
static bool is_shared(const struct disk_config *disk)
{
	return disk->read_only || disk->snapshot;
}

static int check_disk(const struct disk_config *disk, struct error *err)
{
	if (disk->backing && disk->format == DISK_RAW)
		return error_set(err, -EINVAL,
			"--disk: '%s': backing=yes goes with format=qcow2: a raw image has no "
			"backing file",
			disk->path);
	if (disk->snapshot && disk->read_only)
		return error_set(err, -EINVAL,
			"--disk: '%s': ro and snapshot exclude each other: with snapshot the guest "
			"may write",
			disk->path);
	if (disk->size && !disk->snapshot)
		return error_set(err, -EINVAL,
			"--disk: '%s': size goes with snapshot: it limits what is written",
			disk->path);
	return 0;
}

/* Two writers of one image are found when it is locked; this is the plain slip. */
static int check_disks(const struct config *config, struct error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < config->num_disks; i++)
		rc = check_disk(&config->disks[i], err);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < config->num_disks; i++)
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(config->disks[i].path, config->disks[j].path) &&
				!(is_shared(&config->disks[i]) && is_shared(&config->disks[j])))
				return error_set(err, -EINVAL,
					"--disk: '%s' is given twice; only disks with ro or "
					"snapshot can share a file",
					config->disks[i].path);
	for (unsigned int i = 0; i < config->num_disks; i++)
		if (config->disks[i].aio == BLK_AIO_NATIVE &&
			config->disks[i].cache != BLK_CACHE_NONE)
			return error_set(err, -EINVAL,
				"--disk: '%s': aio=native goes with cache=none only: otherwise it "
				"would wait for the disk",
				config->disks[i].path);
	return 0;
}

static int check_net(const struct net_config *net, struct error *err)
{
	if (net->vhost == NET_VHOST_ON &&
		(limit_is_set(&net->limits[LIMIT_RX]) || limit_is_set(&net->limits[LIMIT_TX])))
		return error_set(err, -EINVAL,
			"--net: vhost=on: the host's kernel knows no limits; leave one of them "
			"out");
	if (net->num_fds && (net->ifname || net->queues))
		return error_set(err, -EINVAL,
			"--net: fd: a tap that is open has its name and its queues; leave %s out",
			net->ifname ? "ifname" : "queues");
	if (net->restricted && (net->host_loopback || net->dns.sa.sa_family))
		return error_set(err, -EINVAL,
			"--net: restrict keeps the guest from everything; %s does not go with it",
			net->host_loopback ? "host-loopback" : "dns");
	return 0;
}

/* What two cards cannot both have. NULL: nothing. */
static const char *shared_by(const struct net_config *a, const struct net_config *b)
{
	static const uint8_t none[sizeof(a->mac)];

	if (memcmp(a->mac, none, sizeof(none)) && !memcmp(a->mac, b->mac, sizeof(none)))
		return "mac";
	if (a->ifname && b->ifname && !strcmp(a->ifname, b->ifname) &&
		!net_tap_is_pattern(a->ifname))
		return "ifname";
	for (unsigned int i = 0; i < a->num_fds; i++)
		for (unsigned int j = 0; j < b->num_fds; j++)
			if (a->fds[i] == b->fds[j])
				return "fd";
	return NULL;
}

/* A port that is taken twice is found when it is opened. */
static int check_nets(const struct config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->num_nets; i++) {
		int r = check_net(&config->nets[i], err);

		for (unsigned int j = 0; !r && j < i; j++) {
			const char *what = shared_by(&config->nets[i], &config->nets[j]);

			if (what)
				r = error_set(err, -EINVAL,
					"--net: two network cards have the same %s", what);
		}
		if (r)
			return r;
	}
	return 0;
}

/* Of two disks, or two cards, it is found when they are opened. */
static int check_ids(const struct config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->num_disks; i++)
		for (unsigned int j = 0; config->disks[i].id && j < config->num_nets; j++)
			if (config->nets[j].id && !strcmp(config->disks[i].id, config->nets[j].id))
				return error_set(err, -EINVAL,
					"--net: id: '%s' is the id of a disk", config->nets[j].id);
	return 0;
}

/*
 * Over PCI each device has a slot, and the host bridge has the first one; over MMIO there are so
 * many places.
 */
static int check_slots(const struct config *config, struct error *err)
{
	const bool pci = config->transport == TRANSPORT_PCI;
	const unsigned int places = pci ? PCI_MAX_DEVICES - 1 : LAYOUT_VIRTIO_MMIO_MAX;
	const unsigned int devices = config->num_disks + config->num_nets + config->num_shares +
				     config->rng + config->balloon +
				     (config->console == CONSOLE_VIRTIO) + (config->num_ports > 0);

	if (devices <= places)
		return 0;
	return error_set(err, -EINVAL, "%u virtio devices: %s has room for %u%s", devices,
		pci ? "PCI" : "MMIO", places, pci ? ", --transport mmio for more" : "");
}

static int check_balloon(const struct config *config, struct error *err)
{
	if (config->balloon && config->hugepages)
		return error_set(err, -EINVAL,
			"--balloon: the host's reserved huge pages cannot be given back a bit at a "
			"time; leave --hugepages out");
	if (config->balloon && config->balloon_size >= config->memory)
		return error_set(err, -EINVAL, "--balloon: takes %llu MiB of %llu MiB",
			(unsigned long long)(config->balloon_size / MiB),
			(unsigned long long)(config->memory / MiB));
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

/* Devices of ours say so themselves; these are in the kernel. */
static int check_exit_port(const struct config *config, struct error *err)
{
	static const uint16_t taken[] = {LAYOUT_PIC1_PORT, LAYOUT_PIC2_PORT, LAYOUT_ELCR_PORT};

	for (size_t i = 0; config->exit_port && i < ARRAY_SIZE(taken); i++)
		if (ranges_overlap(config->exit_port, LAYOUT_EXIT_PORTS, taken[i], 2))
			return error_set(err, -EINVAL,
				"--exit-port: at 0x%x the interrupt controller is in the way, at "
				"0x%x",
				config->exit_port, taken[i]);
	return 0;
}

static int check_detach(const struct config *config, struct error *err)
{
	if (config->detach && (config->dry_run || config->dump_dtb))
		return error_set(err, -EINVAL, "--detach: %s starts no VM",
			config->dump_dtb ? "--dump-dtb" : "--dry-run");
	return 0;
}

int config_validate(const struct config *config, struct error *err)
{
	int r = check_flat(config, err);

	r = r ? r : check_memory(config, err);
	r = r ? r : check_cpus(config, err);
	r = r ? r : check_name(config->name, err);
	r = r ? r : check_disks(config, err);
	r = r ? r : check_nets(config, err);
	r = r ? r : check_ids(config, err);
	r = r ? r : config_check_shares(config, err);
	r = r ? r : check_ports(config, err);
	r = r ? r : check_slots(config, err);
	r = r ? r : check_balloon(config, err);
	r = r ? r : check_exit_port(config, err);
	r = r ? r : check_detach(config, err);
	if (!r && config->user && config->sandbox >= SANDBOX_LOG)
		r = error_set(
			err, -EINVAL, "--user %s: goes with --sandbox on or strict", config->user);
	return r ? r : check_serial(config, err);
}
