/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing ticks. The flags of register C are found out when somebody looks: what boundaries has the
 * divider chain passed since it was last looked at? Hence polled flags work without any timer, and
 * rtc.c sets one only for the next flag that would interrupt.
 *
 * The chain follows the host's realtime clock, so a guest that never sets its RTC has the host's
 * time through every correction of it; a host clock that is set back makes no flags. Setting the
 * time moves `offset`, in whole seconds; resetting the divider moves `chain_shift`, after which the
 * first second turns in 500 ms (data sheet, "divider control").
 */
#include "rtc_chip.h"

#include <string.h>

static const uint8_t time_regs[] = {
	/* The century comes before the year: see rtc_decode. */
	RTC_SECONDS, RTC_MINUTES, RTC_HOURS, RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_CENTURY,
	RTC_YEAR};

static bool running(const struct rtc_chip *chip)
{
	return (chip->regs[RTC_A] & RTC_A_DIVIDER) == RTC_A_DIVIDER_RUN;
}

static bool frozen(const struct rtc_chip *chip)
{
	return chip->regs[RTC_B] & RTC_B_SET;
}

static uint64_t chain_at(const struct rtc_chip *chip, uint64_t now)
{
	return running(chip) ? now + chip->chain_shift : chip->chain_stopped;
}

static int64_t seconds_at(const struct rtc_chip *chip, uint64_t chain)
{
	return (int64_t)(chain / NSEC_PER_SEC) + chip->offset;
}

/* ---- time registers ---- */

static bool is_time_reg(unsigned int reg)
{
	return memchr(time_regs, (int)reg, sizeof(time_regs));
}

static void time_now(const struct rtc_chip *chip, uint64_t now, struct rtc_time *time)
{
	rtc_time_from_seconds(seconds_at(chip, chain_at(chip, now)), time);
	time->weekday = (time->weekday - 1 + chip->weekday_shift) % 7 + 1;
}

/* Copies the time that is shown into the registers. */
static void latch_time(struct rtc_chip *chip, uint64_t now)
{
	struct rtc_time time;

	time_now(chip, now, &time);
	for (unsigned int i = 0; i < ARRAY_SIZE(time_regs); i++)
		chip->regs[time_regs[i]] = rtc_encode(&time, time_regs[i], chip->regs[RTC_B]);
}

/* The registers' values become the time, from the current second of the chain on. */
static void adopt_time(struct rtc_chip *chip, uint64_t now)
{
	struct rtc_time wanted = {0}, computed;
	int64_t seconds;

	for (unsigned int i = 0; i < ARRAY_SIZE(time_regs); i++)
		rtc_decode(&wanted, time_regs[i], chip->regs[time_regs[i]], chip->regs[RTC_B]);
	seconds = rtc_time_to_seconds(&wanted);
	chip->offset = seconds - (int64_t)(chain_at(chip, now) / NSEC_PER_SEC);
	rtc_time_from_seconds(seconds, &computed);
	chip->weekday_shift = (wanted.weekday - computed.weekday + 7 * 40) % 7;
}

static uint8_t read_time(const struct rtc_chip *chip, unsigned int reg, uint64_t now)
{
	struct rtc_time time;

	if (frozen(chip))
		return chip->regs[reg];
	time_now(chip, now, &time);
	return rtc_encode(&time, reg, chip->regs[RTC_B]);
}

static void write_time(struct rtc_chip *chip, unsigned int reg, uint8_t value, uint64_t now)
{
	if (frozen(chip)) {
		chip->regs[reg] = value;
		return;
	}
	latch_time(chip, now);
	chip->regs[reg] = value;
	adopt_time(chip, now);
}

/* ---- flags ---- */

