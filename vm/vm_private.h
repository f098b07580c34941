/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the VM: vm.c runs boots of a machine; vm_host.c has what the host provides for them,
 * vm_images.c the files that the guest starts from, vm_halt.c looks whether it halted, vm_pause.c
 * stops and resumes it, vm_hung.c ends one that cannot be taken apart, vm_control.c and
 * vm_commands.c let it be reached by other processes.
 */
#ifndef BANTAM_VM_VM_PRIVATE_H
#define BANTAM_VM_VM_PRIVATE_H

#include <stdatomic.h>

#include "devices/char/listen.h"
#include "loader/image/image.h"
#include "loader/unpack/unpack.h"
#include "vm/boot_guard.h"
#include "vm/control/control.h"
#include "vm/control/registry.h"
#include "vm/core/clock.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"
#include "vm/machine/machine.h"
#include "vm/vm.h"

struct chardev;
struct disks;
struct fit;
struct follower;
struct kernel_found;
struct janitor;
struct journal;
struct kvm_host;
struct machine;
struct nets;
struct sandbox;
struct shares;
struct server;
struct vm_dump;
struct vm_gdb;
struct vm_notices;

struct vm {
	const struct config *config;
	struct log *log;
	struct event_loop *loop;
	struct timer_queue *timers;
	struct timer_queue *guest_timers; /* of the machine: they pause with it */
	struct kvm_host *kvm;
	struct kernel_found *found; /* the kernel's path, when none was named */
	struct image file;	    /* the kernel, or the FIT image that has it */
	bool file_open;
	char *fit_path, *fit_config; /* owned: "app.itb" of "app.itb#conf", and "conf" */
	struct fit *fit;	     /* while a machine is built, or NULL */
	struct image kernel;
	struct image initrds[LOADER_MAX_INITRDS + 1]; /* the FIT's first */
	unsigned int num_initrds;
	struct unpack_keep keep; /* the kernel that was unpacked */
	char *cmdline;
	char *own_cmdline; /* without the default words */
	struct chardev *serial[CONFIG_MAX_SERIAL];
	struct chardev *console; /* virtio's, when stdio is that, or NULL */
	struct chardev *ports[CONFIG_MAX_PORTS];
	struct chardev *terminal; /* the one on stdio, or NULL */
	struct chardev *hub;	  /* one of the above, that `bantam console` reaches, or NULL */
	struct disks *disks;
	struct nets *nets;
	struct shares *shares;
	struct event_source signals;
	struct log_limit limit; /* of what is said at each boot */
	struct machine *machine;
	struct timer halt_timer;
	uint64_t halt_period_ns;
	struct boot_guard guard;

	struct registry registry; /* its name */
	struct control *control;  /* NULL: it cannot be reached */
	int socket;		  /* what it will be served on, or -1 */
	struct server *server;	  /* once it runs */
	struct sandbox *sandbox;
	struct janitor *janitor; /* or NULL */
	bool confined;		 /* the sandbox was entered, or passed by */
	int tasks_fd;		 /* /proc/self/task, once that path leads nowhere; or -1 */
	struct vm_notices *notices;
	struct journal *journal; /* or NULL */
	uint64_t started_ns;	 /* the first boot, of the timers' clock; 0: not yet */
	unsigned int boots;
	bool still;		 /* neither vCPUs nor devices nor clocks move */
	bool held;		 /* by a debugger */
	bool paused;		 /* by a command, or by the guest's end */
	bool paused_by_end;	 /* the latter */
	bool draining;		 /* it stands still, but disks are still at work */
	struct timer drain;	 /* looks whether they are */
	const char *pause_cause; /* static; for the event */
	bool paused_by_dump;	 /* nobody asked for a pause itself */
	bool stays_paused;	 /* the machine that is built next */
	struct vm_dump *dump;	 /* being written, or NULL */
	struct vm_gdb *gdb;	 /* or NULL */
	struct char_listener gdb_listener;
	uint64_t kaslr_random[2];   /* what the last boot's address comes from */
	uint64_t balloon_target;    /* as asked for last */
	struct event_source logged; /* a line was */
	struct follower *followers;
	const struct vm_callbacks *callbacks; /* or NULL */
	void *callbacks_opaque;
	uint32_t leaving_disks, leaving_nets; /* by index: the guest was asked for them */

