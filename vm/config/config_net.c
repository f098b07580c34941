/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * [KIND][,key[=value]]...: without a kind, which a first word with a value shows, it is user. The
 * text is copied once and cut in place; names in the config point into that copy.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/config/config.h"
#include "vm/core/error.h"

/* Longer than [IPv6]:PORT-[IPv6]:PORT can be */
enum { ENDPOINTS_TEXT = 256 };

static int only(
	const struct net_config *net, enum net_kind kind, const char *key, struct error *err)
{
	if (net->kind == kind)
		return 0;
	return error_set(err, -EINVAL, "--net: %s goes with %s only", key,
		option_spec(OPT_NET)->choices[kind]);
}

/* ---- keys of both ---- */

static int set_mac(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	uint8_t *mac = net->mac;
	int end = 0;

	if (strspn(value, "0123456789abcdefABCDEF:") != strlen(value) ||
		sscanf(value, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
			&mac[3], &mac[4], &mac[5], &end) != 6 ||
		value[end] || end != 17)
		return error_set(
			err, -EINVAL, "--net: mac: '%s' is not like 02:12:34:56:78:9a", value);
	if (mac[0] & 1 || !memcmp(mac, "\0\0\0\0\0\0", 6))
		return error_set(err, -EINVAL,
			"--net: mac: '%s' is not a valid unicast address (even first byte, not all "
			"zeros)",
			value);
	return 0;
}

static int set_id(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;

	return config_parse_id("--net", value, &net->id, err);
}

static int set_mtu(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	const unsigned int min = net->kind == NET_USER ? NET_SLIRP_MIN_MTU : CONFIG_MIN_MTU;
	const unsigned int max = net->kind == NET_USER ? NET_SLIRP_MTU : UINT16_MAX;
	uint64_t n;

	if (config_parse_number(value, &n) || n < min || n > max)
		return error_set(err, -EINVAL, "--net: mtu: '%s' is not a number from %u to %u",
			value, min, max);
	net->mtu = (uint16_t)n;
	return 0;
}

/* ---- keys of user ---- */

/* A number of min to 65535, in network order. */
static bool parse_port(const char *text, uint16_t min, in_port_t *ret)
{
	uint64_t n;

	if (config_parse_number(text, &n) || n < min || n > UINT16_MAX)
		return false;
	*ret = htons((uint16_t)n);
	return true;
}

/*
 * [ADDRESS]:PORT, cut in place, IPv6 in brackets; PORT is min_port or more. Without an address the
 * family is left as 0.
 */
static bool parse_endpoint(char *text, uint16_t min_port, union net_address *ret)
{
	char *colon = strrchr(text, ':');
	size_t len;

	*ret = (union net_address){0};
	if (!colon)
		return false;
	*colon = '\0';
	len = strlen(text);
	/* At the same place in both families */
	if (!parse_port(colon + 1, min_port, &ret->in.sin_port))
		return false;
	if (*text == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		ret->sa.sa_family = AF_INET6;
		if (inet_pton(AF_INET6, text + 1, &ret->in6.sin6_addr) != 1)
			return false;
	} else if (*text) {
		ret->sa.sa_family = AF_INET;
		if (inet_pton(AF_INET, text, &ret->in.sin_addr) != 1)
			return false;
	}
	return true;
}

/* What was left out: the host's loopback, and the guest's own address. */
static bool complete(struct net_forward *fwd)
{
	const sa_family_t host = fwd->host.sa.sa_family, guest = fwd->guest.sa.sa_family;
	const sa_family_t family = host ? host : guest ? guest : AF_INET;

	if (host && guest && host != guest)
		return false;
	if (!host && family == AF_INET)
		fwd->host.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (!host)
		fwd->host.in6.sin6_addr = in6addr_loopback;
	fwd->host.sa.sa_family = fwd->guest.sa.sa_family = family;
	return true;
}

