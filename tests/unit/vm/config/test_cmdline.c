/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel command line: which default words stay, and in which order. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/config/cmdline.h"
#include "vm/config/cmdline_words.h"
#include "vm/core/error.h"

#define CONSOLE "console=ttyS0"
#define STOP	"\"panic=-1\""
#define MARK	"reboot=panic_warm"
#define PANIC	STOP " " MARK
#define TESTS	"cryptomgr.notests initcall_blacklist=jent_mod_init " EARLY
#define TIMER	"initcall_blacklist=init_acpi_pm_clocksource "
#define EARLY	TIMER "pci=noearly " PORTS
#define PORTS	"8250.nr_uarts=1"
#define FAST	"loglevel=4 " TESTS

static const struct {
	const char *user;
	bool enabled, serial1;
	const char *result;
} compositions[] = {
	{"", true, true, CONSOLE " " PANIC " " FAST},
	{"", true, false, PANIC " " FAST},
	{"", false, true, ""},
	{"quiet", false, true, "quiet"},
	{"quiet", true, true, CONSOLE " " PANIC " " TESTS " quiet"},
	{"  quiet\t ", true, true, CONSOLE " " PANIC " " TESTS " quiet"},
	{"   ", true, true, CONSOLE " " PANIC " " FAST},
	{"   ", false, true, ""},
	{"debug", true, true, CONSOLE " " PANIC " " TESTS " debug"},
	{"loglevel=7", true, true, CONSOLE " " PANIC " " TESTS " loglevel=7"},
	{"earlyprintk=ttyS0 ignore_loglevel", true, true,
		CONSOLE " " PANIC " " TESTS " earlyprintk=ttyS0 ignore_loglevel"},
	{"fips=1", true, true, CONSOLE " " PANIC " loglevel=4 " EARLY " fips=1"},
	{"initcall_blacklist=a,b", true, true,
		CONSOLE " " PANIC " loglevel=4 cryptomgr.notests pci=noearly " PORTS
			" initcall_blacklist=a,b"},
	{"no-kvmclock", true, true,
		CONSOLE " " PANIC " loglevel=4 cryptomgr.notests initcall_blacklist=jent_mod_init "
			"pci=noearly " PORTS " no-kvmclock"},
	{"clocksource=acpi_pm", true, false,
		PANIC " loglevel=4 cryptomgr.notests initcall_blacklist=jent_mod_init "
		      "pci=noearly " PORTS " clocksource=acpi_pm"},
	{"pci=nomsi", false, true, "pci=nomsi"},
	{"pci=nomsi", true, true,
		CONSOLE
		" " PANIC
		" loglevel=4 cryptomgr.notests initcall_blacklist=jent_mod_init " TIMER PORTS
		" pci=nomsi"},
	{"pcie_aspm=off", true, true, CONSOLE " " PANIC " " FAST " pcie_aspm=off"},
	{"console=tty0", true, true, PANIC " " FAST " console=tty0"},
	{"console", true, true, PANIC " " FAST " console"},
	{"console=", true, true, PANIC " " FAST " console="},
	{"consoleblank=0", true, true, CONSOLE " " PANIC " " FAST " consoleblank=0"},
	{"xconsole=1", true, true, CONSOLE " " PANIC " " FAST " xconsole=1"},
	{"panic=5", true, true, CONSOLE " " MARK " " FAST " panic=5"},
	{"panic=-1", true, true, CONSOLE " " MARK " " FAST " panic=-1"},
	{"reboot=k", true, true, CONSOLE " " PANIC " " FAST " reboot=k"},
	{"reboot=k panic=1 pci=off", true, true,
		CONSOLE
		" " MARK
		" loglevel=4 cryptomgr.notests initcall_blacklist=jent_mod_init " TIMER PORTS
		" reboot=k panic=1 pci=off"},
	/* With these the mark would not be there, or not tell. */
	{"reboot=w", true, true, CONSOLE " " STOP " " FAST " reboot=w"},
	{"reboot=warm", true, true, CONSOLE " " STOP " " FAST " reboot=warm"},
	{"reboot=k,warm,f", true, true, CONSOLE " " STOP " " FAST " reboot=k,warm,f"},
	{"reboot=warm reboot=cold", true, true,
		CONSOLE " " PANIC " " FAST " reboot=warm reboot=cold"},
	{"reboot=panic_cold", true, true, CONSOLE " " STOP " " FAST " reboot=panic_cold"},
	{"reboot=panic_warm", true, true, CONSOLE " " STOP " " FAST " reboot=panic_warm"},
	{"reboot=k,panic_warm", true, true, CONSOLE " " STOP " " FAST " reboot=k,panic_warm"},
	{"-- reboot=warm", true, true, CONSOLE " " PANIC " " FAST " -- reboot=warm"},
	{"panic=5 console=hvc0", true, true, MARK " " FAST " panic=5 console=hvc0"},
	{"-- panic=5", true, true, CONSOLE " " PANIC " " FAST " -- panic=5"},
	{"--", true, true, CONSOLE " " PANIC " " FAST " --"},
	{"-- console=x", true, false, PANIC " " FAST " -- console=x"},
	{"--x panic=5", true, true, CONSOLE " " MARK " " FAST " --x panic=5"},
	{"--=1 panic=5", true, true, CONSOLE " " MARK " " FAST " --=1 panic=5"},
	{"\"--\" panic=5", true, true, CONSOLE " " PANIC " " FAST " \"--\" panic=5"},
	/* What stands inside quotes is one word, and no key of its own. */
	{"x=\"a panic=5 b\"", true, true, CONSOLE " " PANIC " " FAST " x=\"a panic=5 b\""},
	{"x=\"a -- b\" panic=5", true, true, CONSOLE " " MARK " " FAST " x=\"a -- b\" panic=5"},
	{"\"panic=5\"", true, true, CONSOLE " " MARK " " FAST " \"panic=5\""},
	{"\"panic\"", true, true, CONSOLE " " MARK " " FAST " \"panic\""},
	{"panic=\"5 6\"", true, true, CONSOLE " " MARK " " FAST " panic=\"5 6\""},
	{"x=\"open panic=5", true, true, CONSOLE " " PANIC " " FAST " x=\"open panic=5"},
	{"a\tpanic=5\nb", true, true, CONSOLE " " MARK " " FAST " a\tpanic=5\nb"},
	{"a\xa0panic=5", true, true, CONSOLE " " MARK " " FAST " a\xa0panic=5"},
	{"=panic=5", true, true, CONSOLE " " PANIC " " FAST " =panic=5"},
	{"\"", true, true, CONSOLE " " PANIC " " FAST " \""},
	{"\"\"", true, true, CONSOLE " " PANIC " " FAST " \"\""},
};

