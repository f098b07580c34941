/* SPDX-License-Identifier: BSD-2-Clause */
/* --gdb: where it leads, who could come, and what is refused. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"

static void none(void **state)
{
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "vmlinuz");
	assert_int_equal(config.gdb.kind, GDB_ON_NOTHING);
	config_destroy(&config);
}

static void sockets(void **state)
{
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "vmlinuz --gdb unix:a,,b");
	assert_int_equal(config.gdb.kind, GDB_ON_UNIX);
	assert_string_equal(config.gdb.path, "a,b");
	assert_false(config.gdb.wait || config.gdb.is_open);
	config_destroy(&config);
	/* The last one counts. */
	config_line_ok(&config, &line, "vmlinuz --gdb tcp:1 --gdb unix:/x,wait");
	assert_string_equal(config.gdb.path, "/x");
	assert_true(config.gdb.wait);
	config_destroy(&config);
}

static void addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_open, v6;
		uint32_t address;
		uint16_t port;
	} cases[] = {
		{"vmlinuz --gdb tcp:1234", false, false, 0x7f000001, 1234},
		{"vmlinuz --gdb tcp:127.1.2.3:65535,wait", false, false, 0x7f010203, 65535},
		{"vmlinuz --gdb tcp:0.0.0.0:1", true, false, 0, 1},
		{"vmlinuz --gdb tcp:192.0.2.1:5", true, false, 0xc0000201, 5},
		{"vmlinuz --gdb tcp:[::1]:6", false, true, 0, 6},
		{"vmlinuz --gdb tcp:[::]:7", true, true, 0, 7},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_line line;
		struct config config;

		config_line_ok(&config, &line, cases[i].text);
		assert_int_equal(config.gdb.kind, GDB_ON_TCP);
		assert_int_equal(config.gdb.is_open, cases[i].is_open);
		assert_int_equal(config.gdb.address.sa.sa_family, cases[i].v6 ? AF_INET6 : AF_INET);
		/* Both kinds have the port at one place. */
		assert_int_equal(ntohs(config.gdb.address.in.sin_port), cases[i].port);
		if (!cases[i].v6)
			assert_int_equal(
				ntohl(config.gdb.address.in.sin_addr.s_addr), cases[i].address);
		config_destroy(&config);
	}
}

static void refused(void **state)
{
	static const char *const lines[] = {"unix:", "tcp:", "tcp:0", "tcp:65536", "tcp:-1",
		"tcp:x", "tcp:localhost:1", "tcp:1.2.3:1", "tcp:::1:5", "tcp:[::1:5", "tcp:[::1]5",
		"tcp:[::1]x:5", "tcp:1.2.3.4:", "1234", "udp:1"};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		snprintf(text, sizeof(text), "vmlinuz --gdb %s", lines[i]);
		config_line_refused(text, "--gdb: ");
	}
	config_line_refused("vmlinuz --gdb tcp:1,wiat", "did you mean wait?");
	config_line_refused("vmlinuz --gdb tcp:1,wait=1", "--gdb: ");
	snprintf(text, sizeof(text), "vmlinuz --gdb unix:%0108d", 0);
	config_line_refused(text, "1 to 107 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(sockets),
		cmocka_unit_test(addresses),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
