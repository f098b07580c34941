/* SPDX-License-Identifier: BSD-2-Clause */
/* The device tree: what is in it, what dtc says of it, and how it reaches a kernel. */
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "fakes/kernel_files.h"
#include "loader/boot/boot_proto.h"
#include "loader/boot/setup_data.h"
#include "loader/fit/dtb.h"
#include "loader/image/bytes.h"
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static void *build(const struct dtb_config *config, size_t *size)
{
	struct error err = {""};
	void *fdt = NULL;

	if (dtb_build(config, &fdt, size, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fdt_check_full(fdt, *size), 0);
	return fdt;
}

static int node_of(const void *fdt, const char *path)
{
	int node = fdt_path_offset(fdt, path);

	if (node < 0)
		fail_msg("there is no %s", path);
	return node;
}

static void assert_no_node(const void *fdt, const char *path)
{
	assert_int_equal(fdt_path_offset(fdt, path), -FDT_ERR_NOTFOUND);
}

static void assert_cells(
	const void *fdt, const char *path, const char *name, const uint32_t *cells, size_t count)
{
	int len;
	const uint8_t *found = fdt_getprop(fdt, node_of(fdt, path), name, &len);

	if (!found || (size_t)len != count * sizeof(fdt32_t))
		fail_msg("%s: %s has %d bytes", path, name, len);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(
			fdt32_ld((const fdt32_t *)(const void *)(found + 4 * i)), cells[i]);
}

#define CELLS(fdt, path, name, ...)                                                                \
	do {                                                                                       \
		const uint32_t cells_[] = {__VA_ARGS__};                                           \
		assert_cells(fdt, path, name, cells_, ARRAY_SIZE(cells_));                         \
	} while (0)

/* ---- content ---- */

static void small_machine(void **state)
{
	struct fake_ram ram;
	struct dtb_config config = {.num_cpus = 1, .cmdline = "quiet"};
	size_t size;
	void *fdt;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	config.mem = ram.mem;
	fdt = build(&config, &size);
	CELLS(fdt, "/memory@0", "reg", 0, 0, 0, 64 << 20);
	CELLS(fdt, "/cpus/cpu@0", "reg", 0);
	assert_no_node(fdt, "/cpus/cpu@1");
	assert_no_node(fdt, "/memory@100000000");
	assert_no_node(fdt, "/soc/isa@0/serial@3f8");
	assert_no_node(fdt, "/soc/virtio@e0200000");
	assert_null(fdt_getprop(fdt, node_of(fdt, "/chosen"), "stdout-path", NULL));
	assert_string_equal(fdt_getprop(fdt, node_of(fdt, "/chosen"), "bootargs", NULL), "quiet");
	free(fdt);
	fake_ram_destroy(&ram);
}

static void large_machine(void **state)
{
	struct fake_ram ram;
	struct dtb_config config = {
		.num_cpus = 18, .serial = {true, true}, .virtio_mmio = 10, .cmdline = ""};
	size_t size;
	void *fdt;

	(void)state;
	fake_ram_create(&ram, 4 * GiB);
	config.mem = ram.mem;
	fdt = build(&config, &size);
	CELLS(fdt, "/memory@0", "reg", 0, 0, 0, 0xC0000000);
	CELLS(fdt, "/memory@100000000", "reg", 1, 0, 0, 0x40000000);
	CELLS(fdt, "/cpus/cpu@11", "reg", 17);
	assert_no_node(fdt, "/cpus/cpu@12");
	CELLS(fdt, "/soc/isa@0/serial@3f8", "interrupts", 4, 3);
	CELLS(fdt, "/soc/isa@0/serial@2f8", "interrupts", 3, 3);
	CELLS(fdt, "/soc/isa@0/serial@2f8", "reg", 1, 0x2f8, 8);
	assert_no_node(fdt, "/soc/isa@0/serial@3e8");
	node_of(fdt, fdt_getprop(fdt, node_of(fdt, "/chosen"), "stdout-path", NULL));
	/* The ninth shares the first one's wire: level, active high, as the SSDT says. */
	CELLS(fdt, "/soc/virtio@e0200000", "interrupts", 16, 1);
	CELLS(fdt, "/soc/virtio@e0208000", "interrupts", 16, 1);
	CELLS(fdt, "/soc/virtio@e0209000", "interrupts", 17, 1);
	CELLS(fdt, "/soc/virtio@e0209000", "reg", 0, 0xe0209000, 0, 0x1000);
	assert_no_node(fdt, "/soc/virtio@e020a000");
	free(fdt);
	fake_ram_destroy(&ram);
}

/* Pin p of device d is at 16 + (d + p) % 8 in the DSDT. */
static void pci_interrupts(void **state)
{
	enum { ENTRY = 7 };
	struct fake_ram ram;
	struct dtb_config config = {.num_cpus = 1, .cmdline = ""};
	const fdt32_t *map;
	size_t size;
	int len;
	void *fdt;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	config.mem = ram.mem;
	fdt = build(&config, &size);
	map = fdt_getprop(fdt, node_of(fdt, "/pci@e0000000"), "interrupt-map", &len);
	assert_int_equal(len, 8 * 4 * ENTRY * 4);
	for (uint32_t i = 0; i < 32; i++, map += ENTRY) {
		uint32_t device = i / 4, pin = i % 4;

		assert_int_equal(fdt32_ld(map), device << 11);
		assert_int_equal(fdt32_ld(map + 3), pin + 1);
		assert_int_equal(fdt32_ld(map + 4),
			fdt_get_phandle(fdt, node_of(fdt, "/soc/interrupt-controller@fec00000")));
		assert_int_equal(fdt32_ld(map + 5), 16 + (device + pin) % 8);
	}
	CELLS(fdt, "/pci@e0000000", "interrupt-map-mask", 0x3800, 0, 0, 7);
	free(fdt);
	fake_ram_destroy(&ram);
}

/* The largest there is goes to where the loader puts it; a line that is too long is refused. */
static void room(void **state)
{
	static char cmdline[2 * DTB_MAX];
	struct fake_ram ram;
	struct dtb_config config = {.num_cpus = 254,
		.serial = {true, true, true, true},
		.virtio_mmio = LAYOUT_VIRTIO_MMIO_MAX,
		.cmdline = cmdline};
	struct error err = {""};
	void *fdt;
	size_t size;
	uint64_t gpa = 0;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	config.mem = ram.mem;
	memset(cmdline, 'x', LAYOUT_CMDLINE_MAX - 1);
	fdt = build(&config, &size);
	assert_int_equal(setup_data_write(ram.mem, SETUP_DATA_DTB, fdt, size, &gpa), 0);
	assert_true(gpa + SETUP_DATA_HEADER + size <= LAYOUT_EBDA);
	free(fdt);
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	fdt = NULL;
	assert_int_equal(dtb_build(&config, &fdt, &size, &err), -ENOSPC);
	assert_null(fdt);
	assert_int_equal(setup_data_write(ram.mem, SETUP_DATA_DTB, cmdline,
				 LAYOUT_SETUP_DATA_MAX - SETUP_DATA_HEADER + 1, &gpa),
		-ENOSPC);
	assert_int_equal(
		setup_data_write(ram.mem, SETUP_DATA_DTB, cmdline, SIZE_MAX, &gpa), -ENOSPC);
	fake_ram_destroy(&ram);
}

/* ---- dtc ---- */

static void no_warnings(unsigned int cpus, unsigned int virtio, uint64_t memory)
{
	char path[] = "/tmp/bantam-dtb-XXXXXX", command[128], said[256] = "";
	struct fake_ram ram;
	struct dtb_config config = {.num_cpus = cpus,
		.serial = {true, virtio > 1, virtio > 1, virtio > 1},
		.virtio_mmio = virtio,
		.cmdline = "console=ttyS0"};
	size_t size;
	void *fdt;
	FILE *dtc;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	fake_ram_create(&ram, memory);
	config.mem = ram.mem;
	fdt = build(&config, &size);
	assert_int_equal(write(fd, fdt, size), size);
	close(fd);
	snprintf(command, sizeof(command), "dtc -I dtb -O dtb -o /dev/null %s 2>&1", path);
	dtc = popen(command, "r");
	assert_non_null(dtc);
	if (fread(said, 1, sizeof(said) - 1, dtc))
		fail_msg("dtc: %s", said);
	assert_int_equal(pclose(dtc), 0);
	unlink(path);
	free(fdt);
	fake_ram_destroy(&ram);
}

static void dtc_has_no_warnings(void **state)
{
	(void)state;
	if (system("dtc --version >/dev/null 2>&1") != 0)
		skip();
	no_warnings(1, 0, 64 * MiB);
	no_warnings(254, LAYOUT_VIRTIO_MMIO_MAX, 8 * GiB);
}

/* ---- the way to a kernel ---- */

struct handed {
	struct fake_ram ram;
	struct kernel_file file;
	struct image kernel;
	struct error err;
	struct loader_result result;
};

static int hand_over(struct handed *h, struct loader_config *config)
{
	fake_ram_create(&h->ram, 64 * MiB);
	image_from_memory("kernel", h->file.bytes, h->file.size, &h->kernel);
	config->kernel = &h->kernel;
	config->cmdline = "";
	config->dtb = "a device tree";
	config->dtb_size = 14;
	return loader_load(h->ram.mem, config, &h->result, &h->err);
}

static void assert_handed(const struct handed *h)
{
	const uint8_t *bp = fake_ram_at(&h->ram, LAYOUT_BOOT_PARAMS, BOOT_PARAMS_SIZE);
	const uint8_t *data = fake_ram_at(&h->ram, LAYOUT_SETUP_DATA, SETUP_DATA_HEADER + 14);

	assert_int_equal(get_le64(bp + HDR_SETUP_DATA), LAYOUT_SETUP_DATA);
	assert_int_equal(get_le64(data + SETUP_DATA_NEXT), 0);
	assert_int_equal(get_le32(data + SETUP_DATA_TYPE), 2);
	assert_int_equal(get_le32(data + SETUP_DATA_LEN), 14);
	assert_string_equal((const char *)data + SETUP_DATA_HEADER, "a device tree");
}

static void to_kernels(void **state)
{
	static void (*const make[])(struct kernel_file *) = {make_bzimage, make_elf64};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(make); i++) {
		struct loader_config config = {.rsdp_gpa = 0};
		struct handed h = {.err = {""}};

		make[i](&h.file);
		if (hand_over(&h, &config))
			fail_msg("%s", h.err.text);
		assert_handed(&h);
		fake_ram_destroy(&h.ram);
	}
}

static void not_to_others(void **state)
{
	struct loader_config config = {.rsdp_gpa = 0};
	struct handed h = {.err = {""}};

	(void)state;
	make_elf32(&h.file);
	assert_int_equal(hand_over(&h, &config), -ENOTSUP);
	assert_non_null(strstr(h.err.text, "--dtb"));
	fake_ram_destroy(&h.ram);
	/* boot_params had no such field then */
	make_bzimage(&h.file);
	poke(&h.file, HDR_VERSION, 2, 0x0208);
	assert_int_equal(hand_over(&h, &config), -ENOTSUP);
	fake_ram_destroy(&h.ram);
	make_bzimage(&h.file);
	poke(&h.file, HDR_VERSION, 2, 0x0209);
	assert_int_equal(hand_over(&h, &config), 0);
	assert_handed(&h);
	fake_ram_destroy(&h.ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_machine),
		cmocka_unit_test(large_machine),
		cmocka_unit_test(pci_interrupts),
		cmocka_unit_test(room),
		cmocka_unit_test(dtc_has_no_warnings),
		cmocka_unit_test(to_kernels),
		cmocka_unit_test(not_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
