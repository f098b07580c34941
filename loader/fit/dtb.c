/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux reads of a device tree on x86 (arch/x86/kernel/devicetree.c and
 * Documentation/devicetree/bindings/x86): processors by APIC id, local APIC, IOAPIC, interrupts of
 * PCI; and devices that cannot be probed, for their drivers. The bindings bear the name of the
 * CE4100, the one processor that they were made for, but for "intel,virtual-wire-mode".
 *
 * The first of the ioapic's two cells is the pin, which is the GSI, the second one the kind. The
 * root has addresses and sizes of 64 bits.
 */
#include "loader/fit/dtb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/boot/setup_data.h"
#include "loader/fit/fdt_out.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { IOAPIC = 1 /* its phandle */, UART_CLOCK = 1843200, UART_BAUD = 115200 };

_Static_assert(DTB_MAX + SETUP_DATA_HEADER <= LAYOUT_SETUP_DATA_MAX, "a kernel can be handed it");

/* The second cell of an interrupt */
enum { LEVEL_HIGH = 1, LEVEL_LOW = 2, EDGE_HIGH = 3 };

/* Space codes of a PCI address' first cell (IEEE 1275's PCI binding, 2.2.1.1) */
#define PCI_SPACE_IO	0x01000000
#define PCI_SPACE_MEM32 0x02000000
#define PCI_SPACE_MEM64 0x43000000 /* prefetchable */

#define HIGH(x)		((uint32_t)((uint64_t)(x) >> 32))
#define LOW(x)		((uint32_t)(x))

#define CELLS(out, name, ...)                                                                      \
	do {                                                                                       \
		const uint32_t cells_[] = {__VA_ARGS__};                                           \
		fdt_out_cells(out, name, cells_, ARRAY_SIZE(cells_));                              \
	} while (0)

static void cell_sizes(struct fdt_out *out, uint32_t address, uint32_t size)
{
	fdt_out_cell(out, "#address-cells", address);
	fdt_out_cell(out, "#size-cells", size);
}

static void reg(struct fdt_out *out, uint64_t base, uint64_t size)
{
	CELLS(out, "reg", HIGH(base), LOW(base), HIGH(size), LOW(size));
}

static void interrupt(struct fdt_out *out, uint32_t gsi, uint32_t kind)
{
	CELLS(out, "interrupts", gsi, kind);
}

/* ---- processors and memory ---- */

static void put_cpus(struct fdt_out *out, unsigned int count)
{
	fdt_out_begin(out, "cpus");
	cell_sizes(out, 1, 0);
	for (unsigned int id = 0; id < count; id++) {
		fdt_out_begin(out, "cpu@%x", id);
		fdt_out_string(out, "device_type", "cpu");
		fdt_out_cell(out, "reg", id);
		fdt_out_end(out);
	}
	fdt_out_end(out);
}

static void put_memory(struct fdt_out *out, const struct guest_mem *mem)
{
	const struct guest_mem_region *regions;
	size_t count;

	regions = guest_mem_regions(mem, &count);
	for (size_t i = 0; i < count; i++) {
		fdt_out_begin(out, "memory@%llx", (unsigned long long)regions[i].gpa);
		fdt_out_string(out, "device_type", "memory");
		reg(out, regions[i].gpa, regions[i].size);
		fdt_out_end(out);
	}
}

/* ---- devices with registers in memory ---- */

/* Left open. */
static void begin_apic(struct fdt_out *out, const char *compatible, uint32_t base)
{
	fdt_out_begin(out, "interrupt-controller@%x", base);
	fdt_out_string(out, "compatible", compatible);
	reg(out, base, 4 * KiB);
	fdt_out_flag(out, "interrupt-controller");
	fdt_out_cell(out, "#interrupt-cells", 2);
	fdt_out_cell(out, "#address-cells", 0);
}

