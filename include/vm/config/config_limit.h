/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits of disks and cards as people write them: how much in a second, how much at once, and how
 * much once at the beginning (vm/core/rate_limit.h).
 */
#ifndef BANTAM_VM_CONFIG_CONFIG_LIMIT_H
#define BANTAM_VM_CONFIG_CONFIG_LIMIT_H

#include "vm/core/base.h"

struct error;
struct rate_config;

enum limit_value {
	LIMIT_BANDWIDTH,       /* bytes a second; 0: no limit */
	LIMIT_BANDWIDTH_BURST, /* bytes at once; 0: a tenth of a second's */
	LIMIT_BANDWIDTH_ONCE,  /* bytes, on top of the first burst */
	LIMIT_OPS,	       /* requests of a disk, frames of a card */
	LIMIT_OPS_BURST,
	LIMIT_OPS_ONCE,
	NUM_LIMIT_VALUES
};

struct limit_config {
	uint64_t value[NUM_LIMIT_VALUES]; /* at most INT64_MAX */
	bool given[NUM_LIMIT_VALUES];
};

/* Of a card; a disk has the first one alone. */
enum limit_direction { LIMIT_RX, LIMIT_TX, LIMIT_MAX_DIRECTIONS };

/*
 * Takes "bandwidth=10M", "iops-burst=50" and so on, for a card "rx-bandwidth=10M", "tx-pps=1000":
 * 1 when part is such a word, 0 when it is another one, -EINVAL with a line that begins with
 * option. limits is one, or for a card one for each direction.
 */
int limit_parse(const char *option, const char *part, bool card, struct limit_config *limits,
	struct error *err);
/* As `limit_parse` calls it. */
const char *limit_name(
	bool card, enum limit_direction direction, enum limit_value value, char name[32]);
/* -EINVAL with a line about what does not go together. */
int limit_check(const char *option, const struct limit_config *limit, struct error *err);
/* Changes what is given in change; what was once, is not again. */
void limit_merge(struct limit_config *limit, const struct limit_config *change);
bool limit_names_any(const struct limit_config *limit); /* something is given */
bool limit_is_set(const struct limit_config *limit);
void limit_rates(const struct limit_config *limit, struct rate_config *rates);

#endif
