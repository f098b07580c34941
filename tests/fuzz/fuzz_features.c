/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --cpu lists, and the names and versions that "did you mean" and the search for a kernel compare:
 * a list that is accepted, written out by the table's names, is accepted and means the same; the
 * two orders are symmetric.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vcpu/cpuid/features.h"
#include "vm/config/kernel_find.h"
#include "vm/core/error.h"
#include "vm/core/suggest.h"

#include "../unit/fakes/check.h"

enum { INPUT_SIZE = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void check_orders(const char *a, const char *b)
{
	int r = kernel_version_compare(a, b);

	CHECK(sign(r) == -sign(kernel_version_compare(b, a)));
	CHECK(!kernel_version_compare(a, a));
	CHECK(suggest_distance(a, b) == suggest_distance(b, a));
	CHECK(suggest_distance(a, a) == (strlen(a) > 31 ? UINT32_MAX : 0));
}

static void check_changes(const struct cpu_changes *changes)
{
	struct cpu_changes again;
	char text[CPU_MAX_CHANGES * 40] = "host";

	CHECK(changes->num <= CPU_MAX_CHANGES);
	for (size_t i = 0; i < changes->num; i++)
		sprintf(text + strlen(text), ",%c%s", changes->change[i].on ? '+' : '-',
			changes->change[i].feature.name);
	CHECK(!cpu_features_parse(text, &again, NULL) && again.num == changes->num);
	for (size_t i = 0; i < changes->num; i++)
		CHECK(changes->change[i].feature.name == again.change[i].feature.name &&
			changes->change[i].on == again.change[i].on);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpu_changes changes = {.num = 1234};
	struct error err = {""};
	char text[INPUT_SIZE + 1];
	const char *second;
	int r;

	size = MIN(size, (size_t)INPUT_SIZE);
	memcpy(text, data, size);
	text[size] = '\0';
	second = text + strlen(text) < text + size ? text + strlen(text) + 1 : "";

	r = cpu_features_parse(text, &changes, &err);
	if (r) {
		CHECK(r == -EINVAL && changes.num == 1234);
		CHECK(*err.text && !strpbrk(err.text, "\n\r\033"));
	} else {
		check_changes(&changes);
	}
	check_orders(text, second);
	return 0;
}
