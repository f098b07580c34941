/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One slot of the PCI bus whose function can be taken out. The loader copies what is inside behind
 * the code of ssdt_hotplug.asl, once for each such slot, and puts its number over 7E.
 */
DefinitionBlock ("", "SSDT", 2, "BANTAM", "SLOT", 1)
{
	External (\_SB.PCI0, DeviceObj)
	External (\_SB.HPLG.EJCT, FieldUnitObj)

	Scope (\_SB.PCI0)
	{
		Device (S7E)
		{
			Name (_ADR, 0x007E0000)
			Name (_SUN, 0x7E)
			Method (_EJ0, 1)
			{
				\_SB.HPLG.EJCT = One << _SUN
			}
		}
	}
}
