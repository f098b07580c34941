/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever stdin and stdout are. If stdin is a terminal: raw mode, a guard process, and Ctrl-A
 * commands; pipes, files and sockets pass every byte as it is. Either may be closed, or end, or
 * fail, and the other goes on.
 *
 * A terminal is shared out by a shell: while another job has it (bantam was started with &, or
 * stopped), it is neither read nor set. A timer asks for its return, as bash's fg sends no SIGCONT
 * to a job that runs.
 *
 * What the two halves call runs on the loop's thread, and so do suspend, resume and resized; only
 * the output half is used by other threads, under its own lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/char/char.h"
#include "input.h"
#include "output.h"
#include "terminal.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

#define FOREGROUND_CHECK_NS (NSEC_PER_SEC / 2)

struct stdio {
	struct chardev dev;
	struct char_config config;
	struct char_input in;
	struct char_output out;
	struct log_limit limit;
	bool has_terminal;
	struct terminal terminal; /* stdin's */
	struct timer foreground;
	int size_fd; /* the terminal that is written to, or else read; -1: none */
	/*
	 * A terminal is written to, and its last line has not ended: the log's, which begins a new
	 * one then, or if that goes elsewhere our own. NULL: no terminal.
	 */
	_Atomic bool *midline;
	_Atomic bool own_midline;
};

/* ---- the terminal ---- */

static void set_log_raw(struct stdio *stdio, bool raw)
{
	struct log *log = stdio->config.log;

	if (log && isatty(log->fd))
		atomic_store(&log->raw_tty, raw);
}

/* Takes the terminal if it is ours, and else waits for it. */
static void take_terminal(struct stdio *stdio)
{
	const struct clock *clock = stdio->config.clock;
	bool ours = terminal_is_ours(&stdio->terminal);
	int rc = 0;

	if (ours) {
		rc = terminal_set_raw(&stdio->terminal);
	} else {
		if (stdio->terminal.raw)
			terminal_forget(&stdio->terminal);
		clock_arm(
			clock, &stdio->foreground, clock_monotonic_ns(clock) + FOREGROUND_CHECK_NS);
	}
	set_log_raw(stdio, ours && !rc);
	char_input_pause(&stdio->in, !ours);
	if (rc < 0)
		log_msg(stdio->config.log, LOG_WARN, "the terminal cannot be set to raw mode: %s",
			strerror(-rc));
}

static void on_foreground_timer(void *opaque)
{
	take_terminal(opaque);
}

/* A shell's prompt shall stand on a line of its own. */
static void end_line(struct stdio *stdio)
{
	static const uint8_t end[] = {'\r', '\n'};

	if (stdio->midline && atomic_exchange(stdio->midline, false))
		char_output_write(&stdio->out, end, sizeof(end));
}

static struct stdio *with_terminal(struct chardev *dev)
{
	struct stdio *stdio = dev ? container_of(dev, struct stdio, dev) : NULL;

	return stdio && stdio->has_terminal ? stdio : NULL;
}

void char_stdio_suspend(struct chardev *dev)
{
	struct stdio *stdio = with_terminal(dev);

	if (!stdio)
		return;
	char_output_flush(&stdio->out);
	clock_disarm(stdio->config.clock, &stdio->foreground);
	char_input_pause(&stdio->in, true);
	terminal_restore(&stdio->terminal);
	set_log_raw(stdio, false);
}

void char_stdio_resume(struct chardev *dev)
{
	struct stdio *stdio = with_terminal(dev);

	if (stdio)
		take_terminal(stdio);
	char_stdio_resized(dev);
}

void char_stdio_resized(struct chardev *dev)
{
	if (dev)
		chardev_notify_event(dev, CHARDEV_RESIZED);
}

bool char_stdio_is_over(struct chardev *dev)
{
	const struct stdio *stdio = container_of(dev, struct stdio, dev);

	return stdio->in.stream.fd < 0 && !stdio->in.count && !stdio->in.num_breaks;
}

/* ---- output ---- */

static size_t stdio_write(struct chardev *dev, const uint8_t *buf, size_t len)
{
	struct stdio *stdio = container_of(dev, struct stdio, dev);
	size_t done = char_output_write(&stdio->out, buf, len);

	if (stdio->midline && done)
		atomic_store_explicit(stdio->midline, buf[done - 1] != '\n', memory_order_relaxed);
	return done;
}

