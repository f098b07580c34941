/* SPDX-License-Identifier: BSD-2-Clause */
/* --net: what is taken, what is refused. And the addresses of cards that were given none. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"
#include "vm/machine/net_mac.h"

/* What is not named is false, 0 or NULL. */
static const struct {
	const char *value;
	struct net_config net;
} nets[] = {
	{"user", {0}},
	{"tap", {.kind = NET_TAP}},
	{"user,mtu=1280", {.mtu = 1280}},
	{"user,mtu=21880", {.mtu = 21880}},
	{"tap,mtu=68", {.kind = NET_TAP, .mtu = 68}},
	{"tap,mtu=65535", {.kind = NET_TAP, .mtu = 65535}},
	{"user,mac=02:12:34:56:78:9a", {.mac = {2, 0x12, 0x34, 0x56, 0x78, 0x9a}}},
	{"tap,mac=FE:DC:BA:98:76:54",
		{.kind = NET_TAP, .mac = {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54}}},
	{"user,restrict", {.restricted = true}},
	{"user,host-loopback", {.host_loopback = true}},
	{"user,apart=on", {.in_process = false}},
	{"apart=off", {.in_process = true}},
	{"tap,ifname=tap0", {.kind = NET_TAP, .ifname = "tap0"}},
	{"tap,ifname=fifteen.letters", {.kind = NET_TAP, .ifname = "fifteen.letters"}},
	{"tap,script=/etc/up", {.kind = NET_TAP, .script = "/etc/up"}},
	{"tap,script=a,,b=c", {.kind = NET_TAP, .script = "a,b=c"}},
	{"tap,script=up,script=none", {.kind = NET_TAP}},
	{"tap,queues=1", {.kind = NET_TAP, .queues = 1}},
	{"tap,queues=8,ifname=br.7,mtu=9000",
		{.kind = NET_TAP, .queues = 8, .ifname = "br.7", .mtu = 9000}},
	{"tap,vhost=on", {.kind = NET_TAP, .vhost = NET_VHOST_ON}},
	{"tap,vhost=off", {.kind = NET_TAP, .vhost = NET_VHOST_OFF}},
	{"tap,fd=0", {.kind = NET_TAP, .num_fds = 1}},
	{"tap,fd=4,fd=3,fd=20", {.kind = NET_TAP, .fds = {4, 3, 20}, .num_fds = 3}},
	/* Of an option that is given twice the last one counts. */
	{"user,mtu=1500,mtu=9000", {.mtu = 9000}},
	/* Without a kind */
	{"mtu=1500", {.mtu = 1500}},
	{"mac=02:00:00:00:00:01,restrict", {.mac = {2, [5] = 1}, .restricted = true}},
};

static void assert_same_text(const char *is, const char *want)
{
	if (want)
		assert_string_equal(is, want);
	else
		assert_null(is);
}

static void assert_net(const struct net_config *is, const struct net_config *want)
{
	assert_int_equal(is->kind, want->kind);
	assert_memory_equal(is->mac, want->mac, sizeof(is->mac));
	assert_int_equal(is->mtu, want->mtu);
	assert_int_equal(is->restricted, want->restricted);
	assert_int_equal(is->host_loopback, want->host_loopback);
	assert_int_equal(is->in_process, want->in_process);
	assert_int_equal(is->queues, want->queues);
	assert_int_equal(is->vhost, want->vhost);
	assert_int_equal(is->num_fds, want->num_fds);
	assert_memory_equal(is->fds, want->fds, sizeof(is->fds));
	assert_same_text(is->ifname, want->ifname);
	assert_same_text(is->script, want->script);
	assert_int_equal(is->num_forwards, 0);
	assert_int_equal(is->dns.sa.sa_family, 0);
}

static void words(void **state)
{
	static const char *const options[] = {"-n", "-n ", "--net=", "--net "};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		struct config_line line;
		struct config config;
		char text[256];

		snprintf(text, sizeof(text), "%s%s", options[i % ARRAY_SIZE(options)],
			nets[i].value);
		config_line_ok(&config, &line, text);
		assert_int_equal(config.num_nets, 1);
		assert_net(&config.nets[0], &nets[i].net);
		config_destroy(&config);
	}
}

