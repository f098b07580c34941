/* SPDX-License-Identifier: BSD-2-Clause */
/* --disk, --port, --console, --rng, --balloon and --transport: taken, refused, and how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"

/* What is not named is false, 0 or NULL, but for queues: 0 stands for 1. */
static const struct {
	const char *value, *path;
	struct disk_config disk;
} disks[] = {
	{"a.img", "a.img", {0}},
	{"a.img,format=raw", "a.img", {.format = DISK_RAW}},
	{"a.img,format=qcow2", "a.img", {.format = DISK_QCOW2}},
	{"a.qcow2,backing=yes", "a.qcow2", {.backing = true}},
	{"a.qcow2,backing=yes,backing=no", "a.qcow2", {0}},
	{"a.img,snapshot", "a.img", {.snapshot = true}},
	{"a.img,snapshot,size=1M", "a.img", {.snapshot = true, .size = 1 << 20}},
	{"a.img,ro", "a.img", {.read_only = true}},
	{"a.img,iothread", "a.img", {.iothread = true}},
	{"a.img,cache=none", "a.img", {.cache = BLK_CACHE_NONE}},
	{"a.img,cache=writeback", "a.img", {.cache = BLK_CACHE_WRITEBACK}},
	{"a.img,cache=writethrough", "a.img", {.cache = BLK_CACHE_WRITETHROUGH}},
	{"a.img,cache=unsafe", "a.img", {.cache = BLK_CACHE_UNSAFE}},
	{"a.img,aio=native", "a.img", {.aio = BLK_AIO_NATIVE}},
	{"a.img,aio=native,cache=none", "a.img", {.aio = BLK_AIO_NATIVE}},
	{"a.img,aio=threads", "a.img", {.aio = BLK_AIO_THREADS}},
	{"a.img,aio=threads,cache=writeback", "a.img",
		{.aio = BLK_AIO_THREADS, .cache = BLK_CACHE_WRITEBACK}},
	{"a.img,queues=1", "a.img", {.queues = 1}},
	{"a.img,queues=8", "a.img", {.queues = 8}},
	{"a.img,serial=s", "a.img", {.serial = "s"}},
	{"a.img,serial=12345678901234567890", "a.img", {.serial = "12345678901234567890"}},
	{"/dev/sdb,serial=a=b,ro,cache=unsafe,aio=threads,queues=3,iothread,format=raw", "/dev/sdb",
		{.read_only = true,
			.format = DISK_RAW,
			.cache = BLK_CACHE_UNSAFE,
			.aio = BLK_AIO_THREADS,
			.serial = "a=b",
			.queues = 3,
			.iothread = true}},
	/* Of an option that is given twice the last one counts. */
	{"a.img,cache=unsafe,cache=writeback", "a.img", {.cache = BLK_CACHE_WRITEBACK}},
	{"a.img,ro,ro,queues=2,queues=4", "a.img", {.read_only = true, .queues = 4}},
	/* A comma written twice is one of the text. */
	{"a,,b.img", "a,b.img", {0}},
	{"a.img,,ro", "a.img,ro", {0}},
	{"a.img,,,ro", "a.img,", {.read_only = true}},
	{",,,,", ",,", {0}},
	{"a.img,serial=x,,y,ro", "a.img", {.serial = "x,y", .read_only = true}},
	/* Only commas are special in the name. */
	{"ro", "ro", {0}},
	{"cache=none", "cache=none", {0}},
	{"a~b:c@0x1=d", "a b:c@0x1=d", {0}},
};

static void assert_disk(const struct disk_config *is, const struct disk_config *want)
{
	assert_int_equal(is->read_only, want->read_only);
	assert_int_equal(is->format, want->format);
	assert_int_equal(is->backing, want->backing);
	assert_int_equal(is->snapshot, want->snapshot);
	assert_int_equal(is->size, want->size);
	assert_int_equal(is->cache, want->cache);
	assert_int_equal(is->aio, want->aio);
	assert_int_equal(is->queues, want->queues ? want->queues : 1);
	assert_int_equal(is->iothread, want->iothread);
	if (want->serial)
		assert_string_equal(is->serial, want->serial);
	else
		assert_null(is->serial);
}

static void disk_words(void **state)
{
	static const char *const options[] = {"-d", "-d ", "--disk=", "--disk "};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		struct config_line line;
		struct config config;
		char text[256];

		snprintf(text, sizeof(text), "%s%s", options[i % ARRAY_SIZE(options)],
			disks[i].value);
		config_line_ok(&config, &line, text);
		assert_int_equal(config.num_disks, 1);
		assert_string_equal(config.disks[0].path, disks[i].path);
		assert_disk(&config.disks[0], &disks[i].disk);
		config_destroy(&config);
	}
}

