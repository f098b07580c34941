/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: bytes in pieces of any size, with file descriptors, by clients that come and
 * go, to the engine with the fields of the real commands. What commands do is replaced: they answer
 * with their arguments, or keep their job.
 *
 * Whatever comes: each line that is answered is answered by one object of JSON with a number as its
 * id; arguments have the types and bounds that the fields promise; every job ends or is cancelled;
 * no descriptor is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm/control/control.h"
#include "vm/control/server.h"
#include "vm/core/error.h"
#include "vm/core/event_loop.h"

#include "../../vm/vm_private.h"
#include "../unit/fakes/check.h"
#include "../unit/fakes/fake_clock.c"

enum { MAX_COMMANDS = 64, MAX_CLIENTS = 3, MAX_PIECES = 64 };

struct world {
	struct event_loop *loop;
	struct fake_clock clock;
	struct control *control;
	struct server *server;
	struct control_command commands[MAX_COMMANDS];
	unsigned int num_commands;
	unsigned int jobs; /* kept */
	int clients[MAX_CLIENTS];
};

static struct sockaddr_un at = {.sun_family = AF_UNIX};

static void remove_place(void)
{
	unlink(at.sun_path);
	*strrchr(at.sun_path, '/') = '\0';
	rmdir(at.sun_path);
}

static const struct sockaddr_un *address(void)
{
	if (!at.sun_path[0]) {
		char dir[] = "/tmp/bantam-fuzz-XXXXXX";

		CHECK(mkdtemp(dir));
		atexit(remove_place);
		snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", dir);
	}
	return &at;
}

static void check_args(const struct control_job *job)
{
	for (unsigned int i = 0; i < job->command->num_fields; i++) {
		const struct control_field *field = &job->command->fields[i];
		const struct control_value *value = &job->args[i];

		CHECK(value->given || !field->required);
		CHECK((value->fd >= 0) == (value->given && field->type == CONTROL_FD));
		if (!value->given)
			continue;
		CHECK(field->type != CONTROL_FLAG || value->number <= 1);
		CHECK(field->type != CONTROL_NUMBER || value->number <= INT64_MAX);
		CHECK(field->type != CONTROL_TEXT || strlen(value->text) <= CONTROL_MAX_TEXT);
		CHECK(field->type != CONTROL_FD || fcntl(value->fd, F_GETFD) >= 0);
	}
}

static void start(struct control_job *job, void *vm)
{
	struct world *w = vm;

	check_args(job);
	for (unsigned int i = 0; i < job->command->num_fields; i++)
		if (job->args[i].given && job->args[i].text)
			control_put_text(job, job->command->fields[i].name, job->args[i].text);
	if (job->command->event) {
		control_emit(job);
		w->jobs++;
	} else {
		control_done(job);
	}
}

static void event(struct control_job *job, void *vm, const struct control_event *happened)
{
	struct world *w = vm;

	control_put_event(job, happened);
	if (happened->kind == CONTROL_ENDED) {
		w->jobs--;
		control_done(job);
	} else {
		control_emit(job);
	}
}

static void cancel(struct control_job *job, void *vm)
{
	if (job->command->event)
		((struct world *)vm)->jobs--;
}

/* With the same names and arguments, and functions that touch no VM. */
static void take(struct world *w, const struct control_command *commands, unsigned int num)
{
	CHECK(w->num_commands + num <= MAX_COMMANDS);
	for (unsigned int i = 0; i < num; i++) {
		struct control_command *command = &w->commands[w->num_commands++];

		*command = commands[i];
		command->start = start;
		command->cancel = cancel;
		if (command->event)
			command->event = event;
	}
}

static void build(struct world *w)
{
	struct control_config control = {
		.commands = w->commands, .vm = w, .clock = &w->clock.clock};
	struct server_config server = {.name = "fuzz", .clock = &w->clock.clock};

	take(w, vm_commands, vm_num_commands);
	take(w, vm_disk_family.commands, vm_disk_family.num_commands);
	take(w, vm_net_family.commands, vm_net_family.num_commands);
	control.num_commands = w->num_commands;
	fake_clock_init(&w->clock);
	CHECK(event_loop_create(&w->loop) == 0);
	CHECK(control_create(&control, &w->control) == 0);
	server.control = w->control;
	server.loop = w->loop;
	CHECK(server_create(&server, server_bind(address(), NULL), &w->server, NULL) == 0);
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		w->clients[i] = -1;
}

static void turn(struct world *w)
{
	for (unsigned int i = 0; i < 10000 && event_loop_step(w->loop, 0) > 0; i++)
		continue;
}

/* Reads what there is; the last line may be cut, when the buffer is full or the server hangs up. */
static void check_answers(int fd)
{
	static char buf[256 * 1024];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	char *end;

	if (n <= 0)
		return;
	for (char *line = buf; (end = memchr(line, '\n', (size_t)(buf + n - line)));
		line = end + 1) {
		json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);

		/* The first may be the rest of one that did not fit before. */
		CHECK(json || line == buf);
		if (json)
			CHECK(json_is_object(json) &&
				(json_is_integer(json_object_get(json, "id")) ||
					json_object_get(json, "bantam")));
		json_decref(json);
	}
}

static void send_piece(int fd, const uint8_t *data, size_t len, unsigned int fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int null = -1;

	if (!len)
		return;
	if (fds) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(fds * sizeof(int))};
		for (unsigned int i = 0; i < fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		len = 0;
	if (null >= 0)
		close(null);
}

static void hang_up(struct world *w, unsigned int i)
{
	if (w->clients[i] < 0)
		return;
	close(w->clients[i]);
	w->clients[i] = -1;
	turn(w);
}

static int client(struct world *w, unsigned int i)
{
	if (w->clients[i] >= 0)
		return w->clients[i];
	w->clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(w->clients[i] >= 0);
	CHECK(connect(w->clients[i], (const struct sockaddr *)address(), sizeof(*address())) == 0);
	return w->clients[i];
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 128; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/*
 * The input: a byte of what to do (client, descriptors, hang up, an event), a byte of length, the
 * bytes. A length of 255 takes all that is left.
 */
static void play(struct world *w, const uint8_t *data, size_t size)
{
	for (unsigned int piece = 0; size >= 2 && piece < MAX_PIECES; piece++) {
		const uint8_t what = data[0];
		size_t len = data[1] == 255 ? size - 2 : MIN((size_t)data[1], size - 2);
		const unsigned int i = what % MAX_CLIENTS;

		if (what & 0x80) {
			hang_up(w, i);
		} else if (what & 0x40) {
			control_happened(w->control,
				(struct control_event){.kind = (what >> 2) % NUM_CONTROL_EVENTS,
					.cause = "\xff why"});
		} else {
			send_piece(client(w, i), data + 2, len, (what >> 2) & 0xf);
		}
		turn(w);
		if (w->clients[i] >= 0 && (what & 0x20))
			check_answers(w->clients[i]);
		data += 2 + len;
		size -= 2 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned int before = open_fds();
	struct world w = {0};

	build(&w);
	play(&w, data, size);
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		hang_up(&w, i);
	CHECK(!w.jobs);
	control_destroy(w.control);
	server_destroy(w.server);
	event_loop_destroy(w.loop);
	CHECK(open_fds() == before);
	return 0;
}
