/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verbs about a VM's disks and networks. What they name is opened here, with the rights of who
 * asks, and goes to the VM as descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "devices/net/apart.h"
#include "devices/net/net.h"
#include "devices/net/vhost.h"
#include "vm/client/verbs.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/control/server.h"
#include "vm/core/machine_id.h"
#include "vm/sandbox/sandbox.h"

/* Operands: what to do, to which VM, to which device. */
enum { WHAT, NAME, DEVICE, VALUE };

/* One action of a verb: sends its command. rc as of client_call. */
struct action {
	const char *name;
	unsigned int min, max; /* operands */
	int (*run)(const struct client_args *args, struct client *client, json_t **result,
		struct error *err);
	/* Without --json; NULL: there is nothing to say. */
	void (*print)(const json_t *result);
};

static int call(struct client *client, const char *command, json_t *args, const int *fds,
	unsigned int num_fds, json_t **result, struct error *err)
{
	int rc = client_send(client, command, args, fds, num_fds, err);

	return rc < 0 ? rc : client_read(client, result, err);
}

/* ---- files ---- */

static int open_error(const char *path, struct error *err)
{
	return error_set_errno(err, -errno, "%s", path);
}

/* Twice, as a disk wants it; a block device exclusively at first, as mounts do it. */
static int open_file(const char *path, bool read_only, int fds[2], struct error *err)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR);
	struct stat st;
	int rc;

	if (stat(path, &st) < 0)
		return open_error(path, err);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, -EINVAL, "%s is neither a file nor a block device", path);
	fds[0] = open(path, flags | (S_ISBLK(st.st_mode) && !read_only ? O_EXCL : 0));
	if (fds[0] < 0)
		return open_error(path, err);
	fds[1] = open(path, flags);
	if (fds[1] >= 0)
		return 0;
	rc = open_error(path, err);
	close(fds[0]);
	return rc;
}

static void close_all(const int *fds, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		close(fds[i]);
}

static int call_with_file(struct client *client, const char *command, json_t *args,
	const int fds[2], json_t **result, struct error *err)
{
	int rc;

	json_object_set_new(args, "file", json_integer(0));
	json_object_set_new(args, "file_again", json_integer(1));
	rc = call(client, command, args, fds, 2, result, err);
	close_all(fds, 2);
	return rc;
}

/* ---- disks ---- */

static int list_disks(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	(void)args;
	return client_call(client, "disks", NULL, result, err);
}

static void print_disks(const json_t *result)
{
	const json_t *disk;
	size_t i;

	printf("%-16s %14s %-3s %s\n", "ID", "BYTES", "", "FILE");
	json_array_foreach(json_object_get(result, "disks"), i, disk)
		printf("%-16s %14lld %-3s %s%s\n", json_string_value(json_object_get(disk, "id")),
			json_integer_value(json_object_get(disk, "size")),
			json_is_true(json_object_get(disk, "read_only")) ? "ro" : "",
			json_string_value(json_object_get(disk, "file")),
			json_is_true(json_object_get(disk, "leaving")) ? " (leaving)" : "");
}

static int add_disk(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	const char *spec = args->operands[DEVICE];
	struct disk_config disk;
	int fds[2], rc = config_parse_disk(spec, &disk, err);

	if (!rc)
		rc = open_file(disk.path, disk.read_only || disk.snapshot, fds, err);
	free(disk.copy);
	return rc < 0 ? client_blame(rc)
		      : call_with_file(client, "disk-add", json_pack("{s:s}", "disk", spec), fds,
				result, err);
}

static int swap_disk(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	const char *path = args->operands[VALUE];
	int fds[2], rc = open_file(path, false, fds, err);

	/* Whether the disk is read-only, the VM knows. */
	if (rc == -EACCES || rc == -EROFS || rc == -EPERM)
		rc = open_file(path, true, fds, err);
	return rc < 0 ? client_blame(rc)
		      : call_with_file(client, "disk-swap",
				json_pack("{s:s, s:s}", "id", args->operands[DEVICE], "name", path),
				fds, result, err);
}

static int resize_disk(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	json_t *values = json_pack("{s:s}", "id", args->operands[DEVICE]);
	uint64_t size;

	if (args->num_operands > VALUE) {
		if (config_parse_size(args->operands[VALUE], 1, &size) < 0 || size > INT64_MAX) {
			json_decref(values);
			return error_set(
				err, -EINVAL, "'%s' is not a size like 10G", args->operands[VALUE]);
		}
		json_object_set_new(values, "size", json_integer((json_int_t)size));
	}
	return client_call(client, "disk-resize", values, result, err);
}

static void print_id(const json_t *result)
{
	printf("%s\n", json_string_value(json_object_get(result, "id")));
}

static void print_size(const json_t *result)
{
	printf("%lld\n", json_integer_value(json_object_get(result, "size")));
}

/* ---- removal ---- */

