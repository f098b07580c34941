/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exit table. An exit is either served here and the guest goes on, or it ends the vCPU. What
 * the table does not name was not asked for and means that KVM and we disagree: an internal error.
 */
#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "vcpu_internal.h"
#include "vm/core/bus.h"

typedef enum vcpu_next (*exit_handler)(struct vcpu *vcpu, enum vcpu_end *end);

static enum vcpu_next stop(enum vcpu_end *end, enum vcpu_end why)
{
	*end = why;
	return VCPU_STOP;
}

static uint64_t load_le(const uint8_t *p, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	return value;
}

/* A string instruction comes as one exit with count elements behind each other. */
static enum vcpu_next handle_io(struct vcpu *vcpu, enum vcpu_end *end)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	(void)end;
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			bus_write(vcpu->config.pio, run->io.port, size, load_le(data, size));
		} else {
			uint64_t value = bus_read(vcpu->config.pio, run->io.port, size);

			memcpy(data, &value, size);
		}
	}
	return VCPU_CONTINUE;
}

static enum vcpu_next handle_mmio(struct vcpu *vcpu, enum vcpu_end *end)
{
	struct kvm_run *run = vcpu->run;
	unsigned int size = run->mmio.len;

	(void)end;
	if (run->mmio.is_write) {
		bus_write(vcpu->config.mmio, run->mmio.phys_addr, size,
			load_le(run->mmio.data, size));
	} else {
		uint64_t value = bus_read(vcpu->config.mmio, run->mmio.phys_addr, size);

		memcpy(run->mmio.data, &value, size);
	}
	return VCPU_CONTINUE;
}

/* Comes only where no irqchip is in the kernel: nothing could wake the guest. */
static enum vcpu_next handle_hlt(struct vcpu *vcpu, enum vcpu_end *end)
{
	(void)vcpu;
	return stop(end, VCPU_HALTED);
}

static enum vcpu_next handle_shutdown(struct vcpu *vcpu, enum vcpu_end *end)
{
	(void)vcpu;
	return stop(end, VCPU_TRIPLE_FAULT);
}

static enum vcpu_next handle_system_event(struct vcpu *vcpu, enum vcpu_end *end)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return stop(end, VCPU_GUEST_OFF);
	case KVM_SYSTEM_EVENT_RESET:
		return stop(end, VCPU_GUEST_RESET);
	case KVM_SYSTEM_EVENT_CRASH:
		return stop(end, VCPU_GUEST_CRASHED);
	default:
		return stop(end, VCPU_INTERNAL_ERROR);
	}
}

static enum vcpu_next handle_nothing(struct vcpu *vcpu, enum vcpu_end *end)
{
	(void)vcpu;
	(void)end;
	return VCPU_CONTINUE;
}

static enum vcpu_next handle_fatal(struct vcpu *vcpu, enum vcpu_end *end)
{
	(void)vcpu;
	return stop(end, VCPU_INTERNAL_ERROR);
}

static const struct {
	const char *name;
	exit_handler handle;
} exits[] = {
	[KVM_EXIT_UNKNOWN] = {"KVM_EXIT_UNKNOWN", handle_fatal},
	[KVM_EXIT_EXCEPTION] = {"KVM_EXIT_EXCEPTION", handle_fatal},
	[KVM_EXIT_IO] = {"KVM_EXIT_IO", handle_io},
	[KVM_EXIT_DEBUG] = {"KVM_EXIT_DEBUG", vcpu_handle_debug},
	[KVM_EXIT_HLT] = {"KVM_EXIT_HLT", handle_hlt},
	[KVM_EXIT_MMIO] = {"KVM_EXIT_MMIO", handle_mmio},
	[KVM_EXIT_IRQ_WINDOW_OPEN] = {"KVM_EXIT_IRQ_WINDOW_OPEN", handle_nothing},
	[KVM_EXIT_SHUTDOWN] = {"KVM_EXIT_SHUTDOWN", handle_shutdown},
	[KVM_EXIT_FAIL_ENTRY] = {"KVM_EXIT_FAIL_ENTRY", handle_fatal},
	[KVM_EXIT_INTR] = {"KVM_EXIT_INTR", handle_nothing},
	[KVM_EXIT_NMI] = {"KVM_EXIT_NMI", handle_nothing},
	[KVM_EXIT_INTERNAL_ERROR] = {"KVM_EXIT_INTERNAL_ERROR", handle_fatal},
	[KVM_EXIT_SYSTEM_EVENT] = {"KVM_EXIT_SYSTEM_EVENT", handle_system_event},
};

static_assert(ARRAY_SIZE(exits) <= VCPU_NUM_EXITS, "a counter for each");

const char *vcpu_exit_name(uint32_t reason)
{
	if (reason < ARRAY_SIZE(exits) && exits[reason].name)
		return exits[reason].name;
	return "an exit that Bantam does not know";
}

const char *vcpu_exit_word(unsigned int reason, char word[32])
{
	static const char prefix[] = "KVM_EXIT_";
	const char *name = reason < ARRAY_SIZE(exits) ? exits[reason].name : NULL;
	size_t i = 0;

	if (!name)
		return NULL;
	for (name += sizeof(prefix) - 1; i < 31 && name[i]; i++)
		word[i] = (char)tolower((unsigned char)name[i]);
	word[i] = '\0';
	return word;
}

enum vcpu_next vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_end *end)
{
	uint32_t reason = vcpu->run->exit_reason;

	if (reason < VCPU_NUM_EXITS)
		counter_add(&vcpu->exits[reason], 1);
	if (reason < ARRAY_SIZE(exits) && exits[reason].handle)
		return exits[reason].handle(vcpu, end);
	return stop(end, VCPU_INTERNAL_ERROR);
}
