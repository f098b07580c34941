/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU: its KVM descriptor, its registers, and the thread that runs it. Exits to user space go
 * through a table (vcpu/exits.c) to the port and MMIO buses or to the end of the VM.
 *
 * Threads: create, start, stop and destroy belong to the VM's main thread. The report callback
 * comes from the vCPU's own thread, which runs no guest code any more afterwards.
 */
#ifndef BANTAM_VCPU_VCPU_H
#define BANTAM_VCPU_VCPU_H

#include <stdatomic.h>
#include <time.h>

#include "vm/core/base.h"

struct bus;
struct coalesced_ports;
struct cpuid_template;
struct entry_state;
struct error;
struct guest_mem;
struct kvm_vm;
struct vcpu;

/* Why a vCPU stopped by itself. */
enum vcpu_end {
	VCPU_HALTED,	   /* HLT with interrupts off: nothing will wake it */
	VCPU_TRIPLE_FAULT, /* KVM_EXIT_SHUTDOWN */
	VCPU_GUEST_OFF,	   /* KVM_EXIT_SYSTEM_EVENT */
	VCPU_GUEST_RESET,
	VCPU_GUEST_CRASHED,
	VCPU_NO_MEMORY,	     /* the host cannot give a page that the guest used */
	VCPU_INTERNAL_ERROR, /* KVM gave up; vcpu_describe says how */
	VCPU_DEBUG,	     /* where a debugger wants it to stop, see vcpu/debug.h */
};

struct vcpu_config {
	struct kvm_vm *vm;
	unsigned int id;		 /* also the APIC id */
	struct cpuid_template *cpuid;	 /* shared by all vCPUs, used while they are created */
	const struct entry_state *entry; /* NULL: wait for INIT and SIPI */
	struct bus *pio;
	struct bus *mmio;
	struct coalesced_ports *coalesced; /* NULL: every access is an exit */
	/* Set once the VM is to end or to pause: the thread leaves its loop before the next entry.
	 */
	const _Atomic bool *ending;
	void (*report)(void *opaque, unsigned int id, enum vcpu_end end);
	void *opaque;
	const struct confine *confine; /* of its thread, or NULL */
	const int *tasks_fd; /* a directory like /proc/self/task; NULL, or one of -1: that */
};

int vcpu_create(const struct vcpu_config *config, struct vcpu **ret, struct error *err);
void vcpu_destroy(struct vcpu *vcpu); /* stops it first; NULL is allowed */

/* Starts or, after vcpu_stop, resumes. */
int vcpu_start(struct vcpu *vcpu, struct error *err);
/* Asks the thread to leave the guest; *ending must be set. Call for all vCPUs, then join each. */
void vcpu_kick(struct vcpu *vcpu);
void vcpu_join(struct vcpu *vcpu);
/* False: it is not out at that time, of CLOCK_MONOTONIC; a device waits, say. */
bool vcpu_join_until(struct vcpu *vcpu, const struct timespec *until);

/*
 * The vCPU's own time, its TSC and what waits for it, when it has stopped; and going on from there.
 * stopped_tsc and now_tsc are the host's then and now, the same for all vCPUs: that keeps their
 * TSCs in step.
 */
struct vcpu_time {
	uint64_t tsc, deadline; /* MSRs */
	uint64_t offset;	/* KVM's, to the host's TSC */
	bool has_offset; /* Linux 5.16; without, the MSR is written, and KVM guesses what is in step
			  */
};
void vcpu_stop_time(struct vcpu *vcpu, struct vcpu_time *time);
void vcpu_go_on_from(
	struct vcpu *vcpu, const struct vcpu_time *time, uint64_t stopped_tsc, uint64_t now_tsc);

/*
 * Makes the vCPU look whether it sleeps in HLT with interrupts off, and report VCPU_HALTED then.
 * With the irqchip in the kernel a HLT is no exit, so somebody has to ask now and then.
 */
void vcpu_check_halted(struct vcpu *vcpu);

/*
 * A non-maskable interrupt, as from a button on the board; one that is not started yet hears
 * nothing. At any time; a vCPU whose thread is out gets it when it goes on.
 */
void vcpu_nmi(struct vcpu *vcpu);

/*
 * The guest has stood still, and its clock has not: it is told by its kvm-clock before it runs
 * next, so that its watchdogs do not take the time for a lockup. After vcpu_join, before
 * vcpu_start; or at any time between vcpu_start and vcpu_join. A vCPU that a signal has stopped
 * together with all of Bantam tells so by itself.
 */
void vcpu_tell_paused(struct vcpu *vcpu);

/*
 * Both for a vCPU whose thread is out. Whether it does so, or was never started: when all do, the
 * guest is over. And whether it has a program's memory in its page tables, see user_pages_mapped;
 * also true where KVM does not tell.
 */
bool vcpu_sleeps_for_ever(struct vcpu *vcpu);
bool vcpu_has_user_pages(struct vcpu *vcpu, const struct guest_mem *mem);

/*
 * Prints registers, the bytes at RIP and what KVM said, for a person. The vCPU is stopped.
 * Returns the number of bytes written to buf, which is always terminated.
 */
size_t vcpu_describe(struct vcpu *vcpu, const struct guest_mem *mem, char *buf, size_t size);

/* How often the vCPU came out to us, by KVM's reason, since it was made. Any thread. */
enum { VCPU_NUM_EXITS = 40 };
uint64_t vcpu_exits(const struct vcpu *vcpu, unsigned int reason);
/* "io", "mmio"...; NULL: there is no such reason, or none that we know. */
const char *vcpu_exit_word(unsigned int reason, char word[32]);
/* Of the host, kHz; 0: KVM does not tell. */
uint64_t vcpu_tsc_khz(const struct vcpu *vcpu);

/*
 * What the kernel knows about the vCPU. KVM gives its descriptor only while the vCPU is out, so the
 * thread has to fetch it, once: want_stats asks it to, and is true when nothing is left to wait
 * for. What the host's kernel does not tell is not valid. Main thread.
 */
enum vcpu_stat {
	VCPU_STAT_EXITS, /* all of them, those too that KVM serves itself */
	VCPU_STAT_HALTS,
	VCPU_STAT_INTERRUPTS, /* given to the guest */
	VCPU_STAT_HALTED_NS,
	VCPU_STAT_STEAL_NS, /* ready to run, and another ran */
	NUM_VCPU_STATS
};

struct vcpu_stats {
	uint32_t valid; /* a bit for each */
	uint64_t value[NUM_VCPU_STATS];
};

bool vcpu_want_stats(struct vcpu *vcpu);
void vcpu_read_stats(struct vcpu *vcpu, struct vcpu_stats *ret);

/* Installs the (empty) handler of the signal that vcpu_kick sends. Once per process, idempotent. */
int vcpu_signal_setup(struct error *err);

#endif