/* ---- called by the halves ---- */

static void on_key(void *opaque, enum escape_key key)
{
	static const enum console_command commands[] = {
		[ESCAPE_QUIT] = CONSOLE_QUIT,
		[ESCAPE_POWER_BUTTON] = CONSOLE_POWER_BUTTON,
		[ESCAPE_RESET] = CONSOLE_RESET,
		[ESCAPE_SUSPEND] = CONSOLE_SUSPEND,
		[ESCAPE_DETACH] = CONSOLE_DETACH,
	};
	struct stdio *stdio = opaque;
	const char *help = stdio->config.help ? stdio->config.help : escape_help;

	switch (key) {
	case ESCAPE_NONE:
		break;
	case ESCAPE_BREAK:
		char_input_break(&stdio->in);
		break;
	case ESCAPE_HELP:
		stdio_write(&stdio->dev, (const uint8_t *)help, strlen(help));
		break;
	case ESCAPE_QUIT:
	case ESCAPE_POWER_BUTTON:
	case ESCAPE_RESET:
	case ESCAPE_SUSPEND:
	case ESCAPE_DETACH:
		if (stdio->config.command)
			stdio->config.command(stdio->config.opaque, commands[key]);
		break;
	}
}

static void on_ended(void *opaque, int error)
{
	struct stdio *stdio = opaque;

	/* Another job has got the terminal between poll and read. */
	if (error == -EIO && stdio->has_terminal && !terminal_is_ours(&stdio->terminal)) {
		take_terminal(stdio);
		return;
	}
	char_input_close(&stdio->in);
	if (error)
		log_msg(stdio->config.log, LOG_WARN, "standard input: %s; no more input is read",
			strerror(-error));
	if (stdio->config.ended)
		stdio->config.ended(stdio->config.opaque);
}

static void on_dropping(void *opaque)
{
	struct stdio *stdio = opaque;

	log_msg(stdio->config.log, LOG_WARN,
		"the guest does not read: further input is dropped (Ctrl-A x quits)");
}

static void on_broken(void *opaque, int error, bool final)
{
	struct stdio *stdio = opaque;

	if (final && stdio->config.broken) {
		stdio->config.broken(stdio->config.opaque, error);
		return;
	}
	log_limited(stdio->config.log, &stdio->limit, LOG_WARN, "standard output: %s; %s",
		strerror(-error),
		final ? "further output is dropped"
		      : "output is lost until it can be written again");
}

static void on_recovered(void *opaque, uint64_t lost)
{
	struct stdio *stdio = opaque;

	log_limited(stdio->config.log, &stdio->limit, LOG_WARN,
		"standard output: %llu bytes of output were lost", (unsigned long long)lost);
}

static void on_resumed(void *opaque, uint64_t dropped)
{
	struct stdio *stdio = opaque;

	log_limited(stdio->config.log, &stdio->limit, LOG_WARN,
		"standard output was not read for too long: %llu bytes were dropped",
		(unsigned long long)dropped);
}

/* ---- ops ---- */

static void stdio_rx_kick(struct chardev *dev)
{
	char_input_kick(&container_of(dev, struct stdio, dev)->in);
}

static bool stdio_connected(struct chardev *dev)
{
	(void)dev;
	return true;
}

static bool stdio_size(struct chardev *dev, uint16_t *cols, uint16_t *rows)
{
	struct stdio *stdio = container_of(dev, struct stdio, dev);

	return stdio->size_fd >= 0 && terminal_size(stdio->size_fd, cols, rows);
}

static void stdio_flush(struct chardev *dev)
{
	char_output_flush(&container_of(dev, struct stdio, dev)->out);
}

static void stdio_close(struct chardev *dev)
{
	struct stdio *stdio = container_of(dev, struct stdio, dev);

	end_line(stdio);
	char_output_flush(&stdio->out);
	clock_disarm_sync(stdio->config.clock, &stdio->foreground);
	char_input_fini(&stdio->in);
	if (stdio->has_terminal) {
		terminal_close(&stdio->terminal);
		set_log_raw(stdio, false);
	}
	char_output_fini(&stdio->out);
	if (stdio->size_fd >= 0)
		close(stdio->size_fd);
	chardev_fini(dev);
	free(stdio);
}