	/* The loop's thread only: what the person or the system asked for, whoever was first. */
	enum vm_end order;
	unsigned int stops;   /* commands that wait for the end, whatever --on-poweroff says */
	bool forced;	      /* one of them lost its patience */
	bool left_behind;     /* a disk that hangs: nothing that it uses may be freed */
	bool left_vcpus;      /* nor what vCPUs use */
	const char *reset_by; /* a person's "command" or "console", which counts; NULL: nobody */

	_Atomic int end;		 /* enum vm_end, the first request */
	_Atomic bool ending;		 /* the vCPUs shall leave */
	_Atomic unsigned int end_detail; /* which vCPU, or the status of VM_END_EXIT_PORT */
	_Atomic int signal;
};

/* Opens everything that config names. -errno with a line, and *code as for vm_create. */
int vm_host_open(struct vm *vm, int *code, struct error *err);
/* Takes what was opened by half; the machine is gone. */
void vm_host_close(struct vm *vm);
/* Instead, when something is left behind. */
void vm_host_leave(struct vm *vm);

/* The files that the guest starts from, and its command line; for vm_host.c. */
int vm_images_open(struct vm *vm, struct error *err);
void vm_images_close(struct vm *vm);

/*
 * A FIT image's bytes are in memory only while a machine is built from them: drop lets go of them,
 * load reads them again, for the next boot. Other files are read when they are loaded.
 */
int vm_images_load(struct vm *vm, struct error *err);
void vm_images_drop(struct vm *vm);

/*
 * Its vCPUs run, for the first time in this boot or after a pause. -errno with a line.
 */
int vm_start_vcpus(struct vm *vm, struct error *err);

/*
 * Stops everything of the guest, resumably; twice is once. What disks have begun is not waited for:
 * until it is done, vm->draining is set, and then CONTROL_PAUSED comes, at once if there was
 * nothing. Causes are static, and the events'. Resume lets time stand still for the guest, or with
 * catch_up not. -EBUSY when an end is under way, which has stopped it for good; otherwise it stays
 * paused on failure. Main thread, between vm_start_vcpus and the end.
 */
void vm_pause(struct vm *vm, const char *cause);
int vm_resume(struct vm *vm, bool catch_up, const char *cause, struct error *err);
/* By a person or a debugger. */
bool vm_stands_still(const struct vm *vm);
/*
 * The same for a debugger, who knows nothing of the former: the guest runs when it is neither
 * paused nor held. Nobody is told. A machine that is new is not held before hold_new.
 */
void vm_hold(struct vm *vm);
void vm_hold_new(struct vm *vm);
void vm_release(struct vm *vm);
/* It runs, from wherever it was stopped. -errno with a line, and it stands still. */
int vm_go_on(struct vm *vm, bool catch_up, struct error *err);
/* For a machine that is about to go: what pause did to the host's side. */
void vm_forget_pause(struct vm *vm);

/*
 * Takes the VM's name if one was asked for, and makes its command engine. vm_control_bind takes a
 * name if need be and makes the socket; vm_control_serve serves it, which takes nothing of the
 * start's time. A host that has no place for either is said, and no error unless a name was asked
 * for.
 */
int vm_control_open(struct vm *vm, struct error *err);
void vm_control_bind(struct vm *vm);
void vm_control_serve(struct vm *vm);
/* Tells of the end, with the status that the process will have; no command is served any more. */
void vm_control_end(struct vm *vm, const char *cause, int status);
/*
 * Lets go of the name and hangs up. Who waits for that may use all that the VM had, so it comes
 * when the rest is closed.
 */
void vm_control_close(struct vm *vm);
/* Tells of something. */
void vm_happened(struct vm *vm, enum control_event_kind kind, const char *cause);
void vm_tell(struct vm *vm, struct control_event event);

