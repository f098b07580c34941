/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of verbs and options: help, manual, completion and the scanner go by them. */
#include "vm/options/options.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/core/suggest.h"

#define RUN    VERB_BIT(VERB_RUN)
#define PACK   VERB_BIT(VERB_PACK)
#define DOCTOR VERB_BIT(VERB_DOCTOR)
#define ALL    (VERB_BIT(NUM_VERBS) - 1)
/* Those that have something to say which a program may read */
#define JSON                                                                                       \
	(VERB_BIT(VERB_PS) | VERB_BIT(VERB_STOP) | VERB_BIT(VERB_WAIT) | VERB_BIT(VERB_EVENTS) |   \
		VERB_BIT(VERB_STAT) | VERB_BIT(VERB_TOP) | VERB_BIT(VERB_LIMIT) |                  \
		VERB_BIT(VERB_BALLOON) | VERB_BIT(VERB_DUMP) | DEVICES)
#define DEVICES (VERB_BIT(VERB_DISK) | VERB_BIT(VERB_NET))

static const char *const end_actions[] = {
	[END_EXIT] = "exit", [END_RESTART] = "restart", [END_PAUSE] = "pause", NULL};
static const char *const entry_modes[] = {
	[ENTRY_REAL] = "real", [ENTRY_PROTECTED] = "protected", [ENTRY_LONG] = "long", NULL};
static const char *const net_kinds[] = {
	[NET_USER] = "user", [NET_TAP] = "tap", [NET_NONE] = "none", NULL};
static const char *const serial_kinds[] = {"stdio", "null", "pty", "file:", "unix:", NULL};
static const char *const console_kinds[] = {
	[CONSOLE_SERIAL] = "serial", [CONSOLE_VIRTIO] = "virtio", NULL};
static const char *const transports[] = {[TRANSPORT_PCI] = "pci",
	[TRANSPORT_MMIO] = "mmio",
	[TRANSPORT_MMIO_CMDLINE] = "mmio-cmdline",
	NULL};
static const char *const boots[] = {[BOOT_AUTO] = "auto",
	[BOOT_ELF] = "elf",
	[BOOT_PVH] = "pvh",
	[BOOT_BZIMAGE] = "bzimage",
	[BOOT_MULTIBOOT] = "multiboot",
	NULL};
static const char *const switches[] = {[SWITCH_OFF] = "off", [SWITCH_ON] = "on", NULL};
static const char *const sandbox_modes[] = {[SANDBOX_ON] = "on",
	[SANDBOX_STRICT] = "strict",
	[SANDBOX_LOG] = "log",
	[SANDBOX_OFF] = "off",
	NULL};
static const char *const gdb_kinds[] = {"unix:", "tcp:", NULL};
static const char *const smbios_keys[] = {"serial=", "oem=", NULL};
static const char *const disk_actions[] = {"list", "add", "remove", "swap", "resize", NULL};
static const char *const net_actions[] = {"list", "add", "remove", "link", NULL};
static const char *const event_names[] = {"started", "paused", "resumed", "reboot", "poweroff",
	"panic", "crash", "crash-kernel", "io-error", "device", "balloon", "ended", NULL};
static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static_assert(ARRAY_SIZE(end_actions) == END_PAUSE + 2, "a word for each enum end_action");
static_assert(ARRAY_SIZE(net_kinds) == NET_NONE + 2, "a word for each enum net_kind");
static_assert(ARRAY_SIZE(console_kinds) == CONSOLE_VIRTIO + 2, "a word for each enum console_kind");
static_assert(
	ARRAY_SIZE(transports) == TRANSPORT_MMIO_CMDLINE + 2, "a word for each enum transport");
static_assert(ARRAY_SIZE(sandbox_modes) == SANDBOX_OFF + 2, "a word for each enum sandbox_mode");
static_assert(ARRAY_SIZE(boots) == BOOT_MULTIBOOT + 2, "a word for each enum loader_boot");
static_assert(ARRAY_SIZE(entry_modes) == ENTRY_LONG + 2, "a word for each enum entry_mode");

