/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of verbs and options: help, manual, completion and the scanner go by them. */
#include "vm/config/options.h"

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
#define JSON (VERB_BIT(VERB_PS) | VERB_BIT(VERB_STOP) | VERB_BIT(VERB_WAIT) | VERB_BIT(VERB_EVENTS))

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
static const char *const smbios_keys[] = {"serial=", "oem=", NULL};
static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static_assert(ARRAY_SIZE(end_actions) == END_PAUSE + 2, "a word for each enum end_action");
static_assert(ARRAY_SIZE(net_kinds) == NET_NONE + 2, "a word for each enum net_kind");
static_assert(ARRAY_SIZE(console_kinds) == CONSOLE_VIRTIO + 2, "a word for each enum console_kind");
static_assert(
	ARRAY_SIZE(transports) == TRANSPORT_MMIO_CMDLINE + 2, "a word for each enum transport");
static_assert(ARRAY_SIZE(boots) == BOOT_MULTIBOOT + 2, "a word for each enum loader_boot");
static_assert(ARRAY_SIZE(entry_modes) == ENTRY_LONG + 2, "a word for each enum entry_mode");

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
		.more = "; several are put behind each other. For Multiboot each is a module"},
	[OPT_CMDLINE] = {.short_name = 'a',
		.name = "cmdline",
		.value = "WORDS",
		.repeatable = true,
		.verbs = RUN | PACK,
		.group = GROUP_BOOT,
		.brief = "words for the kernel command line",
		.more = "; several are joined; they win over the default words"},
	[OPT_NO_DEFAULT_CMDLINE] = {.name = "no-default-cmdline",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "no words but those of --cmdline"},
	[OPT_BOOT] = {.name = "boot",
		.value = "HOW",
		.choices = boots,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "how the kernel is entered",
		.more = ": auto (default) unpacks a bzImage here and enters what is in it, elf and "
			"pvh insist on that, bzimage leaves the unpacking to the guest, multiboot "
			"takes "
			"that entry of a kernel that has another one too"},
	[OPT_KASLR] = {.name = "kaslr",
		.value = "SWITCH",
		.choices = switches,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "a random address for a kernel that is unpacked here",
		.more = ": on (default) or off"},
	[OPT_NO_KERNEL_CACHE] = {.name = "no-kernel-cache",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "neither look for the unpacked kernel in the cache nor keep it there"},
	[OPT_FIT_CONFIG] = {.name = "fit-config",
		.value = "NAME",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "the configuration to boot of a FIT image",
		.more = ", as FILE#NAME does; otherwise its default"},
	[OPT_DTB] = {.name = "dtb",
		.verbs = RUN,
		.group = GROUP_BOOT,
		.brief = "describe the machine by a device tree, too",
		.more = ", for kernels that have CONFIG_OF"},
	[OPT_OUTPUT] = {.short_name = 'o',
		.name = "output",
		.value = "FILE",
		.file = true,
		.verbs = PACK,
		.group = GROUP_BOOT,
		.brief = "the FIT image to make",
		.more = "; an older one of that name is replaced"},
	[OPT_PACK_CONFIG] = {.name = "config",
		.value = "NAME",
		.repeatable = true,
		.verbs = PACK,
		.group = GROUP_BOOT,
		.brief = "begin a configuration of that name",
		.more = "; --kernel, --initrd and --cmdline behind it are its own. Without a "
			"kernel it shares those of the first one, which is the default"},
	[OPT_FLAT] = {.name = "flat",
		.value = "FILE[@GPA]",
		.file = true,
		.verbs = RUN,
		.group = GROUP_FLAT,
		.brief = "a program without any format, loaded at address GPA",
		.more = "; default 0x1000 in real mode, 0x100000 otherwise; its HLT ends the VM"},
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
		.more = ", with K, M, G or T (MiB without a letter); default 512M"},
	[OPT_HUGEPAGES] = {.name = "hugepages",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "take that memory from the host's reserved huge pages"},
	[OPT_CPUS] = {.short_name = 'c',
		.name = "cpus",
		.value = "N",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "virtual CPUs",
		.more = "; 1 to 254, default 1"},
	[OPT_CPU] = {.name = "cpu",
		.value = "FEATURES",
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "CPU features, as host,-avx512f,+x2apic",
		.more = ", with names as in /proc/cpuinfo"},
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
		.more = "; default: one made of the host's name, the VM's and its first disk's"},
	[OPT_SMBIOS] = {.name = "smbios",
		.value = "KEY=TEXT",
		.repeatable = true,
		.choices = smbios_keys,
		.verbs = RUN,
		.group = GROUP_MACHINE,
		.brief = "a text in the firmware's tables",
		.more = ": serial=TEXT, the serial number, or oem=TEXT, a string for whoever looks "
			"for it, as systemd for io.systemd.credential:NAME=TEXT; up to 255 of "
			"these"},
	[OPT_DISK] = {.short_name = 'd',
		.name = "disk",
		.value = "FILE[,...]",
		.file = true,
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a disk: a raw image or a block device",
		.more = "; up to 32, in the guest /dev/vda and so on. Behind the name, each after "
			"a comma: ro; cache=none (default), writeback, writethrough or unsafe; "
			"aio=native or threads; serial=TEXT; queues=N; iothread (a thread of its "
			"own); format=raw; bandwidth=SIZE and iops=N, limits of bytes and requests "
			"a second, each with -burst=N (at once) and -once=N (at the beginning). A "
			"comma in the name is written twice"},
	[OPT_NET] = {.short_name = 'n',
		.name = "net",
		.value = "KIND[,...]",
		.choices = net_kinds,
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a network card",
		.more = "; up to 8, in the guest eth0 and so on. KIND is user (the host's network, "
			"without any rights), tap (an interface of the host's) or none. Behind it, "
			"each after a comma: mac=ADDRESS; mtu=N; with user: "
			"hostfwd=tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT, dns=ADDRESS[:PORT], "
			"restrict, host-loopback; with tap: ifname=NAME, script=PATH, queues=N, "
			"vhost=on|off, fd=N. Limits: rx-bandwidth=SIZE, tx-bandwidth=SIZE, "
			"rx-pps=N, tx-pps=N, each with -burst and -once, as for --disk"},
	[OPT_SERIAL] = {.name = "serial",
		.value = "WHERE",
		.file = false,
		.repeatable = true,
		.choices = serial_kinds,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "where a serial port leads",
		.more = ": stdio, null, pty, file:PATH or unix:PATH; the first one is port 1's, up "
			"to four (default: one port, on stdio)"},
	[OPT_CONSOLE] = {.name = "console",
		.value = "KIND",
		.choices = console_kinds,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "what this terminal is in the guest",
		.more = ": serial (ttyS0, default) or virtio (hvc0)"},
	[OPT_PORT] = {.name = "port",
		.value = "NAME=WHERE",
		.repeatable = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a channel, in the guest /dev/virtio-ports/NAME",
		.more = "; WHERE as for --serial, but for stdio"},
	[OPT_RNG] = {.name = "rng",
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a source of random numbers (virtio-rng)"},
	[OPT_BALLOON] = {.name = "balloon",
		.value = "SIZE",
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "a memory balloon that takes SIZE from the guest",
		.more = "; with 0 the guest only gives back what it does not use"},
	[OPT_TRANSPORT] = {.name = "transport",
		.value = "BUS",
		.choices = transports,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_DEVICES,
		.brief = "how the guest finds its virtio devices",
		.more = ": pci (default), mmio, or mmio-cmdline for kernels without ACPI"},
	[OPT_ON_REBOOT] = {.name = "on-reboot",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "when the guest reboots",
		.more = "; default restart"},
	[OPT_ON_POWEROFF] = {.name = "on-poweroff",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "when it powers off",
		.more = "; default exit"},
	[OPT_ON_PANIC] = {.name = "on-panic",
		.value = "ACTION",
		.choices = end_actions,
		.closed = true,
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "when it panics",
		.more = "; default exit"},
	[OPT_EXIT_PORT] = {.name = "exit-port",
		.value = "PORT",
		.verbs = RUN,
		.group = GROUP_END,
		.brief = "an I/O port by which the guest ends the VM",
		.more = ": a write of V makes the exit status (V << 1) | 1, as with "
			"isa-debug-exit of QEMU"},
	[OPT_KVM] = {.name = "kvm",
		.value = "PATH",
		.file = true,
		.verbs = RUN | DOCTOR,
		.group = GROUP_OTHER,
		.brief = "the KVM device",
		.more = "; default /dev/kvm"},
	[OPT_DRY_RUN] = {.name = "dry-run",
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "print the machine that would be built and stop"},
	[OPT_DUMP_DTB] = {.name = "dump-dtb",
		.value = "FILE",
		.file = true,
		.verbs = RUN,
		.group = GROUP_OTHER,
		.brief = "write a device tree of that machine and stop"},
	[OPT_TIMEOUT] = {.short_name = 't',
		.name = "timeout",
		.value = "SECONDS",
		.verbs = VERB_BIT(VERB_STOP) | VERB_BIT(VERB_WAIT),
		.group = GROUP_OTHER,
		.brief = "how long to wait",
		.more = "; 0 for as long as it takes. stop then ends the guest by force (default "
			"30), wait gives up (default 0)"},
	[OPT_FORCE] = {.short_name = 'f',
		.name = "force",
		.verbs = VERB_BIT(VERB_STOP),
		.group = GROUP_OTHER,
		.brief = "end the guest at once, without asking it"},
	[OPT_EVENT] = {.name = "event",
		.value = "EVENT",
		.verbs = VERB_BIT(VERB_WAIT),
		.group = GROUP_OTHER,
		.brief = "what to wait for",
		.more = ", one of those that `bantam events` prints; default ended"},
	[OPT_CATCH_UP] = {.name = "catch-up",
		.verbs = VERB_BIT(VERB_RESUME),
		.group = GROUP_OTHER,
		.brief = "let the guest's clocks jump over the pause",
		.more = "; otherwise no time has gone by for it"},
	[OPT_JSON] = {.name = "json",
		.verbs = JSON,
		.group = GROUP_OTHER,
		.brief = "print JSON, for programs"},
	[OPT_QUIET] = {.short_name = 'q',
		.name = "quiet",
		.verbs = VERB_BIT(VERB_PS),
		.group = GROUP_OTHER,
		.brief = "print names alone"},
	[OPT_VERBOSE] = {.short_name = 'v',
		.name = "verbose",
		.repeatable = true,
		.verbs = RUN | DOCTOR,
		.group = GROUP_OTHER,
		.brief = "say more"},
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
		.text = "Boots a Linux kernel, or a program of one's own with --flat, in a virtual "
			"machine, with its first serial port on this terminal."},
	[VERB_PACK] = {.name = "pack",
		.operand = "[KERNEL]",
		.operand_file = true,
		.brief = "put kernel, initial RAM disk and command line into one file",
		.text = "Makes a FIT image, which `bantam run` boots: a kernel, initial RAM disks "
			"and words for the command line, with their hashes, in one or several "
			"configurations."},
	[VERB_DOCTOR] = {.name = "doctor",
		.brief = "say whether this host can run guests",
		.text = "Looks at the KVM device, its version and capabilities, and tries and "
			"times "
			"small guests up to 64-bit mode. Ends with 0 when this host can boot "
			"Linux guests, with 1 when not."},
	[VERB_PS] = {.name = "ps",
		.brief = "list running VMs",
		.text = "Lists this user's running VMs: name, process, state, time since the "
			"start, "
			"virtual CPUs and memory."},
	[VERB_STOP] = {.name = "stop",
		.operand = "NAME...",
		.operand_vm = true,
		.brief = "shut a VM down",
		.text = "Presses the VM's power button and waits until its guest has powered off; "
			"after a while it is ended by force. Ends with 0 when the guest powered "
			"off, "
			"with 8 when it was ended by force."},
	[VERB_RESET] = {.name = "reset",
		.operand = "NAME...",
		.operand_vm = true,
		.brief = "reset a VM",
		.text = "Resets the VM as its reset button would; --on-reboot of its start says "
			"what "
			"follows."},
	[VERB_PAUSE] = {.name = "pause",
		.operand = "NAME...",
		.operand_vm = true,
		.brief = "let a VM stand still",
		.text = "Stops the VM's virtual CPUs, waits until its disks have done what they "
			"were "
			"asked, and stops its clocks. Harmless when it is paused already."},
	[VERB_RESUME] = {.name = "resume",
		.operand = "NAME...",
		.operand_vm = true,
		.brief = "let a paused VM go on",
		.text = "Lets a paused VM go on. For the guest no time has gone by, but its time "
			"of "
			"day, which lags until it asks for it."},
	[VERB_WAIT] = {.name = "wait",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "wait for a VM's end, or another event",
		.text = "Waits until the VM has ended, and ends with the status that it ended "
			"with; "
			"or, with --event, until that happens, and ends with 0. With 8 when "
			"--timeout came first."},
	[VERB_EVENTS] = {.name = "events",
		.operand = "NAME",
		.operand_vm = true,
		.brief = "print what happens to a VM",
		.text = "Prints a line for each event until the VM ends: started, paused, resumed, "
			"reboot, poweroff, panic, crash, io-error, device, balloon, ended."},
	[VERB_VERSION] = {.name = "version",
		.aliases = {"--version", "-V"},
		.brief = "print the version",
		.text = "Prints Bantam's version."},
	[VERB_HELP] = {.name = "help",
		.aliases = {"--help", "-h"},
		.operand = "[VERB]",
		.brief = "show help for a verb",
		.text = "Shows help for a verb, or the verbs."},
	[VERB_COMPLETION] = {.name = "completion",
		.operand = "SHELL",
		.operand_choices = shells,
		.hidden = true,
		.brief = "print a completion script",
		.text = "Prints the completion script for bash, zsh or fish."},
};

static_assert(ARRAY_SIZE(verbs) == NUM_VERBS, "an entry for each enum verb");

static const char *const group_titles[] = {
	[GROUP_BOOT] = "Linux",
	[GROUP_FLAT] = "Flat programs",
	[GROUP_MACHINE] = "Machine",
	[GROUP_DEVICES] = "Devices",
	[GROUP_END] = "Its end (ACTION is exit, restart or pause)",
	[GROUP_OTHER] = "Other",
};

static_assert(ARRAY_SIZE(group_titles) == NUM_GROUPS, "a title for each group");

const struct option_spec *option_spec(enum option_id id)
{
	return &options[id];
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
		if (!verbs[v].hidden)
			suggest_offer(&near, verbs[v].name);
	}
	best = suggest_best(&near);
	if (best)
		return error_set(
			err, -ENOENT, "unknown verb '%s' (did you mean '%s'?)", name, best);
	if (name[0] == '-')
		return error_set(err, -ENOENT,
			"unknown verb '%s' (options go behind the verb, as in "
			"'bantam run %s')",
			name, name);
	return error_set(
		err, -ENOENT, "unknown verb '%s' (did you mean 'bantam run %s'?)", name, name);
}