static void composed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(compositions); i++) {
		const struct cmdline_defaults defaults = {
			.enabled = compositions[i].enabled, .serial1 = compositions[i].serial1};
		char buf[256];

		assert_int_equal(
			cmdline_compose(compositions[i].user, &defaults, buf, sizeof(buf), NULL),
			0);
		assert_string_equal(buf, compositions[i].result);
	}
}

#define HVC  "console=hvc0"
#define ROOT "root=/dev/vda"

/* What the machine has, and what is said of its disk and its console. */
static const struct {
	const char *user;
	struct cmdline_defaults machine;
	const char *result;
} devices[] = {
	{"", {.hvc0 = true}, HVC " " PANIC " " FAST},
	{"loglevel=4", {.serial1 = true, .serial2 = true},
		CONSOLE " " PANIC " cryptomgr.notests initcall_blacklist=jent_mod_init " TIMER
			"pci=noearly loglevel=4"},
	{"8250.nr_uarts=4 quiet pci=x", {0},
		PANIC " cryptomgr.notests initcall_blacklist=jent_mod_init " TIMER
		      "8250.nr_uarts=4 quiet pci=x"},
	{"", {.hvc0 = true, .serial1 = true}, HVC " " PANIC " " FAST},
	{"console=ttyS0", {.hvc0 = true, .serial1 = true}, PANIC " " FAST " console=ttyS0"},
	{"console=tty0", {.hvc0 = true}, PANIC " " FAST " console=tty0"},
	{"", {.serial1 = true, .disk = true}, CONSOLE " " PANIC " " FAST " " ROOT " rw"},
	{"", {.disk = true, .read_only = true}, PANIC " " FAST " " ROOT},
	{"", {.read_only = true}, PANIC " " FAST},
	{"quiet", {.disk = true, .hvc0 = true}, HVC " " PANIC " " TESTS " " ROOT " rw quiet"},
	{"root=/dev/vda1", {.disk = true}, PANIC " " FAST " root=/dev/vda1"},
	{"root=UUID=1-2 ro", {.disk = true}, PANIC " " FAST " root=UUID=1-2 ro"},
	{"ro", {.disk = true}, PANIC " " FAST " " ROOT " ro"},
	{"rw", {.disk = true}, PANIC " " FAST " " ROOT " rw"},
	{"rw", {.disk = true, .read_only = true}, PANIC " " FAST " " ROOT " rw"},
	{"rootwait", {.disk = true}, PANIC " " FAST " " ROOT " rw rootwait"},
	{"rootflags=ro", {.disk = true}, PANIC " " FAST " " ROOT " rw rootflags=ro"},
	{"rdinit=/bin/sh", {.disk = true}, PANIC " " FAST " " ROOT " rw rdinit=/bin/sh"},
	{"-- root=x ro", {.disk = true}, PANIC " " FAST " " ROOT " rw -- root=x ro"},
};