/* Appends an option count times, with a number in its value. */
static void repeat(char *text, size_t size, const char *head, const char *tail, int count)
{
	for (int i = 0; i < count; i++) {
		size_t used = strlen(text);

		snprintf(text + used, size - used, "%s%d%s ", head, i, tail);
		assert_true(strlen(text) < size - 1);
	}
}

static void order_and_limit(void **state)
{
	char text[1024] = "--transport mmio ";
	struct config_line line;
	struct config config;

	(void)state;
	repeat(text, sizeof(text), "-d d", ".img", CONFIG_MAX_DISKS);
	config_line_ok(&config, &line, text);
	assert_int_equal(config.num_disks, CONFIG_MAX_DISKS);
	assert_string_equal(config.disks[0].path, "d0.img");
	assert_string_equal(config.disks[31].path, "d31.img");
	config_destroy(&config);
	config_line_refused(strcat(text, "-d one.more"), "32 disks at most");
}

/* A line with so many disks, and what else there is. */
static const struct {
	int disks;
	const char *others;
	bool taken;
} slots[] = {
	{31, "", true},
	{32, "", false},
	{32, "--transport mmio", true},
	{32, "--transport mmio-cmdline", true},
	{30, "--rng", true},
	{31, "--rng", false},
	{31, "--balloon 0", false},
	{31, "--console virtio", false},
	{31, "--port a=null", false},
	{30, "--port a=null --port b=null", true},     /* all ports are one device */
	{30, "--port a=null --console virtio", false}, /* without the console */
	{27, "--rng --balloon 0 --console virtio --port a=null", true},
	{28, "--rng --balloon 0 --console virtio --port a=null", false},
	{32, "--rng --balloon 0 --console virtio --port a=null --transport mmio", true},
};

/* PCI has 32 slots, and the host bridge is in one. */
static void pci_slots(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		char text[1024] = "";
		struct config_line line;
		struct config config;

		repeat(text, sizeof(text), "-dd", "", slots[i].disks);
		strcat(text, slots[i].others);
		if (!slots[i].taken) {
			config_line_refused(text, "32 virtio devices: PCI has room for 31");
			continue;
		}
		config_line_ok(&config, &line, text);
		config_destroy(&config);
	}
}

static void disks_that_share(void **state)
{
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "-d a,ro -d b -d a,ro,cache=writeback -d ./b");
	assert_int_equal(config.num_disks, 4);
	config_destroy(&config);
}

static void ports(void **state)
{
	char name[CONFIG_MAX_PORT_NAME + 1] = "", text[128];
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line,
		"--port a=null --port=org.x_1-2=pty --port c=file:/tmp/a=b --port 9=unix:/tmp/s,x");
	assert_int_equal(config.num_ports, 4);
	assert_string_equal(config.ports[0].name, "a");
	assert_int_equal(config.ports[0].where.kind, SERIAL_NULL);
	assert_string_equal(config.ports[1].name, "org.x_1-2");
	assert_int_equal(config.ports[1].where.kind, SERIAL_PTY);
	assert_string_equal(config.ports[2].name, "c");
	assert_int_equal(config.ports[2].where.kind, SERIAL_FILE);
	assert_string_equal(config.ports[2].where.path, "/tmp/a=b");
	assert_string_equal(config.ports[3].name, "9");
	assert_int_equal(config.ports[3].where.kind, SERIAL_UNIX);
	assert_string_equal(config.ports[3].where.path, "/tmp/s,x");
	assert_int_equal(config.serial[0].kind, SERIAL_STDIO); /* as without them */
	config_destroy(&config);

	memset(name, 'n', CONFIG_MAX_PORT_NAME);
	snprintf(text, sizeof(text), "--port %s=null", name);
	config_line_ok(&config, &line, text);
	assert_string_equal(config.ports[0].name, name);
	config_destroy(&config);
	snprintf(text, sizeof(text), "--port %sn=null", name);
	config_line_refused(text, "longer than 63 characters");
}

static void port_limit(void **state)
{
	char text[512] = "";
	struct config_line line;
	struct config config;

	(void)state;
	repeat(text, sizeof(text), "--port p", "=null", CONFIG_MAX_PORTS);
	config_line_ok(&config, &line, text);
	assert_int_equal(config.num_ports, CONFIG_MAX_PORTS);
	config_destroy(&config);
	config_line_refused(strcat(text, "--port q=null"), "15 of these at most");
}

