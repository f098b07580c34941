/* SPDX-License-Identifier: BSD-2-Clause */
/* The newest readable kernel of a directory, in directories made for it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/config/kernel_find.h"
#include "vm/core/error.h"

enum { NOBODY = 65534 };

struct boot {
	char dir[64];
	uid_t uid;
};

static int make_boot(void **state)
{
	struct boot *boot = calloc(1, sizeof(*boot));

	assert_non_null(boot);
	strcpy(boot->dir, "/tmp/bantam-boot-XXXXXX");
	assert_non_null(mkdtemp(boot->dir));
	assert_int_equal(chmod(boot->dir, 0755), 0);
	boot->uid = geteuid();
	*state = boot;
	return 0;
}

static int remove_boot(void **state)
{
	struct boot *boot = *state;
	char command[128];

	assert_int_equal(seteuid(boot->uid), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", boot->dir);
	assert_int_equal(system(command), 0);
	free(boot);
	return 0;
}

/* Root may read everything, so who runs the tests as root looks as somebody else. */
static void become_nobody(const struct boot *boot)
{
	if (!boot->uid)
		assert_int_equal(seteuid(NOBODY), 0);
}

static char *path_of(const struct boot *boot, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", boot->dir, name);
	return path;
}

static void add(const struct boot *boot, const char *name, mode_t mode)
{
	int fd = open(path_of(boot, name), O_CREAT | O_WRONLY | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static const char *found_name(const struct boot *boot, const struct kernel_found *found)
{
	size_t len = strlen(boot->dir);

	assert_int_equal(strncmp(found->path, boot->dir, len), 0);
	assert_int_equal(found->path[len], '/');
	return found->path + len + 1;
}

static void newest(void **state)
{
	const struct boot *boot = *state;
	struct kernel_found found;

	add(boot, "vmlinuz-6.1.0-9-amd64", 0644);
	add(boot, "vmlinuz-6.1.0-18-amd64", 0644);
	add(boot, "vmlinuz-5.10.0-30-amd64", 0644);
	add(boot, "vmlinuz-6.1.0-18-amd64.old", 0644);
	add(boot, "vmlinuz-6.9.0.dpkg-new", 0644);
	add(boot, "initrd.img-6.12.0", 0644);
	add(boot, "vmlinux-6.12.0", 0644);
	add(boot, "vmlinuz", 0644);
	add(boot, ".vmlinuz-6.12.0.hmac", 0644);
	assert_int_equal(mkdir(path_of(boot, "vmlinuz-9.0-folder"), 0755), 0);
	assert_int_equal(mkfifo(path_of(boot, "vmlinuz-9.1-fifo"), 0644), 0);
	assert_int_equal(symlink("nowhere", path_of(boot, "vmlinuz-9.2-dangling")), 0);
	assert_int_equal(kernel_find(boot->dir, &found, NULL), 0);
	assert_string_equal(found_name(boot, &found), "vmlinuz-6.1.0-18-amd64");
	assert_string_equal(found.newer, "");

	assert_int_equal(symlink("vmlinuz-5.10.0-30-amd64", path_of(boot, "vmlinuz-7.0")), 0);
	assert_int_equal(kernel_find(boot->dir, &found, NULL), 0);
	assert_string_equal(found_name(boot, &found), "vmlinuz-7.0");
}

static void unreadable_is_passed_over(void **state)
{
	const struct boot *boot = *state;
	struct kernel_found found;

	add(boot, "vmlinuz-6.8.0-31-generic", 0600);
	add(boot, "vmlinuz-6.5.0-10-generic", 0644);
	add(boot, "vmlinuz-6.2.0-10-generic", 0600);
	become_nobody(boot);
	if (!boot->uid) {
		assert_int_equal(kernel_find(boot->dir, &found, NULL), 0);
		assert_string_equal(found_name(boot, &found), "vmlinuz-6.5.0-10-generic");
		assert_string_equal(found.newer, "vmlinuz-6.8.0-31-generic");
	} else {
		/* Ours: even 0600 lets us read. */
		assert_int_equal(kernel_find(boot->dir, &found, NULL), 0);
		assert_string_equal(found_name(boot, &found), "vmlinuz-6.8.0-31-generic");
	}
}

static void only_unreadable(void **state)
{
	const struct boot *boot = *state;
	struct kernel_found found = {.path = "untouched"};
	struct error err = {""};

	add(boot, "vmlinuz-6.8.0-9-generic", 0);
	add(boot, "vmlinuz-6.8.0-31-generic", 0);
	add(boot, "vmlinuz-6.5.0-10-generic", 0);
	become_nobody(boot);
	assert_int_equal(kernel_find(boot->dir, &found, &err), -EACCES);
	assert_string_equal(found.path, "untouched");
	assert_non_null(strstr(err.text, "/vmlinuz-6.8.0-31-generic (and 2 more);"));
	assert_non_null(strstr(err.text, "-k FILE"));
}

static void nothing_there(void **state)
{
	const struct boot *boot = *state;
	struct kernel_found found = {.path = "untouched"};
	struct error err = {""};

	assert_int_equal(kernel_find(boot->dir, &found, &err), -ENOENT);
	assert_non_null(strstr(err.text, "has none (vmlinuz-*); give one with -k FILE"));
	assert_int_equal(kernel_find(path_of(boot, "absent"), &found, &err), -ENOENT);
	assert_non_null(strstr(err.text, "absent cannot be read: No such file"));
	assert_string_equal(found.path, "untouched");
}

static void longest_name(void **state)
{
	const struct boot *boot = *state;
	struct kernel_found found;
	char name[NAME_MAX + 1];

	memset(name, '1', NAME_MAX);
	memcpy(name, "vmlinuz-", 8);
	name[NAME_MAX] = '\0';
	add(boot, name, 0644);
	assert_int_equal(kernel_find(boot->dir, &found, NULL), 0);
	assert_string_equal(found_name(boot, &found), name);
}

/* In rising order: each is older than every one that follows. */
static const char *const versions[] = {"", "0-rescue-8a7f", "4.19.0", "5.4.0-100-generic",
	"5.10~rc1", "5.10", "5.10.0-8", "5.10.0-08a", "5.10.0-9", "5.10.0-10", "6.1.0-rc1",
	"6.1.0-rc10", "6.1.0", "6.1.0-18-amd64", "6.1.0-18-cloud-amd64", "6.1.0-18-rt-amd64",
	"6.2.0_rc1", "6.2.0", "6.2.0-recent", "6.10.0", "6.10.1", "06.11", "18446744073709551616",
	"99999999999999999999999"};

static void version_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(versions); j++) {
			int r = kernel_version_compare(versions[i], versions[j]);

			if ((r > 0) - (r < 0) != (i > j) - (i < j))
				fail_msg("'%s' and '%s': %d", versions[i], versions[j], r);
		}
	}
}