static void composed_for_devices(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct cmdline_defaults machine = devices[i].machine;
		char buf[256];

		machine.enabled = true;
		assert_int_equal(
			cmdline_compose(devices[i].user, &machine, buf, sizeof(buf), NULL), 0);
		assert_string_equal(buf, devices[i].result);
		machine.enabled = false;
		assert_int_equal(
			cmdline_compose(devices[i].user, &machine, buf, sizeof(buf), NULL), 0);
		assert_string_equal(buf, devices[i].user);
	}
}

/* Linux before 5.2 would take it for reboot=p. */
static void composed_for_old_kernels(void **state)
{
	const struct cmdline_defaults defaults = {.enabled = true, .no_panic_mark = true};
	char buf[256];

	(void)state;
	assert_int_equal(cmdline_compose("a", &defaults, buf, sizeof(buf), NULL), 0);
	assert_string_equal(buf, STOP " " FAST " a");
	assert_false(cmdline_marks_panic(buf));
}

/* It fits exactly or is refused whole; the allocation is exact, so ASan sees one byte too many. */
static void size_limit(void **state)
{
	const struct cmdline_defaults defaults = {.enabled = true, .serial1 = true};
	const char *expected = CONSOLE " " PANIC " " TESTS " quiet";
	size_t need = strlen(expected) + 1;

	(void)state;
	for (size_t size = 1; size <= need + 1; size++) {
		struct error err = {""};
		char *buf = malloc(size);
		int r;

		assert_non_null(buf);
		r = cmdline_compose("quiet", &defaults, buf, size, &err);
		assert_int_equal(r, size < need ? -E2BIG : 0);
		assert_string_equal(buf, r ? "" : expected);
		if (size == need - 1)
			assert_string_equal(err.text,
				"the kernel command line is too long: 171 bytes, the limit is 170");
		free(buf);
	}
}

static void control_characters(void **state)
{
	const struct cmdline_defaults defaults = {.enabled = true};

	(void)state;
	for (int c = 1; c < 256; c++) {
		bool blank = c >= '\t' && c <= '\r';
		bool bad = (c < ' ' && !blank) || c == 0x7F;
		char user[] = {'a', (char)c, 'b', '\0'};
		char buf[256] = "unset";

		assert_int_equal(cmdline_compose(user, &defaults, buf, sizeof(buf), NULL),
			bad ? -EINVAL : 0);
		assert_int_equal(*buf == '\0', bad);
	}
}

