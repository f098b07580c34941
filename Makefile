# SPDX-License-Identifier: BSD-2-Clause
#
# make            builds bantam in $(O) (default: build)
# make demo       a shell in a stock Debian kernel, on your terminal; installs what is missing
# make check      all tests, installing what is missing (see tests/README.md)
# make help       every target and variable

O           ?= build
PREFIX      ?= /usr/local
CC          ?= cc
CLANG       ?= clang
PKG_CONFIG  ?= pkg-config
IASL        ?= iasl
SCDOC       ?= scdoc
DESTDIR     ?=
WERROR      ?=
FUZZ_TIME   ?= 10
# What pytest is told on top; PYTEST= runs the slow guests too.
PYTEST      ?= -m 'not slow'
JOBS        ?= $(shell nproc 2>/dev/null || echo 1)

VERSION     := 0.1.0

ifeq ($(V),1)
  Q :=
  say = @:
else
  Q := @
  say = @printf '  %-7s %s\n'
endif

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# ---- what is built of what ------------------------------------------------------------------
# libcore.a is all that knows neither KVM nor the VM as a whole. Unit tests and fuzzers link it
# alone, so that an arrow in the wrong direction is a link error.
LEAF_SRCS := $(addprefix vm/,bus.c clock.c error.c event_loop.c guest_mem.c io_thread.c irq_or.c log.c \
	sparse_alloc.c write_all.c)
