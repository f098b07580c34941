/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MC146818 as a function of time: the caller says what the host's clock shows, nothing runs by
 * itself. No lock, no interrupt line, no ports; rtc.c has those.
 */
#ifndef BANTAM_DEVICES_TIME_RTC_CHIP_H
#define BANTAM_DEVICES_TIME_RTC_CHIP_H

#include "rtc_time.h"
#include "vm/core/base.h"

enum {
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_REGS = 0x80,

	RTC_A_RATE = 0x0f,
	RTC_A_DIVIDER = 0x70,
	RTC_A_DIVIDER_RUN = 0x20,   /* for a 32768 Hz crystal */
	RTC_A_DIVIDER_RESET = 0x60, /* both bits: held in reset */
	RTC_A_UIP = 0x80,

	RTC_B_DSE = 0x01,
	RTC_B_SQWE = 0x08,
	RTC_B_UIE = 0x10,
	RTC_B_AIE = 0x20,
	RTC_B_PIE = 0x40,
	RTC_B_SET = 0x80,

	RTC_C_UF = 0x10, /* each at the place of its enable bit in register B */
	RTC_C_AF = 0x20,
	RTC_C_PF = 0x40,
	RTC_C_IRQF = 0x80,
	RTC_C_FLAGS = 0x70,

	RTC_D_VRT = 0x80, /* the battery is good */
};

/* UIP is up for this long before each second ends (data sheet, t_BUC). */
#define RTC_UIP_NS UINT64_C(244141)

struct rtc_chip {
	/*
	 * Registers A, B, C (flags only), alarm and RAM. The time registers are held here only
	 * while SET freezes them; else they are computed.
	 */
	uint8_t regs[RTC_REGS];
	/*
	 * The divider chain, in ns: host time + chain_shift while it runs, chain_stopped while not.
	 * Seconds turn with it; the time shown is its seconds + offset.
	 */
	uint64_t chain_shift, chain_stopped;
	int64_t offset;
	int weekday_shift; /* what the guest wrote, against the calendar; 0..6 */
	uint64_t seen;	   /* the chain when the flags were last brought up to date */
};

/* RAM is zeroed. now: CLOCK_REALTIME in ns, here and below. */
void rtc_chip_reset(struct rtc_chip *chip, uint64_t now);

/* reg < RTC_REGS */
uint8_t rtc_chip_read(struct rtc_chip *chip, unsigned int reg, uint64_t now);
void rtc_chip_write(struct rtc_chip *chip, unsigned int reg, uint8_t value, uint64_t now);

/* Raises the flags of what has happened by now. Reads and writes do it themselves. */
void rtc_chip_settle(struct rtc_chip *chip, uint64_t now);
bool rtc_chip_irq(const struct rtc_chip *chip);
/* The alarm is among what interrupts. */
bool rtc_chip_alarm(const struct rtc_chip *chip);

/* How many ns after now an enabled interrupt whose flag is down comes. False: none will. */
bool rtc_chip_next_irq(const struct rtc_chip *chip, uint64_t now, uint64_t *delay);

#endif
