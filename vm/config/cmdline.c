/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words and keys are found the way Linux finds them (lib/cmdline.c, next_arg, and parse_args): a
 * blank ends a word unless a quote is open, the key ends at the first '=', a key or a value may
 * stand in quotes, '-' and '_' in a key are the same, and "--" ends what the kernel looks at. What
 * follows it is init's, so it drops no default.
 */
#include "vm/config/cmdline.h"

#include <errno.h>
#include <string.h>

#include "vm/core/error.h"

static const struct cmdline_default defaults_table[] = {
	{.word = "console=hvc0",
		.keys = {"console"},
		.need = NEEDS_HVC0,
		.reason = "with --console virtio: the kernel's messages and the first shell there"},
	{.word = "console=ttyS0",
		.keys = {"console"},
		.need = NEEDS_SERIAL1,
		.reason = "the kernel's messages and the first shell on serial port 1"},
	{.word = "panic=-1",
		.keys = {"panic", "reboot"},
		.reason = "a panic ends the guest at once instead of hanging it"},
	{.word = "reboot=panic_warm",
		.keys = {"panic", "reboot"},
		.reason = "a reboot after a panic says so at 0x472, where Bantam looks"},
	{.word = "loglevel=4",
		.keys = {"loglevel", "quiet", "debug", "ignore_loglevel", "earlyprintk",
			"earlycon"},
		.reason = "of the kernel's messages errors alone on the console; dmesg has all"},
	{.word = "cryptomgr.notests",
		.keys = {"cryptomgr.notests", "fips"},
		.reason = "no self-tests of ciphers, which take up to two thirds of a boot"},
	{.word = "initcall_blacklist=jent_mod_init",
		.keys = {"initcall_blacklist", "fips"},
		.reason = "no random numbers from the CPU's timing, whose test takes long, too"},
	{.word = "pci=noearly",
		.keys = {"pci"},
		.reason = "no search for faults of chipsets, which exits at each place"},
	{.word = "8250.nr_uarts=1",
		.keys = {"8250.nr_uarts"},
		.need = NEEDS_NO_SERIAL2,
		.reason = "no search for serial ports that are not there"},
	{.word = "root=/dev/vda",
		.keys = {"root"},
		.need = NEEDS_DISK,
		.reason = "with --disk: the first disk, whole, is the root file system"},
	{.word = "rw",
		.keys = {"root", "rw", "ro"},
		.need = NEEDS_WRITABLE_DISK,
		.reason = "and is mounted for writing, unless the disk has ro"},
};

/* Linux' own isspace: 0xA0 counts, even inside a UTF-8 sequence. */
static bool is_space(char ch)
{
	unsigned char c = (unsigned char)ch;

	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0;
}

struct word {
	const char *key; /* not terminated, no quotes */
	size_t key_len;
	bool has_value;
};

/* The word at the start of *text, which is moved behind it; false at the end. */
static bool next_word(const char **text, struct word *word)
{
	const char *p = *text, *equals = NULL;
	bool quoted, in_quote = false;

	while (is_space(*p))
		p++;
	if (!*p)
		return false;
	quoted = *p == '"';
	word->key = p + quoted;
	for (; *p && (in_quote || !is_space(*p)); p++) {
		if (*p == '=' && !equals && p > word->key)
			equals = p;
		if (*p == '"')
			in_quote = !in_quote;
	}
	*text = p;
	if (!equals && quoted && p > word->key && p[-1] == '"')
		p--;
	word->has_value = equals;
	word->key_len = (size_t)((equals ? equals : p) - word->key);
	return true;
}

static bool key_is(const struct word *word, const char *key)
{
	if (strlen(key) != word->key_len)
		return false;
	for (size_t i = 0; i < word->key_len; i++) {
		char a = word->key[i] == '-' ? '_' : word->key[i];
		char b = key[i] == '-' ? '_' : key[i];

		if (a != b)
			return false;
	}
	return true;
}

bool cmdline_has_key(const char *cmdline, const char *key)
{
	struct word word;

	while (next_word(&cmdline, &word)) {
		if (!word.has_value && word.key_len == 2 && !memcmp(word.key, "--", 2))
			return false;
		if (key_is(&word, key))
			return true;
	}
	return false;
}

const struct cmdline_default *cmdline_default(size_t i)
{
	return i < ARRAY_SIZE(defaults_table) ? &defaults_table[i] : NULL;
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
		if ((unsigned char)*p == 0x7F || ((unsigned char)*p < ' ' && !is_space(*p)))
			return error_set(err, -EINVAL,
				"the kernel command line has a control character, 0x%02x",
				(unsigned int)(unsigned char)*p);
	for (size_t i = 0; (word = cmdline_default(i)); i++)
		if (wanted(word, user, defaults))
			append(buf, size, &used, word->word, strlen(word->word));
	while (is_space(*user))
		user++;
	len = strlen(user);
	while (len && is_space(user[len - 1]))
		len--;
	if (len)
		append(buf, size, &used, user, len);
	if (used < size)
		return 0;
	buf[0] = '\0';
	return error_set(err, -E2BIG,
		"the kernel command line is too long: %zu bytes, where %zu fit", used, size - 1);
}
