/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's table of interrupt routes, behind struct msi_router. For vm/kvm/kvm.c alone. */
#ifndef BANTAM_VM_KVM_KVM_ROUTES_H
#define BANTAM_VM_KVM_KVM_ROUTES_H

#include "vm/core/msi_router.h"

struct kvm_routes;

/* vm_fd is a VM with an irqchip by the time of the first commit; it stays the caller's. */
int kvm_routes_create(int vm_fd, struct kvm_routes **ret);
/* No route is open; NULL is allowed. */
void kvm_routes_destroy(struct kvm_routes *routes);

/* Any thread; valid as long as the routes. */
struct msi_router kvm_routes_router(struct kvm_routes *routes);

#endif
