/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the VM: vm.c runs boots of a machine; vm_host.c has what the host provides for them, and
 * vm_images.c the files that the guest starts from.
 */
#ifndef BANTAM_VM_VM_PRIVATE_H
#define BANTAM_VM_VM_PRIVATE_H

#include <stdatomic.h>

#include "loader/image/image.h"
#include "vm/core/clock.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"
#include "vm/vm.h"

struct chardev;
struct disks;
struct fit;
struct kernel_found;
struct kvm_host;
struct machine;
struct nets;

struct vm {
	const struct config *config;
	struct log *log;
	struct event_loop *loop;
	struct timer_queue *timers;
	struct kvm_host *kvm;
	struct kernel_found *found; /* the kernel's path, when none was named */
	struct image file;	    /* the kernel, or the FIT image that has it */
	bool file_open;
	char *fit_path, *fit_config; /* owned: "app.itb" of "app.itb#conf", and "conf" */
	struct fit *fit;	     /* while a machine is built, or NULL */
	struct image kernel;
	struct image initrds[LOADER_MAX_INITRDS + 1]; /* the FIT's first */
	unsigned int num_initrds;
	char *cmdline;
	char *own_cmdline; /* without the default words */
	struct chardev *serial[CONFIG_MAX_SERIAL];
	struct chardev *console; /* virtio's, when stdio is that, or NULL */
	struct chardev *ports[CONFIG_MAX_PORTS];
	struct chardev *terminal; /* the one on stdio, or NULL */
	struct disks *disks;
	struct nets *nets;
	struct event_source signals;
	struct log_limit limit; /* of what is said at each boot */
	struct machine *machine;
	struct timer halt_timer;
	uint64_t halt_period_ns;

	/* The loop's thread only: what the person or the system asked for, whoever was first. */
	enum vm_end order;

	_Atomic int end;		 /* enum vm_end, the first request */
	_Atomic bool ending;		 /* the vCPUs shall leave */
	_Atomic unsigned int end_detail; /* which vCPU, or the status of VM_END_EXIT_PORT */
	_Atomic int signal;
};

/* Opens everything that config names. -errno with a line, and *code as for vm_create. */
int vm_host_open(struct vm *vm, int *code, struct error *err);
/* Takes what was opened by half; the machine is gone. */
void vm_host_close(struct vm *vm);

/* The files that the guest starts from, and its command line; for vm_host.c. */
int vm_images_open(struct vm *vm, struct error *err);
void vm_images_close(struct vm *vm);

/*
 * A FIT image's bytes are in memory only while a machine is built from them: drop lets go of them,
 * load reads them again, for the next boot. Other files are read when they are loaded.
 */
int vm_images_load(struct vm *vm, struct error *err);
void vm_images_drop(struct vm *vm);

/* What a person or the system wants: counts also when the guest ends at the same moment. */
void vm_order_end(struct vm *vm, enum vm_end end);

#endif
