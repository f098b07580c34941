# SPDX-License-Identifier: BSD-2-Clause
#
# make            builds bantam in $(O) (default: build)
# make demo       a shell in a stock Debian kernel, on your terminal; installs what is missing
# make check      all tests, installing what is missing (see tests/README.md)
# make help       every target and variable

# Calls by pointer are checked by their type, with CC=clang: see Documentation/security.md
CFI         ?=
O           ?= build$(if $(CFI),/cfi)
PREFIX      ?= /usr/local
CC          ?= cc
CLANG       ?= clang
PKG_CONFIG  ?= pkg-config
IASL        ?= iasl
SCDOC       ?= scdoc
DESTDIR     ?=
WERROR      ?=
FUZZ_TIME   ?= 5
TORTURE_TIME  ?= 14400
TORTURE_STATE ?= $(O)/torture.json
TORTURE_LAB   ?= 0
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

# ---- what is built of what: rooms and arrows ---------------------------------------------------
# A room is a folder; its .c files are one archive. `uses.ROOM` is all that a room may use: linked
# with that alone, it must be complete (see `arrow`), so an arrow that is not here is a link error.
# Documentation/architecture.md says what each room is for.
uses.vm/core          :=
uses.devices/char     := vm/core
uses.devices/block    := vm/core
uses.devices/block/qcow2 := vm/core devices/block
uses.vm/helper        := vm/core
uses.devices/net      := vm/core vm/helper
uses.devices/fs       := vm/core
uses.devices/net/slirp := vm/core vm/helper devices/net
uses.devices/pci      := vm/core
uses.devices/serial   := vm/core devices/char
uses.devices/time     := vm/core
uses.devices          := vm/core
uses.virtio/queue     := vm/core
uses.virtio           := vm/core virtio/queue
uses.virtio/transport := vm/core virtio/queue virtio devices/pci
uses.virtio/balloon   := vm/core virtio/queue virtio
uses.virtio/blk       := vm/core virtio/queue virtio
uses.virtio/fs        := vm/core virtio/queue virtio devices/fs
uses.virtio/console   := vm/core virtio/queue virtio devices/char
uses.virtio/net       := vm/core vm/helper virtio/queue virtio devices/net
uses.loader/image     := vm/core
uses.loader/acpi      := vm/core
uses.loader/smbios    := vm/core
uses.loader/boot      := vm/core loader/image
uses.loader/cache     := vm/core loader/image
uses.loader/unpack    := vm/core loader/image loader/cache
uses.loader/fit       := vm/core loader/image loader/unpack
uses.loader           := vm/core loader/image loader/boot loader/cache loader/unpack
uses.vm/kvm           := vm/core
uses.vcpu/cpuid       := vm/core
uses.vcpu             := vm/core vm/kvm vcpu/cpuid
uses.vm/options       := vm/core
uses.vm/config        := vm/core vcpu/cpuid vm/options
uses.vm/help          := vm/core vcpu/cpuid vm/options vm/config
uses.vm/control       := vm/core
uses.vm/client        := vm/core vm/helper devices/char devices/net devices/net/slirp vm/options vm/config vm/help vm/control vm/sandbox vcpu/cpuid
uses.vm/dump          := vm/core
uses.vm/sandbox       := vm/core
uses.vm/gdb           := vm/core

below_machine := vm/core vm/helper $(addprefix devices,/char /block /block/qcow2 /fs /net /net/slirp /pci /serial /time) devices \
	virtio/queue virtio $(addprefix virtio/,transport balloon blk console fs net) \
	$(addprefix loader/,image acpi smbios boot cache unpack fit) loader vm/kvm vcpu/cpuid vcpu vm/options vm/config vm/help
uses.vm/machine       := $(below_machine)
uses.vm               := $(below_machine) vm/machine vm/control vm/dump vm/gdb vm/sandbox
uses.vm/cli           := $(below_machine) vm/machine vm/control vm/dump vm/gdb vm/sandbox vm vm/client

