/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam run`'s arguments: what is taken, what is refused, and with which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"
#include "vm/core/error.h"

static void defaults(void **state)
{
	struct config config;
	struct config_line line;

	(void)state;
	config_line_ok(&config, &line, "");
	assert_null(config.kernel);
	assert_int_equal(config.num_initrds, 0);
	assert_string_equal(config.cmdline, "");
	assert_true(config.default_cmdline);
	assert_null(config.flat);
	assert_int_equal(config.memory, 512 * MiB);
	assert_int_equal(config.cpus, 1);
	assert_int_equal(config.hotplug, 3);
	assert_int_equal(config.serial[0].kind, SERIAL_STDIO);
	assert_int_equal(config.serial[1].kind, SERIAL_NONE);
	assert_int_equal(config.boot, BOOT_AUTO);
	assert_true(config.kaslr && config.kernel_cache);
	assert_int_equal(config.console, CONSOLE_SERIAL);
	assert_int_equal(config.transport, TRANSPORT_PCI);
	assert_int_equal(config.num_disks + config.num_ports, 0);
	assert_false(config.rng || config.balloon);
	assert_int_equal(config.on_reboot, END_RESTART);
	assert_int_equal(config.on_poweroff, END_EXIT);
	assert_int_equal(config.on_panic, END_EXIT);
	assert_string_equal(config.kvm_device, "/dev/kvm");
	for (enum option_id id = 0; id < NUM_OPTIONS; id++)
		assert_false(config.given[id]);
	config_destroy(&config);
}

static void every_option(void **state)
{
	struct config config;
	struct config_line line;

	(void)state;
	config_line_ok(&config, &line,
		"-vv -k bzImage --initrd=a.img -i b.img -a root=/dev/vda~ro --cmdline quiet -m2G "
		"-c 8 "
		"--name web-1.test_x --on-reboot exit --on-poweroff=restart --on-panic pause "
		"--cpu host,-avx512f,+x2apic --hugepages --boot pvh --kaslr off --no-kernel-cache "
		"--no-default-cmdline --serial null "
		"--serial file:/tmp/log --serial=unix:/tmp/s --serial stdio --kvm /dev/kvm2 "
		"--uuid 00112233-4455-6677-8899-AABBccddeeff --smbios serial=S,1 "
		"--smbios oem=io.systemd.credential:a=b,c --smbios=oem== "
		"--exit-port 0xf4 --dry-run");
	assert_int_equal(config.exit_port, 0xf4);
	assert_true(config.has_uuid);
	assert_memory_equal(config.uuid,
		"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
	assert_string_equal(config.smbios_serial, "S,1");
	assert_int_equal(config.num_smbios_oem, 2);
	assert_string_equal(config.smbios_oem[0], "io.systemd.credential:a=b,c");
	assert_string_equal(config.smbios_oem[1], "=");
	assert_string_equal(config.kernel, "bzImage");
	assert_int_equal(config.num_initrds, 2);
	assert_string_equal(config.initrds[0], "a.img");
	assert_string_equal(config.initrds[1], "b.img");
	assert_string_equal(config.cmdline, "root=/dev/vda ro quiet");
	assert_false(config.default_cmdline);
	assert_int_equal(config.memory, 2 * GiB);
	assert_int_equal(config.cpus, 8);
	assert_string_equal(config.name, "web-1.test_x");
	assert_int_equal(config.on_reboot, END_EXIT);
	assert_int_equal(config.on_poweroff, END_RESTART);
	assert_int_equal(config.on_panic, END_PAUSE);
	assert_string_equal(config.cpu_features, "host,-avx512f,+x2apic");
	assert_true(config.hugepages && config.dry_run);
	assert_int_equal(config.boot, BOOT_PVH);
	assert_false(config.kaslr || config.kernel_cache);
	assert_int_equal(config.verbose, 2);
	assert_int_equal(config.serial[0].kind, SERIAL_NULL);
	assert_int_equal(config.serial[1].kind, SERIAL_FILE);
	assert_string_equal(config.serial[1].path, "/tmp/log");
	assert_int_equal(config.serial[2].kind, SERIAL_UNIX);
	assert_string_equal(config.serial[2].path, "/tmp/s");
	assert_int_equal(config.serial[3].kind, SERIAL_STDIO);
	assert_string_equal(config.kvm_device, "/dev/kvm2");
	assert_true(config.given[OPT_BOOT]);
	assert_false(config.given[OPT_FLAT]);
	config_destroy(&config);
	config_destroy(&config); /* a second time does no harm */
}

static void spellings(void **state)
{
	static const struct {
		const char *text, *kernel;
		uint64_t memory;
		unsigned int verbose;
	} cases[] = {
		{"-m 1G k", "k", GiB, 0},
		{"-m1G k", "k", GiB, 0},
		{"--memory 1G k", "k", GiB, 0},
		{"--memory=1G k", "k", GiB, 0},
		{"k -m 1G", "k", GiB, 0},
		{"-vm1G k", "k", GiB, 1},
		{"-vvm 1G k", "k", GiB, 2},
		{"-vv -v -m1G -- k", "k", GiB, 3},
		{"-m1G -- -k", "-k", GiB, 0},
		{"-m1G -", "-", GiB, 0},
		{"-m2G -m1G -k x -kk", "k", GiB, 0}, /* the last one wins */
		{"-m1G -k=k", "=k", GiB, 0},
		{"-m1G -k --boot", "--boot", GiB, 0}, /* a value is a value */
		{"-m 64 k", "k", 64 * MiB, 0},
		{"-m 65536K k", "k", 64 * MiB, 0},
		{"-m 67108864B k", "k", 64 * MiB, 0},
		{"-m 2T k", "k", 2 * TiB, 0},
		{"-m 1.5G k", "k", 1536 * MiB, 0},
		{"-m 0.25GiB k", "k", 256 * MiB, 0},
		{"-m 1.1G k", "k", 1126 * MiB, 0},
		{"-m 64.50 k", "k", 64 * MiB + 512 * KiB, 0},
		{"-m 1.99999999999999999999999999999999T k", "k", 2047 * GiB, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config;
		struct config_line line;

		config_line_ok(&config, &line, cases[i].text);
		assert_string_equal(config.kernel, cases[i].kernel);
		assert_int_equal(config.memory, cases[i].memory);
		assert_int_equal(config.verbose, cases[i].verbose);
		config_destroy(&config);
	}
}

static void flat_programs(void **state)
{
	static const struct {
		const char *text, *file;
		uint64_t gpa;
		enum entry_mode mode;
	} cases[] = {
		{"--flat a.bin", "a.bin", 0x1000, ENTRY_REAL},
		{"--flat a.bin --mode real", "a.bin", 0x1000, ENTRY_REAL},
		{"--flat a.bin --mode protected", "a.bin", 0x100000, ENTRY_PROTECTED},
		{"--mode long --flat=a.bin", "a.bin", 0x100000, ENTRY_LONG},
		{"--flat a.bin@0x7c00", "a.bin", 0x7c00, ENTRY_REAL},
		{"--flat a.bin@0X7C00", "a.bin", 0x7c00, ENTRY_REAL},
		{"--flat a.bin@4096", "a.bin", 4096, ENTRY_REAL},
		{"--flat a.bin@0", "a.bin", 0, ENTRY_REAL},
		{"--flat a.bin@2M --mode long", "a.bin", 2 * MiB, ENTRY_LONG},
		{"--flat me@home.bin", "me@home.bin", 0x1000, ENTRY_REAL},
		{"--flat me@1.bin@64K", "me@1.bin", 0x10000, ENTRY_REAL},
		{"--flat a@", "a@", 0x1000, ENTRY_REAL},
		{"--flat x@1 --flat a.bin -m1M", "a.bin", 0x1000, ENTRY_REAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config;
		struct config_line line;

		config_line_ok(&config, &line, cases[i].text);
		assert_string_equal(config.flat, cases[i].file);
		assert_int_equal(config.flat_gpa, cases[i].gpa);
		assert_int_equal(config.flat_mode, cases[i].mode);
		config_destroy(&config);
	}
}

/* Each is refused, by the parser or by validation, with a line that holds these words. */
static const struct refusal {
	const char *text, *words;
} refusals[] = {
	{"--memroy 1G", "unknown option '--memroy' (did you mean --memory?)"},
	{"--memroy=1G", "unknown option '--memroy' (did you mean --memory?)"},
	{"--mem 1G", "did you mean --memory?"},
	{"--colour x", "unknown option '--colour' (see 'bantam help run')"},
	{"--=x", "unknown option '--'"},
	{"-x", "unknown option '-x'"},
	{"-vx", "unknown option '-x'"},
	{"-m", "--memory needs a value: --memory SIZE"},
	{"--serial", "--serial needs a value"},
	{"--hugepages=yes", "--hugepages takes no value"},
	{"-k a b", "a kernel by --kernel and another one, 'b'"},
	{"b -k a", "a kernel by --kernel and another one, 'b'"},
	{"a b", "a second kernel, 'b'"},
	{"--kernel=", "--kernel needs a FILE that is not empty"},
	{"--initrd=", "--initrd needs a FILE"},
	{"--kvm=", "--kvm needs a PATH"},
	{"--name=", "--name needs a NAME"},
	{"--cpu=", "--cpu needs a FEATURES"},
	{"-m 1.G", "--memory: '1.G' is not a size"},
	{"-m .5G", "'.5G' is not a size"},
	{"-m 1.5B", "'1.5B' is not a size"},
	{"-m 1.5.5G", "'1.5.5G' is not a size"},
	{"-m 1,5G", "'1,5G' is not a size"},
	{"-m -1", "'-1' is not a size"},
	{"-m +1", "'+1' is not a size"},
	{"-m 0x10", "'0x10' is not a size"},
	{"-m ~64", "' 64' is not a size"},
	{"-m 64X", "'64X' is not a size"},
	{"-m 1GiBi", "is not a size"},
	{"-m 1Gi", "is not a size"},
	{"-m G", "is not a size"},
	{"--memory=", "is not a size"},
	{"-m 16777216T", "more than any machine has"},
	{"-m 99999999999999999999", "more than any machine has"},
	{"-m 15M", "15360 KiB is too little (at least 16M)"},
	{"-m 0", "too little"},
	{"-m 2049G", "2049 GiB is too much (at most 2T)"},
	{"-m 16777217B", "not a multiple of 4 KiB"},
	{"-m 65M --hugepages", "not a multiple of 2048 KiB, which --hugepages needs"},
	{"-c 0", "--cpus: '0' is not a number from 1 to 254"},
	{"-c 255", "--cpus: '255' is not a number from 1 to 254"},
	{"-c 1K", "is not a number"},
	{"-c 18446744073709551617", "is not a number"},
	{"-c -1", "is not a number"},
	{"--name a~b", "has other characters than"},
	{"--name .a", "does not begin with"},
	{"--name -a", "does not begin with"},
	{"--name ..", "does not begin with"},
	{"--name a/b", "has other characters than"},
	{"--name \xc3\xa4", "does not begin with"},
	{"--name aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"longer than 64 characters"},
	{"--on-panic die", "--on-panic: 'die' is not one of exit, restart, pause"},
	{"--on-reboot restrat", "(did you mean restart?)"},
	{"--on-poweroff=", "--on-poweroff: '' is not one of"},
	{"--flat a --mode loong",
		"'loong' is not one of real, protected, long (did you mean long?)"},
	{"--mode long", "--mode goes with --flat only"},
	{"--uuid x", "'x' is not a UUID"},
	{"--uuid 00112233-4455-6677-8899-aabbccddeef", "is not a UUID"},
	{"--uuid 00112233-4455-6677-8899-aabbccddeefff", "is not a UUID"},
	{"--uuid 00112233-4455-6677-8899_aabbccddeeff", "is not a UUID"},
	{"--uuid 00112233-4455-6677-8899-aabbccddeefg", "is not a UUID"},
	{"--uuid 00000000-0000-0000-0000-000000000000", "is not a UUID"},
	{"--smbios serial", "neither serial=TEXT nor oem=TEXT"},
	{"--smbios Serial=x", "neither serial=TEXT nor oem=TEXT"},
	{"--smbios oem2=x", "neither serial=TEXT nor oem=TEXT"},
	{"--smbios =x", "neither serial=TEXT nor oem=TEXT"},
	{"--smbios oem=", "needs a text"},
	{"--smbios serial=", "needs a text"},
	{"--flat f --uuid 00112233-4455-6677-8899-aabbccddeeff", "--uuid does not go"},
	{"--flat f --smbios oem=x", "--smbios does not go"},
	{"--exit-port 0", "'0' is not a port from 1 to 0xffc"},
	{"--exit-port 0xffd", "'0xffd' is not a port"},
	{"--exit-port 0x100f4", "is not a port"},
	{"--exit-port x", "'x' is not a port"},
	{"--exit-port 0x1e", "the interrupt controller is in the way, at 0x20"},
	{"--exit-port 0xa1", "the interrupt controller"},
	{"--exit-port 0x4cd", "the interrupt controller"},
	{"--flat a -k b", "a kernel does not go with it"},
	{"--flat a b", "a kernel does not go with it"},
	{"--flat a -i b", "--initrd does not go with it"},
	{"--flat a -a b", "--cmdline does not go with it"},
	{"--flat a --no-default-cmdline", "--no-default-cmdline does not go with it"},
	{"--flat a --boot elf", "--boot does not go with it"},
	{"--flat a --kaslr off", "--kaslr does not go with it"},
	{"--flat a --no-kernel-cache", "--no-kernel-cache does not go with it"},
	{"--boot efi", "'efi' is not one of auto, elf, pvh, bzimage"},
	{"--kaslr yes", "'yes' is not one of off, on"},
	{"--flat a@0x", "'0x' is not an address"},
	{"--flat a@1Q", "'1Q' is not an address"},
	{"--flat a@0x1G", "'0x1G' is not an address"},
	{"--flat a@0x10000000000000000", "is not an address"},
	{"--flat a@0xffffffffffffffff", "is not an address"},
	{"--flat @0x1000", "--flat needs a file"},
	{"--flat=", "--flat needs a file"},
	{"--flat a@1M", "address 0x100000 is out of reach in real mode"},
	{"--flat a@4G --mode protected", "out of reach in protected mode"},
	{"--flat a@4G --mode long", "out of reach in long mode"},
	{"--flat a -m 1023K", "too little (at least 1M)"},
	{"--serial tty", "--serial: 'tty' is not one of stdio, null, pty, file:PATH, unix:PATH"},
	{"--serial file:", "--serial: file: needs a path"},
	{"--serial unix:", "--serial: unix: needs a path"},
	{"--serial file", "'file' is not one of"},
	{"--serial stdio --serial pty --serial stdio", "ports 1 and 3 cannot both have stdio"},
	{"--serial file:a --serial file:a", "ports 1 and 2 cannot both have 'a'"},
	{"--serial pty --serial pty --serial pty --serial pty --serial pty", "4 ports at most"},
	{"--cpu host,-avx513f", "--cpu: unknown CPU feature 'avx513f' (did you mean avx512f?)"},
	{"--cpu avx", "--cpu: CPU feature 'avx' needs a + or a -"},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		config_line_refused(refusals[i].text, refusals[i].words);
}

static void too_many_initrds(void **state)
{
	char text[512] = "";
	struct config config;
	struct config_line line;

	(void)state;
	for (int i = 0; i < LOADER_MAX_INITRDS; i++)
		strcat(text, "-ix ");
	config_line_ok(&config, &line, text);
	assert_int_equal(config.num_initrds, LOADER_MAX_INITRDS);
	config_destroy(&config);
	config_line_refused(strcat(text, "-ix "), "more than 16 files");
}

static void long_socket_path(void **state)
{
	char text[200];
	struct config config;
	struct config_line line;

	(void)state;
	snprintf(text, sizeof(text), "--serial unix:%0107d", 0);
	config_line_ok(&config, &line, text);
	config_destroy(&config);
	snprintf(text, sizeof(text), "--serial unix:%0108d", 0);
	config_line_refused(text, "107 bytes at most");
}

static void help_asked(void **state)
{
	static const char *const lines[] = {
		"-h", "--help", "-vh", "-m 1G --help --bogus", "k --help"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct config config;
		struct config_line line;

		config_line_split(&line, lines[i]);
		config_init(&config);
		assert_int_equal(config_parse(&config, line.argc, line.argv, NULL), 1);
		config_destroy(&config);
	}
}

static void other_verbs(void **state)
{
	struct error err = {""};
	struct config config;
	struct config_line line;

	(void)state;
	config_line_split(&line, "--kvm /x -v");
	config_init(&config);
	assert_int_equal(config_parse_verb(&config, VERB_DOCTOR, line.argc, line.argv, &err), 0);
	assert_string_equal(config.kvm_device, "/x");
	assert_int_equal(config.verbose, 1);
	config_line_split(&line, "-m 1G");
	assert_int_equal(
		config_parse_verb(&config, VERB_DOCTOR, line.argc, line.argv, &err), -EINVAL);
	assert_non_null(strstr(err.text, "unknown option '-m' (see 'bantam help doctor')"));
	config_line_split(&line, "bzImage");
	assert_int_equal(
		config_parse_verb(&config, VERB_VERSION, line.argc, line.argv, &err), -EINVAL);
	assert_non_null(strstr(err.text, "bantam version takes no 'bzImage'"));
	config_destroy(&config);
}

static void early_messages(void **state)
{
	static const char words[] = "earlyprintk=ttyS0,115200 ignore_loglevel";
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "bzImage --earlycon -a quiet --earlycon");
	assert_memory_equal(config.cmdline, words, sizeof(words) - 1);
	assert_string_equal(config.cmdline + sizeof(words) - 1, " quiet");
	config_destroy(&config);
	config_line_ok(&config, &line, "bzImage --earlycon --no-default-cmdline");
	assert_string_equal(config.cmdline, words);
	config_destroy(&config);
	config_line_refused("bzImage --earlycon --console virtio", "no first serial port");
	config_line_refused("--flat a --earlycon", "--earlycon does not go with it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_option),
		cmocka_unit_test(spellings),
		cmocka_unit_test(flat_programs),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_many_initrds),
		cmocka_unit_test(long_socket_path),
		cmocka_unit_test(help_asked),
		cmocka_unit_test(other_verbs),
		cmocka_unit_test(early_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
