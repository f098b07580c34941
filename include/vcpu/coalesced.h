/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes to ports that need not be served at once. KVM puts them into a ring, which belongs to the
 * VM and is mapped with each vCPU, and goes on with the guest (Linux'
 * Documentation/virt/kvm/api.rst, KVM_REGISTER_COALESCED_MMIO). A vCPU that comes out of the guest
 * serves the ring before its own exit, so that devices see accesses in the order in which they were
 * made.
 *
 * For index registers, which mean nothing until the data register beside them is accessed: of two
 * exits to Bantam one is left.
 */
#ifndef BANTAM_VCPU_COALESCED_H
#define BANTAM_VCPU_COALESCED_H

struct bus;
struct coalesced_ports;
struct kvm_coalesced_mmio_ring;

/* The writes go to pio, which must outlive what is made. Returns 0 or -ENOMEM. */
int coalesced_ports_create(struct bus *pio, struct coalesced_ports **ret);
void coalesced_ports_destroy(struct coalesced_ports *ports); /* NULL is allowed */

/*
 * Returns when all that was in the ring at the call has been served, by this thread or by another.
 * Any vCPU's thread, with no locks held.
 */
void coalesced_ports_serve(struct coalesced_ports *ports, struct kvm_coalesced_mmio_ring *ring);

#endif