static const struct chardev_ops stdio_ops = {
	.write = stdio_write,
	.rx_kick = stdio_rx_kick,
	.connected = stdio_connected,
	.size = stdio_size,
	.flush = stdio_flush,
	.close = stdio_close,
};

/* ---- construction ---- */

static int open_terminal(struct stdio *stdio, int in_fd)
{
	int guard_error,
		rc = terminal_open(&stdio->terminal, in_fd, stdio->config.confine, &guard_error);

	if (rc < 0)
		return rc;
	stdio->has_terminal = true;
	if (guard_error)
		log_msg(stdio->config.log, LOG_WARN,
			"no process to restore the terminal if bantam is killed: %s",
			strerror(-guard_error));
	return 0;
}

static int open_input(struct stdio *stdio, int in_fd)
{
	struct char_input *in = &stdio->in;
	struct stream_fd stream;
	int rc = stream_fd_share(&stream, in_fd, O_RDONLY);

	if (rc < 0)
		return rc == -EBADF ? 0 : rc;
	if (stream.is_terminal)
		rc = open_terminal(stdio, in_fd);
	if (stream.is_terminal && stdio->size_fd < 0)
		stdio->size_fd = fcntl(in_fd, F_DUPFD_CLOEXEC, 3);
	if (rc < 0) {
		stream_fd_close(&stream);
		return rc;
	}
	if (!stdio->has_terminal) {
		char_input_open(in, &stream);
		return 0;
	}
	in->key = on_key;
	in->room = CHAR_INPUT_TERMINAL_ROOM;
	in->when_full = CHAR_INPUT_SCAN;
	char_input_pause(in, true);
	char_input_open(in, &stream);
	take_terminal(stdio);
	if (!stdio->terminal.raw && !terminal_is_ours(&stdio->terminal))
		log_msg(stdio->config.log, LOG_INFO,
			"running in the background of its terminal, so keys do not reach the "
			"guest (with timeout: timeout --foreground)");
	return 0;
}

static int open_output(struct stdio *stdio, int out_fd)
{
	struct log *log = stdio->config.log;
	struct stream_fd stream;
	int rc = stream_fd_share(&stream, out_fd, O_WRONLY);

	if (!rc) {
		char_output_open(&stdio->out, &stream);
		if (stream.is_terminal)
			stdio->size_fd = fcntl(out_fd, F_DUPFD_CLOEXEC, 3);
		if (stream.is_terminal)
			stdio->midline =
				log && isatty(log->fd) ? &log->midline : &stdio->own_midline;
	}
	return rc == -EBADF ? 0 : rc;
}

static void init_halves(struct stdio *stdio)
{
	const struct char_config *config = &stdio->config;

	stdio->out.dev = &stdio->dev;
	stdio->out.loop = config->loop;
	stdio->out.clock = config->clock;
	stdio->out.broken = on_broken;
	stdio->out.recovered = on_recovered;
	stdio->out.resumed = on_resumed;
	stdio->out.opaque = stdio;
	char_output_init(&stdio->out);
	stdio->in.dev = &stdio->dev;
	stdio->in.loop = config->loop;
	stdio->in.clock = config->clock;
	stdio->in.room = CHAR_INPUT_ROOM;
	stdio->in.when_full = CHAR_INPUT_WAIT;
	stdio->in.ended = on_ended;
	stdio->in.dropping = on_dropping;
	stdio->in.opaque = stdio;
	char_input_init(&stdio->in);
}

int char_stdio_create(const struct char_config *config, int in_fd, int out_fd, struct chardev **ret,
	struct error *err)
{
	struct stdio *stdio = calloc(1, sizeof(*stdio));
	int rc;

	if (!stdio)
		return error_set_errno(err, -ENOMEM, "standard input and output");
	stdio->config = *config;
	stdio->size_fd = -1;
	stdio->foreground = (struct timer){.fn = on_foreground_timer, .opaque = stdio};
	chardev_init(&stdio->dev, &stdio_ops);
	init_halves(stdio);
	rc = open_output(stdio, out_fd);
	/* Last, as it changes the terminal's modes. */
	if (!rc)
		rc = open_input(stdio, in_fd);
	if (rc < 0)
		goto close_stdio;
	*ret = &stdio->dev;
	return 0;

close_stdio:
	stdio_close(&stdio->dev);
	return error_set_errno(err, rc, "standard input and output");
}
