/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command "balloon": sets the target, waits until the guest has done it if that is asked for,
 * and tells how things are. What the guest says of its memory it is asked for, and may not answer:
 * then there is none of it.
 */
#include "vm_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "virtio/balloon/balloon.h"
#include "vm/machine/machine.h"

enum { BALLOON_TARGET, BALLOON_MORE, BALLOON_LESS, BALLOON_WAIT };

static const struct control_field fields[] = {
	[BALLOON_TARGET] = {"target", CONTROL_NUMBER, false}, /* bytes, as what follows */
	[BALLOON_MORE] = {"more", CONTROL_NUMBER, false},
	[BALLOON_LESS] = {"less", CONTROL_NUMBER, false},
	[BALLOON_WAIT] = {"wait", CONTROL_FLAG, false},
};

enum { STATS_LOOKS = 50 };
#define STATS_LOOK_NS (10 * NSEC_PER_MSEC)

struct asking {
	struct vm *vm;
	uint64_t generation; /* before */
	unsigned int looks_left;
	bool asked; /* the target is reached, or nobody waits for that */
};

static struct virtio_balloon *balloon_of(const struct vm *vm)
{
	return machine_balloon(vm->machine);
}

static void put_stats(struct control_job *job, const struct virtio_balloon_stats *stats)
{
	static const char *const names[] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = "swap_in",
		[VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out",
		[VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
		[VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
		[VIRTIO_BALLOON_S_MEMFREE] = "free",
		[VIRTIO_BALLOON_S_MEMTOT] = "total",
		[VIRTIO_BALLOON_S_AVAIL] = "available",
		[VIRTIO_BALLOON_S_CACHES] = "caches",
		[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugepages_taken",
		[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugepages_failed",
		[VIRTIO_BALLOON_S_OOM_KILL] = "oom_kills",
		[VIRTIO_BALLOON_S_ALLOC_STALL] = "alloc_stalls",
		[VIRTIO_BALLOON_S_ASYNC_SCAN] = "async_scanned",
		[VIRTIO_BALLOON_S_DIRECT_SCAN] = "direct_scanned",
		[VIRTIO_BALLOON_S_ASYNC_RECLAIM] = "async_reclaimed",
		[VIRTIO_BALLOON_S_DIRECT_RECLAIM] = "direct_reclaimed",
	};
	static_assert(ARRAY_SIZE(names) == VIRTIO_BALLOON_NUM_STATS, "a name for each");

	control_open(job, "guest");
	for (unsigned int i = 0; i < VIRTIO_BALLOON_NUM_STATS; i++)
		if (stats->valid & 1u << i)
			control_put_number(job, names[i], stats->value[i]);
	control_close(job);
}

static void answer(struct control_job *job, const struct virtio_balloon_stats *stats)
{
	struct asking *asking = job->state;
	struct virtio_balloon *balloon = balloon_of(asking->vm);

	job->state = NULL;
	control_put_number(job, "target", virtio_balloon_target(balloon));
	control_put_number(job, "actual", virtio_balloon_actual(balloon));
	if (stats)
		put_stats(job, stats);
	free(asking);
	control_done(job);
}

static void look(void *opaque)
{
	struct control_job *job = opaque;
	struct asking *asking = job->state;
	struct virtio_balloon_stats stats;

	virtio_balloon_stats(balloon_of(asking->vm), &stats);
	if (stats.valid && stats.generation != asking->generation)
		answer(job, &stats);
	else if (!asking->looks_left--)
		answer(job, NULL);
	else
		control_after(job, STATS_LOOK_NS, look);
}

/* A guest that stands still would not answer. */
static void ask(struct control_job *job)
{
	struct asking *asking = job->state;
	struct virtio_balloon *balloon = balloon_of(asking->vm);
	struct virtio_balloon_stats before;

	asking->asked = true;
	virtio_balloon_stats(balloon, &before);
	asking->generation = before.generation;
	asking->looks_left = STATS_LOOKS;
	if (vm_stands_still(asking->vm) || virtio_balloon_request_stats(balloon) < 0)
		answer(job, NULL);
	else
		control_after(job, STATS_LOOK_NS, look);
}

/* More than all of it, or less than nothing, is as far as it goes. */
static uint64_t wanted(const struct control_job *job, uint64_t now, uint64_t memory)
{
	const struct control_value *args = job->args;

	if (args[BALLOON_TARGET].given)
		return args[BALLOON_TARGET].number;
	if (args[BALLOON_MORE].given)
		return now + MIN(args[BALLOON_MORE].number, memory);
	if (args[BALLOON_LESS].given)
		return now - MIN(args[BALLOON_LESS].number, now);
	return now;
}

static int set_target(struct control_job *job, struct vm *vm, struct virtio_balloon *balloon)
{
	const uint64_t memory = vm->config->memory, now = virtio_balloon_target(balloon);
	const uint64_t target = wanted(job, now, memory);

	/* As --balloon of the start: the guest keeps something. */
	if (target != now && target >= memory) {
		control_fail(job, -EINVAL, "the balloon would take %llu MiB of %llu MiB",
			(unsigned long long)(target / MiB), (unsigned long long)(memory / MiB));
		return -EINVAL;
	}
	/* Also for the driver of the next boot. */
	vm->balloon_target = target;
	return virtio_balloon_set_target(balloon, target);
}

static bool reached(struct virtio_balloon *balloon)
{
	return virtio_balloon_actual(balloon) == virtio_balloon_target(balloon);
}

static void start_balloon(struct control_job *job, void *opaque)
{
	struct vm *vm = opaque;
	struct virtio_balloon *balloon = balloon_of(vm);
	struct asking *asking;

	if (!balloon) {
		control_fail(
			job, -EOPNOTSUPP, "it has no balloon: it was started without --balloon");
		return;
	}
	if (set_target(job, vm, balloon) < 0)
		return;
	asking = calloc(1, sizeof(*asking));
	if (!asking) {
		control_fail(job, -ENOMEM, "out of memory");
		return;
	}
	asking->vm = vm;
	job->state = asking;
	if (!job->args[BALLOON_WAIT].number || reached(balloon))
		ask(job);
}

static void balloon_event(struct control_job *job, void *vm, const struct control_event *event)
{
	struct asking *asking = job->state;

	if ((event->kind == CONTROL_BALLOON || event->kind == CONTROL_STARTED) && !asking->asked &&
		reached(balloon_of(vm)))
		ask(job);
}

static void cancel_balloon(struct control_job *job, void *vm)
{
	(void)vm;
	free(job->state);
	job->state = NULL;
}

static const struct control_command commands[] = {
	{.name = "balloon",
		.fields = fields,
		.num_fields = ARRAY_SIZE(fields),
		.start = start_balloon,
		.event = balloon_event,
		.cancel = cancel_balloon},
};

const struct control_family vm_balloon_family = {commands, ARRAY_SIZE(commands)};
