/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two names whose hashes are the same would exclude each other; with 62 bits of hash that does not
 * happen by chance, and who makes it happen has but refused himself a name.
 */
#include "vm/control/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/core/error.h"
#include "vm/core/thread_id.h"

static const char lock_name[] = "locks";

enum {
	/* Those who clean up runtime directories by age leave alone what is sticky. */
	LOCK_MODE = S_ISVTX | 0600,
	CLEAN_MS = 1000, /* at most, for one who removes what a VM has left behind */
};

static const char socket_suffix[] = ".sock", log_suffix[] = ".log";

/* What a VM that nobody named is called, before a number. */
static const char made_up[] = "vm";

/* The effective one as the process was started, without asking the kernel again. */
static uid_t user(void)
{
	return (uid_t)getauxval(AT_EUID);
}

bool registry_name_valid(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-";
	size_t len = strlen(name);

	return len && len <= REGISTRY_MAX_NAME && strspn(name, good) == len && *name != '.' &&
	       *name != '-';
}

static bool in_tmp(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	return (!dir || *dir != '/') && user() != 0;
}

int registry_path(char *path, size_t size, struct error *err)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n;

	if (in_tmp())
		n = snprintf(path, size, "/tmp/bantam-%u", (unsigned int)user());
	else
		n = snprintf(path, size, "%s/bantam", dir && *dir == '/' ? dir : "/run");
	if ((size_t)n >= size)
		return error_set(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR: the path is too long");
	return 0;
}

int registry_address(const char *name, struct sockaddr_un *address, struct error *err)
{
	char dir[sizeof(address->sun_path)];
	int n, rc;

	if (!registry_name_valid(name))
		return error_set(err, -EINVAL,
			"'%s' is not a valid VM name: up to %d letters, digits, '.', '_' and '-', "
			"not "
			"'.' or '-' first",
			name, REGISTRY_MAX_NAME);
	rc = registry_path(dir, sizeof(dir), err);
	if (rc < 0)
		return rc;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(
		address->sun_path, sizeof(address->sun_path), "%s/%s%s", dir, name, socket_suffix);
	if ((size_t)n >= sizeof(address->sun_path))
		return error_set(err, -ENAMETOOLONG,
			"%s: the path of its socket in %s has more than %zu characters; use a "
			"shorter name, or another XDG_RUNTIME_DIR",
			name, dir, sizeof(address->sun_path) - 1);
	return 0;
}

int registry_log_path(const char *name, bool older, char *path, size_t size, struct error *err)
{
	struct sockaddr_un address;
	int n, rc = registry_address(name, &address, err);

	if (rc < 0)
		return rc;
	address.sun_path[strlen(address.sun_path) - strlen(socket_suffix)] = '\0';
	n = snprintf(path, size, "%s%s%s", address.sun_path, log_suffix, older ? ".1" : "");
	return (size_t)n < size ? 0
				: error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
}

/* FNV-1a, cut to what an offset may be. */
static struct flock lock_of(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	return (struct flock){.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(hash & (UINT64_MAX >> 2)),
		.l_len = 1};
}

/* Others may make things in /tmp: what is there must be a directory of ours that they cannot enter.
 */
static int check_dir(const char *dir, struct error *err)
{
	struct stat st;

	if (!in_tmp())
		return 0;
	if (lstat(dir, &st) < 0)
		return error_set_errno(err, -errno, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != user() || (st.st_mode & 077))
		return error_set(err, -EPERM,
			"%s is not a directory of this user only; remove it, or set "
			"XDG_RUNTIME_DIR",
			dir);
	return 0;
}

/*
 * After `su` the variable may still be of the user that one was; a directory of ours there would
 * keep him out of his own.
 */
static int check_owner(struct error *err)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!dir || *dir != '/' || stat(dir, &st) < 0 || st.st_uid == user())
		return 0;
	return error_set(err, -EPERM, "XDG_RUNTIME_DIR: %s is another user's", dir);
}

static int open_locks(const char *dir, bool create, struct error *err)
{
	char path[256];
	int fd, rc = check_dir(dir, NULL);

	snprintf(path, sizeof(path), "%s/%s", dir, lock_name);
	if (rc == -EPERM)
		return check_dir(dir, err);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), LOCK_MODE);
	if (fd < 0 && errno == ENOENT && create) {
		rc = check_owner(err);
		if (rc < 0)
			return rc;
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return error_set_errno(err, -errno, "%s", dir);
		rc = check_dir(dir, err);
		if (rc < 0)
			return rc;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT, LOCK_MODE);
	}
	return fd < 0 ? error_set_errno(err, -errno, "%s", path) : fd;
}

/* F_WRLCK: a VM's. F_RDLCK: of somebody who cleans up, and will be done with it soon. */
static int holder(int fd, const char *name)
{
	struct flock range = lock_of(name);

	return fcntl(fd, F_OFD_GETLK, &range) == 0 ? range.l_type : F_UNLCK;
}

static bool is_locked(int fd, const char *name)
{
	return holder(fd, name) == F_WRLCK;
}

