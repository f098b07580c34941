/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debugger's connection: --gdb listens from the start; `bantam gdb` brings a client that is
 * connected already. One client at a time, all of it on the main thread's loop. A VM that has
 * neither has none of this.
 */
#include "vm_gdb.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/char/listen.h"
#include "vm/core/error.h"
#include "vm/machine/machine_debug.h"

enum { PIECE = 4096, BACKLOG = 4 };

/* ---- a client ---- */

static void hang_up(struct vm_gdb *gdb)
{
	struct control_job *job = gdb->job;

	if (gdb->client.fd < 0)
		return;
	event_loop_remove(gdb->vm->loop, &gdb->client);
	close(gdb->client.fd);
	gdb->client.fd = -1;
	gdb->num_unsent = 0;
	gdb->job = NULL;
	if (gdb->vm->machine)
		gdb_disconnected(gdb->stub);
	log_msg(gdb->vm->log, LOG_DEBUG, "gdb: the client has gone");
	if (job)
		control_done(job);
}

static void on_broken(void *opaque, uint32_t events)
{
	(void)events;
	hang_up(opaque);
}

static bool send_unsent(struct vm_gdb *gdb)
{
	const ssize_t n =
		send(gdb->client.fd, gdb->unsent, gdb->num_unsent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	gdb->num_unsent -= (size_t)n;
	memmove(gdb->unsent, gdb->unsent + n, gdb->num_unsent);
	if (!gdb->num_unsent)
		event_loop_modify(gdb->vm->loop, &gdb->client, EPOLLIN);
	return true;
}

/* Nothing is read as long as there is something to send. */
static bool serve(struct vm_gdb *gdb)
{
	uint8_t buf[PIECE];
	ssize_t n;

	if (gdb->num_unsent)
		return send_unsent(gdb);
	n = recv(gdb->client.fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n && gdb_received(gdb->stub, buf, (size_t)n);
}

static void on_client(void *opaque, uint32_t events)
{
	struct vm_gdb *gdb = opaque;

	(void)events;
	/* Between two machines there is nobody to ask: it comes again. */
	if (!gdb->vm->machine)
		return;
	if (!serve(gdb))
		hang_up(gdb);
}

static int take_client(struct vm_gdb *gdb, int fd, struct error *err)
{
	int rc;

	gdb->client =
		(struct event_source){.fd = fd, .events = EPOLLIN, .fn = on_client, .opaque = gdb};
	rc = event_loop_add(gdb->vm->loop, &gdb->client);
	if (rc < 0) {
		gdb->client.fd = -1;
		return error_set_errno(err, rc, "gdb's socket");
	}
	gdb->num_unsent = 0;
	gdb_connected(gdb->stub);
	log_msg(gdb->vm->log, LOG_DEBUG, "gdb: a client has come");
	return 0;
}

/* Who comes right behind one that has left is not sent away for him. */
static bool has_gone(const struct vm_gdb *gdb)
{
	struct pollfd pfd = {.fd = gdb->client.fd, .events = POLLRDHUP};

	return pfd.fd >= 0 && poll(&pfd, 1, 0) > 0;
}

static void on_listener(void *opaque, uint32_t events)
{
	struct vm_gdb *gdb = opaque;
	const int fd = accept4(gdb->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	const int on = 1;
	struct error err = {""};

	(void)events;
	if (fd < 0) {
		/* Out of descriptors, it would be reported for ever. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			event_loop_modify(gdb->vm->loop, &gdb->listener, 0);
		return;
	}
	if (has_gone(gdb))
		hang_up(gdb);
	if (gdb->client.fd >= 0) {
		log_msg(gdb->vm->log, LOG_WARN, "gdb: a second client was sent away");
		close(fd);
		return;
	}
	if (gdb->vm->config->gdb.kind == GDB_ON_TCP)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (take_client(gdb, fd, &err) < 0) {
		log_msg(gdb->vm->log, LOG_WARN, "%s", err.text);
		close(fd);
	}
}

/* ---- a vCPU ---- */

static void on_hit(void *opaque, uint32_t events)
{
	struct vm_gdb *gdb = opaque;
	struct vm *vm = gdb->vm;
	const bool was_held = vm->held;

	(void)events;
	/* An end that is no false alarm has the last word. */
	if (!vm->machine || atomic_load(&vm->end) != VM_END_NONE)
		return;
	/* The client has stopped it for another reason: this one is told when it goes on. */
	if (gdb_is_stopped(gdb->stub))
		return;
	atomic_store(&gdb->was_hit, false);
	vm_hold(vm);
	/* It may have been taken back meanwhile. */
	if (!vm_gdb_report(gdb) && !was_held)
		vm_release(vm);
}

void vm_gdb_hit(struct vm *vm)
{
	atomic_store(&vm->gdb->was_hit, true);
	event_loop_post(vm->loop, &vm->gdb->hit);
}

void vm_gdb_look(struct vm *vm)
{
	if (vm->gdb && atomic_load(&vm->gdb->was_hit))
		event_loop_post(vm->loop, &vm->gdb->hit);
}

/* ---- the VM ---- */

static int create(struct vm *vm, struct error *err)
{
	const struct gdb_config config = {.num_cpus = vm->config->cpus, .ops = &vm_gdb_ops};
	struct gdb_config mine = config;
	struct vm_gdb *gdb;
	int rc;

	if (vm->gdb)
		return 0;
	gdb = calloc(1, sizeof(*gdb));
	if (!gdb)
		return error_set_errno(err, -ENOMEM, "gdb");
	gdb->vm = vm;
	gdb->client.fd = gdb->listener.fd = -1;
	gdb->hit = (struct event_source){.fd = -1, .fn = on_hit, .opaque = gdb};
	gdb->broken = (struct event_source){.fd = -1, .fn = on_broken, .opaque = gdb};
	mine.opaque = gdb;
	rc = gdb_create(&mine, &gdb->stub);
	if (rc < 0) {
		free(gdb);
		return error_set_errno(err, rc, "gdb");
	}
	vm->gdb = gdb;
	return 0;
}

static int listen_on(
	const struct gdb_where *where, struct char_listener *listener, struct error *err)
{
	if (where->kind == GDB_ON_UNIX)
		return char_listen(where->path, BACKLOG, listener, err);
	return char_listen_tcp(&where->address.sa, BACKLOG, listener, err);
}

int vm_gdb_open(struct vm *vm, struct error *err)
{
	const struct gdb_where *where = &vm->config->gdb;
	struct vm_gdb *gdb;
	int rc;

	if (where->kind == GDB_ON_NOTHING)
		return 0;
	rc = create(vm, err);
	if (rc < 0)
		return rc;
	gdb = vm->gdb;
	rc = listen_on(where, &vm->gdb_listener, err);
	if (rc < 0)
		return error_prefix(err, rc, "--gdb");
	gdb->listener = (struct event_source){
		.fd = vm->gdb_listener.fd, .events = EPOLLIN, .fn = on_listener, .opaque = gdb};
	rc = event_loop_add(vm->loop, &gdb->listener);
	if (rc < 0)
		return error_set_errno(err, rc, "--gdb");
	if (where->wait)
		vm->held = gdb->kept_from = true;
	if (where->is_open)
		log_msg(vm->log, LOG_WARN,
			"--gdb: whoever reaches that address can read and change all of the guest");
	return 0;
}

void vm_gdb_close(struct vm *vm)
{
	struct vm_gdb *gdb = vm->gdb;

	if (!gdb)
		return;
	hang_up(gdb);
	event_loop_remove(vm->loop, &gdb->hit);
	event_loop_remove(vm->loop, &gdb->broken);
	if (gdb->listener.fd >= 0) {
		event_loop_remove(vm->loop, &gdb->listener);
		char_unlisten(&vm->gdb_listener);
	}
	gdb_destroy(gdb->stub);
	free(gdb);
	vm->gdb = NULL;
}

bool vm_gdb_keeps_kaslr(const struct vm *vm)
{
	return vm->gdb && vm->gdb->client.fd >= 0 && vm->boots;
}

static struct gdb_place find(void *opaque, uint64_t addr)
{
	return vm_gdb_find(opaque, 0, addr);
}

/* All run, also those that a step of the last boot would have left out. */
static int renew(struct vm_gdb *gdb, struct error *err)
{
	enum gdb_action actions[GDB_MAX_CPUS];
	unsigned int lost;

	lost = gdb_points_renew(&gdb->points, machine_memory(gdb->vm->machine), find, gdb);
	if (lost)
		log_msg(gdb->vm->log, LOG_WARN,
			"gdb: %u breakpoints have no place before the kernel runs; set them anew",
			lost);
	for (unsigned int i = 0; i < GDB_MAX_CPUS; i++)
		actions[i] = GDB_RUN;
	gdb->at_register = false;
	return vm_gdb_apply(gdb, actions, err);
}

int vm_gdb_start(struct vm *vm, struct error *err)
{
	char line[128];

	if (!vm->gdb)
		return 0;
	if (vm_gdb_symbols(vm->gdb, false, line, sizeof(line)))
		log_limited(vm->log, &vm->limit, LOG_INFO, "gdb: %s", line);
	if (vm->gdb->kept_from && !vm->boots)
		log_msg(vm->log, LOG_INFO, "the guest waits for gdb");
	return vm->gdb->client.fd >= 0 ? renew(vm->gdb, err) : 0;
}

void vm_gdb_crashed(struct vm *vm)
{
	const struct gdb_stop stop = {.reason = GDB_BY_CRASH};

	if (!vm->gdb || vm->gdb->client.fd < 0)
		return;
	vm_hold(vm);
	gdb_stopped(vm->gdb->stub, 0, &stop);
	/* Nobody was waiting to hear of it. */
	if (!gdb_is_stopped(vm->gdb->stub))
		vm_release(vm);
}

void vm_gdb_ended(struct vm *vm, int status)
{
	if (!vm->gdb)
		return;
	gdb_ended(vm->gdb->stub, status);
	hang_up(vm->gdb);
}

/* ---- bantam gdb ---- */

enum { GDB_FD };

static const struct control_field fields[] = {
	[GDB_FD] = {"fd", CONTROL_FD, true}, /* a stream socket */
};

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool is_free(struct control_job *job, struct vm *vm)
{
	bool taken;

	if (vm->gdb && has_gone(vm->gdb))
		hang_up(vm->gdb);
	taken = vm->gdb && vm->gdb->client.fd >= 0;
	if (taken)
		control_fail(job, -EBUSY, "another debugger is connected");
	return !taken;
}

static void start_gdb(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	int rc;

	if (!is_free(job, vm))
		return;
	rc = is_stream(job->args[GDB_FD].fd) ? create(vm, &err)
					     : error_set(&err, -EINVAL, "no stream socket");
	if (!rc)
		rc = take_client(vm->gdb, job->args[GDB_FD].fd, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	job->args[GDB_FD].fd = -1;
	vm->gdb->job = job;
}

/* Who has brought the client has gone; the client is another process. */
static void cancel_gdb(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;

	if (vm->gdb && vm->gdb->job == job)
		vm->gdb->job = NULL;
}

static void start_info(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	char line[128];
	int rc;

	if (!is_free(job, vm))
		return;
	rc = create(vm, &err);
	if (rc < 0) {
		control_fail(job, rc, "%s", err.text);
		return;
	}
	if (vm_gdb_symbols(vm->gdb, true, line, sizeof(line)))
		control_put_text(job, "symbols", line);
	control_done(job);
}

static const struct control_command commands[] = {
	{.name = "gdb",
		.fields = fields,
		.num_fields = ARRAY_SIZE(fields),
		.start = start_gdb,
		.cancel = cancel_gdb},
	{.name = "gdb-info", .start = start_info},
};

const struct control_family vm_gdb_family = {commands, ARRAY_SIZE(commands)};
