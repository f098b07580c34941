/* SPDX-License-Identifier: BSD-2-Clause */
/* What a back end owes a peer that is there, whatever it is connected by. */
#ifndef TESTS_PEER_CASES_H
#define TESTS_PEER_CASES_H

#include "char_fixture.h"

/* Every byte arrives, in both directions. fd is the peer's. */
void peer_check_both_ways(struct char_fixture *fix, int fd);

/*
 * The peer reads nothing: what waits for it is bounded, and after a while output is dropped, of
 * which 500 bytes are. Returns how many bytes wait, in the back end and in the kernel.
 */
size_t peer_check_stopped_reader(struct char_fixture *fix);

/* It reads nothing, and leaves while the front end waits for tx_ready. Closes fd. */
void peer_check_leaving(struct char_fixture *fix, int fd);

#endif
