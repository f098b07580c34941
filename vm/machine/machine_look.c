/* SPDX-License-Identifier: BSD-2-Clause */
/* What a person does to a machine from outside, or looks at in it. */
#include "machine_private.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/serial/uart.h"
#include "vcpu/registers.h"
#include "vcpu/vcpu.h"
#include "vm/core/error.h"

const struct guest_mem *machine_memory(const struct machine *m)
{
	return m->mem;
}

struct virtio_balloon *machine_balloon(const struct machine *m)
{
	return m->balloon;
}

int machine_registers(struct machine *m, struct vcpu_registers **ret, struct error *err)
{
	struct vcpu_registers *regs = calloc(m->num_vcpus, sizeof(*regs));
	int rc = 0;

	if (!regs)
		return error_set_errno(err, -ENOMEM, "registers");
	for (unsigned int i = 0; !rc && i < m->num_vcpus; i++)
		rc = vcpu_get_registers(m->vcpus[i], &regs[i], err);
	if (rc < 0)
		free(regs);
	else
		*ret = regs;
	return rc;
}

void machine_nmi(struct machine *m, unsigned int cpu)
{
	vcpu_nmi(m->vcpus[cpu]);
}

int machine_sysrq(struct machine *m, uint8_t key)
{
	return m->uarts[0] ? uart_sysrq(m->uarts[0], key) : -ENODEV;
}
