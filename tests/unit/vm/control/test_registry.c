/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of running VMs: whose they are, what is left behind, and directories that are no good. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/control/registry.h"
#include "vm/core/error.h"

static char base[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(base, "/tmp/bantam-test-XXXXXX");
	assert_non_null(mkdtemp(base));
	return setenv("XDG_RUNTIME_DIR", base, 1);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

static void note(void *opaque, const char *name)
{
	char *names = opaque;

	strcat(strcat(names, name), " ");
}

static const char *running(void)
{
	static char names[512];
	struct error err;

	names[0] = '\0';
	assert_int_equal(registry_each(note, names, &err), 0);
	return names;
}

/* As a VM does that listens. */
static void touch(const struct registry *registry)
{
	int fd = open(registry->address.sun_path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "web-1", "A.b_c", "0"};
	static const char *const bad[] = {"", ".a", "-a", "a/b", "a b", "\xc3\xa4", "..", "a\n"};
	char longest[REGISTRY_MAX_NAME + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(registry_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(registry_name_valid(bad[i]));
	memset(longest, 'x', sizeof(longest));
	longest[REGISTRY_MAX_NAME + 1] = '\0';
	assert_false(registry_name_valid(longest));
	longest[REGISTRY_MAX_NAME] = '\0';
	assert_true(registry_name_valid(longest));
}

static void one_owner(void **state)
{
	struct registry a, b;
	struct error err;

	(void)state;
	assert_string_equal(running(), "");
	assert_int_equal(registry_claim(&a, "web", &err), 0);
	assert_int_equal(registry_claim(&b, "web", &err), -EBUSY);
	assert_non_null(strstr(err.text, "web"));
	assert_int_equal(registry_claim(&b, "db", &err), 0);
	touch(&a);
	touch(&b);
	assert_string_equal(running(), "db web ");
	assert_true(registry_is_running("web"));
	registry_release(&a);
	assert_false(registry_is_running("web"));
	assert_string_equal(running(), "db ");
	assert_int_equal(registry_claim(&a, "web", &err), 0);
	registry_release(&a);
	registry_release(&b);
	assert_string_equal(running(), "");
}

static void made_up_names(void **state)
{
	struct registry a, b;
	struct error err;
	char mine[32];

	(void)state;
	snprintf(mine, sizeof(mine), "vm%d", getpid());
	assert_int_equal(registry_claim(&a, NULL, &err), 0);
	assert_string_equal(a.name, mine);
	assert_int_equal(registry_claim(&b, NULL, &err), 0);
	assert_string_not_equal(b.name, mine);
	registry_release(&a);
	registry_release(&b);
}

/* A process that was killed leaves its socket, which nobody trips over. */
static void left_behind(void **state)
{
	struct registry registry;
	struct error err;
	struct stat st;
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		if (registry_claim(&registry, "web", &err) == 0)
			touch(&registry);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(registry_address("web", &registry.address, &err), 0);
	assert_int_equal(stat(registry.address.sun_path, &st), 0);
	assert_false(registry_is_running("web"));
	assert_string_equal(running(), "");
	assert_int_equal(stat(registry.address.sun_path, &st), -1);
	assert_int_equal(registry_claim(&registry, "web", &err), 0);
	registry_release(&registry);
}

/* Somebody cleans up at the same moment: the name is waited for, and is no VM's meanwhile. */
static void while_it_is_cleaned(void **state)
{
	struct registry registry, other;
	struct flock range;
	struct error err;
	char path[128];
	int fd, ready[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(registry_claim(&registry, "web", &err), 0);
	snprintf(path, sizeof(path), "%s/bantam/locks", base);
	fd = open(path, O_RDWR | O_CLOEXEC);
	range = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET};
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), -1);
	assert_true(registry_is_running("web"));
	assert_int_equal(registry_claim(&other, "web", &err), -EBUSY);
	registry_release(&registry);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &range), 0);
	assert_false(registry_is_running("web"));
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		/* It holds the lock as long as this one and the one above are open. */
		if (write(ready[1], "", 1) == 1)
			usleep(50000);
		_exit(0);
	}
	close(fd);
	assert_int_equal(read(ready[0], path, 1), 1);
	assert_int_equal(registry_claim(&registry, "web", &err), 0);
	registry_release(&registry);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
}

/* The directory goes, and another VM takes the name: its socket is not the first one's to remove.
 */
static void directory_removed(void **state)
{
	struct registry first, second;
	char command[128];
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(registry_claim(&first, "web", &err), 0);
	touch(&first);
	snprintf(command, sizeof(command), "rm -r %s/bantam", base);
	assert_int_equal(system(command), 0);
	assert_int_equal(registry_claim(&second, "web", &err), 0);
	touch(&second);
	registry_release(&first);
	assert_string_equal(running(), "web ");
	registry_release(&second);
	assert_int_equal(stat(second.address.sun_path, &st), -1);
}

