/* SPDX-License-Identifier: BSD-2-Clause */
/* --gdb unix:PATH|tcp:[ADDRESS:]PORT[,wait] */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config_private.h"
#include "vm/core/error.h"

static int set_wait(void *opaque, const char *value, struct error *err)
{
	struct gdb_where *where = opaque;

	(void)value, (void)err;
	where->wait = true;
	return 0;
}

/* "PORT", "127.0.0.1:PORT" or "[::1]:PORT", cut in place. */
static bool parse_address(char *text, union net_address *ret)
{
	char *colon = strrchr(text, ':'), *end;
	const char *port = colon ? colon + 1 : text;
	uint64_t number;

	if (config_parse_number(port, &number) || !number || number > UINT16_MAX)
		return false;
	*ret = (union net_address){.in = {.sin_family = AF_INET,
					   .sin_port = htons((uint16_t)number),
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	if (!colon)
		return true;
	*colon = '\0';
	if (*text != '[')
		return inet_pton(AF_INET, text, &ret->in.sin_addr) == 1;
	end = strchr(text, ']');
	if (!end || end[1])
		return false;
	*end = '\0';
	*ret = (union net_address){
		.in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)}};
	return inet_pton(AF_INET6, text + 1, &ret->in6.sin6_addr) == 1;
}

static bool is_open(const union net_address *address)
{
	if (address->sa.sa_family == AF_INET6)
		return !IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
	return ntohl(address->in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
}

static int parse_place(struct gdb_where *where, char *text, const char *value, struct error *err)
{
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (!strncmp(text, "unix:", 5)) {
		where->kind = GDB_ON_UNIX;
		where->path = text + 5;
		if (!*where->path || strlen(where->path) > max)
			return error_set(err, -EINVAL,
				"--gdb: a socket's path has 1 to %zu bytes: '%s'", max,
				where->path);
		return 0;
	}
	where->kind = GDB_ON_TCP;
	if (strncmp(text, "tcp:", 4) != 0 || !parse_address(text + 4, &where->address))
		return error_set(err, -EINVAL,
			"--gdb: '%s' is not unix:PATH or tcp:[ADDRESS:]PORT, with a port from 1 to "
			"65535 and a numeric address",
			value);
	where->is_open = is_open(&where->address);
	return 0;
}

int config_set_gdb(struct config *config, const char *value, struct error *err)
{
	static const struct config_key keys[] = {{"wait", false, set_wait}};
	struct gdb_where *where = &config->gdb;
	char *rest, *part;
	int rc;

	free(where->copy);
	*where = (struct gdb_where){.copy = strdup(value)};
	rest = where->copy;
	if (!rest)
		return error_set_errno(err, -ENOMEM, "--gdb");
	rc = parse_place(where, config_next_part(&rest), value, err);
	while (!rc && (part = config_next_part(&rest)))
		rc = config_set_key("--gdb", part, keys, ARRAY_SIZE(keys), where,
			" (a comma in the path is written twice)", err);
	return rc;
}
