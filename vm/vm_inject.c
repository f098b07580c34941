/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands "nmi" and "sysrq": what a person does to a guest that answers nothing else. */
#include "vm_private.h"

#include <errno.h>

#include "vm/machine/machine.h"

enum { NMI_CPU };

static const struct control_field nmi_fields[] = {
	[NMI_CPU] = {"cpu", CONTROL_NUMBER, false}, /* all of them */
};

static void start_nmi(struct control_job *job, void *opaque)
{
	const struct control_value *cpu = &job->args[NMI_CPU];
	struct vm *vm = opaque;
	const unsigned int cpus = vm->config->cpus;

	if (cpu->given && cpu->number >= cpus) {
		control_fail(job, -EINVAL, "there is no vCPU %llu: they are 0 to %u",
			(unsigned long long)cpu->number, cpus - 1);
		return;
	}
	for (unsigned int i = 0; i < cpus; i++)
		if (!cpu->given || cpu->number == i)
			machine_nmi(vm->machine, i);
	control_done(job);
}

enum { SYSRQ_KEY };

static const struct control_field sysrq_fields[] = {
	[SYSRQ_KEY] = {"key", CONTROL_TEXT, true},
};

static void start_sysrq(struct control_job *job, void *opaque)
{
	const char *key = job->args[SYSRQ_KEY].text;
	struct vm *vm = opaque;

	if (key[0] <= ' ' || key[0] > '~' || key[1]) {
		control_fail(job, -EINVAL, "a SysRq key is one letter or digit");
		return;
	}
	if (vm->config->console == CONSOLE_VIRTIO) {
		control_fail(job, -EOPNOTSUPP,
			"its console is a virtio one, which has no break: SysRq takes a serial "
			"one");
		return;
	}
	switch (machine_sysrq(vm->machine, (uint8_t)key[0])) {
	case 0:
		control_done(job);
		break;
	case -EBUSY:
		control_fail(job, -EBUSY, "the guest has not read the last one yet");
		break;
	case -EAGAIN:
		control_fail(job, -EAGAIN, "the guest does not listen on its serial port");
		break;
	default:
		control_fail(job, -EOPNOTSUPP, "it has no serial port");
	}
}

#define FIELDS(list) .fields = (list), .num_fields = ARRAY_SIZE(list)

static const struct control_command commands[] = {
	{.name = "nmi", FIELDS(nmi_fields), .start = start_nmi},
	{.name = "sysrq", FIELDS(sysrq_fields), .start = start_sysrq},
};

const struct control_family vm_inject_family = {commands, ARRAY_SIZE(commands)};
