/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host's kernel counts about a vCPU: KVM's own statistics (KVM_GET_STATS_FD, Linux 5.14;
 * kernel: Documentation/virt/kvm/api.rst, 4.133), and how long its thread waited for a CPU.
 *
 * Nobody who does not ask for them pays: the descriptors are opened by the first question. KVM's is
 * fetched by the vCPU's thread, since an ioctl on a vCPU waits until KVM_RUN returns; the other one
 * is a file, which the main thread may open where the vCPU may not. Reading needs nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vcpu_internal.h"
#include "vm/core/thread_id.h"

/* KVM has some 40 of a vCPU. */
enum { MAX_STATS = 512, MAX_NAME = 256 };

static const char *const names[NUM_VCPU_STATS] = {
	[VCPU_STAT_EXITS] = "exits",
	[VCPU_STAT_HALTS] = "halt_exits",
	[VCPU_STAT_INTERRUPTS] = "irq_injections",
	[VCPU_STAT_HALTED_NS] = "halt_wait_ns",
};

uint64_t vcpu_exits(const struct vcpu *vcpu, unsigned int reason)
{
	return counter_read(&vcpu->exits[reason]);
}

uint64_t vcpu_tsc_khz(const struct vcpu *vcpu)
{
	return vcpu->tsc_khz;
}

void vcpu_stats_open(struct vcpu *vcpu)
{
	if (vcpu->stats.kvm < 0)
		vcpu->stats.kvm = ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
}

/* openat alone, and so: it is all that the sandbox lets through. */
static void open_sched(struct vcpu *vcpu)
{
	const int *tasks = vcpu->config.tasks_fd;
	char path[64];

	if (vcpu->stats.sched >= 0)
		return;
	snprintf(path, sizeof(path), "%s%d/schedstat",
		tasks && *tasks >= 0 ? "" : "/proc/self/task/", thread_id(vcpu->thread));
	vcpu->stats.sched = openat(tasks ? *tasks : -1, path, O_RDONLY | O_CLOEXEC);
}

void vcpu_stats_started(struct vcpu *vcpu)
{
	if (vcpu->wants_stats)
		open_sched(vcpu);
}

/* "RAN WAITED TIMESLICES" in ns; 0 where there is nothing. */
static uint64_t waited_ns(char *text, ssize_t n)
{
	unsigned long long ran, waited;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/* Once in the life of the file, from its beginning. */
void vcpu_stats_leave(struct vcpu *vcpu)
{
	char text[128];

	if (vcpu->stats.sched >= 0)
		vcpu->stats.steal_ns +=
			waited_ns(text, read(vcpu->stats.sched, text, sizeof(text) - 1));
}

void vcpu_stats_left(struct vcpu *vcpu)
{
	if (vcpu->stats.sched >= 0)
		close(vcpu->stats.sched);
	vcpu->stats.sched = -1;
}

void vcpu_stats_close(struct vcpu *vcpu)
{
	if (vcpu->stats.kvm >= 0)
		close(vcpu->stats.kvm);
	vcpu_stats_left(vcpu);
}

bool vcpu_want_stats(struct vcpu *vcpu)
{
	if (vcpu->wants_stats)
		return !atomic_load(&vcpu->open_stats);
	vcpu->wants_stats = true;
	if (vcpu->started)
		open_sched(vcpu);
	if (!vcpu->started) {
		if (vcpu->stats.kvm < 0)
			vcpu->stats.kvm = ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
		return true;
	}
	atomic_store(&vcpu->open_stats, true);
	vcpu_kick(vcpu);
	return false;
}

static bool read_at(int fd, void *buf, size_t len, uint64_t off)
{
	return pread(fd, buf, len, (off_t)off) == (ssize_t)len;
}

static void take(int fd, const struct kvm_stats_header *header, const struct kvm_stats_desc *desc,
	struct vcpu_stats *ret)
{
	uint64_t value;

	for (unsigned int i = 0; i < NUM_VCPU_STATS; i++) {
		if (!names[i] || strncmp(desc->name, names[i], header->name_size))
			continue;
		if (!read_at(fd, &value, sizeof(value), header->data_offset + desc->offset))
			return;
		ret->value[i] = value;
		ret->valid |= 1u << i;
	}
}

static void read_kvm(int fd, struct vcpu_stats *ret)
{
	_Alignas(struct kvm_stats_desc) char buf[sizeof(struct kvm_stats_desc) + MAX_NAME + 1];
	struct kvm_stats_header header;
	size_t size;

	if (!read_at(fd, &header, sizeof(header), 0) || header.name_size > MAX_NAME)
		return;
	size = sizeof(struct kvm_stats_desc) + header.name_size;
	for (unsigned int i = 0; i < MIN(header.num_desc, (uint32_t)MAX_STATS); i++) {
		memset(buf, 0, sizeof(buf));
		if (!read_at(fd, buf, size, header.desc_offset + i * size))
			return;
		take(fd, &header, (const struct kvm_stats_desc *)buf, ret);
	}
}

void vcpu_read_stats(struct vcpu *vcpu, struct vcpu_stats *ret)
{
	char text[128];

	*ret = (struct vcpu_stats){0};
	if (vcpu->stats.kvm >= 0)
		read_kvm(vcpu->stats.kvm, ret);
	if (vcpu->stats.sched >= 0 || vcpu->stats.steal_ns) {
		ret->value[VCPU_STAT_STEAL_NS] =
			vcpu->stats.steal_ns +
			waited_ns(text, pread(vcpu->stats.sched, text, sizeof(text) - 1, 0));
		ret->valid |= 1u << VCPU_STAT_STEAL_NS;
	}
}