static void consoles(void **state)
{
	static const struct {
		const char *text;
		enum console_kind console;
		enum serial_kind first;
	} cases[] = {
		{"--console serial", CONSOLE_SERIAL, SERIAL_STDIO},
		{"--console virtio", CONSOLE_VIRTIO, SERIAL_NONE}, /* no serial port at all */
		{"--console virtio --console=serial", CONSOLE_SERIAL, SERIAL_STDIO},
		{"--serial null --console virtio", CONSOLE_VIRTIO, SERIAL_NULL},
		{"--console virtio --serial pty", CONSOLE_VIRTIO, SERIAL_PTY},
		{"--console serial --serial null --serial stdio", CONSOLE_SERIAL, SERIAL_NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_line line;
		struct config config;

		config_line_ok(&config, &line, cases[i].text);
		assert_int_equal(config.console, cases[i].console);
		assert_int_equal(config.serial[0].kind, cases[i].first);
		config_destroy(&config);
	}
}

static void other_devices(void **state)
{
	static const struct {
		const char *text;
		bool rng, balloon;
		uint64_t size;
		enum transport transport;
	} cases[] = {
		{"--rng", true, false, 0, TRANSPORT_PCI},
		{"--balloon 0", false, true, 0, TRANSPORT_PCI},
		{"--balloon=64 --rng", true, true, 64 * MiB, TRANSPORT_PCI},
		{"--balloon 1G -m 2G", false, true, GiB, TRANSPORT_PCI},
		{"--balloon 524284K", false, true, 512 * MiB - 4 * KiB, TRANSPORT_PCI},
		{"--transport pci", false, false, 0, TRANSPORT_PCI},
		{"--transport mmio", false, false, 0, TRANSPORT_MMIO},
		{"--transport=mmio-cmdline --rng", true, false, 0, TRANSPORT_MMIO_CMDLINE},
		{"--transport mmio --transport pci", false, false, 0, TRANSPORT_PCI},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_line line;
		struct config config;

		config_line_ok(&config, &line, cases[i].text);
		assert_int_equal(config.rng, cases[i].rng);
		assert_int_equal(config.balloon, cases[i].balloon);
		assert_int_equal(config.balloon_size, cases[i].size);
		assert_int_equal(config.transport, cases[i].transport);
		config_destroy(&config);
	}
}

static const struct {
	const char *text, *words;
} refusals[] = {
	{"-d", "--disk needs a value: --disk FILE[,...]"},
	{"--disk=", "--disk needs a file: --disk FILE[,...]"},
	{"-d ,ro", "--disk needs a file"},
	{"-d a,", "--disk: unknown option ''"},
	{"-d a,,,,,", "--disk: unknown option ''"},
	{"-d a,rw", "--disk: unknown option 'rw' (did you mean ro?)"},
	{"-d a,cahce=none", "--disk: unknown option 'cahce' (did you mean cache?)"},
	{"-d a,b.img", "unknown option 'b.img' (a comma in the file's name is written twice)"},
	{"-d a,=none", "--disk: unknown option ''"},
	{"-d a,RO", "--disk: unknown option 'RO'"},
	{"-d a,ro=yes", "--disk: ro takes no value"},
	{"-d a,iothread=1", "--disk: iothread takes no value"},
	{"-d a,cache", "--disk: cache needs a value: cache=..."},
	{"-d a,cache=", "--disk: cache needs a value"},
	{"-d a,cache=direct",
		"--disk: cache: 'direct' is not one of none, writeback, writethrough, unsafe"},
	{"-d a,cache=write-back", "(did you mean writeback?)"},
	{"-d a,aio", "--disk: aio needs a value"},
	{"-d a,aio=io_uring", "--disk: aio: 'io_uring' is not one of native, threads"},
	{"-d a,format=vmdk", "--disk: format: 'vmdk' is not one of raw, qcow2"},
	{"-d a,backing", "--disk: backing needs a value"},
	{"-d a,backing=b", "--disk: backing: 'b' is not one of no, yes"},
	{"-d a,format=raw,backing=yes", "'a': backing=yes goes with format=qcow2"},
	{"-d a,snapshot=yes", "--disk: snapshot takes no value"},
	{"-d a,snapshot,ro", "'a': ro and snapshot exclude each other"},
	{"-d a,size=1G", "'a': size goes with snapshot"},
	{"-d a,snapshot,size=1", "size: '1' is not a size of 1M or more"},
	{"-d a,snapshot,size=big", "size: 'big' is not a size"},
	{"-d a -d a,snapshot", "'a' is given twice; only disks with ro or snapshot"},
	{"-d a,format", "--disk: format needs a value"},
	{"-d a,serial=", "--disk: serial needs a value"},
	{"-d a,serial=123456789012345678901", "serial: '123456789012345678901' is longer than 20"},
	{"-d a,queues=0", "--disk: queues: '0' is not a number from 1 to 8"},
	{"-d a,queues=9", "--disk: queues: '9' is not a number from 1 to 8"},
	{"-d a,queues=two", "--disk: queues: 'two' is not a number"},
	{"-d a,queues=-1", "is not a number"},
	{"-d a,queues=4294967297", "is not a number"},
	{"-d a,cache=writeback,aio=native", "'a': aio=native goes with cache=none only"},
	{"-d a -d b,aio=native,cache=unsafe", "'b': aio=native goes with cache=none only"},
	{"-d a -d b -d a", "--disk: 'a' is given twice"},
	{"-d a -d a,ro", "'a' is given twice; only disks with ro or snapshot can share a file"},
	{"-d a,ro -d a", "'a' is given twice"},
	{"-d a,,b -d a,,b,cache=unsafe", "'a,b' is given twice"},

	{"--port", "--port needs a value: --port NAME=WHERE"},
	{"--port null", "--port: 'null' is not NAME=WHERE"},
	{"--port =null", "--port: '=null' is not NAME=WHERE"},
	{"--port=", "--port: '' is not NAME=WHERE"},
	{"--port a=", "--port: '' is not one of null, pty, file:PATH, unix:PATH"},
	{"--port a=stdio", "--port: 'stdio' is not one of null, pty"},
	{"--port a=tty", "--port: 'tty' is not one of null, pty"},
	{"--port a=file:", "--port: file: needs a path, file:PATH"},
	{"--port a=unix:", "--port: unix: needs a path, unix:PATH"},
	{"--port a/b=null", "--port: 'a/b' has other characters than"},
	{"--port a~b=null", "has other characters than"},
	{"--port .a=null", "has other characters than"},
	{"--port -a=null", "has other characters than"},
	{"--port \xc3\xa4=null", "has other characters than"},
	{"--port a=null --port b=null --port a=pty", "--port: two ports are called 'a'"},
	{"--port a=file:x --port b=unix:x", "--port: 'a' and 'b' cannot both have 'x'"},
	{"--port a=file:x --serial null --serial file:x",
		"--port: 'a' cannot have 'x', serial port 2 has it"},

	{"--console hvc0", "--console: 'hvc0' is not one of serial, virtio"},
	{"--console vritio", "(did you mean virtio?)"},
	{"--console virtio --serial stdio", "--console virtio: serial port 1 has stdio already"},
	{"--serial null --serial stdio --console virtio", "serial port 2 has stdio already"},
	{"--transport isa", "--transport: 'isa' is not one of pci, mmio, mmio-cmdline"},
	{"--transport MMIO", "(did you mean mmio?)"},
	{"--rng=yes", "--rng takes no value"},
	{"--balloon", "--balloon needs a value: --balloon SIZE"},
	{"--balloon x", "--balloon: 'x' is not a size"},
	{"--balloon -1", "--balloon: '-1' is not a size"},
	{"--balloon 16777216T", "--balloon: '16777216T' is more than any machine has"},
	{"--balloon 512M", "--balloon: takes 512 MiB of 512 MiB"},
	{"--balloon 2G -m 1G", "--balloon: takes 2048 MiB of 1024 MiB"},
	{"--balloon 0 --hugepages",
		"--balloon: the host's reserved huge pages cannot be given back"},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		config_line_refused(refusals[i].text, refusals[i].words);
}

static void long_socket_path(void **state)
{
	char text[160];
	struct config_line line;
	struct config config;

	(void)state;
	snprintf(text, sizeof(text), "--port a=unix:%0107d", 0);
	config_line_ok(&config, &line, text);
	config_destroy(&config);
	snprintf(text, sizeof(text), "--port a=unix:%0108d", 0);
	config_line_refused(text, "--port: a socket's path has 107 bytes at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk_words),
		cmocka_unit_test(order_and_limit),
		cmocka_unit_test(pci_slots),
		cmocka_unit_test(disks_that_share),
		cmocka_unit_test(ports),
		cmocka_unit_test(port_limit),
		cmocka_unit_test(consoles),
		cmocka_unit_test(other_devices),
		cmocka_unit_test(refused),
		cmocka_unit_test(long_socket_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
