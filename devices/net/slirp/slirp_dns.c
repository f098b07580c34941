/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slirp_filter.h"
#include "vm/core/clock.h"

/* Resolvers ask again after some seconds; most answers take less than one. */
#define PATIENCE_NS NSEC_PER_SEC
/* So often the file is looked at, when there are questions. */
#define LOOK_NS NSEC_PER_SEC

enum { FILE_SIZE = 4096, NAME_SIZE = 64 };

static const char resolv_conf[] = "/etc/resolv.conf";

/* ---- the list ---- */

static size_t address_size(bool v6)
{
	return v6 ? 16 : 4;
}

static void add(struct slirp_dns *dns, bool v6, bool alias, const void *address, uint16_t port)
{
	struct slirp_dns_server *server = &dns->servers[dns->num];

	if (dns->num == SLIRP_DNS_SERVERS)
		return;
	*server = (struct slirp_dns_server){.v6 = v6, .alias = alias, .port = port};
	memcpy(server->address, address, address_size(v6));
	dns->num++;
}

/* The first of a family is libslirp's own, which also knows its scope. */
static void add_name(struct slirp_dns *dns, bool v6, const char *name, bool first)
{
	static const uint8_t alias4[4] = {10, 0, 2, 3}, alias6[16] = SLIRP_DNS6;
	uint8_t address[16];

	if (first && !dns->read)
		add(dns, v6, true, v6 ? alias6 : alias4, SLIRP_DNS_PORT);
	else if (inet_pton(v6 ? AF_INET6 : AF_INET, name, address) == 1)
		add(dns, v6, false, address, SLIRP_DNS_PORT);
}

/* The name in a line "nameserver NAME", without what is behind a "%"; "": another line. */
static void name_of(const char *line, size_t len, char name[NAME_SIZE])
{
	static const char word[] = "nameserver";
	size_t at = sizeof(word) - 1, n;

	name[0] = '\0';
	if (len <= at || memcmp(line, word, at) || !strchr(" \t", line[at]))
		return;
	at += strspn(line + at, " \t");
	n = strcspn(line + at, " \t\r\n");
	if (at + n > len || n >= NAME_SIZE)
		return;
	memcpy(name, line + at, n);
	name[n] = '\0';
}

static bool is_of(bool v6, const char *name)
{
	char bare[NAME_SIZE];
	uint8_t address[16];

	memcpy(bare, name, NAME_SIZE);
	bare[strcspn(bare, "%")] = '\0';
	return inet_pton(v6 ? AF_INET6 : AF_INET, bare, address) == 1;
}

static void add_family(struct slirp_dns *dns, bool v6, const char *text)
{
	bool first = true;

	for (const char *line = text; *line; line += strspn(line, "\n")) {
		const size_t len = strcspn(line, "\n");
		char name[NAME_SIZE];

		name_of(line, len, name);
		if (is_of(v6, name)) {
			add_name(dns, v6, name, first);
			first = false;
		}
		line += len;
	}
}

void slirp_dns_parse(struct slirp_dns *dns, const char *text)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};

	memset(dns->servers, 0, sizeof(dns->servers));
	dns->num = dns->current = 0;
	dns->asking = false;
	add_family(dns, false, text);
	add_family(dns, true, text);
	if (!dns->num)
		add(dns, false, false, loopback, SLIRP_DNS_PORT);
}

/* ---- the file ---- */

static void read_file(struct slirp_dns *dns)
{
	const int fd = open(resolv_conf, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char text[FILE_SIZE];
	const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[MAX(n, 0)] = '\0';
	if (fd >= 0)
		close(fd);
	slirp_dns_parse(dns, text);
}

/* The answered and the silent start anew only with a list that is another one. */
static void have_it_read(struct slirp_dns *dns)
{
	char text[FILE_SIZE];
	struct slirp_dns now = *dns;

	text[dns->read(dns->read_opaque, text, sizeof(text) - 1)] = '\0';
	slirp_dns_parse(&now, text);
	if (now.num != dns->num || memcmp(now.servers, dns->servers, sizeof(now.servers)))
		*dns = now;
}

static void look(struct slirp_dns *dns)
{
	const uint64_t now = clock_monotonic_ns(dns->clock);
	struct stat st = {0};

	if (dns->num && now - dns->looked_ns < LOOK_NS)
		return;
	dns->looked_ns = now;
	if (dns->read) {
		have_it_read(dns);
		return;
	}
	/* Inside the sandbox: what was there before holds. */
	if (stat(resolv_conf, &st) < 0 && errno == EACCES && dns->num)
		return;
	if (!st.st_ino)
		st = (struct stat){0};
	if (dns->num && !memcmp(&st.st_mtim, &dns->changed, sizeof(dns->changed)))
		return;
	dns->changed = st.st_mtim;
	read_file(dns);
}

void slirp_dns_init(
	struct slirp_dns *dns, const struct clock *clock, const union net_address *given)
{
	const bool v6 = given && given->sa.sa_family == AF_INET6;

	*dns = (struct slirp_dns){.clock = clock};
	if (!given || !given->sa.sa_family) {
		look(dns);
		return;
	}
	dns->given = true;
	/* The port is at the same place in both. */
	add(dns, v6, false,
		v6 ? (const void *)&given->in6.sin6_addr : (const void *)&given->in.sin_addr,
		ntohs(given->in.sin_port));
}

void slirp_dns_init_read(struct slirp_dns *dns, const struct clock *clock,
	size_t (*read)(void *opaque, char *text, size_t size), void *opaque)
{
	*dns = (struct slirp_dns){.clock = clock, .read = read, .read_opaque = opaque};
	look(dns);
}

/* ---- asking ---- */

/* Once round at most: v6 guests are not led to IPv4 servers. */
static const struct slirp_dns_server *pick(const struct slirp_dns *dns, bool v6)
{
	for (unsigned int i = 0; i < dns->num; i++) {
		const struct slirp_dns_server *server =
			&dns->servers[(dns->current + i) % dns->num];

		if (server->v6 || !v6)
			return server;
	}
	return NULL;
}

const struct slirp_dns_server *slirp_dns_ask(struct slirp_dns *dns, bool v6, bool datagram)
{
	const struct slirp_dns_server *server;
	uint64_t now;

	if (!dns->given)
		look(dns);
	server = pick(dns, v6);
	if (!server || !datagram)
		return server;
	now = clock_monotonic_ns(dns->clock);
	if (dns->asking && now - dns->asked_ns >= PATIENCE_NS) {
		dns->current = (unsigned int)(server - dns->servers + 1) % dns->num;
		dns->asking = false;
		server = pick(dns, v6);
	}
	if (!dns->asking)
		dns->asked_ns = now;
	dns->asking = true;
	return server;
}

const struct slirp_dns_server *slirp_dns_find(
	const struct slirp_dns *dns, bool v6, const uint8_t *address, uint16_t port)
{
	for (unsigned int i = 0; i < dns->num; i++)
		if (dns->servers[i].v6 == v6 && dns->servers[i].port == port &&
			!memcmp(dns->servers[i].address, address, address_size(v6)))
			return &dns->servers[i];
	return NULL;
}

/* A late answer of one that was left says nothing about who is asked now. */
void slirp_dns_answered(struct slirp_dns *dns, const struct slirp_dns_server *server)
{
	if (server == pick(dns, server->v6))
		dns->asking = false;
}

void slirp_dns_failed(struct slirp_dns *dns, const struct slirp_dns_server *server)
{
	if (server != pick(dns, server->v6))
		return;
	dns->current = (unsigned int)(server - dns->servers + 1) % dns->num;
	dns->asking = false;
}