/* Files as the distributions have them; the first of two that could be meant is taken. */
static const struct {
	const char *kernel, *initrd;
} distributions[] = {
	/* Debian, Ubuntu */
	{"vmlinuz-6.1.0-18-amd64", "initrd.img-6.1.0-18-amd64"},
	{"vmlinuz", "initrd.img"},
	/* Ubuntu's installer and cloud images */
	{"vmlinuz", "initrd"},
	{"noble-server-cloudimg-amd64-vmlinuz-generic",
		"noble-server-cloudimg-amd64-initrd-generic"},
	/* Debian's installer */
	{"linux", "initrd.gz"},
	{"vmlinuz", "initrd.gz"},
	/* Fedora and its rescue kernel, CentOS, its installer */
	{"vmlinuz-6.8.5-301.fc40.x86_64", "initramfs-6.8.5-301.fc40.x86_64.img"},
	{"vmlinuz-0-rescue-4d1a0b", "initramfs-0-rescue-4d1a0b.img"},
	{"vmlinuz", "initrd.img"},
	/* openSUSE and its installer */
	{"vmlinuz-6.4.0-150600.21-default", "initrd-6.4.0-150600.21-default"},
	{"linux", "initrd"},
	/* Arch */
	{"vmlinuz-linux", "initramfs-linux.img"},
	{"vmlinuz-linux-lts", "initramfs-linux-lts.img"},
	/* Alpine */
	{"vmlinuz-virt", "initramfs-virt"},
	{"vmlinuz-lts", "initramfs-lts"},
	/* Void */
	{"vmlinuz-6.6.30_1", "initramfs-6.6.30_1.img"},
	/* Gentoo: its own kernels, genkernel's */
	{"kernel-6.6.30-gentoo-dist", "initramfs-6.6.30-gentoo-dist.img"},
	{"kernel-genkernel-x86_64-6.6.30-gentoo", "initramfs-genkernel-x86_64-6.6.30-gentoo"},
	{"vmlinuz-6.6.30-gentoo-dist", "initramfs-6.6.30-gentoo-dist.img"},
	{"kernel-6.6.30", "initrd-6.6.30"},
	{"kernel-6.6.30", "initrd-6.6.30.img"},
	{"kernel-6.6.30", "initrd.img-6.6.30"},
	/* Mageia, Slackware */
	{"vmlinuz-6.6.28-desktop-1.mga9", "initrd-6.6.28-desktop-1.mga9.img"},
	/* NixOS: a running system's, and for the network */
	{"kernel", "initrd"},
	{"bzImage", "initrd"},
};

