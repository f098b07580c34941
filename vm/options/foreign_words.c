/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people type who come from another monitor: QEMU (-word or --word), kvmtool, Firecracker,
 * Cloud Hypervisor and crosvm (--word). None of it is taken, as what stands behind such a word
 * means something else there; the line of refusal says what it is called here.
 */
#include "foreign_words.h"

#include <string.h>

struct foreign_word {
	const char *word, *hint;
};

/* Without their dashes */
static const struct foreign_word options[] = {
	/* QEMU */
	{"accel", "leave it out: KVM is always used"},
	{"append", "here: -a PARAMETERS"},
	{"bios", "leave it out: there is no firmware"},
	{"blockdev", "here: -d FILE[,...]"},
	{"boot", "here: -k KERNEL; there is no firmware that would boot from a disk"},
	{"cdrom", "here: -d FILE,ro"},
	{"chardev", "here: --serial WHERE or --port NAME=WHERE"},
	{"cpu", "here: --cpu FEATURES; without it the guest has the host's CPU"},
	{"daemonize", "here: --serial file:PATH or unix:PATH, and the shell's &"},
	{"device", "here: -d for a disk, -n for a network card, --rng, --balloon"},
	{"display", "leave it out: there are no graphics, and the console is on this terminal"},
	{"drive", "here: -d FILE[,...]"},
	{"enable-kvm", "leave it out: KVM is always used"},
	{"fsdev", "here: --share DIR[,...]"},
	{"hda", "here: -d FILE"},
	{"hdb", "here: another -d FILE"},
	{"hdc", "here: another -d FILE"},
	{"hdd", "here: another -d FILE"},
	{"initrd", "here: -i FILE"},
	{"kernel", "here: -k FILE"},
	{"machine", "leave it out: there is one machine"},
	{"M", "leave it out: there is one machine"},
	{"mem-prealloc", "here: --hugepages"},
	{"monitor", "leave it out: Ctrl-A ? on the console lists its keys"},
	{"name", "here: --name NAME"},
	{"net", "here: -n KIND[,...]"},
	{"netdev", "here: -n KIND[,...]"},
	{"nic", "here: -n KIND[,...]"},
	{"no-acpi", "here: --transport mmio-cmdline, and -a acpi=off"},
	{"no-reboot", "here: --on-reboot exit"},
	{"no-shutdown", "here: --on-poweroff pause"},
	{"nodefaults", "leave it out: what is not asked for is not there"},
	{"nographic", "leave it out: there are no graphics, and the console is on this terminal"},
	{"serial", "here: --serial WHERE"},
	{"smp", "here: -c N"},
	{"vga", "leave it out: there are no graphics"},
	{"virtfs", "here: --share DIR[,...]"},
	{"vnc", "leave it out: there are no graphics"},
	/* kvmtool and crosvm */
	{"9p", "here: --share DIR[,...]"},
	{"network", "here: -n KIND[,...]"},
	{"p", "here: -a PARAMETERS"},
	{"params", "here: -a PARAMETERS"},
	{"ram", "here: -m SIZE"},
	{"rwdisk", "here: -d FILE"},
	{"shared-dir", "here: --share DIR[,...]"},
	{"tty", "here: --serial WHERE"},
	/* Firecracker and Cloud Hypervisor */
	{"api-sock", "leave it out: a machine is described by options"},
	{"api-socket", "leave it out: a machine is described by options"},
	{"config-file", "leave it out: a machine is described by options"},
	{"firmware", "leave it out: there is no firmware"},
	{"fs", "here: --share DIR[,...]"},
	{"initramfs", "here: -i FILE"},
	{"seccomp", "leave it out"},
};

static const struct foreign_word disk_words[] = {
	{"bus", "leave it out: all disks are virtio disks"},
	{"direct", "here: cache=none"},
	{"driver", "leave it out: images are raw"},
	{"file", "here the file comes first: -d FILE,..."},
	{"if", "leave it out: all disks are virtio disks"},
	{"index", "leave it out: disks are in the order of the options"},
	{"media", "leave it out; use ro for a CD image"},
	{"num_queues", "here: queues=N"},
	{"path", "here the file comes first: -d FILE,..."},
	{"read-only", "here: ro"},
	{"readonly", "here: ro"},
	{"snapshot", "leave it out: the guest writes to the image, unless it has ro"},
};

static const struct foreign_word net_words[] = {
	{"br", "leave it out: ifname=NAME of a tap that is in the bridge"},
	{"bridge", "here: tap,ifname=NAME of a tap that is in the bridge"},
	{"downscript", "leave it out: the interface goes with the machine, or stays as it was"},
	{"guest_mac", "here: mac=ADDRESS"},
	{"macaddr", "here: mac=ADDRESS"},
	{"mode", "here the kind comes first: user or tap"},
	{"model", "leave it out: all network cards are virtio cards"},
	{"netdev", "leave it out: a card and its network are one option"},
	{"num_queues", "here: queues=N"},
	{"tap", "here: tap,ifname=NAME"},
	{"tap-name", "here: tap,ifname=NAME"},
	{"tapif", "here: tap,ifname=NAME"},
	{"type", "here the kind comes first: user or tap"},
	{"vhostfd", "here: vhost=on"},
};

static const char *find(const struct foreign_word *words, size_t num, const char *word, size_t len)
{
	for (size_t i = 0; i < num; i++)
		if (strlen(words[i].word) == len && !memcmp(words[i].word, word, len))
			return words[i].hint;
	return NULL;
}

const char *foreign_option(const char *arg)
{
	const char *word = arg + 1 + (arg[1] == '-');

	return find(options, ARRAY_SIZE(options), word, strcspn(word, "="));
}

const char *foreign_key(const char *option, const char *word)
{
	if (!strcmp(option, "--disk"))
		return find(disk_words, ARRAY_SIZE(disk_words), word, strlen(word));
	if (!strcmp(option, "--net"))
		return find(net_words, ARRAY_SIZE(net_words), word, strlen(word));
	return NULL;
}

const char *foreign_first(const char *option, const char *part)
{
	char word[16] = "";
	const size_t len = strcspn(part, "=");

	if (!part[len] || len >= sizeof(word))
		return NULL;
	memcpy(word, part, len);
	return foreign_key(option, word);
}
