/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MEGABYTE = 1 << 20, PIECE = 500 };

void peer_check_both_ways(struct char_fixture *fix, int fd)
{
	struct char_patience patience = {0};
	uint8_t *data = malloc(MEGABYTE);
	struct char_feeder *feeder;

	assert_non_null(data);
	char_fixture_check_output(fix, fd, MEGABYTE, 1500);
	char_fixture_pattern(data, MEGABYTE);
	memcpy(data, "\001x", 2); /* Ctrl-A x means nothing here */
	fix->room = 16;
	feeder = char_feed(fd, data, MEGABYTE);
	while (fix->rx_len < MEGABYTE && char_patient(&patience, fix->rx_len))
		event_loop_step(fix->loop, 1);
	assert_int_equal(fix->rx_len, MEGABYTE);
	char_feed_join(feeder);
	assert_memory_equal(fix->rx, data, MEGABYTE);
	free(data);
}

static size_t fill(struct char_fixture *fix)
{
	uint8_t piece[PIECE];
	size_t n, total = 0;

	memset(piece, 'p', sizeof(piece));
	do {
		n = chardev_write(fix->dev, piece, sizeof(piece));
		total += n;
		assert_true(total < 4 * MEGABYTE);
	} while (n == sizeof(piece));
	return total;
}

size_t peer_check_stopped_reader(struct char_fixture *fix)
{
	const size_t total = fill(fix);
	uint8_t piece[PIECE] = {0};

	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS);
	assert_int_equal(fix->tx_ready, 1);
	assert_int_equal(chardev_write(fix->dev, piece, sizeof(piece)), sizeof(piece));
	return total;
}

void peer_check_leaving(struct char_fixture *fix, int fd)
{
	uint8_t piece[PIECE] = {0};

	fill(fix);
	close(fd);
	char_fixture_settle(fix);
	assert_int_equal(fix->tx_ready, 1);
	assert_int_equal(fix->disconnects, 1);
	assert_int_equal(chardev_write(fix->dev, piece, sizeof(piece)), sizeof(piece));
}
