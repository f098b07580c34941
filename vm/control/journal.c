/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line goes out whole or not at all, but for its rest, which is kept and goes out before the next
 * one: a reader never finds two halves of different lines. A descriptor that somebody handed in may
 * be a blocking one, which is not ours to change; so it is asked by poll first, and a pipe that
 * says yes takes PIPE_BUF bytes, which is more than an event has.
 */
#include "vm/control/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/control/control.h"
#include "vm/core/log.h"
#include "wire.h"

struct out {
	const char *what; /* for the log */
	int fd;		  /* -1: there is none, or it is of no use any more */
	char *rest;	  /* of a line, or NULL */
	size_t rest_len;
	bool lossy; /* it was said that lines are left out */
};

struct journal {
	struct journal_config config;
	struct out events, metrics;
	struct timer timer;
	const struct control_command *stat;
	struct control_job *job; /* a stat under way, or NULL */
	struct wire_result result;
};

/* ---- output ---- */

static void give_up(struct journal *journal, struct out *out, int error)
{
	log_msg(journal->config.log, LOG_WARN, "%s: %s; no more is written", out->what,
		strerror(error));
	close(out->fd);
	out->fd = -1;
	free(out->rest);
	out->rest = NULL;
}

static bool writable(const struct out *out)
{
	struct pollfd pfd = {.fd = out->fd, .events = POLLOUT};

	return poll(&pfd, 1, 0) > 0;
}

/* As much as there is room for: how much, or -errno. */
static ssize_t put(const struct out *out, const char *text, size_t len)
{
	size_t done = 0;

	while (done < len && writable(out)) {
		const ssize_t n = write(out->fd, text + done, len - done);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		done += (size_t)MAX(n, (ssize_t)0);
	}
	return (ssize_t)done;
}

/* False: the rest of an earlier line is still there. */
static bool put_rest(struct journal *journal, struct out *out)
{
	ssize_t n;

	if (!out->rest)
		return true;
	n = put(out, out->rest, out->rest_len);
	if (n < 0) {
		give_up(journal, out, (int)-n);
		return false;
	}
	out->rest_len -= (size_t)n;
	memmove(out->rest, out->rest + n, out->rest_len);
	if (out->rest_len)
		return false;
	free(out->rest);
	out->rest = NULL;
	return true;
}

static void leave_out(struct journal *journal, struct out *out)
{
	if (!out->lossy && out->fd >= 0)
		log_msg(journal->config.log, LOG_WARN,
			"%s: its reader is too slow: lines are left out", out->what);
	out->lossy = true;
}

static void put_text(struct journal *journal, struct out *out, const char *text, size_t len)
{
	const ssize_t n = put(out, text, len);

	if (n < 0) {
		give_up(journal, out, (int)-n);
	} else if (!n) {
		leave_out(journal, out);
	} else if ((size_t)n < len) {
		out->rest_len = len - (size_t)n;
		out->rest = malloc(out->rest_len);
		if (out->rest)
			memcpy(out->rest, text + n, out->rest_len);
		else
			give_up(journal, out, ENOMEM);
	}
}

/* The line is dropped. */
static void put_line(struct journal *journal, struct out *out, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (text && out->fd >= 0) {
		const size_t len = strlen(text);

		text[len] = '\n'; /* in the place of its end */
		if (put_rest(journal, out))
			put_text(journal, out, text, len + 1);
		else
			leave_out(journal, out);
	}
	free(text);
}

/* ---- events ---- */

static void on_event(void *opaque, const struct control_event *event)
{
	struct journal *journal = opaque;
	json_t *json = json_pack("{s:s, s:f}", "event", control_event_name(event->kind), "time",
		(double)event->realtime_ns / (double)NSEC_PER_SEC);

	if (event->cause)
		json_object_set_new(json, "cause", wire_text(event->cause));
	if (event->device)
		json_object_set_new(json, "device", wire_text(event->device));
	if (event->kind == CONTROL_ENDED)
		json_object_set_new(json, "status", json_integer(event->status));
	put_line(journal, &journal->events, json);
}

/* ---- figures ---- */

static void result_flag(void *opaque, const char *key, bool value)
{
	wire_put(&((struct journal *)opaque)->result, key, json_boolean(value));
}

static void result_number(void *opaque, const char *key, uint64_t value)
{
	wire_put(&((struct journal *)opaque)->result, key,
		json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX)));
}

static void result_real(void *opaque, const char *key, double value)
{
	wire_put(&((struct journal *)opaque)->result, key, json_real(value));
}

static void result_text(void *opaque, const char *key, const char *value)
{
	wire_put(&((struct journal *)opaque)->result, key, wire_text(value));
}

static void result_open(void *opaque, const char *key, bool list)
{
	wire_open(&((struct journal *)opaque)->result, key, list);
}

static void result_close(void *opaque)
{
	wire_close(&((struct journal *)opaque)->result);
}

/* `stat` answers once. */
static void result_emit(void *opaque)
{
	json_decref(wire_take(&((struct journal *)opaque)->result));
}

static void result_done(void *opaque, int code, const char *text)
{
	struct journal *journal = opaque;
	json_t *json = wire_take(&journal->result);

	(void)text;
	journal->job = NULL;
	if (code < 0)
		json_decref(json);
	else
		put_line(journal, &journal->metrics, json);
}

static const struct control_sink sink = {
	.put_flag = result_flag,
	.put_number = result_number,
	.put_real = result_real,
	.put_text = result_text,
	.open = result_open,
	.close = result_close,
	.emit = result_emit,
	.done = result_done,
};

static void arm(struct journal *journal)
{
	const struct clock *clock = journal->config.clock;

	clock_arm(clock, &journal->timer, clock_monotonic_ns(clock) + journal->config.interval_ns);
}

/* The command's first argument is the file that tells the memory. */
static void ask(void *opaque)
{
	struct journal *journal = opaque;
	struct control_value args[CONTROL_MAX_FIELDS] = {{.fd = -1}};

	arm(journal);
	if (journal->job || journal->metrics.fd < 0)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(args); i++)
		args[i].fd = -1;
	if (journal->config.memory_fd >= 0)
		args[0].fd = fcntl(journal->config.memory_fd, F_DUPFD_CLOEXEC, 0);
	args[0].given = args[0].fd >= 0;
	journal->job = control_submit(journal->config.control, journal->stat, args, &sink, journal);
}

/* ---- life ---- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

int journal_create(const struct journal_config *config, struct journal **ret)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal) {
		close_fd(config->events_fd);
		close_fd(config->metrics_fd);
		close_fd(config->memory_fd);
		return -ENOMEM;
	}
	journal->config = *config;
	journal->events = (struct out){.what = "--events", .fd = config->events_fd};
	journal->metrics = (struct out){.what = "--metrics", .fd = config->metrics_fd};
	journal->stat = control_find(config->control, "stat");
	journal->timer = (struct timer){.fn = ask, .opaque = journal};
	if (config->events_fd >= 0)
		control_listen(config->control, on_event, journal);
	if (config->metrics_fd >= 0 && journal->stat)
		arm(journal);
	*ret = journal;
	return 0;
}

void journal_destroy(struct journal *journal)
{
	if (!journal)
		return;
	clock_disarm_sync(journal->config.clock, &journal->timer);
	close_fd(journal->events.fd);
	close_fd(journal->metrics.fd);
	close_fd(journal->config.memory_fd);
	free(journal->events.rest);
	free(journal->metrics.rest);
	free(journal);
}
