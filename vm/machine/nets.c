/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/machine/nets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/net/apart.h"
#include "devices/net/net.h"
#include "devices/net/vhost.h"
#include "vm/core/clock.h"
#include "vm/core/error.h"
#include "vm/core/io_thread.h"
#include "vm/core/log.h"
#include "vm/core/machine_id.h"
#include "vm/machine/net_mac.h"

struct nets {
	const struct config *config;
	struct log *log;
	const struct confine *confine;
	bool started;
	struct io_thread *thread; /* NULL: there are no networks */
	struct timer_queue *timers;
	struct {
		bool there;
		bool added; /* its config's strings are our own */
		bool down;  /* its cable was pulled by a person */
		char id[CONFIG_MAX_DEVICE_ID + 1];
		struct net_config config;
		struct helper *helper; /* before it is the back end's */
		unsigned int generation;
		struct net *net;
		uint8_t mac[6];
		struct limit_config limits[LIMIT_MAX_DIRECTIONS];
		int vhost[CONFIG_MAX_NET_QUEUES]; /* the first num_vhost are open */
		unsigned int num_vhost;
	} net[CONFIG_MAX_NETS];
};

/* ---- addresses ---- */

/*
 * User networks have one guest each. On a network of several, a VM is known by its name and by its
 * interface; where it has neither, by the process, for as long as that lives.
 */
static void choose_mac(struct nets *nets, unsigned int i, const char *host)
{
	const struct net_config *config = &nets->net[i].config;
	const char *interface = config->ifname;
	char machine_id[MACHINE_ID_SIZE] = "", process[16];
	static const uint8_t none[6];

	memcpy(nets->net[i].mac, config->mac, sizeof(config->mac));
	if (memcmp(config->mac, none, sizeof(none)))
		return;
	if (!host)
		machine_id_read(machine_id);
	if (config->kind == NET_TAP && net_tap_is_pattern(interface) && !nets->config->name) {
		snprintf(process, sizeof(process), "/%ld", (long)getpid());
		interface = process;
	}
	net_mac_make(host ? host : machine_id, nets->config->name, interface, i, nets->net[i].mac);
}

/* ---- opening ---- */

static int open_user(struct nets *nets, unsigned int i, struct error *err)
{
	struct net_slirp_config slirp;
	const struct net_apart_config apart = {.helper = nets->net[i].helper,
		.generation = nets->net[i].generation,
		.log = nets->log,
		.mtu = nets->net[i].config.mtu};
	int rc;

	if (!apart.helper) {
		config_net_slirp(&nets->net[i].config, &slirp);
		slirp.log = nets->log;
		slirp.clock = timer_queue_clock(nets->timers);
		return net_slirp_create(&slirp, &nets->net[i].net, err);
	}
	rc = net_apart_create(&apart, &nets->net[i].net, err);
	if (!rc)
		nets->net[i].helper = NULL;
	return rc;
}

static void close_vhost(struct nets *nets, unsigned int i)
{
	while (nets->net[i].num_vhost)
		close(nets->net[i].vhost[--nets->net[i].num_vhost]);
}

/* The guest does not see the difference; who has not asked for it can do without. */
static int open_vhost(
	struct nets *nets, unsigned int i, const struct nets_given *given, struct error *err)
{
	const enum net_vhost_mode mode = nets->net[i].config.vhost;
	struct error why = {""};
	int rc = 0;

	if (given && given->num_vhost == nets->net[i].net->info.max_queues) {
		memcpy(nets->net[i].vhost, given->vhost, sizeof(given->vhost));
		nets->net[i].num_vhost = given->num_vhost;
	}
	/* The kernel knows no limits. */
	if (mode == NET_VHOST_OFF || limit_is_set(nets_limit(nets, i, LIMIT_RX)) ||
		limit_is_set(nets_limit(nets, i, LIMIT_TX))) {
		close_vhost(nets, i);
		return 0;
	}
	while (!rc && nets->net[i].num_vhost < nets->net[i].net->info.max_queues) {
		rc = vhost_open(&nets->net[i].vhost[nets->net[i].num_vhost], &why);
		nets->net[i].num_vhost += !rc;
	}
	if (!rc)
		return 0;
	close_vhost(nets, i);
	if (mode == NET_VHOST_ON)
		return error_set(err, rc, "%s", why.text);
	log_msg(nets->log, LOG_WARN, "%s: slower without vhost-net: %s", nets_name(nets, i),
		why.text);
	return 0;
}

