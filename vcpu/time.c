/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's time over a pause. The TSC of a guest runs on with the host's, whether the vCPU runs or
 * not. To take a pause out of it, the offset that KVM adds to the host's TSC is moved back by the
 * ticks that have gone by, the same number for all vCPUs, so that they stay in step to the tick.
 *
 * The timer of the local APIC is set anew by the deadline in its MSR, which counts in the guest's
 * TSC. Its other modes count in the host's time and fire when the guest goes on, which is early by
 * the pause at the most: kernels look at their clock and set it again.
 */
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vcpu/vcpu.h"
#include "vcpu_internal.h"

/* Intel SDM vol. 4 */
#define MSR_TSC		 0x10
#define MSR_TSC_DEADLINE 0x6e0

#ifndef KVM_VCPU_TSC_CTRL /* Linux 5.16 */
#define KVM_VCPU_TSC_CTRL   0
#define KVM_VCPU_TSC_OFFSET 0
#endif

bool vcpu_msr(struct vcpu *vcpu, unsigned long request, uint32_t index, uint64_t *value)
{
	_Alignas(struct kvm_msrs)
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)room;
	bool done;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
	done = ioctl(vcpu->fd, request, msrs) == 1;
	*value = msrs->entries[0].data;
	return done;
}

static bool offset(struct vcpu *vcpu, unsigned long request, uint64_t *value)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)value};

	return ioctl(vcpu->fd, request, &attr) == 0;
}

void vcpu_stop_time(struct vcpu *vcpu, struct vcpu_time *time)
{
	*time = (struct vcpu_time){0};
	if (!vcpu_msr(vcpu, KVM_GET_MSRS, MSR_TSC_DEADLINE, &time->deadline))
		time->deadline = 0;
	vcpu_msr(vcpu, KVM_GET_MSRS, MSR_TSC, &time->tsc);
	time->has_offset = offset(vcpu, KVM_GET_DEVICE_ATTR, &time->offset);
}

/*
 * Scaled TSCs (a guest told another frequency than the host's) would need the ticks scaled; this
 * VMM never asks for one.
 */
void vcpu_go_on_from(
	struct vcpu *vcpu, const struct vcpu_time *time, uint64_t stopped_tsc, uint64_t now_tsc)
{
	uint64_t moved = time->offset - (now_tsc - stopped_tsc), tsc = time->tsc;
	uint64_t deadline = time->deadline;

	if (!time->has_offset || !offset(vcpu, KVM_SET_DEVICE_ATTR, &moved))
		vcpu_msr(vcpu, KVM_SET_MSRS, MSR_TSC, &tsc);
	if (deadline)
		vcpu_msr(vcpu, KVM_SET_MSRS, MSR_TSC_DEADLINE, &deadline);
}
