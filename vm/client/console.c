/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam console`: one end of a socket pair goes to the VM's hub, and between the other end and
 * this terminal (or whatever standard input and output are) bytes are passed on, by the back end
 * that a VM has for its own terminal: raw mode and its restoration, Ctrl-A, jobs of a shell and
 * slow readers are its business.
 *
 *	terminal ──rx──► to_vm ──send──► socket ══ hub          at most TO_VM bytes wait
 *	terminal ◄─write─ from_vm ◄─recv── socket ══ hub        one piece waits
 *
 * The VM's command "console" goes on meanwhile; its parts and its result are read as they come.
 * What a key does beside, it does by a connection of its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "devices/char/char.h"
#include "vm/client/verbs.h"
#include "vm/config/exit_code.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"
#include "vm/core/signals.h"

enum { TO_VM = 4096, FROM_VM = 4096, PATIENCE_MS = 2000 };

struct session {
	const char *name;
	struct client *client;
	struct event_loop *loop;
	struct timer_queue *timers;
	struct log log;
	struct chardev *stdio;
	struct event_source socket, answers, signals, settled;
	bool watched; /* socket is in the loop */
	bool read_only;
	json_int_t number; /* of this console, in the VM; 0: not known yet */
	uint8_t to_vm[TO_VM];
	size_t to_vm_len;
	bool input_closed; /* the VM knows that no more comes */
	uint8_t from_vm[FROM_VM];
	size_t from_vm_len, from_vm_at;
	bool answered; /* the command has its result */
	int code;
};

static const char keys[] = "\r\n"
			   "Ctrl-A d  leave; the VM goes on (Ctrl-A x does so too)\r\n"
			   "Ctrl-A p  press the power button\r\n"
			   "Ctrl-A r  reset the guest\r\n"
			   "Ctrl-A b  send a break (for Linux: the magic SysRq key)\r\n"
			   "Ctrl-A z  suspend this program, as Ctrl-Z does others\r\n"
			   "Ctrl-A a  send Ctrl-A itself (Ctrl-A Ctrl-A does so too)\r\n"
			   "Ctrl-A ?  list these keys (Ctrl-A h does so too)\r\n";

static void leave(struct session *session, int code)
{
	session->code = code;
	event_loop_stop(session->loop);
}

/* ---- to the VM ---- */

/* Not with nothing to wait for: a hang-up would be reported for ever. */
static void watch_socket(struct session *session)
{
	uint32_t events = 0;

	if (session->from_vm_at == session->from_vm_len)
		events |= EPOLLIN;
	if (session->to_vm_len)
		events |= EPOLLOUT;
	if (session->watched && !events)
		event_loop_remove(session->loop, &session->socket);
	else if (session->watched && session->socket.events != events)
		event_loop_modify(session->loop, &session->socket, events);
	session->socket.events = events;
	if (!session->watched && events && event_loop_add(session->loop, &session->socket) < 0)
		leave(session, EXIT_HOST);
	session->watched = events;
}

static void send_input(struct session *session)
{
	ssize_t n = 0;

	if (session->to_vm_len)
		n = send(session->socket.fd, session->to_vm, session->to_vm_len,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Whoever does not read is gone, and the other direction tells. */
	if (n < 0 && errno != EAGAIN)
		n = (ssize_t)session->to_vm_len;
	if (n > 0) {
		session->to_vm_len -= (size_t)n;
		memmove(session->to_vm, session->to_vm + n, session->to_vm_len);
		chardev_rx_kick(session->stdio);
	}
	event_loop_post(session->loop, &session->settled);
}

/* Later than what brought the last of the input, as only then is it known to be that. */
static void on_settled(void *opaque, uint32_t events)
{
	struct session *session = opaque;

	(void)events;
	watch_socket(session);
	if (session->input_closed || session->to_vm_len || !char_stdio_is_over(session->stdio))
		return;
	session->input_closed = true;
	shutdown(session->socket.fd, SHUT_WR);
}

/* Read-only, all of it is taken, for the sake of the keys. */
static size_t on_room(void *opaque)
{
	const struct session *session = opaque;

	return session->read_only ? TO_VM : TO_VM - session->to_vm_len;
}

static void on_input(void *opaque, const uint8_t *buf, size_t len)
{
	struct session *session = opaque;

	if (!session->read_only) {
		memcpy(session->to_vm + session->to_vm_len, buf, len);
		session->to_vm_len += len;
	}
	send_input(session);
}

static void on_input_over(void *opaque)
{
	struct session *session = opaque;

	event_loop_post(session->loop, &session->settled);
}

/* ---- from the VM ---- */

static void write_output(struct session *session)
{
	session->from_vm_at += chardev_write(session->stdio, session->from_vm + session->from_vm_at,
		session->from_vm_len - session->from_vm_at);
	watch_socket(session);
}

static void on_answers(void *opaque, uint32_t events);

/* The VM has ended, and said all that it had to say but, maybe, the answer. */
static void on_end_of_stream(struct session *session)
{
	client_set_timeout(session->client, PATIENCE_MS);
	while (session->answers.fd >= 0)
		on_answers(session, 0);
	if (session->answered) {
		leave(session, session->code);
		return;
	}
	log_msg(&session->log, LOG_ERROR, "the VM has ended");
	leave(session, EXIT_NO_VM);
}

static void on_socket(void *opaque, uint32_t events)
{
	struct session *session = opaque;
	ssize_t n;

	if (session->to_vm_len)
		send_input(session);
	if (session->from_vm_at < session->from_vm_len || !(events & ~EPOLLOUT))
		return;
	n = recv(session->socket.fd, session->from_vm, sizeof(session->from_vm), MSG_DONTWAIT);
	if (n > 0) {
		session->from_vm_at = 0;
		session->from_vm_len = (size_t)n;
		write_output(session);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		on_end_of_stream(session);
	}
}

static void on_ready(void *opaque)
{
	write_output(opaque);
}

/* As programs end whose reader has gone; but the terminal is set right first. */
static void on_broken_output(void *opaque, int error)
{
	struct session *session = opaque;

	if (error != -EPIPE)
		log_msg(&session->log, LOG_ERROR, "standard output: %s", strerror(-error));
	leave(session, error == -EPIPE ? EXIT_BY_SIGNAL + SIGPIPE : EXIT_HOST);
}

/* ---- what the command answers ---- */

static void take_part(struct session *session, const json_t *part)
{
	const json_int_t lost = json_integer_value(json_object_get(part, "lost"));
	const json_t *number = json_object_get(part, "console");

	if (number)
		session->number = json_integer_value(number);
	if (lost)
		log_msg(&session->log, LOG_WARN, "%lld bytes of output were lost here", lost);
}

static void take_result(struct session *session, const json_t *result)
{
	const json_t *status = json_object_get(result, "status");

	session->answered = status;
	session->code = (int)json_integer_value(status);
}

static void on_answers(void *opaque, uint32_t events)
{
	struct session *session = opaque;
	struct error err = {""};
	json_t *json;
	int rc;

	(void)events;
	do {
		rc = client_read(session->client, &json, &err);
		if (rc > 0)
			take_part(session, json);
		if (rc == 0)
			take_result(session, json);
		if (rc >= 0)
			json_decref(json);
	} while (rc > 0 && client_has_more(session->client));
	if (rc > 0)
		return;
	event_loop_remove(session->loop, &session->answers);
	session->answers.fd = -1;
	if (rc < 0 && rc != -ESHUTDOWN && rc != -ETIMEDOUT) {
		log_msg(&session->log, LOG_ERROR, "%s", err.text);
		leave(session, client_exit_code(rc));
	}
}

/* ---- keys, signals ---- */

/* A command of its own. args is taken over. */
static void command_beside(struct session *session, const char *command, json_t *args)
{
	struct client *client;
	struct error err = {""};
	json_t *result;
	int rc = client_connect(session->name, &client, &err);

	if (rc < 0) {
		json_decref(args);
	} else {
		client_set_timeout(client, PATIENCE_MS);
		rc = client_call(client, command, args, &result, &err);
		if (rc >= 0)
			json_decref(result);
		client_close(client);
	}
	if (rc < 0)
		log_msg(&session->log, LOG_WARN, "%s", err.text);
}

static void suspend(struct session *session)
{
	char_stdio_suspend(session->stdio);
	raise(SIGSTOP);
	char_stdio_resume(session->stdio);
}

static void on_command(void *opaque, enum console_command command)
{
	struct session *session = opaque;

	switch (command) {
	case CONSOLE_QUIT:
	case CONSOLE_DETACH:
		leave(session, EXIT_POWEROFF);
		break;
	case CONSOLE_SUSPEND:
		suspend(session);
		break;
	case CONSOLE_POWER_BUTTON:
	case CONSOLE_RESET:
		if (session->read_only)
			log_msg(&session->log, LOG_WARN, "this console is read-only");
		else
			command_beside(
				session, command == CONSOLE_RESET ? "reset" : "power-button", NULL);
		break;
	}
}

static void on_event(void *opaque, enum chardev_event event)
{
	struct session *session = opaque;
	uint16_t cols, rows;

	if (!session->number)
		return;
	if (event == CHARDEV_BREAK && !session->read_only)
		command_beside(
			session, "console-break", json_pack("{s:I}", "console", session->number));
	if (event == CHARDEV_RESIZED && chardev_size(session->stdio, &cols, &rows))
		command_beside(session, "console-resize",
			json_pack("{s:I, s:i, s:i}", "console", session->number, "cols", (int)cols,
				"rows", (int)rows));
}

static const struct chardev_handler handler = {
	.rx_room = on_room,
	.rx = on_input,
	.tx_ready = on_ready,
	.event = on_event,
};

static void on_signal(void *opaque, uint32_t events)
{
	struct session *session = opaque;
	struct signalfd_siginfo info;
	int number;

	(void)events;
	if (read(session->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	number = (int)info.ssi_signo;
	if (number == SIGCONT)
		char_stdio_resume(session->stdio);
	else if (number == SIGWINCH)
		char_stdio_resized(session->stdio);
	else if (!signal_is_ignored(number) && number == SIGTSTP)
		suspend(session);
	else if (!signal_is_ignored(number))
		leave(session, EXIT_BY_SIGNAL + number);
}

/* ---- life ---- */

static int open_signals(struct session *session)
{
	sigset_t set, blocked;

	signals_ending(&set);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigaddset(&set, SIGWINCH);
	blocked = set;
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	session->signals = (struct event_source){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = EPOLLIN,
		.fn = on_signal,
		.opaque = session,
	};
	return session->signals.fd < 0 ? -errno : event_loop_add(session->loop, &session->signals);
}

/* Sends the command, with one end of a socket pair. */
static int attach(struct session *session, const struct client_args *args, struct error *err)
{
	json_t *values = json_object();
	uint16_t cols, rows;
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		json_decref(values);
		return error_set_errno(err, -errno, "%s", session->name);
	}
	json_object_set_new(values, "fd", json_integer(0));
	if (session->read_only)
		json_object_set_new(values, "read_only", json_true());
	if (args->given[OPT_NO_HISTORY])
		json_object_set_new(values, "no_history", json_true());
	if (chardev_size(session->stdio, &cols, &rows)) {
		json_object_set_new(values, "cols", json_integer(cols));
		json_object_set_new(values, "rows", json_integer(rows));
	}
	rc = client_send(session->client, "console", values, &ends[1], 1, err);
	close(ends[1]);
	session->socket = (struct event_source){
		.fd = ends[0], .events = EPOLLIN, .fn = on_socket, .opaque = session};
	session->watched = true;
	session->answers = (struct event_source){.fd = client_fd(session->client),
		.events = EPOLLIN,
		.fn = on_answers,
		.opaque = session};
	if (!rc)
		rc = event_loop_add(session->loop, &session->socket);
	return rc ? rc : event_loop_add(session->loop, &session->answers);
}

static int open_session(struct session *session, struct error *err)
{
	struct char_config config = {.log = &session->log,
		.command = on_command,
		.ended = on_input_over,
		.broken = on_broken_output,
		.help = keys,
		.opaque = session};
	int rc = event_loop_create(&session->loop);

	if (!rc)
		rc = timer_queue_create(session->loop, &session->timers);
	if (!rc)
		rc = open_signals(session);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", session->name);
	config.loop = session->loop;
	config.clock = timer_queue_clock(session->timers);
	return char_stdio_create(&config, STDIN_FILENO, STDOUT_FILENO, &session->stdio, err);
}

static int run(struct session *session, const struct client_args *args, struct error *err)
{
	int rc = open_session(session, err);

	if (!rc)
		rc = attach(session, args, err);
	if (rc < 0)
		return rc;
	chardev_attach(session->stdio, &handler, session);
	chardev_rx_kick(session->stdio);
	event_loop_post(session->loop, &session->settled);
	if (isatty(STDIN_FILENO))
		log_msg(&session->log, LOG_INFO,
			"attached; Ctrl-A d leaves, Ctrl-A ? lists all keys");
	rc = event_loop_run(session->loop);
	return rc < 0 ? error_set_errno(err, rc, "event loop") : 0;
}

static void close_session(struct session *session)
{
	if (session->stdio) {
		chardev_attach(session->stdio, NULL, NULL);
		chardev_close(session->stdio);
	}
	if (session->socket.fd >= 0)
		close(session->socket.fd);
	if (session->signals.fd >= 0)
		close(session->signals.fd);
	timer_queue_destroy(session->timers);
	event_loop_destroy(session->loop);
}

static int console_of(const struct client_args *args, const char *name, struct client *client)
{
	struct session session = {.name = name,
		.client = client,
		.socket.fd = -1,
		.signals.fd = -1,
		.read_only = args->given[OPT_READ_ONLY]};
	struct error err = {""};
	int rc;

	session.settled = (struct event_source){.fd = -1, .fn = on_settled, .opaque = &session};
	log_init(&session.log, STDERR_FILENO, LOG_INFO, name);
	rc = run(&session, args, &err);
	close_session(&session);
	return rc < 0 ? client_complain(&err, client_exit_code(rc)) : session.code;
}

int client_console(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_CONSOLE, argc, argv, 1, 1);

	return code >= 0 ? code : client_for_each(&args, console_of);
}
