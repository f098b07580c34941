/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DSDT: what a guest cannot find out by probing. It is static; all that differs between two
 * machines is read from the presence register (devices/acpi_pm.h) once, when first asked for.
 *
 * There are no interrupt links (INTx
 * wires are soldered to GSIs), processors are in a table of their own (loader/acpi/cpus.c), and there
 * are no PS/2 devices: the controller has nothing plugged in, and
 * describing a keyboard would make guests wait for it.
 *
 * Sections of ACPI 6.4: 6.1 _HID, 6.2 _CRS and _PRT, 6.2.11 _OSC, 7.4.2 _S5.
 */
#include "vm/core/layout.h"

DefinitionBlock ("", "DSDT", 2, "BANTAM", "BANTAM", 1)
{
	Name (\_S5, Package (4) { LAYOUT_PM_SLP_TYP_S5, 0, 0, 0 })

	OperationRegion (PMIO, SystemIO, LAYOUT_PM_PRESENCE, 4)
	Field (PMIO, DWordAcc, NoLock, Preserve)
	{
		PRES, 32
	}

	/* The register never changes: one exit to the monitor is enough. */
	Name (SEEN, Zero)
	Name (WHAT, Zero)
	Method (STAT, 1, Serialized)
	{
		If (SEEN == Zero)
		{
			WHAT = PRES
			SEEN = One
		}
		If (WHAT & Arg0)
		{
			Return (0x0F)
		}
		Return (Zero)
	}

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08")) /* PCI Express host bridge */
			Name (_CID, EisaId ("PNP0A03")) /* for who knows only PCI */
			Name (_UID, Zero)
			Name (_SEG, Zero)
			Name (_BBN, Zero)
			Name (_CCA, One)

			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, LAYOUT_PCI_CFG_PORT, LAYOUT_PCI_CFG_PORT, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, LAYOUT_PCI_IO_BASE,
					LAYOUT_PCI_IO_LAST,
					0, LAYOUT_PCI_IO_SIZE)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite, 0, LAYOUT_MMIO32_BASE,
					LAYOUT_MMIO32_LAST,
					0, LAYOUT_MMIO32_SIZE)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite, 0, LAYOUT_MMIO64_BASE,
					LAYOUT_MMIO64_LAST,
					0, LAYOUT_MMIO64_SIZE)
			})

/* Device dev, pin INTA to INTD: the GSI is LAYOUT_IRQ_PCI + (dev + pin) % LAYOUT_IRQ_PCI_N. */
#define GSI(n) (LAYOUT_IRQ_PCI + ((n) % LAYOUT_IRQ_PCI_N))
#define WIRES(dev) \
	Package (4) { (dev << 16) + 0xFFFF, 0, Zero, GSI (dev) }, \
	Package (4) { (dev << 16) + 0xFFFF, 1, Zero, GSI (dev + 1) }, \
	Package (4) { (dev << 16) + 0xFFFF, 2, Zero, GSI (dev + 2) }, \
	Package (4) { (dev << 16) + 0xFFFF, 3, Zero, GSI (dev + 3) }
			Name (_PRT, Package (128)
			{
				WIRES (0), WIRES (1), WIRES (2), WIRES (3),
				WIRES (4), WIRES (5), WIRES (6), WIRES (7),
				WIRES (8), WIRES (9), WIRES (10), WIRES (11),
				WIRES (12), WIRES (13), WIRES (14), WIRES (15),
				WIRES (16), WIRES (17), WIRES (18), WIRES (19),
				WIRES (20), WIRES (21), WIRES (22), WIRES (23),
				WIRES (24), WIRES (25), WIRES (26), WIRES (27),
				WIRES (28), WIRES (29), WIRES (30), WIRES (31)
			})

			/*
			 * PCI Firmware Specification 3.3, 4.5.1. There is no root port that
			 * firmware would have to hand over, so whatever control is asked for is
			 * granted: hot-plug, SHPC, PME, AER, capability structure, LTR, DPC.
			 */
			Method (_OSC, 4, Serialized)
			{
				CreateDWordField (Arg3, 0, STS)
				If (Arg0 != ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
				{
					STS |= 0x04
					Return (Arg3)
				}
				If (Arg1 != One)
				{
					STS |= 0x08
					Return (Arg3)
				}
				If (Arg2 < 3)
				{
					STS |= 0x02
					Return (Arg3)
				}
				CreateDWordField (Arg3, 8, CTRL)
				Local0 = CTRL & 0xBF
				If (Local0 != CTRL)
				{
					STS |= 0x10
				}
				CTRL = Local0
				Return (Arg3)
			}
		}

		/* What nothing else may use: PCI configuration space, the PM ports */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, Zero)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, LAYOUT_ECAM_BASE, LAYOUT_ECAM_SIZE)
				IO (Decode16, LAYOUT_PM_BASE, LAYOUT_PM_BASE, 1, LAYOUT_PM_SIZE)
			})
		}

		Device (PIC)
		{
			Name (_HID, EisaId ("PNP0000"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, LAYOUT_PIC1_PORT, LAYOUT_PIC1_PORT, 1, 2)
				IO (Decode16, LAYOUT_PIC2_PORT, LAYOUT_PIC2_PORT, 1, 2)
				IRQNoFlags () { 2 }
			})
		}

		Device (TIMR)
		{
			Name (_HID, EisaId ("PNP0100"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, LAYOUT_PIT_PORT, LAYOUT_PIT_PORT, 1, 4)
				IRQNoFlags () { LAYOUT_IRQ_PIT }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, LAYOUT_RTC_PORT, LAYOUT_RTC_PORT, 1, 2)
				IRQNoFlags () { LAYOUT_IRQ_RTC }
			})
		}

/* Ports 1 and 3 share a wire, as do 2 and 4; guests may open both. */
#define SERIAL(name, uid, present, port, irq) \
		Device (name) \
		{ \
			Name (_HID, EisaId ("PNP0501")) \
			Name (_UID, uid) \
			Method (_STA) { Return (STAT (present)) } \
			Name (_CRS, ResourceTemplate () \
			{ \
				IO (Decode16, port, port, 1, 8) \
				IRQ (Edge, ActiveHigh, Shared) { irq } \
			}) \
		}
		SERIAL (COM1, 1, LAYOUT_PRESENT_COM1, LAYOUT_COM1_PORT, LAYOUT_IRQ_COM1_3)
		SERIAL (COM2, 2, LAYOUT_PRESENT_COM2, LAYOUT_COM2_PORT, LAYOUT_IRQ_COM2_4)
		SERIAL (COM3, 3, LAYOUT_PRESENT_COM3, LAYOUT_COM3_PORT, LAYOUT_IRQ_COM1_3)
		SERIAL (COM4, 4, LAYOUT_PRESENT_COM4, LAYOUT_COM4_PORT, LAYOUT_IRQ_COM2_4)

		Device (PEVT)
		{
			Name (_HID, "QEMU0001")
			Method (_STA) { Return (STAT (LAYOUT_PRESENT_PVPANIC)) }
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, LAYOUT_PVPANIC_PORT, LAYOUT_PVPANIC_PORT, 1, 1)
			})
		}
	}
}