static int remove_device(const struct client_args *args, struct client *client, const char *command,
	json_t **result, struct error *err)
{
	json_t *values = json_pack("{s:s}", "id", args->operands[DEVICE]);
	uint64_t ms;
	int rc = 0;

	if (args->given[OPT_TIMEOUT])
		rc = client_parse_seconds(OPT_TIMEOUT, args->values[OPT_TIMEOUT], &ms, err);
	if (rc < 0) {
		json_decref(values);
		return rc;
	}
	if (args->given[OPT_TIMEOUT])
		json_object_set_new(values, "timeout", json_integer((json_int_t)ms));
	if (args->given[OPT_FORCE])
		json_object_set_new(values, "force", json_true());
	return client_call(client, command, values, result, err);
}

static int remove_disk(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	return remove_device(args, client, "disk-remove", result, err);
}

static int remove_net(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	return remove_device(args, client, "net-remove", result, err);
}

/* ---- networks ---- */

static int list_nets(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	(void)args;
	return client_call(client, "nets", NULL, result, err);
}

static void print_nets(const json_t *result)
{
	const json_t *net;
	size_t i;

	printf("%-16s %-17s %-4s %s\n", "ID", "ADDRESS", "LINK", "NETWORK");
	json_array_foreach(json_object_get(result, "nets"), i, net)
		printf("%-16s %-17s %-4s %s%s\n", json_string_value(json_object_get(net, "id")),
			json_string_value(json_object_get(net, "mac")),
			json_string_value(json_object_get(net, "link")),
			json_string_value(json_object_get(net, "network")),
			json_is_true(json_object_get(net, "leaving")) ? " (leaving)" : "");
}

/* The descriptors that were named, or new ones of the interface; *opened says which. */
static int open_taps(struct net_config *net, bool *opened, struct error *err)
{
	*opened = net->kind == NET_TAP && !net->num_fds;
	for (unsigned int i = 0; i < net->num_fds; i++)
		if (fcntl(net->fds[i], F_GETFD) < 0)
			return error_set(err, -EINVAL, "--net: descriptor %d: %s", net->fds[i],
				strerror(errno));
	/* The VM has other numbers for them. */
	if (!*opened)
		return net->num_fds ? net_tap_check_queues(net->num_fds, net->fds, err) : 0;
	net->num_fds = MAX(net->queues, 1u);
	return net_tap_open_queues(net->ifname, net->num_fds, net->fds, err);
}

/* As many as there are taps, or none: it is slower without, and the VM says so. */
static unsigned int open_vhosts(const struct net_config *net, int *fds)
{
	unsigned int n = 0;

	if (net->kind != NET_TAP || net->vhost == NET_VHOST_OFF ||
		2 * net->num_fds > SERVER_MAX_FDS)
		return 0;
	while (n < net->num_fds && vhost_open(&fds[n], NULL) == 0)
		n++;
	if (n == net->num_fds)
		return n;
	close_all(fds, n);
	return 0;
}

static void name_fds(json_t *values, const char *what, unsigned int from, unsigned int num)
{
	char name[16];

	for (unsigned int i = 0; i < num; i++) {
		snprintf(name, sizeof(name), "%s%u", what, i);
		json_object_set_new(values, name, json_integer(from + i));
	}
}

/* What a card's address is made of, if it is not given. */
static void name_host(json_t *values)
{
	char id[MACHINE_ID_SIZE];

	machine_id_read(id);
	if (*id)
		json_object_set_new(values, "host", json_string(id));
}

static int send_net(struct client *client, const char *spec, const struct net_config *net,
	json_t **result, struct error *err)
{
	json_t *values = json_pack("{s:s}", "net", spec);
	int fds[SERVER_MAX_FDS], rc;
	unsigned int num_vhost = open_vhosts(net, fds + net->num_fds);

	memcpy(fds, net->fds, net->num_fds * sizeof(*fds));
	name_fds(values, "tap", 0, net->num_fds);
	name_fds(values, "vhost", net->num_fds, num_vhost);
	name_host(values);
	rc = call(client, "net-add", values, fds, net->num_fds + num_vhost, result, err);
	close_all(fds + net->num_fds, num_vhost);
	return rc;
}

/* ---- user networks: their process is started here, as the VM may not be able to ---- */

static void print_line(void *opaque, const char *line)
{
	(void)opaque;
	fprintf(stderr, "%s\n", line);
}

static int send_helper(struct client *client, const char *spec, struct helper *helper,
	json_t **result, struct error *err)
{
	json_t *values = json_pack("{s:s}", "net", spec);
	int fds[HELPER_FDS], rc;

	rc = helper_wait(helper, print_line, NULL, err);
	if (rc < 0) {
		json_decref(values);
		return rc;
	}
	json_object_set_new(values, "generation", json_integer(rc));
	name_fds(values, "process", 0, HELPER_FDS);
	helper_descriptors(helper, fds);
	return call(client, "net-add", values, fds, HELPER_FDS, result, err);
}

