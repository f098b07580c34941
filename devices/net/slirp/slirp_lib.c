/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_lib.h"

#include <errno.h>

#include "devices/net/net.h"
#include "vm/core/error.h"
#include "vm/core/library.h"

#ifdef BANTAM_STATIC
/* Debian has neither libslirp nor glib as an archive. */
void net_slirp_load(void)
{
}

int slirp_lib_check(struct error *err)
{
	return error_set(err, -ENOTSUP,
		"user network: this static build has no libslirp; use a tap (-n tap)");
}

int slirp_lib_open(struct slirp_lib *lib, struct error *err)
{
	(void)lib;
	return slirp_lib_check(err);
}
#else
static const char name[] = "libslirp.so.0";

void net_slirp_load(void)
{
	LIBRARY_OPEN(name);
}

int slirp_lib_check(struct error *err)
{
	(void)err;
	return 0;
}

int slirp_lib_open(struct slirp_lib *lib, struct error *err)
{
	void *library = LIBRARY_OPEN(name);

	if (!library)
		return error_set(err, -ELIBACC,
			"user network: needs %s, which is not installed (Debian: apt install "
			"libslirp0)",
			name);
	lib->new = LIBRARY_SYMBOL(library, slirp_new);
	lib->cleanup = LIBRARY_SYMBOL(library, slirp_cleanup);
	lib->input = LIBRARY_SYMBOL(library, slirp_input);
	lib->pollfds_fill = LIBRARY_SYMBOL(library, slirp_pollfds_fill);
	lib->pollfds_poll = LIBRARY_SYMBOL(library, slirp_pollfds_poll);
	lib->add_hostxfwd = LIBRARY_SYMBOL(library, slirp_add_hostxfwd);
	if (lib->new && lib->cleanup && lib->input && lib->pollfds_fill && lib->pollfds_poll &&
		lib->add_hostxfwd)
		return 0;
	return error_set(
		err, -ELIBBAD, "user network: %s is older than 4.7, which is required", name);
}
#endif
