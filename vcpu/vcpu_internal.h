/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of vcpu/ only. */
#ifndef BANTAM_VCPU_VCPU_INTERNAL_H
#define BANTAM_VCPU_VCPU_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>

#include "vcpu/vcpu.h"

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
	int run_errno;		   /* what KVM_RUN failed with, 0 if it did not */
};

/* What the loop does after an exit. */
enum vcpu_next { VCPU_CONTINUE, VCPU_STOP };

/* vcpu/exits.c: handles run->exit_reason; on VCPU_STOP *end says why. */
enum vcpu_next vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_end *end);
const char *vcpu_exit_name(uint32_t reason);

/* vcpu/setup.c: registers, MSRs and CPUID of a new vCPU. */
int vcpu_setup(struct vcpu *vcpu, struct error *err);

#endif
