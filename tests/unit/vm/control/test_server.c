/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON front end over a real socket, with the real engine and loop: good lines, bad lines,
 * lines without end, descriptors, and clients that go away or do not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/fake_clock.h"
#include "vm/control/control.h"
#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"

struct fixture {
	struct event_loop *loop;
	struct fake_clock clock;
	struct control *control;
	struct server *server;
	struct sockaddr_un address;
	char dir[32];
	struct control_job *kept;
	unsigned int cancelled;
};

static void start_echo(struct control_job *job, void *vm)
{
	(void)vm;
	for (unsigned int i = 0; i < job->command->num_fields; i++) {
		const struct control_field *field = &job->command->fields[i];
		const struct control_value *value = &job->args[i];

		if (!value->given)
			continue;
		if (field->type == CONTROL_TEXT)
			control_put_text(job, field->name, value->text);
		else if (field->type == CONTROL_FLAG)
			control_put_flag(job, field->name, value->number);
		else if (field->type == CONTROL_NUMBER)
			control_put_number(job, field->name, value->number);
		else if (write(value->fd, "fd", 2) != 2)
			control_put_text(job, field->name, "not written");
	}
	control_done(job);
}

static void start_keep(struct control_job *job, void *vm)
{
	((struct fixture *)vm)->kept = job;
}

static void cancel_keep(struct control_job *job, void *vm)
{
	struct fixture *f = vm;

	if (f->kept == job)
		f->kept = NULL;
	f->cancelled++;
}

/* Answers without end, until nobody listens. */
static void start_flood(struct control_job *job, void *vm)
{
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	((struct fixture *)vm)->kept = job;
	for (unsigned int i = 0; i < 3 * SERVER_MAX_UNREAD / 1000; i++) {
		control_put_text(job, "text", text);
		control_emit(job);
	}
}

static const struct control_field echo_fields[] = {{"text", CONTROL_TEXT, false},
	{"number", CONTROL_NUMBER, false}, {"flag", CONTROL_FLAG, false},
	{"fd", CONTROL_FD, false}};
static const struct control_field needy_fields[] = {{"text", CONTROL_TEXT, true}};

