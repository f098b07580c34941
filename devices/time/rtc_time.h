/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The RTC's calendar and the encodings of its registers (MC146818 data sheet, table 3): pure
 * functions. The C library's are not used: they read the time zone's file when they are first
 * called, which may be after the process has been locked down.
 */
#ifndef BANTAM_DEVICES_TIME_RTC_TIME_H
#define BANTAM_DEVICES_TIME_RTC_TIME_H

#include "vm/core/base.h"

/* Registers of the time, in the order of struct rtc_time */
enum {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_CENTURY = 0x32,

	/* Register B */
	RTC_B_24H = 0x02,
	RTC_B_BINARY = 0x04,

	RTC_HOUR_PM = 0x80,
};

struct rtc_time {
	int second, minute, hour; /* 0.. */
	int weekday;		  /* 1: Sunday */
	int day, month;		  /* 1.. */
	int year;		  /* with the century */
};

/* Seconds are since 1970-01-01 UTC, proleptic Gregorian; any value. */
void rtc_time_from_seconds(int64_t seconds, struct rtc_time *time);
/* Fields past their range (February 31, minute 70) count on into the next one. */
int64_t rtc_time_to_seconds(const struct rtc_time *time);

/* The value of a time register (none of the alarm's) under register B's format bits. */
uint8_t rtc_encode(const struct rtc_time *time, unsigned int reg, uint8_t reg_b);
/* Takes a register's value into time; the weekday too. */
void rtc_decode(struct rtc_time *time, unsigned int reg, uint8_t value, uint8_t reg_b);

/*
 * The first second at or after `from` at which the alarm registers match, each either equal to its
 * time register or "any" (its two top bits set). False: never.
 */
bool rtc_next_alarm(int64_t from, const uint8_t alarm[3], uint8_t reg_b, int64_t *ret);

#endif