/* The periodic interrupt's rate as cycles of the 32768 Hz crystal; 0: off. Data sheet, table 5. */
static uint32_t periodic_cycles(const struct rtc_chip *chip)
{
	unsigned int rate = chip->regs[RTC_A] & RTC_A_RATE;

	if (!rate)
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t cycles(uint64_t chain)
{
	return (uint64_t)((unsigned __int128)chain * 32768 / NSEC_PER_SEC);
}

static bool next_alarm(const struct rtc_chip *chip, uint64_t chain, int64_t *second)
{
	const uint8_t alarm[3] = {chip->regs[RTC_SECONDS_ALARM], chip->regs[RTC_MINUTES_ALARM],
		chip->regs[RTC_HOURS_ALARM]};

	return rtc_next_alarm(seconds_at(chip, chain) + 1, alarm, chip->regs[RTC_B], second);
}

void rtc_chip_settle(struct rtc_chip *chip, uint64_t now)
{
	uint64_t was = chip->seen, chain = chain_at(chip, now);
	uint32_t period = periodic_cycles(chip);
	int64_t alarm;

	chip->seen = chain;
	if (chain <= was)
		return;
	if (period && cycles(chain) / period != cycles(was) / period)
		chip->regs[RTC_C] |= RTC_C_PF;
	if (frozen(chip) || chain / NSEC_PER_SEC == was / NSEC_PER_SEC)
		return;
	chip->regs[RTC_C] |= RTC_C_UF;
	if (!(chip->regs[RTC_C] & RTC_C_AF) && next_alarm(chip, was, &alarm) &&
		alarm <= seconds_at(chip, chain))
		chip->regs[RTC_C] |= RTC_C_AF;
}

bool rtc_chip_irq(const struct rtc_chip *chip)
{
	return chip->regs[RTC_C] & chip->regs[RTC_B] & RTC_C_FLAGS;
}

bool rtc_chip_alarm(const struct rtc_chip *chip)
{
	return chip->regs[RTC_C] & chip->regs[RTC_B] & RTC_C_AF;
}

/* The chain's value when the crystal's cycle begins, rounded up. */
static uint64_t cycle_start(uint64_t cycle)
{
	return (uint64_t)(((unsigned __int128)cycle * NSEC_PER_SEC + 32767) / 32768);
}

bool rtc_chip_next_irq(const struct rtc_chip *chip, uint64_t now, uint64_t *delay)
{
	uint64_t chain = chain_at(chip, now), next = UINT64_MAX;
	uint8_t wanted = chip->regs[RTC_B] & ~chip->regs[RTC_C] & RTC_C_FLAGS;
	uint32_t period = periodic_cycles(chip);
	int64_t alarm;

	if (!running(chip))
		return false;
	if ((wanted & RTC_B_PIE) && period)
		next = cycle_start((cycles(chain) / period + 1) * period);
	if ((wanted & RTC_B_UIE) && !frozen(chip))
		next = MIN(next, (chain / NSEC_PER_SEC + 1) * NSEC_PER_SEC);
	if ((wanted & RTC_B_AIE) && !frozen(chip) && next_alarm(chip, chain, &alarm))
		next = MIN(next, (uint64_t)(alarm - chip->offset) * NSEC_PER_SEC);
	if (next == UINT64_MAX)
		return false;
	*delay = next - chain;
	return true;
}

/* ---- registers ---- */

static uint8_t read_a(const struct rtc_chip *chip, uint64_t now)
{
	uint64_t in_second = chain_at(chip, now) % NSEC_PER_SEC;
	bool uip = running(chip) && !frozen(chip) && in_second >= NSEC_PER_SEC - RTC_UIP_NS;

	return chip->regs[RTC_A] | (uip ? RTC_A_UIP : 0);
}

static void write_a(struct rtc_chip *chip, uint8_t value, uint64_t now)
{
	uint64_t chain = chain_at(chip, now);
	int64_t seconds = seconds_at(chip, chain);

	chip->regs[RTC_A] = value & ~RTC_A_UIP & 0xff;
	if ((value & RTC_A_DIVIDER_RESET) == RTC_A_DIVIDER_RESET)
		chain = chain / NSEC_PER_SEC * NSEC_PER_SEC + NSEC_PER_SEC / 2;
	chip->chain_stopped = chain;
	chip->chain_shift = chain - now;
	chip->seen = chain;
	chip->offset = seconds - (int64_t)(chain / NSEC_PER_SEC);
}

/* Setting SET also takes UIE back. */
static void write_b(struct rtc_chip *chip, uint8_t value, uint64_t now)
{
	bool was_frozen = frozen(chip);

	if (value & RTC_B_SET)
		value &= ~RTC_B_UIE & 0xff;
	chip->regs[RTC_B] = value;
	if (!was_frozen && (value & RTC_B_SET))
		latch_time(chip, now);
	if (was_frozen && !(value & RTC_B_SET))
		adopt_time(chip, now);
}

static uint8_t read_c(struct rtc_chip *chip)
{
	uint8_t value = chip->regs[RTC_C] | (rtc_chip_irq(chip) ? RTC_C_IRQF : 0);

	chip->regs[RTC_C] = 0;
	return value;
}

uint8_t rtc_chip_read(struct rtc_chip *chip, unsigned int reg, uint64_t now)
{
	rtc_chip_settle(chip, now);
	if (is_time_reg(reg))
		return read_time(chip, reg, now);
	switch (reg) {
	case RTC_A:
		return read_a(chip, now);
	case RTC_C:
		return read_c(chip);
	case RTC_D:
		return RTC_D_VRT;
	default:
		return chip->regs[reg];
	}
}

void rtc_chip_write(struct rtc_chip *chip, unsigned int reg, uint8_t value, uint64_t now)
{
	rtc_chip_settle(chip, now);
	if (is_time_reg(reg)) {
		write_time(chip, reg, value, now);
		return;
	}
	switch (reg) {
	case RTC_A:
		write_a(chip, value, now);
		break;
	case RTC_B:
		write_b(chip, value, now);
		break;
	case RTC_C:
	case RTC_D:
		break; /* read-only */
	default:
		chip->regs[reg] = value;
		break;
	}
}

void rtc_chip_reset(struct rtc_chip *chip, uint64_t now)
{
	memset(chip, 0, sizeof(*chip));
	chip->regs[RTC_A] = RTC_A_DIVIDER_RUN | 6; /* 1024 Hz, what firmware leaves */
	chip->regs[RTC_B] = RTC_B_24H;
	chip->seen = now;
}
