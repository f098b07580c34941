/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: the one place that names concrete devices and wires them. Built anew for each boot
 * of the guest, so that a reboot finds hardware as pristine as the first start did; what belongs
 * to the host (back ends, open files, /dev/kvm) comes in from outside and stays.
 *
 * Threads: everything here is called by the VM's main thread, except as noted.
 */
#ifndef BANTAM_VM_MACHINE_MACHINE_H
#define BANTAM_VM_MACHINE_MACHINE_H

#include <stdatomic.h>
#include <stdio.h>

#include "devices/power.h"
#include "loader/image/image.h"
#include "vcpu/vcpu.h"
#include "vm/config/config.h"

struct blk;
struct chardev;
struct confine;
struct clock;
struct disks;
struct error;
struct event_loop;
struct guest_mem;
struct kvm_host;
struct log;
struct machine;
struct nets;
struct unpack_keep;
struct shares;
struct vcpu_registers;
struct virtio_balloon;

/* Those that come and go; others are MACHINE_FIXED. */
enum machine_device_kind { MACHINE_FIXED, MACHINE_DISK, MACHINE_NET };

struct machine_env {
	const struct config *config;
	const char *cmdline;	    /* complete */
	const char *own_cmdline;    /* without the default words, for other kernels than Linux */
	const struct image *kernel; /* or the flat binary */
	const struct image *initrds;
	unsigned int num_initrds;
	struct unpack_keep *keep;  /* over boots */
	struct kvm_host *kvm;	   /* NULL: no vCPUs, for --dry-run */
	const struct clock *clock; /* the guest's, which pauses with it */
	struct log *log;
	struct event_loop *loop; /* the main thread's */
	struct disks *disks;
	struct nets *nets;
	struct shares *shares;			   /* or NULL */
	struct chardev *serial[CONFIG_MAX_SERIAL]; /* NULL where nothing is connected */
	struct chardev *console;		   /* the virtio console's, or NULL */
	struct chardev *ports[CONFIG_MAX_PORTS];
	uint64_t balloon_target; /* if there is one */
	/* What KASLR goes by: made, or if same is set taken as it is. */
	uint64_t *kaslr_random; /* two */
	bool same_kaslr;
	/* The guest has let go of a device: take it out. On the main thread's loop. */
	void (*ejected)(void *opaque, enum machine_device_kind kind, unsigned int index);
	/* What follows is called from vCPU threads. */
	struct power_sink power;
	void (*vcpu_ended)(void *opaque, unsigned int vcpu, enum vcpu_end end);
	void (*exit_port)(void *opaque, uint8_t status); /* the guest wants it to be the VM's */
	void *opaque;
	const _Atomic bool *ending;
	const struct confine *confine; /* of vCPUs, or NULL */
	const int *tasks_fd;	       /* see vcpu_config */
};

/*
 * Everything env points to must outlive the machine. On failure *refused tells whether it is what
 * the person gave (the guest's image cannot be booted), rather than the host that failed.
 */
int machine_build(
	const struct machine_env *env, struct machine **ret, bool *refused, struct error *err);
/* Stops the vCPUs first (env->ending must be set); NULL is allowed. */
void machine_destroy(struct machine *machine);

int machine_start(struct machine *machine, struct error *err); /* also after machine_stop */
void machine_stop(struct machine *machine); /* env->ending is set; returns with all vCPUs out */
/* The same; false: one was not out after so long, and it can be called again. */
bool machine_stop_within(struct machine *machine, uint64_t ms);

/* The guest has stood still: tells it, see vcpu_tell_paused. */
void machine_tell_paused(struct machine *machine);

/*
 * Between the two nothing of the machine moves: disks finish what is under way, as long as there is
 * a machine_busy_disk, and begin nothing; networks and other devices leave the guest's memory
 * alone, and its clocks stand still (but for env->clock, which is the caller's to stop). The vCPUs
 * have been stopped, and are started by the caller afterwards. With catch_up the guest's clocks go
 * on from now. Twice is once.
 */
void machine_pause(struct machine *machine);
/* Its name; NULL: there is none. While the machine is paused. */
const char *machine_busy_disk(struct machine *machine);
int machine_resume(struct machine *machine, bool catch_up, struct error *err);

