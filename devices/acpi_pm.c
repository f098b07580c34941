/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PM block is a byte image with a mask per byte for plain bits and one for bits that a write of
 * one clears, so that an access of any size at any offset does what its bytes do. What a write
 * means beyond storing (sleep, reset) is decided from the bytes it touched; the SCI's level is
 * recomputed after every change in one place.
 *
 * The PM timer is computed when it is read. Its status bit, which goes up whenever the counter's
 * highest bit turns, is found out when somebody looks, too; a clock's timer runs for it only while
 * the guest has enabled its interrupt.
 *
 * The FADT has no SMI_CMD: the machine is in ACPI mode from the start and SCI_EN reads as one.
 * One mutex guards the image and is held while the line is set, so that levels arrive in order.
 * The power sink is called without it.
 */
#include "devices/acpi_pm.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vm/core/bus.h"
#include "vm/core/clock.h"
#include "vm/core/layout.h"

/* ACPI 6.4, tables 4.13 to 4.15 */
enum {
	REG_STS = LAYOUT_PM1_EVT - LAYOUT_PM_BASE,
	REG_EN = REG_STS + 2,
	REG_CNT = LAYOUT_PM1_CNT - LAYOUT_PM_BASE,
	REG_RESET = LAYOUT_PM_RESET - LAYOUT_PM_BASE,
	REG_PRESENCE = LAYOUT_PM_PRESENCE - LAYOUT_PM_BASE,
	REG_TIMER = LAYOUT_PM_TIMER - LAYOUT_PM_BASE,
	TIMER_HZ = 3579545,
	TIMER_TURN = 31, /* the bit that sets TMR_STS when it turns */

	STS_TMR = 1 << 0,
	STS_BM = 1 << 4,
	STS_GBL = 1 << 5,
	STS_PWRBTN = 1 << 8,
	STS_SLPBTN = 1 << 9,
	STS_RTC = 1 << 10,
	STS_PCIEXP_WAKE = 1 << 14,
	STS_WAK = 1 << 15,
	STS_ALL = STS_TMR | STS_BM | STS_GBL | STS_PWRBTN | STS_SLPBTN | STS_RTC | STS_PCIEXP_WAKE |
		  STS_WAK,
	/* Status bits with an enable bit at the same place; PCIEXP_WAKE's is a disable bit. */
	EN_ALL = STS_TMR | STS_GBL | STS_PWRBTN | STS_SLPBTN | STS_RTC,
	EN_PCIEXP_WAKE_DIS = 1 << 14,

	CNT_SCI_EN = 1 << 0,
	CNT_BM_RLD = 1 << 1,
	CNT_SLP_TYP_SHIFT = 10,
	CNT_SLP_TYP = 7 << CNT_SLP_TYP_SHIFT,
	CNT_SLP_EN = 1 << 13,
};

struct acpi_pm {
	struct acpi_pm_config config;
	struct bus_region region;
	struct timer timer;
	uint64_t start_ns;    /* when the counter was 0 */
	pthread_mutex_t lock; /* guards all below and the SCI's level */
	uint64_t turns;	      /* of the counter's highest bit, as far as TMR_STS knows */
	bool armed;
	uint8_t regs[LAYOUT_PM_SIZE];
};

static const uint8_t writable[LAYOUT_PM_SIZE] = {
	[REG_EN] = EN_ALL & 0xff,
	[REG_EN + 1] = (EN_ALL | EN_PCIEXP_WAKE_DIS) >> 8,
	[REG_CNT] = CNT_BM_RLD,
	[REG_CNT + 1] = CNT_SLP_TYP >> 8,
};

static const uint8_t write_clears[LAYOUT_PM_SIZE] = {
	[REG_STS] = STS_ALL & 0xff,
	[REG_STS + 1] = STS_ALL >> 8,
};

static uint16_t reg16(const struct acpi_pm *pm, unsigned int off)
{
	return (uint16_t)(pm->regs[off] | pm->regs[off + 1] << 8);
}

/* ---- with the lock held ---- */

static uint64_t timer_ticks(const struct acpi_pm *pm)
{
	const uint64_t ns =
		pm->config.clock ? clock_monotonic_ns(pm->config.clock) - pm->start_ns : 0;

	return (uint64_t)((unsigned __int128)ns * TIMER_HZ / NSEC_PER_SEC);
}

/* Brings the registers that follow from time up to date. */
static void settle(struct acpi_pm *pm)
{
	const uint64_t ticks = timer_ticks(pm);

	for (unsigned int i = 0; i < 4; i++)
		pm->regs[REG_TIMER + i] = (uint8_t)(ticks >> (8 * i));
	if (ticks >> TIMER_TURN != pm->turns)
		pm->regs[REG_STS] |= STS_TMR;
	pm->turns = ticks >> TIMER_TURN;
}