static void none(void **state)
{
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "");
	assert_int_equal(config.num_nets, 0);
	config_destroy(&config);
	config_line_ok(&config, &line, "-n user -n tap,ifname=x -n none");
	assert_int_equal(config.num_nets, 0);
	config_destroy(&config);
	/* The kernel gives each a name of its own. */
	config_line_ok(&config, &line, "-n tap,ifname=x%d -n tap,ifname=x%d");
	config_destroy(&config);
	config_line_ok(&config, &line, "-n none -n user -n none -n tap,ifname=y -n user");
	assert_int_equal(config.num_nets, 2);
	assert_string_equal(config.nets[0].ifname, "y");
	assert_int_equal(config.nets[1].kind, NET_USER);
	config_destroy(&config);
}

static const struct {
	const char *value;
	bool udp;
	const char *host;
	uint16_t host_port;
	const char *guest;
	uint16_t guest_port;
} forwards[] = {
	{"tcp:127.0.0.1:2222-:22", false, "127.0.0.1", 2222, "0.0.0.0", 22},
	{"tcp::2222-:22", false, "127.0.0.1", 2222, "0.0.0.0", 22},
	{"udp::1-:65535", true, "127.0.0.1", 1, "0.0.0.0", 65535},
	{"tcp:0.0.0.0:80-10.0.2.15:8080", false, "0.0.0.0", 80, "10.0.2.15", 8080},
	{"udp:192.0.2.1:53-10.0.2.77:53", true, "192.0.2.1", 53, "10.0.2.77", 53},
	{"tcp:[::1]:2222-:22", false, "::1", 2222, "::", 22},
	{"tcp::2222-[fec0::15]:22", false, "::1", 2222, "fec0::15", 22},
	{"tcp::0-:22", false, "127.0.0.1", 0, "0.0.0.0", 22},
	{"udp:[::1]:0-:22", true, "::1", 0, "::", 22},
	{"tcp:localhost:2222-:22", false, "127.0.0.1", 2222, "0.0.0.0", 22},
	{"udp:localhost:0-[fec0::15]:22", true, "::1", 0, "fec0::15", 22},
	{"tcp:[::]:2222-[fec0::1:2]:22", false, "::", 2222, "fec0::1:2", 22},
};

static void assert_address(const union net_address *is, const char *host, uint16_t port)
{
	const bool v6 = strchr(host, ':');
	char text[INET6_ADDRSTRLEN];

	assert_int_equal(is->sa.sa_family, v6 ? AF_INET6 : AF_INET);
	assert_int_equal(ntohs(v6 ? is->in6.sin6_port : is->in.sin_port), port);
	inet_ntop(is->sa.sa_family,
		v6 ? (const void *)&is->in6.sin6_addr : (const void *)&is->in.sin_addr, text,
		sizeof(text));
	assert_string_equal(text, host);
}

static void forwarded_ports(void **state)
{
	struct config_line line;
	struct config config;
	char text[1024] = "-n user";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forwards); i++) {
		strcat(text, ",hostfwd=");
		strcat(text, forwards[i].value);
	}
	config_line_ok(&config, &line, text);
	assert_int_equal(config.nets[0].num_forwards, ARRAY_SIZE(forwards));
	for (size_t i = 0; i < ARRAY_SIZE(forwards); i++) {
		const struct net_forward *fwd = &config.nets[0].forwards[i];

		assert_int_equal(fwd->udp, forwards[i].udp);
		assert_address(&fwd->host, forwards[i].host, forwards[i].host_port);
		assert_address(&fwd->guest, forwards[i].guest, forwards[i].guest_port);
	}
	config_destroy(&config);
}