static int lock(int fd, const char *name)
{
	struct flock range = lock_of(name);

	for (unsigned int tries = 0; fcntl(fd, F_OFD_SETLK, &range) < 0; tries++) {
		const int rc = -errno;

		if ((rc != -EAGAIN && rc != -EACCES) || is_locked(fd, name) || tries == CLEAN_MS)
			return rc;
		usleep(1000);
	}
	return 0;
}

/*
 * A lock of that kind belongs to no process that the kernel could tell, so there is one of the
 * other kind beside it, behind all offsets that are hashes. It is for messages only: a process
 * loses it when it closes any descriptor of the file, or forks.
 */
static struct flock mark_of(const char *name)
{
	struct flock range = lock_of(name);

	range.l_start += INT64_C(1) << 62;
	return range;
}

static void leave_mark(int fd, const char *name)
{
	struct flock range = mark_of(name);

	fcntl(fd, F_SETLK, &range);
}

/* A process's number is a name that is free, but for one who took it on purpose. */
static int lock_some_name(struct registry *registry)
{
	unsigned int number;
	int rc = -EAGAIN;

	number = (unsigned int)thread_id(pthread_self());
	for (unsigned int tries = 0; rc == -EAGAIN && tries < 1000; tries++, number++) {
		snprintf(registry->name, sizeof(registry->name), "%s%u", made_up, number);
		rc = lock(registry->lock_fd, registry->name);
	}
	return rc;
}

/* Somebody does. One that has no place for a connection now counts as well. */
static bool listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool there;

	if (fd < 0)
		return false;
	there = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		errno == EAGAIN;
	close(fd);
	return there;
}

/* With the lock in hand: one whose lock is in a file that was removed would be overlooked. */
static int check_unlocked(const struct registry *registry, const char *dir, struct error *err)
{
	if (access(registry->address.sun_path, F_OK) < 0 || !listens(&registry->address))
		return 0;
	return error_set(err, -EBUSY,
		"a VM called %s is running, though %s/%s was removed meanwhile; `bantam stop %s` "
		"ends it, --name gives another",
		registry->name, dir, lock_name, registry->name);
}

int registry_claim(struct registry *registry, const char *name, struct error *err)
{
	char dir[sizeof(registry->address.sun_path)];
	int rc;

	registry->lock_fd = -1;
	registry->dir_fd = 0;
	rc = name ? registry_address(name, &registry->address, err)
		  : registry_path(dir, sizeof(dir), err);
	if (!rc && name)
		rc = registry_path(dir, sizeof(dir), err);
	if (rc < 0)
		return rc;
	rc = open_locks(dir, true, err);
	if (rc < 0)
		return rc;
	registry->lock_fd = rc;
	if (name) {
		snprintf(registry->name, sizeof(registry->name), "%s", name);
		rc = lock(registry->lock_fd, name);
	} else {
		rc = lock_some_name(registry);
	}
	if (rc == -EAGAIN || rc == -EACCES)
		rc = error_set(err, -EBUSY,
			"a VM called %s is running; `bantam ps` lists them, --name gives another",
			registry->name);
	else if (rc < 0)
		error_set_errno(err, rc, "%s/%s", dir, lock_name);
	if (!rc && !name)
		rc = registry_address(registry->name, &registry->address, err);
	else if (!rc)
		rc = check_unlocked(registry, dir, err);
	if (!rc)
		leave_mark(registry->lock_fd, registry->name);
	if (rc < 0) {
		close(registry->lock_fd);
		registry->lock_fd = -1;
	}
	return rc;
}

/*
 * Of NAME and suffix in the directory of the sockets: the path, and what it is relative to. The
 * calls with a directory alone are let through by the sandbox.
 */
static int place_of(
	const struct registry *registry, const char *name, const char *suffix, char path[256])
{
	const char *end = strrchr(registry->address.sun_path, '/');
	const bool relative = registry->dir_fd > 0;

	snprintf(path, 256, "%.*s%s%s%s", relative ? 0 : (int)(end - registry->address.sun_path),
		registry->address.sun_path, relative ? "" : "/", name, suffix);
	return relative ? registry->dir_fd : AT_FDCWD;
}