/*
 * Hot-plug, while the machine runs; index is that of disks.h and nets.h, and the networks' thread
 * is held for a network. -errno with a line.
 *
 * can_add says whether anything can be added at all.
 * add makes the device of a disk or network and tells the guest. can_ask says whether the guest can
 * be asked for a device at all, and ask does so; env->ejected comes when it has let go of it.
 * take_out takes the device away, asked for or not, and no vCPU runs meanwhile.
 */
int machine_can_add(const struct machine *machine, struct error *err);
int machine_add(struct machine *machine, enum machine_device_kind kind, unsigned int index,
	struct error *err);
int machine_can_ask(struct machine *machine, enum machine_device_kind kind, unsigned int index,
	struct error *err);
void machine_ask(struct machine *machine, enum machine_device_kind kind, unsigned int index);
void machine_take_out(struct machine *machine, enum machine_device_kind kind, unsigned int index);
/* See virtio_blk_swap and virtio_net_set_link. */
int machine_swap_disk(
	struct machine *machine, unsigned int index, struct blk *blk, const char *name);
void machine_set_link(struct machine *machine, unsigned int index, bool up);
/* The device's place on the PCI bus; 0: it has none. */
unsigned int machine_slot(
	struct machine *machine, enum machine_device_kind kind, unsigned int index);

void machine_power_button(struct machine *machine);
void machine_nmi(struct machine *machine, unsigned int cpu); /* see vcpu_nmi */
/* A break and a key on the first serial port: see uart_sysrq; -ENODEV: there is none. */
int machine_sysrq(struct machine *machine, uint8_t key);

/* Its RAM, and its balloon or NULL: as long as the machine is. */
const struct guest_mem *machine_memory(const struct machine *machine);
struct virtio_balloon *machine_balloon(const struct machine *machine);
/* Of each vCPU; *ret is the caller's. The vCPUs are out. -errno with a line. */
int machine_registers(struct machine *machine, struct vcpu_registers **ret, struct error *err);

/* Looks whether the first vCPU sleeps for ever, see vcpu_check_halted. */
void machine_check_halted(struct machine *machine);

/* Both after machine_stop: whether all vCPUs sleep for ever; whether one has a program in memory.
 */
bool machine_is_halted(struct machine *machine);
bool machine_reached_user_space(struct machine *machine);

/* True when the guest's kernel left the mark of "reboot=panic_warm" behind. */
bool machine_has_panic_mark(const struct machine *machine);

/* Prints the machine for a person (--dry-run). */
void machine_print(const struct machine *machine, FILE *out);

/* Writes its device tree (--dump-dtb), see fdt_file_write. */
int machine_dump_dtb(const struct machine *machine, const char *path, struct error *err);

/*
 * What the machine has counted since it was built, as an object's values; see
 * Documentation/control.md. Asks the kernel, so it is for those who asked; want_stats is true once
 * there is nothing left to wait for, see vcpu_want_stats.
 */
struct stats_sink {
	void (*number)(void *opaque, const char *key, uint64_t value);
	void (*real)(void *opaque, const char *key, double value);
	void (*text)(void *opaque, const char *key, const char *value);
	void (*flag)(void *opaque, const char *key, bool value);
	void (*open)(void *opaque, const char *key, bool list); /* a list's elements have no key */
	void (*close)(void *opaque);
	void *opaque;
};

bool machine_want_stats(struct machine *machine);
void machine_stats(struct machine *machine, const struct stats_sink *sink);

/*
 * Changes what a disk ("disk0", in the order of the options) or a card ("net0") may do. direction
 * counts for cards. What change does not name stays, and if that is all nothing is done; off takes
 * all limits away. *now is what holds
 * then. -ENODEV: there is no such device; -EINVAL, -EOPNOTSUPP, all with a line. A reboot keeps it.
 */
int machine_limit(struct machine *machine, const char *device, enum limit_direction direction,
	const struct limit_config *change, bool off, struct limit_config *now, struct error *err);
/* Whether that is a card, and has two directions. */
bool machine_is_card(const struct machine *machine, const char *device);

/* The state of a vCPU that ended, see vcpu_describe. */
size_t machine_describe_vcpu(struct machine *machine, unsigned int vcpu, char *buf, size_t size);

#endif
