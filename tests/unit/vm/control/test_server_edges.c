/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON front end where something is short or gone: clients that hang up before they are told
 * of an event, descriptors of refused commands, a process that may open no more files, texts that
 * are no UTF-8, and lines that wait behind an answer that waits.
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
#include <sys/ioctl.h>
#include <sys/resource.h>
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
	struct control_job *watching;
};

static void start_watch(struct control_job *job, void *vm)
{
	((struct fixture *)vm)->watching = job;
}

static void watch_event(struct control_job *job, void *vm, const struct control_event *event)
{
	(void)vm;
	control_put_event(job, event);
	control_emit(job);
	if (event->kind != CONTROL_ENDED)
		return;
	control_put_text(job, "that was", "all");
	control_done(job);
}

static void cancel_watch(struct control_job *job, void *vm)
{
	(void)job;
	((struct fixture *)vm)->watching = NULL;
}

static void start_cut(struct control_job *job, void *vm)
{
	(void)vm;
	control_fail(job, -EINVAL, "no such thing: %.3s", "ab\xc3\xa4");
}

static void start_nothing(struct control_job *job, void *vm)
{
	(void)vm;
	control_done(job);
}

static void start_stay(struct control_job *job, void *vm)
{
	(void)job, (void)vm;
}

static const struct control_field fd_field[] = {{"fd", CONTROL_FD, false}};

static const struct control_command commands[] = {
	{.name = "watch", .start = start_watch, .event = watch_event, .cancel = cancel_watch},
	{.name = "cut", .start = start_cut},
	{.name = "stay", .start = start_stay, .endless = true},
	{.name = "nothing", .fields = fd_field, .num_fields = 1, .start = start_nothing},
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

static int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
	return fd;
}

static const char *heard(int fd, char *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static int open_client(struct fixture *f)
{
	int fd = dial(f);
	char buf[256];

	turn(f);
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "\"box\""));
	return fd;
}

static void say(struct fixture *f, int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	turn(f);
}

/* It is found out when the event is sent; what its command says after that, nobody hears. */
static void gone_before_the_event(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f), other = open_client(f);
	char buf[512];

	say(f, fd, "{\"id\":1,\"command\":\"watch\"}\n{\"id\":2,\"command\":\"watch\"}\n");
	say(f, other, "{\"id\":3,\"command\":\"watch\"}\n");
	close(fd);
	control_happened(f->control, (struct control_event){.kind = CONTROL_ENDED});
	heard(other, buf, sizeof(buf));
	assert_non_null(strstr(buf, "{\"id\":3,\"part\":{\"event\":\"ended\""));
	assert_non_null(strstr(buf, "{\"id\":3,\"result\":{\"that was\":\"all\"}}"));
	close(other);
	turn(f);
}

/* Nor is it cancelled under whoever tells of it. */
static void gone_before_a_part(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);

	say(f, fd, "{\"id\":1,\"command\":\"watch\"}\n");
	close(fd);
	control_put_number(f->watching, "n", 1);
	control_emit(f->watching);
	assert_non_null(f->watching);
	control_put_number(f->watching, "n", 2);
	control_emit(f->watching);
	turn(f);
	assert_null(f->watching);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void send_with_fd(int fd, const char *line, int passed)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (char *)line, .iov_len = strlen(line)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)iov.iov_len);
}

static void descriptors_of_one_too_many(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);
	unsigned int before;
	char buf[512];

	for (unsigned int i = 0; i < SERVER_MAX_JOBS; i++)
		say(f, fd, "{\"id\":1,\"command\":\"watch\"}\n");
	before = open_fds();
	send_with_fd(fd, "{\"id\":2,\"command\":\"nothing\",\"args\":{\"fd\":0}}\n", fd);
	turn(f);
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "EBUSY"));
	assert_int_equal(open_fds(), before);
	close(fd);
	turn(f);
}

/* A refusal that cuts a character in two is an answer all the same. */
static void words_that_are_cut(void **state)
{
	struct fixture *f = *state;
	int fd = open_client(f);
	char buf[512];

	say(f, fd, "{\"id\":1,\"command\":\"cut\"}\n");
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "no such thing: ab?"));
	close(fd);
	turn(f);
}

/* The loop sleeps meanwhile, and the client is served when there is a descriptor again. */
static void no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, none = {0};
	int fd = dial(f), turns = 0, later[2];
	char buf[256];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (turns < 10 && event_loop_step(f->loop, 0) > 0)
		turns++;
	fake_clock_advance(&f->clock, NSEC_PER_SEC / 2);
	later[0] = event_loop_step(f->loop, 0);
	later[1] = event_loop_step(f->loop, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(turns < 10);
	assert_int_equal(later[0], 1);
	assert_int_equal(later[1], 0);
	assert_string_equal(heard(fd, buf, sizeof(buf)), "");
	fake_clock_advance(&f->clock, NSEC_PER_SEC / 2);
	turn(f);
	assert_non_null(strstr(heard(fd, buf, sizeof(buf)), "\"box\""));
	close(fd);
	turn(f);
}

/* Of what has come so far. */
static int count_lines(int fd)
{
	char buf[4096];
	int lines = 0;

	for (ssize_t n; (n = recv(fd, buf, sizeof(buf), 0)) > 0;)
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	return lines;
}