/* Confined as those are that a VM starts itself. */
static int fork_helper(
	const struct net_slirp_config *slirp, struct helper **helper, struct error *err)
{
	const struct sandbox_config config = {.mode = SANDBOX_DEFAULT};
	struct helper_confine confine;
	struct sandbox *sandbox;
	int rc = sandbox_create(&config, &sandbox, err);

	if (rc < 0)
		return rc;
	confine = sandbox_net_helper(sandbox);
	rc = net_slirp_fork(slirp, &confine, helper, err);
	sandbox_destroy(sandbox);
	return rc;
}

static int add_user(struct client *client, const char *spec, const struct net_config *net,
	json_t **result, struct error *err)
{
	struct net_slirp_config slirp;
	struct helper *helper;
	int rc;

	config_net_slirp(net, &slirp);
	rc = fork_helper(&slirp, &helper, err);
	if (rc < 0)
		return rc;
	rc = send_helper(client, spec, helper, result, err);
	if (rc < 0)
		helper_close(helper);
	else
		helper_release(helper);
	return rc;
}

static int add_net(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	const char *spec = args->operands[DEVICE];
	struct net_config net;
	bool opened = false;
	int rc = config_parse_net(spec, &net, err);

	if (!rc && net.num_fds > SERVER_MAX_FDS)
		rc = error_set(err, -EINVAL, "--net: %u descriptors are too many", net.num_fds);
	if (!rc && net.kind == NET_USER && !net.in_process) {
		rc = add_user(client, spec, &net, result, err);
		free(net.copy);
		return rc;
	}
	if (!rc)
		rc = client_blame(open_taps(&net, &opened, err));
	if (!rc) {
		rc = send_net(client, spec, &net, result, err);
		if (opened)
			close_all(net.fds, net.num_fds);
	}
	free(net.copy);
	return rc;
}

static int link_net(
	const struct client_args *args, struct client *client, json_t **result, struct error *err)
{
	static const char *const words[] = {"down", "up", NULL};
	int up = config_parse_word("bantam net link", args->operands[VALUE], words, err);

	return up < 0 ? up
		      : client_call(client, "net-link",
				json_pack("{s:s, s:b}", "id", args->operands[DEVICE], "up", up),
				result, err);
}

/* ---- verbs ---- */

static const struct action disk_actions[] = {
	{"list", 2, 2, list_disks, print_disks},
	{"add", 3, 3, add_disk, print_id},
	{"remove", 3, 3, remove_disk, NULL},
	{"swap", 4, 4, swap_disk, NULL},
	{"resize", 3, 4, resize_disk, print_size},
	{0},
};

static const struct action net_actions[] = {
	{"list", 2, 2, list_nets, print_nets},
	{"add", 3, 3, add_net, print_id},
	{"remove", 3, 3, remove_net, NULL},
	{"link", 4, 4, link_net, NULL},
	{0},
};

static const struct action *find_action(
	const struct client_args *args, const struct action *actions, struct error *err)
{
	const struct verb_spec *verb = verb_spec(args->verb);

	for (const struct action *a = actions; a->name; a++) {
		if (strcmp(a->name, args->operands[WHAT]))
			continue;
		if (args->num_operands >= a->min && args->num_operands <= a->max)
			return a;
		error_set(err, -EINVAL, "bantam %s %s: too %s operands (`bantam %s --help`)",
			verb->name, a->name, args->num_operands < a->min ? "few" : "many",
			verb->name);
		return NULL;
	}
	config_parse_word("what to do", args->operands[WHAT], verb->operand_choices, err);
	return NULL;
}

static int act(const struct action *action, const struct client_args *args)
{
	struct error err = {""};
	struct client *client;
	json_t *result = NULL;
	int rc = client_connect(args->operands[NAME], &client, &err);

	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	rc = action->run(args, client, &result, &err);
	client_close(client);
	if (rc < 0)
		return client_complain(&err, client_exit_code(rc));
	if (args->given[OPT_JSON])
		client_print_json(json_incref(result));
	else if (action->print)
		action->print(result);
	json_decref(result);
	return EXIT_POWEROFF;
}

static int device_verb(enum verb verb, int argc, char **argv, const struct action *actions)
{
	struct client_args args;
	const struct action *action;
	struct error err = {""};
	int code = client_parse(&args, verb, argc, argv, 2, 4);

	if (code >= 0)
		return code;
	action = find_action(&args, actions, &err);
	return action ? act(action, &args) : client_complain(&err, EXIT_USAGE);
}

int client_disk(int argc, char **argv)
{
	return device_verb(VERB_DISK, argc, argv, disk_actions);
}

int client_net(int argc, char **argv)
{
	return device_verb(VERB_NET, argc, argv, net_actions);
}
