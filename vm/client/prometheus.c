/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures as Prometheus reads them. All samples of a metric have to stand together, so what is gone
 * over is a table of metrics, and for each the devices.
 */
#include <stdio.h>

#include "stat.h"

struct metric {
	const char *name, *help;
	const char *key;       /* of an object's value */
	const char *label;     /* a pair beside those of the device, or "" */
	const char *direction; /* the object in a card's queue */
	bool follows;	       /* is of the metric before it, with another label */
};

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP bantam_%s %s\n# TYPE bantam_%s %s\n", name, help, name, type);
}

static void sample(const char *name, const json_t *stat, const char *labels, const json_t *value)
{
	if (!value)
		return;
	printf("bantam_%s{vm=\"%s\"%s} ", name, json_string_value(json_object_get(stat, "name")),
		labels);
	if (json_is_integer(value))
		printf("%lld\n", (long long)json_integer_value(value));
	else
		printf("%.9g\n", json_number_value(value));
}

/* ---- the VM ---- */

static void print_vm(const json_t *stat)
{
	static const struct {
		const char *name, *type, *help, *key;
	} metrics[] = {
		{"uptime_seconds", "gauge", "Time since the start.", "uptime"},
		{"boots_total", "counter", "Boots of the guest.", "boots"},
		{"cpu_seconds_total", "counter", "CPU time of the VM's process.", "cpu"},
		{"balloon_bytes", "gauge", "Memory in the balloon.", "balloon"},
	};
	static const char *const kinds[] = {"guest", "rss", "pss", "private_dirty"};
	char labels[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(metrics); i++) {
		if (!json_object_get(stat, metrics[i].key))
			continue;
		head(metrics[i].name, metrics[i].type, metrics[i].help);
		sample(metrics[i].name, stat, "", json_object_get(stat, metrics[i].key));
	}
	head("memory_bytes", "gauge", "Memory of the guest and of the VM's process.");
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(labels, sizeof(labels), ",kind=\"%s\"", kinds[i]);
		sample("memory_bytes", stat, labels,
			json_object_get(json_object_get(stat, "memory"), kinds[i]));
	}
}

/* ---- vCPUs ---- */

static void print_exits(const json_t *stat)
{
	const char *reason;
	json_t *vcpu, *value;
	char labels[96];
	size_t i;

	head("vcpu_exits_total", "counter", "Exits to Bantam.");
	json_array_foreach(json_object_get(stat, "vcpus"), i, vcpu)
		json_object_foreach(json_object_get(vcpu, "exits"), reason, value)
	{
		snprintf(labels, sizeof(labels), ",vcpu=\"%zu\",reason=\"%s\"", i, reason);
		sample("vcpu_exits_total", stat, labels, value);
	}
}

static void print_vcpus(const json_t *stat)
{
	static const struct metric metrics[] = {
		{"vcpu_kvm_exits_total", "Exits to the host's kernel.", "kvm_exits", "", NULL,
			false},
		{"vcpu_halts_total", "Times the vCPU halted.", "halts", "", NULL, false},
		{"vcpu_interrupts_total", "Interrupts given to it.", "interrupts", "", NULL, false},
		{"vcpu_halted_seconds_total", "Time asleep.", "halted", "", NULL, false},
		{"vcpu_steal_seconds_total", "Time without a CPU.", "steal", "", NULL, false},
	};
	char labels[64];
	json_t *vcpu;
	size_t i;

	print_exits(stat);
	for (const struct metric *m = metrics; m < metrics + ARRAY_SIZE(metrics); m++) {
		head(m->name, "counter", m->help);
		json_array_foreach(json_object_get(stat, "vcpus"), i, vcpu)
		{
			snprintf(labels, sizeof(labels), ",vcpu=\"%zu\"", i);
			sample(m->name, stat, labels, json_object_get(vcpu, m->key));
		}
	}
}

/* ---- devices ---- */

static void print_device_metric(
	const json_t *stat, const char *devices, const char *what, const struct metric *m)
{
	json_t *device, *queue;
	char labels[128];
	size_t i, q;

	if (!m->follows)
		head(m->name, "counter", m->help);
	json_array_foreach(json_object_get(stat, devices), i, device)
		json_array_foreach(json_object_get(device, "queues"), q, queue)
	{
		snprintf(labels, sizeof(labels), ",%s=\"%s%zu\",queue=\"%zu\"%s", what, what, i, q,
			m->label);
		sample(m->name, stat, labels,
			json_object_get(m->direction ? json_object_get(queue, m->direction) : queue,
				m->key));
	}
}

