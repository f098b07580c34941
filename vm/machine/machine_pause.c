/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine that stands still. The order is the data's: first its vCPUs (the caller's), so that
 * nothing new is asked for; then the disks, which begin nothing more, and finish what they have
 * while the rest goes on (machine_busy_disk); then the networks, whose thread is held; then the
 * clocks. Going on is the reverse.
 *
 * A guest learns of its TSC and kvm-clock from KVM. Both are put back to what they were, so that no
 * time has gone by for it: no timer is late, no watchdog barks. What it knows of the world's time
 * (CLOCK_REALTIME) then lags by the pause, until it asks: the RTC has the right one.
 */
#include "machine_private.h"

#include <errno.h>
#include <stdlib.h>

#include "vcpu/vcpu.h"
#include "virtio/device.h"
#include "virtio/transport.h"
#include "vm/core/error.h"
#include "vm/kvm/kvm.h"
#include "vm/machine/nets.h"

struct machine_stopped {
	struct kvm_vm_moment at;
	struct vcpu_time vcpus[];
};

static void stop_clocks(struct machine *m)
{
	m->stopped->at = kvm_vm_now(m->kvm);
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_stop_time(m->vcpus[i], &m->stopped->vcpus[i]);
}

/*
 * kvm-clock goes on from some moment within the call that sets it. That moment is found by what it
 * shows next, and the TSCs go on from the same one: a guest watches one by the other.
 */
static void start_clocks(struct machine *m)
{
	const struct machine_stopped *stopped = m->stopped;
	const uint64_t khz = vcpu_tsc_khz(m->vcpus[0]);
	struct kvm_vm_moment now;
	uint64_t ns = 0;

	kvm_vm_set_clock_ns(m->kvm, stopped->at.clock_ns);
	now = kvm_vm_now(m->kvm);
	if (stopped->at.clock_ns && now.clock_ns > stopped->at.clock_ns)
		ns = now.clock_ns - stopped->at.clock_ns;
	now.host_tsc -= (uint64_t)((unsigned __int128)ns * khz / (NSEC_PER_SEC / 1000));
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		vcpu_go_on_from(
			m->vcpus[i], &stopped->vcpus[i], stopped->at.host_tsc, now.host_tsc);
}

void machine_pause(struct machine *m)
{
	if (m->stopped)
		return;
	for (unsigned int i = 0; i < m->num_virtio; i++)
		virtio_device_try_pause(m->virtio[i].vdev);
	nets_hold(m->env.nets);
	m->stopped = calloc(1, sizeof(*m->stopped) + m->num_vcpus * sizeof(m->stopped->vcpus[0]));
	/* Without memory for it, time goes by: late timers, no more. */
	if (m->stopped)
		stop_clocks(m);
}

const char *machine_busy_disk(struct machine *m)
{
	for (unsigned int i = 0; i < m->num_virtio; i++)
		if (!virtio_device_try_pause(m->virtio[i].vdev))
			return virtio_device_name(m->virtio[i].vdev);
	return NULL;
}

/* What can fail comes first: devices that are paused have nothing for a network that runs. */
int machine_resume(struct machine *m, bool catch_up, struct error *err)
{
	int rc = nets_resume(m->env.nets, err);

	if (rc < 0)
		return rc;
	if (catch_up || !m->stopped)
		machine_tell_paused(m);
	else
		start_clocks(m);
	free(m->stopped);
	m->stopped = NULL;
	for (unsigned int i = 0; i < m->num_virtio; i++)
		virtio_device_resume(m->virtio[i].vdev);
	return 0;
}
