/* SPDX-License-Identifier: BSD-2-Clause */
/* What follows a "--" is init's, so it drops no default. */
#include "vm/config/cmdline.h"

#include <errno.h>
#include <string.h>

#include "vm/config/cmdline_words.h"
#include "vm/core/error.h"

#define PANIC_MARK "reboot=panic_warm"

static const struct cmdline_default defaults_table[] = {
	{.word = "console=hvc0",
		.keys = {"console"},
		.need = NEEDS_HVC0,
		.reason = "with --console virtio: kernel messages and the first shell on hvc0"},
	{.word = "console=ttyS0",
		.keys = {"console"},
		.need = NEEDS_SERIAL1,
		.reason = "otherwise: kernel messages and the first shell on serial port 1"},
	/* In quotes, which initramfs-tools takes for another word: it would give no shell. */
	{.word = "\"panic=-1\"",
		.keys = {"panic"},
		.reason = "a panic ends the guest at once, instead of hanging it"},
	{.word = PANIC_MARK,
		.keys = {"reboot"},
		.need = NEEDS_PANIC_MARK,
		.reason = "a reboot after a panic leaves a mark at 0x472, where Bantam looks"},
	{.word = "loglevel=4",
		.keys = {"loglevel", "quiet", "debug", "ignore_loglevel", "earlyprintk",
			"earlycon"},
		.reason = "only the kernel's errors on the console; dmesg shows all messages"},
	{.word = "cryptomgr.notests",
		.keys = {"cryptomgr.notests", "fips"},
		.reason = "no cipher self-tests, which take up to two thirds of a boot"},
	{.word = "initcall_blacklist=jent_mod_init",
		.keys = {"initcall_blacklist", "fips"},
		.reason = "no random numbers from CPU jitter, whose self-test is slow too"},
	{.word = "initcall_blacklist=init_acpi_pm_clocksource",
		.keys = {"initcall_blacklist", "no-kvmclock", "clocksource", "tsc", "notsc"},
		.reason =
			"no test of the ACPI timer as a clock: 20 exits, and kvm-clock is better"},
	{.word = "pci=noearly",
		.keys = {"pci"},
		.reason = "no search for chipset bugs, which costs many exits"},
	{.word = "8250.nr_uarts=1",
		.keys = {"8250.nr_uarts"},
		.need = NEEDS_NO_SERIAL2,
		.reason = "no probing for serial ports that are not there"},
	{.word = "root=/dev/vda",
		.keys = {"root"},
		.need = NEEDS_DISK,
		.reason = "with --disk: the whole first disk is the root file system"},
	{.word = "rw",
		.keys = {"root", "rw", "ro"},
		.need = NEEDS_WRITABLE_DISK,
		.reason = "and is mounted read-write, unless the disk has ro"},
};

const struct cmdline_default *cmdline_default(size_t i)
{
	return i < ARRAY_SIZE(defaults_table) ? &defaults_table[i] : NULL;
}

/*
 * How Linux reboots (kernel/reboot.c, reboot_setup): of each word that begins an item of reboot=
 * the first letter counts, and the last such word.
 */
struct reboot_modes {
	char any, panic; /* 'w' for warm; 0: not said */
};

static void read_modes(const char *cmdline, struct reboot_modes *modes)
{
	static const char prefix[] = "panic_";
	struct cmdline_word word;
	const char *item;
	size_t len;

	while (cmdline_next_word(&cmdline, &word)) {
		while (cmdline_word_is(&word, "reboot") && cmdline_next_item(&word, &item, &len)) {
			const size_t n = sizeof(prefix) - 1;
			const bool panic = len >= n && !memcmp(item, prefix, n);
			const char letter = panic ? (len > n ? item[n] : 0) : len ? *item : 0;

			if (letter && strchr("wchg", letter))
				*(panic ? &modes->panic : &modes->any) = letter;
		}
	}
}

static bool marks_panic(const char *first, const char *then)
{
	struct reboot_modes modes = {0};

	read_modes(first, &modes);
	read_modes(then, &modes);
	return modes.panic == 'w' && modes.any != 'w';
}

bool cmdline_marks_panic(const char *cmdline)
{
	return marks_panic("", cmdline);
}

static bool makes_sense(enum cmdline_need need, const struct cmdline_defaults *defaults)
{
	switch (need) {
	case NEEDS_SERIAL1:
		return defaults->serial1 && !defaults->hvc0;
	case NEEDS_NO_SERIAL2:
		return !defaults->serial2;
	case NEEDS_HVC0:
		return defaults->hvc0;
	case NEEDS_DISK:
		return defaults->disk;
	case NEEDS_WRITABLE_DISK:
		return defaults->disk && !defaults->read_only;
	case NEEDS_PANIC_MARK:
		return !defaults->no_panic_mark;
	case NEEDS_NOTHING:
		break;
	}
	return true;
}

static bool wanted(const struct cmdline_default *word, const char *user,
	const struct cmdline_defaults *defaults)
{
	if (!defaults->enabled || !makes_sense(word->need, defaults))
		return false;
	/* A reboot= of the user's takes it away only where it says otherwise, or the same. */
	if (word->need == NEEDS_PANIC_MARK)
		return !cmdline_marks_panic(user) && marks_panic(word->word, user);
	for (const char *const *key = word->keys; *key; key++)
		if (cmdline_has_key(user, *key))
			return false;
	return true;
}

/* Appends to buf as far as there is room; *used counts on, as if there always were. */
static void append(char *buf, size_t size, size_t *used, const char *text, size_t len)
{
	const char *separator = *used ? " " : "";

	if (*used + strlen(separator) + len < size) {
		memcpy(buf + *used, separator, strlen(separator));
		memcpy(buf + *used + strlen(separator), text, len);
		buf[*used + strlen(separator) + len] = '\0';
	}
	*used += strlen(separator) + len;
}

int cmdline_compose(const char *user, const struct cmdline_defaults *defaults, char *buf,
	size_t size, struct error *err)
{
	const struct cmdline_default *word;
	size_t used = 0, len;

	buf[0] = '\0';
	for (const char *p = user; *p; p++)
		if ((unsigned char)*p == 0x7F || ((unsigned char)*p < ' ' && !cmdline_is_space(*p)))
			return error_set(err, -EINVAL,
				"the kernel command line has a control character, 0x%02x",
				(unsigned int)(unsigned char)*p);
	for (size_t i = 0; (word = cmdline_default(i)); i++)
		if (wanted(word, user, defaults))
			append(buf, size, &used, word->word, strlen(word->word));
	while (cmdline_is_space(*user))
		user++;
	len = strlen(user);
	while (len && cmdline_is_space(user[len - 1]))
		len--;
	if (len)
		append(buf, size, &used, user, len);
	if (used < size)
		return 0;
	buf[0] = '\0';
	return error_set(err, -E2BIG,
		"the kernel command line is too long: %zu bytes, the limit is %zu", used, size - 1);
}