/* Whoever removed the directory under us may have made room for another VM of our name. */
static bool is_still_ours(const struct registry *registry)
{
	struct stat locks, ours;
	char path[256];
	const int dir = place_of(registry, lock_name, "", path);

	return fstatat(dir, path, &locks, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(registry->lock_fd, &ours) == 0 && locks.st_ino == ours.st_ino &&
	       locks.st_dev == ours.st_dev;
}

void registry_drop_log(const struct registry *registry)
{
	char path[256];

	unlinkat(place_of(registry, registry->name, ".log", path), path, 0);
	unlinkat(place_of(registry, registry->name, ".log.1", path), path, 0);
}

void registry_release(struct registry *registry)
{
	char path[256];

	if (registry->lock_fd < 0)
		return;
	if (is_still_ours(registry))
		unlinkat(place_of(registry, registry->name, socket_suffix, path), path, 0);
	close(registry->lock_fd);
	registry->lock_fd = -1;
}

/* ---- looking ---- */

/*
 * Removes what a VM left behind that did not end by itself; with a lock, so that none starts, but
 * one of a kind that is not taken for a VM's.
 */
static void clean(int fd, const char *name, void (*fn)(const char *name))
{
	struct flock range = lock_of(name);

	range.l_type = F_RDLCK;
	if (fcntl(fd, F_OFD_SETLK, &range) < 0)
		return;
	fn(name);
	range.l_type = F_UNLCK;
	fcntl(fd, F_OFD_SETLK, &range);
}

static void remove_socket(const char *name)
{
	struct sockaddr_un address;

	if (registry_address(name, &address, NULL) == 0)
		unlink(address.sun_path);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && !strcmp(name + len - n, suffix);
}

static int is_socket(const struct dirent *entry)
{
	return ends_with(entry->d_name, socket_suffix);
}

static bool listens_as(const char *name)
{
	struct sockaddr_un address;

	return registry_address(name, &address, NULL) == 0 && listens(&address);
}

int registry_each(void (*fn)(void *opaque, const char *name), void *opaque, struct error *err)
{
	struct dirent **entries;
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int n, fd, rc = registry_path(dir, sizeof(dir), err);

	if (rc < 0)
		return rc;
	fd = open_locks(dir, false, err);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	n = scandir(dir, &entries, is_socket, alphasort);
	for (int i = 0; i < n; i++) {
		char *name = entries[i]->d_name;

		name[strlen(name) - (sizeof(socket_suffix) - 1)] = '\0';
		if (!registry_name_valid(name))
			; /* somebody else's */
		else if ((fd >= 0 && is_locked(fd, name)) || listens_as(name))
			fn(opaque, name);
		else if (fd >= 0)
			clean(fd, name, remove_socket);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	if (fd >= 0)
		close(fd);
	return 0;
}

int registry_check(struct error *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int rc = registry_path(dir, sizeof(dir), err);

	if (!rc)
		rc = check_dir(dir, err);
	return rc == -EPERM ? rc : 0;
}

bool registry_is_running(const char *name)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool running;
	int fd;

	if (registry_path(dir, sizeof(dir), NULL) < 0)
		return false;
	fd = open_locks(dir, false, NULL);
	if (fd == -EPERM)
		return false;
	running = (fd >= 0 && is_locked(fd, name)) || listens_as(name);
	if (fd >= 0)
		close(fd);
	return running;
}

pid_t registry_process(const char *name)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct flock range = mark_of(name);
	int fd;

	if (registry_path(dir, sizeof(dir), NULL) < 0)
		return 0;
	fd = open_locks(dir, false, NULL);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &range) < 0 || range.l_type == F_UNLCK)
		range.l_pid = 0;
	close(fd);
	return MAX(range.l_pid, 0);
}

/* ---- logs ---- */

struct old_log {
	struct timespec time;
	char name[REGISTRY_MAX_NAME + 1];
};

static int is_made_up_log(const struct dirent *entry)
{
	const char *digits = entry->d_name + sizeof(made_up) - 1;

	return !strncmp(entry->d_name, made_up, sizeof(made_up) - 1) &&
	       strspn(digits, "0123456789") &&
	       !strcmp(digits + strspn(digits, "0123456789"), log_suffix);
}

static int latest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct old_log *)a)->time;
	const struct timespec *y = &((const struct old_log *)b)->time;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

static void remove_logs(const char *name)
{
	char path[REGISTRY_MAX_PATH];

	for (int older = 0; older < 2; older++)
		if (registry_log_path(name, older, path, sizeof(path), NULL) == 0)
			unlink(path);
}

/* Of VMs that have ended; how many. */
static unsigned int find_logs(
	const char *dir, int fd, struct dirent *const *entries, int n, struct old_log *logs)
{
	unsigned int num = 0;

	for (int i = 0; i < n; i++) {
		struct old_log *log = &logs[num];
		char path[REGISTRY_MAX_PATH + sizeof(entries[i]->d_name)];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		snprintf(log->name, sizeof(log->name), "%.*s",
			(int)strcspn(entries[i]->d_name, "."), entries[i]->d_name);
		if (lstat(path, &st) < 0 || is_locked(fd, log->name))
			continue;
		log->time = st.st_mtim;
		num++;
	}
	return num;
}

void registry_tidy_logs(void)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct dirent **entries;
	struct old_log *logs;
	unsigned int num = 0;
	int fd, n;

	if (registry_path(dir, sizeof(dir), NULL) < 0)
		return;
	fd = open_locks(dir, false, NULL);
	if (fd < 0)
		return;
	n = scandir(dir, &entries, is_made_up_log, NULL);
	logs = n > REGISTRY_KEEP_LOGS ? calloc((size_t)n, sizeof(*logs)) : NULL;
	if (logs)
		num = find_logs(dir, fd, entries, n, logs);
	if (num > REGISTRY_KEEP_LOGS)
		qsort(logs, num, sizeof(*logs), latest_first);
	for (unsigned int i = REGISTRY_KEEP_LOGS; i < num; i++)
		clean(fd, logs[i].name, remove_logs);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	if (n >= 0)
		free(entries);
	free(logs);
	close(fd);
}