static void name_servers(void **state)
{
	static const struct {
		const char *value, *host;
		uint16_t port;
	} cases[] = {
		{"192.0.2.53", "192.0.2.53", 53},
		{"127.0.0.1:5353", "127.0.0.1", 5353},
		{"2001:db8::53", "2001:db8::53", 53},
		{"::1", "::1", 53},
		{"[::1]", "::1", 53},
		{"[2001:db8::53]:5353", "2001:db8::53", 5353},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_line line;
		struct config config;
		char text[64];

		snprintf(text, sizeof(text), "-n dns=%s", cases[i].value);
		config_line_ok(&config, &line, text);
		assert_address(&config.nets[0].dns, cases[i].host, cases[i].port);
		config_destroy(&config);
	}
}

static void how_many(void **state)
{
	char text[2048] = "";
	struct config_line line;
	struct config config;

	(void)state;
	for (int i = 0; i < CONFIG_MAX_NETS; i++)
		strcat(text, "-n user ");
	config_line_ok(&config, &line, text);
	assert_int_equal(config.num_nets, CONFIG_MAX_NETS);
	config_destroy(&config);
	config_line_refused(strcat(text, "-n tap"), "--net: a machine has 8 network cards at most");

	strcpy(text, "-n user");
	for (int i = 0; i < CONFIG_MAX_FORWARDS; i++)
		sprintf(text + strlen(text), ",hostfwd=tcp::%d-:22", 2000 + i);
	config_line_ok(&config, &line, text);
	config_destroy(&config);
	config_line_refused(
		strcat(text, ",hostfwd=tcp::1-:1"), "hostfwd: a network has 32 of these at most");
	config_line_refused("-n tap,fd=3,fd=4,fd=5,fd=6,fd=7,fd=8,fd=9,fd=10,fd=11",
		"fd: a card has 8 of these at most");
}

