/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of vcpu/ only. */
#ifndef BANTAM_VCPU_VCPU_INTERNAL_H
#define BANTAM_VCPU_VCPU_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>

#include "vcpu/debug.h"
#include "vcpu/vcpu.h"
#include "vm/core/counter.h"

struct vcpu {
	struct vcpu_config config;
	int fd;
	struct kvm_run *run; /* shared with the kernel; run_size bytes */
	size_t run_size;
	struct kvm_coalesced_mmio_ring *ring; /* in there; NULL: every access is an exit */
	pthread_t thread;
	bool started;		   /* main thread only: there is a thread to join */
	_Atomic bool check_halted; /* vcpu_check_halted asked */
	_Atomic bool was_paused;   /* vcpu_tell_paused asked */
	_Atomic bool nmi;	   /* vcpu_nmi asked */
	_Atomic bool open_stats;   /* vcpu_want_stats asked */
	bool wants_stats;	   /* main thread only: it ever did */
	struct vcpu_stats_files {
		_Atomic int kvm, sched;	   /* -1: not there */
		_Atomic uint64_t steal_ns; /* of threads before this one */
	} stats;
	_Atomic bool settle; /* vcpu_want_settled asked */
	uint32_t debugged;   /* what KVM_SET_GUEST_DEBUG was told last */
	uint32_t block_irq;  /* KVM_GUESTDBG_BLOCKIRQ, where KVM has it */
	struct vcpu_debug debug;
	struct vcpu_stop stop; /* the thread's, and the main one's when that is out */
	uint64_t tsc_khz;      /* 0: unknown */
	struct counter exits[VCPU_NUM_EXITS];
	int run_errno; /* what KVM_RUN failed with, 0 if it did not */
};

/* What the loop does after an exit. */
enum vcpu_next { VCPU_CONTINUE, VCPU_STOP };

/* vcpu/exits.c: handles run->exit_reason; on VCPU_STOP *end says why. */
enum vcpu_next vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_end *end);
const char *vcpu_exit_name(uint32_t reason);
/* vcpu/debug.c: of KVM_EXIT_DEBUG */
enum vcpu_next vcpu_handle_debug(struct vcpu *vcpu, enum vcpu_end *end);

/* vcpu/stats.c: on the vCPU's thread, or while there is none */
void vcpu_stats_open(struct vcpu *vcpu);
/* Main thread: there is a thread. */
void vcpu_stats_started(struct vcpu *vcpu);
/* The thread is about to end, and has been joined: its file reads no more. */
void vcpu_stats_leave(struct vcpu *vcpu);
void vcpu_stats_left(struct vcpu *vcpu);
void vcpu_stats_close(struct vcpu *vcpu);

/*
 * vcpu/time.c: KVM_GET_MSRS or KVM_SET_MSRS of one register; false when KVM does not know it. The
 * vCPU's thread is out, or the caller.
 */
bool vcpu_msr(struct vcpu *vcpu, unsigned long request, uint32_t index, uint64_t *value);

/* vcpu/setup.c: registers, MSRs and CPUID of a new vCPU. */
int vcpu_setup(struct vcpu *vcpu, struct error *err);

#endif
