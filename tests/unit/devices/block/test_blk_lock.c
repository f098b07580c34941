/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks on hosts that refuse them: fcntl is ours here. test_blk_open.c has what locks are for. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk_fixture.h"
#include "vm/core/log.h"

static int refusal; /* errno of every lock; 0: ask the host */

int fcntl(int fd, int cmd, ...)
{
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	if (cmd == F_OFD_SETLK && refusal) {
		errno = refusal;
		return -1;
	}
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

/* Opens a disk; what is said, to the log or as the error, goes into text. */
static int open_disk(bool read_only, char *text, size_t size)
{
	struct image_file file;
	struct blk *blk = NULL;
	struct error err = {0};
	struct log log;
	struct blk_config config = {.path = file.path, .read_only = read_only, .log = &log};
	int fd[2], rc;

	image_file_create(&file, 4096);
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	log_init(&log, fd[1], LOG_WARN, NULL);
	config.cache = BLK_CACHE_WRITEBACK;
	rc = blk_raw_create(&config, &blk, &err);
	memset(text, 0, size);
	if (rc)
		strncpy(text, err.text, size - 1);
	else
		(void)!read(fd[0], text, size - 1);
	assert_int_equal(blk != NULL, !rc);
	if (*text)
		assert_non_null(strstr(text, file.path));
	blk_close(blk);
	close(fd[0]);
	close(fd[1]);
	image_file_remove(&file);
	return rc;
}

/* Network file systems may know no locks: a warning, and the disk. Else it is an error, with words.
 */
static void test_refusals(void **state)
{
	static const struct {
		int refusal, rc;
		const char *said;
	} cases[] = {
		{0, 0, NULL},
		{ENOLCK, 0, "cannot be locked here"},
		{ENOSYS, 0, "cannot be locked here"},
		{EINVAL, 0, "cannot be locked here"},
		{EOPNOTSUPP, 0, "cannot be locked here"},
		{EAGAIN, -EBUSY, "in use"},
		{EACCES, -EBUSY, "in use"},
		{EIO, -EIO, "cannot be locked"},
		{EBADF, -EBADF, "cannot be locked"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int read_only = 0; read_only <= 1; read_only++) {
			const char *said = cases[i].said;
			char text[512];

			if (read_only && cases[i].rc == -EBUSY)
				said = "open for writing";
			refusal = cases[i].refusal;
			assert_int_equal(open_disk(read_only, text, sizeof(text)), cases[i].rc);
			if (said)
				assert_non_null(strstr(text, said));
			else
				assert_string_equal(text, "");
		}
	refusal = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