static void initrd_beside(void **state)
{
	const struct boot *boot = *state;
	char kernel[512], path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(distributions); i++) {
		snprintf(kernel, sizeof(kernel), "%s/%s", boot->dir, distributions[i].kernel);
		assert_false(kernel_find_initrd(kernel, path));
		add(boot, distributions[i].initrd, 0644);
		if (!kernel_find_initrd(kernel, path))
			fail_msg("%s", distributions[i].initrd);
		assert_string_equal(path, path_of(boot, distributions[i].initrd));
		assert_int_equal(unlink(path), 0);
	}
}

/* Another version's, somebody else's, a folder: what is not this kernel's is left alone. */
static void initrd_of_another(void **state)
{
	const struct boot *boot = *state;
	char path[PATH_MAX];

	add(boot, "initrd.img-6.1", 0644);
	add(boot, "initrd.img", 0644);
	assert_int_equal(mkdir(path_of(boot, "initrd"), 0755), 0);
	assert_int_equal(mkdir(path_of(boot, "initrd-6.2"), 0755), 0);
	assert_false(kernel_find_initrd(path_of(boot, "vmlinuz-6.2"), path));
	assert_false(kernel_find_initrd(path_of(boot, "vmlinuz6.1"), path));
	assert_false(kernel_find_initrd(path_of(boot, "xvmlinuz-6.1"), path));
	assert_false(kernel_find_initrd(path_of(boot, "linux"), path));
	assert_false(kernel_find_initrd(path_of(boot, "bzImage"), path));
	assert_false(kernel_find_initrd(path_of(boot, "vmlinux-6.1"), path));
	assert_false(kernel_find_initrd("vmlinuz-of-nowhere", path));
	assert_false(kernel_find_initrd("", path));
	add(boot, "initramfs-6.1.img", 0644);
	assert_true(kernel_find_initrd(path_of(boot, "vmlinuz-6.1"), path));
	assert_string_equal(path, path_of(boot, "initrd.img-6.1"));
	add(boot, "initrd-6.3", 0);
	become_nobody(boot);
	assert_false(kernel_find_initrd(path_of(boot, "vmlinuz-6.3"), path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(newest, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(unreadable_is_passed_over, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(only_unreadable, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(nothing_there, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(longest_name, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(initrd_beside, make_boot, remove_boot),
		cmocka_unit_test_setup_teardown(initrd_of_another, make_boot, remove_boot),
		cmocka_unit_test(version_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