static void print_latency(const json_t *stat, const char *labels, json_t *latency)
{
	json_t *buckets = json_object_get(latency, "below_us_log2"), *bucket;
	json_int_t below = 0;
	char more[192];
	size_t i;

	json_array_foreach(buckets, i, bucket)
	{
		json_t *sum = json_integer(below += json_integer_value(bucket));

		/* The last of all has no bound. */
		if (i + 1 < 28) {
			snprintf(more, sizeof(more), "%s,le=\"%.9g\"", labels,
				(double)(UINT64_C(1) << i) / 1e6);
			sample("disk_latency_seconds_bucket", stat, more, sum);
		}
		json_decref(sum);
	}
	latency = json_pack("{s:f, s:I}", "sum",
		json_number_value(json_object_get(latency, "sum_us")) / 1e6, "count", below);
	snprintf(more, sizeof(more), "%s,le=\"+Inf\"", labels);
	sample("disk_latency_seconds_bucket", stat, more, json_object_get(latency, "count"));
	sample("disk_latency_seconds_sum", stat, labels, json_object_get(latency, "sum"));
	sample("disk_latency_seconds_count", stat, labels, json_object_get(latency, "count"));
	json_decref(latency);
}

static void print_latencies(const json_t *stat)
{
	json_t *disk, *queue, *latency;
	const char *kind;
	char labels[128];
	size_t i, q;

	head("disk_latency_seconds", "histogram", "From the queue to the end of a request.");
	json_array_foreach(json_object_get(stat, "disks"), i, disk)
		json_array_foreach(json_object_get(disk, "queues"), q, queue)
			json_object_foreach(json_object_get(queue, "latency"), kind, latency)
	{
		snprintf(labels, sizeof(labels), ",disk=\"disk%zu\",queue=\"%zu\",kind=\"%s\"", i,
			q, kind);
		print_latency(stat, labels, latency);
	}
}

static const struct metric disk_metrics[] = {
	{"disk_requests_total", "Requests done.", "reads", ",kind=\"reads\"", NULL, false},
	{"disk_requests_total", "", "writes", ",kind=\"writes\"", NULL, true},
	{"disk_requests_total", "", "flushes", ",kind=\"flushes\"", NULL, true},
	{"disk_requests_total", "", "discards", ",kind=\"discards\"", NULL, true},
	{"disk_read_bytes_total", "Bytes read.", "read_bytes", "", NULL, false},
	{"disk_written_bytes_total", "Bytes written.", "written_bytes", "", NULL, false},
	{"disk_errors_total", "Requests that failed.", "errors", "", NULL, false},
	{"disk_kicks_total", "Notifications by the guest.", "kicks", "", NULL, false},
	{"disk_interrupts_total", "Interrupts of the guest.", "interrupts", "", NULL, false},
};

#define BOTH(metric, about, value)                                                                 \
	{metric, about, value, ",direction=\"rx\"", "rx", false},                                  \
	{                                                                                          \
		metric, "", value, ",direction=\"tx\"", "tx", true                                 \
	}

static const struct metric net_metrics[] = {
	BOTH("net_frames_total", "Frames moved.", "frames"),
	BOTH("net_bytes_total", "Bytes moved.", "bytes"),
	BOTH("net_drops_total", "Frames dropped.", "drops"),
	BOTH("net_kicks_total", "Notifications by the guest.", "kicks"),
	BOTH("net_interrupts_total", "Interrupts of the guest.", "interrupts"),
};

void prometheus_print(const json_t *stat)
{
	print_vm(stat);
	print_vcpus(stat);
	for (unsigned int i = 0; i < ARRAY_SIZE(disk_metrics); i++)
		print_device_metric(stat, "disks", "disk", &disk_metrics[i]);
	print_latencies(stat);
	for (unsigned int i = 0; i < ARRAY_SIZE(net_metrics); i++)
		print_device_metric(stat, "nets", "net", &net_metrics[i]);
}
