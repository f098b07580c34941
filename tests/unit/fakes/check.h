/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_TESTS_UNIT_CHECK_H
#define BANTAM_TESTS_UNIT_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/*
 * What must hold whatever the input was, in fuzz drivers and in fakes that they share with the unit
 * tests. Unlike assert() it is never compiled out.
 */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
