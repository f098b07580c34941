/* SPDX-License-Identifier: BSD-2-Clause */
/* What other monitors call it: refused, with the word that is right here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vm/config/config_line.h"

static const struct {
	const char *text, *words;
} lines[] = {
	/* QEMU */
	{"-append console=ttyS0", "unknown option '-append' (here: -a PARAMETERS)"},
	{"-kernel vmlinuz", "unknown option '-kernel' (here: -k FILE)"},
	{"-initrd rd", "unknown option '-initrd' (here: -i FILE)"},
	{"-nographic", "unknown option '-nographic' (leave it out: there are no graphics"},
	{"-smp 4", "unknown option '-smp' (here: -c N)"},
	{"-hda disk.img", "unknown option '-hda' (here: -d FILE)"},
	{"-drive file=disk.img,if=virtio", "unknown option '-drive' (here: -d FILE"},
	{"-netdev user,id=n0", "unknown option '-netdev' (here: -n KIND"},
	{"-device virtio-net-pci,netdev=n0", "unknown option '-device' (here: -d for a disk"},
	{"-serial stdio", "unknown option '-serial' (here: --serial WHERE)"},
	{"-enable-kvm", "unknown option '-enable-kvm' (leave it out: KVM is always used)"},
	{"-cpu host", "unknown option '-cpu' (here: --cpu FEATURES"},
	{"-M q35", "unknown option '-M' (leave it out"},
	{"-no-reboot", "unknown option '-no-reboot' (here: --on-reboot exit)"},
	{"--append x", "unknown option '--append' (here: -a PARAMETERS)"},
	{"--smp=4", "unknown option '--smp' (here: -c N)"},
	/* The rest of the words is ours. */
	{"-m 1G -v -append x", "unknown option '-append'"},
	/* kvmtool */
	{"--ram 512", "unknown option '--ram' (here: -m SIZE)"},
	{"--mem=512", "did you mean --memory?"},
	{"-p root=/dev/vda", "unknown option '-p' (here: -a PARAMETERS)"},
	{"--params root=/dev/vda", "unknown option '--params' (here: -a PARAMETERS)"},
	{"-n mode=tap", "--net: unknown option 'mode' (here the kind comes first"},
	/* Firecracker and Cloud Hypervisor */
	{"--api-sock /run/f.sock", "unknown option '--api-sock' (leave it out"},
	{"--initramfs rd", "unknown option '--initramfs' (here: -i FILE)"},
	{"--disk path=disk.img,readonly=on", "--disk: 'path=disk.img' (here the file comes first"},
	{"--net tap=tap0", "--net: unknown option 'tap' (here: tap,ifname=NAME)"},
	/* Behind commas */
	{"-d file=disk.img,format=raw", "a file of that name is ./file=disk.img)"},
	{"-d disk.img,if=virtio", "--disk: unknown option 'if' (leave it out"},
	{"-d disk.img,readonly=on", "--disk: unknown option 'readonly' (here: ro)"},
	{"-n user,restrict=on", "--net: restrict takes no value (use restrict alone, or leave it"},
	{"-n tap,script=no", "--net: script: 'no' (here: none, or leave it out"},
	{"-n tap,downscript=no", "--net: unknown option 'downscript' (leave it out"},
};

static void hints(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		config_line_refused(lines[i].text, lines[i].words);
}

/* What is said about another option names one that exists. */
static void hints_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *at = strstr(lines[i].words, "here: -");
		bool found = false;

		if (!at)
			continue;
		at += strlen("here: ");
		for (enum option_id id = 0; id < NUM_OPTIONS; id++) {
			const struct option_spec *spec = option_spec(id);
			const size_t len = strlen(spec->name);

			if (at[1] == '-')
				found |= !strncmp(at + 2, spec->name, len) &&
					 strchr(" )", at[2 + len]);
			else
				found |= at[1] == spec->short_name;
		}
		if (!found)
			fail_msg("'%s'", lines[i].words);
	}
}

/* None of ours is taken for one of theirs. */
static void ours(void **state)
{
	static const char *const taken[] = {
		"-kvmlinuz -ird -ax -m1G -c2 -dimage -nuser -v",
		"-vvd image",
		"-d ./file=disk.img",
		"-d file,,x=y",
		"-n tap,script=./no",
		"-n tap,script=none",
		"-- append",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		struct config_line line;
		struct config config;

		config_line_ok(&config, &line, taken[i]);
		config_destroy(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hints),
		cmocka_unit_test(hints_exist),
		cmocka_unit_test(ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