static const struct control_command commands[] = {
	{.name = "echo", .fields = echo_fields, .num_fields = 4, .start = start_echo},
	{.name = "needy", .fields = needy_fields, .num_fields = 1, .start = start_echo},
	{.name = "keep", .start = start_keep, .cancel = cancel_keep},
	{.name = "flood", .start = start_flood, .cancel = cancel_keep},
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct control_config control = {.commands = commands,
		.num_commands = ARRAY_SIZE(commands),
		.vm = f,
		.clock = &f->clock.clock};
	struct server_config server = {.name = "box", .clock = &f->clock.clock};
	struct error err;

	fake_clock_init(&f->clock);
	strcpy(f->dir, "/tmp/bantam-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/s", f->dir);
	assert_int_equal(event_loop_create(&f->loop), 0);
	assert_int_equal(control_create(&control, &f->control), 0);
	server.control = f->control;
	server.loop = f->loop;
	assert_int_equal(
		server_create(&server, server_bind(&f->address, &err), &f->server, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	control_destroy(f->control);
	server_destroy(f->server);
	event_loop_destroy(f->loop);
	unlink(f->address.sun_path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	while (event_loop_step(f->loop, 0) > 0)
		continue;
}

/* Connected, and not greeted yet. */
static int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	turn(f);
	return fd;
}

/* What has come, up to size - 1 bytes. */
static const char *heard(int fd, char *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static int open_client(struct fixture *f)
{
	char buf[256];
	int fd = dial(f);

	assert_string_equal(heard(fd, buf, sizeof(buf)),
		"{\"bantam\":\"" BANTAM_VERSION "\",\"protocol\":1,\"name\":\"box\"}\n");
	return fd;
}

static void say(struct fixture *f, int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	turn(f);
}

static void lines(void **state)
{
	static const struct {
		const char *line, *answer;
	} cases[] = {
		{"{\"id\":1,\"command\":\"echo\",\"args\":{\"text\":\"a\",\"number\":9,\"flag\":"
		 "true}}\n",
			"{\"id\":1,\"result\":{\"text\":\"a\",\"number\":9,\"flag\":true}}\n"},
		{"{\"id\":2,\"command\":\"echo\"}\n", "{\"id\":2,\"result\":{}}\n"},
		{"{\"id\":3,\"command\":\"none\"}\n", "\"code\":\"ENOENT\""},
		{"{\"id\":4,\"command\":\"echo\",\"args\":{\"txt\":1}}\n", "echo takes no 'txt'"},
		{"{\"id\":5,\"command\":\"echo\",\"args\":{\"number\":-1}}\n",
			"number: not a number"},
		{"{\"id\":5,\"command\":\"echo\",\"args\":{\"number\":1.5}}\n",
			"number: not a number"},
		{"{\"id\":5,\"command\":\"echo\",\"args\":{\"flag\":1}}\n",
			"flag: not true or false"},
		{"{\"id\":5,\"command\":\"echo\",\"args\":{\"text\":null}}\n", "text: not a short"},
		{"{\"id\":5,\"command\":\"echo\",\"args\":{\"fd\":0}}\n", "fd: not the place"},
		{"{\"id\":6,\"command\":\"needy\"}\n", "needy needs 'text'"},
		{"{\"id\":7,\"command\":\"echo\",\"args\":[]}\n", "args: not an object"},
		{"{\"command\":\"echo\"}\n", "{\"id\":0,\"error\""},
		{"{\"id\":\"x\",\"command\":\"echo\"}\n", "a request needs an id"},
		{"{\"id\":8}\n", "a request needs a command"},
		{"[]\n", "not an object"},
		{"\n", "not a line of JSON"},
		{"{\"id\":1,\"id\":2}\n", "not a line of JSON"},
		{"{\"id\":9,\"command\":\"echo\",\"args\":{\"text\":\"\\u0000\"}}\n",
			"not a line of JSON"},
	};
	struct fixture *f = *state;
	int fd = open_client(f);
	char buf[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		say(f, fd, cases[i].line);
		if (!strstr(heard(fd, buf, sizeof(buf)), cases[i].answer))
			fail_msg("%s is answered by %s", cases[i].line, buf);
	}
	close(fd);
	turn(f);
}

/* A line in pieces, and lines in one piece. */
static void pieces(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);
	char buf[1024];

	say(f, fd, "{\"id\":1,\"comm");
	assert_string_equal(heard(fd, buf, sizeof(buf)), "");
	say(f, fd, "and\":\"echo\"}\n{\"id\":2,\"command\":\"echo\"}\n{\"id\":3,");
	assert_string_equal(heard(fd, buf, sizeof(buf)),
		"{\"id\":1,\"result\":{}}\n{\"id\":2,\"result\":{}}\n");
	close(fd);
	turn(f);
}

static void a_line_without_end(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f), other = open_client(f);
	char buf[4096];
	size_t sent = 0;

	memset(buf, 'x', sizeof(buf));
	while (sent < 4 * SERVER_MAX_LINE) {
		ssize_t n = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
		turn(f);
	}
	assert_true(sent <= SERVER_MAX_LINE + 2 * sizeof(buf));
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "EMSGSIZE"));
	say(f, other, "{\"id\":1,\"command\":\"echo\"}\n");
	assert_string_equal(heard(other, buf, sizeof(buf)), "{\"id\":1,\"result\":{}}\n");
	close(fd);
	close(other);
	turn(f);
}

static void send_with_fds(int fd, const char *line, const int *fds, unsigned int n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (char *)line, .iov_len = strlen(line)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)iov.iov_len);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void descriptors(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f), pipes[2], many[12];
	unsigned int before;
	char buf[256];

	assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = pipes[1];
	before = open_fds();
	send_with_fds(fd, "{\"id\":1,\"command\":\"echo\",\"args\":{\"fd\":0}}\n", &pipes[1], 1);
	turn(f);
	assert_string_equal(heard(fd, buf, sizeof(buf)), "{\"id\":1,\"result\":{}}\n");
	assert_int_equal(read(pipes[0], buf, sizeof(buf)), 2);
	/* Those that nothing names, that come with a bad line, or too many. */
	send_with_fds(fd, "{\"id\":1,\"command\":\"echo\"}\n", many, 3);
	send_with_fds(fd, "nonsense\n", many, 2);
	send_with_fds(
		fd, "{\"id\":1,\"command\":\"echo\",\"args\":{\"fd\":0,\"text\":1}}\n", many, 1);
	send_with_fds(fd, "{\"id\":1,\"command\":\"echo\"}\n", many, ARRAY_SIZE(many));
	turn(f);
	assert_int_equal(open_fds(), before);
	/* And with a line that never ends. */
	send_with_fds(fd, "{", many, 2);
	turn(f);
	close(fd);
	turn(f);
	assert_int_equal(open_fds(), before - 2);
	close(pipes[0]);
	close(pipes[1]);
}

