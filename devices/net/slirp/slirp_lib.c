/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_lib.h"

#include <dlfcn.h>
#include <errno.h>

#include "devices/net/net.h"
#include "vm/core/error.h"

static const char name[] = "libslirp.so.0";

void net_slirp_load(void)
{
	dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

int slirp_lib_open(struct slirp_lib *lib, struct error *err)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return error_set(err, -ELIBACC,
			"user network: needs %s, which is not installed (Debian: apt install "
			"libslirp0)",
			name);
	lib->new = dlsym(library, "slirp_new");
	lib->cleanup = dlsym(library, "slirp_cleanup");
	lib->input = dlsym(library, "slirp_input");
	lib->pollfds_fill = dlsym(library, "slirp_pollfds_fill");
	lib->pollfds_poll = dlsym(library, "slirp_pollfds_poll");
	lib->add_hostxfwd = dlsym(library, "slirp_add_hostxfwd");
	if (lib->new && lib->cleanup && lib->input && lib->pollfds_fill && lib->pollfds_poll &&
		lib->add_hostxfwd)
		return 0;
	return error_set(
		err, -ELIBBAD, "user network: %s is older than 4.7, which is required", name);
}