static void keys(void **state)
{
	static const struct {
		const char *cmdline, *key;
		bool has;
	} cases[] = {
		{"no-timer-check", "no_timer_check", true},
		{"no_timer_check", "no-timer-check", true},
		{"i8042.noaux=1", "i8042.noaux", true},
		{"i8042.noaux=1", "i8042", false},
		{"i8042.noaux=1", "noaux", false},
		{"a b c=1 d", "c", true},
		{"a b c=1 d", "d", true},
		{"a b c=d", "d", false},
		{"A", "a", false},
		{"", "a", false},
		{"=a=1", "=a", true}, /* an '=' in front ends no key */
		{"=a=1", "", false},
		{"\"a b\"", "a", false},
		{"\"a b=1\"", "a b", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cmdline_has_key(cases[i].cmdline, cases[i].key) != cases[i].has)
			fail_msg("'%s' in '%s'", cases[i].key, cases[i].cmdline);
}

/* Whether warm mode tells a panic from any other reboot, by all that the kernel sees. */
static void panic_mark(void **state)
{
	static const struct {
		const char *cmdline;
		bool marks;
	} cases[] = {
		{"", false},
		{"reboot=panic_warm", true},
		{"\"reboot=panic_warm\"", true},
		{"reboot=\"panic_warm\"", true},
		{"reboot=panic_w", true},
		{"reboot=panic_warm reboot=k", true},
		{"reboot=k,panic_warm,f", true},
		{"reboot=panic_warm,", true},
		{"reboot=panic_warm,,panic_", true},
		{"reboot=panic_warm reboot", true},
		{"reboot=panic_warm reboot=warm", false},
		{"reboot=warm reboot=panic_warm", false},
		{"reboot=warm reboot=panic_warm,hard", true},
		{"reboot=panic_warm reboot=panic_cold", false},
		{"reboot=panic_cold reboot=panic_warm", true},
		{"reboot=pwarm", false},
		{"reboot=warm", false},
		{"xreboot=panic_warm", false},
		{"-- reboot=panic_warm", false},
		{"x=\"a reboot=panic_warm\"", false},
		{"reboot=\"a b,panic_warm\"", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (cmdline_marks_panic(cases[i].cmdline) != cases[i].marks)
			fail_msg("'%s'", cases[i].cmdline);
}

static void items(void **state)
{
	(void)state;
	assert_true(cmdline_has_item("pci=off", "pci", "off"));
	assert_true(cmdline_has_item("pci=noearly,off", "pci", "off"));
	assert_true(cmdline_has_item("a pci=x \"pci=off,y\"", "pci", "off"));
	assert_false(cmdline_has_item("pci=offx,of", "pci", "off"));
	assert_false(cmdline_has_item("pci", "pci", "off"));
	assert_false(cmdline_has_item("-- pci=off", "pci", "off"));
	assert_true(cmdline_has_item("pci=", "pci", ""));
}

static void hidden_devices(void **state)
{
	static const struct {
		const char *cmdline;
		enum transport transport;
		const char *word;
	} cases[] = {
		{"console=ttyS0 reboot=k panic=1 pci=off", TRANSPORT_PCI, "pci=off"},
		{"pci=noearly,off", TRANSPORT_PCI, "pci=off"},
		{"pci=off", TRANSPORT_MMIO, NULL},
		{"pci=off acpi=off", TRANSPORT_MMIO, "acpi=off"},
		{"acpi=off", TRANSPORT_PCI, "acpi=off"},
		{"acpi=off nolapic pci=off", TRANSPORT_MMIO_CMDLINE, NULL},
		{"nolapic", TRANSPORT_PCI, "nolapic"},
		{"nolapic", TRANSPORT_MMIO, "nolapic"},
		{"noapic", TRANSPORT_PCI, NULL},
		{"noapic", TRANSPORT_MMIO, "noapic"},
		{"nolapic_timer pci=noacpi acpi=force -- pci=off", TRANSPORT_PCI, NULL},
		{"", TRANSPORT_PCI, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct cmdline_hidden *hidden =
			cmdline_hides(cases[i].cmdline, cases[i].transport);

		if (!hidden != !cases[i].word)
			fail_msg("'%s'", cases[i].cmdline);
		if (hidden)
			assert_string_equal(hidden->word, cases[i].word);
	}
}

/* A default word that drops itself when a user repeats it, and says why it is there. */
static void table(void **state)
{
	const struct cmdline_default *word;
	size_t i;

	(void)state;
	for (i = 0; (word = cmdline_default(i)); i++) {
		assert_non_null(word->keys[0]);
		assert_true(strlen(word->reason) > 0);
		bool own = false;

		for (const char *const *key = word->keys; *key; key++)
			own |= cmdline_has_key(word->word, *key);
		assert_true(own);
	}
	assert_true(i > 0);
	assert_null(cmdline_default(SIZE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(composed),
		cmocka_unit_test(composed_for_devices),
		cmocka_unit_test(composed_for_old_kernels),
		cmocka_unit_test(size_limit),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(keys),
		cmocka_unit_test(panic_mark),
		cmocka_unit_test(items),
		cmocka_unit_test(hidden_devices),
		cmocka_unit_test(table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