static void put_apics(struct fdt_out *out)
{
	begin_apic(out, "intel,ce4100-ioapic", LAYOUT_IOAPIC_BASE);
	fdt_out_cell(out, "phandle", IOAPIC);
	fdt_out_end(out);
	begin_apic(out, "intel,ce4100-lapic", LAYOUT_LAPIC_BASE);
	fdt_out_flag(out, "intel,virtual-wire-mode");
	fdt_out_end(out);
}

static void put_virtio(struct fdt_out *out, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t base = LAYOUT_VIRTIO_MMIO_BASE + (uint64_t)i * LAYOUT_VIRTIO_MMIO_STEP;

		fdt_out_begin(out, "virtio@%llx", (unsigned long long)base);
		fdt_out_string(out, "compatible", "virtio,mmio");
		reg(out, base, LAYOUT_VIRTIO_MMIO_STEP);
		interrupt(out, LAYOUT_IRQ_PCI + i % LAYOUT_IRQ_PCI_N, LEVEL_HIGH);
		fdt_out_flag(out, "dma-coherent");
		fdt_out_end(out);
	}
}

/* ---- devices with registers among the ports ---- */

static void isa_reg(struct fdt_out *out, uint32_t port, uint32_t size)
{
	CELLS(out, "reg", 1, port, size); /* 1: a port */
}

static void put_serial(struct fdt_out *out, uint32_t port, uint32_t irq)
{
	fdt_out_begin(out, "serial@%x", port);
	fdt_out_string(out, "device_type", "serial");
	fdt_out_string(out, "compatible", "ns16550a");
	isa_reg(out, port, 8);
	interrupt(out, irq, EDGE_HIGH);
	fdt_out_cell(out, "clock-frequency", UART_CLOCK);
	fdt_out_cell(out, "current-speed", UART_BAUD);
	fdt_out_end(out);
}

static void put_isa(struct fdt_out *out, const struct dtb_config *config)
{
	static const struct {
		uint16_t port;
		uint8_t irq;
	} serial[DTB_MAX_SERIAL] = {
		{LAYOUT_COM1_PORT, LAYOUT_IRQ_COM1_3},
		{LAYOUT_COM2_PORT, LAYOUT_IRQ_COM2_4},
		{LAYOUT_COM3_PORT, LAYOUT_IRQ_COM1_3},
		{LAYOUT_COM4_PORT, LAYOUT_IRQ_COM2_4},
	};

	fdt_out_begin(out, "isa@0");
	fdt_out_string(out, "compatible", "isa");
	cell_sizes(out, 2, 1);
	/* Linux wants a range to translate by, and takes what comes out for a port. */
	CELLS(out, "ranges", 1, 0, 0, 0, 0x10000);
	fdt_out_begin(out, "rtc@%x", LAYOUT_RTC_PORT);
	fdt_out_string(out, "compatible", "motorola,mc146818");
	isa_reg(out, LAYOUT_RTC_PORT, 2);
	interrupt(out, LAYOUT_IRQ_RTC, EDGE_HIGH);
	fdt_out_end(out);
	for (size_t i = 0; i < ARRAY_SIZE(serial); i++)
		if (config->serial[i])
			put_serial(out, serial[i].port, serial[i].irq);
	fdt_out_end(out);
}

static void put_soc(struct fdt_out *out, const struct dtb_config *config)
{
	static const char compatible[] = "intel,ce4100-cp\0simple-bus";

	fdt_out_begin(out, "soc");
	fdt_out_bytes(out, "compatible", compatible, sizeof(compatible));
	cell_sizes(out, 2, 2);
	fdt_out_flag(out, "ranges");
	put_apics(out);
	put_virtio(out, config->virtio_mmio);
	put_isa(out, config);
	fdt_out_end(out);
}

/* ---- PCI ---- */

