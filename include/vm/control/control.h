/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command engine: what changes or describes a running VM goes through it. It knows commands,
 * with typed arguments and results, and jobs, which are commands under way; it knows neither
 * sockets nor formats (that is a front end's: vm/control/server.h) nor what a VM is (that is the
 * commands': vm/vm_commands.c).
 *
 *	front end --control_submit--> job --command->start--> control_put_..., control_done
 *	      ^----------------------- sink: put, event, done ------------------'
 *
 * All of it belongs to the main thread and its loop. A command that takes time keeps its job: a
 * state machine of timers and events that ends with control_done or control_fail.
 */
#ifndef BANTAM_VM_CONTROL_CONTROL_H
#define BANTAM_VM_CONTROL_CONTROL_H

#include "vm/core/base.h"
#include "vm/core/clock.h"

struct control;
struct control_job;

enum control_type {
	CONTROL_FLAG,
	CONTROL_NUMBER, /* 0 to 2^63 - 1, as JSON's integers */
	CONTROL_TEXT,	/* at most CONTROL_MAX_TEXT bytes */
	CONTROL_FD,	/* a descriptor of the client's, which the job owns */
};

enum { CONTROL_MAX_FIELDS = 20, CONTROL_MAX_TEXT = 4096 };

struct control_field {
	const char *name;
	enum control_type type;
	bool required;
};

/* One for each field of the command, in its order. */
struct control_value {
	bool given;
	uint64_t number;  /* also of a flag: 0 or 1 */
	const char *text; /* copied by control_submit */
	int fd;		  /* -1 unless given; a command that takes it over sets it to -1 */
};

/* What happened to the VM, for those who listen. */
enum control_event_kind {
	CONTROL_STARTED, /* the guest runs, for the first time or after a reboot */
	CONTROL_PAUSED,
	CONTROL_RESUMED,
	CONTROL_REBOOT,
	CONTROL_POWEROFF,
	CONTROL_PANIC,
	CONTROL_CRASH,	      /* triple fault, or KVM gave up */
	CONTROL_CRASH_KERNEL, /* the guest crashed and takes its dump: it goes on */
	CONTROL_IO_ERROR,     /* of a disk */
	CONTROL_DEVICE,	      /* a device needs a reset, was added or removed */
	CONTROL_BALLOON,
	CONTROL_ENDED, /* the last one */
	NUM_CONTROL_EVENTS,
};

struct control_event {
	enum control_event_kind kind;
	uint64_t realtime_ns;
	const char *cause;  /* one line, or NULL */
	const char *device; /* its name, or NULL */
	int status;	    /* CONTROL_ENDED: the exit status */
};

/* "started", "paused"...; static. */
const char *control_event_name(enum control_event_kind kind);

struct control_command {
	const char *name;
	const struct control_field *fields; /* at most CONTROL_MAX_FIELDS */
	unsigned int num_fields;
	/* Ends the job, or keeps it for later. vm is what control_create got. */
	void (*start)(struct control_job *job, void *vm);
	/* Something happened, after start; for commands that wait. May be NULL. */
	void (*event)(struct control_job *job, void *vm, const struct control_event *event);
	/* The job goes away unfinished: free what hangs on it. May be NULL. */
	void (*cancel)(struct control_job *job, void *vm);
	/* It may go on for as long as its client likes: a front end bounds how many there are. */
	bool endless;
};

/*
 * Where results go. What was put makes one result: an object, in which key names a value; inside a
 * list key is NULL. done is the last call for a job.
 */
struct control_sink {
	void (*put_flag)(void *opaque, const char *key, bool value);
	void (*put_number)(void *opaque, const char *key, uint64_t value);
	void (*put_real)(void *opaque, const char *key, double value);
	void (*put_text)(void *opaque, const char *key, const char *value);
	void (*open)(void *opaque, const char *key, bool list);
	void (*close)(void *opaque);
	/* What was put since is a result of its own; the job goes on. */
	void (*emit)(void *opaque);
	/* code is 0, or a negative errno with a line that says why. */
	void (*done)(void *opaque, int code, const char *text);
};

struct control_job {
	/* For the command: */
	struct control_value args[CONTROL_MAX_FIELDS];
	struct control *control;
	void *state;
	struct timer timer; /* disarmed when the job ends */

	/* The engine's */
	const struct control_command *command;
	const struct control_sink *sink;
	void *opaque;
	struct control_job *next;
	bool starting, over;
	char texts[]; /* copies */
};

/* A table of commands; each file of them has one. */
struct control_family {
	const struct control_command *commands;
	unsigned int num_commands;
};

struct control_config {
	const struct control_command *commands;
	unsigned int num_commands;
	const struct control_family *const *families; /* more of them; NULL, or ends with NULL */
	void *vm;				      /* handed to them */
	const struct clock *clock;
};

int control_create(const struct control_config *config, struct control **ret);
/* Fails the jobs that are left. NULL is allowed. */
void control_destroy(struct control *control);

/* NULL: there is no such command. */
const struct control_command *control_find(const struct control *control, const char *name);
/* All of them, for i from 0 on; NULL behind the last. */
const struct control_command *control_command(const struct control *control, unsigned int i);

/*
 * Starts a command with args, one for each of its fields, checked by type already. Descriptors in
 * args are the job's from now on, whatever happens. sink hears of the end, maybe before this
 * returns; NULL is returned then, otherwise the job, which may be cancelled.
 */
struct control_job *control_submit(struct control *control, const struct control_command *command,
	const struct control_value *args, const struct control_sink *sink, void *opaque);
/* The client is gone: the job ends, and its sink hears nothing any more. */
void control_cancel(struct control_job *job);

/*
 * For commands. Values for the result, then its end. The job is gone when done or fail return.
 * Where emit finds the client gone, the job is cancelled later, by the loop.
 */
void control_put_flag(struct control_job *job, const char *key, bool value);
void control_put_number(struct control_job *job, const char *key, uint64_t value);
void control_put_real(struct control_job *job, const char *key, double value);
void control_put_text(struct control_job *job, const char *key, const char *value);
void control_open(struct control_job *job, const char *key); /* an object */
void control_open_list(struct control_job *job, const char *key);
void control_close(struct control_job *job);
void control_emit(struct control_job *job);
void control_done(struct control_job *job);
void control_fail(struct control_job *job, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* An event as an object's values: "event", "time", "cause", ... */
void control_put_event(struct control_job *job, const struct control_event *event);

/* Has job->timer.fn called with the job in ns from now. */
void control_after(struct control_job *job, uint64_t ns, void (*fn)(void *job));

/* Tells all jobs of it. The time is filled in. */
void control_happened(struct control *control, struct control_event event);
/* Somebody else who hears of all events, after the jobs; NULL for nobody. */
void control_listen(struct control *control,
	void (*fn)(void *opaque, const struct control_event *event), void *opaque);

#endif
