/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands about figures: `stat` tells what was counted (vm/machine/machine_stats.c), `limit` how
 * much a disk or card may do. Nothing is kept for them, and nobody who does not ask pays.
 */
#include "vm_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vm/core/error.h"
#include "vm/machine/machine.h"

/* ---- stat ---- */

enum { STAT_MEMORY };

/* /proc/PID/smaps_rollup of this process, opened by who asks. */
const struct control_field vm_stat_fields[VM_STAT_FIELDS] = {
	[STAT_MEMORY] = {"memory", CONTROL_FD, false},
};

/* A vCPU that is in the guest fetches its descriptor in less, unless the host is busy. */
#define PATIENCE_NS (20 * NSEC_PER_MSEC)

static void put_number(void *job, const char *key, uint64_t value)
{
	control_put_number(job, key, value);
}

static void put_real(void *job, const char *key, double value)
{
	control_put_real(job, key, value);
}

static void put_text(void *job, const char *key, const char *value)
{
	control_put_text(job, key, value);
}

static void put_flag(void *job, const char *key, bool value)
{
	control_put_flag(job, key, value);
}

static void open_value(void *opaque, const char *key, bool list)
{
	struct control_job *job = opaque;

	if (list)
		control_open_list(job, key);
	else
		control_open(job, key);
}

static void close_value(void *job)
{
	control_close(job);
}

/*
 * Inside the sandbox this process is nobody else's to look into, so the file may be missing; its
 * own directory is open then (vm_confine.c).
 */
static int open_memory(const struct vm *vm)
{
	char path[64];

	if (vm->tasks_fd < 0)
		return -1;
	snprintf(path, sizeof(path), "%ld/smaps_rollup", (long)getpid());
	return openat(vm->tasks_fd, path, O_RDONLY | O_CLOEXEC);
}

/* "Rss:   1234 kB" and so on; the file is not long. */
static void put_memory(struct control_job *job, int fd, uint64_t guest)
{
	static const struct {
		const char *line, *key;
	} lines[] = {{"Rss:", "rss"}, {"Pss:", "pss"}, {"Private_Dirty:", "private_dirty"}};
	char text[4096];
	const ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);

	text[MAX(n, 0)] = '\0';
	control_open(job, "memory");
	control_put_number(job, "guest", guest);
	for (unsigned int i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *at = strstr(text, lines[i].line);
		unsigned long long kib;

		if (at && sscanf(at + strlen(lines[i].line), "%llu", &kib) == 1)
			control_put_number(job, lines[i].key, kib * KiB);
	}
	control_close(job);
}

static double cpu_seconds(void)
{
	struct timespec ts = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(void *opaque)
{
	struct control_job *job = opaque;
	const struct vm *vm = job->state;
	const struct stats_sink sink = {.number = put_number,
		.real = put_real,
		.text = put_text,
		.flag = put_flag,
		.open = open_value,
		.close = close_value,
		.opaque = job};

	const int memory =
		job->args[STAT_MEMORY].fd < 0 ? open_memory(vm) : job->args[STAT_MEMORY].fd;

	control_put_real(job, "time",
		(double)clock_realtime_ns(timer_queue_clock(vm->timers)) / (double)NSEC_PER_SEC);
	vm_put_status(job, vm);
	control_put_real(job, "cpu", cpu_seconds());
	put_memory(job, memory, vm->config->memory);
	if (memory >= 0 && memory != job->args[STAT_MEMORY].fd)
		close(memory);
	machine_stats(vm->machine, &sink);
	control_done(job);
}

void vm_stat_start(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	job->state = vm;
	if (machine_want_stats(vm->machine))
		report(job);
	else
		control_after(job, PATIENCE_NS, report);
}

/* ---- limit ---- */

enum { ARG_DEVICE, ARG_DIRECTION, ARG_OFF, ARG_VALUES };

static_assert(ARG_VALUES + NUM_LIMIT_VALUES == (int)VM_LIMIT_FIELDS, "a field for each");

const struct control_field vm_limit_fields[VM_LIMIT_FIELDS] = {
	[ARG_DEVICE] = {"device", CONTROL_TEXT, true},
	[ARG_DIRECTION] = {"direction", CONTROL_TEXT, false}, /* of a card: "rx", "tx" */
	[ARG_OFF] = {"off", CONTROL_FLAG, false},
	[ARG_VALUES + LIMIT_BANDWIDTH] = {"bandwidth", CONTROL_NUMBER, false},
	[ARG_VALUES + LIMIT_BANDWIDTH_BURST] = {"bandwidth_burst", CONTROL_NUMBER, false},
	[ARG_VALUES + LIMIT_BANDWIDTH_ONCE] = {"bandwidth_once", CONTROL_NUMBER, false},
	[ARG_VALUES + LIMIT_OPS] = {"ops", CONTROL_NUMBER, false},
	[ARG_VALUES + LIMIT_OPS_BURST] = {"ops_burst", CONTROL_NUMBER, false},
	[ARG_VALUES + LIMIT_OPS_ONCE] = {"ops_once", CONTROL_NUMBER, false},
};

static int parse_direction(const struct vm *vm, const struct control_job *job,
	enum limit_direction *direction, struct error *err)
{
	const struct control_value *arg = &job->args[ARG_DIRECTION];
	const bool rx = arg->given && !strcmp(arg->text, "rx");
	const bool tx = arg->given && !strcmp(arg->text, "tx");
	const struct limit_config nothing = {0};
	struct limit_config now;
	int rc;

	*direction = tx ? LIMIT_TX : LIMIT_RX;
	if (machine_is_card(vm->machine, job->args[ARG_DEVICE].text) ? rx || tx : !arg->given)
		return 0;
	/* That there is no such device matters more. */
	rc = machine_limit(
		vm->machine, job->args[ARG_DEVICE].text, LIMIT_RX, &nothing, false, &now, err);
	return rc < 0 ? rc
		      : error_set(err, -EINVAL, "direction: a card has rx and tx, a disk has none");
}

void vm_limit_start(struct control_job *job, void *opaque)
{
	struct limit_config change = {0}, now;
	enum limit_direction direction;
	struct vm *vm = opaque;
	struct error err;
	int rc = parse_direction(vm, job, &direction, &err);

	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++) {
		change.given[v] = job->args[ARG_VALUES + v].given;
		change.value[v] = job->args[ARG_VALUES + v].number;
	}
	if (!rc)
		rc = machine_limit(vm->machine, job->args[ARG_DEVICE].text, direction, &change,
			job->args[ARG_OFF].number, &now, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++)
		if (now.value[v])
			control_put_number(job, vm_limit_fields[ARG_VALUES + v].name, now.value[v]);
	control_done(job);
}