/* Eight wires, so the low three bits of the device's number and its pin tell which. */
static void put_interrupt_map(struct fdt_out *out)
{
	enum { PINS = 4, CELLS_EACH = 7 };
	uint32_t map[LAYOUT_IRQ_PCI_N * PINS * CELLS_EACH], *p = map;

	for (uint32_t device = 0; device < LAYOUT_IRQ_PCI_N; device++) {
		for (uint32_t pin = 0; pin < PINS; pin++) {
			const uint32_t entry[CELLS_EACH] = {device << 11, 0, 0, pin + 1, IOAPIC,
				LAYOUT_IRQ_PCI + (device + pin) % LAYOUT_IRQ_PCI_N, LEVEL_LOW};

			memcpy(p, entry, sizeof(entry));
			p += CELLS_EACH;
		}
	}
	fdt_out_cell(out, "#interrupt-cells", 1);
	CELLS(out, "interrupt-map-mask", (LAYOUT_IRQ_PCI_N - 1) << 11, 0, 0, 7);
	fdt_out_cells(out, "interrupt-map", map, ARRAY_SIZE(map));
}

static void put_pci(struct fdt_out *out)
{
	static const char compatible[] = "intel,ce4100-pci\0pci";

	fdt_out_begin(out, "pci@%x", LAYOUT_ECAM_BASE);
	fdt_out_bytes(out, "compatible", compatible, sizeof(compatible));
	fdt_out_string(out, "device_type", "pci");
	reg(out, LAYOUT_ECAM_BASE, LAYOUT_ECAM_SIZE);
	CELLS(out, "bus-range", 0, 0);
	cell_sizes(out, 3, 2);
	/* PCI address, the machine's address, size */
	CELLS(out, "ranges",
		/* ports */
		PCI_SPACE_IO, 0, LAYOUT_PCI_IO_BASE, 0, LAYOUT_PCI_IO_BASE, 0, LAYOUT_PCI_IO_SIZE,
		/* 32 bits */
		PCI_SPACE_MEM32, 0, LAYOUT_MMIO32_BASE, 0, LAYOUT_MMIO32_BASE, 0,
		LAYOUT_MMIO32_SIZE,
		/* 64 bits */
		PCI_SPACE_MEM64, HIGH(LAYOUT_MMIO64_BASE), LOW(LAYOUT_MMIO64_BASE),
		HIGH(LAYOUT_MMIO64_BASE), LOW(LAYOUT_MMIO64_BASE), HIGH(LAYOUT_MMIO64_SIZE),
		LOW(LAYOUT_MMIO64_SIZE));
	put_interrupt_map(out);
	fdt_out_end(out);
}

/* ---- */

static void put_chosen(struct fdt_out *out, const struct dtb_config *config)
{
	fdt_out_begin(out, "chosen");
	fdt_out_string(out, "bootargs", config->cmdline);
	if (config->serial[0])
		fdt_out_string(out, "stdout-path", "/soc/isa@0/serial@3f8");
	fdt_out_end(out);
}

int dtb_build(const struct dtb_config *config, void **ret, size_t *size, struct error *err)
{
	void *buf = calloc(1, DTB_MAX);
	struct fdt_out out;
	int len;

	if (!buf)
		return error_set_errno(err, -ENOMEM, "the device tree");
	fdt_out_start(&out, buf, DTB_MAX);
	fdt_out_string(&out, "compatible", "bantam");
	fdt_out_string(&out, "model", "Bantam virtual machine");
	cell_sizes(&out, 2, 2);
	fdt_out_cell(&out, "interrupt-parent", IOAPIC);
	put_chosen(&out, config);
	put_cpus(&out, config->num_cpus);
	put_memory(&out, config->mem);
	put_soc(&out, config);
	put_pci(&out);
	len = fdt_out_finish(&out);
	if (len < 0) {
		free(buf);
		return error_set(err, len, "the device tree has no room for all of it");
	}
	*ret = buf;
	*size = (size_t)len;
	return 0;
}