/* They take places among the other virtio devices. */
static void places(void **state)
{
	static const struct {
		int disks, nets;
		const char *others;
		const char *refusal; /* NULL: it is taken */
	} cases[] = {
		{23, 8, "", NULL},
		{24, 8, "", "32 virtio devices: PCI has room for 31, --transport mmio for more"},
		{22, 8, "--rng", NULL},
		{23, 8, "--rng", "PCI has room for 31"},
		{32, 8, "--transport mmio", NULL},
		{31, 8, "--transport mmio --rng", NULL},
		{32, 8, "--transport mmio --rng", "41 virtio devices: MMIO has room for 40"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config_line line;
		struct config config;
		char text[1024] = "";

		for (int n = 0; n < cases[i].disks; n++)
			sprintf(text + strlen(text), "-d%d ", n);
		for (int n = 0; n < cases[i].nets; n++)
			strcat(text, "-nuser ");
		strcat(text, cases[i].others);
		if (cases[i].refusal) {
			config_line_refused(text, cases[i].refusal);
			continue;
		}
		config_line_ok(&config, &line, text);
		config_destroy(&config);
	}
}

static const struct {
	const char *text, *words;
} refusals[] = {
	{"-n", "--net needs a value: --net KIND[,...]"},
	{"--net=", "--net: '' is not one of user, tap, none"},
	{"-n usr", "--net: 'usr' is not one of user, tap, none (did you mean user?)"},
	{"-n USER", "is not one of"},
	{"-n user,", "--net: unknown option ''"},
	{"-n user,,", "'user,' is not one of"},
	{"-n none,mtu=1500", "--net: none takes no options"},
	{"-n none,", "--net: none takes no options"},
	{"-n user,mut=1500", "--net: unknown option 'mut' (did you mean mtu?)"},
	{"-n user,tap", "--net: unknown option 'tap'"},
	{"-n user=1", "--net: unknown option 'user'"},

	{"-n user,mac", "--net: mac needs a value: mac=..."},
	{"-n user,mac=", "--net: mac needs a value"},
	{"-n user,mac=02:00:00:00:00", "mac: '02:00:00:00:00' is not like 02:12:34:56:78:9a"},
	{"-n user,mac=02:00:00:00:00:0", "is not like"},
	{"-n user,mac=02:00:00:00:00:001", "is not like"},
	{"-n user,mac=02:00:00:00:00:01:02", "is not like"},
	{"-n user,mac=0x:00:00:00:00:01", "is not like"},
	{"-n user,mac=2:00:00:00:00:0011", "is not like"},
	{"-n user,mac=02-00-00-00-00-01", "is not like"},
	{"-n user,mac=02:00:00:00:00:0g", "is not like"},
	{"-n user,mac=+2:00:00:00:00:01", "is not like"},
	{"-n user,mac=~2:00:00:00:00:01", "is not like"},
	{"-n user,mac=03:00:00:00:00:01",
		"mac: '03:00:00:00:00:01' is not a valid unicast address"},
	{"-n user,mac=ff:ff:ff:ff:ff:ff", "is not a valid unicast address"},
	{"-n user,mac=00:00:00:00:00:00", "is not a valid unicast address"},
	{"-n user,mac=02:00:00:00:00:01 -n tap,mac=02:00:00:00:00:01",
		"--net: two network cards have the same mac"},

	{"-n user,mtu=1279", "--net: mtu: '1279' is not a number from 1280 to 21880"},
	{"-n user,mtu=21881", "is not a number from 1280 to 21880"},
	{"-n tap,mtu=67", "--net: mtu: '67' is not a number from 68 to 65535"},
	{"-n tap,mtu=65536", "is not a number from 68 to 65535"},
	{"-n tap,mtu=67108932", "is not a number"}, /* 68 modulo 65536 */
	{"-n user,mtu=big", "is not a number"},
	{"-n user,mtu", "--net: mtu needs a value"},

	{"-n tap,hostfwd=tcp::1-:1", "--net: hostfwd goes with user only"},
	{"-n tap,dns=192.0.2.1", "--net: dns goes with user only"},
	{"-n tap,restrict", "--net: restrict goes with user only"},
	{"-n tap,host-loopback", "--net: host-loopback goes with user only"},
	{"-n tap,apart=on", "--net: apart goes with user only"},
	{"-n user,apart", "--net: apart needs a value"},
	{"-n user,apart=maybe", "--net: apart"},
	{"-n user,hostfwd", "--net: hostfwd needs a value"},
	{"-n user,hostfwd=2222-:22", "--net: hostfwd: '2222-:22' is not like tcp:127.0.0.1:2222-"},
	{"-n user,hostfwd=sctp::2222-:22", "is not like"},
	{"-n user,hostfwd=tcp::2222", "is not like"},
	{"-n user,hostfwd=tcp:2222-22", "is not like"},
	{"-n user,hostfwd=tcp::2222-22", "is not like"},
	{"-n user,hostfwd=tcp::2222-:", "is not like"},
	{"-n user,hostfwd=tcp::-:22", "is not like"},
	{"-n user,hostfwd=tcp:-:22", "is not like"},
	{"-n user,hostfwd=tcp::00x-:22", "is not like"},
	{"-n user,hostfwd=tcp::2222-:0", "is not like"},
	{"-n user,hostfwd=tcp::65536-:22", "is not like"},
	{"-n user,hostfwd=tcp::67758-:22", "is not like"},
	{"-n user,hostfwd=tcp::2222-:22-:23", "is not like"},
	{"-n user,hostfwd=tcp:localhost-:22", "is not like"},
	{"-n user,hostfwd=tcp:localhos:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:localhost:-:22", "is not like"},
	{"-n user,hostfwd=tcp::2222-localhost:22", "is not like"},
	{"-n user,hostfwd=tcp:127.1:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:::1:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:[:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:]:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:[]:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:[127.0.0.1]:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:[::1:2222-:22", "is not like"},
	{"-n user,hostfwd=tcp:127.0.0.1:2222-[fec0::15]:22", "is not like"},
	{"-n user,hostfwd=tcp:[::1]:2222-10.0.2.15:22", "is not like"},
	{"-n user,dns=", "--net: dns needs a value"},
	{"-n user,dns=localhost", "--net: dns: 'localhost' is not an IP address"},
	{"-n user,dns=192.0.2.1:0", "is not an IP address, or one with a port"},
	{"-n user,dns=0.0.0.0", "is not an IP address"},
	{"-n user,dns=:53", "is not an IP address"},
	{"-n user,dns=[::]:53", "is not an IP address"},
	{"-n user,dns=::", "is not an IP address"},
	{"-n user,dns=[::1]:0", "is not an IP address"},
	{"-n user,dns=[::1]x", "is not an IP address"},
	{"-n user,dns=[::1", "is not an IP address"},
	{"-n user,dns=fe80::1", "is not an IP address"},
	{"-n user,dns=fe80::1%lo", "is not an IP address"},
	{"-n user,dns=2001:db8::53:", "is not an IP address"},
	{"-n user,restrict=on", "--net: restrict takes no value"},
	{"-n user,restrict,dns=192.0.2.1", "--net: restrict keeps the guest from everything; dns"},
	{"-n user,host-loopback,restrict", "everything; host-loopback does not go with it"},

	{"-n user,ifname=tap0", "--net: ifname goes with tap only"},
	{"-n user,script=x", "--net: script goes with tap only"},
	{"-n user,queues=2", "--net: queues goes with tap only"},
	{"-n user,fd=3", "--net: fd goes with tap only"},
	{"-n tap,ifname=", "--net: ifname needs a value"},
	{"-n tap,ifname=sixteen..letters", "ifname: 'sixteen..letters' is longer than 15"},
	{"-n tap,queues=0", "--net: queues: '0' is not a number from 1 to 8"},
	{"-n tap,queues=9", "--net: queues: '9' is not a number from 1 to 8"},
	{"-n user,vhost=on", "--net: vhost goes with tap only"},
	{"-n tap,vhost", "--net: vhost needs a value"},
	{"-n tap,vhost=yes", "--net: vhost: 'yes' is not one of on, off"},
	{"-n tap,fd=-1", "--net: fd: '-1' is not a file descriptor number"},
	{"-n tap,fd=2147483648", "is not a file descriptor number"},
	{"-n tap,fd=3,ifname=tap0", "--net: fd: a tap that is open has its name and its queues; "
				    "leave ifname out"},
	{"-n tap,queues=2,fd=3", "leave queues out"},
	{"-n tap,fd=3 -n tap,fd=4,fd=3", "--net: two network cards have the same fd"},
	{"-n tap,ifname=a -n user -n tap,ifname=a", "two network cards have the same ifname"},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		config_line_refused(refusals[i].text, refusals[i].words);
}

/* The same for the same card, and another one for each other. */
static void addresses(void **state)
{
	static const struct {
		const char *host, *vm, *interface;
		unsigned int index;
	} cards[] = {
		{NULL, NULL, NULL, 0},
		{NULL, NULL, NULL, 1},
		{"a", NULL, NULL, 0},
		{NULL, "a", NULL, 0},
		{NULL, NULL, "a", 0},
		{"a", "b", NULL, 0},
		{"ab", NULL, NULL, 0},
		{NULL, "ab", NULL, 0},
		{"a", "b", "tap0", 7},
		{"a", "b", "tap1", 7},
	};
	uint8_t macs[ARRAY_SIZE(cards)][6], again[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cards); i++) {
		net_mac_make(
			cards[i].host, cards[i].vm, cards[i].interface, cards[i].index, macs[i]);
		net_mac_make(cards[i].host, cards[i].vm, cards[i].interface, cards[i].index, again);
		assert_memory_equal(macs[i], again, 6);
		assert_int_equal(macs[i][0], 0x02);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(macs[i], macs[j], 6);
	}
	net_mac_make("", "", "", 0, again);
	assert_memory_equal(macs[0], again, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(none),
		cmocka_unit_test(forwarded_ports),
		cmocka_unit_test(name_servers),
		cmocka_unit_test(how_many),
		cmocka_unit_test(places),
		cmocka_unit_test(refused),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
