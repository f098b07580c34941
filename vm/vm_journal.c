/* SPDX-License-Identifier: BSD-2-Clause */
/* --events and --metrics: files that are written while the VM runs (vm/control/journal.h). */
#include "vm_private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vm/control/journal.h"
#include "vm/core/error.h"

/* Not waiting: a FIFO without a reader is refused, and one with a slow reader holds up nobody. */
static int open_file(const char *option, const char *path, int *ret, struct error *err)
{
	*ret = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	return *ret < 0 ? error_set_errno(err, -errno, "--%s: %s", option, path) : 0;
}

static int open_events(const struct config *config, int *ret, struct error *err)
{
	if (!config->events)
		return 0;
	if (config->events_fd < 0)
		return open_file("events", config->events, ret, err);
	*ret = fcntl(config->events_fd, F_DUPFD_CLOEXEC, 0);
	return *ret < 0 ? error_set_errno(err, -errno, "--events: descriptor %d", config->events_fd)
			: 0;
}

int vm_journal_open(struct vm *vm, struct error *err)
{
	const struct config *config = vm->config;
	struct journal_config journal = {.control = vm->control,
		.clock = timer_queue_clock(vm->timers),
		.log = vm->log,
		.events_fd = -1,
		.metrics_fd = -1,
		.memory_fd = -1,
		.interval_ns = config->metrics_ms * NSEC_PER_MSEC};
	int rc;

	if (!config->events && !config->metrics)
		return 0;
	rc = open_events(config, &journal.events_fd, err);
	if (!rc && config->metrics)
		rc = open_file("metrics", config->metrics, &journal.metrics_fd, err);
	if (rc < 0) {
		if (journal.events_fd >= 0)
			close(journal.events_fd);
		return rc;
	}
	if (config->metrics)
		journal.memory_fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	rc = journal_create(&journal, &vm->journal);
	return rc < 0 ? error_set_errno(err, rc, "journal") : 0;
}
