/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
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

#include "loader/fit/fdt_file.h"
#include "vm/core/error.h"

#define TREE "\xd0\x0d\xfe\xed and so on"

/* Each test is in a new empty directory. */
static int enter_directory(void **state)
{
	char path[] = "/tmp/bantam-fdt-XXXXXX";

	if (!mkdtemp(path) || chdir(path) < 0)
		return -1;
	*state = strdup(path);
	return 0;
}

static int leave_directory(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
	free(*state);
	return chdir("/") < 0 || system(command) != 0;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_content(const char *path, const char *text)
{
	char found[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	found[fread(found, 1, sizeof(found) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(found, text);
}

static void assert_files(int count)
{
	DIR *dir = opendir(".");

	while (readdir(dir))
		count--;
	closedir(dir);
	assert_int_equal(count, -2); /* . and .. */
}

static void new_file(void **state)
{
	struct error err = {""};
	mode_t mask = umask(027);
	struct stat st;

	(void)state;
	assert_int_equal(fdt_file_write("new", TREE, strlen(TREE), &err), 0);
	umask(mask);
	assert_content("new", TREE);
	assert_files(1);
	assert_int_equal(stat("new", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void replaced(void **state)
{
	struct error err = {""};

	(void)state;
	put("old", TREE " longer than the new one");
	put("empty", "");
	assert_int_equal(fdt_file_write("old", TREE, strlen(TREE), &err), 0);
	assert_int_equal(fdt_file_write("empty", TREE, strlen(TREE), &err), 0);
	assert_content("old", TREE);
	assert_content("empty", TREE);
	assert_files(2);
}

static void kept(void **state)
{
	struct error err = {""};

	(void)state;
	put("kernel", "something else");
	assert_int_equal(fdt_file_write("kernel", TREE, strlen(TREE), &err), -EEXIST);
	assert_non_null(strstr(err.text, "kernel: "));
	assert_content("kernel", "something else");
	assert_int_equal(mkdir("dir", 0777), 0);
	assert_int_equal(fdt_file_write("dir", TREE, strlen(TREE), &err), -EISDIR);
	assert_int_equal(mkfifo("fifo", 0666), 0);
	assert_int_equal(fdt_file_write("fifo", TREE, strlen(TREE), &err), -EINVAL);
	assert_int_equal(fdt_file_write("/dev/null", TREE, strlen(TREE), &err), -EINVAL);
	assert_files(3);
}

static void links(void **state)
{
	struct error err = {""};
	struct stat st;

	(void)state;
	assert_int_equal(mkdir("dir", 0777), 0);
	put("dir/target", TREE " old");
	assert_int_equal(symlink("dir/target", "link"), 0);
	assert_int_equal(fdt_file_write("link", TREE, strlen(TREE), &err), 0);
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_content("dir/target", TREE);
	assert_files(2);
}

static void impossible(void **state)
{
	struct error err = {""};

	(void)state;
	assert_int_equal(fdt_file_write("none/file", TREE, strlen(TREE), &err), -ENOENT);
	assert_non_null(strstr(err.text, "none/file: "));
	/* Bytes that cannot be read: what was begun is removed again. */
	put("old", TREE " old");
	assert_int_equal(fdt_file_write("old", (void *)8, SIZE_MAX / 2, &err), -EFAULT);
	assert_content("old", TREE " old");
	assert_files(1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_directory, leave_directory)
	const struct CMUnitTest tests[] = {
		TEST(new_file),
		TEST(replaced),
		TEST(kept),
		TEST(links),
		TEST(impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
