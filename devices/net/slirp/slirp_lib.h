/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_LIB_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_LIB_H

#include <slirp/libslirp.h>

struct error;

/*
 * libslirp's functions, by their own names. The library, and glib below it, is opened for the first
 * user network: every start would pay for it otherwise. It stays open until the process ends.
 */
struct slirp_lib {
	__typeof__(slirp_new) *new;
	__typeof__(slirp_cleanup) *cleanup;
	__typeof__(slirp_input) *input;
	__typeof__(slirp_pollfds_fill) *pollfds_fill;
	__typeof__(slirp_pollfds_poll) *pollfds_poll;
	__typeof__(slirp_add_hostxfwd) *add_hostxfwd;
};

/* -ENOTSUP with a line in the static build, which cannot open it. */
int slirp_lib_check(struct error *err);
/* Likewise; -ELIBACC when it is not installed, -ELIBBAD when it is too old, with a line. */
int slirp_lib_open(struct slirp_lib *lib, struct error *err);

#endif
