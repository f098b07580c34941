/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers, sizes and addresses as people type them. Not strtoull: it takes blanks, signs and (by
 * base 0) octal, and says by a global that a number was too large.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "vm/config/config.h"

#define MAX_FRACTION UINT64_C(1000000000000)

/* The digits at the start of *text, which is moved behind them. */
static int parse_number(const char **text, unsigned int base, uint64_t *number)
{
	const char *p = *text;
	uint64_t n = 0;

	for (; isxdigit((unsigned char)*p); p++) {
		unsigned int digit =
			isdigit((unsigned char)*p)
				? (unsigned int)(*p - '0')
				: (unsigned int)(tolower((unsigned char)*p) - 'a') + 10;

		if (digit >= base)
			break;
		if (__builtin_mul_overflow(n, (uint64_t)base, &n) ||
			__builtin_add_overflow(n, (uint64_t)digit, &n))
			return -ERANGE;
	}
	if (p == *text)
		return -EINVAL;
	*text = p;
	*number = n;
	return 0;
}

static int parse_suffix(const char *text, uint64_t *unit)
{
	static const char letters[] = "kmgt";
	static const uint64_t units[] = {KiB, MiB, GiB, TiB};
	int c = tolower((unsigned char)*text);
	const char *letter;

	if (!c)
		return 0;
	letter = strchr(letters, c);
	if (letter) {
		*unit = units[letter - letters];
		text++;
		if (tolower((unsigned char)*text) == 'i')
			if (tolower((unsigned char)*++text) != 'b')
				return -EINVAL;
	} else {
		*unit = 1;
	}
	if (tolower((unsigned char)*text) == 'b')
		text++;
	return *text ? -EINVAL : 0;
}

/* What stands behind a decimal point, if there is one, in 1/1024: no more of it counts. */
static int parse_fraction(const char **text, uint64_t *fraction)
{
	uint64_t n = 0, scale = 1;
	const char *p = *text;

	*fraction = 0;
	if (*p != '.')
		return 0;
	if (!isdigit((unsigned char)*++p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (scale == MAX_FRACTION)
			continue;
		n = 10 * n + (uint64_t)(*p - '0');
		scale *= 10;
	}
	*fraction = 1024 * n / scale;
	*text = p;
	return 0;
}

int config_parse_size(const char *text, uint64_t unit, uint64_t *size)
{
	uint64_t number, fraction, bytes;
	const char *point;
	int r;

	r = parse_number(&text, 10, &number);
	point = text;
	if (!r)
		r = parse_fraction(&text, &fraction);
	if (!r)
		r = parse_suffix(text, &unit);
	if (r)
		return r;
	if (unit < KiB && *point == '.')
		return -EINVAL;
	if (__builtin_mul_overflow(number, unit, &bytes) ||
		__builtin_add_overflow(bytes, fraction * (unit / KiB), &bytes))
		return -ERANGE;
	*size = bytes;
	return 0;
}

int config_parse_gpa(const char *text, uint64_t *gpa)
{
	uint64_t value;
	int r;

	if (text[0] != '0' || tolower((unsigned char)text[1]) != 'x')
		return config_parse_size(text, 1, gpa);
	text += 2;
	r = parse_number(&text, 16, &value);
	if (r || *text)
		return r ? r : -EINVAL;
	*gpa = value;
	return 0;
}

int config_parse_number(const char *text, uint64_t *number)
{
	uint64_t value;
	int r = parse_number(&text, 10, &value);

	if (r || *text)
		return r ? r : -EINVAL;
	*number = value;
	return 0;
}
