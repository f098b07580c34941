/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command "dump". A thread of its own writes the file while the VM stands still, or goes on if
 * that was asked for; the main thread goes on in any case. The file is the client's, and the VM
 * never learns its name.
 *
 *	start --> vm->dump, thread --finished, posted--> join, resume, answer
 *	cancel (the client is gone) --> the thread gives up soon, and the rest is the same
 *	vm_dump_stop (the guest's memory goes) --> the same at once
 */
#include "vm_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/core/confine.h"
#include "vm/core/error.h"
#include "vm/dump/dump.h"
#include "vm/machine/machine.h"
#include "vm/sandbox/sandbox.h"

enum { DUMP_FILE, DUMP_NO_PAUSE };

static const struct control_field fields[] = {
	[DUMP_FILE] = {"file", CONTROL_FD, true},
	[DUMP_NO_PAUSE] = {"no_pause", CONTROL_FLAG, false},
};

#define PROGRESS_NS (NSEC_PER_SEC / 4)

struct vm_dump {
	struct vm *vm;
	struct control_job *job; /* NULL: nobody waits any more */
	struct dump_config config;
	struct vcpu_registers *cpus; /* owned */
	_Atomic bool cancel;
	_Atomic uint64_t done;
	pthread_t thread;
	struct event_source finished;
	/* The thread's, until finished */
	int rc;
	struct error err;
};

static void *dump_thread(void *opaque)
{
	struct vm_dump *dump = opaque;

	confine_enter(sandbox_confine(dump->vm->sandbox), CONFINE_DUMP);
	dump->rc = dump_write(&dump->config, &dump->err);
	event_loop_post(dump->vm->loop, &dump->finished);
	return NULL;
}

static void free_dump(struct vm_dump *dump)
{
	if (dump->config.fd >= 0)
		close(dump->config.fd);
	free(dump->cpus);
	free(dump);
}

/* After a pause that was for the dump alone. One that is about to end need not go on. */
static void go_on(struct vm *vm)
{
	struct error err;
	const int rc = vm->paused_by_dump ? vm_resume(vm, false, "dump", &err) : 0;

	if (rc < 0 && rc != -EBUSY)
		log_msg(vm->log, LOG_ERROR, "the VM stays paused after its dump: %s", err.text);
}

static void put_progress(const struct vm_dump *dump)
{
	control_put_number(dump->job, "done", atomic_load(&dump->done));
	control_put_number(dump->job, "size", dump_ram_size(dump->config.mem));
}

/* The thread is joined. why is for one that is not whole. */
static void end_dump(struct vm_dump *dump, const char *why)
{
	if (dump->job && dump->rc < 0) {
		control_fail(dump->job, dump->rc, "%s", why);
	} else if (dump->job) {
		put_progress(dump);
		control_done(dump->job);
	}
	free_dump(dump);
}

static void on_finished(void *opaque, uint32_t events)
{
	struct vm_dump *dump = opaque;
	struct vm *vm = dump->vm;

	(void)events;
	/* It ends, and vm_dump_stop comes; or it only seemed to, and goes on. */
	if (atomic_load(&vm->end) != VM_END_NONE) {
		event_loop_post(vm->loop, &dump->finished);
		return;
	}
	pthread_join(dump->thread, NULL);
	vm->dump = NULL;
	go_on(vm);
	end_dump(dump, dump->err.text);
}

static void report_progress(void *opaque)
{
	struct control_job *job = opaque;

	put_progress(job->state);
	control_emit(job);
	control_after(job, PROGRESS_NS, report_progress);
}

/* Registers are those of one moment, also when the VM goes on. */
static int take_registers(struct vm_dump *dump, bool no_pause, struct error *err)
{
	struct vm *vm = dump->vm;
	int rc;

	if (!vm->paused) {
		vm_pause(vm, "dump");
		vm->paused_by_dump = true;
	}
	dump->config.mem = machine_memory(vm->machine);
	dump->config.num_cpus = vm->config->cpus;
	rc = machine_registers(vm->machine, &dump->cpus, err);
	dump->config.cpus = dump->cpus;
	if (rc < 0 || no_pause)
		go_on(vm);
	return rc;
}

static int start_thread(struct vm_dump *dump, struct error *err)
{
	const int rc = -pthread_create(&dump->thread, NULL, dump_thread, dump);

	if (rc < 0)
		return error_set_errno(err, rc, "a thread for the dump");
	dump->vm->dump = dump;
	return 0;
}

static int check_file(int fd, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(err, -errno, "the dump");
	/* Another one may keep its writer waiting, or cannot have holes. */
	if (!S_ISREG(st.st_mode))
		return error_set(err, -EINVAL, "a dump goes to a regular file");
	return 0;
}

static int begin(struct control_job *job, struct vm *vm, struct error *err)
{
	struct vm_dump *dump;
	int rc = check_file(job->args[DUMP_FILE].fd, err);

	if (rc < 0)
		return rc;
	dump = calloc(1, sizeof(*dump));
	if (!dump)
		return error_set_errno(err, -ENOMEM, "the dump");
	dump->vm = vm;
	dump->job = job;
	dump->finished = (struct event_source){.fd = -1, .fn = on_finished, .opaque = dump};
	dump->config = (struct dump_config){.fd = -1,
		.skip_untouched = vm->config->hugepages,
		.cancel = &dump->cancel,
		.done = &dump->done};
	rc = take_registers(dump, job->args[DUMP_NO_PAUSE].number, err);
	if (!rc) {
		dump->config.fd = job->args[DUMP_FILE].fd;
		job->args[DUMP_FILE].fd = -1;
		job->state = dump;
		rc = start_thread(dump, err);
		if (rc < 0)
			go_on(vm);
	}
	if (rc < 0)
		free_dump(dump);
	return rc;
}

static void start_dump(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct error err = {""};
	int rc;

	if (vm->dump) {
		control_fail(job, -EBUSY, "a dump is being written already");
		return;
	}
	rc = begin(job, vm, &err);
	if (rc < 0)
		control_fail(job, rc, "%s", err.text);
	else
		control_after(job, PROGRESS_NS, report_progress);
}

/* What is under way in a system call is waited for later, by on_finished. */
static void cancel_dump(struct control_job *job, void *opaque)
{
	struct vm_dump *dump = job->state;

	(void)opaque;
	dump->job = NULL;
	atomic_store(&dump->cancel, true);
}

void vm_dump_stop(struct vm *vm)
{
	struct vm_dump *dump = vm->dump;

	if (!dump)
		return;
	atomic_store(&dump->cancel, true);
	pthread_join(dump->thread, NULL);
	event_loop_remove(vm->loop, &dump->finished);
	vm->dump = NULL;
	end_dump(dump, "the guest has ended or was reset meanwhile");
}

static const struct control_command commands[] = {
	{.name = "dump",
		.fields = fields,
		.num_fields = ARRAY_SIZE(fields),
		.start = start_dump,
		.cancel = cancel_dump},
};

const struct control_family vm_dump_family = {commands, ARRAY_SIZE(commands)};
