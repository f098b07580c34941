/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread of a vCPU runs the guest, serves exits, and leaves for one of two reasons: somebody
 * set *ending and kicked, or an exit ends the VM, which it then reports.
 *
 * A kick is immediate_exit plus a signal. The signal alone would be lost between the loop's test
 * and KVM_RUN; immediate_exit alone would not get the vCPU out of the guest. The loop clears
 * immediate_exit before it looks at the flags that kickers set first, so none is missed.
 *
 * A signal without a kick is one that has stopped the process (SIGSTOP, a debugger, the freezer):
 * KVM_RUN returns EINTR after it, on the vCPU's own thread, so the guest hears of the pause before
 * it runs an instruction.
 */
#include "vcpu/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vcpu/coalesced.h"
#include "vcpu/cpuid/cpuid.h"
#include "vcpu/user_pages.h"
#include "vcpu_internal.h"
#include "vm/core/confine.h"
#include "vm/core/error.h"
#include "vm/kvm/kvm.h"

/* The handlers we run on it are shallow, and so is the bus. */
enum { STACK_SIZE = 128 * 1024, MAX_ACCESSES = 64 };

#define RFLAGS_IF (1u << 9)

/*
 * Not one of the real-time signals: they need room in a queue that belongs to all processes of the
 * user, and whose limit (ulimit -i) another one may have used up. The vCPU would stay in the guest.
 */
static int kick_signal(void)
{
	return SIGUSR2;
}

static void on_kick(int signal)
{
	(void)signal; /* its arrival is all that matters: KVM_RUN returns */
}

int vcpu_signal_setup(struct error *err)
{
	struct sigaction action = {.sa_handler = on_kick};

	if (sigaction(kick_signal(), &action, NULL) < 0)
		return error_set_errno(err, -errno, "signal handler");
	return 0;
}

static int map_run(struct vcpu *vcpu, struct error *err)
{
	int size = ioctl(kvm_host_fd(kvm_vm_host(vcpu->config.vm)), KVM_GET_VCPU_MMAP_SIZE, 0);
	void *p;

	if (size < (int)sizeof(struct kvm_run))
		return error_set(err, -EIO, "KVM_GET_VCPU_MMAP_SIZE: %d is too small", size);
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (p == MAP_FAILED)
		return error_set_errno(err, -errno, "mapping vCPU %u", vcpu->config.id);
	vcpu->run = p;
	vcpu->run_size = (size_t)size;
	return 0;
}

static void find_ring(struct vcpu *vcpu)
{
	const size_t at = kvm_host_coalesced_ring(kvm_vm_host(vcpu->config.vm));

	if (at && at < vcpu->run_size)
		vcpu->ring = (void *)((uint8_t *)vcpu->run + at);
}

/* The guest's TSC frequency is a vCPU's property in KVM; the first one tells it for all. */
static void learn_tsc(struct vcpu *vcpu)
{
	int khz = vcpu->config.id ? -1 : ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (khz > 0)
		vcpu->tsc_khz = (uint64_t)khz;
	if (khz > 0)
		cpuid_template_set_tsc(vcpu->config.cpuid, (uint32_t)khz);
}

int vcpu_create(const struct vcpu_config *config, struct vcpu **ret, struct error *err)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int rc;

	if (!vcpu)
		return error_set_errno(err, -ENOMEM, "vCPU %u", config->id);
	vcpu->config = *config;
	vcpu->stats.kvm = vcpu->stats.sched = -1;
	vcpu->fd = ioctl(kvm_vm_fd(config->vm), KVM_CREATE_VCPU, (unsigned long)config->id);
	if (vcpu->fd < 0) {
		rc = error_set_errno(err, -errno, "KVM_CREATE_VCPU for vCPU %u", config->id);
		goto free_vcpu;
	}
	rc = map_run(vcpu, err);
	if (rc < 0)
		goto close_fd;
	if (config->coalesced)
		find_ring(vcpu);
	learn_tsc(vcpu);
	rc = vcpu_setup(vcpu, err);
	if (rc < 0)
		goto unmap;
	*ret = vcpu;
	return 0;

unmap:
	munmap(vcpu->run, vcpu->run_size);
close_fd:
	close(vcpu->fd);
free_vcpu:
	free(vcpu);
	return rc;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	if (vcpu->started) {
		vcpu_kick(vcpu);
		vcpu_join(vcpu);
	}
	vcpu_stats_close(vcpu);
	munmap(vcpu->run, vcpu->run_size);
	close(vcpu->fd);
	free(vcpu);
}

/* Asleep in HLT, and no interrupt can end that. (An NMI could: a person's, who comes
 * too late then.) */
static bool is_halted(struct vcpu *vcpu, bool *unstarted)
{
	struct kvm_mp_state mp;
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) < 0)
		return false;
	*unstarted = mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
		     mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
	return mp.mp_state == KVM_MP_STATE_HALTED && ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0 &&
	       !(regs.rflags & RFLAGS_IF);
}

bool vcpu_sleeps_for_ever(struct vcpu *vcpu)
{
	bool unstarted = false;

	return is_halted(vcpu, &unstarted) || unstarted;
}

