# SPDX-License-Identifier: BSD-2-Clause
#
# The tiny guests of tests/kvm: GUEST_BINS. NAME.MODE.S becomes $(O)/guests/NAME.MODE.bin, linked to
# the address at which `bantam run --flat` loads a file in that mode when none is given. What
# NAME.multiboot.S becomes is a Multiboot kernel: .bin by its header's addresses, .flat as ELF.

OBJCOPY    ?= objcopy
GUEST_DIR  := tests/kvm/guests
GUEST_BINS := $(patsubst $(GUEST_DIR)/%.S,$(O)/guests/%.bin,$(sort $(wildcard $(GUEST_DIR)/*.S)))

# $(1) mode, $(2) GUEST_BITS, $(3) load address
define guest_mode
.PRECIOUS: $(O)/guests/%.$(1).elf
$(O)/guests/%.$(1).elf: $(GUEST_DIR)/%.$(1).S $(GUEST_DIR)/guest.h $(GUEST_DIR)/flat.ld include/vm/core/layout.h
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -DGUEST_BITS=$(2) -Iinclude -I$(GUEST_DIR) -c $$< -o $$(@:.elf=.o)
	$$(Q)$$(LD) -m elf_x86_64 -static --defsym=BASE=$(3) -T $(GUEST_DIR)/flat.ld \
		$$(@:.elf=.o) -o $$@ 2>$$@.log || { cat $$@.log; exit 1; }
endef
$(eval $(call guest_mode,real,16,0x1000))
$(eval $(call guest_mode,protected,32,0x100000))
$(eval $(call guest_mode,long,64,0x100000))

GUEST_BINS += $(patsubst $(GUEST_DIR)/%.S,$(O)/guests/%.flat,$(wildcard $(GUEST_DIR)/*.multiboot.S))

# $(1) what the file is called behind NAME.multiboot, $(2) flags of the header
define guest_multiboot
.PRECIOUS: $(O)/guests/%.multiboot.$(1)
$(O)/guests/%.multiboot.$(1): $(GUEST_DIR)/%.multiboot.S $(GUEST_DIR)/guest.h $(GUEST_DIR)/flat.ld include/vm/core/layout.h
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -m32 -DGUEST_BITS=32 -DGUEST_MULTIBOOT=$(2) -Iinclude -I$(GUEST_DIR) -c $$< -o $$@.o
	$$(Q)$$(LD) -m elf_i386 -static --defsym=BASE=0x100000 -T $(GUEST_DIR)/flat.ld \
		$$@.o -o $$@ 2>$$@.log || { cat $$@.log; exit 1; }
endef
$(eval $(call guest_multiboot,elf,0x10003))
$(eval $(call guest_multiboot,flat,3))

$(O)/guests/%.bin: $(O)/guests/%.elf
	$(say) GUEST $@
	$(Q)$(OBJCOPY) -O binary $< $@
