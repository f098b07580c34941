/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of disks and cards: words, what they come to, what is refused, and changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"
#include "vm/core/error.h"
#include "vm/core/rate_limit.h"

static void disks(void **state)
{
	struct config_line line;
	struct rate_config rates;
	struct config config;

	(void)state;
	config_line_ok(&config, &line,
		"-d a.img,bandwidth=10M,ro,iops=1000,iops-burst=50,iops-once=7 -d b.img,iops=3");
	assert_true(config.disks[0].read_only);
	limit_rates(&config.disks[0].limit, &rates);
	assert_int_equal(bucket_config_rate(&rates.bytes), 10 * MiB);
	assert_int_equal(rates.bytes.size, MiB);
	assert_int_equal(rates.bytes.once, 0);
	assert_int_equal(bucket_config_rate(&rates.ops), 1000);
	assert_int_equal(rates.ops.size, 50);
	assert_int_equal(rates.ops.once, 7);
	limit_rates(&config.disks[1].limit, &rates);
	assert_int_equal(rates.bytes.size, 0);
	assert_int_equal(bucket_config_rate(&rates.ops), 3);
	config_destroy(&config);
	config_line_ok(&config, &line, "-d a.img -d b.img,iops=0,bandwidth=0");
	assert_false(limit_is_set(&config.disks[0].limit));
	assert_false(limit_is_set(&config.disks[1].limit));
	config_destroy(&config);
}

static void cards(void **state)
{
	struct config_line line;
	struct rate_config rates;
	struct config config;

	(void)state;
	config_line_ok(&config, &line, "-n rx-bandwidth=1G,rx-bandwidth-burst=2M,tx-pps=500");
	assert_int_equal(config.nets[0].kind, NET_USER);
	limit_rates(&config.nets[0].limits[LIMIT_RX], &rates);
	assert_int_equal(bucket_config_rate(&rates.bytes), GiB);
	assert_int_equal(rates.bytes.size, 2 * MiB);
	assert_int_equal(rates.ops.size, 0);
	limit_rates(&config.nets[0].limits[LIMIT_TX], &rates);
	assert_int_equal(rates.bytes.size, 0);
	assert_int_equal(bucket_config_rate(&rates.ops), 500);
	config_destroy(&config);
}

static const struct {
	const char *line, *words;
} refused[] = {
	{"-d a.img,iops", "iops needs a value"},
	{"-d a.img,iops=", "iops needs a value"},
	{"-d a.img,iops=-1", "'-1' is not a number of requests"},
	{"-d a.img,iops=5x", "'5x' is not a number"},
	{"-d a.img,iops=99999999999999999999", "not a number"},
	{"-d a.img,bandwidth=9999999T", "not a number of bytes"},
	{"-d a.img,bandwidth=fast", "'fast' is not a number of bytes"},
	{"-d a.img,rx-bandwidth=1M", "unknown option 'rx-bandwidth'"},
	{"-d a.img,pps=5", "unknown option 'pps'"},
	{"-d a.img,iops-burst=5", "a burst of operations without a limit"},
	{"-d a.img,bandwidth=1M,iops-once=5", "a burst of operations without a limit"},
	{"-d a.img,iops=1,iops-burst=99999999", "than come in a day"},
	{"-n user,bandwidth=1M", "unknown option 'bandwidth'"},
	{"-n user,iops=5", "unknown option 'iops'"},
	{"-n user,rx-pps-burst=5,tx-pps=5", "a burst of operations without a limit"},
	{"-n user,rx-pps=many", "'many' is not a number of frames"},
	{"-n tap,vhost=on,tx-pps=5", "vhost=on"},
};

static void what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		config_line_refused(refused[i].line, refused[i].words);
}

static void changes(void **state)
{
	struct limit_config limit = {0}, change = {0};
	struct error err;
	char name[32];

	(void)state;
	for (int card = 0; card < 2; card++)
		for (enum limit_direction d = 0; d < (card ? 2 : 1); d++)
			for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++) {
				struct limit_config limits[2] = {0};
				char part[64];

				strcpy(part, limit_name(card, d, v, name));
				strcat(part, "=1234");
				assert_int_equal(limit_parse("limit", part, card, limits, &err), 1);
				assert_int_equal(limits[d].value[v], 1234);
				assert_true(limits[d].given[v]);
			}
	assert_int_equal(limit_parse("limit", "iops=100", false, &limit, &err), 1);
	assert_int_equal(limit_parse("limit", "iops-once=9", false, &limit, &err), 1);
	assert_int_equal(limit_parse("limit", "bandwidth=1M", false, &change, &err), 1);
	limit_merge(&limit, &change);
	assert_int_equal(limit.value[LIMIT_OPS], 100);
	assert_int_equal(limit.value[LIMIT_OPS_ONCE], 0);
	assert_int_equal(limit.value[LIMIT_BANDWIDTH], MiB);
	change = (struct limit_config){0};
	assert_int_equal(limit_parse("limit", "bandwidth=0", false, &change, &err), 1);
	limit_merge(&limit, &change);
	assert_int_equal(limit.value[LIMIT_BANDWIDTH], 0);
	assert_true(limit_is_set(&limit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks),
		cmocka_unit_test(cards),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
