/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam run`'s arguments: the input, split at NULs, is argv. Beyond crashes:
 *  - a refusal has one line of text;
 *  - what was accepted keeps every promise of struct config;
 *  - written out again as arguments, it is accepted again and means the same;
 *  - the command line made of it is what vm/config/cmdline.h promises.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vcpu/cpuid/features.h"
#include "vm/config/cmdline.h"
#include "vm/config/cmdline_words.h"
#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/core/rate_limit.h"

#include "../unit/fakes/check.h"

enum { MAX_ARGS = 64, INPUT_SIZE = 4096, CMDLINE_SIZE = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Arguments being written: each in text of its own. */
struct args {
	char *argv[MAX_ARGS * 2];
	int argc;
};

static void add(struct args *args, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct args *args, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	CHECK(vasprintf(&args->argv[args->argc++], fmt, list) >= 0);
	va_end(list);
	args->argv[args->argc] = NULL;
}

static void check_line(const struct error *err)
{
	size_t len = strnlen(err->text, sizeof(err->text));

	CHECK(len > 0 && len < sizeof(err->text));
	CHECK(!strpbrk(err->text, "\n\r\t\033"));
}

static void check_features(const char *text)
{
	struct cpu_changes changes;

	CHECK(!cpu_features_parse(text, &changes, NULL));
	CHECK(changes.num <= CPU_MAX_CHANGES);
	for (size_t i = 0; i < changes.num; i++) {
		const struct cpu_feature *f = &changes.change[i].feature;

		CHECK(f->bit < 32 && f->reg <= CPUID_EDX);
		for (size_t j = 0; j < i; j++)
			CHECK(changes.change[j].feature.name != f->name);
	}
}

static void check_where(const struct serial_config *where)
{
	bool path = where->kind == SERIAL_FILE || where->kind == SERIAL_UNIX;

	CHECK(path == (where->path != NULL));
	CHECK(!path || *where->path);
}

static void check_serial(const struct config *config)
{
	int stdio = config->console == CONSOLE_VIRTIO;

	CHECK(config->serial[0].kind != SERIAL_NONE || config->console == CONSOLE_VIRTIO);
	for (int i = 0; i < CONFIG_MAX_SERIAL; i++) {
		const struct serial_config *port = &config->serial[i];

		stdio += port->kind == SERIAL_STDIO;
		check_where(port);
		CHECK(!i || port->kind == SERIAL_NONE || config->serial[i - 1].kind != SERIAL_NONE);
	}
	CHECK(stdio <= 1);
}

static void check_disks(const struct config *config)
{
	CHECK(config->num_disks <= CONFIG_MAX_DISKS);
	for (unsigned int i = 0; i < config->num_disks; i++) {
		const struct disk_config *disk = &config->disks[i];

		CHECK(*disk->path && disk->queues >= 1 && disk->queues <= CONFIG_MAX_DISK_QUEUES);
		CHECK(disk->cache <= BLK_CACHE_UNSAFE && disk->aio <= BLK_AIO_THREADS);
		CHECK(disk->aio != BLK_AIO_NATIVE || disk->cache == BLK_CACHE_NONE);
		CHECK(!disk->serial ||
			(*disk->serial && strlen(disk->serial) <= CONFIG_MAX_DISK_SERIAL));
		for (unsigned int j = 0; j < i; j++)
			CHECK(strcmp(disk->path, config->disks[j].path) ||
				(disk->read_only && config->disks[j].read_only));
	}
}

static void check_address(const union net_address *address, sa_family_t family)
{
	CHECK(address->sa.sa_family == family);
	CHECK(family == AF_INET || family == AF_INET6);
}

static void check_nets(const struct config *config)
{
	CHECK(config->num_nets <= CONFIG_MAX_NETS);
	for (unsigned int i = 0; i < config->num_nets; i++) {
		const struct net_config *net = &config->nets[i];
		const bool user = net->kind == NET_USER;

		CHECK(user || net->kind == NET_TAP);
		CHECK(!(net->mac[0] & 1));
		CHECK(!net->mtu || net->mtu >= (user ? NET_SLIRP_MIN_MTU : CONFIG_MIN_MTU));
		CHECK(!user || net->mtu <= NET_SLIRP_MTU);
		CHECK(user || (!net->num_forwards && !net->dns.sa.sa_family && !net->restricted &&
				      !net->host_loopback));
		CHECK(!user || (!net->ifname && !net->script && !net->queues && !net->num_fds &&
				       !net->vhost));
		CHECK(net->num_forwards <= CONFIG_MAX_FORWARDS);
		for (unsigned int j = 0; j < net->num_forwards; j++) {
			const struct net_forward *fwd = &net->forwards[j];

			check_address(&fwd->host, fwd->guest.sa.sa_family);
			check_address(&fwd->guest, fwd->host.sa.sa_family);
			CHECK(fwd->guest.in.sin_port);
		}
		CHECK(!net->dns.sa.sa_family || net->dns.in.sin_port);
		CHECK(net->dns.sa.sa_family != AF_INET || net->dns.in.sin_addr.s_addr);
		CHECK(!net->ifname || (*net->ifname && strlen(net->ifname) < IFNAMSIZ));
		CHECK(net->queues <= CONFIG_MAX_NET_QUEUES);
		CHECK(net->num_fds <= CONFIG_MAX_NET_QUEUES);
		CHECK(!net->num_fds || (!net->ifname && !net->queues));
	}
}

static void check_ports(const struct config *config)
{
	CHECK(config->num_ports <= CONFIG_MAX_PORTS);
	for (unsigned int i = 0; i < config->num_ports; i++) {
		const struct port_config *port = &config->ports[i];

		CHECK(*port->name && strlen(port->name) <= CONFIG_MAX_PORT_NAME);
		CHECK(!strchr(port->name, '/') && *port->name != '.');
		CHECK(port->where.kind != SERIAL_NONE && port->where.kind != SERIAL_STDIO);
		check_where(&port->where);
		for (unsigned int j = 0; j < i; j++)
			CHECK(strcmp(port->name, config->ports[j].name));
	}
}

static void check_config(const struct config *config)
{
	CHECK(config->memory % (4 * KiB) == 0);
	CHECK(config->memory >= CONFIG_MIN_MEMORY_FLAT && config->memory <= CONFIG_MAX_MEMORY);
	CHECK(config->cpus >= 1 && config->cpus <= CONFIG_MAX_CPUS);
	CHECK(config->num_initrds <= LOADER_MAX_INITRDS);
	for (unsigned int i = 0; i < config->num_initrds; i++)
		CHECK(*config->initrds[i]);
	CHECK(!config->kernel || *config->kernel);
	CHECK(*config->kvm_device);
	if (config->flat) {
		CHECK(*config->flat && !config->kernel && !config->num_initrds &&
			!*config->cmdline);
		CHECK(config->flat_gpa < (config->flat_mode == ENTRY_REAL ? MiB : 4 * GiB));
	} else {
		CHECK(config->memory >= CONFIG_MIN_MEMORY_LINUX);
	}
	if (config->name)
		CHECK(*config->name && strlen(config->name) <= CONFIG_MAX_NAME &&
			!strchr(config->name, '/') && *config->name != '.');
	if (config->cpu_features)
		check_features(config->cpu_features);
	CHECK(!config->balloon || config->balloon_size < config->memory);
	check_serial(config);
	check_disks(config);
	check_nets(config);
	check_ports(config);
}

static void write_where(struct args *args, const char *option, const struct serial_config *where)
{
	static const char *const words[] = {[SERIAL_STDIO] = "stdio",
		[SERIAL_NULL] = "null",
		[SERIAL_FILE] = "file:",
		[SERIAL_PTY] = "pty",
		[SERIAL_UNIX] = "unix:"};

	if (where->kind != SERIAL_NONE)
		add(args, "%s=%s%s", option, words[where->kind], where->path ? where->path : "");
}

/* With its commas doubled. out has room for twice the text. */
static const char *escaped(const char *text, char *out)
{
	char *to = out;

	for (; *text; text++) {
		if (*text == ',')
			*to++ = ',';
		*to++ = *text;
	}
	*to = '\0';
	return out;
}

static void check_limits(const struct limit_config *limits, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct rate_config rates;

		limit_rates(&limits[i], &rates);
		CHECK(rate_config_valid(&rates));
		CHECK((rates.bytes.size || rates.ops.size) == limit_is_set(&limits[i]));
	}
}

static bool same_limits(const struct limit_config *a, const struct limit_config *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (memcmp(a[i].value, b[i].value, sizeof(a[i].value)))
			return false;
	return true;
}

/* Words behind commas; the caller frees them. */
static char *limit_words(bool card, const struct limit_config *limits)
{
	char *text = NULL, name[32];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CHECK(out);
	for (enum limit_direction d = 0; d < (card ? LIMIT_MAX_DIRECTIONS : 1); d++)
		for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++)
			if (limits[d].given[v])
				fprintf(out, ",%s=%llu", limit_name(card, d, v, name),
					(unsigned long long)limits[d].value[v]);
	CHECK(!fclose(out));
	return text;
}

static void write_disk(struct args *args, const struct disk_config *disk)
{
	static const char *const caches[] = {"none", "writeback", "writethrough", "unsafe"};
	static const char *const aio[] = {"", ",aio=native", ",aio=threads"};
	char path[2 * INPUT_SIZE + 1], serial[2 * CONFIG_MAX_DISK_SERIAL + 1];
	char *limits = limit_words(false, &disk->limit);

	check_limits(&disk->limit, 1);
	add(args, "--disk=%s,cache=%s%s%s%s,queues=%u%s%s%s", escaped(disk->path, path),
		caches[disk->cache], aio[disk->aio], disk->serial ? ",serial=" : "",
		disk->serial ? escaped(disk->serial, serial) : "", disk->queues,
		disk->read_only ? ",ro" : "", disk->iothread ? ",iothread" : "", limits);
	free(limits);
}

static void write_endpoint(FILE *out, const union net_address *address)
{
	const bool v6 = address->sa.sa_family == AF_INET6;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(address->sa.sa_family,
		v6 ? (const void *)&address->in6.sin6_addr : (const void *)&address->in.sin_addr,
		text, sizeof(text));
	fprintf(out, v6 ? "[%s]:%u" : "%s:%u", text, ntohs(address->in.sin_port));
}

static void write_user(FILE *out, const struct net_config *net)
{
	for (unsigned int i = 0; i < net->num_forwards; i++) {
		fputs(net->forwards[i].udp ? ",hostfwd=udp:" : ",hostfwd=tcp:", out);
		write_endpoint(out, &net->forwards[i].host);
		fputc('-', out);
		write_endpoint(out, &net->forwards[i].guest);
	}
	if (net->dns.sa.sa_family) {
		fputs(",dns=", out);
		write_endpoint(out, &net->dns);
	}
	fputs(net->restricted ? ",restrict" : "", out);
	fputs(net->host_loopback ? ",host-loopback" : "", out);
}

static void write_tap(FILE *out, const struct net_config *net)
{
	char text[2 * INPUT_SIZE + 1];

	if (net->ifname)
		fprintf(out, ",ifname=%s", escaped(net->ifname, text));
	if (net->script)
		fprintf(out, ",script=%s", escaped(net->script, text));
	if (net->queues)
		fprintf(out, ",queues=%u", net->queues);
	fputs(net->vhost == NET_VHOST_ON ? ",vhost=on" : "", out);
	fputs(net->vhost == NET_VHOST_OFF ? ",vhost=off" : "", out);
	for (unsigned int i = 0; i < net->num_fds; i++)
		fprintf(out, ",fd=%d", net->fds[i]);
}

static void write_net(struct args *args, const struct net_config *net)
{
	static const uint8_t none[6];
	const uint8_t *mac = net->mac;
	char *text = NULL, *limits = limit_words(true, net->limits);
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CHECK(out);
	check_limits(net->limits, LIMIT_MAX_DIRECTIONS);
	fputs(net->kind == NET_USER ? "user" : "tap", out);
	if (memcmp(mac, none, sizeof(none)))
		fprintf(out, ",mac=%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
			mac[4], mac[5]);
	if (net->mtu)
		fprintf(out, ",mtu=%u", net->mtu);
	write_user(out, net);
	write_tap(out, net);
	fputs(limits, out);
	free(limits);
	CHECK(!fclose(out));
	add(args, "--net=%s", text);
	free(text);
}

static void write_devices(struct args *args, const struct config *config)
{
	static const char *const transports[] = {"pci", "mmio", "mmio-cmdline"};
	char option[128];

	for (int i = 0; i < CONFIG_MAX_SERIAL; i++)
		write_where(args, "--serial", &config->serial[i]);
	for (unsigned int i = 0; i < config->num_disks; i++)
		write_disk(args, &config->disks[i]);
	for (unsigned int i = 0; i < config->num_nets; i++)
		write_net(args, &config->nets[i]);
	for (unsigned int i = 0; i < config->num_ports; i++) {
		snprintf(option, sizeof(option), "--port=%s", config->ports[i].name);
		write_where(args, option, &config->ports[i].where);
	}
	if (config->console == CONSOLE_VIRTIO)
		add(args, "--console=virtio");
	if (config->rng)
		add(args, "--rng");
	if (config->balloon)
		add(args, "--balloon=%lluB", (unsigned long long)config->balloon_size);
	add(args, "--transport=%s", transports[config->transport]);
}

static void write_journal(struct args *args, const struct config *config)
{
	char path[2 * INPUT_SIZE + 1];

	CHECK(config->metrics_ms >= 100 && config->metrics_ms <= 86400 * UINT64_C(1000));
	if (config->events)
		add(args, "--events=%s", config->events);
	if (config->metrics)
		add(args, "--metrics=%s,interval=%llu.%03llu", escaped(config->metrics, path),
			(unsigned long long)config->metrics_ms / 1000,
			(unsigned long long)config->metrics_ms % 1000);
}

static void write_config(struct args *args, const struct config *config)
{
	static const char *const ends[] = {"exit", "restart", "pause"};
	static const char *const modes[] = {"real", "protected", "long"};

	add(args, "run");
	add(args, "-m%lluB", (unsigned long long)config->memory);
	add(args, "-c%u", config->cpus);
	add(args, "--on-reboot=%s", ends[config->on_reboot]);
	add(args, "--on-poweroff=%s", ends[config->on_poweroff]);
	add(args, "--on-panic=%s", ends[config->on_panic]);
	add(args, "--kvm=%s", config->kvm_device);
	write_devices(args, config);
	for (unsigned int i = 0; i < config->num_initrds; i++)
		add(args, "-i%s", config->initrds[i]);
	if (*config->cmdline)
		add(args, "--cmdline=%s", config->cmdline);
	if (!config->default_cmdline)
		add(args, "--no-default-cmdline");
	add(args, "--boot=%s", option_spec(OPT_BOOT)->choices[config->boot]);
	add(args, "--kaslr=%s", config->kaslr ? "on" : "off");
	if (!config->kernel_cache)
		add(args, "--no-kernel-cache");
	if (config->hugepages)
		add(args, "--hugepages");
	if (config->dry_run)
		add(args, "--dry-run");
	if (config->cpu_features)
		add(args, "--cpu=%s", config->cpu_features);
	if (config->name)
		add(args, "--name=%s", config->name);
	write_journal(args, config);
	if (config->flat) {
		add(args, "--mode=%s", modes[config->flat_mode]);
		add(args, "--flat=%s@0x%llx", config->flat, (unsigned long long)config->flat_gpa);
	}
	if (config->kernel) {
		add(args, "--");
		add(args, "%s", config->kernel);
	}
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_where(const struct serial_config *a, const struct serial_config *b)
{
	return a->kind == b->kind && same_text(a->path, b->path);
}

static bool same_disk(const struct disk_config *a, const struct disk_config *b)
{
	return same_text(a->path, b->path) && same_text(a->serial, b->serial) &&
	       a->read_only == b->read_only && a->cache == b->cache && a->aio == b->aio &&
	       a->queues == b->queues && a->iothread == b->iothread &&
	       same_limits(&a->limit, &b->limit, 1);
}

static bool same_net(const struct net_config *a, const struct net_config *b)
{
	return a->kind == b->kind && !memcmp(a->mac, b->mac, sizeof(a->mac)) && a->mtu == b->mtu &&
	       !memcmp(a->forwards, b->forwards, a->num_forwards * sizeof(a->forwards[0])) &&
	       a->num_forwards == b->num_forwards && !memcmp(&a->dns, &b->dns, sizeof(a->dns)) &&
	       a->restricted == b->restricted && a->host_loopback == b->host_loopback &&
	       same_text(a->ifname, b->ifname) && same_text(a->script, b->script) &&
	       a->queues == b->queues && a->vhost == b->vhost && a->num_fds == b->num_fds &&
	       !memcmp(a->fds, b->fds, sizeof(a->fds)) &&
	       same_limits(a->limits, b->limits, LIMIT_MAX_DIRECTIONS);
}

static void check_same_devices(const struct config *a, const struct config *b)
{
	for (int i = 0; i < CONFIG_MAX_SERIAL; i++)
		CHECK(same_where(&a->serial[i], &b->serial[i]));
	CHECK(same_text(a->events, b->events) && a->events_fd == b->events_fd);
	CHECK(same_text(a->metrics, b->metrics));
	CHECK(!a->metrics || a->metrics_ms == b->metrics_ms);
	CHECK(a->num_disks == b->num_disks && a->num_ports == b->num_ports);
	for (unsigned int i = 0; i < a->num_disks; i++)
		CHECK(same_disk(&a->disks[i], &b->disks[i]));
	CHECK(a->num_nets == b->num_nets);
	for (unsigned int i = 0; i < a->num_nets; i++)
		CHECK(same_net(&a->nets[i], &b->nets[i]));
	for (unsigned int i = 0; i < a->num_ports; i++)
		CHECK(same_text(a->ports[i].name, b->ports[i].name) &&
			same_where(&a->ports[i].where, &b->ports[i].where));
	CHECK(a->console == b->console && a->transport == b->transport && a->rng == b->rng);
	CHECK(a->balloon == b->balloon && (!a->balloon || a->balloon_size == b->balloon_size));
}

static void check_same(const struct config *a, const struct config *b)
{
	CHECK(a->memory == b->memory && a->cpus == b->cpus && a->hugepages == b->hugepages);
	CHECK(a->on_reboot == b->on_reboot && a->on_poweroff == b->on_poweroff);
	CHECK(a->on_panic == b->on_panic && a->dry_run == b->dry_run && a->boot == b->boot);
	CHECK(a->kaslr == b->kaslr && a->kernel_cache == b->kernel_cache);
	CHECK(same_text(a->kernel, b->kernel) && same_text(a->cmdline, b->cmdline));
	CHECK(same_text(a->flat, b->flat) && same_text(a->name, b->name));
	CHECK(same_text(a->kvm_device, b->kvm_device));
	CHECK(same_text(a->cpu_features, b->cpu_features));
	CHECK(!a->flat || (a->flat_gpa == b->flat_gpa && a->flat_mode == b->flat_mode));
	CHECK(a->default_cmdline == b->default_cmdline && a->num_initrds == b->num_initrds);
	for (unsigned int i = 0; i < a->num_initrds; i++)
		CHECK(same_text(a->initrds[i], b->initrds[i]));
	check_same_devices(a, b);
}

static void check_round_trip(const struct config *config)
{
	struct args args = {.argc = 0};
	struct config again;
	struct error err = {""};

	write_config(&args, config);
	config_init(&again);
	if (config_parse(&again, args.argc, args.argv, &err) || config_validate(&again, &err)) {
		fprintf(stderr, "refused when written out: %s\n", err.text);
		abort();
	}
	check_same(config, &again);
	config_destroy(&again);
	for (int i = 0; i < args.argc; i++)
		free(args.argv[i]);
}

static bool is_blank(char c)
{
	return c && strchr(" \t\n\v\f\r\xa0", c);
}

/* buf is the default words that are wanted, then the user's, without the blanks around them. */
static void check_words(const char *user, const struct cmdline_defaults *defaults, const char *buf)
{
	const char *console = defaults->hvc0 ? "console=hvc0" : "console=ttyS0";
	const bool root = defaults->enabled && defaults->disk && !cmdline_has_key(user, "root");
	size_t len = strlen(buf), user_len, ours;

	while (is_blank(*user))
		user++;
	user_len = strlen(user);
	while (user_len && is_blank(user[user_len - 1]))
		user_len--;
	CHECK(len >= user_len && !memcmp(buf + len - user_len, user, user_len));
	ours = len - user_len;
	CHECK(defaults->enabled || !ours);
	if (!defaults->enabled || cmdline_has_key(user, "console"))
		CHECK(!memmem(buf, ours, "console", strlen("console")));
	else
		CHECK(ours >= strlen(console) && !memcmp(buf, console, strlen(console)));
	CHECK(root == (memmem(buf, ours, "root=/dev/vda", strlen("root=/dev/vda")) != NULL));
}

static void check_cmdline(const struct config *config)
{
	const struct cmdline_defaults defaults = {.enabled = config->default_cmdline,
		.serial1 = true,
		.hvc0 = config->console == CONSOLE_VIRTIO,
		.disk = config->num_disks > 0,
		.read_only = config->disks[0].read_only};
	struct error err = {""};
	char buf[CMDLINE_SIZE], exact[CMDLINE_SIZE];
	int r = cmdline_compose(config->cmdline, &defaults, buf, sizeof(buf), &err);
	size_t len = strnlen(buf, sizeof(buf));

	CHECK(len < sizeof(buf));
	if (r) {
		CHECK((r == -E2BIG || r == -EINVAL) && !len);
		check_line(&err);
		return;
	}
	check_words(config->cmdline, &defaults, buf);
	CHECK(!cmdline_compose(config->cmdline, &defaults, exact, len + 1, NULL) &&
		!strcmp(exact, buf));
	CHECK(!len || cmdline_compose(config->cmdline, &defaults, exact, len, NULL) == -E2BIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[INPUT_SIZE + 1], name[] = "run", *argv[MAX_ARGS + 1] = {name};
	struct config config;
	struct error err = {""};
	int argc = 1, r;

	size = MIN(size, (size_t)INPUT_SIZE);
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *p = text; p < text + size && argc < MAX_ARGS; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;

	config_init(&config);
	r = config_parse(&config, argc, argv, &err);
	CHECK(r == 0 || r == 1 || r == -EINVAL);
	if (!r)
		r = config_validate(&config, &err);
	if (r < 0)
		check_line(&err);
	if (!r) {
		check_config(&config);
		check_round_trip(&config);
	}
	check_cmdline(&config);
	config_destroy(&config);
	return 0;
}
