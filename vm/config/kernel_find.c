/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass over the directory keeps two names: the newest kernel that can be read and the newest
 * that cannot. strverscmp was not taken to compare them: it reads 6.10-08 as a fraction and puts
 * 6.2-rc3 behind 6.2. Kernels are judged by name alone; whether one boots is the loader's word.
 */
#include "vm/config/kernel_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/core/error.h"

static const char prefix[] = "vmlinuz-";

/* -1 for a pre-release's mark (6.2-rc3, 6.2~rc3), 0 at the end, 1 for anything else. */
static int mark(const char *p)
{
	if (*p == '~')
		return -1;
	if ((*p == '-' || *p == '_' || *p == '.' || *p == '+') && !strncmp(p + 1, "rc", 2) &&
		isdigit((unsigned char)p[3]))
		return -1;
	return *p != '\0';
}

/* Both at the first digit of a number, which is skipped. */
static int compare_numbers(const char **a, const char **b)
{
	size_t alen, blen;
	int r;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	alen = strspn(*a, "0123456789");
	blen = strspn(*b, "0123456789");
	r = alen == blen ? memcmp(*a, *b, alen) : alen < blen ? -1 : 1;
	*a += alen;
	*b += blen;
	return r;
}

int kernel_version_compare(const char *a, const char *b)
{
	while (*a || *b) {
		bool digits = isdigit((unsigned char)*a) && isdigit((unsigned char)*b);
		int r = digits ? compare_numbers(&a, &b) : mark(a) - mark(b);

		if (r)
			return r;
		if (digits)
			continue;
		if (*a != *b)
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		a++, b++;
	}
	return 0;
}

static bool is_leftover(const char *name)
{
	static const char *const suffixes[] = {"~", ".old", ".bak", ".orig", ".sig", ".hmac",
		".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".dpkg-dist", ".dpkg-bak", ".rpmnew",
		".rpmsave"};
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && !strcmp(name + len - n, suffixes[i]))
			return true;
	}
	return false;
}

static bool is_kernel(int dir_fd, const char *name)
{
	struct stat st;

	if (strncmp(name, prefix, sizeof(prefix) - 1) || is_leftover(name))
		return false;
	return !fstatat(dir_fd, name, &st, 0) && S_ISREG(st.st_mode);
}

/* Keeps the newer of the two; an empty best is older than all. */
static void keep_newer(char best[NAME_MAX + 1], const char *name)
{
	if (!*best || kernel_version_compare(best, name) < 0)
		snprintf(best, NAME_MAX + 1, "%s", name);
}

struct scan {
	char readable[NAME_MAX + 1], unreadable[NAME_MAX + 1];
	unsigned int num_unreadable;
};

static int scan_dir(const char *dir, struct scan *scan, struct error *err)
{
	const struct dirent *entry;
	DIR *stream = opendir(dir);

	if (!stream)
		return error_set_errno(
			err, -errno, "no kernel was given, and %s cannot be read", dir);
	while ((entry = readdir(stream))) {
		if (!is_kernel(dirfd(stream), entry->d_name))
			continue;
		if (!faccessat(dirfd(stream), entry->d_name, R_OK, AT_EACCESS)) {
			keep_newer(scan->readable, entry->d_name);
		} else {
			keep_newer(scan->unreadable, entry->d_name);
			scan->num_unreadable++;
		}
	}
	closedir(stream);
	return 0;
}

static int none_readable(const char *dir, const struct scan *scan, struct error *err)
{
	char others[32] = "";

	if (!scan->num_unreadable)
		return error_set(err, -ENOENT,
			"no kernel was given, and %s has none (%s*); give one with -k FILE", dir,
			prefix);
	if (scan->num_unreadable > 1)
		snprintf(others, sizeof(others), " (and %u more)", scan->num_unreadable - 1);
	return error_set(err, -EACCES,
		"no kernel was given, and you may not read %s/%s%s; have it made readable, or give "
		"another one with -k FILE",
		dir, scan->unreadable, others);
}

int kernel_find(const char *dir, struct kernel_found *found, struct error *err)
{
	struct scan scan = {.num_unreadable = 0};
	struct kernel_found result = {.newer = ""};
	int r;

	r = scan_dir(dir, &scan, err);
	if (r)
		return r;
	if (!*scan.readable)
		return none_readable(dir, &scan, err);
	r = snprintf(result.path, sizeof(result.path), "%s/%s", dir, scan.readable);
	if (r < 0 || (size_t)r >= sizeof(result.path))
		return error_set(err, -ENAMETOOLONG, "the path of a kernel in %s is too long", dir);
	if (*scan.unreadable && kernel_version_compare(scan.unreadable, scan.readable) > 0)
		memcpy(result.newer, scan.unreadable, sizeof(result.newer));
	*found = result;
	return 0;
}

/*
 * How distributions call a kernel and its initial RAM disk: what follows the kernel's word, "-V" or
 * nothing, follows the initrd's too. The first that is there is taken.
 */
static const struct name_pair {
	const char *kernel, *initrd;
	const char *ending; /* behind the version */
} name_pairs[] = {
	{"vmlinuz", "initrd.img", ""},	  /* Debian, Ubuntu */
	{"vmlinuz", "initramfs", ".img"}, /* Fedora, Red Hat, Arch, Void */
	{"vmlinuz", "initrd", ""},	  /* SUSE; Ubuntu's images and installer */
	{"vmlinuz", "initramfs", ""},	  /* Alpine */
	{"vmlinuz", "initrd", ".img"},	  /* Mageia, Slackware */
	{"vmlinuz", "initrd", ".gz"},	  /* Debian's installer for USB sticks */
	{"kernel", "initramfs", ".img"},  /* Gentoo */
	{"kernel", "initramfs", ""},	  /* Gentoo's genkernel */
	{"kernel", "initrd.img", ""}, {"kernel", "initrd", ""}, /* NixOS: /run/current-system */
	{"kernel", "initrd", ".img"},
	{"linux", "initrd", ""},    /* systemd's kernel-install; SUSE's installer */
	{"linux", "initrd", ".gz"}, /* Debian's installer */
	{"bzImage", "initrd", ""},  /* NixOS' images for the network */
};

/* Where the kernel's word ends in name, or NULL. *start is where it begins. */
static const char *find_word(const char *name, const char *word, const char **start)
{
	size_t len = strlen(word);

	*start = name;
	/* Ubuntu's cloud images: noble-server-cloudimg-amd64-vmlinuz-generic */
	if (strncmp(name, word, len) && !strcmp(word, "vmlinuz")) {
		*start = strstr(name, "-vmlinuz-");
		if (!*start)
			return NULL;
		++*start;
	}
	if (strncmp(*start, word, len) || ((*start)[len] && (*start)[len] != '-'))
		return NULL;
	return *start + len;
}

static bool is_readable_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) &&
	       !faccessat(AT_FDCWD, path, R_OK, AT_EACCESS);
}

bool kernel_find_initrd(const char *kernel, char path[PATH_MAX])
{
	const char *slash = strrchr(kernel, '/');
	const char *name = slash ? slash + 1 : kernel;

	for (size_t i = 0; i < ARRAY_SIZE(name_pairs); i++) {
		const struct name_pair *pair = &name_pairs[i];
		const char *start, *version = find_word(name, pair->kernel, &start);
		int n;

		if (!version)
			continue;
		n = snprintf(path, PATH_MAX, "%.*s%s%s%s", (int)(start - kernel), kernel,
			pair->initrd, version, pair->ending);
		if (n > 0 && n < PATH_MAX && is_readable_file(path))
			return true;
	}
	return false;
}