/*
 * Answers wait for a client that reads late, and so do those of its lines that were received. When
 * it has read, and the next thing that is sent is an event, that takes the rest of the answers
 * along; the lines are served nonetheless.
 */
static void lines_behind_an_event(void **state)
{
	static const char line[] = "{\"id\":1,\"command\":\"nothing\"}\n";
	static const char answer[] = "{\"id\":1,\"result\":{}}\n";
	enum { LINES = 100 };
	struct fixture *f = *state;
	char lines[LINES * sizeof(line)] = "";
	int fd = open_client(f), asked = 0, answered, pending;

	for (unsigned int i = 0; i < LINES; i++)
		strcat(lines, line);
	say(f, fd, "{\"id\":2,\"command\":\"watch\"}\n");
	do {
		say(f, fd, lines);
		asked += LINES;
		assert_int_equal(ioctl(fd, FIONREAD, &pending), 0);
	} while (pending == asked * (int)(sizeof(answer) - 1));
	answered = count_lines(fd);
	assert_true(answered < asked);
	control_happened(f->control, (struct control_event){.kind = CONTROL_PAUSED});
	turn(f);
	answered += count_lines(fd);
	assert_int_equal(answered, asked + 1);
	close(fd);
	turn(f);
}

/* ---- places ---- */

static const char busy_line[] = "{\"id\":1,\"command\":\"watch\"}\n";

static void let_pass(struct fixture *f, uint64_t ms)
{
	fake_clock_advance(&f->clock, ms * NSEC_PER_MSEC);
	turn(f);
}

static void close_all(struct fixture *f, const int *fds, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		close(fds[i]);
	turn(f);
}

/* Those that have never asked go first, the eldest of them; no one else does. */
static void idle_ones_make_place(void **state)
{
	struct fixture *f = *state;
	int fds[SERVER_MAX_CLIENTS], late[2];
	char buf[512];

	for (unsigned int i = 0; i < SERVER_MAX_CLIENTS; i++) {
		fds[i] = open_client(f);
		/* Two that say nothing, one of them half a line; one that has said something. */
		if (i == 1)
			say(f, fds[i], "{\"id\":1,");
		else if (i == 2)
			say(f, fds[i], "{\"id\":1,\"command\":\"nothing\"}\n");
		else if (i)
			say(f, fds[i], busy_line);
		heard(fds[i], buf, sizeof(buf));
		fake_clock_advance(&f->clock, NSEC_PER_MSEC);
	}
	late[0] = dial(f);
	turn(f);
	assert_string_equal(heard(late[0], buf, sizeof(buf)), "");
	let_pass(f, SERVER_UNASKED_MS);
	assert_non_null(strstr(heard(late[0], buf, sizeof(buf)), "\"box\""));
	assert_non_null(strstr(heard(fds[0], buf, sizeof(buf)), "this one was idle"));
	assert_int_equal(recv(fds[0], buf, sizeof(buf), 0), 0);
	late[1] = open_client(f);
	assert_non_null(strstr(heard(fds[1], buf, sizeof(buf)), "this one was idle"));
	say(f, late[0], busy_line);
	say(f, late[1], busy_line);
	close(fds[0]);
	fds[0] = dial(f);
	turn(f);
	assert_non_null(strstr(heard(fds[0], buf, sizeof(buf)), "too many connections"));
	close(fds[0]);
	let_pass(f, SERVER_IDLE_MS);
	fds[0] = open_client(f);
	assert_non_null(strstr(heard(fds[2], buf, sizeof(buf)), "this one was idle"));
	/* Who has something under way has not. */
	for (unsigned int i = 3; i < SERVER_MAX_CLIENTS; i++)
		assert_string_equal(heard(fds[i], buf, sizeof(buf)), "");
	close_all(f, fds, SERVER_MAX_CLIENTS);
	close_all(f, late, 2);
}

/* Those who wait for ever leave places for others. */
static void watchers_leave_places(void **state)
{
	static const char line[] = "{\"id\":1,\"command\":\"stay\"}\n";
	struct fixture *f = *state;
	int fds[SERVER_MAX_WATCHERS], other;
	char buf[512];

	for (unsigned int i = 0; i < SERVER_MAX_WATCHERS; i++) {
		fds[i] = open_client(f);
		say(f, fds[i], line);
		assert_string_equal(heard(fds[i], buf, sizeof(buf)), "");
	}
	other = open_client(f);
	say(f, other, line);
	assert_non_null(strstr(heard(other, buf, sizeof(buf)), "EBUSY"));
	say(f, other, "{\"id\":2,\"command\":\"nothing\"}\n");
	assert_string_equal(heard(other, buf, sizeof(buf)), "{\"id\":2,\"result\":{}}\n");
	/* One more of one that watches already takes no place. */
	say(f, fds[0], line);
	assert_string_equal(heard(fds[0], buf, sizeof(buf)), "");
	close(fds[1]);
	turn(f);
	say(f, other, line);
	assert_string_equal(heard(other, buf, sizeof(buf)), "");
	fds[1] = other;
	close_all(f, fds, SERVER_MAX_WATCHERS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gone_before_the_event),
		TEST(gone_before_a_part),
		TEST(descriptors_of_one_too_many),
		TEST(words_that_are_cut),
		TEST(no_descriptors),
		TEST(lines_behind_an_event),
		TEST(idle_ones_make_place),
		TEST(watchers_leave_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