CORE_SRCS := $(LEAF_SRCS) $(sort $(wildcard devices/*.c devices/*/*.c virtio/*.c loader/*.c))
ROOT_SRCS := main.c $(filter-out $(LEAF_SRCS),$(sort $(wildcard vm/*.c vm/*.S))) $(sort $(wildcard vcpu/*.c))
objs = $(patsubst %.S,$(1)/%.o,$(patsubst %.c,$(1)/%.o,$(2)))

# Roots that are pure (no KVM call, no VM) and have unit tests of their own.
PURE_SRCS := $(wildcard vm/config*.c vm/option*.c \
	vm/suggest.c vm/help.c vm/completion.c vm/cmdline.c vm/fdt_file.c vm/kernel_find.c vm/net_mac.c vm/ram.c vcpu/coalesced.c vcpu/cpuid.c vcpu/features.c)

UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_LIB  := $(filter-out $(UNIT_SRCS),$(sort $(wildcard tests/unit/*.c)))
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# ---- libraries: found by pkg-config, said in the summary, linked only where they are used -----
LIBS_USED :=
PKG_CFLAGS := $(if $(LIBS_USED),$(shell $(PKG_CONFIG) --cflags $(LIBS_USED)))
PKG_LIBS   := $(if $(LIBS_USED),$(shell $(PKG_CONFIG) --libs $(LIBS_USED)))
# Debian 12 has no .pc file for libfdt. It is linked in where its archive is there: opening a library
# costs every start more than the few functions that are used.
LIBFDT     := $(wildcard $(shell $(CC) -print-file-name=libfdt.a 2>/dev/null))
PKG_LIBS   += $(or $(LIBFDT),-lfdt)
# Other libraries are opened when they are needed; before glibc 2.34 that took one, too.
PKG_LIBS   += -ldl

# ---- flags -----------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wvla -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wformat=2 -Wundef $(if $(WERROR),-Werror)
HARDEN := -fPIE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -ftrivial-auto-var-init=zero
# clang 14 wants to be told twice that zeroing stack variables is meant.
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null | head -n 1)),)
  HARDEN := $(filter-out -ftrivial-auto-var-init=zero,$(HARDEN)) \
	$(shell $(CC) -Werror -ftrivial-auto-var-init=zero -E -x c /dev/null -o /dev/null 2>/dev/null && \
		echo -ftrivial-auto-var-init=zero)
endif
CFLAGS   ?= -O2 -g
ALL_CPPFLAGS = -D_GNU_SOURCE -Iinclude -I$(O)/gen -DBANTAM_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
BASE_CFLAGS  = -std=gnu11 -fno-strict-aliasing -pthread $(WARN)
ALL_CFLAGS   = $(BASE_CFLAGS) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS  = -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(LDFLAGS)
SAN_CFLAGS   = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
FUZZ_CFLAGS  = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
TSAN_CFLAGS  = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=thread

.PHONY: all
all: $(O)/bantam

# ACPI tables that are written in ASL
GEN := $(patsubst loader/%.asl,$(O)/gen/%.h,$(sort $(wildcard loader/*.asl)))
# Made by a pattern rule: without this, make removes them, and makes everything anew next time.
.SECONDARY: $(GEN)

$(O)/gen/%.h: loader/%.asl include/vm/layout.h
	$(say) IASL $<
	@mkdir -p $(@D)
	$(Q)$(CC) -E -P -x assembler-with-cpp -Iinclude $< -o $(O)/gen/$*.asl
	$(Q)cd $(O)/gen && $(IASL) -we -vs -p $* -tc $*.asl >$*.log 2>&1 || { cat $*.log; exit 1; }
	$(Q)sed 's/unsigned char $*_aml_code/static const unsigned char $*_aml_code/' \
		$(O)/gen/$*.hex >$@

# One rule per flavour: $(1) directory, $(2) compiler, $(3) flags
define flavour
$(O)/$(1)/%.o: %.c $(GEN) | summary
	$$(say) CC $$(if $$(filter obj,$(1)),,"[$(1)] ")$$<
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(ALL_CPPFLAGS) $(3) -MMD -MP -c $$< -o $$@

$(O)/$(1)/%.o: %.S | summary
	$$(say) AS $$<
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(ALL_CPPFLAGS) -MMD -MP -c $$< -o $$@

$(O)/$(1)/libcore.a: $$(CORE_SRCS:%.c=$(O)/$(1)/%.o)
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$^

$(O)/$(1)/libpure.a: $$(PURE_SRCS:%.c=$(O)/$(1)/%.o)
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(eval $(call flavour,obj,$$(CC),$$(ALL_CFLAGS)))
$(eval $(call flavour,asan,$$(CC),$$(SAN_CFLAGS)))
$(eval $(call flavour,tsan,$$(CC),$$(TSAN_CFLAGS)))
$(eval $(call flavour,fuzz,$$(CLANG),$$(FUZZ_CFLAGS)))

$(O)/bantam: $(call objs,$(O)/obj,$(ROOT_SRCS)) $(O)/obj/libcore.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The whole VMM under ASan and UBSan, for runs with real guests.
.PHONY: asan
asan: $(O)/asan/bantam
$(O)/asan/bantam: $(call objs,$(O)/asan,$(ROOT_SRCS)) $(O)/asan/libcore.a
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=address,undefined -o $@ $^ $(PKG_LIBS)

.PHONY: summary
summary:
	@tests/tools/features "$(CC)" "$(PKG_CONFIG)" "$(O)"

# ---- tests -----------------------------------------------------------------------------------
UNIT_BINS := $(UNIT_SRCS:%.c=$(O)/asan/%)
TSAN_BINS := $(patsubst %.c,$(O)/tsan/%,$(filter %test_event_loop.c %test_io_thread.c %test_clock.c %test_bus.c %test_uart.c %test_chardev_stdio.c \
	%test_chardev_pty.c %test_chardev_unix.c %test_chardev_file.c %test_blk_raw.c %test_blk_queue.c %test_blk_wakeup.c %test_blk_faults.c %test_blk_durability.c \
	%test_virtqueue.c %test_virtio_queues.c %test_virtio_device.c %test_virtio_hostile.c \
	%test_virtio_balloon.c %test_virtio_balloon_reporting.c %test_virtio_balloon_stats.c \
	%test_virtio_blk_threads.c %test_virtio_blk_async.c %test_coalesced.c %test_virtio_console_threads.c %test_virtio_net_threads.c,$(UNIT_SRCS)))
FUZZ_BINS := $(FUZZ_SRCS:%.c=$(O)/fuzz/%)

$(UNIT_BINS): $(O)/asan/%: $(O)/asan/%.o $(UNIT_LIB:%.c=$(O)/asan/%.o) $(O)/asan/libpure.a $(O)/asan/libcore.a
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=address,undefined -o $@ $^ $(PKG_LIBS) -lcmocka

$(TSAN_BINS): $(O)/tsan/%: $(O)/tsan/%.o $(UNIT_LIB:%.c=$(O)/tsan/%.o) $(O)/tsan/libpure.a $(O)/tsan/libcore.a
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=thread -o $@ $^ $(PKG_LIBS) -lcmocka

# -rdynamic: libraries opened later use the sockets that a driver puts in the place of the real ones.
$(FUZZ_BINS): $(O)/fuzz/%: $(O)/fuzz/%.o $(O)/fuzz/libpure.a $(O)/fuzz/libcore.a
	$(say) LD $@
	$(Q)$(CLANG) -pthread -rdynamic -fsanitize=fuzzer,address,undefined -o $@ $^ $(PKG_LIBS)

MALFORMED_OBJS := tests/tools/make_malformed tests/unit/kernel_files tests/unit/malformed_set \
	tests/unit/malformed_cases
$(O)/make_malformed: $(MALFORMED_OBJS:%=$(O)/obj/%.o)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(O)/dump_kernel: $(O)/obj/tests/tools/dump_kernel.o $(O)/obj/tests/unit/fake_ram.o $(O)/obj/libcore.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

.PHONY: unit tsan fuzz-build fuzz
unit: $(UNIT_BINS)
	$(Q)tests/tools/run-units UNIT $(UNIT_BINS)
tsan: $(TSAN_BINS)
	$(Q)tests/tools/run-units TSAN $(TSAN_BINS)
fuzz-build: $(FUZZ_BINS)
fuzz: $(FUZZ_BINS)
	$(Q)tests/fuzz/run $(FUZZ_TIME) $(O)/fuzz-work $(FUZZ_BINS)

# Tiny guests, straight on /dev/kvm; skipped, and said so, where there is none.
-include tests/kvm/guests.mk
.PHONY: kvm
kvm: $(O)/bantam $(O)/asan/bantam $(O)/make_malformed $(O)/dump_kernel $(GUEST_BINS)
	$(Q)BANTAM=$(abspath $(O)/bantam) BANTAM_ASAN=$(abspath $(O)/asan/bantam) \
		BANTAM_MALFORMED=$(abspath $(O)/make_malformed) \
		BANTAM_DUMP_KERNEL=$(abspath $(O)/dump_kernel) BANTAM_GUESTS=$(abspath $(O)/guests) \
		/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -ra tests/kvm

# Stock kernels: on /dev/kvm where it can boot Linux, in the lab elsewhere.
.PHONY: guest
guest: $(O)/bantam
	$(Q)tests/lab/check $(O)/bantam $(PYTEST)

# A kernel that goes by a device tree, which is compiled first: some minutes of a CPU.
.PHONY: guest-of
guest-of: $(O)/bantam
	$(Q)tests/lab/images linux-of >/dev/null
	$(Q)BANTAM_TESTS=test_device_tree.py tests/lab/check $(O)/bantam

# What a person types first. Both install what is missing, so the packages come before any rule
# that would need them: hence the second make.
.PHONY: demo check lint bench
demo:
	$(Q)tests/tools/deps demo
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)tests/lab/demo $(O)/bantam
check:
	$(Q)tests/tools/deps check
	$(Q)$(MAKE) --no-print-directory check-all
# Counts that do not vary, against those that are kept in tests/bench/guard.json.
.PHONY: guard
guard: $(O)/bantam
	$(Q)tests/bench/guard $(O)/bantam
.PHONY: check-all
check-all:
	$(Q)for step in 'all WERROR=1' 'unit WERROR=1' tsan fuzz kvm guest guard; do \
		$(MAKE) --no-print-directory -j$(JOBS) $$step || exit 1; done
bench:
	$(Q)tests/tools/deps bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/run $(O)/bantam
lint:
	$(Q)tests/tools/deps lint
	$(Q)tests/tools/lint $(O)

# ---- installing ------------------------------------------------------------------------------
MAN_PAGES := $(patsubst Documentation/man/%.scd,$(O)/man/%,$(sort $(wildcard Documentation/man/*.scd)))
$(O)/man/%: Documentation/man/%.scd
	@mkdir -p $(@D)
	$(say) MAN $@
	$(Q)$(SCDOC) <$< >$@

.PHONY: man install uninstall
man: $(MAN_PAGES)
install: $(O)/bantam $(MAN_PAGES)
	$(Q)install -D -m 755 $(O)/bantam $(DESTDIR)$(PREFIX)/bin/bantam
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(Q)$(O)/bantam completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bantam
	$(Q)$(O)/bantam completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bantam
	$(Q)$(O)/bantam completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bantam.fish
uninstall:
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/bantam \
		$(patsubst $(O)/man/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(MAN_PAGES)) \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bantam \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bantam \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bantam.fish

.PHONY: clean help
clean:
	$(Q)rm -rf $(O)
help:
	@echo 'make            build $(O)/bantam'
	@echo 'make demo       a shell in a stock Debian kernel, on your terminal'
	@echo 'make check      all tests: unit, TSan, fuzz, kvm, guest, guard (each is a target, too)'
	@echo 'make guest-of   a kernel with CONFIG_OF, compiled for it, on a device tree alone'
	@echo 'make lint       gcc and clang without warnings, clang-format, clang-tidy, cppcheck, shellcheck'
	@echo 'make fuzz       the fuzz targets, FUZZ_TIME=10 seconds each'
	@echo 'make bench      the figures of Documentation/benchmarks.md'
	@echo 'make asan       bantam with AddressSanitizer: $(O)/asan/bantam'
	@echo 'make install    with DESTDIR= and PREFIX=$(PREFIX); also uninstall, man'
	@echo 'make clean      remove $(O)'
	@echo 'Variables: O=DIR V=1 WERROR=1 CC= CFLAGS= CLANG= PYTEST="-k name" FUZZ_TIME='

-include $(shell find $(O) -name '*.d' 2>/dev/null)