/* The host's loopback, of whichever family the guest's address is, is what complete() adds. */
static char *skip_localhost(char *text)
{
	static const char name[] = "localhost:";

	return strncmp(text, name, sizeof(name) - 1) ? text : text + sizeof(name) - 2;
}

static bool parse_forward(const char *value, struct net_forward *fwd)
{
	char text[ENDPOINTS_TEXT], *dash;

	fwd->udp = !strncmp(value, "udp:", 4);
	if (!fwd->udp && strncmp(value, "tcp:", 4))
		return false;
	if ((size_t)snprintf(text, sizeof(text), "%s", value + 4) >= sizeof(text))
		return false;
	dash = strchr(text, '-');
	if (!dash)
		return false;
	*dash = '\0';
	return parse_endpoint(skip_localhost(text), 0, &fwd->host) &&
	       parse_endpoint(dash + 1, 1, &fwd->guest) && complete(fwd);
}

static int set_hostfwd(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	int rc = only(net, NET_USER, "hostfwd", err);

	if (rc)
		return rc;
	if (net->num_forwards == CONFIG_MAX_FORWARDS)
		return error_set(err, -EINVAL, "--net: hostfwd: a network has %d of these at most",
			CONFIG_MAX_FORWARDS);
	if (!parse_forward(value, &net->forwards[net->num_forwards++]))
		return error_set(err, -EINVAL,
			"--net: hostfwd: '%s' is not like tcp:127.0.0.1:2222-:22, or "
			"udp:[::1]:5353-[fec0::15]:53",
			value);
	return 0;
}