static void arm_timer(struct acpi_pm *pm)
{
	const uint64_t next = (pm->turns + 1) << TIMER_TURN;
	const bool wanted = reg16(pm, REG_EN) & ~reg16(pm, REG_STS) & STS_TMR;

	if (!pm->config.clock || (!wanted && !pm->armed))
		return;
	pm->armed = wanted;
	if (wanted)
		clock_arm(pm->config.clock, &pm->timer,
			pm->start_ns + 1 +
				(uint64_t)((unsigned __int128)next * NSEC_PER_SEC / TIMER_HZ));
	else
		clock_disarm(pm->config.clock, &pm->timer);
}

/* SCI_EN is always on. */
static void update_sci(struct acpi_pm *pm)
{
	irq_line_set(&pm->config.sci, reg16(pm, REG_STS) & reg16(pm, REG_EN) & EN_ALL);
	arm_timer(pm);
}

/* ---- the bus ---- */

static uint64_t pm_read(void *opaque, uint64_t off, unsigned int size)
{
	struct acpi_pm *pm = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&pm->lock);
	settle(pm);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)pm->regs[off + i] << (8 * i);
	pthread_mutex_unlock(&pm->lock);
	return value;
}

/* What a byte does beyond being stored; SLP_TYP and SLP_EN share theirs. */
static void act(struct acpi_pm *pm, uint64_t off, uint8_t byte)
{
	const unsigned int cnt = (unsigned int)byte << 8;

	switch (off) {
	case REG_CNT + 1:
		if ((cnt & CNT_SLP_EN) && (cnt & CNT_SLP_TYP) == LAYOUT_PM_SLP_TYP_S5
									 << CNT_SLP_TYP_SHIFT)
			power_notify(&pm->config.power, POWER_OFF);
		break;
	case REG_RESET:
		if (byte == 1)
			power_notify(&pm->config.power, POWER_RESET);
		break;
	default:
		break;
	}
}

static void pm_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = opaque;

	pthread_mutex_lock(&pm->lock);
	settle(pm);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t *reg = &pm->regs[off + i], byte = (uint8_t)(value >> (8 * i));
		uint8_t plain = writable[off + i], clears = write_clears[off + i];

		*reg = (uint8_t)(((*reg & ~plain) | (byte & plain)) & ~(byte & clears));
	}
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
	for (unsigned int i = 0; i < size; i++)
		act(pm, off + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_ops pm_ops = {.read = pm_read, .write = pm_write};

static void raise_status(struct acpi_pm *pm, unsigned int bit)
{
	pthread_mutex_lock(&pm->lock);
	pm->regs[REG_STS + 1] |= (uint8_t)(bit >> 8);
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	raise_status(pm, STS_PWRBTN);
}

void acpi_pm_rtc_alarm(struct acpi_pm *pm)
{
	raise_status(pm, STS_RTC);
}

static void timer_expired(void *opaque)
{
	struct acpi_pm *pm = opaque;

	pthread_mutex_lock(&pm->lock);
	settle(pm);
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

int acpi_pm_create(const struct acpi_pm_config *config, struct acpi_pm **ret)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int rc;

	if (!pm)
		return -ENOMEM;
	pm->config = *config;
	pthread_mutex_init(&pm->lock, NULL);
	pm->timer = (struct timer){.fn = timer_expired, .opaque = pm};
	if (config->clock)
		pm->start_ns = clock_monotonic_ns(config->clock);
	pm->regs[REG_CNT] = CNT_SCI_EN;
	for (unsigned int i = 0; i < 4; i++)
		pm->regs[REG_PRESENCE + i] = (uint8_t)(config->presence >> (8 * i));
	pm->region = (struct bus_region){.name = "acpi-pm",
		.base = LAYOUT_PM_BASE,
		.size = LAYOUT_PM_SIZE,
		.ops = &pm_ops,
		.opaque = pm};
	rc = bus_add(config->pio, &pm->region);
	if (rc)
		goto free_pm;
	*ret = pm;
	return 0;
free_pm:
	pthread_mutex_destroy(&pm->lock);
	free(pm);
	return rc;
}

void acpi_pm_destroy(struct acpi_pm *pm)
{
	if (!pm)
		return;
	bus_remove(pm->config.pio, &pm->region);
	if (pm->config.clock)
		clock_disarm_sync(pm->config.clock, &pm->timer);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}
