/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests of a device at ports have in common, whatever else is in their fixture. Include it
 * behind the definitions of
 *
 *	struct fixture	which has a struct fake_machine machine
 *	GSI		the device's interrupt line
 */
#ifndef TESTS_PORT_RIG_H
#define TESTS_PORT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakes/port_ops.h"

/* All zero but for the machine. */
static inline struct fixture *fixture_create(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fake_machine_create(&f->machine);
	return f;
}

/* The device is destroyed already, and none of its timers has outlived it. */
static inline void fixture_destroy(struct fixture *f)
{
	assert_int_equal(fake_clock_armed(&f->machine.clock), 0);
	fake_machine_destroy(&f->machine);
	free(f);
}

static inline uint8_t in(struct fixture *f, uint16_t port)
{
	return fake_machine_in(&f->machine, port);
}

static inline void out(struct fixture *f, uint16_t port, uint8_t value)
{
	fake_machine_out(&f->machine, port, value);
}

static inline bool irq(const struct fixture *f)
{
	return f->machine.lines[GSI].level;
}

#define RUN(f, table) PORT_OPS_RUN(&(f)->machine, GSI, table)

#endif