ROOMS := $(below_machine) vm/machine vm/control vm/dump vm/gdb vm/sandbox vm vm/client vm/cli
sources = $(sort $(wildcard $(1)/*.c $(1)/*.S))
objs = $(patsubst %.S,$(1)/%.o,$(patsubst %.c,$(1)/%.o,$(2)))
# The archives of rooms: $(1) directory, $(2) rooms
archives = $(patsubst %,$(O)/$(1)/%/room.a,$(2))
linked = -Wl,--start-group $(1) -Wl,--end-group $(PKG_LIBS)

UNIT_SRCS := $(sort $(shell find tests/unit -name 'test_*.c'))
UNIT_LIB  := $(filter-out $(UNIT_SRCS),$(sort $(shell find tests/unit -name '*.c')))
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# ---- libraries: found by pkg-config, said in the summary, linked only where they are used -----
LIBS_USED :=
PKG_CFLAGS := $(if $(LIBS_USED),$(shell $(PKG_CONFIG) --cflags $(LIBS_USED)))
PKG_LIBS   := $(if $(LIBS_USED),$(shell $(PKG_CONFIG) --libs $(LIBS_USED)))
# Debian 12 has no .pc file for libfdt. It is linked in where its archive is there: opening a library
# costs every start more than the few functions that are used.
LIBFDT     := $(wildcard $(shell $(CC) -print-file-name=libfdt.a 2>/dev/null))
PKG_LIBS   += $(or $(LIBFDT),-lfdt)
# The same for jansson.
JANSSON    := $(wildcard $(shell $(CC) -print-file-name=libjansson.a 2>/dev/null))
PKG_LIBS   += $(or $(JANSSON),-ljansson)
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
# clang 14 puts an endbr64 into the middle of the tables that it makes for this, so that part of
# -fcf-protection is left out.
ifeq ($(CFI),1)
  $(if $(findstring clang,$(CC)),,$(error CFI=1 takes CC=clang))
  HARDEN := $(HARDEN:-fcf-protection=-fcf-protection=return) -flto -fvisibility=hidden \
		-fsanitize=cfi-icall -fsanitize-ignorelist=tests/tools/cfi.ignore
  AR     := llvm-ar
endif
CFLAGS   ?= -O2 -g
ALL_CPPFLAGS = -D_GNU_SOURCE -Iinclude $(if $(filter tests/%,$<),-Itests/unit) -I$(O)/gen -DBANTAM_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
BASE_CFLAGS  = -std=gnu11 -fno-strict-aliasing -pthread $(WARN)
ALL_CFLAGS   = $(BASE_CFLAGS) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS  = -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(LDFLAGS)
# What is compiled when it is linked wants to know how.
ifeq ($(CFI),1)
  ALL_LDFLAGS += $(HARDEN) $(CFLAGS)
endif
SAN_CFLAGS   = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
FUZZ_CFLAGS  = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
TSAN_CFLAGS  = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=thread

.PHONY: all
all: $(O)/bantam

# ACPI tables that are written in ASL
GEN := $(patsubst loader/acpi/%.asl,$(O)/gen/%.h,$(sort $(wildcard loader/acpi/*.asl)))
# Made by a pattern rule: without this, make removes them, and makes everything anew next time.
.SECONDARY: $(GEN)

# Lists of system calls become filters, by a program that runs here and now (tests/tools/make_filters.c).
FILTERS     := $(addprefix vm/sandbox/lists/,base.list baseuser.list basefs.list baseuserfs.list main.list vcpu.list \
	disk.list net.list fs.list user.list dump.list guard.list janitor.list keeper.list nethelper.list)
FILTERS_GEN := $(O)/gen/sandbox_filters.h
GEN         += $(FILTERS_GEN)
$(O)/gen/make_filters: tests/tools/make_filters.c tests/tools/filters.awk include/vm/sandbox/slots.h \
		$(sort $(wildcard vm/sandbox/lists/*.list))
	$(say) HOSTCC $@
	@mkdir -p $(@D)
	$(Q)awk -f tests/tools/filters.awk $(FILTERS) >$(O)/gen/filters.inc
	$(Q)$(CC) -D_GNU_SOURCE -Iinclude -I$(O)/gen $(WARN) -o $@ $< -lseccomp
$(FILTERS_GEN): $(O)/gen/make_filters
	$(say) FILTERS $@
	$(Q)$< >$@

$(O)/gen/%.h: loader/acpi/%.asl include/vm/core/layout.h
	$(say) IASL $<
	@mkdir -p $(@D)
	$(Q)$(CC) -E -P -x assembler-with-cpp -Iinclude $< -o $(O)/gen/$*.asl
	$(Q)cd $(O)/gen && $(IASL) -we -vs -p $* -tc $*.asl >$*.log 2>&1 || { cat $*.log; exit 1; }
	$(Q)sed 's/unsigned char $*_aml_code/static const unsigned char $*_aml_code/' \
		$(O)/gen/$*.hex >$@

define room_archive
$(O)/$(1)/$(2)/room.a: $(call objs,$(O)/$(1),$(call sources,$(2)))
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef

# One rule per flavour: $(1) directory, $(2) compiler, $(3) flags
define flavour
$(O)/$(1)/%.o: %.c $(GEN) | $(O)/gen/libraries.h
	$$(say) CC $$(if $$(filter obj,$(1)),,"[$(1)] ")$$<
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(ALL_CPPFLAGS) $(3) -MMD -MP -c $$< -o $$@

$(O)/$(1)/%.o: %.S | $(O)/gen/libraries.h
	$$(say) AS $$<
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(ALL_CPPFLAGS) $$(filter -fcf-protection%,$$(HARDEN)) -MMD -MP -c $$< -o $$@

$$(foreach room,$$(ROOMS),$$(eval $$(call room_archive,$(1),$$(room))))
endef
$(eval $(call flavour,obj,$$(CC),$$(ALL_CFLAGS)))
$(eval $(call flavour,asan,$$(CC),$$(SAN_CFLAGS)))
$(eval $(call flavour,tsan,$$(CC),$$(TSAN_CFLAGS)))
$(eval $(call flavour,fuzz,$$(CLANG),$$(FUZZ_CFLAGS)))

$(O)/bantam: $(O)/obj/main.o $(call archives,obj,$(ROOMS))
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call linked,$(filter %.a,$^))

# For chroots: one file that needs no other. It is made of the same objects, but of these sources'
# others, and they come first. A warning of the linker's would mean that something opens libraries yet.
STATIC_SRCS := devices/net/slirp/slirp_lib.c loader/fit/fit_hash.c vm/sandbox/user_find.c \
	$(addprefix loader/unpack/decompress,.c _codecs.c _lzo.c) devices/block/qcow2/packed.c
STATIC_OBJS := $(STATIC_SRCS:%.c=$(O)/static/%.o)
static_libs = $(foreach name,fdt jansson nettle z lz4 zstd lzma bz2 lzo2,$(wildcard \
	$(shell $(CC) -print-file-name=lib$(name).a)))
$(eval $(call flavour,static,$$(CC),$$(ALL_CFLAGS) -DBANTAM_STATIC))
# Where archives are there at all, tests have it made
STATIC_HERE := $(if $(and $(LIBFDT),$(JANSSON),$(wildcard $(shell $(CC) -print-file-name=rcrt1.o 2>/dev/null))),$(O)/static/bantam)
.PHONY: static
static: $(O)/static/bantam
$(STATIC_OBJS): | $(O)/gen/archives.h
$(O)/gen/archives.h: look-again
	@tests/tools/archives "$(CC)" "$(O)"
$(O)/static/bantam: $(O)/obj/main.o $(STATIC_OBJS) $(call archives,obj,$(ROOMS))
	$(say) LD $@
	$(Q)$(CC) $(filter-out -pie,$(ALL_LDFLAGS)) -static-pie -Wl,--fatal-warnings -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(static_libs)

# The whole VMM under ASan and UBSan, for runs with real guests.
.PHONY: asan
asan: $(O)/asan/bantam
$(O)/asan/bantam: $(O)/asan/main.o $(call archives,asan,$(ROOMS))
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=address,undefined -o $@ $< $(call linked,$(filter %.a,$^))

# The same under ThreadSanitizer: `make kvm-tsan` has tiny guests run on it.
$(O)/tsan/bantam: $(O)/tsan/main.o $(call archives,tsan,$(ROOMS))
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=thread -o $@ $< $(call linked,$(filter %.a,$^))

# Each room, all of it, linked with what it may use and nothing else. $(ARROW_EXTRA) is for the
# test of this: objects that are taken for the room's own.
define arrow
$(O)/obj/$(1)/room.arrow: $(call archives,obj,$(1) $(uses.$(1)))
	$$(say) ARROWS $(1)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -nostartfiles -Wl,--entry=0 -o $$@ \
		-Wl,--whole-archive $$< $$(ARROW_EXTRA) -Wl,--no-whole-archive \
		$$(call linked,$$(filter-out $$<,$$^)) || { \
		echo "$(1) uses what its arrows do not lead to (uses.$(1) in the Makefile)"; exit 1; }
endef
$(foreach room,$(ROOMS),$(eval $(call arrow,$(room))))
ARROWS := $(ROOMS:%=$(O)/obj/%/room.arrow)
.PHONY: arrows arrows-test
arrows: $(ARROWS)
all: $(if $(CFI),,$(ARROWS))
arrows-test: $(ARROWS)
	$(Q)tests/tools/arrows "$(MAKE)" $(O)
# The build itself: libraries that come and go, and what is installed
.PHONY: build-test
build-test: $(O)/bantam
	$(Q)tests/tools/features-test "$(MAKE)"
	$(Q)tests/tools/install-test "$(MAKE)" $(O)
	$(Q)tests/tools/cet-test "$(CC)" $(O)/bantam "$(LIBFDT) $(JANSSON)" $(foreach room,$(ROOMS),$(call objs,$(O)/obj,$(call sources,$(room))))

# What may be missing. Every make looks again; who includes this is built anew when that differs.
.PHONY: look-again
$(O)/gen/libraries.h: look-again
	@tests/tools/features "$(CC)" "$(PKG_CONFIG)" "$(O)" $(CPPFLAGS)
look-again:

# ---- tests -----------------------------------------------------------------------------------
# What tests of single modules link: all but the machine's life and the verbs.
TESTED := $(ROOMS)
UNIT_BINS := $(UNIT_SRCS:%.c=$(O)/asan/%)
TSAN_BINS := $(patsubst %.c,$(O)/tsan/%,$(filter %test_event_loop.c %test_io_thread.c %test_clock.c %test_bus.c %test_uart.c %test_chardev_stdio.c \
	%test_chardev_pty.c %test_chardev_unix.c %test_chardev_file.c %test_blk_raw.c %test_blk_queue.c %test_blk_wakeup.c %test_blk_faults.c %test_blk_durability.c %test_qcow2.c \
	%test_virtqueue.c %test_virtio_queues.c %test_virtio_device.c %test_virtio_hostile.c \
	%test_virtio_balloon.c %test_virtio_balloon_reporting.c %test_virtio_balloon_stats.c \
	%test_virtio_blk_threads.c %test_virtio_blk_async.c %test_coalesced.c %test_virtio_console_threads.c %test_virtio_fs.c %test_virtio_net_threads.c %test_ring.c,$(UNIT_SRCS)))
FUZZ_BINS := $(FUZZ_SRCS:%.c=$(O)/fuzz/%)

$(UNIT_BINS): $(O)/asan/%: $(O)/asan/%.o $(UNIT_LIB:%.c=$(O)/asan/%.o) $(call archives,asan,$(TESTED))
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=address,undefined -o $@ $(filter %.o,$^) $(call linked,$(filter %.a,$^)) -lcmocka

# Only what has threads to meet is built for it.
TSAN_ROOMS := $(filter vm/core devices% virtio% vcpu% vm/kvm vm/helper,$(ROOMS))
$(O)/tsan/tests/unit/lib.a: $(UNIT_LIB:%.c=$(O)/tsan/%.o)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(TSAN_BINS): $(O)/tsan/%: $(O)/tsan/%.o $(O)/tsan/tests/unit/lib.a $(call archives,tsan,$(TSAN_ROOMS))
	$(say) LD $@
	$(Q)$(CC) -pthread -fsanitize=thread -o $@ $(filter %.o,$^) $(call linked,$(filter %.a,$^)) -lcmocka

# -rdynamic: libraries opened later use the sockets that a driver puts in the place of the real ones.
$(FUZZ_BINS): $(O)/fuzz/%: $(O)/fuzz/%.o $(call archives,fuzz,$(TESTED))
	$(say) LD $@
	$(Q)$(CLANG) -pthread -rdynamic -fsanitize=fuzzer,address,undefined $(FUZZ_LDFLAGS) -o $@ $(filter %.o,$^) $(call linked,$(filter %.a,$^))

# Where there are virtqueues, the chains are counted.
FUZZ_CHAINS := $(filter %/fuzz_virtqueue %/fuzz_virtio_balloon %/fuzz_virtio_blk %/fuzz_virtio_console \
	%/fuzz_virtio_mmio %/fuzz_virtio_net %/fuzz_virtio_pci,$(FUZZ_BINS))
$(FUZZ_CHAINS): $(O)/fuzz/tests/fuzz/count_chains.o
$(FUZZ_CHAINS): FUZZ_LDFLAGS := -Wl,--wrap=virtqueue_pop,--wrap=virtqueue_pop_room

MALFORMED_OBJS := tests/tools/make_malformed tests/unit/fakes/kernel_files \
	tests/unit/loader/malformed_set tests/unit/loader/malformed_cases
$(O)/make_malformed: $(MALFORMED_OBJS:%=$(O)/obj/%.o)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(O)/dump_kernel: $(O)/obj/tests/tools/dump_kernel.o $(O)/obj/tests/unit/fakes/fake_ram.o $(call archives,obj,$(TESTED))
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(call linked,$(filter %.a,$^))

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
.PHONY: kvm check-trixie check-cfi
kvm: $(O)/asan/bantam
# The same on Debian 13's C library, but for the sanitizers' builds, which go with the one they were made on
check-trixie check-cfi: export BANTAM_ASAN =
kvm: export BANTAM_ASAN = $(abspath $(O)/asan/bantam)
# And that of a program that checks its calls
check-cfi: $(O)/cfi/bantam
.PHONY: $(O)/cfi/bantam
$(O)/cfi/bantam:
	$(Q)$(MAKE) --no-print-directory O=$(O)/cfi CC=$(CLANG) CFI=1 all
	$(Q)nm $@ | grep -q '\.cfi$$' || { echo '$@ checks no calls'; exit 1; }
kvm check-trixie check-cfi: $(O)/bantam $(STATIC_HERE) $(O)/make_malformed $(O)/dump_kernel $(GUEST_BINS)
	$(Q)BANTAM=$(abspath $(if $(filter check-cfi,$@),$(O)/cfi/bantam,$(O)/bantam)) \
		BANTAM_STATIC=$(abspath $(STATIC_HERE)) BANTAM_MALFORMED=$(abspath $(O)/make_malformed) \
		BANTAM_DUMP_KERNEL=$(abspath $(O)/dump_kernel) BANTAM_GUESTS=$(abspath $(O)/guests) \
		$(if $(filter check-trixie,$@),tests/lab/trixie) /usr/bin/python3 -B -m pytest -p no:cacheprovider -q -ra tests/kvm

# What commands do to running guests, with the threads that meet there under ThreadSanitizer: six
# minutes. One test has no thread to spare for it.
.PHONY: kvm-tsan
kvm-tsan: $(O)/tsan/bantam $(GUEST_BINS)
	$(Q)rm -rf $(O)/tsan/races && mkdir $(O)/tsan/races
	$(Q)TSAN_OPTIONS=exitcode=0:log_path=$(abspath $(O))/tsan/races/of BANTAM=$(abspath $(O)/tsan/bantam) \
		BANTAM_ASAN=$(abspath $(O)/tsan/bantam) BANTAM_GUESTS=$(abspath $(O)/guests) BANTAM_LARGE=2G \
		/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -ra -k 'not no_thread_to_resume_with' \
		$(wildcard tests/kvm/test_control*.py) tests/kvm/test_hotplug.py tests/kvm/test_stat.py tests/kvm/test_console_verb.py
	$(Q)! cat $(O)/tsan/races/of* 2>/dev/null

# The fuzz targets, power cuts and boots, TORTURE_TIME seconds of them; totals stay in TORTURE_STATE.
TORTURE_TESTS := $(filter %test_blk_durability %test_virtio_blk_durability %test_qcow2_power,$(UNIT_BINS))
.PHONY: torture
torture: $(O)/bantam $(FUZZ_BINS) $(TORTURE_TESTS) $(GUEST_BINS)
	$(Q)tests/tools/torture --out $(O) --state $(TORTURE_STATE) --time $(TORTURE_TIME) \
		--lab $(TORTURE_LAB) $(FUZZ_BINS) $(TORTURE_TESTS)

# Stock kernels: on /dev/kvm where it can boot Linux, in the lab elsewhere.
.PHONY: guest
guest: $(O)/bantam
	$(Q)tests/lab/check $(O)/bantam $(PYTEST)

# A kernel that goes by a device tree, which is compiled first: some minutes of a CPU.
.PHONY: guest-of
guest-of: $(O)/bantam
	$(Q)tests/lab/images linux-of >/dev/null
	$(Q)BANTAM_TESTS=test_device_tree.py tests/lab/check $(O)/bantam

# The core of them on kvm-intel, in Bochs: some minutes of a CPU. `check` has two Linux guests of it.
INTEL ?=
.PHONY: guest-intel guest-intel-short
guest-intel guest-intel-short: $(O)/bantam $(GUEST_BINS)
	$(Q)tests/lab/check-intel $(O)/bantam $(O)/guests $(if $(filter %-short,$@),tiny end,$(INTEL))

# The tests of kvm-unit-tests, of a tree in which they are built.
.PHONY: kvm-unit-tests
kvm-unit-tests: $(O)/bantam
	$(Q)[ -n "$(KVM_UNIT_TESTS)" ] || { echo 'say where they are: make kvm-unit-tests KVM_UNIT_TESTS=DIR'; exit 2; }
	$(Q)tests/lab/kvm-unit-tests $(O)/bantam "$(KVM_UNIT_TESTS)"
# The Firmware Test Suite in a guest. What fails, and why, is in Documentation/devices.md.
.PHONY: fwts
fwts: $(O)/bantam
	$(Q)tests/lab/fwts $(O)/bantam

# A dump of Debian 13's kernel, read by crash with the kernel's symbols: 340 MB, once.
.PHONY: crash
crash: $(O)/bantam
	$(Q)tests/lab/crash $(O)/bantam

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
	$(Q)for step in 'all WERROR=1' arrows-test build-test 'unit WERROR=1' tsan fuzz kvm guest guest-intel-short guard; do \
		$(MAKE) --no-print-directory -j$(JOBS) $$step || exit 1; done
bench:
	$(Q)tests/tools/deps bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/bench/run $(O)/bantam
lint:
	$(Q)tests/tools/deps lint
	$(Q)tests/tools/lint $(O)

# ---- installing ------------------------------------------------------------------------------
# They have one page together; each name leads to it.
CONTROL_VERBS := ps stop reset pause resume wait events console stat top limit balloon nmi sysrq dump gdb logs disk net
MAN_PAGES := $(patsubst Documentation/man/%.scd,$(O)/man/%,$(sort $(wildcard Documentation/man/*.scd)))
$(O)/man/%: Documentation/man/%.scd
	@mkdir -p $(@D)
	$(say) MAN $@
	$(Q)$(SCDOC) <$< >$@

UNITS := $(sort $(wildcard Documentation/*.service))

.PHONY: man install uninstall deb
man: $(MAN_PAGES)
# Without scdoc there are no manual pages, and that is all.
HAVE_SCDOC := $(shell command -v $(SCDOC) 2>/dev/null)
install: $(O)/bantam $(if $(HAVE_SCDOC),$(MAN_PAGES))
	$(Q)install -D -m 755 $(O)/bantam $(DESTDIR)$(PREFIX)/bin/bantam
ifneq ($(HAVE_SCDOC),)
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)for verb in $(CONTROL_VERBS); do echo '.so man1/bantam-control.1' \
		>$(DESTDIR)$(PREFIX)/share/man/man1/bantam-$$verb.1; done
else
	@echo 'The manual pages are not installed, as scdoc, which makes them, is missing.'
endif
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(Q)$(O)/bantam completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bantam
	$(Q)$(O)/bantam completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bantam
	$(Q)$(O)/bantam completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bantam.fish
	$(Q)install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(Q)for unit in $(UNITS); do sed 's,/usr/bin/bantam,$(PREFIX)/bin/bantam,' $$unit \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} || exit 1; done
uninstall:
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/bantam \
		$(patsubst $(O)/man/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(MAN_PAGES)) \
		$(CONTROL_VERBS:%=$(DESTDIR)$(PREFIX)/share/man/man1/bantam-%.1) \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bantam \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bantam \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bantam.fish \
		$(UNITS:Documentation/%=$(DESTDIR)$(PREFIX)/lib/systemd/system/%)
# A Debian package, which lintian has looked at.
deb:
	$(Q)tests/tools/deps deb
	$(Q)$(MAKE) --no-print-directory all man
	$(Q)tests/tools/deb "$(MAKE)" $(O) $(VERSION)

.PHONY: clean help
clean:
	$(Q)rm -rf $(O)
help:
	@echo 'make            build $(O)/bantam'
	@echo 'make demo       a shell in a stock Debian kernel, on your terminal'
	@echo 'make check      all tests: unit, TSan, fuzz, kvm, guest, guard (each is a target, too)'
	@echo 'make guest-intel   the core of the guest tests on an emulated Intel host; INTEL="boot disk"'
	@echo 'make kvm-unit-tests   the tests of kvm-unit-tests, built in KVM_UNIT_TESTS=DIR'
	@echo 'make guest-of   a kernel with CONFIG_OF, compiled for it, on a device tree alone'
	@echo 'make kvm-tsan   commands to tiny guests, under ThreadSanitizer'
	@echo 'make fwts       the Firmware Test Suite in a guest'
	@echo 'make check-trixie  the kvm tests on the C library of Debian 13, as root'
	@echo 'make check-cfi  the same with a bantam made by clang that checks its calls by pointer'
	@echo 'make crash      crash(8) on a dump of Debian 13'
	@echo 'make lint       gcc and clang without warnings, clang-format, clang-tidy, cppcheck, shellcheck'
	@echo 'make fuzz       the fuzz targets, FUZZ_TIME=$(FUZZ_TIME) seconds each'
	@echo 'make torture    the same, power cuts and boots for hours: TORTURE_TIME=, resumable'
	@echo 'make bench      the figures of Documentation/benchmarks.md'
	@echo 'make asan       bantam with AddressSanitizer: $(O)/asan/bantam'
	@echo 'make static     bantam as one file without libraries, for chroots: $(O)/static/bantam'
	@echo 'make install    with DESTDIR= and PREFIX=$(PREFIX); also uninstall, man'
	@echo 'make deb        a Debian package, $(O)/deb/bantam_$(VERSION)_ARCH.deb'
	@echo 'make clean      remove $(O)'
	@echo 'Variables: O=DIR V=1 WERROR=1 CC= CFLAGS= CLANG= PYTEST="-k name" FUZZ_TIME='

-include $(shell find $(O) -name '*.d' -type f 2>/dev/null)