static void a_client_goes_away(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);

	say(f, fd, "{\"id\":1,\"command\":\"keep\"}\n");
	assert_non_null(f->kept);
	close(fd);
	turn(f);
	assert_int_equal(f->cancelled, 1);
	/* In the middle of a line, and before its answer. */
	fd = open_client(f);
	say(f, fd, "{\"id\":1,");
	close(fd);
	turn(f);
	fd = dial(f);
	assert_true(send(fd, "{\"id\":1,\"command\":\"echo\"}\n", 27, MSG_NOSIGNAL) > 0);
	close(fd);
	turn(f);
}

static void two_at_once(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);
	struct control_job *first;
	char buf[512];

	say(f, fd, "{\"id\":10,\"command\":\"keep\"}\n");
	first = f->kept;
	say(f, fd, "{\"id\":11,\"command\":\"echo\"}\n");
	assert_string_equal(heard(fd, buf, sizeof(buf)), "{\"id\":11,\"result\":{}}\n");
	control_put_number(first, "n", 1);
	control_done(first);
	assert_string_equal(heard(fd, buf, sizeof(buf)), "{\"id\":10,\"result\":{\"n\":1}}\n");
	/* More than a connection may have: refused, the others go on. */
	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++)
		say(f, fd, "{\"id\":12,\"command\":\"keep\"}\n");
	assert_string_equal(heard(fd, buf, sizeof(buf)), "");
	say(f, fd, "{\"id\":13,\"command\":\"keep\"}\n");
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "EBUSY"));
	/* The fixture's tear-down ends them as the VM's end would. */
	close(fd);
}

static void a_client_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f), other = open_client(f);
	char buf[512];

	say(f, fd, "{\"id\":1,\"command\":\"flood\"}\n");
	assert_int_equal(f->cancelled, 1);
	say(f, other, "{\"id\":2,\"command\":\"echo\"}\n");
	assert_string_equal(heard(other, buf, sizeof(buf)), "{\"id\":2,\"result\":{}}\n");
	close(fd);
	close(other);
	turn(f);
}

/* Asking without reading the answers: they wait, in order, and none is lost. */
static void answers_wait(void **state)
{
	static const char line[] = "{\"id\":1,\"command\":\"echo\"}\n";
	static const char answer[] = "{\"id\":1,\"result\":{}}\n";
	struct fixture *f = *state;
	int fd = open_client(f);
	size_t asked = 0, answered = 0;
	char buf[4096];

	while (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(line) - 1) {
		asked++;
		turn(f);
		if (asked > 100000)
			break;
	}
	for (ssize_t n; (n = recv(fd, buf, sizeof(buf), 0)) > 0; turn(f))
		answered += (size_t)n;
	assert_int_equal(answered, asked * (sizeof(answer) - 1));
	close(fd);
	turn(f);
}

static void too_many_clients(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS], fd;
	char buf[256];

	for (unsigned int i = 0; i < SERVER_MAX_CLIENTS; i++) {
		fds[i] = open_client(f);
		say(f, fds[i], "{\"id\":1,\"command\":\"keep\"}\n");
	}
	fd = dial(f);
	fake_clock_advance(&f->clock, SERVER_IDLE_MS * 2 * (uint64_t)NSEC_PER_MSEC);
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "too many connections"));
	close(fd);
	for (unsigned int i = 0; i < SERVER_MAX_CLIENTS; i++)
		close(fds[i]);
	turn(f);
	close(open_client(f));
	turn(f);
}

/* The last answers go out, then the socket closes. */
static void the_end(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);
	char buf[256];

	say(f, fd, "{\"id\":1,\"command\":\"keep\"}\n");
	control_destroy(f->control);
	f->control = NULL;
	server_destroy(f->server);
	f->server = NULL;
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "ESHUTDOWN"));
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines),
		TEST(pieces),
		TEST(a_line_without_end),
		TEST(descriptors),
		TEST(a_client_goes_away),
		TEST(two_at_once),
		TEST(a_client_that_does_not_read),
		TEST(answers_wait),
		TEST(too_many_clients),
		TEST(the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