/* vm_notices.c: what devices tell by their log, on any thread, becomes events. */
int vm_notices_open(struct vm *vm, struct error *err);
void vm_notices_close(struct vm *vm); /* the devices are gone */

/* vm_journal.c: --events and --metrics. -errno with a line. */
int vm_journal_open(struct vm *vm, struct error *err);

/*
 * vm_confine.c: gives up what the VM has no need of once the guest runs. All is open, no thread
 * was started; those of disks and networks are, here. -errno with a line.
 */
int vm_confine(struct vm *vm, struct error *err);
/* Sockets that only another process can remove now are. */
void vm_confine_end(struct vm *vm);

/*
 * vm_hung.c: takes the vCPUs out, env->ending is set; and waits until the disks have done what they
 * began. Without end, unless that was the last boot, or somebody wants it to be: then
 * vm->left_behind is set, and all goes as it is, -errno with a line or false.
 */
int vm_stop_vcpus(struct vm *vm, struct error *err);
bool vm_wait_disks(struct vm *vm, bool last);
/* What the end is then of one that would have been started again. */
enum vm_end vm_told_end(struct vm *vm);

/* vm_dump.c: ends a dump at once, with an error for who waits; the machine is about to go. */
void vm_dump_stop(struct vm *vm);

/*
 * vm_gdb.c: opens what --gdb names. start is for each new machine, before it runs; -errno with a
 * line. hit comes from a vCPU's thread that has stopped where the debugger wants it to, and look is
 * for those that came while the VM seemed to end. crashed: the guest's end has paused it. ended:
 * with the status that the process will have.
 */
int vm_gdb_open(struct vm *vm, struct error *err);
void vm_gdb_close(struct vm *vm);
int vm_gdb_start(struct vm *vm, struct error *err);
void vm_gdb_hit(struct vm *vm);
void vm_gdb_look(struct vm *vm);
void vm_gdb_crashed(struct vm *vm);
void vm_gdb_ended(struct vm *vm, int status);
/* A debugger knows addresses of the kernel: the next boot has it at the same ones. */
bool vm_gdb_keeps_kaslr(const struct vm *vm);

/* vm_stat.c; the rows are in vm_commands.c */
enum { VM_STAT_FIELDS = 1, VM_LIMIT_FIELDS = 9 };
extern const struct control_field vm_stat_fields[VM_STAT_FIELDS];
void vm_stat_start(struct control_job *job, void *vm);
extern const struct control_field vm_limit_fields[VM_LIMIT_FIELDS];
void vm_limit_start(struct control_job *job, void *vm);
/* Name, process, state and so on, as values of a result. */
void vm_put_status(struct control_job *job, const struct vm *vm);

/* vm_hotplug.c: what machine_env calls; and between two boots, devices that are leaving go. */
void vm_hotplug_ejected(void *vm, enum machine_device_kind kind, unsigned int index);
void vm_hotplug_settle(struct vm *vm);

/* vm_commands.c, and a file for each family of commands */
extern const struct control_command vm_commands[];
extern const unsigned int vm_num_commands;
extern const struct control_family vm_console_family;
extern const struct control_family vm_balloon_family;
extern const struct control_family vm_inject_family;
extern const struct control_family vm_dump_family;
extern const struct control_family vm_log_family;
extern const struct control_family vm_gdb_family;
extern const struct control_family vm_disk_family, vm_net_family;

/* vm_log.c: those who follow the log hear of new lines. */
void vm_log_open(struct vm *vm);
void vm_log_close(struct vm *vm); /* nobody logs any more but this thread */

/* From the machine's start to its end: VM_END_HALT is requested when the first vCPU halts. */
void vm_halt_init(struct vm *vm);
void vm_halt_watch(struct vm *vm);
void vm_halt_unwatch(struct vm *vm);

/* What a person or the system wants: counts also when the guest ends at the same moment. */
void vm_order_end(struct vm *vm, enum vm_end end);

#endif
