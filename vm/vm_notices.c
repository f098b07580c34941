/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices have to tell comes on any thread, with any lock held, and as often as a guest or a
 * broken disk makes it come. It is copied into a few places under a lock of its own, and told as
 * events on the main thread; what finds no place is counted, and told as a number.
 */
#include "vm_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/core/error.h"
#include "vm/core/log.h"

enum { PLACES = 16 };

struct vm_notices {
	struct vm *vm;
	struct event_source posted;
	pthread_mutex_t lock; /* guards what follows */
	unsigned int count, lost;
	struct {
		enum log_notice notice;
		char device[128], text[160];
	} places[PLACES];
};

static const enum control_event_kind kinds[] = {
	[NOTICE_IO_ERROR] = CONTROL_IO_ERROR,
	[NOTICE_DEVICE_FAILED] = CONTROL_DEVICE,
	[NOTICE_BALLOON] = CONTROL_BALLOON,
	[NOTICE_CRASH_KERNEL] = CONTROL_CRASH_KERNEL,
};

static void on_notice(void *opaque, enum log_notice notice, const char *device, const char *text)
{
	struct vm_notices *notices = opaque;

	pthread_mutex_lock(&notices->lock);
	if (notices->count < PLACES) {
		unsigned int i = notices->count++;

		notices->places[i].notice = notice;
		snprintf(
			notices->places[i].device, sizeof(notices->places[i].device), "%s", device);
		snprintf(notices->places[i].text, sizeof(notices->places[i].text), "%s", text);
	} else {
		notices->lost++;
	}
	pthread_mutex_unlock(&notices->lock);
	event_loop_post(notices->vm->loop, &notices->posted);
}

static void tell(void *opaque, uint32_t events)
{
	struct vm_notices *notices = opaque, copy;
	char lost[48];

	(void)events;
	pthread_mutex_lock(&notices->lock);
	copy.count = notices->count;
	copy.lost = notices->lost;
	for (unsigned int i = 0; i < copy.count; i++)
		copy.places[i] = notices->places[i];
	notices->count = notices->lost = 0;
	pthread_mutex_unlock(&notices->lock);
	for (unsigned int i = 0; i < copy.count; i++)
		vm_tell(notices->vm, (struct control_event){.kind = kinds[copy.places[i].notice],
					     .device = copy.places[i].device,
					     .cause = copy.places[i].text});
	if (!copy.lost)
		return;
	snprintf(lost, sizeof(lost), "%u more like these", copy.lost);
	vm_tell(notices->vm, (struct control_event){.kind = CONTROL_DEVICE, .cause = lost});
}

int vm_notices_open(struct vm *vm, struct error *err)
{
	struct vm_notices *notices = calloc(1, sizeof(*notices));

	if (!notices)
		return error_set_errno(err, -ENOMEM, "events");
	notices->vm = vm;
	notices->posted = (struct event_source){.fd = -1, .fn = tell, .opaque = notices};
	pthread_mutex_init(&notices->lock, NULL);
	vm->notices = notices;
	vm->log->notice = on_notice;
	vm->log->notice_opaque = notices;
	return 0;
}

void vm_notices_close(struct vm *vm)
{
	if (!vm->notices)
		return;
	vm->log->notice = NULL;
	event_loop_remove(vm->loop, &vm->notices->posted);
	pthread_mutex_destroy(&vm->notices->lock);
	free(vm->notices);
	vm->notices = NULL;
}