/* The locks go, and the VM is there all the same, for those who look and those who want its name.
 */
static void locks_removed(void **state)
{
	struct registry first, second;
	char path[128];
	struct error err;
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(registry_claim(&first, "web", &err), 0);
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&first.address, sizeof(first.address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(path, sizeof(path), "%s/bantam/locks", base);
	assert_int_equal(unlink(path), 0);
	assert_string_equal(running(), "web ");
	assert_true(registry_is_running("web"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(registry_claim(&second, "web", &err), -EBUSY);
		assert_non_null(strstr(err.text, "locks was removed"));
		assert_int_equal(second.lock_fd, -1);
		assert_string_equal(running(), "web ");
	}
	close(fd);
	assert_string_equal(running(), "");
	assert_int_equal(stat(first.address.sun_path, &st), -1);
	assert_int_equal(registry_claim(&second, "web", &err), 0);
	registry_release(&second);
	registry_release(&first);
}

static void make_log(const char *name, const char *suffix, int age)
{
	const struct timespec times[2] = {{.tv_sec = 1000 - age}, {.tv_sec = 1000 - age}};
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/bantam/%s%s", base, name, suffix);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool has_log(const char *name, const char *suffix)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/bantam/%s%s", base, name, suffix);
	return access(path, F_OK) == 0;
}

/* Those of VMs that were named stay, and of those that run. */
static void logs_pile_up(void **state)
{
	static const char *const others[] = {"vm", "vmware", "web", "vm1a", "vm7777"};
	struct registry registry;
	struct error err;
	char name[32];

	(void)state;
	assert_int_equal(registry_claim(&registry, "vm7777", &err), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		make_log(others[i], ".log", 999);
	for (int i = 0; i < REGISTRY_KEEP_LOGS + 3; i++) {
		snprintf(name, sizeof(name), "vm%d", 1000 + i);
		make_log(name, ".log", i);
		make_log(name, ".log.1", i);
	}
	registry_tidy_logs();
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		assert_true(has_log(others[i], ".log"));
	for (int i = 0; i < REGISTRY_KEEP_LOGS + 3; i++) {
		snprintf(name, sizeof(name), "vm%d", 1000 + i);
		assert_int_equal(has_log(name, ".log"), i < REGISTRY_KEEP_LOGS);
		assert_int_equal(has_log(name, ".log.1"), i < REGISTRY_KEEP_LOGS);
	}
	registry_release(&registry);
}

/* Nobody who removes old files shall remove that of the locks. */
static void locks_last(void **state)
{
	struct registry registry;
	struct error err;
	struct stat st;

	(void)state;
	assert_int_equal(registry_claim(&registry, "web", &err), 0);
	assert_int_equal(fstat(registry.lock_fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, S_ISVTX | 0600);
	registry_release(&registry);
}

/* Root that is still in the environment of a user. */
static void of_another_user(void **state)
{
	struct registry registry;
	struct error err;
	char path[128];
	struct stat st;

	(void)state;
	if (geteuid() || chown(base, 65534, (gid_t)-1) < 0)
		skip();
	assert_int_equal(registry_claim(&registry, "web", &err), -EPERM);
	assert_non_null(strstr(err.text, "another user's"));
	snprintf(path, sizeof(path), "%s/bantam", base);
	assert_int_equal(stat(path, &st), -1);
}

static void bad_directories(void **state)
{
	struct registry registry;
	struct error err;
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/not/there", base);
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_int_equal(registry_claim(&registry, "web", &err), -ENOENT);
	assert_int_equal(registry.lock_fd, -1);
	assert_string_equal(running(), "");
	memset(path, 'x', 200);
	path[0] = '/';
	path[200] = '\0';
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_int_equal(registry_claim(&registry, "web", &err), -ENAMETOOLONG);
	assert_int_equal(registry_claim(&registry, NULL, &err), -ENAMETOOLONG);
	/* The directory fits, the socket in it does not. */
	path[95] = '\0';
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_int_equal(registry_claim(&registry, "a-long-name", &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "a-long-name"));
	setenv("XDG_RUNTIME_DIR", base, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		TEST(one_owner),
		TEST(made_up_names),
		TEST(left_behind),
		TEST(while_it_is_cleaned),
		TEST(directory_removed),
		TEST(locks_removed),
		TEST(logs_pile_up),
		TEST(locks_last),
		TEST(of_another_user),
		TEST(bad_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