/* A link-local address says nothing without an interface, which it cannot be given here. */
static bool is_server(const union net_address *dns)
{
	const struct in6_addr *in6 = &dns->in6.sin6_addr;

	if (dns->sa.sa_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(in6) && !IN6_IS_ADDR_LINKLOCAL(in6);
	return dns->sa.sa_family == AF_INET && dns->in.sin_addr.s_addr != INADDR_ANY;
}

/* A port of 53 may be left out, and then the brackets, too. */
static bool parse_server(const char *value, union net_address *dns)
{
	char text[ENDPOINTS_TEXT];
	struct in6_addr in6;
	const bool bare = inet_pton(AF_INET6, value, &in6) == 1;
	const bool has_port = !bare && (*value == '[' ? strstr(value, "]:") : strchr(value, ':'));

	if ((size_t)snprintf(text, sizeof(text), "%s%s%s%s", bare ? "[" : "", value,
		    bare ? "]" : "", has_port ? "" : ":53") >= sizeof(text))
		return false;
	return parse_endpoint(text, 1, dns) && is_server(dns);
}

static int set_dns(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	int rc = only(net, NET_USER, "dns", err);

	if (rc)
		return rc;
	if (!parse_server(value, &net->dns))
		return error_set(err, -EINVAL,
			"--net: dns: '%s' is not an IP address, or one with a port", value);
	return 0;
}

static int set_restrict(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;

	(void)value;
	net->restricted = true;
	return only(net, NET_USER, "restrict", err);
}

static int set_host_loopback(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;

	(void)value;
	net->host_loopback = true;
	return only(net, NET_USER, "host-loopback", err);
}

static int set_apart(void *opaque, const char *value, struct error *err)
{
	static const char *const words[] = {"on", "off", NULL};
	struct net_config *net = opaque;
	int r = config_parse_word("--net: apart", value, words, err);

	if (r < 0)
		return r;
	net->in_process = r;
	return only(net, NET_USER, "apart", err);
}

/* ---- keys of tap ---- */

static int set_ifname(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;

	if (strlen(value) >= IFNAMSIZ)
		return error_set(err, -EINVAL, "--net: ifname: '%s' is longer than %d characters",
			value, IFNAMSIZ - 1);
	net->ifname = value;
	return only(net, NET_TAP, "ifname", err);
}

static int set_script(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;

	if (!strcmp(value, "no"))
		return error_set(err, -EINVAL,
			"--net: script: 'no' (here: none, or leave it out; a file of that name is "
			"./no)");
	net->script = strcmp(value, "none") != 0 ? value : NULL;
	return only(net, NET_TAP, "script", err);
}

static int set_queues(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	uint64_t n;

	if (config_parse_number(value, &n) || n < 1 || n > CONFIG_MAX_NET_QUEUES)
		return error_set(err, -EINVAL, "--net: queues: '%s' is not a number from 1 to %d",
			value, CONFIG_MAX_NET_QUEUES);
	net->queues = (unsigned int)n;
	return only(net, NET_TAP, "queues", err);
}

static int set_fd(void *opaque, const char *value, struct error *err)
{
	struct net_config *net = opaque;
	uint64_t n;

	if (config_parse_number(value, &n) || n > INT32_MAX)
		return error_set(
			err, -EINVAL, "--net: fd: '%s' is not a file descriptor number", value);
	if (net->num_fds == CONFIG_MAX_NET_QUEUES)
		return error_set(err, -EINVAL, "--net: fd: a card has %d of these at most",
			CONFIG_MAX_NET_QUEUES);
	net->fds[net->num_fds++] = (int)n;
	return only(net, NET_TAP, "fd", err);
}

static int set_vhost(void *opaque, const char *value, struct error *err)
{
	static const char *const words[] = {"on", "off", NULL};
	struct net_config *net = opaque;
	int r = config_parse_word("--net: vhost", value, words, err);

	if (r < 0)
		return r;
	net->vhost = r ? NET_VHOST_OFF : NET_VHOST_ON;
	return only(net, NET_TAP, "vhost", err);
}

static const struct config_key net_keys[] = {
	{"mac", true, set_mac},
	{"mtu", true, set_mtu},
	{"id", true, set_id},
	{"hostfwd", true, set_hostfwd},
	{"dns", true, set_dns},
	{"restrict", false, set_restrict},
	{"host-loopback", false, set_host_loopback},
	{"apart", true, set_apart},
	{"ifname", true, set_ifname},
	{"script", true, set_script},
	{"queues", true, set_queues},
	{"fd", true, set_fd},
	{"vhost", true, set_vhost},
};

int config_parse_net(const char *value, struct net_config *net, struct error *err)
{
	char *rest, *part;
	int rc = 0;

	*net = (struct net_config){.kind = NET_USER, .copy = strdup(value)};
	rest = net->copy;
	if (!net->copy)
		return error_set_errno(err, -ENOMEM, "--net");
	part = config_next_part(&rest);
	if (!strchr(part, '=')) {
		rc = config_parse_word("--net", part, option_spec(OPT_NET)->choices, err);
		if (rc < 0)
			return rc;
		net->kind = (enum net_kind)rc;
		part = config_next_part(&rest);
		if (part && net->kind == NET_NONE)
			return error_set(err, -EINVAL, "--net: none takes no options");
	}
	for (rc = 0; part && !rc; part = config_next_part(&rest)) {
		rc = limit_parse("--net", part, true, net->limits, err);
		if (rc)
			rc = MIN(rc, 0);
		else
			rc = config_set_key(
				"--net", part, net_keys, ARRAY_SIZE(net_keys), net, "", err);
	}
	for (enum limit_direction d = 0; !rc && d < LIMIT_MAX_DIRECTIONS; d++)
		rc = limit_check("--net", &net->limits[d], err);
	return rc;
}

void config_net_slirp(const struct net_config *net, struct net_slirp_config *ret)
{
	*ret = (struct net_slirp_config){
		.forwards = net->forwards,
		.num_forwards = net->num_forwards,
		.dns = net->dns,
		.restricted = net->restricted,
		.host_loopback = net->host_loopback,
		.mtu = net->mtu,
	};
}