static int open_tap(
	struct nets *nets, unsigned int i, const struct nets_given *given, struct error *err)
{
	const struct net_config *config = &nets->net[i].config;
	const struct net_tap_config tap = {
		.ifname = config->ifname,
		.queues = MAX(config->queues, 1u),
		.fds = config->fds,
		.num_fds = config->num_fds,
		.script = config->script,
		.log = nets->log,
	};
	int rc = net_tap_create(&tap, &nets->net[i].net, err);

	return rc < 0 ? rc : open_vhost(nets, i, given, err);
}

static int open_net(
	struct nets *nets, unsigned int i, const struct nets_given *given, struct error *err)
{
	const struct net_config *config = &nets->net[i].config;

	choose_mac(nets, i, given ? given->host : NULL);
	memcpy(nets->net[i].limits, config->limits, sizeof(config->limits));
	if (nets->config->dry_run)
		return net_null_create(
			MAX(MAX(config->queues, config->num_fds), 1u), &nets->net[i].net, err);
	return config->kind == NET_TAP ? open_tap(nets, i, given, err) : open_user(nets, i, err);
}

int nets_find(const struct nets *nets, const char *id)
{
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++)
		if (nets->net[i].there && !strcmp(nets->net[i].id, id))
			return (int)i;
	return -ENOENT;
}

/* The one that was asked for, or "net" and a number. */
static int choose_id(struct nets *nets, unsigned int i, struct error *err)
{
	const char *id = nets->net[i].config.id;
	char text[CONFIG_MAX_DEVICE_ID + 1];
	unsigned int n = i;

	if (id && nets_find(nets, id) >= 0)
		return error_set(err, -EEXIST, "network %s: there is one of that id", id);
	do
		snprintf(text, sizeof(text), "net%u", n++);
	while (!id && nets_find(nets, text) >= 0);
	snprintf(nets->net[i].id, sizeof(text), "%s", id ? id : text);
	return 0;
}

static int open_thread(struct nets *nets, struct error *err)
{
	const struct io_thread_config config = {
		.name = "net", .confine = nets->confine, .what = CONFINE_NET};
	int rc;

	if (!nets->thread) {
		rc = io_thread_create(&config, &nets->thread, err);
		if (rc < 0)
			return rc;
	}
	rc = nets->timers ? 0 : timer_queue_create(io_thread_loop(nets->thread), &nets->timers);
	return rc < 0 ? error_set_errno(err, rc, "networks") : 0;
}

/* The thread is held. */
static int open_one(
	struct nets *nets, unsigned int i, const struct nets_given *given, struct error *err)
{
	int rc = choose_id(nets, i, err);

	if (!rc)
		rc = open_thread(nets, err);
	if (rc < 0)
		return rc;
	nets->net[i].there = true;
	return open_net(nets, i, given, err);
}

static int start_helper(
	struct nets *nets, unsigned int i, const struct helper_confine *confine, struct error *err)
{
	const struct net_config *config = &nets->config->nets[i];
	struct net_slirp_config slirp;

	if (config->kind != NET_USER || config->in_process || nets->config->dry_run)
		return 0;
	config_net_slirp(config, &slirp);
	slirp.log = nets->log;
	return net_slirp_fork(&slirp, confine, &nets->net[i].helper, err);
}

int nets_open(struct nets *nets, const struct confine *confine, struct error *err)
{
	int rc = 0;

	nets->confine = confine;
	for (unsigned int i = 0; !rc && i < nets->config->num_nets; i++) {
		nets->net[i].config = nets->config->nets[i];
		rc = open_one(nets, i, NULL, err);
	}
	return rc;
}