bool vcpu_has_user_pages(struct vcpu *vcpu, const struct guest_mem *mem)
{
	struct paging_registers regs;
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return true;
	regs = (struct paging_registers){sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer};
	return user_pages_mapped(mem, &regs);
}

/*
 * Only from the vCPU's thread: the call would wait for KVM_RUN to return. It fails where the guest
 * has no kvm-clock, and then there is nobody to tell.
 */
static void tell_paused(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0) < 0)
		return;
}

/*
 * Only from the vCPU's thread, like that. In a processor that waits for its start KVM would keep
 * the interrupt until then; a real one has no use for it.
 */
static void inject_nmi(struct vcpu *vcpu)
{
	struct kvm_mp_state mp;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) == 0 &&
		(mp.mp_state == KVM_MP_STATE_RUNNABLE || mp.mp_state == KVM_MP_STATE_HALTED))
		ioctl(vcpu->fd, KVM_NMI, 0);
}

static bool run_once(struct vcpu *vcpu, enum vcpu_end *end)
{
	int rc = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	const bool kicked = __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST);

	if (kicked)
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (vcpu->ring)
		coalesced_ports_serve(vcpu->config.coalesced, vcpu->ring);
	if (!rc)
		return vcpu_handle_exit(vcpu, end) == VCPU_CONTINUE;
	counter_add(&vcpu->exits[KVM_EXIT_INTR], rc == -EINTR);
	if (rc == -EINTR && !kicked)
		tell_paused(vcpu);
	if (rc == -EINTR || rc == -EAGAIN)
		return true;
	vcpu->run_errno = -rc;
	/* Memory that cannot be had is all that KVM_RUN says EFAULT for: our slots are mapped. */
	*end = rc == -EFAULT || rc == -ENOMEM || rc == -EHWPOISON ? VCPU_NO_MEMORY
								  : VCPU_INTERNAL_ERROR;
	return false;
}

/*
 * Registers of a vCPU that has made an access of a device are of before that, until it enters KVM
 * again; which it does here without running the guest. Bounded, as a long access is one of many.
 */
static void settle(struct vcpu *vcpu)
{
	enum vcpu_end end;

	for (int i = 0; i < MAX_ACCESSES; i++) {
		int rc;

		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		rc = ioctl(vcpu->fd, KVM_RUN, 0);
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (rc < 0)
			return;
		if (vcpu_handle_exit(vcpu, &end) == VCPU_STOP) {
			vcpu->config.report(vcpu->config.opaque, vcpu->config.id, end);
			return;
		}
	}
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	const struct vcpu_config *config = &vcpu->config;
	enum vcpu_end end;
	bool unstarted;

	confine_enter(config->confine, CONFINE_VCPU);
	while (!atomic_load(config->ending)) {
		bool on;

		if (atomic_load(&vcpu->was_paused) && atomic_exchange(&vcpu->was_paused, false))
			tell_paused(vcpu);
		if (atomic_load(&vcpu->open_stats) && atomic_exchange(&vcpu->open_stats, false))
			vcpu_stats_open(vcpu);
		if (atomic_load(&vcpu->nmi) && atomic_exchange(&vcpu->nmi, false))
			inject_nmi(vcpu);
		on = run_once(vcpu, &end);
		if (on && atomic_exchange(&vcpu->check_halted, false)) {
			end = VCPU_HALTED;
			on = !is_halted(vcpu, &unstarted);
		}
		if (!on) {
			config->report(config->opaque, config->id, end);
			break;
		}
	}
	if (atomic_load(&vcpu->settle) && atomic_exchange(&vcpu->settle, false))
		settle(vcpu);
	vcpu_stats_leave(vcpu);
	return NULL;
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	pthread_attr_t attr;
	int rc;

	/* The debugger has not heard of its stop yet. */
	if (vcpu->stop.kind != VCPU_NO_STOP && !atomic_load(&vcpu->settle))
		return 0;
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	atomic_store(&vcpu->open_stats, vcpu->wants_stats);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = -pthread_create(&vcpu->thread, &attr, vcpu_thread, vcpu);
	pthread_attr_destroy(&attr);
	if (rc < 0)
		return error_set_errno(err, rc, "a thread for vCPU %u", vcpu->config.id);
	vcpu->started = true;
	vcpu_stats_started(vcpu);
	return 0;
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, kick_signal());
}

void vcpu_join(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	pthread_join(vcpu->thread, NULL);
	vcpu_stats_left(vcpu);
	vcpu->started = false;
}

bool vcpu_join_until(struct vcpu *vcpu, const struct timespec *until)
{
	if (!vcpu->started)
		return true;
	if (pthread_clockjoin_np(vcpu->thread, NULL, CLOCK_MONOTONIC, until))
		return false;
	vcpu_stats_left(vcpu);
	vcpu->started = false;
	return true;
}

void vcpu_check_halted(struct vcpu *vcpu)
{
	atomic_store(&vcpu->check_halted, true);
	vcpu_kick(vcpu);
}

void vcpu_nmi(struct vcpu *vcpu)
{
	atomic_store(&vcpu->nmi, true);
	vcpu_kick(vcpu);
}

void vcpu_tell_paused(struct vcpu *vcpu)
{
	atomic_store(&vcpu->was_paused, true);
	vcpu_kick(vcpu);
}
