/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Days are counted in years that begin on March 1, so that the leap day is the last of its year
 * and the lengths of the months before it follow one formula: month m (0: March) begins with day
 * (153 m + 2) / 5. 400 years have 146097 days.
 */
#include "rtc_time.h"

enum {
	DAY_SECONDS = 86400,
	ERA_YEARS = 400,
	ERA_DAYS = 146097,
	DAYS_TO_1970 = 719468, /* from March 1 of year 0 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t era, in_era;

	/* Months past December first: a guest may have written anything. */
	year += floor_div(month - 1, 12);
	month -= floor_div(month - 1, 12) * 12;
	if (month <= 2)
		year--;
	era = floor_div(year, ERA_YEARS);
	in_era = year - era * ERA_YEARS;
	return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 +
	       (153 * ((month + 9) % 12) + 2) / 5 + day - 1 - DAYS_TO_1970;
}

static void date_of(int64_t days, struct rtc_time *time)
{
	int64_t era, in_era, year, in_year, month;

	days += DAYS_TO_1970;
	era = floor_div(days, ERA_DAYS);
	in_era = days - era * ERA_DAYS;
	/* Without the leap days that lie behind: every 1461st, not the 36525th, the last of all. */
	year = (in_era - in_era / 1460 + in_era / 36524 - in_era / (ERA_DAYS - 1)) / 365;
	in_year = in_era - (year * 365 + year / 4 - year / 100);
	month = (5 * in_year + 2) / 153;
	time->day = (int)(in_year - (153 * month + 2) / 5 + 1);
	time->month = (int)(month < 10 ? month + 3 : month - 9);
	time->year = (int)(year + era * ERA_YEARS + (month >= 10));
}

void rtc_time_from_seconds(int64_t seconds, struct rtc_time *time)
{
	int64_t days = floor_div(seconds, DAY_SECONDS);
	int in_day = (int)(seconds - days * DAY_SECONDS);

	date_of(days, time);
	time->hour = in_day / 3600;
	time->minute = in_day / 60 % 60;
	time->second = in_day % 60;
	/* The epoch was a Thursday. */
	time->weekday = (int)(days + 4 - floor_div(days + 4, 7) * 7) + 1;
}

int64_t rtc_time_to_seconds(const struct rtc_time *time)
{
	return days_of(time->year, time->month, time->day) * DAY_SECONDS + time->hour * 3600 +
	       time->minute * 60 + time->second;
}

static uint8_t encode(int value, uint8_t reg_b)
{
	return (uint8_t)(reg_b & RTC_B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(uint8_t value, uint8_t reg_b)
{
	return reg_b & RTC_B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(int hour, uint8_t reg_b)
{
	if (reg_b & RTC_B_24H)
		return encode(hour, reg_b);
	return encode((hour + 11) % 12 + 1, reg_b) | (hour >= 12 ? RTC_HOUR_PM : 0);
}

static int decode_hour(uint8_t value, uint8_t reg_b)
{
	if (reg_b & RTC_B_24H)
		return decode(value, reg_b);
	return decode(value & ~RTC_HOUR_PM & 0xff, reg_b) % 12 + (value & RTC_HOUR_PM ? 12 : 0);
}

uint8_t rtc_encode(const struct rtc_time *time, unsigned int reg, uint8_t reg_b)
{
	/* Years before 0 and past 9999 show their last four digits. */
	int year = (time->year % 10000 + 10000) % 10000;

	switch (reg) {
	case RTC_SECONDS:
		return encode(time->second, reg_b);
	case RTC_MINUTES:
		return encode(time->minute, reg_b);
	case RTC_HOURS:
		return encode_hour(time->hour, reg_b);
	case RTC_WEEKDAY:
		return encode(time->weekday, reg_b);
	case RTC_DAY:
		return encode(time->day, reg_b);
	case RTC_MONTH:
		return encode(time->month, reg_b);
	case RTC_YEAR:
		return encode(year % 100, reg_b);
	default: /* the century is firmware's convention, not the chip's */
		return encode(year / 100, reg_b);
	}
}

void rtc_decode(struct rtc_time *time, unsigned int reg, uint8_t value, uint8_t reg_b)
{
	int plain = decode(value, reg_b);

	switch (reg) {
	case RTC_SECONDS:
		time->second = plain;
		break;
	case RTC_MINUTES:
		time->minute = plain;
		break;
	case RTC_HOURS:
		time->hour = decode_hour(value, reg_b);
		break;
	case RTC_WEEKDAY:
		time->weekday = plain;
		break;
	case RTC_DAY:
		time->day = plain;
		break;
	case RTC_MONTH:
		time->month = plain;
		break;
	case RTC_YEAR:
		time->year = time->year / 100 * 100 + plain;
		break;
	default:
		time->year = plain * 100 + time->year % 100;
		break;
	}
}

static bool matches(uint8_t alarm, uint8_t value)
{
	return (alarm & 0xc0) == 0xc0 || alarm == value;
}

/*
 * Goes on to the next hour, minute or second where one does not match. That takes at most a minute
 * of seconds and an hour of minutes before the right hour is looked for, and the same after it.
 */
bool rtc_next_alarm(int64_t from, const uint8_t alarm[3], uint8_t reg_b, int64_t *ret)
{
	for (unsigned int step = 0; step < 2 * (24 + 60 + 60); step++) {
		int64_t in_day = from - floor_div(from, DAY_SECONDS) * DAY_SECONDS;
		int second = (int)(in_day % 60), minute = (int)(in_day / 60 % 60);

		if (!matches(alarm[2], encode_hour((int)(in_day / 3600), reg_b)))
			from += 3600 - in_day % 3600;
		else if (!matches(alarm[1], encode(minute, reg_b)))
			from += 60 - second;
		else if (!matches(alarm[0], encode(second, reg_b)))
			from++;
		else {
			*ret = from;
			return true;
		}
	}
	return false;
}
