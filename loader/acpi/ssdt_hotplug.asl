/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SSDT of a machine whose PCI functions come and go: a generic event device (ACPI 6.4, 5.6.9)
 * that reads what has happened (devices/pci/pci_hotplug.h) and tells the slots. The loader puts a
 * copy of ssdt_slot.asl behind this for each slot that there is. Those without one are never named
 * by the registers.
 *
 * A general purpose event would do the same, and cost each start of a guest the accesses to its
 * registers; this device has none but those that are read when something has happened.
 */
#include "vm/core/layout.h"

#define SLOT_IS(nn) External (\_SB.PCI0.S##nn, DeviceObj)
#define TELL(nn, bit) \
			If (Local0 & bit) { Notify (\_SB.PCI0.S##nn, 3) } \
			If (Local1 & bit) { Notify (\_SB.PCI0.S##nn, 1) }

DefinitionBlock ("", "SSDT", 2, "BANTAM", "HOTPLUG", 1)
{
	SLOT_IS (01)
	SLOT_IS (02)
	SLOT_IS (03)
	SLOT_IS (04)
	SLOT_IS (05)
	SLOT_IS (06)
	SLOT_IS (07)
	SLOT_IS (08)
	SLOT_IS (09)
	SLOT_IS (0A)
	SLOT_IS (0B)
	SLOT_IS (0C)
	SLOT_IS (0D)
	SLOT_IS (0E)
	SLOT_IS (0F)
	SLOT_IS (10)
	SLOT_IS (11)
	SLOT_IS (12)
	SLOT_IS (13)
	SLOT_IS (14)
	SLOT_IS (15)
	SLOT_IS (16)
	SLOT_IS (17)
	SLOT_IS (18)
	SLOT_IS (19)
	SLOT_IS (1A)
	SLOT_IS (1B)
	SLOT_IS (1C)
	SLOT_IS (1D)
	SLOT_IS (1E)
	SLOT_IS (1F)

	/* What nothing else may use; Linux wants nothing but interrupts in the event device's _CRS */
	Device (\_SB.HPIO)
	{
		Name (_HID, EisaId ("PNP0C02"))
		Name (_UID, One)
		Name (_CRS, ResourceTemplate ()
		{
			IO (Decode16, LAYOUT_HOTPLUG_BASE, LAYOUT_HOTPLUG_BASE, 1, LAYOUT_HOTPLUG_SIZE)
		})
	}

	Device (\_SB.HPLG)
	{
		Name (_HID, "ACPI0013")
		Name (_UID, Zero)
		Name (_CRS, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive)
			{
				LAYOUT_IRQ_HOTPLUG
			}
		})

		OperationRegion (REGS, SystemIO, LAYOUT_HOTPLUG_BASE, LAYOUT_HOTPLUG_SIZE)
		Field (REGS, DWordAcc, NoLock, WriteAsZeros)
		{
			ADDS, 32,
			ASKS, 32,
			EJCT, 32
		}

		/* Who is asked to go comes first: its slot may have been filled again. */
		Method (_EVT, 1, Serialized)
		{
			Local0 = ASKS
			Local1 = ADDS
			TELL (01, 0x00000002)
			TELL (02, 0x00000004)
			TELL (03, 0x00000008)
			TELL (04, 0x00000010)
			TELL (05, 0x00000020)
			TELL (06, 0x00000040)
			TELL (07, 0x00000080)
			TELL (08, 0x00000100)
			TELL (09, 0x00000200)
			TELL (0A, 0x00000400)
			TELL (0B, 0x00000800)
			TELL (0C, 0x00001000)
			TELL (0D, 0x00002000)
			TELL (0E, 0x00004000)
			TELL (0F, 0x00008000)
			TELL (10, 0x00010000)
			TELL (11, 0x00020000)
			TELL (12, 0x00040000)
			TELL (13, 0x00080000)
			TELL (14, 0x00100000)
			TELL (15, 0x00200000)
			TELL (16, 0x00400000)
			TELL (17, 0x00800000)
			TELL (18, 0x01000000)
			TELL (19, 0x02000000)
			TELL (1A, 0x04000000)
			TELL (1B, 0x08000000)
			TELL (1C, 0x10000000)
			TELL (1D, 0x20000000)
			TELL (1E, 0x40000000)
			TELL (1F, 0x80000000)
		}
	}
}
