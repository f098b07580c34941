/* SPDX-License-Identifier: BSD-2-Clause */
/* Nested virtualization, of which Bantam is either the upper half or, for its guests, the lower. */
#ifndef BANTAM_VM_CLI_NESTED_H
#define BANTAM_VM_CLI_NESTED_H

#include "vm/core/base.h"

enum { NESTED_LINE = 192 };

struct nested {
	bool inside;	    /* this host is a virtual machine itself */
	char monitor[13];   /* what its monitor calls itself; "": nothing */
	const char *module; /* KVM's for this CPU, static; NULL: none is there */
	bool allowed;	    /* the module's parameter nested: guests may have VMs of their own */
};

/* sys: where sysfs is mounted. */
void nested_look(struct nested *nested, const char *sys);
/* One line for people, of what follows from it where /dev/kvm opens, or does not. */
void nested_describe(const struct nested *nested, bool opens, char line[NESTED_LINE]);

#endif
