/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam stat`. The VM counts all the time, and tells totals; what it is asked for by two answers
 * is their difference. How much memory its process takes is in a file of /proc, which is opened
 * here: who may look at a process is the host's to say.
 */
#include "stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"

static int open_memory(const struct client *client)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	char path[64];

	if (getsockopt(client_fd(client), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || !peer.pid)
		return -1;
	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)peer.pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int stat_ask(struct client *client, json_t **ret, struct error *err)
{
	const int fd = open_memory(client);
	int rc = client_send(
		client, "stat", fd < 0 ? NULL : json_pack("{s:i}", "memory", 0), &fd, fd >= 0, err);

	if (fd >= 0)
		close(fd);
	return rc < 0 ? rc : client_read(client, ret, err);
}

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "?";
}

static uint64_t sum_queues(const json_t *device, const char *direction, const char *key)
{
	const json_t *queue;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(device, "queues"), i, queue) sum +=
		number(direction ? json_object_get(queue, direction) : queue, key);
	return sum;
}

uint64_t stat_sum(const json_t *stat, const char *devices, const char *direction, const char *key)
{
	const json_t *device;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(stat, devices), i, device) sum +=
		sum_queues(device, direction, key);
	return sum;
}

const char *stat_size(char buf[16], uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	unsigned int unit = 0;

	for (; value >= 1000 && unit < sizeof(units) - 2; unit++)
		value /= 1024;
	snprintf(buf, 16, unit && value < 100 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return buf;
}

/* ---- for a person ---- */

static void print_memory(const json_t *stat)
{
	static const struct {
		const char *key, *what;
	} rows[] = {{"guest", "guest"}, {"rss", "resident"}, {"pss", "proportional"},
		{"private_dirty", "private dirty"}};
	const json_t *memory = json_object_get(stat, "memory");
	char size[16];

	printf("memory ");
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		if (json_object_get(memory, rows[i].key))
			printf(" %s %s", rows[i].what,
				stat_size(size, number(memory, rows[i].key)));
	if (json_object_get(stat, "balloon"))
		printf(" balloon %s", stat_size(size, number(stat, "balloon")));
	putchar('\n');
}

static void print_vcpu(size_t i, json_t *vcpu)
{
	const char *reason;
	json_t *value;

	printf("cpu%-4zu exits", i);
	json_object_foreach(json_object_get(vcpu, "exits"), reason, value)
		printf(" %s %lld", reason, (long long)json_integer_value(value));
	json_object_foreach(vcpu, reason, value) if (json_is_integer(value))
		printf(" %s %lld", reason, (long long)json_integer_value(value));
	else if (json_is_real(value)) printf(" %s %.3fs", reason, json_real_value(value));
	putchar('\n');
}

static void print_limit(const json_t *device)
{
	json_t *limit = json_object_get(device, "limit"), *value;
	const char *key;

	json_object_foreach(limit, key, value)
		printf(" %s=%lld", key, (long long)json_integer_value(value));
	putchar('\n');
}

/* The slowest of the fastest permille, as a bound, over all queues; 0: there are none. */
static uint64_t quantile_us(const json_t *disk, const char *kind, unsigned int permille)
{
	uint64_t count[64] = {0}, all = 0, seen = 0;
	const json_t *queue, *bucket;
	size_t q, i;

	json_array_foreach(json_object_get(disk, "queues"), q, queue)
	{
		const json_t *latency = json_object_get(json_object_get(queue, "latency"), kind);

		json_array_foreach(json_object_get(latency, "below_us_log2"), i, bucket)
		{
			count[MIN(i, (size_t)63)] += (uint64_t)json_integer_value(bucket);
			all += (uint64_t)json_integer_value(bucket);
		}
	}
	for (i = 0; i < 64 && all; i++) {
		seen += count[i];
		if (seen * 1000 >= all * permille)
			return UINT64_C(1) << i;
	}
	return 0;
}

static void print_disk(const json_t *disk)
{
	static const char *const kinds[] = {"reads", "writes", "flushes", "discards"};
	char size[16];

	printf("%-7s %s\n       ", text(disk, "name"), text(disk, "file"));
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		const uint64_t us = quantile_us(disk, kinds[i], 990);

		printf(" %s %llu", kinds[i], (unsigned long long)sum_queues(disk, NULL, kinds[i]));
		if (us)
			printf(" (99%% < %lluus)", (unsigned long long)us);
	}
	printf(" read %s", stat_size(size, sum_queues(disk, NULL, "read_bytes")));
	printf(" written %s", stat_size(size, sum_queues(disk, NULL, "written_bytes")));
	printf(" errors %llu", (unsigned long long)sum_queues(disk, NULL, "errors"));
	print_limit(disk);
}

static void print_net(const json_t *net)
{
	static const char *const directions[] = {"rx", "tx"};
	const bool vhost = json_is_true(json_object_get(net, "vhost"));
	char size[16];

	printf("%-7s %s%s\n       ", text(net, "name"), text(net, "network"),
		vhost ? ", served and counted by the host's kernel" : "");
	for (unsigned int i = 0; i < ARRAY_SIZE(directions) && !vhost; i++) {
		const char *d = directions[i];

		printf(" %s %llu frames %s, %llu dropped", d,
			(unsigned long long)sum_queues(net, d, "frames"),
			stat_size(size, sum_queues(net, d, "bytes")),
			(unsigned long long)sum_queues(net, d, "drops"));
	}
	print_limit(net);
}

static void print_stat(const json_t *stat)
{
	const json_t *device;
	json_t *vcpu;
	size_t i;

	printf("%s: %s, up %.0fs, boot %llu, CPU %.2fs\n", text(stat, "name"), text(stat, "state"),
		real(stat, "uptime"), (unsigned long long)number(stat, "boots"), real(stat, "cpu"));
	print_memory(stat);
	json_array_foreach(json_object_get(stat, "vcpus"), i, vcpu) print_vcpu(i, vcpu);
	json_array_foreach(json_object_get(stat, "disks"), i, device) print_disk(device);
	json_array_foreach(json_object_get(stat, "nets"), i, device) print_net(device);
}

/* ---- the verb ---- */

static void print_as_asked(const struct client_args *args, json_t *stat)
{
	if (args->given[OPT_JSON])
		client_print_json(json_incref(stat));
	else if (args->given[OPT_PROMETHEUS])
		prometheus_print(stat);
	else
		print_stat(stat);
	fflush(stdout);
	json_decref(stat);
}

static void sleep_ms(uint64_t ms)
{
	struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000 * NSEC_PER_MSEC)};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		continue;
}

static int stat_one(const struct client_args *args, const char *name, struct client *client)
{
	const bool watch = args->given[OPT_WATCH] || args->given[OPT_INTERVAL];
	struct error err = {""};
	uint64_t ms = 1000;
	json_t *stat;
	int rc = 0;

	(void)name;
	if (args->given[OPT_INTERVAL])
		rc = client_parse_interval(args->values[OPT_INTERVAL], &ms, &err);
	if (rc < 0)
		return client_complain(&err, EXIT_USAGE);
	for (;;) {
		rc = stat_ask(client, &stat, &err);
		if (rc < 0)
			return client_complain(&err, client_exit_code(rc));
		print_as_asked(args, stat);
		if (!watch)
			return EXIT_POWEROFF;
		sleep_ms(ms);
		if (!args->given[OPT_JSON])
			putchar('\n');
	}
}

int client_stat(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_STAT, argc, argv, 1, 1);

	return code >= 0 ? code : client_for_each(&args, stat_one);
}
