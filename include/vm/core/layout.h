/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's fixed addresses. Only #defines without types and without suffixes: the ACPI source
 * (loader/acpi/dsdt.asl) is run through the preprocessor with this file too.
 *
 *   0            640 KiB .. 1 MiB           3 GiB            4 GiB              256 GiB   320 GiB
 *   | RAM        | legacy hole, part of RAM | 32-bit hole    | RAM above 4 GiB  | 64-bit  | RAM
 *   |            | for the guest: ACPI      | BARs ECAM APIC |                  | BARs    |
 */
#ifndef BANTAM_VM_CORE_LAYOUT_H
#define BANTAM_VM_CORE_LAYOUT_H

/* RAM */
#define LAYOUT_LOW_RAM_END    0xC0000000 /* RAM below 4 GiB ends here at the latest */
#define LAYOUT_HIGH_RAM_START 0x100000000

/* The 32-bit hole */
#define LAYOUT_MMIO32_BASE 0xC0000000 /* 32-bit PCI BARs */
#define LAYOUT_MMIO32_SIZE 0x20000000
#define LAYOUT_ECAM_BASE   0xE0000000 /* PCI configuration space of bus 0, 1 MiB */
#define LAYOUT_ECAM_SIZE   0x00100000
/*
 * Virtio over MMIO: device n is at base + n * step, on GSI LAYOUT_IRQ_PCI + n % LAYOUT_IRQ_PCI_N,
 * or on one of the ISA interrupts that nobody has, where the command line alone tells of it
 */
#define LAYOUT_VIRTIO_MMIO_BASE 0xE0200000
#define LAYOUT_VIRTIO_MMIO_STEP 0x1000
#define LAYOUT_VIRTIO_MMIO_MAX	40
#define LAYOUT_IOAPIC_BASE	0xFEC00000
#define LAYOUT_LAPIC_BASE	0xFEE00000
/*
 * KVM on Intel hosts wants four pages for its own use: for the identity map where it is unless told
 * otherwise, in what would be a large ROM, and for a TSS behind that.
 */
#define LAYOUT_KVM_IDENTITY_BASE 0xFFFBC000
#define LAYOUT_KVM_TSS_BASE	 0xFFFBD000

/* The 64-bit hole: RAM goes around it */
#define LAYOUT_MMIO64_BASE 0x4000000000
#define LAYOUT_MMIO64_SIZE 0x1000000000
#define LAYOUT_MMIO64_END  0x5000000000

/* What the loader puts below 1 MiB */
#define LAYOUT_BOOT_GDT	      0x00000500
#define LAYOUT_EBDA_PTR	      0x0000040E /* BIOS data area: segment of the EBDA */
#define LAYOUT_BOOT_PARAMS    0x00007000
#define LAYOUT_PVH_START_INFO 0x00006000
#define LAYOUT_MULTIBOOT_INFO 0x00006000 /* a kernel is told by one of them */
#define LAYOUT_BOOT_STACK     0x00008FF0
#define LAYOUT_PAGE_TABLES    0x00009000 /* PML4, PDPT, 4 page directories: up to 0xF000 */
#define LAYOUT_CMDLINE	      0x00020000
#define LAYOUT_CMDLINE_MAX    0x00010000
#define LAYOUT_SETUP_DATA     0x00040000 /* struct setup_data with the device tree */
#define LAYOUT_SETUP_DATA_MAX 0x00050000
#define LAYOUT_EBDA	      0x0009FC00 /* end of conventional memory */
#define LAYOUT_ACPI_BASE      0x000E0000 /* RSDP first (the area that guests scan), tables behind */
#define LAYOUT_ACPI_SIZE      0x00010000
#define LAYOUT_SMBIOS_BASE    0x000F0000 /* its entry point first (guests scan from here) */
#define LAYOUT_SMBIOS_SIZE    0x00010000
#define LAYOUT_KERNEL_MIN     0x00100000

/* Ports */
#define LAYOUT_PIC1_PORT    0x20
#define LAYOUT_PIT_PORT	    0x40
#define LAYOUT_I8042_DATA   0x60
#define LAYOUT_PORT61	    0x61
#define LAYOUT_I8042_CMD    0x64
#define LAYOUT_RTC_PORT	    0x70
#define LAYOUT_POST_PORT    0x80
#define LAYOUT_PORT92	    0x92 /* system control port A */
#define LAYOUT_PIC2_PORT    0xA0
#define LAYOUT_ELCR_PORT    0x4D0 /* of both PICs */
#define LAYOUT_COM1_PORT    0x3F8
#define LAYOUT_COM2_PORT    0x2F8
#define LAYOUT_COM3_PORT    0x3E8
#define LAYOUT_COM4_PORT    0x2E8
#define LAYOUT_PVPANIC_PORT 0x505
#define LAYOUT_PM_BASE	    0x600 /* ACPI PM block, see devices/acpi_pm.h */
#define LAYOUT_PM_SIZE	    0x20
#define LAYOUT_PM1_EVT	    0x600
#define LAYOUT_PM1_CNT	    0x604
#define LAYOUT_PM_RESET	    0x608
#define LAYOUT_PM_PRESENCE  0x60C /* dword: which optional devices the DSDT shows */
#define LAYOUT_PM_TIMER	    0x610 /* dword, 3.579545 MHz */
#define LAYOUT_HOTPLUG_BASE 0x620 /* see devices/pci/pci_hotplug.h */
#define LAYOUT_HOTPLUG_SIZE 0xC
#define LAYOUT_PCI_CFG_PORT 0xCF8
#define LAYOUT_EXIT_PORTS   4 /* of --exit-port, wherever that is */

/*
 * PCI windows as the ACPI source needs them: it can not subtract. SLP_TYP of \_S5, the only sleep
 * state there is.
 */
#define LAYOUT_PCI_IO_BASE   0x1000
#define LAYOUT_PCI_IO_SIZE   0xF000
#define LAYOUT_PCI_IO_LAST   0xFFFF
#define LAYOUT_MMIO32_LAST   0xDFFFFFFF
#define LAYOUT_MMIO64_LAST   0x4FFFFFFFFF
#define LAYOUT_PM_SLP_TYP_S5 5

/* LAYOUT_PM_PRESENCE bits */
#define LAYOUT_PRESENT_COM1    0x1
#define LAYOUT_PRESENT_COM2    0x2
#define LAYOUT_PRESENT_COM3    0x4
#define LAYOUT_PRESENT_COM4    0x8
#define LAYOUT_PRESENT_PVPANIC 0x10

/* GSIs; ISA interrupts are wired one to one, IRQ 0 included, so the MADT needs no override for it
 */
#define LAYOUT_IRQ_PIT	  0
#define LAYOUT_IRQ_KBD	  1
#define LAYOUT_IRQ_COM2_4 3
#define LAYOUT_IRQ_COM1_3 4
#define LAYOUT_IRQ_RTC	  8
#define LAYOUT_IRQ_SCI	  9 /* level */
/* Level. Virtio over MMIO may have it instead, where nothing is plugged. */
#define LAYOUT_IRQ_HOTPLUG 10
/* First of 8 for INTx: device d, pin p uses 16 + (d + p) % 8; also for virtio over MMIO */
#define LAYOUT_IRQ_PCI	 16
#define LAYOUT_IRQ_PCI_N 8
#define LAYOUT_IRQ_FREE	 5, 6, 7, 10, 11, 12, 14, 15 /* ISA interrupts that nobody has, as many */
#define LAYOUT_GSI_MSI	 24 /* first GSI for message-signalled interrupts */
#define LAYOUT_IOAPIC_ID 0

#endif
