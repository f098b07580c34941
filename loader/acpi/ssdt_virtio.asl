/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SSDT of a machine with virtio over MMIO: where the devices are, which cannot be probed. It is
 * static for as many as there can be; the loader writes how many there are over VCNT's byte. The
 * wires are shared: level, active high. Virtio 1.2 knows device trees only (4.2.2); the identifier
 * is the one that Linux' virtio_mmio.c binds to.
 *
 * Addresses are put together from digits, as iasl makes wrong code of sums inside resources: they
 * are LAYOUT_VIRTIO_MMIO_BASE + nn * LAYOUT_VIRTIO_MMIO_STEP (test_acpi.c compares them).
 */
DefinitionBlock ("", "SSDT", 2, "BANTAM", "VIRTMMIO", 1)
{
	Scope (\_SB)
	{
		Name (VCNT, 0xFF)

#define DEVICE(nn, gsi) \
		Device (VM##nn) \
		{ \
			Name (_HID, "LNRO0005") \
			Name (_UID, 0x##nn) \
			Name (_CCA, One) \
			Method (_STA) \
			{ \
				If (0x##nn < VCNT) \
				{ \
					Return (0x0F) \
				} \
				Return (Zero) \
			} \
			Name (_CRS, ResourceTemplate () \
			{ \
				Memory32Fixed (ReadWrite, 0xE02##nn##000, 0x1000) \
				Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { gsi } \
			}) \
		}
		DEVICE (00, 16)
		DEVICE (01, 17)
		DEVICE (02, 18)
		DEVICE (03, 19)
		DEVICE (04, 20)
		DEVICE (05, 21)
		DEVICE (06, 22)
		DEVICE (07, 23)
		DEVICE (08, 16)
		DEVICE (09, 17)
		DEVICE (0A, 18)
		DEVICE (0B, 19)
		DEVICE (0C, 20)
		DEVICE (0D, 21)
		DEVICE (0E, 22)
		DEVICE (0F, 23)
		DEVICE (10, 16)
		DEVICE (11, 17)
		DEVICE (12, 18)
		DEVICE (13, 19)
		DEVICE (14, 20)
		DEVICE (15, 21)
		DEVICE (16, 22)
		DEVICE (17, 23)
		DEVICE (18, 16)
		DEVICE (19, 17)
		DEVICE (1A, 18)
		DEVICE (1B, 19)
		DEVICE (1C, 20)
		DEVICE (1D, 21)
		DEVICE (1E, 22)
		DEVICE (1F, 23)
		DEVICE (20, 16)
		DEVICE (21, 17)
		DEVICE (22, 18)
		DEVICE (23, 19)
		DEVICE (24, 20)
		DEVICE (25, 21)
		DEVICE (26, 22)
		DEVICE (27, 23)
	}
}