static const struct option_more timeouts[] = {
	{VERB_BIT(VERB_STOP), "; then the guest is ended by force (default 30; 0: never)"},
	{VERB_BIT(VERB_WAIT), "; then exit with 8 (default 0: without end)"},
	{VERB_BIT(VERB_BALLOON), ", with --wait; then exit with 8 (default 0: without end)"},
	{DEVICES, ", with remove; then exit with 8 (default 10; 0: without end)"},
	{0, NULL},
};
static const struct option_more forces[] = {
	{VERB_BIT(VERB_STOP), ": it is ended at once"},
	{DEVICES, ", with remove: the device is taken away"},
	{0, NULL},
};
static const struct option_more intervals[] = {
	{VERB_BIT(VERB_STAT), ", in seconds (default 1); needs no --watch"},
	{VERB_BIT(VERB_TOP), ", in seconds (default 2)"},
	{0, NULL},
};

static const struct option_spec options[] = {
	[OPT_KERNEL] = {.short_name = 'k',
		.name = "kernel",
		.value = "FILE",
		.file = true,
		.verbs = RUN | PACK,
		.group = GROUP_BOOT,
		.brief = "the kernel: bzImage, ELF or Multiboot",
		.more = "; without one, the newest vmlinuz-* of /boot that can be read"},
	[OPT_INITRD] = {.short_name = 'i',
		.name = "initrd",
		.value = "FILE",
		.file = true,
		.repeatable = true,
		.verbs = RUN | PACK,
		.group = GROUP_BOOT,
		.brief = "an initial RAM disk",
		.more = "; several are joined in this order. For Multiboot each is a module"},
	[OPT_CMDLINE] = {.short_name = 'a',
		.name = "cmdline",
		.value = "PARAMETERS",
		.repeatable = true,
		.verbs = RUN | PACK,
		.group = GROUP_BOOT,
		.brief = "kernel command-line parameters",
		.more = "; several are joined; they override the default parameters"},
	[OPT_NO_DEFAULT_CMDLINE] = {.name = "no-default-cmdline",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "use only the parameters from --cmdline"},
	[OPT_EARLYCON] = {.name = "earlycon",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "have the kernel print from early on, and everything",
		.more = ", on the first serial port: for one that dies before it has a console"},
	[OPT_BOOT] = {.name = "boot",
		.value = "HOW",
		.choices = boots,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "how the kernel is entered",
		.more = ": auto (default) unpacks a bzImage on the host and enters the kernel in "
			"it, elf and pvh require that entry point, bzimage lets the guest unpack "
			"it, "
			"multiboot prefers the Multiboot entry point over others"},
	[OPT_KASLR] = {.name = "kaslr",
		.value = "SWITCH",
		.choices = switches,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "a random address for a kernel unpacked on the host",
		.more = ": on (default) or off"},
	[OPT_NO_KERNEL_CACHE] = {.name = "no-kernel-cache",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "do not use the cache of unpacked kernels"},
	[OPT_FIT_CONFIG] = {.name = "fit-config",
		.value = "NAME",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "which configuration of a FIT image to boot",
		.more = ", as FILE#NAME does; default: the image's default"},
	[OPT_DTB] = {.name = "dtb",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "also describe the machine in a device tree",
		.more = ", for kernels built with CONFIG_OF"},
	[OPT_OUTPUT] = {.short_name = 'o',
		.name = "output",
		.value = "FILE",
		.file = true,
		.verbs = PACK,
		.group = GROUP_BOOT,
		.brief = "the FIT image to make",
		.more = "; an existing one is replaced"},
	[OPT_PACK_CONFIG] = {.name = "config",
		.value = "NAME",
		.repeatable = true,
		.verbs = PACK,
		.group = GROUP_BOOT,
		.brief = "start a configuration with this name",
		.more = "; the --kernel, --initrd and --cmdline that follow belong to it. Without "
			"a "
			"kernel it shares the files of the first one, which is the default"},
	[OPT_FLAT] = {.name = "flat",
		.value = "FILE[@GPA]",
		.file = true,
		.verbs = RUN,
		.group = GROUP_FLAT,
		.brief = "a raw binary program, loaded at address GPA",
		.more = "; default 0x1000 in real mode, 0x100000 otherwise; HLT ends the VM"},
	[OPT_MODE] = {.name = "mode",
		.value = "MODE",
		.choices = entry_modes,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_FLAT,
		.brief = "the CPU mode it starts in",
		.more = ": real (default), protected or long"},
	[OPT_MEMORY] = {.short_name = 'm',
		.name = "memory",
		.value = "SIZE",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "guest memory",
		.more = ", with a suffix K, M, G or T (MiB without one); default 512M"},
	[OPT_HUGEPAGES] = {.name = "hugepages",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "use the host's reserved huge pages for that memory"},
	[OPT_CPUS] = {.short_name = 'c',
		.name = "cpus",
		.value = "N",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "virtual CPUs",
		.more = ", 1 to 254; default 1"},
	[OPT_CPU] = {.name = "cpu",
		.value = "FEATURES",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "CPU features, such as host,-avx512f,+x2apic",
		.more = ", named as in /proc/cpuinfo"},
	[OPT_NAME] = {.name = "name",
		.value = "NAME",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "a name for the VM",
		.more = ": letters, digits, '.', '_' and '-'"},
	[OPT_UUID] = {.name = "uuid",
		.value = "UUID",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "the machine's UUID",
		.more = "; default: derived from the names of the host, the VM and its first disk"},
	[OPT_SMBIOS] = {.name = "smbios",
		.value = "KEY=TEXT",
		.repeatable = true,
		.choices = smbios_keys,
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "a text in the firmware tables",
		.more = ": serial=TEXT, the serial number, or oem=TEXT, a string for programs in "
			"the guest, such as io.systemd.credential:NAME=TEXT for systemd; up to "
			"255 of the latter"},
	[OPT_DISK] = {.short_name = 'd',
		.name = "disk",
		.value = "FILE[,...]",
		.file = true,
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a disk: a raw or qcow2 image or a block device",
		.more = "; up to 32, in the guest /dev/vda and so on. Options, separated by "
			"commas: ro; cache=none (default), writeback, writethrough or unsafe; "
			"aio=native or threads; serial=TEXT; queues=N; iothread (a thread of its "
			"own); format=raw or qcow2 (default: by the name); backing=yes (open what "
			"a qcow2 image is based on); snapshot (throw away what is written), with "
			"size=SIZE of it at most; id=WORD (for `bantam disk`); bandwidth=SIZE "
			"and iops=N, limits of bytes and requests "
			"per second, each with -burst=N (at once) and -once=N (at the start). "
			"Write "
			"a comma in the name twice"},
	[OPT_NET] = {.short_name = 'n',
		.name = "net",
		.value = "KIND[,...]",
		.choices = net_kinds,
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a network card",
		.more = "; up to 8, in the guest eth0 and so on. KIND is user (the host's network, "
			"without privileges), tap (a network interface of the host) or none. "
			"Options, separated by commas: mac=ADDRESS; mtu=N; id=WORD (for `bantam "
			"net`); with user: "
			"hostfwd=tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT, dns=ADDRESS[:PORT], "
			"restrict, host-loopback, apart=on|off; with tap: ifname=NAME, "
			"script=PATH, queues=N, "
			"vhost=on|off, fd=N. Limits: rx-bandwidth=SIZE, tx-bandwidth=SIZE, "
			"rx-pps=N, tx-pps=N, each with -burst and -once, as for --disk"},
	[OPT_SHARE] = {.name = "share",
		.value = "DIR[,...]",
		.file = true,
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a directory of the host for the guest",
		.more = "; up to 16, in the guest `mount -t virtiofs TAG DIR`. Options, separated "
			"by commas: tag=TAG (default share0 and so on); ro; cache=auto (default), "
			"always or none; owner=host (default) or root (your files are root's in "
			"the guest); hide=PATH, not shown; mounts (also what is mounted beneath). "
			"Write a comma in the name twice"},
	[OPT_SERIAL] = {.name = "serial",
		.value = "WHERE",
		.file = false,
		.repeatable = true,
		.choices = serial_kinds,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "what a serial port is connected to",
		.more = ": stdio, null, pty, file:PATH or unix:PATH; repeat for up to four ports "
			"(default: one port, on stdio)"},
	[OPT_CONSOLE] = {.name = "console",
		.value = "KIND",
		.choices = console_kinds,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "which guest device this terminal is",
		.more = ": serial (ttyS0, default) or virtio (hvc0)"},
	[OPT_PORT] = {.name = "port",
		.value = "NAME=WHERE",
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a channel to /dev/virtio-ports/NAME in the guest",
		.more = "; WHERE is as for --serial, except stdio"},
	[OPT_RNG] = {.name = "rng",
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a source of random numbers (virtio-rng)"},
	[OPT_BALLOON] = {.name = "balloon",
		.value = "SIZE",
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a memory balloon that takes SIZE from the guest",
		.more = "; with 0 the guest only returns memory that it does not use"},
	[OPT_TRANSPORT] = {.name = "transport",
		.value = "BUS",
		.choices = transports,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "how the guest reaches its virtio devices",
		.more = ": pci (default), mmio, or mmio-cmdline for kernels without ACPI"},
	[OPT_HOTPLUG] = {.name = "hotplug",
		.value = "N",
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "free slots for disks and networks that are added later",
		.more = ": up to 31 (default 3), over PCI; 0 for a VM without hot-plug. After a "
			"reboot there are as many again"},
	[OPT_ON_REBOOT] = {.name = "on-reboot",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "what to do when the guest reboots",
		.more = "; default restart"},
	[OPT_ON_POWEROFF] = {.name = "on-poweroff",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "what to do when it powers off",
		.more = "; default exit"},
	[OPT_ON_PANIC] = {.name = "on-panic",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "what to do when it panics",
		.more = "; default exit"},
	[OPT_EXIT_PORT] = {.name = "exit-port",
		.value = "PORT",
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "an I/O port through which the guest ends the VM",
		.more = ": writing V makes the exit status (V << 1) | 1, like QEMU's "
			"isa-debug-exit"},
	[OPT_KVM] = {.name = "kvm",
		.value = "PATH",
		.file = true,
		.verbs = RUN | DOCTOR,
		.group = GROUP_OTHER,
		.brief = "the KVM device",
		.more = "; default /dev/kvm"},
	[OPT_DETACH] = {.short_name = 'D',
		.name = "detach",
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "go on in the background once the guest runs, and print the VM's name",
		.more = "; `bantam console` reaches its console, `bantam logs` prints its "
			"messages"},
	[OPT_DRY_RUN] = {.name = "dry-run",
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "print the machine that would be built, and stop"},
	[OPT_DUMP_DTB] = {.name = "dump-dtb",
		.value = "FILE",
		.file = true,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "write that machine's device tree to FILE, and stop"},
	[OPT_EVENTS] = {.name = "events",
		.value = "FD|FILE",
		.file = true,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "write what happens to the VM, a line of JSON each",
		.more = ", to an open descriptor or to the end of a file"},
	[OPT_METRICS] = {.name = "metrics",
		.value = "FILE[,...]",
		.file = true,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "write what it has done to the end of a file, as `stat --json`",
		.more = "; interval=SECONDS behind a comma says how often (default 10)"},
	[OPT_SANDBOX] = {.name = "sandbox",
		.value = "HOW",
		.choices = sandbox_modes,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "what Bantam gives up before the guest runs",
		.more = ": on (default) all that this host lets it, strict refuses to start "
			"where something is missing, log denies nothing and has the kernel log "
			"the system calls that on would deny, off nothing. `bantam doctor` says "
			"what this host has"},
	[OPT_USER] = {.name = "user",
		.value = "NAME",
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "whom to become once everything is open, for root only",
		.more = ": a user's name, or UID:GID"},
	[OPT_GDB] = {.name = "gdb",
		.value = "WHERE[,wait]",
		.choices = gdb_kinds,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "let gdb connect",
		.more = " to unix:PATH or tcp:[ADDRESS:]PORT (by default 127.0.0.1); with wait the "
			"guest starts when it says so. `bantam gdb` needs no such option"},
	[OPT_TIMEOUT] = {.short_name = 't',
		.name = "timeout",
		.value = "SECONDS",
		.verbs = VERB_BIT(VERB_STOP) | VERB_BIT(VERB_WAIT) | VERB_BIT(VERB_BALLOON) |
			 DEVICES,
		.group = GROUP_OTHER,
		.brief = "how long to wait, in seconds",
		.more_by_verb = timeouts},
	[OPT_FORCE] = {.short_name = 'f',
		.name = "force",
		.verbs = VERB_BIT(VERB_STOP) | DEVICES,
		.group = GROUP_OTHER,
		.brief = "do not wait for the guest",
		.more_by_verb = forces},
	[OPT_EVENT] = {.name = "event",
		.value = "EVENT",
		.choices = event_names,
		.verbs = VERB_BIT(VERB_WAIT),
		.group = GROUP_OTHER,
		.brief = "what to wait for",
		.more = ": one of those that `bantam events` prints; default ended"},
	[OPT_CATCH_UP] = {.name = "catch-up",
		.verbs = VERB_BIT(VERB_RESUME),
		.group = GROUP_OTHER,
		.brief = "let the guest's clocks jump over the pause",
		.more = "; otherwise no time has passed for it"},
	[OPT_READ_ONLY] = {.name = "ro",
		.verbs = VERB_BIT(VERB_CONSOLE),
		.group = GROUP_OTHER,
		.brief = "read-only: input does not reach the guest"},
	[OPT_NO_HISTORY] = {.name = "no-history",
		.verbs = VERB_BIT(VERB_CONSOLE),
		.group = GROUP_OTHER,
		.brief = "do not print earlier output"},
	[OPT_WATCH] = {.short_name = 'w',
		.name = "watch",
		.verbs = VERB_BIT(VERB_STAT),
		.group = GROUP_OTHER,
		.brief = "print the statistics every second, or as --interval says"},
	[OPT_INTERVAL] = {.name = "interval",
		.value = "SECONDS",
		.verbs = VERB_BIT(VERB_STAT) | VERB_BIT(VERB_TOP),
		.group = GROUP_OTHER,
		.brief = "how often to update",
		.more_by_verb = intervals},
	[OPT_PROMETHEUS] = {.name = "prometheus",
		.verbs = VERB_BIT(VERB_STAT),
		.group = GROUP_OTHER,
		.brief = "print metrics in Prometheus' text format"},
	[OPT_WAIT] = {.short_name = 'w',
		.name = "wait",
		.verbs = VERB_BIT(VERB_BALLOON),
		.group = GROUP_OTHER,
		.brief = "wait until the guest has reached the target"},
	[OPT_ONE_CPU] = {.name = "cpu",
		.value = "N",
		.verbs = VERB_BIT(VERB_NMI),
		.group = GROUP_OTHER,
		.brief = "one virtual CPU, from 0 on",
		.more = "; default all of them"},
	[OPT_NO_PAUSE] = {.name = "no-pause",
		.verbs = VERB_BIT(VERB_DUMP),
		.group = GROUP_OTHER,
		.brief = "let the guest go on while its memory is written",
		.more = ", which is then of no one moment"},
	[OPT_FOLLOW] = {.name = "follow",
		.verbs = VERB_BIT(VERB_LOGS),
		.group = GROUP_OTHER,
		.brief = "go on with what comes, until the VM ends"},
	[OPT_VMLINUX] = {.name = "vmlinux",
		.value = "FILE",
		.file = true,
		.verbs = VERB_BIT(VERB_GDB),
		.group = GROUP_OTHER,
		.brief = "the kernel's symbols",
		.more = ", which gdb moves to where the kernel is"},
	[OPT_JSON] = {.name = "json",
		.verbs = JSON,
		.group = GROUP_OTHER,
		.brief = "print JSON, for programs"},
	[OPT_QUIET] = {.short_name = 'q',
		.name = "quiet",
		.verbs = VERB_BIT(VERB_PS),
		.group = GROUP_OTHER,
		.brief = "print names only"},
	[OPT_VERBOSE] = {.short_name = 'v',
		.name = "verbose",
		.repeatable = true,
		.verbs = RUN | DOCTOR,
		.group = GROUP_OTHER,
		.brief = "print more messages"},
	[OPT_HELP] = {.short_name = 'h',
		.name = "help",
		.verbs = ALL,
		.group = GROUP_OTHER,
		.brief = "show this help"},
};

static_assert(ARRAY_SIZE(options) == NUM_OPTIONS, "an entry for each enum option_id");

static const struct verb_spec verbs[] = {
	[VERB_RUN] = {.name = "run",
		.operand = "[KERNEL]",
		.operand_file = true,
		.brief = "start a virtual machine",
		.text = "Boots a Linux kernel, or with --flat your own program, in a virtual "
			"machine, with its first serial port on this terminal."},
	[VERB_PACK] = {.name = "pack",
		.operand = "[KERNEL]",
		.operand_file = true,
		.brief = "put kernel, initial RAM disk and command line into one file",
		.text = "Makes a FIT image for `bantam run`: a kernel, initial RAM disks and "
			"kernel command-line parameters, with hashes, in one or more "
			"configurations."},
	[VERB_DOCTOR] = {.name = "doctor",
		.brief = "check whether this host can run guests",
		.text = "Checks the KVM device, its version and capabilities, and runs and times "
			"small guests up to 64-bit mode; tries which layers of the sandbox this "
			"host gives you. Exits with 0 if this host can boot Linux guests, with 1 "
			"if not."},
	[VERB_PS] = {.name = "ps",
		.brief = "list running VMs",
		.text = "Lists this user's running VMs: name, process ID, state, uptime, virtual "
			"CPUs and memory."},
	[VERB_STOP] = {.name = "stop",
		.operand = "NAME...",
		.operand_vm = true,
		.operand_vms = true,
		.brief = "shut a VM down",
		.text = "Presses the VM's power button and waits until its guest has powered off; "
			"after --timeout seconds it is ended by force. Exits with 0 if the guest "
			"powered off, with 8 if it was ended by force."},
	[VERB_RESET] = {.name = "reset",
		.operand = "NAME...",
		.operand_vm = true,
		.operand_vms = true,
		.brief = "reset a VM",
		.text = "Resets the VM as a reset button would. What follows depends on the "
			"--on-reboot that it was started with."},
	[VERB_PAUSE] = {.name = "pause",
		.operand = "NAME...",
		.operand_vm = true,
		.operand_vms = true,
		.brief = "pause a VM",
		.text = "Stops the VM's virtual CPUs, waits until its disks have finished their "
			"requests, and stops its clocks. Does nothing if it is paused already."},
	[VERB_RESUME] = {.name = "resume",
		.operand = "NAME...",
		.operand_vm = true,
		.operand_vms = true,
		.brief = "resume a paused VM",
		.text = "Resumes a paused VM. For the guest no time has passed, so its time of day "
			"lags until it sets it again."},
	[VERB_WAIT] = {.name = "wait",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "wait for a VM's end, or another event",
		.text = "Waits until the VM has ended, and exits with its exit status; or, with "
			"--event, until that event, and exits with 0. Exits with 8 if --timeout "
			"comes first."},
	[VERB_EVENTS] = {.name = "events",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "print what happens to a VM",
		.text = "Prints a line for each event until the VM ends: started, paused, resumed, "
			"reboot, poweroff, panic, crash, crash-kernel, io-error, device, balloon, "
			"ended."},
	[VERB_CONSOLE] = {.name = "console",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "attach to a VM's console",
		.text = "Prints the last 32 KiB of the VM's console output and all further output; "
			"input goes to the guest. Ctrl-A d detaches, Ctrl-A ? lists all keys. "
			"Several clients can be attached at once. Exits with the exit status of "
			"the VM if that ends first."},
	[VERB_STAT] = {.name = "stat",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "print a VM's statistics",
		.text = "Prints statistics of a VM: CPU time and memory, exits of its virtual "
			"CPUs, requests, bytes, errors and latencies of its disks, frames and "
			"drops of its network cards."},
	[VERB_TOP] = {.name = "top",
		.brief = "show the busiest VMs",
		.text = "Shows this user's running VMs, the busiest first, until q is pressed. "
			"Without a terminal it prints them once."},
	[VERB_LIMIT] = {.name = "limit",
		.operand = "NAME DEVICE [KEY=VALUE...|off]",
		.operand_vm = true,
		.brief = "change the limits of a disk or network card",
		.text = "Changes the limits of a disk or card, by its id (disk0, net0...): "
			"bandwidth=SIZE, iops=N for a disk, "
			"rx-bandwidth=SIZE, "
			"tx-bandwidth=SIZE, rx-pps=N, tx-pps=N for a card, each with -burst and "
			"-once as in --disk. Limits that are not named stay; off removes all. "
			"Without keys, prints the current limits. Bandwidths are in bytes per "
			"second, or with K, M, G or T."},
	[VERB_BALLOON] = {.name = "balloon",
		.operand = "NAME [[+|-]SIZE]",
		.operand_sizes = true,
		.operand_vm = true,
		.brief = "take memory from a guest, or give it back",
		.text = "Has the balloon of a VM that was started with --balloon take SIZE of the "
			"guest's memory, or with + or - so much more or less; and prints target "
			"and actual size, and what the guest says of its memory. SIZE is in MiB, "
			"or with K, M, G or T behind it."},
	[VERB_NMI] = {.name = "nmi",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "send a non-maskable interrupt",
		.text = "Sends a non-maskable interrupt to a VM's virtual CPUs. Linux notes it in "
			"its log, or panics with kernel.unknown_nmi_panic=1."},
	[VERB_SYSRQ] = {.name = "sysrq",
		.operand = "NAME KEY",
		.operand_vm = true,
		.brief = "send a magic SysRq key",
		.text = "Sends a break and KEY on the VM's first serial port: for Linux the magic "
			"SysRq key, as h for help or s for sync."},
	[VERB_DUMP] = {.name = "dump",
		.operand = "NAME FILE",
		.operand_vm = true,
		.operand_file = true,
		.brief = "write a guest's memory and registers to a file",
		.text = "Writes the VM's memory and the registers of its virtual CPUs to FILE, an "
			"ELF core that gdb opens. The VM stands still meanwhile. Pages "
			"of zeros take no space."},
	[VERB_GDB] = {.name = "gdb",
		.operand = "NAME [-- ARGUMENT...]",
		.operand_vm = true,
		.brief = "debug a guest with gdb",
		.text = "Stops the VM and starts gdb on it, with the arguments behind --. Its "
			"virtual CPUs are threads, and `monitor help` lists what else there is. "
			"When gdb ends, the guest goes on, and the exit status is gdb's."},
	[VERB_LOGS] = {.name = "logs",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "print what Bantam had to say about a VM",
		.text = "Prints Bantam's messages about a VM: of one that was started with "
			"--detach the last 16 MiB or more, also after its end; of another one "
			"that runs the last 8 KiB."},
	[VERB_DISK] = {.name = "disk",
		.operand = "ACTION NAME [...]",
		.operand_vm = true,
		.operand_choices = disk_actions,
		.brief = "add, remove, swap or resize a VM's disks",
		.text = "list NAME; add NAME FILE[,...], as --disk takes it, prints the disk's id; "
			"remove NAME ID waits until the guest has let go of the disk; swap NAME ID "
			"FILE puts another file behind it; resize NAME ID [SIZE] makes its file "
			"larger, or tells the guest that it is. SIZE is in bytes, or with K, M, G "
			"or T behind it."},
	[VERB_NET] = {.name = "net",
		.operand = "ACTION NAME [...]",
		.operand_vm = true,
		.operand_choices = net_actions,
		.brief = "add or remove a VM's networks, or unplug them",
		.text = "list NAME; add NAME NETWORK, as --net takes it, prints the network's id; "
			"remove NAME ID waits until the guest has let go of the card; link NAME ID "
			"up|down plugs its cable in or out."},
	[VERB_VERSION] = {.name = "version",
		.aliases = {"--version", "-V"},
		.brief = "print the version",
		.text = "Prints Bantam's version."},
	[VERB_HELP] = {.name = "help",
		.aliases = {"--help", "-h"},
		.operand = "[VERB]",
		.brief = "show help for a verb",
		.text = "Shows help for a verb, or the list of verbs."},
	[VERB_COMPLETION] = {.name = "completion",
		.operand = "SHELL",
		.operand_choices = shells,
		.brief = "print a completion script",
		.text = "Prints the completion script for bash, zsh or fish."},
};

static_assert(ARRAY_SIZE(verbs) == NUM_VERBS, "an entry for each enum verb");

static const char *const group_titles[] = {
	[GROUP_BOOT] = "Linux",
	[GROUP_FLAT] = "Flat programs",
	[GROUP_MACHINE] = "Machine",
	[GROUP_DEVICES] = "Devices",
	[GROUP_END] = "The guest's end (ACTION is exit, restart or pause)",
	[GROUP_OTHER] = "Other",
};

static_assert(ARRAY_SIZE(group_titles) == NUM_GROUPS, "a title for each group");

const struct option_spec *option_spec(enum option_id id)
{
	return &options[id];
}

const char *option_more(enum option_id id, enum verb verb)
{
	const struct option_more *by_verb = options[id].more_by_verb;

	for (; by_verb && by_verb->verbs; by_verb++)
		if (by_verb->verbs & VERB_BIT(verb))
			return by_verb->text;
	return options[id].more ? options[id].more : "";
}

const struct verb_spec *verb_spec(enum verb verb)
{
	return &verbs[verb];
}

const char *option_group_title(enum option_group group)
{
	return group_titles[group];
}

static bool verb_is(const struct verb_spec *spec, const char *name)
{
	if (!strcmp(spec->name, name))
		return true;
	for (const char *const *alias = spec->aliases; *alias; alias++)
		if (!strcmp(*alias, name))
			return true;
	return false;
}

int verb_find(const char *name, enum verb *verb, struct error *err)
{
	struct suggestion near;
	const char *best;

	suggest_start(&near, name);
	for (enum verb v = 0; v < NUM_VERBS; v++) {
		if (verb_is(&verbs[v], name)) {
			*verb = v;
			return 0;
		}
		suggest_offer(&near, verbs[v].name);
	}
	best = suggest_best(&near);
	if (best)
		return error_set(
			err, -ENOENT, "unknown verb '%s' (did you mean '%s'?)", name, best);
	if (name[0] == '-')
		return error_set(err, -ENOENT,
			"unknown verb '%s' (options go after the verb, as in "
			"'bantam run %s')",
			name, name);
	return error_set(
		err, -ENOENT, "unknown verb '%s' (did you mean 'bantam run %s'?)", name, name);
}
