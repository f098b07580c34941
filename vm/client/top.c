/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam top`: all running VMs of the user, the busiest first. In a terminal it is drawn anew
 * every so often until q or a signal, on the terminal's other screen, so that what was there comes
 * back. Elsewhere, a table is printed once.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "stat.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/control/registry.h"

/* One that hangs must not hold up the others for long. */
enum { PATIENCE_MS = 500, MAX_VMS = 1024, ONCE_MS = 500 };

struct row {
	char name[REGISTRY_MAX_NAME + 1];
	json_t *now, *before; /* NULL: it did not answer */
	double cpu;	      /* of one host CPU, per cent */
};

struct table {
	struct row rows[MAX_VMS];
	unsigned int num;
};

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void clear(struct table *table)
{
	for (unsigned int i = 0; i < table->num; i++) {
		json_decref(table->rows[i].now);
		json_decref(table->rows[i].before);
	}
	table->num = 0;
}

/* ---- asking ---- */

static json_t *ask(const char *name)
{
	struct client *client;
	struct error err;
	json_t *stat = NULL;

	if (client_connect_within(name, PATIENCE_MS, &client, &err) < 0)
		return NULL;
	if (stat_ask(client, &stat, &err) != 0)
		stat = NULL;
	client_close(client);
	return stat;
}

static void add(void *opaque, const char *name)
{
	struct table *table = opaque;

	if (table->num < MAX_VMS)
		snprintf(table->rows[table->num++].name, sizeof(table->rows[0].name), "%s", name);
}

static const struct row *find(const struct table *table, const char *name)
{
	for (unsigned int i = 0; i < table->num; i++)
		if (!strcmp(table->rows[i].name, name))
			return &table->rows[i];
	return NULL;
}

static double seconds_between(const struct row *row)
{
	return real(row->now, "time") - real(row->before, "time");
}

/* A VM of the same name may be another one by now. */
static bool comparable(const struct row *row)
{
	return row->now && row->before && seconds_between(row) > 0 &&
	       json_equal(json_object_get(row->now, "pid"), json_object_get(row->before, "pid"));
}

static int busiest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->cpu != y->cpu)
		return x->cpu < y->cpu ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* Fills table with what is running now; before is the table of the last time. */
static int look(struct table *table, const struct table *before, struct error *err)
{
	int rc;

	memset(table, 0, sizeof(*table));
	rc = registry_each(add, table, err);
	for (unsigned int i = 0; rc >= 0 && i < table->num; i++) {
		struct row *row = &table->rows[i];
		const struct row *old = find(before, row->name);

		row->now = ask(row->name);
		row->before = old ? json_incref(old->now) : NULL;
		if (comparable(row))
			row->cpu = 100 * (real(row->now, "cpu") - real(row->before, "cpu")) /
				   seconds_between(row);
	}
	qsort(table->rows, table->num, sizeof(table->rows[0]), busiest_first);
	return rc;
}

/* ---- printing ---- */

/* So much a second. A reboot sets a machine's counters to 0. */
static uint64_t rate(
	const struct row *row, const char *devices, const char *direction, const char *key)
{
	uint64_t now, before;

	if (!comparable(row))
		return 0;
	now = stat_sum(row->now, devices, direction, key);
	before = stat_sum(row->before, devices, direction, key);
	return now < before ? 0 : (uint64_t)((double)(now - before) / seconds_between(row));
}

static const char *rate_size(char buf[16], const struct row *row, const char *devices,
	const char *direction, const char *key)
{
	return stat_size(buf, rate(row, devices, direction, key));
}

static void print_row(const struct row *row, const char *end)
{
	const json_t *memory = json_object_get(row->now, "memory");
	char b[5][16];

	if (!row->now) {
		printf("%-20.20s %8s %-8s%s", row->name, "-", "busy", end);
		return;
	}
	printf("%-20.20s %8lld %-8s %6.1f %7s %7s %7s %7s %7s%s", row->name,
		(long long)json_integer_value(json_object_get(row->now, "pid")),
		json_string_value(json_object_get(row->now, "state")), row->cpu,
		stat_size(b[0], (uint64_t)json_integer_value(json_object_get(memory, "pss"))),
		rate_size(b[1], row, "disks", NULL, "read_bytes"),
		rate_size(b[2], row, "disks", NULL, "written_bytes"),
		rate_size(b[3], row, "nets", "rx", "bytes"),
		rate_size(b[4], row, "nets", "tx", "bytes"), end);
}

static void print_table(const struct table *table, unsigned int lines, const char *end)
{
	printf("%-20s %8s %-8s %6s %7s %7s %7s %7s %7s%s", "NAME", "PID", "STATE", "CPU%", "MEMORY",
		"READ/s", "WRITE/s", "RX/s", "TX/s", end);
	for (unsigned int i = 0; i < table->num && i + 1 < lines; i++)
		print_row(&table->rows[i], end);
}

static int print_json(const struct table *table)
{
	for (unsigned int i = 0; i < table->num; i++) {
		const struct row *row = &table->rows[i];
		json_t *json =
			row->now ? json_copy(row->now)
				 : json_pack("{s:s, s:s}", "name", row->name, "state", "busy");

		if (row->now)
			json_object_set_new(json, "cpu_percent", json_real(row->cpu));
		client_print_json(json);
	}
	return EXIT_POWEROFF;
}

/* ---- the terminal ---- */

/* Signals that would end it come as a descriptor, so that the terminal is restored. -errno. */
static int open_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd >= 0)
		sigprocmask(SIG_BLOCK, &set, NULL);
	return fd < 0 ? -errno : fd;
}

/* True when it is to end: q, a signal, no terminal any more. */
static bool wait_for_end(uint64_t ms, int signal_fd)
{
	struct pollfd pfds[] = {
		{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
	char key = 0;

	if (poll(pfds, ARRAY_SIZE(pfds), (int)MIN(ms, UINT64_C(86400000))) <= 0)
		return false;
	if (pfds[1].revents)
		return true;
	return read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q';
}

static unsigned int screen_lines(void)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row < 3)
		return 24;
	return size.ws_row;
}

static void draw(const struct table *table)
{
	fputs("\033[H", stdout);
	print_table(table, screen_lines() - 1, "\033[K\r\n");
	printf("\033[J%u VMs; q quits", table->num);
	fflush(stdout);
}

static int live(uint64_t ms, struct table *table, struct table *next, struct error *err)
{
	struct termios before, raw;
	const int signal_fd = open_signals();
	int rc;

	if (signal_fd < 0)
		return error_set_errno(err, signal_fd, "signals");
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return error_set_errno(err, -errno, "the terminal");
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout);
	do {
		rc = look(next, table, err);
		clear(table);
		memcpy(table, next, sizeof(*table));
		if (rc >= 0)
			draw(table);
	} while (rc >= 0 && !wait_for_end(ms, signal_fd));
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	close(signal_fd);
	return rc;
}

/* Two looks, as CPU time is a difference. */
static int once(const struct client_args *args, uint64_t ms, struct table *table,
	struct table *next, struct error *err)
{
	const struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000 * NSEC_PER_MSEC)};
	int rc = look(next, table, err);

	if (rc < 0)
		return rc;
	memcpy(table, next, sizeof(*table));
	nanosleep(&ts, NULL);
	rc = look(next, table, err);
	clear(table);
	memcpy(table, next, sizeof(*table));
	if (rc >= 0 && args->given[OPT_JSON])
		print_json(table);
	else if (rc >= 0)
		print_table(table, MAX_VMS + 1, "\n");
	return rc;
}

int client_top(int argc, char **argv)
{
	struct client_args args;
	struct error err = {""};
	struct table *tables;
	uint64_t ms = 0;
	int code = client_parse(&args, VERB_TOP, argc, argv, 0, 0), rc = 0;
	bool terminal;

	if (code >= 0)
		return code;
	if (args.given[OPT_INTERVAL])
		rc = client_parse_interval(args.values[OPT_INTERVAL], &ms, &err);
	if (rc < 0)
		return client_complain(&err, EXIT_USAGE);
	terminal = !args.given[OPT_JSON] && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!ms)
		ms = terminal ? 2000 : ONCE_MS;
	tables = calloc(2, sizeof(*tables));
	if (!tables) {
		error_set_errno(&err, -ENOMEM, "bantam top");
		return client_complain(&err, EXIT_HOST);
	}
	rc = terminal ? live(ms, &tables[0], &tables[1], &err)
		      : once(&args, ms, &tables[0], &tables[1], &err);
	clear(&tables[0]);
	free(tables);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : EXIT_POWEROFF;
}