int nets_create(const struct config *config, struct log *log, const struct helper_confine *confine,
	struct nets **ret, struct error *err)
{
	struct nets *nets = calloc(1, sizeof(*nets));
	int rc = 0;

	if (!nets)
		return error_set_errno(err, -ENOMEM, "networks");
	nets->config = config;
	nets->log = log;
	for (unsigned int i = 0; !rc && i < config->num_nets; i++)
		rc = start_helper(nets, i, confine, err);
	if (rc < 0) {
		nets_close(nets);
		return rc;
	}
	*ret = nets;
	return 0;
}

static void close_net(struct nets *nets, unsigned int i)
{
	close_vhost(nets, i);
	if (nets->net[i].net)
		nets->net[i].net->ops->close(nets->net[i].net);
	helper_close(nets->net[i].helper);
	if (nets->net[i].added)
		free(nets->net[i].config.copy);
	memset(&nets->net[i], 0, sizeof(nets->net[i]));
}

void nets_close(struct nets *nets)
{
	if (!nets)
		return;
	nets_hold(nets);
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++)
		close_net(nets, i);
	timer_queue_destroy(nets->timers);
	io_thread_destroy(nets->thread);
	free(nets);
}

int nets_add(struct nets *nets, const struct net_config *config, const struct nets_given *given,
	struct error *err)
{
	unsigned int i = 0;
	int rc;

	while (i < CONFIG_MAX_NETS && nets->net[i].there)
		i++;
	if (i == CONFIG_MAX_NETS) {
		helper_close(given->helper);
		return error_set(err, -ENOSPC, "a VM has %d networks at most", CONFIG_MAX_NETS);
	}
	nets->net[i].config = *config;
	nets->net[i].helper = given->helper;
	nets->net[i].generation = given->generation;
	rc = open_one(nets, i, given, err);
	if (rc < 0) {
		close_net(nets, i);
		return rc;
	}
	nets->net[i].added = true;
	return (int)i;
}

void nets_remove(struct nets *nets, unsigned int i)
{
	close_net(nets, i);
}

bool nets_has(const struct nets *nets, unsigned int i)
{
	return i < CONFIG_MAX_NETS && nets->net[i].there;
}

const char *nets_id(const struct nets *nets, unsigned int i)
{
	return nets->net[i].id;
}

const struct net_config *nets_config(const struct nets *nets, unsigned int i)
{
	return &nets->net[i].config;
}

bool nets_down(const struct nets *nets, unsigned int i)
{
	return nets->net[i].down;
}

void nets_set_down(struct nets *nets, unsigned int i, bool down)
{
	nets->net[i].down = down;
}

void nets_hold(struct nets *nets)
{
	if (nets->thread)
		io_thread_hold(nets->thread);
}

int nets_resume(struct nets *nets, struct error *err)
{
	return nets->thread && nets->started ? io_thread_resume(nets->thread, err) : 0;
}

int nets_start(struct nets *nets, struct error *err)
{
	nets->started = true;
	return nets_resume(nets, err);
}

struct net *nets_net(struct nets *nets, unsigned int i)
{
	return nets->net[i].net;
}

struct event_loop *nets_loop(struct nets *nets)
{
	return io_thread_loop(nets->thread);
}

const struct clock *nets_clock(struct nets *nets)
{
	return timer_queue_clock(nets->timers);
}

struct limit_config *nets_limit(struct nets *nets, unsigned int i, enum limit_direction direction)
{
	return &nets->net[i].limits[direction];
}

const int *nets_vhost(const struct nets *nets, unsigned int i)
{
	return nets->net[i].num_vhost ? nets->net[i].vhost : NULL;
}

const char *nets_name(const struct nets *nets, unsigned int i)
{
	const struct net_config *config = &nets->net[i].config;

	if (config->kind == NET_USER)
		return "user network";
	return net_tap_is_pattern(config->ifname) ? "tap" : config->ifname;
}

const uint8_t *nets_mac(const struct nets *nets, unsigned int i)
{
	return nets->net[i].mac;
}
